//! Members that come, go, and say what they must not.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use kafscale_broker::groups::{
    self,
    classic::{JoinAnswer, JoinRequest},
};
use kafscale_protocol::ErrorCode;
use kafscale_runtime::timeout;

use super::*;
use crate::{
    common::Client,
    scripted::{Process, story},
};

/// The only member of a group, which has its assignment.
async fn leader(broker: &Arc<Broker>) -> (Member, Join) {
    let member = Member::new(broker);
    let joined = member.join(RANGE).await;
    member.sync(&joined, "").await.expect("it leads");
    (member, joined)
}

#[test]
fn incompatibility_18_members_that_start_together_share_a_generation_and_get_what_the_leader_gave() {
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
        let (member, _) = leader(&broker).await;
        process.runtime().sleep(Duration::from_secs(9)).await;
        assert_eq!(member.heartbeat().await, ErrorCode::None);
        process.runtime().sleep(Duration::from_secs(11)).await;
        assert_eq!(member.heartbeat().await, ErrorCode::UnknownMemberId);
        assert_eq!(described(&member.client).await, ("Empty".to_owned(), 0));
    });
}

#[test]
fn a_group_whose_save_arrives_after_it_was_given_up_has_its_timers_again() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let gone = Member::new(&broker);
        let joined = gone.join(RANGE).await;
        process.store.hold(|name| name.starts_with("log/"));
        assert!(gone.sync(&joined, "").await.is_err(), "it is not saved");
        process.store.let_go();
        process.runtime().sleep(Duration::from_secs(5)).await;
        let other = Member::new(&broker);
        let found = timeout(&**process.runtime(), Duration::from_secs(100), other.join(RANGE)).await;
        let found = found.expect("who is gone is not waited for longer than its session");
        assert_eq!((found.generation, found.members.len()), (joined.generation + 1, 1));
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
fn a_successor_waits_for_whom_its_predecessor_may_have_heard_last() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let (member, _) = leader(&broker).await;
        let next = Process::new(&world, &memory).cluster.start().await;
        let heard = Member { client: Client::connect(&next), ..member };
        process.runtime().sleep(Duration::from_secs(14)).await;
        assert_eq!(heard.heartbeat().await, ErrorCode::None, "ten seconds after five in which it was heard elsewhere");
        process.runtime().sleep(Duration::from_secs(11)).await;
        assert_eq!(heard.heartbeat().await, ErrorCode::UnknownMemberId);
    });
}

#[test]
fn a_successor_gives_time_to_rebalance_to_whom_its_predecessor_may_still_answer() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let (member, joined) = leader(&broker).await;
        let next = Process::new(&world, &memory).cluster.start().await;
        let member = Member { client: Client::connect(&next), ..member };
        let other = Member::new(&next);
        let lives = async {
            for _ in 0..16 {
                process.runtime().sleep(Duration::from_secs(4)).await;
                assert_eq!(member.heartbeat().await, ErrorCode::RebalanceInProgress, "it may still join again");
            }
        };
        let (found, ()) = join(other.join(RANGE), lives).await;
        assert_eq!((found.generation, found.members.len()), (joined.generation + 1, 1));
    });
}

#[test]
fn a_follower_that_joins_again_with_nothing_new_disturbs_nobody() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let (one, other) = (Member::new(&broker), Member::new(&broker));
        one.client.create_topic("mine", 1, &[]).await;
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

#[test]
fn the_protocol_with_most_votes_among_those_that_all_support_is_chosen() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let likes: [&[(&str, &[u8])]; 3] = [
            &[("mine", b"1"), ("sticky", b"1"), ("range", b"1")],
            &[("range", b"2"), ("sticky", b"2"), ("other", b"2")],
            &[("sticky", b"3"), ("range", b"3")],
        ];
        // The first one's favourite is not supported by all: its vote goes to the next on its list.
        let members: Vec<Member> = likes.iter().map(|_| Member::new(&broker)).collect();
        let joins = members.iter().zip(likes).map(|(member, protocols)| member.join(protocols));
        for joined in futures_util::future::join_all(joins).await {
            assert_eq!((joined.error, joined.protocol.as_deref()), (ErrorCode::None, Some("sticky")));
        }
        let other = Member::new(&broker);
        let refused = other.join_once(&[("mine", b""), ("other", b"")]).await;
        assert_eq!(refused.error, ErrorCode::InconsistentGroupProtocol, "each is supported by one, none by all");
    });
}

