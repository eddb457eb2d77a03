//! One connection's side of the broker, without its socket.

use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use kafscale_protocol::{ApiKey, RequestHeader};
use kafscale_runtime::BoxFuture;
use tokio::sync::Mutex;

use super::{
    Answer, Call, Refusal, acls, alter_configs, api_versions, consumer_group_describe, consumer_group_heartbeat,
    create_partitions, create_topics, delegation_tokens, delete_groups, delete_records, delete_topics,
    describe_cluster, describe_configs, describe_groups, describe_producers, describe_quorum,
    describe_topic_partitions, features, fetch, find_coordinator, heartbeat, init_producer_id, join_group, leave_group,
    list_config_resources, list_groups, list_offsets, log_dirs, metadata, offset_commit, offset_delete, offset_fetch,
    offset_for_leader_epoch, produce, quotas, reassignments, scram, sync_group, telemetry, unregister_broker,
};
use crate::{Broker, ConnectionId, Settings};

/// Characters that are kept of the name of a client's software, and of its version.
const SOFTWARE_CHARS_MAX: usize = 64;

/// See the module. Dropping it tells the write path that the connection is gone.
pub struct Session {
    broker: Arc<Broker>,
    id: ConnectionId,
    host: String,
    software: OnceLock<(String, String)>,
    fetches: Arc<Mutex<()>>,
}

impl Session {
    pub(crate) fn new(broker: Arc<Broker>, id: ConnectionId, host: &str) -> Self {
        Self { broker, id, host: host.to_owned(), software: OnceLock::new(), fetches: Arc::default() }
    }

    /// The broker.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// The broker's settings.
    pub fn settings(&self) -> &Settings {
        self.broker.settings()
    }

    /// Which connection this is.
    pub fn id(&self) -> ConnectionId {
        self.id
    }

    /// Where the client is, as Kafka's tools show it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What the client called its software when it asked for ApiVersions, and the version; empty before.
    pub fn software(&self) -> (&str, &str) {
        self.software.get().map_or(("", ""), |(name, version)| (name, version))
    }

    /// The client says what its software is; the first word counts.
    pub(super) fn set_software(&self, name: &str, version: &str) {
        // A connection must not keep much of what it says.
        let kept = |text: &str| text.chars().take(SOFTWARE_CHARS_MAX).collect();
        self.software.get_or_init(|| (kept(name), kept(version)));
    }

    /// Held by a Fetch from its start until its answer has left, so that a peer that does not read holds no more than one.
    pub(crate) fn fetches(&self) -> &Arc<Mutex<()>> {
        &self.fetches
    }

    /// Takes one request (without its length). Produce has taken its place in the write path when this returns; the
    /// future is its answer, which must be sent in the order of the requests.
    pub fn on_frame(self: &Arc<Self>, frame: BytesMut) -> BoxFuture<'static, Answer> {
        match self.begin(frame) {
            Ok(answer) => answer,
            Err(refusal) => Box::pin(async move { Answer::Close(refusal.to_string()) }),
        }
    }

    fn begin(self: &Arc<Self>, frame: BytesMut) -> Result<BoxFuture<'static, Answer>, Refusal> {
        let (header, body) = RequestHeader::read(&frame)?;
        let body_at = frame.len() - body.len();
        let started = self.broker.runtime().now();
        let Some(api) = ApiKey::from_code(header.api_key) else {
            return Err(Refusal::Closed(format!("api key {} is not served", header.api_key)));
        };
        if api == ApiKey::ApiVersions && !api.facts().serves(header.api_version) {
            let answer = api_versions::unsupported(&header)?;
            return Ok(Box::pin(async move { answer }));
        }
        if !api.facts().serves(header.api_version) {
            return Ok(unsupported(api, &header));
        }
        let answer = if api == ApiKey::Produce {
            produce::begin(self, frame, body_at)?
        } else {
            let call = Call::new(api, &header, Bytes::new(), body_at).with_frame(frame.freeze());
            let session = Arc::clone(self);
            Box::pin(async move { dispatch(session, call).await })
        };
        let session = Arc::clone(self);
        Ok(Box::pin(async move {
            let answer = answer.await;
            let broker = &session.broker;
            let took = broker.runtime().now().saturating_sub(started);
            broker.metrics().request(api, took);
            match answer {
                Ok(answer) => answer,
                Err(refusal) => {
                    if let Refusal::Unanswerable(error) = &refusal {
                        tracing::error!(api = api.facts().name, %error, "an answer could not be encoded");
                    }
                    Answer::Close(format!("{}: {refusal}", api.facts().name))
                }
            }
        }))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.broker.writer().closed(self.id);
    }
}

