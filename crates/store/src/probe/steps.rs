//! The questions themselves. Chains that do not build on each other run beside each other, so that a probe costs
//! few round trips.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{join, join_all};
use kafscale_runtime::{BoxFuture, Handle};

use super::{Check, Finding, Latency, Permission, Plan, Verdict, latency};
use crate::{Body, CreateError, DeleteError, ReadError, ReadRange, ReplaceError, Store};

/// How often a question is asked that got no answer.
const TRIES: u32 = 4;
/// The first pause between tries; it doubles.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes of the object whose parts are read.
const PLAIN: usize = 64 << 10;

type Step = Result<(), Verdict>;

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
}

impl Steps<'_> {
    /// Everything, in the order of [`Check::ALL`].
    pub(super) async fn all(&self) -> (Vec<Finding>, Option<Latency>) {
        let (mut findings, first) = join(self.creates(), self.first()).await;
        let (others, latency) = self.others(first).await;
        findings.extend(others);
        findings.sort_unstable_by_key(|finding| finding.check);
        (findings, latency)
    }

    /// What create-if-absent is worth here: three round trips.
    pub(super) async fn creates(&self) -> Vec<Finding> {
        let ([create, once], race) = join(self.once(), self.races()).await;
        found(CREATES.into_iter().zip([create, once, race]))
    }

    /// What builds on nothing: a listing, and the life of one object.
    pub(super) async fn first(&self) -> (Step, [Step; 4]) {
        join(self.list(), self.plain(latency::noise(self.runtime, PLAIN))).await
    }

    /// What builds on that and on the creates; in the end all that was written is deleted.
    pub(super) async fn others(&self, (list, plain): (Step, [Step; 4])) -> (Vec<Finding>, Option<Latency>) {
        let [put, get, ranges, overwrite] = plain;
        let readable = put.is_ok() && get.is_ok();
        let list_after_write = match (&list, &put) {
            (Err(_), _) => Err(Verdict::Skipped(Check::List)),
            (_, Err(_)) => Err(Verdict::Skipped(Check::Put)),
            _ => self.list_after_write().await,
        };
        let mut written = self.written();
        let latency = if readable && self.plan.samples > 0 {
            let Plan { samples, large, .. } = self.plan;
            latency::measure(self.store, self.runtime, self.folder, samples, large, &mut written).await
        } else {
            None
        };
        // What was denied may have been written all the same, so it is deleted in any case.
        let delete = self.delete(&written, get.is_ok()).await;
        let steps = [list, put, get, ranges, list_after_write, overwrite, delete];
        (found(OTHERS.into_iter().zip(steps)), latency)
    }

    /// Whether anything can be written, with no condition.
    pub(super) async fn any_put(&self) -> Step {
        self.put(&self.name("plain"), Bytes::from_static(b"anything")).await
    }

    /// Deletes what the creates wrote; what is left behind does no harm.
    pub(super) async fn clean(&self) {
        let _ = self.delete(&self.written(), false).await;
    }

    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.folder)
    }

    fn race_name(&self, round: u32) -> String {
        self.name(&format!("race/{round}"))
    }

    /// Every name that is written, but for those of the measurements.
    fn written(&self) -> Vec<String> {
        let races = (0..self.plan.races).map(|round| self.race_name(round));
        ["plain", "once"].into_iter().map(|rest| self.name(rest)).chain(races).collect()
    }

    async fn list(&self) -> Step {
        self.listed("", 1).await.map(drop)
    }

    /// A write, a read, reads of parts, a write over it.
    async fn plain(&self, content: Bytes) -> [Step; 4] {
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
            match self.store.create(name, content.clone().into()).await {
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
            let said = self.store.create(name, second.clone().into()).await;
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

    /// All rounds at the same time: every one has a name of its own.
    async fn races(&self) -> Step {
        let rounds = join_all((0..self.plan.races).map(|round| self.race(round))).await;
        let mut undecided = None;
        let mut decided = self.plan.races == 0;
        for round in rounds {
            match round {
                Ok(()) => decided = true,
                Err(Verdict::Unanswered(reason)) => undecided = Some(reason),
                Err(verdict) => return Err(verdict),
            }
        }
        match undecided {
            Some(reason) if !decided => Err(Verdict::Unanswered(reason)),
            _ => Ok(()),
        }
    }

    async fn race(&self, round: u32) -> Step {
        let name = self.race_name(round);
        let bodies: Vec<_> = (0..self.plan.racers).map(|racer| Bytes::from(format!("racer {racer}"))).collect();
        let said = join_all(bodies.iter().map(|body| self.store.create(&name, body.clone().into()))).await;
        let stands = self.get(&name, ReadRange::All).await?;
        let winners: Vec<_> = bodies.iter().zip(&said).filter(|(_, said)| said.is_ok()).map(|(body, _)| body).collect();
        match (winners.as_slice(), &stands) {
            ([winner], Some(stands)) if *winner == stands => Ok(()),
            ([_], Some(other)) if bodies.contains(other) => {
                Err(failed("the object of the one who won a race was replaced by another's"))
            }
            ([_], _) => Err(Verdict::Unanswered("what was raced for reads as something that nobody wrote".to_owned())),
            ([], _) => {
                match said.into_iter().flat_map(Result::err).find(|error| *error != CreateError::AlreadyExists) {
                    Some(CreateError::Refused(reason)) => Err(refused(Permission::Put, reason)),
                    Some(error) => Err(Verdict::Unanswered(error.to_string())),
                    // S3 may tell all of them that there was a conflict.
                    None => Err(Verdict::Unanswered("nobody won the race".to_owned())),
                }
            }
            (winners, _) => Err(failed(&format!(
                "{} of {} racing creates of one name were confirmed: writers overwrite each other",
                winners.len(),
                self.plan.racers
            ))),
        }
    }

    async fn list_after_write(&self) -> Step {
        let mut expected: Vec<_> = self.written();
        expected.sort_unstable();
        let rows = self.listed("", expected.len() + 8).await?;
        if !rows.iter().any(|name| *name == self.name("plain")) {
            return Err(failed("what was just written is not listed"));
        }
        if rows.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(failed("names are not listed in the order of their bytes"));
        }
        let Some(first) = rows.first() else { return Err(failed("what was just written is not listed")) };
        let rest = self.listed(first, expected.len() + 8).await?;
        if rest != rows[1..] {
            return Err(failed("a listing from a name on does not go on behind that name"));
        }
        Ok(())
    }

    async fn delete(&self, names: &[String], readable: bool) -> Step {
        self.patiently(|| {
            Box::pin(async {
                self.store.delete(names).await.map_err(|error| match error {
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

    async fn put(&self, name: &str, content: Bytes) -> Step {
        self.patiently(|| {
            let body = Body::from(content.clone());
            Box::pin(async move {
                self.store.replace(name, body).await.map_err(|error| match error {
                    ReplaceError::Unknown(reason) | ReplaceError::Unavailable(reason) => Verdict::Unanswered(reason),
                    ReplaceError::Refused(reason) => refused(Permission::Put, reason),
                })
            })
        })
        .await
    }

    /// The content, or nothing if there is no such object.
    async fn get(&self, name: &str, range: ReadRange) -> Result<Option<Bytes>, Verdict> {
        self.patiently(|| {
            Box::pin(async move {
                match self.store.get(name, range).await {
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

    async fn pause(&self, attempt: u32) {
        if attempt > 0 {
            self.runtime.sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
        }
    }
}

fn found(steps: impl Iterator<Item = (Check, Step)>) -> Vec<Finding> {
    steps.map(|(check, step)| Finding { check, verdict: step.err().unwrap_or(Verdict::Passed) }).collect()
}

fn failed(reason: &str) -> Verdict {
    Verdict::Failed(reason.to_owned())
}

/// A refusal: for want of a permission, or of the thing itself. The stores' texts carry the status of HTTP; a wrong clock
/// has that of a permission, and no policy helps against it.
fn refused(permission: Permission, reason: String) -> Verdict {
    let denied = ["HTTP 401", "HTTP 403", "AccessDenied"].iter().any(|mark| reason.contains(mark));
    let is_late = reason.contains("RequestTimeTooSkewed");
    if denied && !is_late { Verdict::Denied(permission, reason) } else { Verdict::Failed(reason) }
}
