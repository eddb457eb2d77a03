//! The questions themselves. Chains that do not build on each other run beside each other, so that a probe costs
//! few round trips.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use kafscale_runtime::{BoxFuture, Handle};

use super::{
    Check, Finding, Latency, Permission, Plan, Verdict, latency,
    tally::{Sample, Tally},
};
use crate::{Body, CreateError, DeleteError, ReadError, ReadRange, ReplaceError, Store};

/// How often a question is asked that got no answer.
pub(super) const TRIES: u32 = 4;
/// The first pause between tries; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes of the object whose parts are read.
const PLAIN: usize = 64 << 10;

pub(super) type Step = Result<(), Verdict>;

/// What decides whether a log may live here, in order; the others stand around them.
const CREATES: [Check; 3] = [Check::Create, Check::CreateOnce, Check::CreateRace];
const OTHERS: [Check; 7] =
    [Check::List, Check::Put, Check::Get, Check::Ranges, Check::ListAfterWrite, Check::Overwrite, Check::Delete];

pub(super) struct Steps<'a> {
    pub(super) store: &'a dyn Store,
    pub(super) runtime: &'a Handle,
    pub(super) plan: Plan,
    /// This probe's own.
    pub(super) folder: &'a str,
    pub(super) tally: &'a Tally,
}