#[test]
fn members_that_do_not_ask_for_their_assignment_are_removed_and_the_others_rebalance() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let (one, other) = (Member::new(&broker), Member::new(&broker));
        let (first, second) = join(one.join(RANGE), other.join(RANGE)).await;
        let (leader, follower, led) =
            if first.leader == first.member_id { (&one, &other, &second) } else { (&other, &one, &first) };
        // The leader lives, and assigns nothing for longer than a rebalance may take.
        let (synced, ()) = join(follower.sync(led, ""), async {
            for _ in 0..16 {
                process.runtime().sleep(Duration::from_secs(4)).await;
                leader.heartbeat().await;
            }
        })
        .await;
        assert_eq!(synced, Err(ErrorCode::RebalanceInProgress));
        assert_eq!(leader.heartbeat().await, ErrorCode::UnknownMemberId);
        let again = follower.join(RANGE).await;
        assert_eq!((again.generation, again.members.len()), (led.generation + 1, 1));
        assert!(follower.sync(&again, "").await.is_ok());
    });
}

#[test]
fn the_initial_delay_grows_while_members_come_but_not_beyond_the_rebalance_timeout() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.cluster.settings.groups.initial_rebalance_delay = Duration::from_secs(10);
        let broker = process.cluster.start().await;
        let started = process.runtime().now();
        // One every eight seconds; each rebalance timeout is 60 s.
        let joins = (0..12).map(|at| {
            let (member, runtime) = (Member::new(&broker), process.runtime().clone());
            async move {
                runtime.sleep(Duration::from_secs(8 * at)).await;
                let joined = member.join(RANGE).await;
                (joined.generation, runtime.now())
            }
        });
        let joined = futures_util::future::join_all(joins).await;
        let first: Vec<_> = joined.iter().filter(|(generation, _)| *generation == 1).collect();
        let took = first[0].1 - started;
        assert!((Duration::from_secs(59)..Duration::from_secs(63)).contains(&took), "{took:?}");
        assert_eq!(first.len(), 8, "those who came until then");
    });
}

/// One of a hundred thousand clients.
fn flooding(requires_known_id: bool, metadata: &Bytes) -> JoinRequest {
    JoinRequest {
        member_id: String::new(),
        instance_id: None,
        client_id: "flood".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout: Duration::from_secs(10),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), metadata.clone())],
        requires_known_id,
        can_skip_assignment: true,
    }
}

const FLOOD: usize = 100_000;

#[test]
fn a_flood_of_members_meets_the_size_of_the_group() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.cluster.settings.groups.max_size = 100;
        let groups = process.cluster.start().await.groups().clone();
        groups.ready("g").await.expect("it coordinates");
        let metadata = Bytes::from(vec![0; 200]);
        let mut answers: Vec<_> = (0..FLOOD).map(|_| groups.join("g", flooding(false, &metadata))).collect();
        let full = |answer: &JoinAnswer| matches!(answer, Err((groups::Error::GroupFull, _)));
        answers.retain_mut(|answer| !answer.try_recv().is_ok_and(|answer| full(&answer)));
        assert_eq!((answers.len(), groups.counts()), (100, (1, 100)));
        for answer in answers {
            assert!(answer.await.expect("it is answered").is_ok(), "those who have a place form a generation");
        }
    });
}

#[test]
fn a_flood_of_heavy_members_meets_the_weight_of_a_group_and_of_all() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let groups = process.cluster.start().await.groups().clone();
        groups.ready("g").await.expect("it coordinates");
        let metadata = Bytes::from(vec![0; 100 << 10]);
        let mut members = 0;
        for at in 0..FLOOD {
            let group = format!("g{}", at / 1_000);
            let mut answer = groups.join(&group, flooding(false, &metadata));
            members += u64::from(answer.try_recv().is_err());
        }
        let (in_memory, counted) = groups.counts();
        assert_eq!(counted, members);
        // 16 MiB of one group, 256 MiB of all of them.
        assert_eq!(in_memory, 17, "16 of them are full, and one more was let in before they weighed it");
        assert!((2_400..=2_800).contains(&members), "{members} members of 100 KiB");
    });
}

#[test]
fn a_flood_of_ids_is_bounded_and_forgotten() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let member = Member::new(&broker);
        let joined = member.join(RANGE).await;
        assert!(member.sync(&joined, "").await.is_ok());
        let groups = broker.groups();
        let metadata = Bytes::from(vec![0; 200]);
        let (mut given, mut refused) = (0, 0);
        for _ in 0..FLOOD {
            match groups.join("g", flooding(true, &metadata)).try_recv() {
                Ok(Err((groups::Error::MemberIdRequired, _))) => given += 1,
                Ok(Err((groups::Error::GroupFull, _))) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        // Ids are given out until they weigh what a group may.
        assert!(given > 10_000 && refused > 1_000, "{given} ids given, {refused} refused");
        assert_eq!((member.heartbeat().await, groups.counts()), (ErrorCode::None, (1, 1)));
        // Who never comes back is forgotten, and the group goes on.
        for _ in 0..4 {
            process.runtime().sleep(Duration::from_secs(4)).await;
            assert_eq!(member.heartbeat().await, ErrorCode::None);
        }
        assert_eq!(Member::new(&broker).join_once(RANGE).await.error, ErrorCode::MemberIdRequired);
    });
}
