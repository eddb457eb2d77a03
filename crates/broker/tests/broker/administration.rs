//! What tools ask of a cluster that here has one node, no directories, no authorizer and no quotas: the truth, or Apache
//! Kafka's own refusal.

use kafscale_protocol::{
    Array, ErrorCode, Float64,
    messages::{
        alter_client_quotas, alter_partition_reassignments as reassign, alter_replica_log_dirs,
        alter_user_scram_credentials, api_versions, create_acls, create_delegation_token, delete_acls, describe_acls,
        describe_client_quotas, describe_delegation_token, describe_log_dirs, describe_producers, describe_quorum,
        describe_user_scram_credentials, elect_leaders, list_partition_reassignments, unregister_broker,
        update_features,
    },
};

use crate::common::{Client, Cluster, batch, sequenced};

async fn connect() -> Client {
    Client::connect(&Cluster::new().start().await)
}

#[tokio::test]
async fn incompatibility_23_the_store_is_one_directory_with_the_sizes_of_partitions() {
    let client = connect().await;
    client.create_topic("t", 2, &[]).await;
    let first = batch(10).build();
    client.produce("t", 1, first.clone()).await.offset();
    let sizes = async |version, topics| {
        let reply = client.call(version, &describe_log_dirs::Request { topics }).await;
        let response: describe_log_dirs::Response<'_> = reply.read();
        let dirs: Vec<_> = response.results.iter().collect();
        let [dir] = &dirs[..] else { panic!("{dirs:?}") };
        assert_eq!((dir.error_code, dir.log_dir), (ErrorCode::None, "/object-store"));
        let partitions = dir.topics.iter().flat_map(|topic| {
            let name = topic.name.to_owned();
            let all: Vec<_> = topic.partitions.iter().collect();
            all.into_iter().map(move |p| (name.clone(), p.partition_index, p.partition_size))
        });
        partitions.collect::<Vec<_>>()
    };
    let named = |index, bytes: usize| ("t".to_owned(), index, bytes as i64);
    for version in 1..=5 {
        assert_eq!(sizes(version, None).await, [named(0, 0), named(1, first.len())]);
    }
    let ask = |topic, partitions: Vec<i32>| describe_log_dirs::DescribableLogDirTopic {
        topic,
        partitions: partitions.into(),
    };
    let asked = vec![ask("t", vec![1, 1, 9, -1]), ask("no", vec![0])];
    assert_eq!(sizes(4, Some(asked.into())).await, [named(1, first.len())], "what does not exist is left out");
}

