//! What all parts of the engine share, and the one way in which they read the store: again and again, with back-off, until
//! there is an answer, the patience ends or the session is over.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use kafscale_runtime::{Handle, Instant, timeout};
use kafscale_store::{Listed, ReadError, ReadRange, Store, Waiting};
use parking_lot::Mutex;

use super::{Settings, clock::ClusterClock, fence::Fence, floor, meter::Meter, names};
use crate::{
    Position, Progress,
    frame::{DecodeError, HEADER_LEN, Header, Kind, Place, WriteId, decode_header},
};

/// Proof that nobody else had taken over is good for so long. A successor trims nothing for an hour after its own start,
/// so what is proven within a minute cannot have been trimmed by it.
const PROOF_AGE_MAX: Duration = Duration::from_secs(60);

/// How long a caller goes on asking a store that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Until the session is over; even a refusal may pass (keys come back, a disk is freed).
    Endless,
    /// So long, and a refusal ends it at once.
    For(Duration),
}

/// A store that gave no answer within the patience.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("store unavailable: {0}")]
    Unavailable(String),
    #[error("refused by the store: {0}")]
    Refused(String),
}

/// What all parts of the engine share.
pub(crate) struct Core {
    pub store: Arc<dyn Store>,
    pub runtime: Handle,
    pub settings: Settings,
    pub cluster_id: u128,
    pub generation: u64,
    pub incarnation: u128,
    pub meter: Meter,
    pub fence: Fence,
    pub progress: Mutex<Progress>,
    clock: Mutex<Clock>,
    sequence: AtomicU64,
    proven_at: Mutex<Instant>,
    waiting: Waiting,
}

struct Clock {
    cluster: ClusterClock,
    suspect: bool,
}

impl Core {
    pub fn new(
        store: Arc<dyn Store>,
        runtime: Handle,
        settings: Settings,
        (cluster_id, generation): (u128, u64),
        progress: Progress,
    ) -> Self {
        Self {
            incarnation: runtime.random_u128(),
            proven_at: Mutex::new(runtime.now()),
            store,
            runtime,
            settings,
            cluster_id,
            generation,
            meter: Meter::default(),
            fence: Fence::default(),
            progress: Mutex::new(progress),
            clock: Mutex::new(Clock { cluster: ClusterClock::new(0), suspect: false }),
            sequence: AtomicU64::new(0),
            waiting: Waiting::default(),
        }
    }

    pub fn place(&self, position: Position) -> Place {
        Place { cluster_id: self.cluster_id, generation: self.generation, position }
    }

    pub fn frame_name(&self, position: Position) -> String {
        names::frame(self.generation, position)
    }

    /// The header of this process's next frame; encoding it sets lengths and hash.
    pub fn header(&self, kind: Kind, position: Position, session: u64, settled: Position) -> Header {
        Header {
            kind,
            cluster_id: self.cluster_id,
            generation: self.generation,
            position,
            session,
            write_id: WriteId { incarnation: self.incarnation, sequence: self.sequence.fetch_add(1, Relaxed) },
            cluster_time_ms: self.cluster_time_ms(),
            settled,
            progress: *self.progress.lock(),
            entries_len: 0,
            payload_len: 0,
            entries_hash: 0,
        }
    }

    /// Tells the clock when the last frame of the log was written.
    pub fn start_clock(&self, last_frame_ms: i64) {
        self.clock.lock().cluster = ClusterClock::new(last_frame_ms);
    }

    pub fn cluster_time_ms(&self) -> i64 {
        let mut clock = self.clock.lock();
        let reading = clock.cluster.read(self.runtime.now(), self.runtime.wall_clock_ms(), self.store.date());
        if let Some(off_ms) = reading.system_off_ms {
            tracing::warn!(off_ms, "the system clock differs from the store's clock");
        }
        if reading.suspect && !clock.suspect {
            tracing::error!(ms = reading.ms, "store clock and system clock contradict each other: nothing will expire");
        }
        clock.suspect = reading.suspect;
        reading.ms
    }

    pub fn clock_is_suspect(&self) -> bool {
        self.clock.lock().suspect
    }

    /// At `instant` it was certain that nobody else had finished a take-over.
    pub fn proven_at(&self, instant: Instant) {
        let mut proven_at = self.proven_at.lock();
        *proven_at = (*proven_at).max(instant);
    }

    /// Whether names of trimmed frames could have become free again since the last proof.
    pub fn proof_is_stale(&self) -> bool {
        let proven_at = *self.proven_at.lock();
        !self.store.facts().exclusive && self.runtime.now().saturating_sub(proven_at) > PROOF_AGE_MAX
    }

    /// A range of an object; nothing if there is no such object.
    pub async fn get(&self, name: &str, range: ReadRange, patience: Patience) -> Result<Option<Bytes>, Fault> {
        let bytes = if let ReadRange::At { len, .. } = range { len } else { 0 };
        self.read(self.attempt_timeout(bytes), patience, name, || self.store.get(name, range)).await
    }

