//! The definitions against other implementations: Apache Kafka's own bytes (`tests/golden`), and the `kafka-protocol` crate
//! for whatever values proptest comes up with.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable};
use proptest::prelude::*;

use crate::encode::Encoder;
use crate::messages::*;
use crate::sample::{Json, Sample, Source};

fn body<'a>(value: &impl Body<'a>, api: ApiKey, version: i16) -> Vec<u8> {
    let mut to = Encoder::new(version, api.flexible(version));
    value.write(&mut to).unwrap_or_else(|error| panic!("{value:?}: {error}"));
    to.finish().unwrap().to_bytes()[4..].to_vec()
}

/// Our value -> our bytes -> our value, and our bytes -> their value -> their bytes.
fn agree<'a, Ours, Theirs>(version: i16, value: Ours) -> Result<(), TestCaseError>
where
    Ours: Body<'a>,
    Theirs: Decodable + Encodable,
{
    let bytes = body(&value, Ours::API, version);
    // The frame must live as long as what borrows from it.
    let frame: &'static [u8] = Vec::leak(bytes.clone());
    prop_assert_eq!(&Ours::read(version, frame).unwrap(), &value);
    let mut rest = Bytes::from(bytes);
    let expected = rest.clone();
    let their_value =
        Theirs::decode(&mut rest, version).map_err(|e| TestCaseError::fail(format!("{value:?}: {e:#}")))?;
    prop_assert!(rest.is_empty(), "they left {} bytes of {:?}", rest.len(), value);
    let mut their_bytes = BytesMut::new();
    their_value.encode(&mut their_bytes, version).map_err(|e| TestCaseError::fail(format!("{value:?}: {e:#}")))?;
    prop_assert_eq!(their_bytes.freeze(), expected, "{:?}", value);
    Ok(())
}

macro_rules! oracle {
    ($($module:ident, $request:ident, $response:ident, up to $max:literal;)+) => {
        mod agrees_with_kafka_protocol {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]
                $(
                    #[test]
                    fn $module(entropy in prop::collection::vec(any::<u8>(), 0..600)) {
                        let api = <$module::Request as Body>::API;
                        for version in api.facts().min..=$max {
                            let mut from = Source::new(&entropy, version);
                            agree::<$module::Request, theirs::$request>(version, Sample::sample(&mut from))?;
                            let mut from = Source::new(&entropy, version);
                            agree::<$module::Response, theirs::$response>(version, Sample::sample(&mut from))?;
                        }
                    }
                )+
            }

            #[test]
            fn every_api_takes_part_in_all_its_versions() {
                let compared = [$((<$module::Request as Body>::API, $max)),+];
                let all: Vec<_> = ApiKey::ALL
                    .iter()
                    .map(|&api| (api, newest_known(api)))
                    .collect();
                assert_eq!(compared.to_vec(), all);
            }
        }

        fn agree_with_golden(api: &str, direction: &str, version: i16, bytes: &'static [u8], json: &str) -> bool {
            $(
                if api == <$module::Request as Body>::API.facts().name {
                    match direction {
                        "Request" => golden::<$module::Request>(version, bytes, json),
                        _ => golden::<$module::Response>(version, bytes, json),
                    }
                    return true;
                }
            )+
            false
        }
    };
}

/// The newest version that the crate knows as well.
fn newest_known(api: ApiKey) -> i16 {
    match api {
        ApiKey::DescribeLogDirs => 4,
        ApiKey::ListOffsets => 10,
        ApiKey::OffsetCommit | ApiKey::OffsetFetch => 9,
        _ => api.facts().max,
    }
}

