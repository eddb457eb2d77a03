//! A client of either protocol: what it is, and what it makes of what it is told.

use bytes::Bytes;
use kafscale_state::{State, group::Partitions};
use tokio::sync::oneshot::Receiver;

use crate::groups::{
    Error,
    classic::{JoinAnswer, SyncAnswer},
    consumer::Answer,
    subscription::{self, Subscription, write_assignment},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    Consumer,
    /// Classic; gives up everything before it joins.
    Eager,
    /// Classic; keeps what it owns.
    Cooperative,
}

/// What a client waits for.
#[derive(Debug, Default)]
pub enum Wait {
    #[default]
    Nothing,
    Beat(Receiver<Result<Answer, Error>>),
    Join(Receiver<JoinAnswer>),
    Sync(Receiver<SyncAnswer>),
}

#[derive(Debug)]
pub struct Client {
    pub speech: Speech,
    pub instance: Option<String>,
    pub topics: Vec<&'static str>,
    pub id: String,
    /// Epoch or generation.
    pub epoch: i32,
    pub owned: Partitions,
    pub must_join: bool,
    pub wait: Wait,
}

impl Client {
    pub fn waits(&mut self, wait: Wait) -> bool {
        self.wait = wait;
        true
    }

    pub fn beaten(&mut self, answer: Result<Answer, Error>) -> bool {
        match answer {
            Ok(answer) => {
                self.epoch = answer.epoch;
                self.owned = answer.assignment.unwrap_or(std::mem::take(&mut self.owned));
                true
            }
            Err(Error::UnknownMember | Error::FencedMemberEpoch | Error::GroupNotFound) => {
                (self.epoch, self.owned) = (0, Partitions::new());
                true
            }
            Err(Error::NotCoordinator) => true,
            Err(Error::UnreleasedInstance | Error::FencedInstance) => false,
            Err(other) => panic!("{self:?}: {other}"),
        }
    }

    /// A client of the classic protocol hears an error.
    pub fn told(&mut self, error: Error) -> bool {
        self.must_join = true;
        match error {
            Error::RebalanceInProgress | Error::NotCoordinator => {}
            Error::UnknownMember => (self.id, self.owned) = (String::new(), Partitions::new()),
            Error::IllegalGeneration => self.owned.clear(),
            Error::FencedInstance => return false,
            other => panic!("{self:?}: {other}"),
        }
        true
    }
}

/// A subscription in version 1.
pub fn words(client: &Client, state: &State) -> Bytes {
    let mut words = vec![0, 1];
    words.extend_from_slice(&(client.topics.len() as u32).to_be_bytes());
    for topic in &client.topics {
        words.extend_from_slice(&(topic.len() as u16).to_be_bytes());
        words.extend_from_slice(topic.as_bytes());
    }
    words.extend_from_slice(&(-1_i32).to_be_bytes());
    let owned = write_assignment(1, &client.owned, state);
    words.extend_from_slice(&owned[2..owned.len() - 4]);
    words.into()
}

/// A cooperative leader: every topic is shared out, and what others own still is given to nobody.
pub fn lead(members: &[(String, Bytes)], state: &State) -> Vec<(String, Bytes)> {
    let read: Vec<Subscription<'_>> =
        members.iter().map(|(_, said)| Subscription::read(said).expect("a subscription")).collect();
    let owned: Vec<Partitions> = read.iter().map(|read| subscription::existing(&read.owned, state)).collect();
    let mut given = vec![Partitions::new(); members.len()];
    for topic in state.topics() {
        let readers: Vec<usize> = (0..read.len()).filter(|at| read[*at].topics.contains(topic.name())).collect();
        for (at, handle) in readers.iter().cycle().zip(topic.handles()) {
            let is_taken = owned.iter().enumerate().any(|(other, owned)| other != *at && owned.contains(&handle));
            if !is_taken {
                given[*at].insert(handle);
            }
        }
    }
    let given = given.iter().map(|given| Bytes::from(write_assignment(1, given, state)));
    members.iter().map(|(id, _)| id.clone()).zip(given).collect()
}
