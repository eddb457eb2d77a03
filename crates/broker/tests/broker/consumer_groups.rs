//! KIP-848 groups over the wire.

use std::sync::Arc;

use kafscale_broker::{Broker, MigrationPolicy};
use kafscale_protocol::{
    Array, ErrorCode, Uuid,
    messages::{
        api_versions, consumer_group_describe as describe, consumer_group_heartbeat as heartbeat, delete_groups,
        describe_groups, incremental_alter_configs as alter, join_group, list_groups, offset_commit, offset_fetch,
    },
};

use crate::{
    common::{Client, Cluster},
    settings,
};

/// A member that does as it is told.
pub struct Member {
    pub client: Client,
    pub id: String,
    pub epoch: i32,
    pub owned: Vec<(Uuid, Vec<i32>)>,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beaten {
    pub error: ErrorCode,
    pub epoch: i32,
    pub assigned: Option<usize>,
}

pub fn join<'a>(id: &'a str, topics: &'a [&'a str]) -> heartbeat::Request<'a> {
    heartbeat::Request {
        group_id: "g",
        member_id: id,
        rebalance_timeout_ms: 60_000,
        subscribed_topic_names: Some(topics.iter().copied().collect()),
        topic_partitions: Some(Array::from(Vec::new())),
        ..Default::default()
    }
}

pub fn alive(id: &str, epoch: i32) -> heartbeat::Request<'_> {
    heartbeat::Request { group_id: "g", member_id: id, member_epoch: epoch, ..Default::default() }
}

async fn ask(client: &Client, request: &heartbeat::Request<'_>) -> ErrorCode {
    let reply = client.call(1, request).await;
    let response: heartbeat::Response<'_> = reply.read();
    response.error_code
}

impl Member {
    pub fn new(broker: &Arc<Broker>, id: &str) -> Self {
        Self { client: Client::connect(broker), id: id.to_owned(), epoch: 0, owned: Vec::new() }
    }

    pub async fn send(&mut self, request: &heartbeat::Request<'_>) -> Beaten {
        let reply = self.client.call(1, request).await;
        let response: heartbeat::Response<'_> = reply.read();
        let error = response.error_code;
        if error == ErrorCode::None {
            self.epoch = response.member_epoch;
        }
        if let Some(assignment) = &response.assignment {
            let topics = assignment.topic_partitions.iter();
            self.owned = topics.map(|topic| (topic.topic_id, topic.partitions.iter().collect())).collect();
        }
        let assigned = response.assignment.map(|_| self.count());
        Beaten { error, epoch: response.member_epoch, assigned }
    }

    pub async fn join(&mut self) -> Beaten {
        let id = self.id.clone();
        self.send(&join(&id, &["t"])).await
    }

