//! Trimming: archive, then floor, then deletes. A crash at any step leaves something that the next trim completes.
//!
//! 1. Header and entries of the frames between the old floor and the new one go into archives. Nothing is lost yet; an
//!    archive that was written and whose floor was not is merely written twice.
//! 2. The floor is replaced. From now on a name that becomes free can be told from one that was never taken.
//! 3. Every object below the floor that nothing refers to is deleted, whenever it came to lie there. The listing always
//!    starts at the beginning (a request per 1,000 objects), so it also finds what an earlier trim had to leave.
//!
//! Whoever is cut off from the log must not delete: a barrier precedes the floor, and every batch of deletes that comes
//! more than 10 s after the last one. A process that slept for long between barrier and floor may have put the floor back
//! below a successor's; it ends itself, because its own creates are the only ones that could be misled.
//!
//! The caller keeps frames for an hour, on its own monotonic clock since it applied them: rule 4 of the engine rests on it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use kafscale_runtime::{Instant, timeout};
use kafscale_store::{Body, CreateError, DeleteError, ReadRange, ReplaceError};

use super::{
    Lone, OpenError, archive,
    core::{Core, Fault, Patience},
    floor::{self, Floor},
    names,
    replay::fetch,
};
use crate::{Frame, Position, TrimError};

/// Whether a frame's data is still referred to.
pub(super) type IsLive = Arc<dyn Fn(Position) -> bool + Send + Sync>;

/// An archive is closed when it holds so many bytes.
const ARCHIVE_LEN: u64 = 32 << 20;
/// Frames read side by side.
const READS: usize = 16;
/// Objects per page and per batch of deletes.
const PAGE: usize = 1000;
/// How long a store that does not answer is asked.
const PATIENCE: Duration = Duration::from_secs(60);
/// Deletions that may be refused in one sweep; what fails then is not tried by halves any more.
const REFUSALS_MAX: u32 = 1_000;
/// A barrier allows deletes for so long.
const BARRIER_AGE_MAX: Duration = Duration::from_secs(10);
/// A floor written later than this after the barrier may have gone back.
const FLOOR_DELAY_MAX: Duration = Duration::from_secs(60);

impl Lone {
    pub(super) async fn trim_to(&self, to: Position, is_live: IsLive) -> Result<(), TrimError> {
        let _turn = self.trimming.lock().await;
        let (proven_at, tail) = self.prove().await?;
        if to > tail + 1 {
            return Err(TrimError(format!("position {to} is beyond the tail {tail}")));
        }
        let floor = self.core.floor(Patience::For(PATIENCE)).await.map_err(store)?;
        let floor = floor.map_err(|error| TrimError(error.to_string()))?;
        if floor > tail + 1 {
            let reason = format!("another session has trimmed the log up to {floor}, beyond our own tail {tail}");
            self.core.fence.raise(reason.clone());
            return Err(TrimError(reason));
        }
        let proven_at = if to > floor { self.raise_floor(floor, to).await? } else { proven_at };
        self.sweep(floor.max(to), proven_at, &is_live).await
    }

    /// Deletes the archives of this generation whose frames all lie below `position`.
    pub async fn delete_archives(&self, position: Position) -> Result<(), TrimError> {
        let (_, _) = self.prove().await?;
        let (prefix, mut after) = (names::archives(self.core.generation), String::new());
        loop {
            let page = self.core.list(&prefix, &after, PAGE, Patience::For(PATIENCE)).await.map_err(store)?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(&last.name);
            let is_old =
                |name: &str| names::archive_bounds(self.core.generation, name).is_some_and(|(_, to)| to <= position);
            let old: Vec<_> = page.iter().filter(|row| is_old(&row.name)).map(|row| row.name.clone()).collect();
            self.core.delete(&old).await?;
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }

    /// Steps 1 and 2. When it was last certain that nobody else has taken over.
    async fn raise_floor(&self, from: Position, to: Position) -> Result<Instant, TrimError> {
        let generation = self.core.generation;
        let prefix = names::frames(generation);
        let first = self.core.list(&prefix, "", 1, Patience::For(PATIENCE)).await.map_err(store)?;
        let first = first.first().and_then(|row| names::frame_position(generation, &row.name));
        self.archive(from.max(first.unwrap_or(from)), to).await?;

        let (proven_at, _) = self.prove().await?;
        self.core.replace(names::FLOOR, floor::encode(Floor { generation, position: to })).await?;
        if !self.core.store.facts().exclusive && self.core.runtime.now() - proven_at > FLOOR_DELAY_MAX {
            let reason = "writing the floor took so long that another session may have moved it".to_owned();
            self.core.fence.raise(reason.clone());
            return Err(TrimError(reason));
        }
        Ok(proven_at)
    }

    async fn archive(&self, from: Position, to: Position) -> Result<(), TrimError> {
        let core = &*self.core;
        let read = |position| async move {
            let frame = fetch(core, position, Patience::For(PATIENCE), &mut 0).await;
            frame.and_then(|frame| frame.ok_or(OpenError::Lost { position }))
        };
        let mut frames = stream::iter(from..to).map(read).buffered(READS);
        let (mut gathered, mut len) = (Vec::new(), 0);
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|error| TrimError(error.to_string()))?;
            len += frame.header.head_len();
            gathered.push(frame);
            if len >= ARCHIVE_LEN {
                self.write_archive(&gathered).await?;
                gathered.clear();
                len = 0;
            }
        }
        self.write_archive(&gathered).await
    }

    async fn write_archive(&self, frames: &[Frame]) -> Result<(), TrimError> {
        let (Some(body), Some(first), Some(last)) = (archive::encode(frames), frames.first(), frames.last()) else {
            return Ok(());
        };
        let name = names::archive(self.core.generation, first.header.position, last.header.position + 1);
        self.core.create_once(&name, body).await
    }

    /// Step 3.
    async fn sweep(&self, floor: Position, mut proven_at: Instant, is_live: &IsLive) -> Result<(), TrimError> {
        let core = &*self.core;
        let (prefix, mut after) = (names::frames(core.generation), String::new());
        let mut refused = Refused { times: 0, last: Ok(()) };
        loop {
            let page = core.list(&prefix, &after, PAGE, Patience::For(PATIENCE)).await.map_err(store)?;
            let Some(last) = page.last() else { return refused.last };
            after.clone_from(&last.name);
            let below = |name: &str| names::frame_position(core.generation, name).filter(|at| *at < floor);
            let dead: Vec<_> = page
                .iter()
                .filter(|row| below(&row.name).is_some_and(|position| !is_live(position)))
                .map(|row| row.name.clone())
                .collect();
            if core.runtime.now().saturating_sub(proven_at) > BARRIER_AGE_MAX {
                (proven_at, _) = self.prove().await?;
            }
            core.delete_all_that_go(&dead, &mut refused).await?;
            if page.len() < PAGE || below(&last.name).is_none() {
                return refused.last;
            }
        }
    }

    /// Makes sure that nobody else has taken over: when that was asked, and the tail.
    async fn prove(&self) -> Result<(Instant, Position), TrimError> {
        let began = self.core.runtime.now();
        let tail = self.barriers.wait().await.map_err(|error| TrimError(error.to_string()))?;
        Ok((began, tail))
    }
}