#[tokio::test]
async fn replicas_move_to_where_they_are_and_nowhere_else() {
    let client = connect().await;
    client.create_topic("t", 1, &[]).await;
    let moved = async |path, partition: i32| {
        let topic = alter_replica_log_dirs::AlterReplicaLogDirTopic { name: "t", partitions: vec![partition].into() };
        let dir = alter_replica_log_dirs::AlterReplicaLogDir { path, topics: vec![topic].into() };
        let reply = client.call(2, &alter_replica_log_dirs::Request { dirs: vec![dir].into() }).await;
        let response: alter_replica_log_dirs::Response<'_> = reply.read();
        response.results.iter().next().unwrap().partitions.iter().next().unwrap().error_code
    };
    assert_eq!(moved("/object-store", 0).await, ErrorCode::None);
    assert_eq!(moved("/object-store", 1).await, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(moved("/elsewhere", 0).await, ErrorCode::LogDirNotFound);
}

#[tokio::test]
async fn producers_are_those_that_the_partition_remembers() {
    let client = connect().await;
    client.create_topic("t", 1, &[]).await;
    client.produce("t", 0, sequenced(7, 2, 0, 3)).await.offset();
    client.produce("t", 0, batch(1).build()).await.offset();
    let ask = |name, indexes: Vec<i32>| describe_producers::TopicRequest { name, partition_indexes: indexes.into() };
    let request = describe_producers::Request { topics: vec![ask("t", vec![0, 1]), ask("no", vec![0])].into() };
    let reply = client.call(0, &request).await;
    let response: describe_producers::Response<'_> = reply.read();
    let partitions: Vec<_> = response.topics.iter().flat_map(|t| t.partitions.iter().collect::<Vec<_>>()).collect();
    let producers: Vec<_> = partitions[0].active_producers.iter().collect();
    let [producer] = &producers[..] else { panic!("{producers:?}") };
    let facts = (producer.producer_id, producer.producer_epoch, producer.last_sequence, producer.coordinator_epoch);
    assert_eq!(facts, (7, 2, 2, -1));
    assert!(producer.last_timestamp > 0 && producer.current_txn_start_offset == -1);
    let codes: Vec<_> = partitions.iter().map(|partition| partition.error_code).collect();
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(codes, [ErrorCode::None, unknown, unknown]);
}

#[tokio::test]
async fn the_quorum_is_this_broker() {
    let cluster = Cluster::new();
    let mut epochs = Vec::new();
    for _ in 0..2 {
        let client = Client::connect(&cluster.start().await);
        let ask = |topic_name, partition_index| describe_quorum::RequestedTopicData {
            topic_name,
            partitions: vec![describe_quorum::RequestedPartitionData { partition_index }].into(),
        };
        let request = describe_quorum::Request { topics: vec![ask("__cluster_metadata", 0), ask("t", 0)].into() };
        for version in 0..=2 {
            let reply = client.call(version, &request).await;
            let response: describe_quorum::Response<'_> = reply.read();
            let partitions: Vec<_> =
                response.topics.iter().map(|topic| topic.partitions.iter().next().unwrap()).collect();
            let voters: Vec<_> = partitions[0].current_voters.iter().map(|voter| voter.replica_id).collect();
            assert_eq!((partitions[0].leader_id, &voters[..]), (0, &[0][..]));
            assert!(partitions[0].high_watermark > 1 && partitions[0].observers.is_empty());
            assert_eq!(partitions[1].error_code, ErrorCode::UnknownTopicOrPartition);
            assert_eq!(response.nodes.len(), if version < 2 { 0 } else { 1 });
            epochs.push(partitions[0].leader_epoch);
        }
    }
    assert!(epochs[0] < epochs[3], "each take-over is an epoch: {epochs:?}");
}

#[tokio::test]
async fn features_stay_at_the_levels_of_the_build() {
    let client = connect().await;
    let request = api_versions::Request { client_software_name: "c", client_software_version: "1" };
    let reply = client.call(4, &request).await;
    let response: api_versions::Response<'_> = reply.read();
    let finalized = response.finalized_features.iter().find(|feature| feature.name == "metadata.version").unwrap();
    let level = finalized.max_version_level;
    let update = async |feature, max_version_level, upgrade_type| {
        let update =
            update_features::FeatureUpdateKey { feature, max_version_level, upgrade_type, ..Default::default() };
        let request = update_features::Request { feature_updates: vec![update].into(), ..Default::default() };
        let reply = client.call(2, &request).await;
        let response: update_features::Response<'_> = reply.read();
        (response.error_code, response.error_message.unwrap_or_default().to_owned())
    };
    assert_eq!(update("metadata.version", level, 1).await, (ErrorCode::None, String::new()));
    let (code, text) = update("metadata.version", 99, 1).await;
    assert_eq!(code, ErrorCode::InvalidUpdateVersion);
    assert!(text.contains("Invalid update version 99 for feature metadata.version. Local controller 0 only supports"));
    assert_eq!(update("metadata.version", level - 1, 1).await.0, ErrorCode::InvalidUpdateVersion);
    assert_eq!(update("metadata.version", level - 1, 2).await.0, ErrorCode::InvalidUpdateVersion);
    assert_eq!(update("no.such", 1, 1).await.0, ErrorCode::InvalidUpdateVersion);
    assert_eq!(update("metadata.version", -1, 3).await.0, ErrorCode::InvalidUpdateVersion);
}

#[tokio::test]
async fn partitions_have_the_replica_and_the_leader_that_they_have() {
    let client = connect().await;
    client.create_topic("t", 1, &[]).await;
    let reassigned = async |name, partition_index, replicas: Option<Vec<i32>>| {
        let replicas = replicas.map(Array::from);
        let partition = reassign::ReassignablePartition { partition_index, replicas };
        let topic = reassign::ReassignableTopic { name, partitions: vec![partition].into() };
        let reply = client.call(1, &reassign::Request { topics: vec![topic].into(), ..Default::default() }).await;
        let response: reassign::Response<'_> = reply.read();
        response.responses.iter().next().unwrap().partitions.iter().next().unwrap().error_code
    };
    assert_eq!(reassigned("t", 0, Some(vec![0])).await, ErrorCode::None);
    assert_eq!(reassigned("t", 0, Some(vec![0, 2])).await, ErrorCode::InvalidReplicaAssignment);
    assert_eq!(reassigned("t", 0, Some(vec![])).await, ErrorCode::InvalidReplicaAssignment);
    assert_eq!(reassigned("t", 0, None).await, ErrorCode::NoReassignmentInProgress);
    assert_eq!(reassigned("t", 1, None).await, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(reassigned("no", 0, None).await, ErrorCode::UnknownTopicOrPartition);
    let reply = client.call(0, &list_partition_reassignments::Request::default()).await;
    assert!(reply.read::<list_partition_reassignments::Response<'_>>().topics.is_empty());

    let elected = async |version, election_type, indexes: Option<Vec<i32>>| {
        let topic = |partitions: Vec<i32>| elect_leaders::TopicPartitions { topic: "t", partitions: partitions.into() };
        let topic_partitions = indexes.map(|indexes| vec![topic(indexes)].into());
        let request = elect_leaders::Request { election_type, topic_partitions, ..Default::default() };
        let reply = client.call(version, &request).await;
        let response: elect_leaders::Response<'_> = reply.read();
        let results = response.replica_election_results.iter();
        let codes = results.flat_map(|topic| topic.partition_result.iter().map(|p| p.error_code).collect::<Vec<_>>());
        (response.error_code, codes.collect::<Vec<_>>())
    };
    let codes = vec![ErrorCode::ElectionNotNeeded, ErrorCode::UnknownTopicOrPartition];
    assert_eq!(elected(2, 1, Some(vec![0, 1])).await, (ErrorCode::None, codes));
    assert_eq!(elected(2, 0, None).await, (ErrorCode::None, vec![]));
    assert_eq!(elected(2, 9, Some(vec![0])).await, (ErrorCode::InvalidRequest, vec![]));
    assert_eq!(elected(0, 0, Some(vec![0])).await, (ErrorCode::None, vec![ErrorCode::ElectionNotNeeded]));

    for (broker_id, expected) in [(0, ErrorCode::InvalidRequest), (5, ErrorCode::BrokerIdNotRegistered)] {
        let reply = client.call(0, &unregister_broker::Request { broker_id }).await;
        assert_eq!(reply.read::<unregister_broker::Response<'_>>().error_code, expected);
    }
}

#[tokio::test]
async fn without_an_authorizer_there_are_no_rules_and_no_tokens() {
    let client = connect().await;
    for version in 1..=3 {
        let reply = client.call(version, &describe_acls::Request::default()).await;
        let response: describe_acls::Response<'_> = reply.read();
        assert_eq!(response.error_code, ErrorCode::SecurityDisabled);
        assert_eq!(response.error_message, Some("No Authorizer is configured on the broker"));
        let creations = vec![create_acls::AclCreation::default(), create_acls::AclCreation::default()].into();
        let reply = client.call(version, &create_acls::Request { creations }).await;
        let response: create_acls::Response<'_> = reply.read();
        let codes: Vec<_> = response.results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [ErrorCode::SecurityDisabled; 2]);
        let filters = vec![delete_acls::DeleteAclsFilter::default()].into();
        let reply = client.call(version, &delete_acls::Request { filters }).await;
        let response: delete_acls::Response<'_> = reply.read();
        assert_eq!(response.filter_results.iter().next().unwrap().error_code, ErrorCode::SecurityDisabled);
        let reply = client.call(version, &create_delegation_token::Request::default()).await;
        let response: create_delegation_token::Response<'_> = reply.read();
        assert_eq!(response.error_code, ErrorCode::DelegationTokenRequestNotAllowed);
        let reply = client.call(version, &describe_delegation_token::Request::default()).await;
        let response: describe_delegation_token::Response<'_> = reply.read();
        assert_eq!(response.error_code, ErrorCode::DelegationTokenRequestNotAllowed);
    }
}

#[tokio::test]
async fn nobody_has_credentials_or_quotas_and_none_are_taken() {
    let client = connect().await;
    let reply = client.call(0, &describe_user_scram_credentials::Request { users: None }).await;
    assert!(reply.read::<describe_user_scram_credentials::Response<'_>>().results.is_empty());
    let user = |name| describe_user_scram_credentials::UserName { name };
    let users = Some(vec![user("a"), user("b"), user("b")].into());
    let reply = client.call(0, &describe_user_scram_credentials::Request { users }).await;
    let response: describe_user_scram_credentials::Response<'_> = reply.read();
    let codes: Vec<_> = response.results.iter().map(|result| (result.user, result.error_code)).collect();
    assert_eq!(codes, [("a", ErrorCode::ResourceNotFound), ("b", ErrorCode::DuplicateResource)]);
    let deletion = alter_user_scram_credentials::ScramCredentialDeletion { name: "a", mechanism: 1 };
    let upsertion = alter_user_scram_credentials::ScramCredentialUpsertion {
        name: "b",
        mechanism: 1,
        iterations: 4096,
        ..Default::default()
    };
    let (deletions, upsertions) = (vec![deletion].into(), vec![upsertion].into());
    let reply = client.call(0, &alter_user_scram_credentials::Request { deletions, upsertions }).await;
    let response: alter_user_scram_credentials::Response<'_> = reply.read();
    let codes: Vec<_> = response.results.iter().map(|result| result.error_code).collect();
    assert_eq!(codes, [ErrorCode::ResourceNotFound, ErrorCode::UnsupportedSaslMechanism]);

    let reply = client.call(1, &describe_client_quotas::Request::default()).await;
    let response: describe_client_quotas::Response<'_> = reply.read();
    assert!(response.error_code == ErrorCode::None && response.entries.is_some_and(|entries| entries.is_empty()));
    let altered = async |entity_type, remove| {
        let entity = alter_client_quotas::EntityData { entity_type, entity_name: Some("a") };
        let operation = alter_client_quotas::OpData { key: "producer_byte_rate", value: Float64(1.0), remove };
        let entry =
            alter_client_quotas::RequestedEntryData { entity: vec![entity].into(), ops: vec![operation].into() };
        let request = alter_client_quotas::Request { entries: vec![entry].into(), ..Default::default() };
        let reply = client.call(1, &request).await;
        reply.read::<alter_client_quotas::Response<'_>>().entries.iter().next().unwrap().error_code
    };
    assert_eq!(altered("user", true).await, ErrorCode::None);
    assert_eq!(altered("user", false).await, ErrorCode::InvalidRequest);
    assert_eq!(altered("planet", true).await, ErrorCode::InvalidRequest);
}
