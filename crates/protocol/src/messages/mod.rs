//! The catalogue: every API that is known here, one file each, and one table from which everything else is derived: the
//! answer to ApiVersions, the versions of headers, the dispatch of decoders, the table in the documentation.

use crate::decode::{DecodeError, Decoder};
use crate::encode::{EncodeError, Encoder};
use crate::wire::Wire;

/// Facts about an API. Versions are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// Kafka's name.
    pub name: &'static str,
    /// The lowest version that is served.
    pub min: i16,
    /// The highest version that is served.
    pub max: i16,
    /// The first version with compact lengths and tagged fields.
    pub flexible_from: i16,
    /// The lowest version that ApiVersions announces. Below `min` for Produce only: librdkafka reads support for
    /// compression out of a 0 there.
    pub advertised_min: i16,
}

impl Api {
    /// Whether this version is served.
    pub fn serves(&self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }

    fn flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    fn check(&self, version: i16) -> Result<(), UnknownVersion> {
        if self.serves(version) { Ok(()) } else { Err(UnknownVersion { api: self.name, version }) }
    }
}

struct UnknownVersion {
    api: &'static str,
    version: i16,
}

impl From<UnknownVersion> for DecodeError {
    fn from(UnknownVersion { api, version }: UnknownVersion) -> Self {
        Self::Version { api, version }
    }
}

impl From<UnknownVersion> for EncodeError {
    fn from(UnknownVersion { api, version }: UnknownVersion) -> Self {
        Self::Version { api, version }
    }
}

/// The body of a request or of a response.
pub trait Body<'a>: Wire<'a> + Default {
    /// The API that it belongs to.
    const API: ApiKey;

    /// Reads a whole body: bytes left over are an error, except where a client in use sends some.
    fn read(version: i16, body: &'a [u8]) -> Result<Self, DecodeError> {
        let api = Self::API.facts();
        api.check(version)?;
        let mut from = Decoder::new(body, version, api.flexible(version));
        let value = Self::decode(&mut from, api.name)?;
        if !Self::API.may_have_surplus(version) {
            from.end()?;
        }
        Ok(value)
    }

    /// Writes the body behind what `to` has already.
    fn write(&self, to: &mut Encoder) -> Result<(), EncodeError> {
        let api = Self::API.facts();
        api.check(to.version())?;
        self.encode(to, api.name)
    }
}

/// The body of a request.
pub trait RequestBody<'a>: Body<'a> {
    /// What answers it.
    type Response: ResponseBody<'a>;
}

/// The body of a response.
pub trait ResponseBody<'a>: Body<'a> {}