    /// A page of a listing; see [`Store::list`].
    pub async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: usize,
        patience: Patience,
    ) -> Result<Vec<Listed>, Fault> {
        Ok(self
            .read(self.attempt_timeout(0), patience, prefix, || self.store.list(prefix, after, limit))
            .await?
            .unwrap_or_default())
    }

    /// The header of the frame at `position`; nothing if there is no object.
    pub async fn get_header(
        &self,
        position: Position,
        patience: Patience,
    ) -> Result<Option<Result<Header, DecodeError>>, Fault> {
        let range = ReadRange::At { start: 0, len: HEADER_LEN as u64 };
        let bytes = self.get(&self.frame_name(position), range, patience).await?;
        Ok(bytes.map(|bytes| {
            let header = decode_header(&bytes)?;
            header.check_place(&self.place(position)).map(|()| header)
        }))
    }

    /// Why the frame of `own`, whose create was confirmed, does not count any more; nothing while it stands.
    pub async fn lost(&self, own: &Header, patience: Patience) -> Result<Option<String>, Fault> {
        let position = own.position;
        let now = match self.get_header(position, patience).await? {
            Some(Ok(found)) if found.write_id == own.write_id => return Ok(None),
            Some(_) => {
                "holds another object; its conditional writes (If-None-Match: *) cannot be relied on, as MinIO's while it \
                 lacks a quorum"
                    .to_owned()
            }
            None => {
                let words = self.words_of_absence(position).await;
                format!("is gone ({words}); it or the whole bucket was deleted behind this broker's back")
            }
        };
        Ok(Some(format!("the store lost or overwrote a confirmed create: position {position} of the log {now}")))
    }

    /// What the store says of a frame that is not there: a missing object and a missing bucket need different deeds.
    async fn words_of_absence(&self, position: Position) -> String {
        let (name, one) = (self.frame_name(position), ReadRange::At { start: 0, len: 1 });
        match timeout(&*self.runtime, self.attempt_timeout(0), self.store.get(&name, one)).await {
            Ok(Err(ReadError::NotFound(words))) => words,
            _ => "not found".to_owned(),
        }
    }

    /// The floor of this generation: 1 until somebody trimmed. A floor of a later generation is above everything.
    pub async fn floor(&self, patience: Patience) -> Result<Result<Position, floor::FloorError>, Fault> {
        Meter::add(&self.meter.floor_reads);
        let bytes = self.get(names::FLOOR, ReadRange::At { start: 0, len: floor::LEN_MAX }, patience).await?;
        Ok(match bytes {
            None => Ok(1),
            Some(bytes) => floor::decode(&bytes).map(|floor| floor.within(self.generation)),
        })
    }

    /// The pause before repeat number `repeat` (from 0): doubling, bounded, jittered down to a half.
    pub fn back_off(&self, repeat: u32) -> Duration {
        let Settings { back_off_min, back_off_max, .. } = self.settings;
        let half = back_off_min.saturating_mul(1 << repeat.min(16)).min(back_off_max) / 2;
        let jitter = u32::try_from(self.runtime.random_u64() % 512).expect("below 512");
        half + half * jitter / 512
    }

    /// How long an attempt that moves so many bytes may take: at 1 MiB/s it is still alive.
    pub fn attempt_timeout(&self, bytes: u64) -> Duration {
        self.settings.attempt_timeout + Duration::from_secs(bytes >> 20)
    }

    async fn read<'a, T, F>(
        &'a self,
        limit: Duration,
        patience: Patience,
        what: &str,
        attempt: impl Fn() -> F,
    ) -> Result<Option<T>, Fault>
    where
        F: Future<Output = Result<T, ReadError>> + 'a,
    {
        let started = self.runtime.now();
        let limit = match patience {
            Patience::Endless => limit,
            Patience::For(patience) => limit.min(patience),
        };
        for repeat in 0.. {
            let fault = match timeout(&*self.runtime, limit, attempt()).await {
                Ok(Ok(value)) => {
                    self.waiting.answered();
                    return Ok(Some(value));
                }
                Ok(Err(ReadError::NotFound(_))) => {
                    self.waiting.answered();
                    return Ok(None);
                }
                Ok(Err(ReadError::Unavailable(reason))) => Fault::Unavailable(reason),
                Ok(Err(ReadError::Refused(reason))) => Fault::Refused(reason),
                Err(_) => Fault::Unavailable(format!("no answer within {limit:?}")),
            };
            let now = self.runtime.now();
            let waited = now.saturating_sub(started);
            if let Patience::For(limit) = patience
                && (matches!(fault, Fault::Refused(_)) || waited >= limit)
            {
                return Err(fault);
            }
            self.waiting.tell(now, waited, what, &fault);
            self.runtime.sleep(self.back_off(repeat)).await;
        }
        unreachable!("the loop above ends only by returning")
    }
}