    /// Says what it owns.
    pub async fn beat(&mut self) -> Beaten {
        let (id, owned) = (self.id.clone(), self.owned.clone());
        let owned = owned.iter().map(|(topic_id, partitions)| heartbeat::TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.as_slice().into(),
        });
        let topic_partitions = Some(owned.collect());
        self.send(&heartbeat::Request { topic_partitions, ..alive(&id, self.epoch) }).await
    }

    pub async fn leave(&mut self) -> Beaten {
        let id = self.id.clone();
        self.send(&alive(&id, -1)).await
    }

    pub fn count(&self) -> usize {
        self.owned.iter().map(|(_, partitions)| partitions.len()).sum()
    }

    pub async fn commit(&self, epoch: i32) -> ErrorCode {
        commit(&self.client, &self.id, epoch).await
    }

    /// Commits offsets of some of the four partitions of `t`; all are taken, or none.
    async fn commit_of(&self, which: &[bool], epoch: i32, version: i16) -> ErrorCode {
        let partition =
            |partition_index| offset_commit::OffsetCommitRequestPartition { partition_index, ..Default::default() };
        let chosen = (0..).zip(which).filter(|(_, chosen)| **chosen);
        let topic = offset_commit::OffsetCommitRequestTopic {
            name: "t",
            partitions: chosen.map(|(index, _)| partition(index)).collect(),
            ..Default::default()
        };
        let request = offset_commit::Request {
            group_id: "g",
            generation_id_or_member_epoch: epoch,
            member_id: &self.id,
            topics: Array::from(vec![topic]),
            ..Default::default()
        };
        let reply = self.client.call(version, &request).await;
        let response: offset_commit::Response<'_> = reply.read();
        let topic = response.topics.iter().next().expect("a topic");
        let codes: std::collections::BTreeSet<_> = topic.partitions.iter().map(|each| each.error_code as i16).collect();
        assert_eq!(codes.len(), 1, "{codes:?}");
        topic.partitions.iter().next().expect("a partition").error_code
    }

    /// Which of the partitions of `t` it owns.
    fn owns(&self) -> Vec<bool> {
        let owned: Vec<i32> = self.owned.iter().flat_map(|(_, partitions)| partitions.clone()).collect();
        (0..4).map(|index| owned.contains(&index)).collect()
    }

    async fn fetch_offsets(&self, epoch: i32) -> ErrorCode {
        let group = offset_fetch::OffsetFetchRequestGroup {
            group_id: "g",
            member_id: Some(&self.id),
            member_epoch: epoch,
            topics: None,
        };
        let request = offset_fetch::Request { groups: Array::from(vec![group]), ..Default::default() };
        let reply = self.client.call(9, &request).await;
        let response: offset_fetch::Response<'_> = reply.read();
        response.groups.iter().next().expect("a group").error_code
    }
}

/// Commits an offset of partition 0 of `t`.
pub async fn commit(client: &Client, member_id: &str, epoch: i32) -> ErrorCode {
    let partition = offset_commit::OffsetCommitRequestPartition { committed_offset: 5, ..Default::default() };
    let topic = offset_commit::OffsetCommitRequestTopic {
        name: "t",
        partitions: Array::from(vec![partition]),
        ..Default::default()
    };
    let request = offset_commit::Request {
        group_id: "g",
        generation_id_or_member_epoch: epoch,
        member_id,
        topics: Array::from(vec![topic]),
        ..Default::default()
    };
    let reply = client.call(9, &request).await;
    let response: offset_commit::Response<'_> = reply.read();
    response.topics.iter().next().expect("a topic").partitions.iter().next().expect("a partition").error_code
}

pub async fn list(client: &Client, kind: &str) -> Vec<(String, String)> {
    let request = list_groups::Request { types_filter: [kind].into_iter().collect(), ..Default::default() };
    let reply = client.call(5, &request).await;
    let response: list_groups::Response<'_> = reply.read();
    response.groups.iter().map(|group| (group.group_id.to_owned(), group.group_state.to_owned())).collect()
}

/// Targets of the group are made whenever something changes.
async fn assign_at_once(client: &Client) {
    let change = ("consumer.assignment.interval.ms", settings::SET, Some("0"));
    assert_eq!(settings::alter(client, settings::GROUP, "g", &[change]).await, settings::ok());
}

#[tokio::test]
async fn incompatibility_30_members_share_what_they_subscribe_to_and_a_restart_changes_nothing() {
    let cluster = Cluster::new();
    let broker = cluster.start().await;
    let admin = Client::connect(&broker);
    admin.create_topic("t", 4, &[]).await;
    assign_at_once(&admin).await;
    let mut one = Member::new(&broker, "one");
    assert_eq!(one.join().await, Beaten { error: ErrorCode::None, epoch: 1, assigned: Some(4) });
    assert_eq!(one.send(&alive("one", 1)).await, Beaten { error: ErrorCode::None, epoch: 1, assigned: None });
    let mut two = Member::new(&broker, "two");
    assert_eq!(two.join().await, Beaten { error: ErrorCode::None, epoch: 2, assigned: Some(0) });
    assert_eq!(one.beat().await, Beaten { error: ErrorCode::None, epoch: 1, assigned: Some(2) });
    assert_eq!(two.beat().await.assigned, None, "the other has not given up yet");
    assert_eq!(list(&admin, "consumer").await, [("g".to_owned(), "Reconciling".to_owned())]);
    assert_eq!(one.beat().await, Beaten { error: ErrorCode::None, epoch: 2, assigned: None });
    assert_eq!(two.beat().await, Beaten { error: ErrorCode::None, epoch: 2, assigned: Some(2) });
    assert_eq!(list(&admin, "consumer").await, [("g".to_owned(), "Stable".to_owned())]);
    assert_eq!(list(&admin, "classic").await, []);

    broker.drain().await;
    let broker = cluster.start().await;
    one.client = Client::connect(&broker);
    assert_eq!(one.send(&alive("one", 2)).await, Beaten { error: ErrorCode::None, epoch: 2, assigned: None });
    two.client = Client::connect(&broker);
    assert_eq!(two.leave().await.epoch, -1);
    assert_eq!(one.beat().await, Beaten { error: ErrorCode::None, epoch: 3, assigned: Some(4) });
}

