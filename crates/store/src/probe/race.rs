//! Racing creates: of all who create one name at the same time one wins, and its object stands.
//!
//! A server that looks for the object and writes it later lets several win, if the second looks before the first has written.
//! Alone it is never caught, and seldom by writers that are sent one after the other; so these wait for each other at a line
//! ([`Racer`]). How often such a server is missed is in `docs/storage/README.md`.

use bytes::Bytes;
use futures_util::future::join_all;

use super::{
    Permission, Verdict, latency,
    steps::{Step, Steps, TRIES, failed, refused},
};
use crate::{Body, CreateError, Racer, ReadRange};

/// Creates of one name that race.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Race {
    /// How many.
    pub racers: u32,
    /// Bytes that each writes.
    pub bytes: u32,
}

/// A race that had one winner.
struct Won {
    name: String,
    bodies: Vec<Bytes>,
    winner: usize,
}

impl Steps<'_> {
    /// One race after the other, until one shows several winners; what stands is read last, all at once.
    pub(super) async fn races(&self) -> Step {
        let mut won = Vec::new();
        for (number, race) in self.plan.races.iter().enumerate() {
            won.push(self.race(format!("race/{number}"), *race).await?);
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
    async fn race(&self, rest: String, race: Race) -> Result<Won, Verdict> {
        let mut last = Verdict::Unanswered(String::new());
        for attempt in 0..TRIES {
            self.pause(attempt).await;
            let name = self.name(&format!("{rest}-{attempt}"));
            match self.contest(name, race).await {
                Err(verdict @ Verdict::Unanswered(_)) => last = verdict,
                decided => return decided,
            }
        }
        Err(last)
    }

    async fn contest(&self, name: String, race: Race) -> Result<Won, Verdict> {
        let bodies: Vec<_> = (0..race.racers).map(|_| latency::noise(self.runtime, race.bytes as usize)).collect();
        let racers = Racer::line_up(self.runtime, race.racers);
        let creates = bodies.iter().zip(racers).map(|(body, racer)| {
            let body = Body::from(body.clone()).raced_by(racer);
            self.tally.writes(&name);
            self.store.create(&name, body)
        });
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
                race.racers
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
