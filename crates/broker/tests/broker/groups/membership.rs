//! Members that come, go, and say what they must not.

use std::time::Duration;

use futures_util::future::join;
use kafscale_protocol::ErrorCode;

use super::*;
use crate::{
    common::Client,
    scripted::{Process, story},
};

#[test]
fn members_that_start_together_share_a_generation_and_get_what_the_leader_gave() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let (one, other) = (Member::new(&broker), Member::new(&broker));
        let started = process.runtime().now();
        let (first, second) = join(one.join(RANGE), other.join(RANGE)).await;
        let took = process.runtime().now() - started;
        assert!((Duration::from_secs(3)..Duration::from_secs(7)).contains(&took), "the initial delay: {took:?}");
        assert_eq!((first.generation, second.generation), (1, 1));
        assert_eq!(first.leader, second.leader);
        let (leader, led) = if first.leader == first.member_id { (&first, &second) } else { (&second, &first) };
        assert_eq!((leader.members.len(), led.members.len()), (2, 0));
        let (mine, yours) = join(one.sync(&first, "!"), other.sync(&second, "!")).await;
        assert_eq!(mine, Ok(format!("{}!", first.member_id)));
        assert_eq!(yours, Ok(format!("{}!", second.member_id)));
        assert_eq!((one.heartbeat().await, other.heartbeat().await), (ErrorCode::None, ErrorCode::None));
        assert_eq!(described(&one.client).await, ("Stable".to_owned(), 2));
        assert_eq!(other.leave().await, ErrorCode::None);
        assert_eq!(one.heartbeat().await, ErrorCode::RebalanceInProgress);
        let again = one.join(RANGE).await;
        assert_eq!((again.generation, again.members.len()), (2, 1));
        assert_eq!(one.sync(&again, "").await, Ok(again.member_id.clone()));
        assert_eq!(one.leave().await, ErrorCode::None);
        assert_eq!(described(&one.client).await, ("Empty".to_owned(), 0));
    });
}

#[test]
fn a_silent_member_is_removed_after_its_session_timeout() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let member = Member::new(&broker);
        let joined = member.join(RANGE).await;
        member.sync(&joined, "").await.expect("it leads");
        process.runtime().sleep(Duration::from_secs(9)).await;
        assert_eq!(member.heartbeat().await, ErrorCode::None);
        process.runtime().sleep(Duration::from_secs(11)).await;
        assert_eq!(member.heartbeat().await, ErrorCode::UnknownMemberId);
        assert_eq!(described(&member.client).await, ("Empty".to_owned(), 0));
    });
}

#[test]
fn a_broker_that_starts_again_goes_on_without_a_rebalance() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let member = Member::new(&broker);
        member.client.create_topic("mine", 1, &[]).await;
        let joined = member.join(RANGE).await;
        member.sync(&joined, "").await.expect("it leads");
        assert_eq!(member.commit(7).await, ErrorCode::None);
        let next = Process::new(&world, &memory).cluster.start().await;
        let member = Member { client: Client::connect(&next), ..member };
        assert_eq!(described(&member.client).await, ("Stable".to_owned(), 1));
        assert_eq!(member.heartbeat().await, ErrorCode::None);
        assert_eq!(member.commit(8).await, ErrorCode::None);
        assert_eq!(fetched(&member.client, "g").await, 8);
        let again = member.join(RANGE).await;
        assert_eq!(again.generation, joined.generation + 1, "a leader that joins again has reasons");
    });
}

#[test]
fn a_follower_that_joins_again_with_nothing_new_disturbs_nobody() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let (one, other) = (Member::new(&broker), Member::new(&broker));
        let (first, second) = join(one.join(RANGE), other.join(RANGE)).await;
        let _ = join(one.sync(&first, ""), other.sync(&second, "")).await;
        let (leader, follower, was) =
            if first.leader == first.member_id { (&one, &other, &second) } else { (&other, &one, &first) };
        let again = follower.join(RANGE).await;
        assert_eq!((again.generation, again.members.len()), (was.generation, 0));
        assert_eq!(follower.sync(&again, "").await, Ok(was.member_id.clone()));
        assert_eq!(leader.heartbeat().await, ErrorCode::None);
        let changed = [("range", &b"other"[..])];
        let (rejoined, _) = join(follower.join(&changed), async {
            process.runtime().sleep(Duration::from_secs(1)).await;
            assert_eq!(leader.heartbeat().await, ErrorCode::RebalanceInProgress);
            leader.join(RANGE).await
        })
        .await;
        assert_eq!(rejoined.generation, was.generation + 1);
        assert_eq!(follower.commit(1).await, ErrorCode::RebalanceInProgress, "nothing is assigned yet");
    });
}

#[test]
fn who_must_not_join_or_sync_is_told_why() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let member = Member::new(&broker);
        *member.id.lock() = "nobody".to_owned();
        assert_eq!(member.join_once(RANGE).await.error, ErrorCode::UnknownMemberId);
        assert_eq!(member.heartbeat().await, ErrorCode::UnknownMemberId);
        assert_eq!(member.leave().await, ErrorCode::UnknownMemberId);
        *member.id.lock() = String::new();
        assert_eq!(member.join_once(&[]).await.error, ErrorCode::InconsistentGroupProtocol);
        let invited = member.join_once(RANGE).await;
        assert_eq!(invited.error, ErrorCode::MemberIdRequired);
        assert!(invited.member_id.starts_with("test-"), "{invited:?}");
        let joined = member.join(RANGE).await;
        let other = Member::new(&broker);
        assert_eq!(other.join_once(&[("sticky", b"")]).await.error, ErrorCode::InconsistentGroupProtocol);
        *member.generation.lock() += 1;
        assert_eq!(member.sync(&joined, "").await, Err(ErrorCode::IllegalGeneration));
        assert_eq!(member.heartbeat().await, ErrorCode::IllegalGeneration);
        *member.generation.lock() -= 1;
        let wrong = Join { protocol: Some("sticky".to_owned()), ..joined.clone() };
        assert_eq!(member.sync(&wrong, "").await, Err(ErrorCode::InconsistentGroupProtocol));
        assert!(member.sync(&joined, "").await.is_ok());
    });
}

#[test]
fn a_group_is_full_at_its_size() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.cluster.settings.groups.max_size = 1;
        let broker = process.cluster.start().await;
        let (one, other) = (Member::new(&broker), Member::new(&broker));
        let joined = one.join(RANGE).await;
        assert_eq!(joined.error, ErrorCode::None);
        assert_eq!(other.join_once(RANGE).await.error, ErrorCode::GroupMaxSizeReached);
        assert!(one.sync(&joined, "").await.is_ok());
        assert_eq!(one.heartbeat().await, ErrorCode::None);
    });
}