macro_rules! catalogue {
    ($(
        $api:ident = $key:literal in $module:ident, ($request:ty => $response:ty), $min:literal - $max:literal,
        flexible $flexible:literal + $(, advertised $advertised:literal +)?;
    )+) => {
        $(pub mod $module;)+

        /// An API that is known.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(
                #[doc = concat!(stringify!($api), ", versions ", stringify!($min), " to ", stringify!($max), ".")]
                $api = $key,
            )+
        }

        impl ApiKey {
            /// Every API, by ascending key.
            pub const ALL: &'static [Self] = &[$(Self::$api),+];

            /// The API of this key, if it is known.
            pub const fn from_code(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(Self::$api),)+
                    _ => None,
                }
            }

            /// Name and versions.
            pub const fn facts(self) -> Api {
                match self {
                    $(Self::$api => {
                        let advertised: &[i16] = &[$($advertised,)? $min];
                        Api {
                            name: stringify!($api),
                            min: $min,
                            max: $max,
                            flexible_from: $flexible,
                            advertised_min: advertised[0],
                        }
                    })+
                }
            }
        }

        $(
            impl<'a> Body<'a> for $request {
                const API: ApiKey = ApiKey::$api;
            }

            impl<'a> RequestBody<'a> for $request {
                type Response = $response;
            }

            impl<'a> Body<'a> for $response {
                const API: ApiKey = ApiKey::$api;
            }

            impl<'a> ResponseBody<'a> for $response {}
        )+

        /// A request of any API.
        #[derive(Debug, Clone, PartialEq)]
        pub enum AnyRequest<'a> {
            $(
                #[doc = concat!("A ", stringify!($api), " request.")]
                $api($request),
            )+
        }

        impl<'a> AnyRequest<'a> {
            /// Reads a whole body, as [`Body::read`] does.
            pub fn read(api: ApiKey, version: i16, body: &'a [u8]) -> Result<Self, DecodeError> {
                match api {
                    $(ApiKey::$api => Body::read(version, body).map(Self::$api),)+
                }
            }

            /// Writes the body, as [`Body::write`] does.
            pub fn write(&self, to: &mut Encoder) -> Result<(), EncodeError> {
                match self {
                    $(Self::$api(request) => request.write(to),)+
                }
            }
        }

        /// A response of any API.
        #[derive(Debug, Clone, PartialEq)]
        pub enum AnyResponse<'a> {
            $(
                #[doc = concat!("A ", stringify!($api), " response.")]
                $api($response),
            )+
        }

        impl<'a> AnyResponse<'a> {
            /// Reads a whole body, as [`Body::read`] does.
            pub fn read(api: ApiKey, version: i16, body: &'a [u8]) -> Result<Self, DecodeError> {
                match api {
                    $(ApiKey::$api => Body::read(version, body).map(Self::$api),)+
                }
            }

            /// Writes the body, as [`Body::write`] does.
            pub fn write(&self, to: &mut Encoder) -> Result<(), EncodeError> {
                match self {
                    $(Self::$api(response) => response.write(to),)+
                }
            }
        }
    };
}

