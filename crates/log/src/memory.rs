//! A log in memory: the reference engine, the shortest thing that keeps the contract. Nothing survives the process.
//!
//! [`MemoryLog`] is what would be the store: it outlives the sessions. [`MemoryLog::open`] starts one, which fences the
//! session before it. Every append is definite at once, so `applied` and the window only shape what callers see.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Handle};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::{
    AppendError, BarrierError, Draft, Frame, Frames, Log, Position, Progress, TrimError,
    frame::{Header, Kind, WriteId, encode},
};

/// How many appends may be pending: frames that the replica has not taken yet are not counted here.
const WINDOW: usize = 4;
/// Frames on their way to a replica.
const FRAMES: usize = 64;

/// The frames, shared by all sessions.
#[derive(Debug, Default)]
pub struct MemoryLog {
    cluster_id: u128,
    kept: Mutex<Kept>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    /// The frames from `floor` on.
    frames: Vec<Frame>,
    /// How many frames were trimmed.
    trimmed: usize,
    session: u64,
}

/// One session of a [`MemoryLog`].
pub struct Memory {
    log: Arc<MemoryLog>,
    runtime: Handle,
    session: u64,
    progress: Mutex<Progress>,
    closed: Arc<AtomicBool>,
}

impl MemoryLog {
    /// An empty log.
    pub fn new(cluster_id: u128) -> Arc<Self> {
        Arc::new(Self { cluster_id, ..Self::default() })
    }

    /// Starts a new session and fences the one before it. Frames are sent from the one after `from` on, the first frame of
    /// the session among them. Panics if `from` lies below the floor or beyond the tail.
    pub fn open(
        self: &Arc<Self>,
        runtime: &Handle,
        from: Position,
        take_over_entries: impl Fn(u64) -> Bytes,
    ) -> (Arc<Memory>, Frames) {
        let session = {
            let mut kept = self.kept.lock();
            assert!(index(from) >= kept.trimmed && from <= kept.tail(), "a replay from {from} is impossible");
            kept.session += 1;
            kept.session
        };
        let (sender, frames) = mpsc::channel(FRAMES);
        let closed = Arc::new(AtomicBool::new(false));
        let feed = feed(Arc::clone(self), session, from, sender, Arc::clone(&closed));
        let memory =
            Memory { log: Arc::clone(self), runtime: Arc::clone(runtime), session, progress: Mutex::default(), closed };
        memory.append_now(&Draft { entries: take_over_entries(session), ..Draft::default() }).expect("just opened");
        runtime.spawn("memory log", Box::pin(feed));
        (Arc::new(memory), frames)
    }
}

impl Kept {
    fn tail(&self) -> Position {
        (self.trimmed + self.frames.len()) as Position
    }
}

impl Memory {
    /// This session.
    pub fn session(&self) -> u64 {
        self.session
    }

    fn append_now(&self, draft: &Draft) -> Result<Position, AppendError> {
        let mut kept = self.log.kept.lock();
        if kept.session != self.session {
            return Err(AppendError::Fenced(fenced_by(kept.session)));
        }
        let position = kept.tail() + 1;
        let mut header = Header {
            kind: Kind::Entries,
            cluster_id: self.log.cluster_id,
            generation: 1,
            position,
            session: self.session,
            write_id: WriteId { incarnation: u128::from(self.session), sequence: position },
            cluster_time_ms: self.runtime.wall_clock_ms(),
            settled: position,
            progress: *self.progress.lock(),
            entries_len: 0,
            payload_len: 0,
            entries_hash: 0,
        };
        encode(&mut header, &draft.entries, &draft.payload).map_err(|error| AppendError::Refused(error.to_string()))?;
        kept.frames.push(Frame { header, entries: draft.entries.clone() });
        drop(kept);
        self.log.changed.notify_waiters();
        Ok(position)
    }
}

impl Log for Memory {
    fn append(&self, draft: Draft) -> BoxFuture<'static, Result<Position, AppendError>> {
        let outcome = self.append_now(&draft);
        Box::pin(async { outcome })
    }

    fn barrier(&self) -> BoxFuture<'_, Result<Position, BarrierError>> {
        let kept = self.log.kept.lock();
        let answer = if kept.session == self.session {
            Ok(kept.tail())
        } else {
            Err(BarrierError::Fenced(fenced_by(kept.session)))
        };
        Box::pin(async { answer })
    }

    fn trim<'a>(
        &'a self,
        floor: Position,
        _is_live: Arc<dyn Fn(Position) -> bool + Send + Sync>,
    ) -> BoxFuture<'a, Result<(), TrimError>> {
        let mut kept = self.log.kept.lock();
        let outcome = if kept.session != self.session {
            Err(TrimError(fenced_by(kept.session)))
        } else if floor > kept.tail() + 1 {
            Err(TrimError(format!("position {floor} is beyond the tail {}", kept.tail())))
        } else {
            let gone = index(floor.saturating_sub(1)).saturating_sub(kept.trimmed);
            kept.frames.drain(..gone);
            kept.trimmed += gone;
            Ok(())
        };
        Box::pin(async { outcome })
    }

    fn applied(&self, progress: Progress) {
        *self.progress.lock() = progress;
    }

    fn window(&self) -> usize {
        WINDOW
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.closed.store(true, SeqCst);
        self.log.changed.notify_waiters();
    }
}

fn index(position: Position) -> usize {
    usize::try_from(position).expect("positions in memory are few")
}

fn fenced_by(session: u64) -> String {
    format!("session {session} has taken over the log")
}

/// Sends every frame after `from` until the session is over or dropped; what it had appended by then is still sent.
async fn feed(log: Arc<MemoryLog>, session: u64, from: Position, frames: mpsc::Sender<Frame>, closed: Arc<AtomicBool>) {
    let mut next = index(from);
    loop {
        let changed = log.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        let (frame, over) = {
            let kept = log.kept.lock();
            let frame = next.checked_sub(kept.trimmed).and_then(|at| kept.frames.get(at)).cloned();
            (frame.filter(|frame| frame.header.session <= session), kept.session != session || closed.load(SeqCst))
        };
        match frame {
            Some(frame) => {
                next += 1;
                if frames.send(frame).await.is_err() {
                    return;
                }
            }
            None if over => return,
            None => changed.await,
        }
    }
}
