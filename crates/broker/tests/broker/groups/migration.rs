//! Groups that change their protocol while they have members.

mod classic;

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::{join, join_all};
use kafscale_broker::MigrationPolicy;
use kafscale_protocol::{
    ErrorCode,
    messages::{consumer_group_describe, consumer_group_heartbeat, sync_group},
};

use self::classic::{Classic, assignment, subscription};
use super::leave;
use crate::{
    common::Client,
    consumer_groups::{self, Member, alive, list},
    scripted::{Process, story},
};

const PARTITIONS: i32 = 4;

/// What a member of KIP-848 owns.
fn owned(member: &Member) -> Vec<i32> {
    member.owned.iter().flat_map(|(_, partitions)| partitions.clone()).collect()
}

/// All heartbeat until they own every partition, none of which ever has two owners.
async fn settle(process: &Process, classics: &mut [Classic], consumers: &mut [Member]) {
    for _ in 0..6 {
        for at in 0..consumers.len() {
            assert_eq!(consumers[at].beat().await.error, ErrorCode::None, "{}", consumers[at].id);
            check(classics, consumers);
        }
        join_all(classics.iter_mut().map(Classic::live)).await;
        check(classics, consumers);
        process.runtime().sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(check(classics, consumers), PARTITIONS as usize);
}

fn check(classics: &[Classic], consumers: &[Member]) -> usize {
    let mut all = BTreeSet::new();
    for index in classics.iter().flat_map(|member| member.owned.clone()).chain(consumers.iter().flat_map(owned)) {
        assert!(all.insert(index), "partition {index} has two owners");
    }
    all.len()
}

/// The type of the group, and its state.
async fn kind(client: &Client) -> (&'static str, String) {
    for kind in ["classic", "consumer"] {
        if let Some((_, phase)) = list(client, kind).await.pop() {
            return (kind, phase);
        }
    }
    panic!("there is no group");
}

/// Each member's type and epoch.
async fn members(client: &Client) -> Vec<(i8, i32)> {
    let request = consumer_group_describe::Request { group_ids: ["g"].into_iter().collect(), ..Default::default() };
    let reply = client.call(1, &request).await;
    let response: consumer_group_describe::Response<'_> = reply.read();
    let group = response.groups.iter().next().expect("a group");
    let mut members: Vec<_> = group.members.iter().map(|member| (member.member_type, member.member_epoch)).collect();
    members.sort_unstable();
    members
}

#[test]
fn one_member_of_each_protocol_share_a_group_and_the_other_one_gets_it_back() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let admin = Client::connect(&broker);
        admin.create_topic("t", PARTITIONS, &[]).await;
        let mut old = Classic::new(Client::connect(&broker));
        old.enter().await;
        assert_eq!((old.owned.len(), old.commit().await), (4, ErrorCode::None));
        assert_eq!(kind(&admin).await, ("classic", "Stable".to_owned()));
        let generation = old.generation;

        let mut new = Member::new(&broker, "new");
        let joined = new.join().await;
        assert_eq!((joined.error, joined.epoch, joined.assigned), (ErrorCode::None, generation + 1, Some(0)));
        assert_eq!(kind(&admin).await, ("consumer", "Reconciling".to_owned()));
        assert_eq!(members(&admin).await, [(0, generation), (1, generation + 1)]);
        assert_eq!(old.beat().await, ErrorCode::RebalanceInProgress);
        assert_eq!(old.commit().await, ErrorCode::None, "it owns all of it still");
        assert_eq!(old.sync(&[]).await, Err(ErrorCode::RebalanceInProgress), "it must join first");
        let members = old.join().await.expect("it may");
        assert_eq!((members.len(), old.generation), (0, generation), "nobody leads, and it has to give up first");
        old.sync(&[]).await.expect("it hears what it keeps");
        assert_eq!((old.owned.len(), new.beat().await.assigned), (2, None));
        assert_eq!(old.beat().await, ErrorCode::RebalanceInProgress, "it has to say that it has given up");
        old.enter().await;
        assert_eq!((old.owned.len(), old.generation, old.beat().await), (2, generation + 1, ErrorCode::None));
        assert_eq!(new.beat().await.assigned, Some(2));
        check(std::slice::from_ref(&old), std::slice::from_ref(&new));
        assert_eq!(kind(&admin).await, ("consumer", "Stable".to_owned()));
        assert_eq!((old.commit().await, new.commit(generation + 1).await), (ErrorCode::None, ErrorCode::None));
        old.generation -= 1;
        let told = (old.beat().await, old.commit().await);
        assert_eq!(told, (ErrorCode::IllegalGeneration, ErrorCode::None), "it has held that partition since then");
        old.generation += 1;

        assert_eq!(new.leave().await.epoch, -1);
        assert_eq!(kind(&admin).await, ("classic", "PreparingRebalance".to_owned()));
        assert_eq!(new.beat().await.error, ErrorCode::GroupIdNotFound);
        assert_eq!((old.beat().await, old.commit().await), (ErrorCode::RebalanceInProgress, ErrorCode::None));
        old.enter().await;
        assert_eq!((old.owned.len(), old.generation), (4, generation + 2));
        assert_eq!(kind(&admin).await, ("classic", "Stable".to_owned()));
        assert_eq!(old.commit().await, ErrorCode::None);
    });
}

