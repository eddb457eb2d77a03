//! The client's side of an incremental fetch session (KIP-227), as stock clients keep it.
//!
//! The first request names every partition; later ones only those whose offset has changed, are new, or are no longer
//! wanted. What an answer leaves out has nothing new. Any refusal, and any lost connection, begins a new session.

use std::collections::BTreeMap;

use kafscale_protocol::ErrorCode;

use crate::history::Place;

/// A partition, by its number with this client.
pub type Index = usize;

/// See the module.
#[derive(Debug, Default)]
pub struct FetchSession {
    id: i32,
    /// The epoch of the next request.
    epoch: i32,
    /// What the broker has been told.
    told: BTreeMap<Index, Place>,
}

/// What a request carries.
#[derive(Debug, PartialEq, Eq)]
pub struct Ask {
    /// The session's id.
    pub id: i32,
    /// Its epoch.
    pub epoch: i32,
    /// The partitions to name.
    pub named: Vec<Index>,
    /// The partitions that are no longer wanted.
    pub forgotten: Vec<Index>,
}

impl FetchSession {
    /// Whether the next request goes on with a session.
    pub fn is_open(&self) -> bool {
        self.epoch != 0
    }

    /// The request that asks for these.
    pub fn ask(&mut self, wanted: &BTreeMap<Index, Place>) -> Ask {
        let told = if self.is_open() { std::mem::take(&mut self.told) } else { BTreeMap::new() };
        let named = wanted.iter().filter(|(index, at)| told.get(index) != Some(at)).map(|(index, _)| *index).collect();
        let forgotten = told.into_keys().filter(|index| !wanted.contains_key(index)).collect();
        self.told = wanted.clone();
        Ask { id: self.id, epoch: self.epoch, named, forgotten }
    }

    /// The request was answered, and the answer carries this id.
    pub fn answered(&mut self, id: i32) {
        self.epoch = if id == 0 { 0 } else { self.epoch.checked_add(1).unwrap_or(1) };
        self.id = id;
    }

    /// The request was refused.
    pub fn refused(&mut self, error: ErrorCode) {
        if error == ErrorCode::FetchSessionIdNotFound {
            self.id = 0;
        }
        self.epoch = 0;
    }

    /// The connection was lost: what there was is closed by the request that begins the next one.
    pub fn lost(&mut self) {
        self.epoch = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_and_a_refusal_begins_anew() {
        let mut session = FetchSession::default();
        let wanted = BTreeMap::from([(0, 0), (1, 0)]);
        assert_eq!(session.ask(&wanted), Ask { id: 0, epoch: 0, named: vec![0, 1], forgotten: vec![] });
        session.answered(7);
        assert_eq!(session.ask(&wanted), Ask { id: 7, epoch: 1, named: vec![], forgotten: vec![] });
        session.answered(7);
        let wanted = BTreeMap::from([(1, 4)]);
        assert_eq!(session.ask(&wanted), Ask { id: 7, epoch: 2, named: vec![1], forgotten: vec![0] });
        session.refused(ErrorCode::InvalidFetchSessionEpoch);
        assert_eq!(session.ask(&wanted), Ask { id: 7, epoch: 0, named: vec![1], forgotten: vec![] });
        session.refused(ErrorCode::FetchSessionIdNotFound);
        assert_eq!(session.ask(&wanted).id, 0);
    }
}
