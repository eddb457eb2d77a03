//! Who writes: the cluster, the feature level, sessions and brokers.

use std::sync::Arc;

use super::FrameFacts;
use crate::State;
use crate::broker::Broker;
use crate::entry::{BrokerGone, BrokerJoined, Cluster, FeatureLevel, Sequencer};
use crate::limits::{BROKERS_MAX, SETTING_NAME_BYTES_MAX};
use crate::verdict::{Refused, Verdict};

impl State {
    pub(super) fn apply_cluster(&mut self, entry: &Cluster) -> Result<Verdict, Refused> {
        if self.cluster_id.is_some_and(|cluster_id| cluster_id != entry.cluster_id) {
            return Err(Refused::OtherCluster);
        }
        self.cluster_id = Some(entry.cluster_id);
        Ok(Verdict::Done)
    }

    pub(super) fn apply_feature_level(&mut self, entry: &FeatureLevel) -> Result<Verdict, Refused> {
        if entry.level < self.feature_level {
            return Err(Refused::FeatureLevelLower);
        }
        self.feature_level = entry.level;
        Ok(Verdict::Done)
    }

    pub(super) fn apply_sequencer(&mut self, facts: FrameFacts, entry: &Sequencer) -> Result<Verdict, Refused> {
        // Only its own session can take over: else it would make its own later frames void.
        if entry.session != facts.session || entry.session <= self.session {
            return Err(Refused::SessionOver);
        }
        self.session = entry.session;
        let brokers = Arc::make_mut(&mut self.brokers);
        brokers.live = brokers.live.split_off(&entry.session);
        brokers.gone = brokers.gone.split_off(&entry.session);
        Ok(Verdict::Done)
    }

    pub(super) fn apply_broker_joined(&mut self, facts: FrameFacts, entry: &BrokerJoined) -> Result<Verdict, Refused> {
        if entry.feature_level_known < self.feature_level {
            return Err(Refused::FeatureLevelUnknown);
        }
        let rack = entry.rack.as_deref();
        let too_long = entry.host.len().max(rack.map_or(0, str::len)) > SETTING_NAME_BYTES_MAX;
        if entry.node_id < 0 || entry.host.is_empty() || too_long {
            return Err(Refused::InvalidName);
        }
        let newer =
            self.brokers.live.values().any(|live| live.node_id == entry.node_id && live.session > entry.session);
        if newer || self.is_session_over(entry.session) {
            return Err(Refused::SessionOver);
        }
        let brokers = Arc::make_mut(&mut self.brokers);
        if brokers.live.len() + brokers.gone.len() >= BROKERS_MAX {
            return Err(Refused::TooManyBrokers);
        }
        let ended: Vec<u64> = brokers
            .live
            .values()
            .filter(|live| live.node_id == entry.node_id && live.session < entry.session)
            .map(|live| live.session)
            .collect();
        for session in ended {
            brokers.live.remove(&session);
            brokers.gone.insert(session);
        }
        // A session that joins again (at another address) gives its seat back first.
        brokers.live.remove(&entry.session);
        let seat = brokers.free_seat(rack);
        let broker = Broker {
            session: entry.session,
            node_id: entry.node_id,
            host: entry.host.clone(),
            port: entry.port,
            rack: entry.rack.clone(),
            seat,
            joined_at: facts.position,
        };
        brokers.live.insert(entry.session, broker);
        Ok(Verdict::BrokerJoined { seat })
    }

    pub(super) fn apply_broker_gone(&mut self, entry: &BrokerGone) -> Result<Verdict, Refused> {
        if !self.brokers.live.contains_key(&entry.session) {
            return Err(Refused::UnknownSession);
        }
        let brokers = Arc::make_mut(&mut self.brokers);
        brokers.live.remove(&entry.session);
        brokers.gone.insert(entry.session);
        Ok(Verdict::Done)
    }
}