#[test]
fn three_members_are_rolled_to_the_other_protocol_and_back() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let admin = Client::connect(&broker);
        admin.create_topic("t", PARTITIONS, &[]).await;
        let mut classics: Vec<Classic> = (0..3).map(|_| Classic::new(Client::connect(&broker))).collect();
        join_all(classics.iter_mut().map(Classic::enter)).await;
        let mut consumers: Vec<Member> = Vec::new();
        settle(&process, &mut classics, &mut consumers).await;
        for name in ["new-0", "new-1", "new-2"] {
            classics.pop().expect("one is left").leave().await;
            let mut member = Member::new(&broker, name);
            assert_eq!(member.join().await.error, ErrorCode::None);
            consumers.push(member);
            settle(&process, &mut classics, &mut consumers).await;
            assert_eq!(kind(&admin).await, ("consumer", "Stable".to_owned()));
        }
        for _ in 0..3 {
            assert_eq!(kind(&admin).await.0, "consumer");
            assert_eq!(consumers.pop().expect("one is left").leave().await.error, ErrorCode::None);
            let mut member = Classic::new(Client::connect(&broker));
            // The others may have to join, too: the group may have become a classic one.
            join(member.enter(), join_all(classics.iter_mut().map(Classic::live))).await;
            classics.push(member);
            settle(&process, &mut classics, &mut consumers).await;
        }
        assert_eq!(kind(&admin).await, ("classic", "Stable".to_owned()));
    });
}

#[test]
fn a_group_that_rebalances_is_upgraded_and_its_members_join_again() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let admin = Client::connect(&broker);
        admin.create_topic("t", PARTITIONS, &[]).await;
        let mut old = Classic::new(Client::connect(&broker));
        let mut new = Member::new(&broker, "new");
        // The first rebalance waits for three seconds.
        let (joined, upgraded) = join(old.join(), async {
            process.runtime().sleep(Duration::from_secs(1)).await;
            new.join().await
        })
        .await;
        assert_eq!((joined.err(), upgraded.error), (Some(ErrorCode::RebalanceInProgress), ErrorCode::None));
        assert_eq!(kind(&admin).await.0, "consumer");
        old.enter().await;
        settle(&process, &mut [old], &mut [new]).await;
        assert_eq!(kind(&admin).await, ("consumer", "Stable".to_owned()));
    });
}

#[test]
fn static_members_are_replaced_by_those_of_the_other_protocol_without_a_rebalance() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let admin = Client::connect(&broker);
        admin.create_topic("t", PARTITIONS, &[]).await;
        let mut classics: Vec<Classic> =
            ["a", "b"].map(|instance| Classic::fixed(Client::connect(&broker), instance)).into();
        join_all(classics.iter_mut().map(Classic::enter)).await;
        let generation = classics[0].generation;
        let mut consumers = Vec::new();
        for (at, (instance, name)) in [("a", "new-a"), ("b", "new-b")].into_iter().enumerate() {
            let mut member = Member::new(&broker, name);
            let request = consumer_groups::join(name, &["t"]);
            let request = consumer_group_heartbeat::Request { instance_id: Some(instance), ..request };
            let joined = member.send(&request).await;
            assert_eq!((joined.error, joined.epoch), (ErrorCode::None, generation));
            assert_eq!(owned(&member), classics[at].owned, "it has its place");
            assert_eq!(classics[at].beat().await, ErrorCode::FencedInstanceId);
            assert_eq!(classics[at].join().await.err(), Some(ErrorCode::FencedInstanceId));
            assert_eq!(classics[at].commit().await, ErrorCode::UnknownMemberId);
            consumers.push(member);
            assert_eq!(kind(&admin).await, ("consumer", "Stable".to_owned()));
        }
        // And back: first one leaves for a while, as clients do, the other is gone without a word.
        let request = consumer_group_heartbeat::Request { instance_id: Some("a"), ..alive("new-a", -2) };
        assert_eq!(consumers[0].send(&request).await.epoch, -2);
        let mut back = Classic::fixed(Client::connect(&broker), "a");
        back.enter().await;
        assert_eq!((&back.owned, back.generation), (&classics[0].owned, generation));
        assert_eq!(kind(&admin).await, ("consumer", "Stable".to_owned()));
        let mut last = Classic::fixed(Client::connect(&broker), "b");
        last.enter().await;
        assert_eq!((&last.owned, last.generation), (&classics[1].owned, generation));
        assert_eq!(kind(&admin).await, ("classic", "Stable".to_owned()));
        assert_eq!((back.beat().await, last.beat().await), (ErrorCode::None, ErrorCode::None));
        assert_eq!((back.commit().await, last.commit().await), (ErrorCode::None, ErrorCode::None));
        // Also after the broker started anew.
        let next = Process::new(&world, &memory).cluster.start().await;
        for member in [&mut back, &mut last] {
            member.client = Client::connect(&next);
            assert_eq!((member.beat().await, member.commit().await), (ErrorCode::None, ErrorCode::None));
        }
    });
}

