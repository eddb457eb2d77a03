//! Static members (KIP-345).

use std::time::Duration;

use kafscale_protocol::ErrorCode;

use super::*;
use crate::scripted::{Process, story};

#[test]
fn incompatibility_19_a_static_member_takes_its_own_place_again_and_fences_who_had_it() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let before = Member::fixed(&broker, "a");
        before.client.create_topic("mine", 1, &[]).await;
        let joined = before.join(RANGE).await;
        assert!(joined.member_id.starts_with("a-"), "{joined:?}");
        assert_eq!(before.sync(&joined, "").await, Ok(joined.member_id.clone()));
        let after = Member::fixed(&broker, "a");
        let back = after.join(RANGE).await;
        assert_eq!((back.error, back.generation, back.skips), (ErrorCode::None, joined.generation, true));
        assert_ne!(back.member_id, joined.member_id);
        assert_eq!(after.sync(&back, "not asked").await, Ok(joined.member_id.clone()), "it keeps its assignment");
        assert_eq!(before.heartbeat().await, ErrorCode::FencedInstanceId);
        assert_eq!(before.join_once(RANGE).await.error, ErrorCode::FencedInstanceId);
        assert_eq!(before.leave().await, ErrorCode::FencedInstanceId);
        assert_eq!(before.commit(1).await, ErrorCode::UnknownMemberId);
        assert_eq!(after.commit(1).await, ErrorCode::None);
        // Also after the broker started anew.
        let next = Process::new(&world, &memory).cluster.start().await;
        let before = Member { client: Client::connect(&next), ..before };
        assert_eq!(before.heartbeat().await, ErrorCode::FencedInstanceId);
    });
}

#[test]
fn an_operator_removes_a_static_member_by_its_instance() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let member = Member::fixed(&broker, "a");
        let joined = member.join(RANGE).await;
        member.sync(&joined, "").await.expect("it leads");
        let gone = leave(&member.client, &[("", Some("a")), ("", Some("b")), ("", None)]).await;
        assert_eq!(gone, [ErrorCode::None, ErrorCode::UnknownMemberId, ErrorCode::UnknownMemberId]);
        assert_eq!(described(&member.client).await, ("Empty".to_owned(), 0));
    });
}

#[test]
fn a_static_member_that_is_away_is_waited_for_until_its_session_ends() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let (away, stays) = (Member::fixed(&broker, "away"), Member::fixed(&broker, "stays"));
        let (first, second) = futures_util::future::join(away.join(RANGE), stays.join(RANGE)).await;
        let _ = futures_util::future::join(away.sync(&first, ""), stays.sync(&second, "")).await;
        for _ in 0..3 {
            process.runtime().sleep(Duration::from_secs(3)).await;
            assert_eq!(stays.heartbeat().await, ErrorCode::None);
        }
        process.runtime().sleep(Duration::from_secs(3)).await;
        assert_eq!(stays.heartbeat().await, ErrorCode::RebalanceInProgress);
        let alone = stays.join(RANGE).await;
        assert_eq!((alone.generation, alone.members.len()), (second.generation + 1, 1));
    });
}
