//! Committed offsets.

use std::time::Duration;

use futures_util::future::join_all;
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
fn offsets_without_members_are_committed_fetched_and_deleted() {
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
