//! The window: gives positions to drafts, keeps up to four creates in flight, and reports them in order of positions.
//!
//! [`Intake`] is the handle; the [`Appender`] is one task that owns the window. A draft takes a permit before it enters and
//! gives it back when its frame is definite, right before the replica gets it, so `pending <= 4` is the same as "position q is
//! created only when every position up to q-4 is definite". Each create runs as a task of its own: a slow one, or a replica
//! that is behind, holds up nobody's upload.

use std::{collections::VecDeque, future::pending, sync::Arc, sync::atomic::Ordering::Relaxed};

use kafscale_runtime::{BoxFuture, Instant};
use kafscale_store::Body;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{
    WINDOW,
    core::{Core, Patience},
    create::Landed,
    take_over::Taken,
};
use crate::{
    AppendError, Draft, Frame, Position,
    frame::{Header, Kind, check_bounds, encode},
};

type Reply = oneshot::Sender<Result<Position, AppendError>>;

/// Where this session's end of the log is.
#[derive(Debug)]
pub(super) struct Tail {
    /// The last position whose create was started.
    pub issued: Position,
    /// Every position up to here is definite.
    pub definite: Position,
    /// The header of the last definite position that carries our write id.
    pub last_own: Header,
}

/// Takes drafts.
pub(super) struct Intake {
    core: Arc<Core>,
    tail: Arc<Mutex<Tail>>,
    orders: mpsc::Sender<Order>,
    permits: Arc<Semaphore>,
}

struct Order {
    draft: Draft,
    asked_at: Instant,
    permit: OwnedSemaphorePermit,
    reply: Reply,
}

struct Pending {
    frame: Frame,
    asked_at: Instant,
    permit: OwnedSemaphorePermit,
    reply: Reply,
    landed: oneshot::Receiver<()>,
}

struct Appender {
    core: Arc<Core>,
    session: u64,
    tail: Arc<Mutex<Tail>>,
    orders: mpsc::Receiver<Order>,
    frames: mpsc::Sender<Frame>,
    window: VecDeque<Pending>,
}

impl Intake {
    /// Starts the task that appends behind a take-over. It ends when the intake is dropped and nothing is pending, or when
    /// the session does.
    pub fn start(core: Arc<Core>, taken: &Taken, frames: mpsc::Sender<Frame>) -> Self {
        let tail = Tail { issued: taken.tail, definite: taken.tail, last_own: taken.last_own };
        let tail = Arc::new(Mutex::new(tail));
        let (sender, orders) = mpsc::channel(WINDOW as usize);
        let window = VecDeque::with_capacity(WINDOW as usize);
        let appender = Appender {
            core: Arc::clone(&core),
            session: taken.session,
            tail: Arc::clone(&tail),
            orders,
            frames,
            window,
        };
        core.runtime.spawn("log appender", Box::pin(appender.run()));
        Self { core, tail, orders: sender, permits: Arc::new(Semaphore::new(WINDOW as usize)) }
    }

    pub fn tail(&self) -> &Arc<Mutex<Tail>> {
        &self.tail
    }

    /// Everything that decides on the order happens here, before the future is polled.
    pub fn append(&self, draft: Draft) -> BoxFuture<'static, Result<Position, AppendError>> {
        let core = Arc::clone(&self.core);
        match self.enter(draft) {
            Ok(reply) => Box::pin(async move { reply.await.unwrap_or_else(|_| Err(fenced(&core))) }),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }

    fn enter(&self, draft: Draft) -> Result<oneshot::Receiver<Result<Position, AppendError>>, AppendError> {
        if self.core.fence.reason().is_some() {
            return Err(fenced(&self.core));
        }
        check_bounds(&draft.entries, &draft.payload).map_err(|error| AppendError::Refused(error.to_string()))?;
        let permit = Arc::clone(&self.permits)
            .try_acquire_owned()
            .map_err(|_| AppendError::Refused(format!("{WINDOW} appends are pending already")))?;
        let (reply, outcome) = oneshot::channel();
        let order = Order { draft, asked_at: self.core.runtime.now(), permit, reply };
        self.orders.try_send(order).map_err(|_| fenced(&self.core))?;
        Ok(outcome)
    }
}

fn fenced(core: &Core) -> AppendError {
    AppendError::Fenced(core.fence.reason().unwrap_or_else(|| "the log is closed".into()))
}