#[test]
fn a_broker_that_starts_in_the_middle_of_a_migration_goes_on() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        Client::connect(&broker).create_topic("t", PARTITIONS, &[]).await;
        let mut old = Classic::new(Client::connect(&broker));
        old.enter().await;
        let mut new = Member::new(&broker, "new");
        let epoch = new.join().await.epoch;
        // After each step another broker goes on.
        for step in 0..5 {
            process = Process::new(&world, &memory);
            let broker = process.cluster.start().await;
            (old.client, new.client) = (Client::connect(&broker), Client::connect(&broker));
            match step {
                0 => assert_eq!(old.beat().await, ErrorCode::RebalanceInProgress),
                1 => drop(old.join().await.expect("it may")),
                2 => old.sync(&[]).await.expect("it hears what it keeps"),
                3 => old.enter().await,
                _ => assert_eq!(new.beat().await.assigned, Some(2)),
            }
        }
        assert_eq!((old.generation, new.epoch, old.owned.len()), (epoch, epoch, 2));
        let broker = Process::new(&world, &memory).cluster.start().await;
        (old.client, new.client) = (Client::connect(&broker), Client::connect(&broker));
        assert_eq!((old.beat().await, old.commit().await), (ErrorCode::None, ErrorCode::None));
        assert_eq!((new.beat().await.epoch, new.commit(epoch).await), (epoch, ErrorCode::None));
        // A downgrade that was not finished begins again when the one that left is missed.
        assert_eq!(new.leave().await.error, ErrorCode::None);
        process = Process::new(&world, &memory);
        old.client = Client::connect(&process.cluster.start().await);
        for _ in 0..18 {
            process.runtime().sleep(Duration::from_secs(3)).await;
            old.live().await;
        }
        assert_eq!((old.owned.len(), kind(&old.client).await), (4, ("classic", "Stable".to_owned())));
    });
}

#[test]
fn the_policy_says_which_groups_may_migrate() {
    for policy in [MigrationPolicy::Disabled, MigrationPolicy::Upgrade, MigrationPolicy::Downgrade] {
        story(move |world, memory| async move {
            let mut process = Process::new(&world, &memory);
            process.cluster.settings.groups.migration = policy;
            let broker = process.cluster.start().await;
            let admin = Client::connect(&broker);
            admin.create_topic("t", PARTITIONS, &[]).await;
            let mut old = Classic::new(Client::connect(&broker));
            let mut new = Member::new(&broker, "new");
            if policy != MigrationPolicy::Upgrade {
                old.enter().await;
                assert_eq!(new.join().await.error, ErrorCode::GroupIdNotFound, "{policy:?}");
                assert_eq!(old.beat().await, ErrorCode::None, "nothing happens to the group");
                old.leave().await;
                (old.id, old.owned) = (String::new(), Vec::new());
                assert_eq!(new.join().await.error, ErrorCode::None);
            } else {
                old.enter().await;
                assert_eq!(new.join().await.error, ErrorCode::None);
            }
            if policy == MigrationPolicy::Disabled {
                assert_eq!(old.join().await.err(), Some(ErrorCode::InconsistentGroupProtocol));
                return;
            }
            old.enter().await;
            let (mut classics, mut consumers) = ([old], [new]);
            settle(&process, &mut classics, &mut consumers).await;
            let [mut new] = consumers;
            assert_eq!(new.leave().await.error, ErrorCode::None);
            settle(&process, &mut classics, &mut []).await;
            let expected = if policy == MigrationPolicy::Downgrade { "classic" } else { "consumer" };
            assert_eq!(kind(&admin).await, (expected, "Stable".to_owned()), "{policy:?}");
        });
    }
}