oracle! {
    produce, ProduceRequest, ProduceResponse, up to 13;
    fetch, FetchRequest, FetchResponse, up to 18;
    list_offsets, ListOffsetsRequest, ListOffsetsResponse, up to 10;
    metadata, MetadataRequest, MetadataResponse, up to 13;
    offset_commit, OffsetCommitRequest, OffsetCommitResponse, up to 9;
    offset_fetch, OffsetFetchRequest, OffsetFetchResponse, up to 9;
    find_coordinator, FindCoordinatorRequest, FindCoordinatorResponse, up to 6;
    join_group, JoinGroupRequest, JoinGroupResponse, up to 9;
    heartbeat, HeartbeatRequest, HeartbeatResponse, up to 4;
    leave_group, LeaveGroupRequest, LeaveGroupResponse, up to 5;
    sync_group, SyncGroupRequest, SyncGroupResponse, up to 5;
    describe_groups, DescribeGroupsRequest, DescribeGroupsResponse, up to 6;
    list_groups, ListGroupsRequest, ListGroupsResponse, up to 5;
    api_versions, ApiVersionsRequest, ApiVersionsResponse, up to 4;
    create_topics, CreateTopicsRequest, CreateTopicsResponse, up to 7;
    delete_topics, DeleteTopicsRequest, DeleteTopicsResponse, up to 6;
    delete_records, DeleteRecordsRequest, DeleteRecordsResponse, up to 2;
    init_producer_id, InitProducerIdRequest, InitProducerIdResponse, up to 5;
    offset_for_leader_epoch, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, up to 4;
    describe_acls, DescribeAclsRequest, DescribeAclsResponse, up to 3;
    create_acls, CreateAclsRequest, CreateAclsResponse, up to 3;
    delete_acls, DeleteAclsRequest, DeleteAclsResponse, up to 3;
    describe_configs, DescribeConfigsRequest, DescribeConfigsResponse, up to 4;
    alter_configs, AlterConfigsRequest, AlterConfigsResponse, up to 2;
    alter_replica_log_dirs, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse, up to 2;
    describe_log_dirs, DescribeLogDirsRequest, DescribeLogDirsResponse, up to 4;
    create_partitions, CreatePartitionsRequest, CreatePartitionsResponse, up to 3;
    create_delegation_token, CreateDelegationTokenRequest, CreateDelegationTokenResponse, up to 3;
    renew_delegation_token, RenewDelegationTokenRequest, RenewDelegationTokenResponse, up to 2;
    expire_delegation_token, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse, up to 2;
    describe_delegation_token, DescribeDelegationTokenRequest, DescribeDelegationTokenResponse, up to 3;
    delete_groups, DeleteGroupsRequest, DeleteGroupsResponse, up to 2;
    elect_leaders, ElectLeadersRequest, ElectLeadersResponse, up to 2;
    incremental_alter_configs, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, up to 1;
    alter_partition_reassignments, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, up to 1;
    list_partition_reassignments, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, up to 0;
    offset_delete, OffsetDeleteRequest, OffsetDeleteResponse, up to 0;
    describe_client_quotas, DescribeClientQuotasRequest, DescribeClientQuotasResponse, up to 1;
    alter_client_quotas, AlterClientQuotasRequest, AlterClientQuotasResponse, up to 1;
    describe_user_scram_credentials, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, up to 0;
    alter_user_scram_credentials, AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, up to 0;
    describe_quorum, DescribeQuorumRequest, DescribeQuorumResponse, up to 2;
    update_features, UpdateFeaturesRequest, UpdateFeaturesResponse, up to 2;
    describe_cluster, DescribeClusterRequest, DescribeClusterResponse, up to 2;
    describe_producers, DescribeProducersRequest, DescribeProducersResponse, up to 0;
    unregister_broker, UnregisterBrokerRequest, UnregisterBrokerResponse, up to 0;
    consumer_group_heartbeat, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, up to 1;
    consumer_group_describe, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, up to 1;
    get_telemetry_subscriptions, GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse, up to 0;
    push_telemetry, PushTelemetryRequest, PushTelemetryResponse, up to 0;
    list_config_resources, ListConfigResourcesRequest, ListConfigResourcesResponse, up to 1;
    describe_topic_partitions, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, up to 0;
}

fn golden<Ours: Body<'static> + Sample<'static>>(version: i16, bytes: &'static [u8], json: &str) {
    let value = Ours::read(version, bytes).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(Json::of(&value, version), json, "version {version}");
    assert_eq!(body(&value, Ours::API, version), bytes, "{json} in version {version}");
}

#[test]
fn reads_and_writes_what_apache_kafka_writes() {
    let mut seen = Vec::new();
    for line in include_str!("../tests/golden/kafka.txt").lines() {
        let [api, direction, version, hex, json] =
            line.splitn(5, ' ').collect::<Vec<_>>().try_into().expect("five words");
        let version: i16 = version.parse().unwrap();
        let bytes = hex.as_bytes().chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap());
        let bytes = Vec::leak(bytes.collect());
        assert!(agree_with_golden(api, direction, version, bytes, json), "{api} is not in the catalogue");
        seen.push((api, direction, version));
    }
    for api in ApiKey::ALL.iter().map(|api| api.facts()) {
        for version in api.min..=api.max {
            for direction in ["Request", "Response"] {
                assert!(seen.contains(&(api.name, direction, version)), "{} {direction} {version}", api.name);
            }
        }
    }
}
