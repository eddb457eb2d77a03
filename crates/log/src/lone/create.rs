//! One frame's create, driven until its outcome is definite.
//!
//! A name belongs to one position and an attempt always carries the same bytes, so an attempt whose outcome is unknown is
//! simply repeated: whichever lands is right. That an object of the name exists proves nothing by itself, it may be our own
//! from an earlier attempt; only the write id in it tells. An attempt that is slower than the running 95th percentile gets
//! another one beside it, within a budget and only where the store bears two writes of one name.
//!
//! A refusal may pass: keys come back, a quota is raised. But a bucket that was deleted refuses too, and when it is made anew
//! it takes the next frame, with everything before it gone. So after each refusal it is asked whether the last frame that
//! was confirmed still stands, and the session ends if it does not.

use std::time::Duration;

use kafscale_runtime::timeout;
use kafscale_store::{Body, CreateError};
use parking_lot::Mutex;

use super::{
    appender::Tail,
    core::{Core, Fault, Patience},
    meter::Meter,
};
use crate::{
    frame::{DecodeError, Header},
    planted::{self, Bug},
};

/// A store that asks to wait is heard up to this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

/// A create that has failed for so long is worth a warning: a person may have to act (a full disk, keys that expired).
const TELL_AFTER: Duration = Duration::from_secs(2);

/// The definite outcome of a create.
#[derive(Debug)]
pub(crate) enum Landed {
    /// The frame stands at its position.
    Ours,
    /// Another's object stands there.
    Foreign(Result<Header, DecodeError>),
}

impl Core {
    /// Creates the frame of `header` from `body` and finds out whose object stands at its position in the end. `confirmed` is
    /// the tail whose last frame must still be there while the store refuses.
    pub(super) async fn create(
        &self,
        header: &Header,
        body: Body,
        patience: Patience,
        confirmed: Option<&Mutex<Tail>>,
    ) -> Result<Landed, Fault> {
        let name = self.frame_name(header.position);
        let started = self.runtime.now();
        Meter::add(&self.meter.creates);
        let limit = self.attempt_timeout(body.len());
        let mut told = false;
        for repeat in 0.. {
            let attempt = self.attempt(&name, &body);
            let (fault, wait) = match timeout(&*self.runtime, limit, attempt).await {
                Ok(Ok(())) => return Ok(Landed::Ours),
                Ok(Err(CreateError::AlreadyExists)) => match self.read_back(header, patience).await? {
                    Some(landed) => return Ok(landed),
                    None => (Fault::Unavailable("the store reports a conflict but holds no object".into()), None),
                },
                Ok(Err(CreateError::Unknown(reason))) => (Fault::Unavailable(reason), None),
                Ok(Err(CreateError::Unavailable { reason, retry_after })) => (Fault::Unavailable(reason), retry_after),
                Ok(Err(CreateError::Refused(reason))) => (Fault::Refused(reason), None),
                Err(_) => (Fault::Unavailable(format!("no answer within {limit:?}")), None),
            };
            if let Patience::For(limit) = patience
                && (matches!(fault, Fault::Refused(_)) || self.runtime.now().saturating_sub(started) >= limit)
            {
                return Err(fault);
            }
            if let (Fault::Refused(_), Some(tail)) = (&fault, confirmed) {
                self.end_if_lost(tail).await;
            }
            tracing::debug!(name, repeat, %fault, "a create is repeated");
            if !told && self.runtime.now().saturating_sub(started) >= TELL_AFTER {
                told = true;
                tracing::warn!(name, %fault, "the store does not take a frame of the log; it is repeated until it does");
            }
            Meter::add(&self.meter.repeats);
            let wait = wait.unwrap_or_default().min(RETRY_AFTER_MAX);
            self.runtime.sleep(self.back_off(repeat).max(wait)).await;
        }
        unreachable!("the loop above ends only by returning")
    }

    /// Ends the session if its last confirmed frame is gone, and not trimmed. Where there is no answer the next refusal asks
    /// again.
    async fn end_if_lost(&self, tail: &Mutex<Tail>) {
        let (own, patience) = (tail.lock().last_own, Patience::For(self.settings.barrier_patience));
        if let Ok(Some(reason)) = self.lost(&own, patience).await
            && let Ok(Ok(floor)) = self.floor(patience).await
            && floor <= own.position
        {
            self.fence.raise(reason);
        }
    }

    /// Whose object stands at the position; nothing if there is none.
    async fn read_back(&self, header: &Header, patience: Patience) -> Result<Option<Landed>, Fault> {
        if planted::is(Bug::CreateBelievedUnread) {
            return Ok(Some(Landed::Ours));
        }
        Meter::add(&self.meter.read_backs);
        Ok(self.get_header(header.position, patience).await?.map(|found| match found {
            Ok(found) if found.write_id == header.write_id => Landed::Ours,
            found => Landed::Foreign(found),
        }))
    }

    /// One attempt, with others beside it if it is slow. That an object stands there is an answer; any other error of one
    /// attempt leaves it to the others.
    async fn attempt(&self, name: &str, body: &Body) -> Result<(), CreateError> {
        let create = || self.store.create(name, body.clone());
        if !self.store.facts().may_hedge {
            return create().await;
        }
        let stands = |error: &CreateError| *error == CreateError::AlreadyExists;
        self.meter.hedge.run(&*self.runtime, body.len(), create, stands).await
    }
}