#[test]
fn groups_that_cannot_be_upgraded_stay_as_they_are() {
    story(|world, memory| async move {
        let mut process = Process::new(&world, &memory);
        process.cluster.settings.groups.consumer_max_size = 1;
        let broker = process.cluster.start().await;
        let admin = Client::connect(&broker);
        admin.create_topic("t", PARTITIONS, &[]).await;
        let plain = assignment(&[0]);
        let custom = [&plain[..plain.len() - 4], b"\0\0\0\x01!"].concat();
        let everything = subscription(&[]);
        let cases: [(&str, &str, &[u8], Vec<u8>); 4] = [
            ("another protocol", "connect", &everything, assignment(&[0])),
            ("malformed metadata", "consumer", b"\0\x01\0\0", assignment(&[0])),
            ("a malformed assignment", "consumer", &everything, b"\0\x01\0".to_vec()),
            ("an assignor with words of its own", "consumer", &everything, custom),
        ];
        for (case, protocol_type, metadata, given) in cases {
            let mut old = Classic::new(Client::connect(&broker));
            let members = old.join_as(protocol_type, metadata).await.expect(case);
            let request = sync_group::Request {
                group_id: "g",
                generation_id: old.generation,
                member_id: &old.id,
                assignments: members
                    .iter()
                    .map(|member_id| sync_group::SyncGroupRequestAssignment { member_id, assignment: &given })
                    .collect(),
                ..Default::default()
            };
            let reply = old.client.call(4, &request).await;
            assert_eq!(reply.read::<sync_group::Response<'_>>().error_code, ErrorCode::None, "{case}");
            assert_eq!(Member::new(&broker, "new").join().await.error, ErrorCode::GroupIdNotFound, "{case}");
            assert_eq!(old.beat().await, ErrorCode::None, "{case}");
            old.leave().await;
        }
        let mut all: Vec<Classic> = (0..2).map(|_| Classic::new(Client::connect(&broker))).collect();
        join_all(all.iter_mut().map(Classic::enter)).await;
        assert_eq!(Member::new(&broker, "new").join().await.error, ErrorCode::GroupIdNotFound, "it is too large");
        all.pop().expect("one of two").leave().await;
        all[0].live().await;
        // The group itself may be upgraded; the member that would do it has no room.
        assert_eq!(Member::new(&broker, "new").join().await.error, ErrorCode::GroupMaxSizeReached);
        assert_eq!((all[0].beat().await, kind(&admin).await.0), (ErrorCode::None, "classic"));
    });
}

#[test]
fn classic_members_of_a_consumer_group_are_held_to_what_they_must_do() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let broker = process.cluster.start().await;
        let admin = Client::connect(&broker);
        admin.create_topic("t", PARTITIONS, &[]).await;
        let mut new = Member::new(&broker, "new");
        new.join().await;
        let mut old = Classic::new(Client::connect(&broker));
        for (metadata, protocol_type) in [(&b"\0\x01\0"[..], "consumer"), (&subscription(&[]), "connect")] {
            let refused = old.join_as(protocol_type, metadata).await;
            assert_eq!(refused.err(), Some(ErrorCode::InconsistentGroupProtocol));
        }
        assert_eq!(old.beat().await, ErrorCode::UnknownMemberId);
        let members = old.join().await.expect("it may");
        let stranger =
            Classic { client: Client::connect(&broker), id: "new".into(), ..Classic::new(Client::connect(&broker)) };
        assert_eq!(stranger.beat().await, ErrorCode::UnknownMemberId, "it speaks the other protocol");
        // It joined and does not ask for its assignment; its heartbeats do not help it.
        for _ in 0..20 {
            process.runtime().sleep(Duration::from_secs(4)).await;
            new.beat().await;
            old.beat().await;
        }
        assert_eq!(old.sync(&members).await, Err(ErrorCode::UnknownMemberId));
        (old.id, old.owned) = (String::new(), Vec::new());
        old.enter().await;
        let (mut classics, mut consumers) = ([old], [new]);
        settle(&process, &mut classics, &mut consumers).await;
        let ([mut old], [mut new]) = (classics, consumers);
        // Another comes; it is told to join again, and does not.
        let mut third = Member::new(&broker, "third");
        third.join().await;
        for _ in 0..20 {
            process.runtime().sleep(Duration::from_secs(4)).await;
            new.beat().await;
            third.beat().await;
            old.beat().await;
        }
        assert_eq!(old.beat().await, ErrorCode::UnknownMemberId);
        (old.id, old.owned) = (String::new(), Vec::new());
        settle(&process, &mut [], &mut [new, third]).await;
        // An operator removes whom it names, whatever they speak.
        let gone = leave(&admin, &[("new", None), ("nobody", None), ("", Some("nobody")), ("third", None)]).await;
        let unknown = ErrorCode::UnknownMemberId;
        assert_eq!(gone, [ErrorCode::None, unknown, unknown, ErrorCode::None]);
        assert_eq!(kind(&admin).await, ("consumer", "Empty".to_owned()));
    });
}