impl Steps<'_> {
    /// Everything, in the order of [`Check::ALL`].
    pub(super) async fn all(&self) -> (Vec<Finding>, Option<Latency>, Option<bool>) {
        // Races show less while something else is asked.
        let mut findings = self.creates().await;
        let plain = self.plain().await;
        let [_, get, ..] = &plain;
        let takes_damage = if get.is_ok() { self.takes_damage().await } else { None };
        let (others, latency) = self.others(plain).await;
        findings.extend(others);
        findings.sort_unstable_by_key(|finding| finding.check);
        (findings, latency, takes_damage)
    }

    /// What create-if-absent is worth here: as many round trips as there are races, and one; three at least.
    pub(super) async fn creates(&self) -> Vec<Finding> {
        let ([create, once], race) = join(self.once(), self.races()).await;
        found(CREATES.into_iter().zip([create, once, race]))
    }

    /// What builds on the life of one object and on the creates; in the end all that was written is deleted.
    pub(super) async fn others(&self, plain: [Step; 4]) -> (Vec<Finding>, Option<Latency>) {
        let [put, get, ranges, overwrite] = plain;
        let [list, list_after_write] = self.list(put.is_ok()).await;
        let latency = if put.is_ok() && get.is_ok() { self.measure().await } else { None };
        // What was denied may have been written all the same, so it is deleted in any case.
        let delete = self.delete(get.is_ok()).await;
        let steps = [list, put, get, ranges, list_after_write, overwrite, delete];
        (found(OTHERS.into_iter().zip(steps)), latency)
    }

    /// Whether anything can be written, with no condition.
    pub(super) async fn any_put(&self) -> Step {
        self.put(&self.name("plain"), Bytes::from_static(b"anything")).await
    }

    /// Deletes what the creates wrote; what is left behind does no harm.
    pub(super) async fn clean(&self) {
        let _ = self.delete(false).await;
    }

    pub(super) fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.folder)
    }

    /// The life of one object: a write, a read, reads of parts, a write over it.
    pub(super) async fn plain(&self) -> [Step; 4] {
        let content = latency::noise(self.runtime, PLAIN);
        let name = self.name("plain");
        let put = self.put(&name, content.clone()).await;
        if put.is_err() {
            let skipped = || Err(Verdict::Skipped(Check::Put));
            return [put, skipped(), skipped(), skipped()];
        }
        let get = self.reads_as(&name, ReadRange::All, &content, "what was read is not what was written").await;
        if get.is_err() {
            let skipped = || Err(Verdict::Skipped(Check::Get));
            return [put, get, skipped(), skipped()];
        }
        let ranges = self.ranges(&name, &content).await;
        let overwrite = self.overwrite(&name).await;
        [put, get, ranges, overwrite]
    }

    async fn ranges(&self, name: &str, content: &Bytes) -> Step {
        let len = content.len();
        // From within, across the end, and of one byte at the very end.
        for (from, to) in [(1_000, 3_000), (len - 100, len + 100), (len - 1, len)] {
            let range = ReadRange::At { start: from as u64, len: (to - from) as u64 };
            let expected = content.slice(from..to.min(len));
            self.reads_as(name, range, &expected, "a part of an object is not what was written there").await?;
        }
        Ok(())
    }

    async fn overwrite(&self, name: &str) -> Step {
        let later = Bytes::from_static(b"written over it");
        self.put(name, later.clone()).await?;
        self.reads_as(name, ReadRange::All, &later, "an object that was written over reads as it was before").await
    }

    /// Whether the store takes a body that is not what its checksum says; nothing where there was no answer that tells, or
    /// nothing to be damaged on.
    pub(super) async fn takes_damage(&self) -> Option<bool> {
        let (name, sent) = (self.name("damaged"), latency::noise(self.runtime, PLAIN));
        match self.replace(&name, Body::from(sent.clone()).damaged_on_its_way()).await {
            Ok(()) => {
                self.get(&name, ReadRange::All).await.ok().flatten().is_some_and(|found| found != sent).then_some(true)
            }
            Err(ReplaceError::Refused(_)) => Some(false),
            Err(ReplaceError::Unknown(_) | ReplaceError::Unavailable(_)) => None,
        }
    }

    /// A create of an absent name, and of the same name again.
    async fn once(&self) -> [Step; 2] {
        let name = self.name("once");
        let (first, second) = (Bytes::from_static(b"first"), Bytes::from_static(b"second"));
        let create = self.create_absent(&name, &first).await;
        if create.is_err() {
            return [create, Err(Verdict::Skipped(Check::Create))];
        }
        let taken = self.create_taken(&name, &first, second).await;
        [create, taken]
    }

    async fn create_absent(&self, name: &str, content: &Bytes) -> Step {
        let mut last = String::new();
        for attempt in 0..TRIES {
            self.pause(attempt).await;
            match self.create(name, content.clone()).await {
                Ok(()) => return Ok(()),
                // The name is this probe's own, so only an earlier try of its own can stand there.
                Err(CreateError::AlreadyExists) => match self.get(name, ReadRange::All).await? {
                    Some(found) if found == content => return Ok(()),
                    // A wrong read, which a later one may put right.
                    Some(_) => "a name that nobody used holds something else".clone_into(&mut last),
                    None => "the store said that an absent name is taken".clone_into(&mut last),
                },
                Err(CreateError::Refused(reason)) => return Err(refused(Permission::Put, reason)),
                Err(CreateError::Unknown(reason) | CreateError::Unavailable { reason, .. }) => last = reason,
            }
        }
        Err(Verdict::Unanswered(last))
    }

    async fn create_taken(&self, name: &str, first: &Bytes, second: Bytes) -> Step {
        let mut last = String::new();
        for attempt in 0..TRIES {
            self.pause(attempt).await;
            let said = self.create(name, second.clone()).await;
            let stands = self.get(name, ReadRange::All).await?;
            if stands.as_ref() == Some(&second) {
                return Err(failed("a second create of a name replaced its object: the condition is not kept"));
            }
            match said {
                _ if stands.as_ref() != Some(first) => {
                    "what was created reads as something that nobody wrote".clone_into(&mut last);
                }
                Err(CreateError::AlreadyExists) => return Ok(()),
                Ok(()) => return Err(failed("a second create of a name was confirmed, and not done")),
                Err(CreateError::Refused(reason)) => return Err(refused(Permission::Put, reason)),
                Err(CreateError::Unknown(reason) | CreateError::Unavailable { reason, .. }) => last = reason,
            }
        }
        Err(Verdict::Unanswered(last))
    }

    /// A listing, and whether it has what was written before.
    async fn list(&self, is_written: bool) -> [Step; 2] {
        let limit = self.tally.written().len() + 8;
        let rows = match self.listed("", limit).await {
            Ok(rows) => rows,
            Err(verdict) => return [Err(verdict), Err(Verdict::Skipped(Check::List))],
        };
        if is_written {
            [Ok(()), self.list_after_write(&rows, limit).await]
        } else {
            [Ok(()), Err(Verdict::Skipped(Check::Put))]
        }
    }

    async fn list_after_write(&self, rows: &[String], limit: usize) -> Step {
        if !rows.iter().any(|name| *name == self.name("plain")) {
            return Err(failed("what was just written is not listed"));
        }
        if rows.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(failed("names are not listed in the order of their bytes"));
        }
        let Some(first) = rows.first() else { return Err(failed("what was just written is not listed")) };
        if self.listed(first, limit).await? != rows[1..] {
            return Err(failed("a listing from a name on does not go on behind that name"));
        }
        Ok(())
    }

    async fn delete(&self, readable: bool) -> Step {
        let names = self.tally.written();
        self.patiently(|| {
            Box::pin(async {
                self.store.delete(&names).await.map_err(|error| match error {
                    DeleteError::Unavailable(reason) => Verdict::Unanswered(reason),
                    DeleteError::Refused(reason) => refused(Permission::Delete, reason),
                })
            })
        })
        .await?;
        if readable && self.get(&self.name("plain"), ReadRange::All).await?.is_some() {
            return Err(failed("an object that was deleted can still be read"));
        }
        Ok(())
    }

    pub(super) async fn create(&self, name: &str, content: Bytes) -> Result<(), CreateError> {
        self.tally.writes(name);
        let sample = Sample::of_put(content.len() as u64);
        self.tally.timed(self.runtime, |()| sample, self.store.create(name, content.into())).await
    }

    /// In one attempt.
    pub(super) async fn replace(&self, name: &str, content: impl Into<Body>) -> Result<(), ReplaceError> {
        self.tally.writes(name);
        let content = content.into();
        let sample = Sample::of_put(content.len());
        self.tally.timed(self.runtime, |()| sample, self.store.replace(name, content)).await
    }

    /// In one attempt.
    pub(super) async fn read(&self, name: &str, range: ReadRange) -> Result<Bytes, ReadError> {
        let sample = |bytes: &Bytes| Sample::of_get(bytes.len());
        self.tally.timed(self.runtime, sample, self.store.get(name, range)).await
    }

    async fn put(&self, name: &str, content: Bytes) -> Step {
        self.patiently(|| {
            let content = content.clone();
            Box::pin(async move {
                self.replace(name, content).await.map_err(|error| match error {
                    ReplaceError::Unknown(reason) | ReplaceError::Unavailable(reason) => Verdict::Unanswered(reason),
                    ReplaceError::Refused(reason) => refused(Permission::Put, reason),
                })
            })
        })
        .await
    }

    /// The content, or nothing if there is no such object.
    pub(super) async fn get(&self, name: &str, range: ReadRange) -> Result<Option<Bytes>, Verdict> {
        self.patiently(|| {
            Box::pin(async move {
                match self.read(name, range).await {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(ReadError::NotFound(_)) => Ok(None),
                    Err(ReadError::Unavailable(reason)) => Err(Verdict::Unanswered(reason)),
                    Err(ReadError::Refused(reason)) => Err(refused(Permission::Get, reason)),
                }
            })
        })
        .await
    }

    async fn reads_as(&self, name: &str, range: ReadRange, expected: &Bytes, otherwise: &str) -> Step {
        match self.get(name, range).await? {
            Some(found) if found == expected => Ok(()),
            Some(_) => Err(failed(otherwise)),
            None => Err(failed("what was just written is not found")),
        }
    }

    /// Names of this probe's folder that are greater than `after`.
    async fn listed(&self, after: &str, limit: usize) -> Result<Vec<String>, Verdict> {
        let prefix = self.name("");
        self.patiently(|| {
            let prefix = &prefix;
            Box::pin(async move {
                match self.store.list(prefix, after, limit).await {
                    Ok(rows) => Ok(rows.into_iter().map(|row| row.name).collect()),
                    Err(ReadError::Unavailable(reason)) => Err(Verdict::Unanswered(reason)),
                    Err(ReadError::NotFound(reason) | ReadError::Refused(reason)) => {
                        Err(refused(Permission::List, reason))
                    }
                }
            })
        })
        .await
    }

    /// Asks again while there is no answer.
    async fn patiently<'s, T>(&'s self, ask: impl Fn() -> BoxFuture<'s, Result<T, Verdict>>) -> Result<T, Verdict> {
        let mut attempt = 0;
        loop {
            match ask().await {
                Err(Verdict::Unanswered(_)) if attempt + 1 < TRIES => {
                    attempt += 1;
                    self.pause(attempt).await;
                }
                answer => return answer,
            }
        }
    }

    pub(super) async fn pause(&self, attempt: u32) {
        if attempt > 0 {
            self.runtime.sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
        }
    }
}

fn found(steps: impl Iterator<Item = (Check, Step)>) -> Vec<Finding> {
    steps.map(|(check, step)| Finding { check, verdict: step.err().unwrap_or(Verdict::Passed) }).collect()
}

pub(super) fn failed(reason: &str) -> Verdict {
    Verdict::Failed(reason.to_owned())
}

/// A refusal: for want of a permission, or of the thing itself. The stores' texts carry the status of HTTP; a wrong clock
/// has that of a permission, and no policy helps against it.
pub(super) fn refused(permission: Permission, reason: String) -> Verdict {
    let denied = ["HTTP 401", "HTTP 403", "AccessDenied"].iter().any(|mark| reason.contains(mark));
    let is_late = reason.contains("RequestTimeTooSkewed");
    if denied && !is_late { Verdict::Denied(permission, reason) } else { Verdict::Failed(reason) }
}