impl Appender {
    async fn run(mut self) {
        let core = Arc::clone(&self.core);
        let mut open = true;
        while open || !self.window.is_empty() {
            tokio::select! {
                biased;
                () = core.fence.wait() => return,
                () = front_landed(&mut self.window) => self.settle_front().await,
                order = self.orders.recv(), if open => match order {
                    Some(order) => self.issue(order),
                    None => open = false,
                },
            }
        }
    }

    /// Starts the create of the next position.
    fn issue(&mut self, order: Order) {
        let Order { draft, asked_at, permit, reply } = order;
        let (position, settled) = {
            let mut tail = self.tail.lock();
            tail.issued += 1;
            (tail.issued, tail.definite + 1)
        };
        assert!(position < settled + WINDOW, "a permit stands for a place in the window");
        let mut header = self.core.header(Kind::Entries, position, self.session, settled);
        let body = encode(&mut header, &draft.entries, &draft.payload).expect("bounds were checked at the entrance");
        let (done, landed) = oneshot::channel();
        let create = create(Arc::clone(&self.core), Arc::clone(&self.tail), header, body, done);
        self.core.runtime.spawn("log create", Box::pin(create));
        self.window.push_back(Pending {
            frame: Frame { header, entries: draft.entries },
            asked_at,
            permit,
            reply,
            landed,
        });
        self.core.meter.tail.store(position, Relaxed);
        self.note_oldest();
    }

    /// The oldest create is definite: hands its frame on and reports it.
    async fn settle_front(&mut self) {
        let frames = self.frames.clone();
        let place = tokio::select! {
            biased;
            () = self.core.fence.wait() => return,
            place = frames.reserve() => place,
        };
        let Ok(place) = place else {
            return self.core.fence.raise("nobody takes the log's frames".into());
        };
        let Pending { frame, asked_at, permit, reply, .. } = self.window.pop_front().expect("the front has landed");
        let header = frame.header;
        {
            let mut tail = self.tail.lock();
            tail.definite = header.position;
            tail.last_own = header;
        }
        self.core.proven_at(asked_at);
        self.core.meter.definite.store(header.position, Relaxed);
        self.note_oldest();
        // Before the frame: whoever is handed it counts one append less, and may make the next at once.
        drop(permit);
        place.send(frame);
        // Whoever asked may have gone away: the frame stands all the same.
        let _ = reply.send(Ok(header.position));
    }

    fn note_oldest(&self) {
        self.core.meter.set_pending_since(self.window.front().map(|oldest| oldest.asked_at));
    }
}

/// Completes once the oldest create has landed, never while there is none.
async fn front_landed(window: &mut VecDeque<Pending>) {
    let Some(front) = window.front_mut() else { return pending().await };
    if (&mut front.landed).await.is_err() {
        // A create that ends without an answer has ended the session, and the fence says so.
        pending().await
    }
}

/// Creates one frame; ends without an answer if that ends the session.
async fn create(core: Arc<Core>, tail: Arc<Mutex<Tail>>, header: Header, body: Body, done: oneshot::Sender<()>) {
    let landed = tokio::select! {
        biased;
        () = core.fence.wait() => return,
        landed = core.create(&header, body, Patience::Endless, Some(&tail)) => landed,
    };
    let position = header.position;
    match landed {
        Ok(Landed::Ours) => {}
        Ok(Landed::Foreign(Ok(found))) => {
            let session = found.session;
            return core.fence.raise(taken_over(session, position));
        }
        Ok(Landed::Foreign(Err(error))) => {
            return core.fence.raise(format!("a foreign object stands at position {position} of the log: {error}"));
        }
        Err(_) => unreachable!("endless patience gives no fault"),
    }
    if core.proof_is_stale() && !floor_allows(&core, &tail).await {
        return;
    }
    let _ = done.send(());
}

/// That another session is the one of this log now, and where it was met.
pub(super) fn taken_over(session: u64, position: Position) -> String {
    format!("another broker has taken over this store: session {session} stands at position {position} of the log")
}

/// Whether the floor, read now, lies at or below our first indefinite position; ends the session otherwise.
pub(super) async fn floor_allows(core: &Core, tail: &Mutex<Tail>) -> bool {
    let floor = tokio::select! {
        biased;
        () = core.fence.wait() => return false,
        floor = core.floor(Patience::Endless) => floor,
    };
    let first_indefinite = tail.lock().definite + 1;
    let reason = match floor {
        Ok(Ok(floor)) if floor <= first_indefinite => return true,
        Ok(Ok(floor)) => {
            format!("another session has trimmed the log up to {floor}, beyond our own end at {first_indefinite}")
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => unreachable!("endless patience gives no fault"),
    };
    core.fence.raise(reason);
    false
}
