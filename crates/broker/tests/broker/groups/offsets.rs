//! Committed offsets.

use std::time::Duration;

use futures_util::future::{join, join_all};
use kafscale_protocol::{
    ErrorCode,
    messages::{delete_groups, list_groups, offset_delete, offset_fetch},
};

use super::*;
use crate::{
    common::Client,
    scripted::{Process, story},
};

const NOBODY: (&str, i32) = ("", -1);

#[test]
fn incompatibility_20_offsets_without_members_are_committed_fetched_and_deleted() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        assert_eq!(commit(&client, "g", NOBODY, 1).await, ErrorCode::UnknownTopicOrPartition);
        assert_eq!(
            commit(&client, "g", ("nobody", 3), 1).await,
            ErrorCode::UnknownTopicOrPartition,
            "before the group"
        );
        client.create_topic("mine", 1, &[]).await;
        assert_eq!(fetched(&client, "g").await, -1);
        assert_eq!(commit(&client, "g", ("nobody", 3), 5).await, ErrorCode::IllegalGeneration);
        assert_eq!(commit(&client, "g", NOBODY, 5).await, ErrorCode::None);
        assert_eq!(commit(&client, "g", NOBODY, 5).await, ErrorCode::None, "nothing new");
        assert_eq!(fetched(&client, "g").await, 5);
        let all = offset_fetch::Request { group_id: "g", topics: None, ..Default::default() };
        let reply = client.call(7, &all).await;
        let answer: offset_fetch::Response<'_> = reply.read();
        let topic = answer.topics.iter().next().expect("one topic");
        let partition = topic.partitions.iter().next().expect("one partition");
        assert_eq!((topic.name, partition.committed_offset, partition.metadata), ("mine", 5, Some("note")));
        assert_eq!(partition.committed_leader_epoch, 0);
        assert_eq!(delete_offsets(&client).await, Ok(ErrorCode::None));
        assert_eq!(fetched(&client, "g").await, -1);
        assert_eq!(delete_group(&client).await, ErrorCode::None);
        assert_eq!(delete_group(&client).await, ErrorCode::GroupIdNotFound);
        assert_eq!(delete_offsets(&client).await, Err(ErrorCode::GroupIdNotFound));
    });
}

#[test]
fn members_commit_under_their_generation_only_and_their_topics_keep_their_offsets() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let member = Member::new(&broker);
        member.client.create_topic("mine", 1, &[]).await;
        let joined = member.join(RANGE).await;
        assert_eq!(member.commit(1).await, ErrorCode::RebalanceInProgress);
        member.sync(&joined, "").await.expect("it leads");
        assert_eq!(member.commit(1).await, ErrorCode::None);
        assert_eq!(commit(&member.client, "g", NOBODY, 9).await, ErrorCode::UnknownMemberId);
        *member.generation.lock() -= 1;
        assert_eq!(member.commit(9).await, ErrorCode::IllegalGeneration);
        assert_eq!(fetched(&member.client, "g").await, 1);
        assert_eq!(delete_offsets(&member.client).await, Ok(ErrorCode::GroupSubscribedToTopic));
        assert_eq!(delete_group(&member.client).await, ErrorCode::NonEmptyGroup);
        assert_eq!(listed(&member.client, &["stable"]).await, ["g"]);
        assert!(listed(&member.client, &["Empty", "Dead"]).await.is_empty());
        *member.generation.lock() += 1;
        assert_eq!(member.leave().await, ErrorCode::None);
        assert_eq!(commit(&member.client, "g", NOBODY, 9).await, ErrorCode::None);
    });
}

/// A member keeps what it reads until it joins again, and commits it under the generation that it joined last, even if that
/// one gave way to the next before anything was assigned in it.
#[test]
fn members_commit_under_a_generation_that_was_never_saved() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let [one, two, three, four] = std::array::from_fn(|_| Member::new(&broker));
        one.client.create_topic("mine", 1, &[]).await;
        assert_eq!(one.join(RANGE).await.generation, 1);
        let committed = during(two.join(RANGE), async {
            process.runtime().sleep(Duration::from_secs(1)).await;
            one.commit(1).await
        });
        assert_eq!(committed.await, ErrorCode::None, "the group was never saved");
        let (joined, follows) = join(one.join(RANGE), two.join(RANGE)).await;
        let _ = join(one.sync(&joined, ""), two.sync(&follows, "")).await;
        let given = assigned(&one.client).await;
        assert!(given.iter().all(|(member, assignment)| member == assignment), "{given:?}");

        let of_both = during(three.join(RANGE), async {
            process.runtime().sleep(Duration::from_secs(1)).await;
            assigned(&one.client).await
        });
        assert_eq!(without(&three, of_both.await), given, "they have it until they join again");
        let ((joined, _), _) = join(join(one.join(RANGE), two.join(RANGE)), three.join(RANGE)).await;
        assert_eq!(joined.generation, 3);
        assert_eq!(one.commit(2).await, ErrorCode::RebalanceInProgress);
        assert_eq!(without(&three, assigned(&one.client).await), given, "nothing else was given yet");

        let _ = during(four.join(RANGE), async {
            process.runtime().sleep(Duration::from_secs(1)).await;
            assert_eq!(one.commit(3).await, ErrorCode::None, "the group was saved in generation 2");
            assert!(assigned(&one.client).await.iter().all(|(_, assignment)| assignment.is_empty()));
            *one.generation.lock() -= 1;
            assert_eq!(one.commit(4).await, ErrorCode::IllegalGeneration);
            assert_eq!(fetched(&one.client, "g").await, 3);
        })
        .await;
    });
}

