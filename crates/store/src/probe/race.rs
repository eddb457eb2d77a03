//! Racing creates: of all who create one name at the same time one wins, and its object stands.
//!
//! A server that looks for the object and writes it later lets several win, if the second looks before the first has written.
//! Alone it is never caught. A round misses it when one writer is done before the others are sent, and what holds these up
//! lasts for a moment: rounds that run at that time are missed together. So they run one after the other, and more writers
//! in one round help little. Long bodies help where a server far away looks before it takes the body. What was measured
//! is in `docs/storage/README.md`.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Permission, Verdict, latency,
    steps::{Step, Steps, TRIES, failed, refused},
};
use crate::{CreateError, ReadRange};

/// Rounds of racing creates that run at the same time, each for a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bout {
    /// How many.
    pub rounds: u32,
    /// Writers in each.
    pub racers: u32,
    /// Bytes that each writes.
    pub bytes: u32,
}

/// A round that had one winner.
struct Won {
    name: String,
    bodies: Vec<Bytes>,
    winner: usize,
}

impl Steps<'_> {
    /// One bout after the other, until one shows several winners; what stands is read last, all at once.
    pub(super) async fn races(&self) -> Step {
        let mut won = Vec::new();
        for (number, bout) in self.plan.bouts.iter().enumerate() {
            let rounds =
                join_all((0..bout.rounds).map(|round| self.round(format!("race/{number}-{round}"), *bout))).await;
            let mut decided = false;
            let mut last = Ok(());
            for round in rounds {
                match round {
                    Ok(round) => {
                        decided = true;
                        won.push(round);
                    }
                    Err(Verdict::Unanswered(reason)) => last = Err(Verdict::Unanswered(reason)),
                    Err(verdict) => return Err(verdict),
                }
            }
            if !decided {
                last?;
            }
        }
        let stand = join_all(won.iter().map(|won| self.stands(won))).await;
        let is_open = |step: &Step| matches!(step, Err(Verdict::Unanswered(_)));
        match stand.iter().find(|step| step.is_err() && !is_open(step)) {
            Some(wrong) => wrong.clone(),
            // One that was read is enough: an answer that never came proves nothing.
            None if stand.iter().any(Result::is_ok) => Ok(()),
            None => stand.into_iter().find(is_open).unwrap_or(Ok(())),
        }
    }

    /// One race, under other names until somebody wins it.
    async fn round(&self, rest: String, bout: Bout) -> Result<Won, Verdict> {
        let mut last = Verdict::Unanswered(String::new());
        for attempt in 0..TRIES {
            self.pause(attempt).await;
            let name = self.name(&format!("{rest}-{attempt}"));
            match self.contest(name, bout).await {
                Err(verdict @ Verdict::Unanswered(_)) => last = verdict,
                decided => return decided,
            }
        }
        Err(last)
    }

    async fn contest(&self, name: String, bout: Bout) -> Result<Won, Verdict> {
        let bodies: Vec<_> = (0..bout.racers).map(|_| latency::noise(self.runtime, bout.bytes as usize)).collect();
        let creates = bodies.iter().map(|body| self.create(&name, body.clone()));
        let said = join_all(creates).await;
        let winners: Vec<_> = (0..said.len()).filter(|racer| said[*racer].is_ok()).collect();
        match winners[..] {
            [winner] => Ok(Won { name, bodies, winner }),
            [] => match said.into_iter().flat_map(Result::err).find(|error| *error != CreateError::AlreadyExists) {
                Some(CreateError::Refused(reason)) => Err(refused(Permission::Put, reason)),
                Some(error) => Err(Verdict::Unanswered(error.to_string())),
                // S3 may tell all of them that there was a conflict.
                None => Err(Verdict::Unanswered("nobody won the race".to_owned())),
            },
            _ => Err(failed(&format!(
                "{} of {} racing creates of one name were confirmed: writers overwrite each other",
                winners.len(),
                bout.racers
            ))),
        }
    }

    /// Whether the winner's object is the one that is there.
    async fn stands(&self, won: &Won) -> Step {
        match self.get(&won.name, ReadRange::All).await? {
            Some(stands) if stands == won.bodies[won.winner] => Ok(()),
            Some(other) if won.bodies.contains(&other) => {
                Err(failed("the object of the one who won a race was replaced by another's"))
            }
            _ => Err(Verdict::Unanswered("what was raced for reads as something that nobody wrote".to_owned())),
        }
    }
}