#[tokio::test]
async fn a_group_is_full_at_its_size() {
    let mut cluster = Cluster::new();
    cluster.settings.groups.consumer_max_size = 1;
    let broker = cluster.start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 4, &[]).await;
    let name = "group.consumer.max.size";
    assert_eq!(settings::shown(&client, settings::BROKER, "0", name).await, settings::value("1", 4));
    assert_eq!(ask(&client, &join("one", &["t"])).await, ErrorCode::None);
    assert_eq!(ask(&client, &join("two", &["t"])).await, ErrorCode::GroupMaxSizeReached);
    assert_eq!(ask(&client, &alive("one", 1)).await, ErrorCode::None);
}

#[tokio::test]
async fn offsets_are_for_members_in_their_epoch() {
    let broker = Cluster::new().start().await;
    Client::connect(&broker).create_topic("t", 4, &[]).await;
    let mut one = Member::new(&broker, "one");
    one.join().await;
    assert_eq!(one.commit(1).await, ErrorCode::None);
    assert_eq!(one.commit(0).await, ErrorCode::StaleMemberEpoch);
    assert_eq!(one.commit(2).await, ErrorCode::StaleMemberEpoch);
    let other = Member::new(&broker, "other");
    assert_eq!(other.commit(1).await, ErrorCode::UnknownMemberId);
    assert_eq!(one.fetch_offsets(1).await, ErrorCode::None);
    assert_eq!(one.fetch_offsets(2).await, ErrorCode::StaleMemberEpoch);
    assert_eq!(other.fetch_offsets(1).await, ErrorCode::UnknownMemberId);
}

/// What was sent before a heartbeat was answered counts, for what the member has held all the time.
#[tokio::test]
async fn offsets_of_an_older_epoch_are_taken_where_nobody_else_was_in_between() {
    let cluster = Cluster::new();
    let broker = cluster.start().await;
    let admin = Client::connect(&broker);
    admin.create_topic("t", 4, &[]).await;
    assign_at_once(&admin).await;
    let all = [true; 4];
    let (taken, stale) = (ErrorCode::None, ErrorCode::StaleMemberEpoch);
    let (mut one, mut two) = (Member::new(&broker, "one"), Member::new(&broker, "two"));
    one.join().await;
    assert_eq!(one.commit_of(&all, 1, 9).await, taken);
    assert_eq!(one.commit_of(&all, 1, 8).await, ErrorCode::UnsupportedVersion);
    assert_eq!(one.commit_of(&all, -1, 9).await, stale);
    two.join().await;
    one.beat().await;
    assert_eq!(one.commit_of(&all, 1, 9).await, taken, "what it is to give up is still its own");
    one.beat().await;
    two.beat().await;
    assert_eq!((one.epoch, two.epoch), (2, 2));
    let (kept, lost) = (one.owns(), two.owns());
    assert_eq!(one.commit_of(&kept, 1, 9).await, taken);
    assert_eq!(one.commit_of(&lost, 1, 9).await, stale);
    assert_eq!(one.commit_of(&all, 1, 9).await, stale, "one that is refused spoils the others");
    assert_eq!(one.commit_of(&all, 2, 9).await, taken, "in its epoch a member may commit anything");
    assert_eq!(two.commit_of(&lost, 1, 9).await, stale, "it has nothing since then");
    two.leave().await;
    one.beat().await;
    assert_eq!((one.epoch, one.count()), (3, 4));
    assert_eq!(one.commit_of(&kept, 2, 9).await, taken);
    assert_eq!(one.commit_of(&lost, 2, 9).await, stale, "they were somebody else's");

    broker.drain().await;
    let broker = cluster.start().await;
    one.client = Client::connect(&broker);
    assert_eq!(one.commit_of(&kept, 2, 9).await, stale, "who starts does not know more");
    assert_eq!(one.commit_of(&all, 3, 9).await, taken);
}

