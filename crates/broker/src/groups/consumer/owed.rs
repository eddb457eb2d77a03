//! Answers that wait until what they tell is saved.

use tokio::sync::oneshot;

use super::{Answer, Error};
use crate::groups::classic::{JoinAnswer, Joined, SyncAnswer, Synced};

/// Who is told what.
#[derive(Debug)]
pub enum Owed {
    /// The answer to a heartbeat.
    Beat(oneshot::Sender<Result<Answer, Error>>, Answer),
    /// To a JoinGroup.
    Join(oneshot::Sender<JoinAnswer>, Joined),
    /// To a SyncGroup.
    Sync(oneshot::Sender<SyncAnswer>, Synced),
}

impl Owed {
    /// It is saved.
    pub fn pay(self) {
        match self {
            Self::Beat(waiting, answer) => drop(waiting.send(Ok(answer))),
            Self::Join(waiting, joined) => drop(waiting.send(Ok(joined))),
            Self::Sync(waiting, synced) => drop(waiting.send(Ok(synced))),
        }
    }

    /// It is not.
    pub fn refuse(self, error: Error) {
        match self {
            Self::Beat(waiting, _) => drop(waiting.send(Err(error))),
            Self::Join(waiting, joined) => drop(waiting.send(Err((error, joined.member_id)))),
            Self::Sync(waiting, _) => drop(waiting.send(Err(error))),
        }
    }

    /// The group has become a classic one: who speaks the classic protocol joins that, and the others are gone.
    pub fn give_way(self) {
        match self {
            Self::Beat(_, Answer { epoch: ..0, .. }) => self.pay(),
            Self::Beat(..) => self.refuse(Error::UnknownMember),
            Self::Join(..) | Self::Sync(..) => self.refuse(Error::RebalanceInProgress),
        }
    }
}