/// A version that is not served is answered as Kafka does: by closing the connection, with the reason in the log.
fn unsupported(api: ApiKey, header: &RequestHeader<'_>) -> BoxFuture<'static, Answer> {
    let reason = format!("{} version {} is not served", api.facts().name, header.api_version);
    Box::pin(async move { Answer::Close(reason) })
}

async fn dispatch(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    match call.api {
        ApiKey::Produce => unreachable!("Produce takes its place before any await"),
        ApiKey::Fetch => fetch::handle(session, call).await,
        ApiKey::ListOffsets => list_offsets::handle(session, call).await,
        ApiKey::Metadata => metadata::handle(session, call).await,
        ApiKey::ApiVersions => api_versions::handle(session, call).await,
        ApiKey::AlterClientQuotas => quotas::handle_alter(session, call).await,
        ApiKey::AlterConfigs => alter_configs::handle(session, call).await,
        ApiKey::AlterPartitionReassignments => reassignments::handle_alter(session, call).await,
        ApiKey::AlterReplicaLogDirs => log_dirs::handle_alter(session, call).await,
        ApiKey::AlterUserScramCredentials => scram::handle_alter(session, call).await,
        ApiKey::CreateAcls => acls::handle_create(session, call).await,
        ApiKey::CreateDelegationToken => delegation_tokens::handle_create(session, call).await,
        ApiKey::CreatePartitions => create_partitions::handle(session, call).await,
        ApiKey::CreateTopics => create_topics::handle(session, call).await,
        ApiKey::DeleteAcls => acls::handle_delete(session, call).await,
        ApiKey::DeleteRecords => delete_records::handle(session, call).await,
        ApiKey::DeleteTopics => delete_topics::handle(session, call).await,
        ApiKey::DescribeAcls => acls::handle_describe(session, call).await,
        ApiKey::DescribeClientQuotas => quotas::handle_describe(session, call).await,
        ApiKey::DescribeCluster => describe_cluster::handle(session, call).await,
        ApiKey::DescribeConfigs => describe_configs::handle(session, call).await,
        ApiKey::DescribeDelegationToken => delegation_tokens::handle_describe(session, call).await,
        ApiKey::DescribeLogDirs => log_dirs::handle(session, call).await,
        ApiKey::DescribeProducers => describe_producers::handle(session, call).await,
        ApiKey::DescribeQuorum => describe_quorum::handle(session, call).await,
        ApiKey::DescribeTopicPartitions => describe_topic_partitions::handle(session, call).await,
        ApiKey::DescribeUserScramCredentials => scram::handle_describe(session, call).await,
        ApiKey::ElectLeaders => reassignments::handle_elect(session, call).await,
        ApiKey::ExpireDelegationToken => delegation_tokens::handle_expire(session, call).await,
        ApiKey::FindCoordinator => find_coordinator::handle(session, call).await,
        ApiKey::GetTelemetrySubscriptions => telemetry::handle_get(session, call).await,
        ApiKey::IncrementalAlterConfigs => alter_configs::handle_incremental(session, call).await,
        ApiKey::InitProducerId => init_producer_id::handle(session, call).await,
        ApiKey::ListConfigResources => list_config_resources::handle(session, call).await,
        ApiKey::ListPartitionReassignments => reassignments::handle_list(session, call).await,
        ApiKey::OffsetForLeaderEpoch => offset_for_leader_epoch::handle(session, call).await,
        ApiKey::RenewDelegationToken => delegation_tokens::handle_renew(session, call).await,
        ApiKey::PushTelemetry => telemetry::handle_push(session, call).await,
        ApiKey::UnregisterBroker => unregister_broker::handle(session, call).await,
        ApiKey::UpdateFeatures => features::handle(session, call).await,
        ApiKey::OffsetCommit => offset_commit::handle(session, call).await,
        ApiKey::OffsetFetch => offset_fetch::handle(session, call).await,
        ApiKey::JoinGroup => join_group::handle(session, call).await,
        ApiKey::Heartbeat => heartbeat::handle(session, call).await,
        ApiKey::LeaveGroup => leave_group::handle(session, call).await,
        ApiKey::SyncGroup => sync_group::handle(session, call).await,
        ApiKey::DescribeGroups => describe_groups::handle(session, call).await,
        ApiKey::ListGroups => list_groups::handle(session, call).await,
        ApiKey::DeleteGroups => delete_groups::handle(session, call).await,
        ApiKey::OffsetDelete => offset_delete::handle(session, call).await,
        ApiKey::ConsumerGroupHeartbeat => consumer_group_heartbeat::handle(session, call).await,
        ApiKey::ConsumerGroupDescribe => consumer_group_describe::handle(session, call).await,
    }
}