#[tokio::test]
async fn administrators_see_what_there_is() {
    let broker = Cluster::new().start().await;
    let admin = Client::connect(&broker);
    admin.create_topic("t", 4, &[]).await;
    let mut one = Member::new(&broker, "one");
    one.join().await;
    let request = describe::Request { group_ids: ["g", "h"].into_iter().collect(), ..Default::default() };
    let reply = admin.call(1, &request).await;
    let response: describe::Response<'_> = reply.read();
    let groups: Vec<_> = response.groups.iter().collect();
    let (group, absent) = (&groups[0], &groups[1]);
    assert_eq!((absent.error_code, absent.error_message), (ErrorCode::GroupIdNotFound, Some("Group h not found.")));
    assert_eq!((group.group_state, group.group_epoch, group.assignment_epoch), ("Stable", 1, 1));
    assert_eq!(group.assignor_name, "uniform");
    let member = group.members.iter().next().expect("a member");
    assert_eq!((member.member_id, member.member_epoch, member.member_type), ("one", 1, 1));
    assert_eq!((member.client_id, member.client_host), ("test", "/127.0.0.1"));
    let topic = member.assignment.topic_partitions.iter().next().expect("a topic");
    assert_eq!((topic.topic_name, topic.partitions.iter().collect::<Vec<_>>()), ("t", vec![0, 1, 2, 3]));

    let request = describe_groups::Request { groups: ["g"].into_iter().collect(), ..Default::default() };
    let reply = admin.call(6, &request).await;
    let response: describe_groups::Response<'_> = reply.read();
    let other = response.groups.iter().next().expect("a group");
    let expected = (ErrorCode::GroupIdNotFound, Some("Group g is not a classic group."));
    assert_eq!((other.error_code, other.error_message), expected);

    let delete = || async {
        let request = delete_groups::Request { groups_names: ["g"].into_iter().collect() };
        let reply = admin.call(2, &request).await;
        let response: delete_groups::Response<'_> = reply.read();
        response.results.iter().next().expect("a result").error_code
    };
    assert_eq!(delete().await, ErrorCode::NonEmptyGroup);
    one.leave().await;
    assert_eq!(list(&admin, "").await.len() + list(&admin, "consumer").await.len(), 1);
    assert_eq!(delete().await, ErrorCode::None);
    assert_eq!(list(&admin, "consumer").await, []);
}

#[tokio::test]
async fn what_is_no_heartbeat_is_refused() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 4, &[]).await;
    let owned = heartbeat::TopicPartitions::default();
    let long = "x".repeat(2_000);
    let form = [
        heartbeat::Request { group_id: " ", ..join("m", &["t"]) },
        join("", &["t"]),
        join(&long, &["t"]),
        heartbeat::Request { instance_id: Some(""), ..join("m", &["t"]) },
        heartbeat::Request { rack_id: Some(""), ..join("m", &["t"]) },
        heartbeat::Request { rebalance_timeout_ms: -1, ..join("m", &["t"]) },
        heartbeat::Request { topic_partitions: None, ..join("m", &["t"]) },
        heartbeat::Request { topic_partitions: Some(Array::from(vec![owned])), ..join("m", &["t"]) },
        heartbeat::Request { subscribed_topic_names: None, ..join("m", &["t"]) },
        alive("m", -2),
        alive("m", -3),
    ];
    for request in &form {
        assert_eq!(ask(&client, request).await, ErrorCode::InvalidRequest, "{request:?}");
    }
    assert_eq!(ask(&client, &alive("m", 1)).await, ErrorCode::GroupIdNotFound);
    assert_eq!(ask(&client, &alive("m", -1)).await, ErrorCode::GroupIdNotFound);
    let request = heartbeat::Request { server_assignor: Some("sticky"), ..join("m", &["t"]) };
    assert_eq!(ask(&client, &request).await, ErrorCode::UnsupportedAssignor);
    let request = heartbeat::Request { subscribed_topic_regex: Some("("), ..join("m", &[]) };
    assert_eq!(ask(&client, &request).await, ErrorCode::InvalidRegularExpression);
    assert_eq!(list(&client, "consumer").await, [], "nothing of it made a group");
    assert_eq!(ask(&client, &join("m", &["t"])).await, ErrorCode::None);
    assert_eq!(ask(&client, &alive("m", 7)).await, ErrorCode::FencedMemberEpoch);
    assert_eq!(ask(&client, &alive("n", 1)).await, ErrorCode::UnknownMemberId);
}