/// Does something while a join waits, which is given up then.
async fn during<R>(join: impl Future<Output = Join>, what: impl Future<Output = R>) -> R {
    tokio::select! {
        joined = join => panic!("it waits for the others: {}", joined.generation),
        done = what => done,
    }
}

fn without(member: &Member, assigned: Vec<(String, String)>) -> Vec<(String, String)> {
    assigned.into_iter().filter(|(id, _)| *id != *member.id.lock()).collect()
}

#[test]
fn offsets_of_a_group_that_nobody_uses_expire_and_the_group_with_them() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.cluster.settings.groups.offsets_retention = Duration::from_secs(3_600);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("mine", 1, &[]).await;
        assert_eq!(commit(&client, "g", NOBODY, 5).await, ErrorCode::None);
        process.runtime().sleep(Duration::from_secs(3_000)).await;
        assert_eq!(fetched(&client, "g").await, 5);
        process.runtime().sleep(Duration::from_secs(1_900)).await;
        assert_eq!(fetched(&client, "g").await, -1);
        assert!(listed(&client, &[]).await.is_empty());
    });
}

#[test]
fn a_thousand_groups_that_commit_every_five_seconds_cost_four_appends_a_second() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        process.store.costs_money();
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("mine", 1, &[]).await;
        let before = broker.replica().applied();
        let seconds = 20;
        let groups = (0..1_000u64).map(|n| {
            let (runtime, client) = (process.runtime().clone(), Client::connect(&broker));
            async move {
                runtime.sleep(Duration::from_millis(5 * n)).await;
                for round in 0..seconds / 5 {
                    let started = runtime.now();
                    let committed = commit(&client, &format!("g{n}"), NOBODY, round).await;
                    assert_eq!(committed, ErrorCode::None);
                    runtime.sleep(Duration::from_secs(5).saturating_sub(runtime.now() - started)).await;
                }
            }
        });
        join_all(groups).await;
        let appends = broker.replica().applied() - before;
        // The last groups begin five seconds after the first.
        assert!(appends <= 4 * (seconds as u64 + 5), "{appends} appends");
        assert_eq!(fetched(&client, "g999").await, seconds / 5 - 1);
    });
}

#[test]
fn a_client_that_commits_and_waits_is_not_held_up_by_the_timer() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        process.store.costs_money();
        let broker = process.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("mine", 1, &[]).await;
        let (before, started) = (broker.replica().applied(), process.runtime().now());
        let seconds = 20;
        let mut commits = 0;
        while process.runtime().now() - started < Duration::from_secs(seconds) {
            assert_eq!(commit(&client, "g", NOBODY, commits).await, ErrorCode::None);
            commits += 1;
        }
        let appends = broker.replica().applied() - before;
        assert!(commits > 3 * 4 * seconds as i64, "{commits} commits: the timer alone makes four a second");
        // The tokens of the balanced dial: 20 a second, and 40 in one go.
        assert!(appends <= 20 * seconds + 45, "{appends} appends");
        // One that commits now and then waits for the timer, and shares its append with others.
        process.runtime().sleep(Duration::from_secs(1)).await;
        let started = process.runtime().now();
        assert_eq!(commit(&client, "g", NOBODY, commits).await, ErrorCode::None);
        assert!(process.runtime().now() - started >= Duration::from_millis(250));
    });
}

/// What a commit of version 9 or 10 says of each partition.
async fn commit_with(client: &Client, version: i16, topic: (&str, Uuid), metadata: &str) -> Vec<ErrorCode> {
    let partitions = [0, 7].map(|partition_index| offset_commit::OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 3,
        committed_metadata: Some(metadata),
        ..Default::default()
    });
    let (name, topic_id) = topic;
    let topic = offset_commit::OffsetCommitRequestTopic { name, topic_id, partitions: partitions.to_vec().into() };
    let request = offset_commit::Request {
        group_id: "g",
        generation_id_or_member_epoch: -1,
        topics: vec![topic].into(),
        ..Default::default()
    };
    let reply = client.call(version, &request).await;
    let answer: offset_commit::Response<'_> = reply.read();
    let topic = answer.topics.iter().next().expect("one topic");
    assert_eq!((topic.name, topic.topic_id), (name, topic_id));
    topic.partitions.iter().map(|partition| partition.error_code).collect()
}