/// Deletions that the store refused in one sweep.
struct Refused {
    times: u32,
    last: Result<(), TrimError>,
}

/// Writes that may be repeated without a thought.
impl Core {
    /// Deletes these, but for those that the store refuses: what fails together is tried by halves, so that a name that
    /// can never be deleted does not hold up the others. A store that is away ends it.
    async fn delete_all_that_go(&self, names: &[String], refused: &mut Refused) -> Result<(), TrimError> {
        let mut rest = vec![names];
        while let Some(names) = rest.pop() {
            match self.try_delete(names).await {
                Ok(()) => {}
                Err(Fault::Refused(reason)) => {
                    refused.times += 1;
                    refused.last = Err(TrimError(reason));
                    if names.len() > 1 && refused.times < REFUSALS_MAX {
                        let (first, second) = names.split_at(names.len() / 2);
                        rest.extend([second, first]);
                    }
                }
                Err(fault) => return Err(store(fault)),
            }
        }
        Ok(())
    }

    /// Creates an object whose bytes follow from its name.
    async fn create_once(&self, name: &str, body: Body) -> Result<(), TrimError> {
        self.repeat(body.len(), || async {
            match self.store.create(name, body.clone()).await {
                Ok(()) => Ok(()),
                Err(CreateError::AlreadyExists) => {
                    let front = ReadRange::At { start: 0, len: 1 };
                    match self.get(name, front, Patience::For(PATIENCE)).await? {
                        Some(_) => Ok(()),
                        None => Err(Fault::Unavailable("the store reports a conflict but holds no object".into())),
                    }
                }
                Err(CreateError::Refused(reason)) => Err(Fault::Refused(reason)),
                Err(error) => Err(Fault::Unavailable(error.to_string())),
            }
        })
        .await
        .map_err(store)
    }

    async fn replace(&self, name: &str, bytes: Bytes) -> Result<(), TrimError> {
        self.repeat(0, || async {
            self.store.replace(name, bytes.clone().into()).await.map_err(|error| match error {
                ReplaceError::Refused(reason) => Fault::Refused(reason),
                error => Fault::Unavailable(error.to_string()),
            })
        })
        .await
        .map_err(store)
    }

    async fn delete(&self, names: &[String]) -> Result<(), TrimError> {
        self.try_delete(names).await.map_err(store)
    }

    async fn try_delete(&self, names: &[String]) -> Result<(), Fault> {
        if names.is_empty() {
            return Ok(());
        }
        self.repeat(0, || async {
            self.store.delete(names).await.map_err(|error| match error {
                DeleteError::Refused(reason) => Fault::Refused(reason),
                error => Fault::Unavailable(error.to_string()),
            })
        })
        .await
    }

    async fn repeat<F: Future<Output = Result<(), Fault>>>(
        &self,
        bytes: u64,
        attempt: impl Fn() -> F,
    ) -> Result<(), Fault> {
        let (started, limit) = (self.runtime.now(), self.attempt_timeout(bytes));
        for repeat in 0.. {
            let fault = match timeout(&*self.runtime, limit, attempt()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(fault)) => fault,
                Err(_) => Fault::Unavailable(format!("no answer within {limit:?}")),
            };
            let patient = self.runtime.now().saturating_sub(started) < PATIENCE;
            if !patient || matches!(fault, Fault::Refused(_)) {
                return Err(fault);
            }
            self.runtime.sleep(self.back_off(repeat)).await;
        }
        unreachable!("the loop above ends only by returning")
    }
}

fn store(fault: Fault) -> TrimError {
    TrimError(fault.to_string())
}