#[tokio::test]
async fn the_coordinator_names_members_that_have_no_name_before_version_1() {
    let broker = Cluster::new().start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 4, &[]).await;
    let reply = client.call(0, &join("", &["t"])).await;
    let response: heartbeat::Response<'_> = reply.read();
    assert_eq!(response.error_code, ErrorCode::None);
    assert_eq!(response.member_id.map(str::len), Some(36));
    assert_eq!(response.heartbeat_interval_ms, 5_000);
}

#[tokio::test]
async fn a_group_that_may_not_migrate_changes_its_type_only_while_it_is_empty() {
    let mut cluster = Cluster::new();
    cluster.settings.groups.migration = MigrationPolicy::Disabled;
    let broker = cluster.start().await;
    let client = Client::connect(&broker);
    client.create_topic("t", 4, &[]).await;
    let classic = || async {
        let protocol = join_group::JoinGroupRequestProtocol { name: "range", metadata: &[0, 0, 0, 0, 0, 0] };
        let request = join_group::Request {
            group_id: "g",
            session_timeout_ms: 10_000,
            protocol_type: "consumer",
            protocols: Array::from(vec![protocol]),
            ..Default::default()
        };
        let reply = client.call(9, &request).await;
        let response: join_group::Response<'_> = reply.read();
        response.error_code
    };
    let mut one = Member::new(&broker, "one");
    one.join().await;
    assert_eq!(classic().await, ErrorCode::InconsistentGroupProtocol);
    one.leave().await;
    assert_eq!(classic().await, ErrorCode::MemberIdRequired);
}

#[tokio::test]
async fn clients_are_told_that_they_may_choose_the_protocol() {
    let broker = Cluster::new().start().await;
    let request = api_versions::Request { client_software_name: "test", client_software_version: "1" };
    let reply = Client::connect(&broker).call(4, &request).await;
    let response: api_versions::Response<'_> = reply.read();
    let level = response.finalized_features.iter().find(|feature| feature.name == "group.version");
    assert_eq!(level.expect("it is finalized").max_version_level, 1);
}

#[tokio::test]
async fn a_member_is_told_the_heartbeat_interval_of_its_group() {
    let client = Client::connect(&Cluster::new().start().await);
    let interval = async || {
        let reply = client.call(1, &join("m", &["t"])).await;
        let response: heartbeat::Response<'_> = reply.read();
        response.heartbeat_interval_ms
    };
    assert_eq!(interval().await, 5_000);
    let configs = vec![alter::AlterableConfig {
        name: "consumer.heartbeat.interval.ms",
        config_operation: 0,
        value: Some("7000"),
    }];
    let resource = alter::AlterConfigsResource { resource_type: 32, resource_name: "g", configs: configs.into() };
    let request = alter::Request { resources: vec![resource].into(), validate_only: false };
    let reply = client.call(1, &request).await;
    let response: alter::Response<'_> = reply.read();
    assert_eq!(response.responses.iter().next().unwrap().error_code, ErrorCode::None);
    assert_eq!(interval().await, 7_000);
}
