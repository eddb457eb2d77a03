//! A member of a classic group, in memory.

use std::time::Duration;

use bytes::Bytes;
use kafscale_runtime::Instant;
use kafscale_state::group;
use tokio::sync::oneshot;

use super::{JoinAnswer, SyncAnswer};
use crate::groups::{Error, STALE};

/// What a member says to each protocol that it supports, in the order of its preference.
pub type Protocols = Vec<(String, Bytes)>;

/// See the module.
#[derive(Debug)]
pub struct Member {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`, for a static member.
    pub instance_id: Option<String>,
    /// As its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub client_host: String,
    /// After so much silence it is removed.
    pub session_timeout: Duration,
    /// So long it may take to join again.
    pub rebalance_timeout: Duration,
    /// What it supports.
    pub protocols: Protocols,
    /// What it was given last.
    pub assignment: Bytes,
    /// It was never part of a generation: nobody but a timer will notice if its client is gone.
    pub is_new: bool,
    /// Without a sign of life it is removed then.
    pub expires: Instant,
    /// Its JoinGroup, while that waits.
    pub join: Option<oneshot::Sender<JoinAnswer>>,
    /// Its SyncGroup, while that waits.
    pub sync: Option<oneshot::Sender<SyncAnswer>>,
}

impl Member {
    /// As it was saved, with a fresh session timeout from the last moment at which the broker before may have heard it.
    pub fn load(saved: &group::Member, protocol: &str, now: Instant) -> Self {
        let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let session_timeout = millis(saved.session_timeout_ms);
        Self {
            id: saved.id.clone(),
            instance_id: saved.instance_id.clone(),
            client_id: saved.client_id.clone(),
            client_host: saved.client_host.clone(),
            session_timeout,
            rebalance_timeout: millis(saved.rebalance_timeout_ms),
            protocols: vec![(protocol.to_owned(), Bytes::copy_from_slice(&saved.metadata))],
            assignment: Bytes::copy_from_slice(&saved.assignment),
            is_new: false,
            expires: now + STALE + session_timeout,
            join: None,
            sync: None,
        }
    }

    /// As it is saved under the chosen protocol.
    pub fn save(&self, protocol: &str, assignment: &[u8]) -> group::Member {
        let millis = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        group::Member {
            id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            session_timeout_ms: millis(self.session_timeout),
            rebalance_timeout_ms: millis(self.rebalance_timeout),
            metadata: self.metadata(protocol).to_vec(),
            assignment: assignment.to_vec(),
        }
    }

    /// What it says to a protocol; nothing if it does not support it.
    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    /// It has shown that it lives.
    pub fn alive(&mut self, now: Instant) {
        self.expires = now + self.session_timeout;
    }

    /// When it is removed if nothing is heard of it. A member that waits for the others is alive, unless it is new.
    pub fn removed_at(&self) -> Option<Instant> {
        let waits = self.join.is_some() || self.sync.is_some();
        (self.is_new || !waits).then_some(self.expires)
    }

    /// Tells whoever waits for it why that was in vain.
    pub fn refuse(&mut self, error: Error) {
        if let Some(join) = self.join.take() {
            let _ = join.send(Err((error, self.id.clone())));
        }
        if let Some(sync) = self.sync.take() {
            let _ = sync.send(Err(error));
        }
    }

    /// What it weighs towards the bounds.
    pub fn weight(&self) -> u64 {
        let texts = self.id.len() + self.instance_id.as_ref().map_or(0, String::len) + self.client_id.len();
        let protocols: usize = self.protocols.iter().map(|(name, metadata)| 32 + name.len() + metadata.len()).sum();
        256 + (texts + self.client_host.len() + protocols + self.assignment.len()) as u64
    }
}
