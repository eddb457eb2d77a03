//! Sessions: who may write, and who is there.

use kafscale_state::entry::{self, BrokerGone, BrokerJoined, Cluster, Entry, FeatureLevel, PidBlock, Sequencer};
use kafscale_state::verdict::{Refused, Verdict};
use kafscale_state::{Applied, ApplyError, FrameFacts};

use crate::common::World;

fn joined(session: u64, node_id: i32, rack: Option<&str>) -> Entry {
    Entry::BrokerJoined(BrokerJoined {
        session,
        node_id,
        host: "localhost".into(),
        port: 9092,
        rack: rack.map(Into::into),
        feature_level_known: 1,
    })
}

fn sequencer(session: u64) -> Entry {
    Entry::Sequencer(Sequencer { session })
}

fn nodes(world: &World) -> Vec<(u64, i32, u32)> {
    world.state.brokers().map(|broker| (broker.session, broker.node_id, broker.seat)).collect()
}

#[test]
fn a_predecessors_frames_are_void() {
    let mut world = World::new();
    assert_eq!(world.say(sequencer(1)), Verdict::Done);
    world.session = 2;
    assert_eq!(world.say(sequencer(2)), Verdict::Done);
    world.session = 1;
    let (digest, time) = (world.state.digest(), world.now_ms);
    world.now_ms += 5_000;
    let void = world.frame(&[Entry::PidBlock(PidBlock { count: 1 })]);
    assert_eq!(void, Applied { void: true, ..Applied::default() });
    assert_eq!((world.state.position(), world.state.cluster_time_ms()), (3, time));
    assert_ne!(world.state.digest(), digest, "the digest is of a position");
    world.session = 2;
    assert_eq!(world.pids(1), 0);
}

#[test]
fn only_a_newer_session_takes_over_and_only_for_itself() {
    let mut world = World::new();
    world.session = 5;
    assert_eq!(world.say(sequencer(6)), Verdict::Refused(Refused::SessionOver));
    assert_eq!(world.say(sequencer(5)), Verdict::Done);
    assert_eq!(world.say(sequencer(5)), Verdict::Refused(Refused::SessionOver));
    assert_eq!(world.state.session(), 5);
}

#[test]
fn a_node_that_joins_again_ends_its_older_session() {
    let mut world = World::new();
    world.session = 10;
    assert_eq!(world.say(joined(10, 1, None)), Verdict::BrokerJoined { seat: 0 });
    assert_eq!(world.say(joined(11, 2, None)), Verdict::BrokerJoined { seat: 1 });
    assert_eq!(world.say(joined(12, 3, Some("b"))), Verdict::BrokerJoined { seat: 0 });
    assert_eq!(world.say(joined(13, 1, None)), Verdict::BrokerJoined { seat: 0 });
    assert_eq!(nodes(&world), [(11, 2, 1), (12, 3, 0), (13, 1, 0)]);
    assert!(world.frame(&[]).void, "session 10 is over");
    world.session = 11;
    assert_eq!(world.say(joined(9, 1, None)), Verdict::Refused(Refused::SessionOver));
    assert_eq!(world.say(Entry::BrokerGone(BrokerGone { session: 13 })), Verdict::Done);
    assert_eq!(world.say(Entry::BrokerGone(BrokerGone { session: 13 })), Verdict::Refused(Refused::UnknownSession));
    assert_eq!(world.say(joined(13, 1, None)), Verdict::Refused(Refused::SessionOver));
    world.session = 20;
    assert_eq!(world.say(sequencer(20)), Verdict::Done);
    assert_eq!(nodes(&world), [], "a take-over ends all lower sessions");
}

#[test]
fn a_log_has_one_cluster_and_its_level_only_rises() {
    let mut world = World::new();
    let cluster = |cluster_id| Entry::Cluster(Cluster { cluster_id });
    assert_eq!(world.say(cluster(7)), Verdict::Done);
    assert_eq!(world.say(cluster(7)), Verdict::Done);
    assert_eq!(world.say(cluster(8)), Verdict::Refused(Refused::OtherCluster));
    assert_eq!(world.state.cluster_id(), Some(7));
    let level = |level| Entry::FeatureLevel(FeatureLevel { level });
    assert_eq!(world.say(level(1)), Verdict::Done);
    assert_eq!(world.say(level(0)), Verdict::Refused(Refused::FeatureLevelLower));
}

#[test]
fn what_cannot_be_understood_stops_the_broker_and_changes_nothing() {
    let mut world = World::new();
    let good = Entry::PidBlock(PidBlock { count: 5 });
    let raise = Entry::FeatureLevel(FeatureLevel { level: 2 });
    let before = format!("{:?}", world.state);
    let facts = world.facts();
    let raised = world.state.apply(facts, &entry::encode(&[good.clone(), raise]));
    assert_eq!(raised, Err(ApplyError::FeatureLevel { position: 1, level: 2 }));
    let unknown = [&entry::encode(std::slice::from_ref(&good))[..], &[200, 1, 0]].concat();
    assert!(matches!(world.state.apply(facts, &unknown), Err(ApplyError::Undecodable { position: 1, .. })));
    let elsewhere = FrameFacts { position: 2, ..facts };
    let out_of_place = world.state.apply(elsewhere, &entry::encode(&[good]));
    assert_eq!(out_of_place, Err(ApplyError::OutOfPlace { expected: 1, got: 2 }));
    assert_eq!(format!("{:?}", world.state), before);
}

#[test]
fn producer_ids_are_given_once_and_their_blocks_grow_old() {
    let mut world = World::new();
    assert_eq!((world.pids(10), world.pids(5), world.pids(1)), (0, 10, 15));
    let refused = world.say(Entry::PidBlock(PidBlock { count: 0 }));
    assert_eq!(refused, Verdict::Refused(Refused::InvalidPidBlock));
    assert!(!world.state.producer_facts(0, 12).may_be_forgotten);
    world.now_ms += 86_400_001;
    assert_eq!(world.pids(1), 16);
    assert!(world.state.producer_facts(0, 12).may_be_forgotten);
    assert!(!world.state.producer_facts(0, 16).may_be_forgotten);
    assert!(!world.state.producer_facts(0, 17).may_be_forgotten, "it was never given");
}