#[test]
fn metadata_beyond_its_limit_is_refused_and_the_rest_is_committed() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.cluster.settings.groups.offset_metadata_max = 4;
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("mine", 1, &[]).await;
        let (unknown, large) = (ErrorCode::UnknownTopicOrPartition, ErrorCode::OffsetMetadataTooLarge);
        let topic = ("mine", Uuid::ZERO);
        assert_eq!(commit_with(&client, 9, topic, "12345").await, [large, unknown]);
        assert_eq!(fetched(&client, "g").await, -1);
        // Characters are counted as Kafka counts them, not bytes.
        assert_eq!(commit_with(&client, 9, topic, "größ").await, [ErrorCode::None, unknown]);
        assert_eq!(commit_with(&client, 9, topic, "a😀😀").await, [large, unknown]);
        assert_eq!(fetched(&client, "g").await, 3);
    });
}

#[test]
fn offsets_are_committed_and_fetched_by_the_ids_of_topics() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        let id = client.create_topic("mine", 1, &[]).await;
        let nowhere = Uuid([7; 16]);
        let unknown = ErrorCode::UnknownTopicOrPartition;
        assert_eq!(commit_with(&client, 10, ("", nowhere), "").await, [ErrorCode::UnknownTopicId; 2]);
        assert_eq!(commit_with(&client, 10, ("", id), "").await, [ErrorCode::None, unknown]);
        let asked = |topic_id| offset_fetch::OffsetFetchRequestTopics {
            topic_id,
            partition_indexes: vec![0, 7].into(),
            ..Default::default()
        };
        let topics = Some(vec![asked(id), asked(nowhere)].into());
        let group = offset_fetch::OffsetFetchRequestGroup { group_id: "g", topics, ..Default::default() };
        let request = offset_fetch::Request { groups: vec![group].into(), ..Default::default() };
        let reply = client.call(10, &request).await;
        let answer: offset_fetch::Response<'_> = reply.read();
        let group = answer.groups.iter().next().expect("one group");
        let told = |topic: offset_fetch::OffsetFetchResponseTopics<'_>| {
            let partitions = topic.partitions.iter().map(|one| (one.committed_offset, one.error_code));
            (topic.topic_id, partitions.collect::<Vec<_>>())
        };
        let told: Vec<_> = group.topics.iter().map(told).collect();
        assert_eq!(told[0].1[0], (3, ErrorCode::None));
        assert_eq!((told[0].0, told[0].1[1].0), (id, -1));
        assert_eq!(told[1], (nowhere, vec![(-1, ErrorCode::UnknownTopicId); 2]));
        // A topic of the same name that was created anew is another one.
        let request = kafscale_protocol::messages::delete_topics::Request {
            topic_names: vec!["mine"].into(),
            timeout_ms: 1_000,
            ..Default::default()
        };
        client.call(5, &request).await;
        client.create_topic("mine", 1, &[]).await;
        assert_eq!(commit_with(&client, 10, ("", id), "").await, [ErrorCode::UnknownTopicId; 2]);
        assert_eq!(fetched(&client, "g").await, -1);
    });
}

async fn delete_group(client: &Client) -> ErrorCode {
    let reply = client.call(2, &delete_groups::Request { groups_names: vec!["g"].into() }).await;
    let answer: delete_groups::Response<'_> = reply.read();
    answer.results.iter().next().expect("one group").error_code
}

async fn delete_offsets(client: &Client) -> Result<ErrorCode, ErrorCode> {
    let partition = offset_delete::OffsetDeleteRequestPartition { partition_index: 0 };
    let topic = offset_delete::OffsetDeleteRequestTopic { name: "mine", partitions: vec![partition].into() };
    let reply = client.call(0, &offset_delete::Request { group_id: "g", topics: vec![topic].into() }).await;
    let answer: offset_delete::Response<'_> = reply.read();
    match answer.error_code {
        ErrorCode::None => {
            let topic = answer.topics.iter().next().expect("one topic");
            Ok(topic.partitions.iter().next().expect("one partition").error_code)
        }
        error => Err(error),
    }
}

async fn listed(client: &Client, states: &[&str]) -> Vec<String> {
    let request = list_groups::Request { states_filter: states.to_vec().into(), types_filter: vec!["Classic"].into() };
    let reply = client.call(5, &request).await;
    let answer: list_groups::Response<'_> = reply.read();
    answer.groups.iter().map(|group| group.group_id.to_owned()).collect()
}