catalogue! {
    Produce = 0 in produce, (produce::Request<'a> => produce::Response<'a>), 3-13, flexible 9+, advertised 0+;
    Fetch = 1 in fetch, (fetch::Request<'a> => fetch::Response<'a>), 4-18, flexible 12+;
    ListOffsets = 2 in list_offsets, (list_offsets::Request<'a> => list_offsets::Response<'a>), 1-11, flexible 6+;
    Metadata = 3 in metadata, (metadata::Request<'a> => metadata::Response<'a>), 0-13, flexible 9+;
    OffsetCommit = 8 in offset_commit,
        (offset_commit::Request<'a> => offset_commit::Response<'a>), 2-10, flexible 8+;
    OffsetFetch = 9 in offset_fetch, (offset_fetch::Request<'a> => offset_fetch::Response<'a>), 1-10, flexible 6+;
    FindCoordinator = 10 in find_coordinator,
        (find_coordinator::Request<'a> => find_coordinator::Response<'a>), 0-6, flexible 3+;
    JoinGroup = 11 in join_group, (join_group::Request<'a> => join_group::Response<'a>), 0-9, flexible 6+;
    Heartbeat = 12 in heartbeat, (heartbeat::Request<'a> => heartbeat::Response), 0-4, flexible 4+;
    LeaveGroup = 13 in leave_group, (leave_group::Request<'a> => leave_group::Response<'a>), 0-5, flexible 4+;
    SyncGroup = 14 in sync_group, (sync_group::Request<'a> => sync_group::Response<'a>), 0-5, flexible 4+;
    DescribeGroups = 15 in describe_groups,
        (describe_groups::Request<'a> => describe_groups::Response<'a>), 0-6, flexible 5+;
    ListGroups = 16 in list_groups, (list_groups::Request<'a> => list_groups::Response<'a>), 0-5, flexible 3+;
    ApiVersions = 18 in api_versions, (api_versions::Request<'a> => api_versions::Response<'a>), 0-4, flexible 3+;
    CreateTopics = 19 in create_topics, (create_topics::Request<'a> => create_topics::Response<'a>), 2-7, flexible 5+;
    DeleteTopics = 20 in delete_topics, (delete_topics::Request<'a> => delete_topics::Response<'a>), 1-6, flexible 4+;
    DeleteRecords = 21 in delete_records,
        (delete_records::Request<'a> => delete_records::Response<'a>), 0-2, flexible 2+;
    InitProducerId = 22 in init_producer_id,
        (init_producer_id::Request<'a> => init_producer_id::Response), 0-5, flexible 2+;
    OffsetForLeaderEpoch = 23 in offset_for_leader_epoch,
        (offset_for_leader_epoch::Request<'a> => offset_for_leader_epoch::Response<'a>), 2-4, flexible 4+;
    DescribeAcls = 29 in describe_acls, (describe_acls::Request<'a> => describe_acls::Response<'a>), 1-3, flexible 2+;
    CreateAcls = 30 in create_acls, (create_acls::Request<'a> => create_acls::Response<'a>), 1-3, flexible 2+;
    DeleteAcls = 31 in delete_acls, (delete_acls::Request<'a> => delete_acls::Response<'a>), 1-3, flexible 2+;
    DescribeConfigs = 32 in describe_configs,
        (describe_configs::Request<'a> => describe_configs::Response<'a>), 1-4, flexible 4+;
    AlterConfigs = 33 in alter_configs, (alter_configs::Request<'a> => alter_configs::Response<'a>), 0-2, flexible 2+;
    AlterReplicaLogDirs = 34 in alter_replica_log_dirs,
        (alter_replica_log_dirs::Request<'a> => alter_replica_log_dirs::Response<'a>), 1-2, flexible 2+;
    DescribeLogDirs = 35 in describe_log_dirs,
        (describe_log_dirs::Request<'a> => describe_log_dirs::Response<'a>), 1-5, flexible 2+;
    CreatePartitions = 37 in create_partitions,
        (create_partitions::Request<'a> => create_partitions::Response<'a>), 0-3, flexible 2+;
    CreateDelegationToken = 38 in create_delegation_token,
        (create_delegation_token::Request<'a> => create_delegation_token::Response<'a>), 1-3, flexible 2+;
    RenewDelegationToken = 39 in renew_delegation_token,
        (renew_delegation_token::Request<'a> => renew_delegation_token::Response), 1-2, flexible 2+;
    ExpireDelegationToken = 40 in expire_delegation_token,
        (expire_delegation_token::Request<'a> => expire_delegation_token::Response), 1-2, flexible 2+;
    DescribeDelegationToken = 41 in describe_delegation_token,
        (describe_delegation_token::Request<'a> => describe_delegation_token::Response<'a>), 1-3, flexible 2+;
    DeleteGroups = 42 in delete_groups, (delete_groups::Request<'a> => delete_groups::Response<'a>), 0-2, flexible 2+;
    ElectLeaders = 43 in elect_leaders, (elect_leaders::Request<'a> => elect_leaders::Response<'a>), 0-2, flexible 2+;
    IncrementalAlterConfigs = 44 in incremental_alter_configs,
        (incremental_alter_configs::Request<'a> => incremental_alter_configs::Response<'a>), 0-1, flexible 1+;
    AlterPartitionReassignments = 45 in alter_partition_reassignments,
        (alter_partition_reassignments::Request<'a> => alter_partition_reassignments::Response<'a>), 0-1, flexible 0+;
    ListPartitionReassignments = 46 in list_partition_reassignments,
        (list_partition_reassignments::Request<'a> => list_partition_reassignments::Response<'a>), 0-0, flexible 0+;
    OffsetDelete = 47 in offset_delete,
        (offset_delete::Request<'a> => offset_delete::Response<'a>), 0-0, flexible 32767+;
    DescribeClientQuotas = 48 in describe_client_quotas,
        (describe_client_quotas::Request<'a> => describe_client_quotas::Response<'a>), 0-1, flexible 1+;
    AlterClientQuotas = 49 in alter_client_quotas,
        (alter_client_quotas::Request<'a> => alter_client_quotas::Response<'a>), 0-1, flexible 1+;
    DescribeUserScramCredentials = 50 in describe_user_scram_credentials,
        (describe_user_scram_credentials::Request<'a> => describe_user_scram_credentials::Response<'a>), 0-0, flexible 0+;
    AlterUserScramCredentials = 51 in alter_user_scram_credentials,
        (alter_user_scram_credentials::Request<'a> => alter_user_scram_credentials::Response<'a>), 0-0, flexible 0+;
    DescribeQuorum = 55 in describe_quorum,
        (describe_quorum::Request<'a> => describe_quorum::Response<'a>), 0-2, flexible 0+;
    UpdateFeatures = 57 in update_features,
        (update_features::Request<'a> => update_features::Response<'a>), 0-2, flexible 0+;
    DescribeCluster = 60 in describe_cluster,
        (describe_cluster::Request => describe_cluster::Response<'a>), 0-2, flexible 0+;
    DescribeProducers = 61 in describe_producers,
        (describe_producers::Request<'a> => describe_producers::Response<'a>), 0-0, flexible 0+;
    UnregisterBroker = 64 in unregister_broker,
        (unregister_broker::Request => unregister_broker::Response<'a>), 0-0, flexible 0+;
    ConsumerGroupHeartbeat = 68 in consumer_group_heartbeat,
        (consumer_group_heartbeat::Request<'a> => consumer_group_heartbeat::Response<'a>), 0-1, flexible 0+;
    ConsumerGroupDescribe = 69 in consumer_group_describe,
        (consumer_group_describe::Request<'a> => consumer_group_describe::Response<'a>), 0-1, flexible 0+;
    GetTelemetrySubscriptions = 71 in get_telemetry_subscriptions,
        (get_telemetry_subscriptions::Request => get_telemetry_subscriptions::Response<'a>), 0-0, flexible 0+;
    PushTelemetry = 72 in push_telemetry, (push_telemetry::Request<'a> => push_telemetry::Response), 0-0, flexible 0+;
    ListConfigResources = 74 in list_config_resources,
        (list_config_resources::Request<'a> => list_config_resources::Response<'a>), 0-1, flexible 0+;
    DescribeTopicPartitions = 75 in describe_topic_partitions,
        (describe_topic_partitions::Request<'a> => describe_topic_partitions::Response<'a>), 0-0, flexible 0+;
}

impl ApiKey {
    /// The key on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether bodies and request headers of this version have tagged fields. Versions above those served count as their
    /// nearest relative.
    pub fn flexible(self, version: i16) -> bool {
        self.facts().flexible(version)
    }

    /// Whether bytes behind the body are passed over, as Apache Kafka does with every request. librdkafka 2.16 leaves
    /// three of them when it asks for all topics, and writes the tagged fields of AlterUserScramCredentials twice.
    fn may_have_surplus(self, version: i16) -> bool {
        matches!(self, Self::Metadata | Self::AlterUserScramCredentials) && self.flexible(version)
    }

    /// Whether the response's header has tagged fields. Never for ApiVersions: a client that asks does not know yet what
    /// the broker speaks.
    pub fn flexible_response_header(self, version: i16) -> bool {
        self != Self::ApiVersions && self.flexible(version)
    }

    /// What ApiVersions announces, by ascending key.
    pub fn advertised() -> impl Iterator<Item = api_versions::ApiVersion> {
        Self::ALL.iter().map(|api| api.advertisement())
    }

    /// What ApiVersions announces of this API.
    pub const fn advertisement(self) -> api_versions::ApiVersion {
        let facts = self.facts();
        api_versions::ApiVersion { api_key: self.code(), min_version: facts.advertised_min, max_version: facts.max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_in_order_and_only_produce_is_advertised_below_what_is_served() {
        assert!(ApiKey::ALL.is_sorted());
        for &api in ApiKey::ALL {
            assert_eq!(ApiKey::from_code(api.code()), Some(api));
            let min = if api == ApiKey::Produce { 0 } else { api.facts().min };
            let expected =
                api_versions::ApiVersion { api_key: api.code(), min_version: min, max_version: api.facts().max };
            assert_eq!(api.advertisement(), expected);
        }
        assert_eq!(ApiKey::advertised().count(), ApiKey::ALL.len());
        assert_eq!(ApiKey::Produce.facts().min, 3);
    }
}
