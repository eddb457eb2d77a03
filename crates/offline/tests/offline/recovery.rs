//! Logs that are gone, cut, or older than their data: what comes back.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join;
use kafscale_broker::{Broker, Ended, Settings, cluster::MARKER};
use kafscale_log::{Progress, frame, lone::names};
use kafscale_offline::{
    Bucket, Until,
    recover::{self, Outcome, Wish},
};
use kafscale_protocol::ErrorCode;
use kafscale_segment::{
    merged,
    names::{MergedId, merged as merged_name},
};
use kafscale_store::{Body, Store};

use crate::common::batch;
use crate::places::{Load, MINUTE, Place, Records, commit, consume, filled, lived, offsets, story};

/// To the end of the log, with a gap where that is lost.
pub const WISH: Wish = Wish { until: Until::Tail, gap: 1_000 };

/// Recovers, checks, and gives what consumers get and groups have.
async fn recovered(place: &mut Place, load: &mut Load) -> (Records, Vec<(String, String, i64)>, Outcome) {
    place.kill();
    let bucket = place.bucket();
    let plan = recover::plan(&bucket, WISH).await.expect("there is enough");
    let outcome = recover::execute(&bucket, plan, &|_, _| ()).await.expect("it is done");
    assert_eq!(outcome.damaged, []);
    place.is_sound().await;
    let broker = place.start().await;
    let got = (consume(&broker).await, offsets(&broker));
    assert_eq!(place.cat().await, got.0, "a tool reads the same");
    // Life goes on.
    load.reconnect(&broker);
    load.idempotent().await;
    load.produce(2).await;
    place.world.sleep(40 * MINUTE).await;
    place.is_sound().await;
    (got.0, got.1, outcome)
}

#[test]
fn tools_read_what_consumers_get() {
    for apart in [false, true] {
        story(move |world| async move {
            let mut place = Place::new(&world, apart);
            let (broker, _) = lived(&mut place).await;
            assert_eq!(place.cat().await, consume(&broker).await, "beside a broker");
            place.is_sound().await;
            broker.snapshotter().take().await.expect("memory");
            assert_eq!(place.cat().await, consume(&broker).await, "from a snapshot");
        });
    }
}

#[test]
fn a_log_that_is_there_loses_nothing() {
    for apart in [false, true] {
        story(move |world| async move {
            let mut place = Place::new(&world, apart);
            let (broker, mut load) = lived(&mut place).await;
            let before = (consume(&broker).await, offsets(&broker));
            let (records, groups, _) = recovered(&mut place, &mut load).await;
            assert_eq!((records, groups), before);
        });
    }
}

#[test]
fn what_was_rewritten_before_the_snapshot_outlives_the_log() {
    for apart in [false, true] {
        story(move |world| async move {
            let mut place = Place::new(&world, apart);
            let (broker, mut load) = lived(&mut place).await;
            // Until nothing lies in frames alone.
            world.sleep(5 * MINUTE).await;
            broker.snapshotter().take().await.expect("memory");
            let before = (consume(&broker).await, offsets(&broker));
            place.kill();
            assert!(place.delete(place.log(), "log/").await > 10);
            let (records, groups, outcome) = recovered(&mut place, &mut load).await;
            assert_eq!((records, groups), before);
            assert_eq!(outcome.generation, 2);
            let state = place.start().await.replica().snapshot();
            assert_eq!(state.topic("orders").expect("it is there").setting("retention.ms"), Some("-1"));
        });
    }
}

#[test]
fn records_behind_the_snapshot_come_from_what_objects_say() {
    for apart in [false, true] {
        story(move |world| async move {
            let mut place = Place::new(&world, apart);
            let (broker, mut load) = lived(&mut place).await;
            broker.snapshotter().take().await.expect("memory");
            load.produce(4).await;
            load.client().create_topic("late", 3, &[]).await;
            load.client().produce("late", 1, crate::common::batch(4).build()).await.offset();
            world.sleep(3 * MINUTE).await;
            load.produce(2).await;
            world.sleep(25 * MINUTE).await;
            let before = filled(consume(&broker).await);
            let groups = offsets(&broker);
            place.kill();
            place.delete(place.log(), "log/").await;
            let (records, after, _) = recovered(&mut place, &mut load).await;
            assert_eq!((filled(records), after), (before, groups));
        });
    }
}

#[test]
fn a_topic_keeps_its_name_if_a_merged_object_tells_it_though_the_log_lost_it() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, load) = lived(&mut place).await;
        broker.snapshotter().take().await.expect("memory");
        let before = place.names(place.log(), "log/").await;
        load.client().create_topic("late", 2, &[]).await;
        let created: Vec<String> =
            place.names(place.log(), "log/").await.into_iter().filter(|name| !before.contains(name)).collect();
        for _ in 0..2 {
            load.client().produce("late", 1, batch(2).build()).await.offset();
            world.sleep(3 * MINUTE).await;
        }
        // These lie in frames alone.
        load.client().produce("late", 1, batch(3).build()).await.offset();
        for _ in 0..8 {
            load.client().produce("events", 0, batch(1).build()).await.offset();
        }
        place.kill();
        place.log().delete(&created).await.expect("memory");
        let plan = recover::plan(&place.bucket(), WISH).await.expect("there is enough");
        assert!(!plan.evidence.holes.is_empty());
        recover::execute(&place.bucket(), plan, &|_, _| ()).await.expect("it is done");
        place.is_sound().await;
        let records = consume(&place.start().await).await;
        let topics: std::collections::BTreeSet<&str> = records.keys().map(|(topic, _)| topic.as_str()).collect();
        assert_eq!(topics.into_iter().collect::<Vec<_>>(), ["events", "late", "orders"]);
        assert_eq!(records[&("late".to_owned(), 1)].len(), 7, "merged or not");
    });
}

#[test]
fn a_log_in_a_store_of_its_own_takes_no_record_with_it() {
    story(|world| async move {
        let mut place = Place::new(&world, true);
        let (broker, mut load) = lived(&mut place).await;
        broker.snapshotter().take().await.expect("memory");
        // Some of what follows is merged and gone, some merged and still there twice, some lies in data objects alone.
        load.produce(3).await;
        world.sleep(90 * MINUTE).await;
        load.produce(3).await;
        world.sleep(3 * MINUTE).await;
        load.produce(3).await;
        let before = consume(&broker).await;
        place.kill();
        assert!(place.delete(place.log(), "").await > 10, "marker and all");
        let (records, _, _) = recovered(&mut place, &mut load).await;
        assert_eq!(records, before);
    });
}

#[test]
fn an_older_snapshot_and_footers_do_as_well() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, mut load) = lived(&mut place).await;
        broker.snapshotter().take().await.expect("memory");
        commit(load.client(), "readers", "orders", 9).await;
        load.produce(3).await;
        world.sleep(25 * MINUTE).await;
        let newest = broker.snapshotter().take().await.expect("memory").0;
        let before = consume(&broker).await;
        place.kill();
        place.delete(place.log(), "log/").await;
        let name = kafscale_broker::snapshot::name(1, newest);
        place.data.delete(&[name]).await.expect("memory");
        let (records, groups, _) = recovered(&mut place, &mut load).await;
        assert_eq!(records, before);
        assert_eq!(groups, [("readers".to_owned(), "orders".to_owned(), 7)], "as of the older snapshot");
    });
}

#[test]
fn footers_alone_bring_topics_back() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, mut load) = lived(&mut place).await;
        world.sleep(25 * MINUTE).await;
        let before = consume(&broker).await;
        place.kill();
        for prefix in ["log/", "snapshot/", "cluster.json"] {
            place.delete(&place.data, prefix).await;
        }
        let (records, _, _) = recovered(&mut place, &mut load).await;
        assert_eq!(records, before);
    });
}

#[test]
fn the_end_of_a_log_is_replaced_by_what_was_rewritten() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, mut load) = lived(&mut place).await;
        let kept = place.names(place.log(), "log/").await.len();
        load.produce(4).await;
        world.sleep(25 * MINUTE).await;
        let before = consume(&broker).await;
        place.kill();
        let frames = place.names(place.log(), "log/").await;
        place.log().delete(&frames[kept..]).await.expect("memory");
        let (records, _, _) = recovered(&mut place, &mut load).await;
        assert_eq!(records, before);
    });
}

#[test]
fn a_hole_in_the_log_costs_what_it_held_and_nothing_else() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, mut load) = lived(&mut place).await;
        let before = consume(&broker).await;
        place.kill();
        let frames = place.names(place.log(), "log/").await;
        // Two frames with records that nothing else has.
        let hole = frames.len() - 6;
        place.log().delete(&frames[hole..hole + 2]).await.expect("memory");
        load.next_epoch();
        let (records, _, _) = recovered(&mut place, &mut load).await;
        for (partition, row) in before {
            let values = |row: &[(i64, Vec<u8>)]| row.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
            let after = values(&records[&partition]);
            let lost = row.len() - after.len();
            assert!(lost <= 6, "{partition:?} lost {lost}");
            let mut rest = values(&row).into_iter();
            assert!(after.iter().all(|value| rest.any(|other| other == *value)), "{partition:?} is in order");
        }
    });
}

#[test]
fn what_a_killed_writer_left_behind_the_end_is_no_hole() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, mut load) = lived(&mut place).await;
        let before = consume(&broker).await;
        let (cluster, tail) = (*broker.cluster(), broker.replica().applied());
        place.kill();
        let mut header = frame::Header {
            kind: frame::Kind::Entries,
            cluster_id: cluster.id,
            generation: cluster.generation,
            position: tail + 2,
            session: 1,
            write_id: frame::WriteId { incarnation: 7, sequence: 1_000 },
            cluster_time_ms: 0,
            settled: tail + 1,
            progress: Progress::default(),
            entries_len: 0,
            payload_len: 0,
            entries_hash: 0,
        };
        let body = frame::encode(&mut header, &Default::default(), &Default::default()).expect("it is small");
        place.data.create(&names::frame(cluster.generation, tail + 2), body).await.expect("it is free");
        let plan = recover::plan(&place.bucket(), WISH).await.expect("there is enough");
        assert_eq!((plan.evidence.holes.clone(), plan.is_end_lost()), (Vec::new(), false));
        let (records, _, _) = recovered(&mut place, &mut load).await;
        assert_eq!(records, before);
    });
}

#[test]
fn objects_that_say_what_cannot_be_are_passed_over() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, mut load) = lived(&mut place).await;
        let before = consume(&broker).await;
        let cluster = broker.cluster().id;
        let (topic_id, handle) = broker.replica().read(|state| {
            let topic = state.topic("orders").expect("it is there");
            (topic.id(), topic.handle(0).expect("it is there"))
        });
        place.kill();
        for (number, (first, end, bytes)) in
            [(-5, 10, 9), (10, 10, 9), (0, i64::MAX, 9), (0, 1_000, u32::MAX), (7, 900, 0)].into_iter().enumerate()
        {
            let id = MergedId { level: 3, session: 1, number: 900 + number as u64, nonce: 1 };
            let header = merged::Header { cluster, id };
            let part = merged::Part {
                topic_id,
                namespace: String::new(),
                topic: "orders".to_owned(),
                partition: 0,
                handle,
                first,
                position: 48,
                extents: vec![merged::Extent { end, bytes, max_timestamp: 0 }],
            };
            let body = kafscale_store::Body::new(vec![header.encode(), merged::tail(&header, &[part])]);
            place.data.create(&merged_name(cluster, &id), body).await.expect("it is free");
        }
        let plan = recover::plan(&place.bucket(), WISH).await.expect("there is enough");
        assert_eq!(plan.found.unreadable.len(), 5, "{:?}", plan.found.unreadable);
        let (records, _, _) = recovered(&mut place, &mut load).await;
        assert_eq!(records, before);
    });
}

#[test]
fn a_floor_that_cannot_be_read_is_made_anew() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, mut load) = lived(&mut place).await;
        for _ in 0..3 {
            load.produce(1).await;
            broker.snapshotter().take().await.expect("memory");
            world.sleep(70 * MINUTE).await;
        }
        let before = (consume(&broker).await, offsets(&broker));
        drop(broker);
        place.kill();
        assert_eq!(place.names(&place.data, names::FLOOR).await, [names::FLOOR]);
        place.data.replace(names::FLOOR, Body::from(Bytes::from_static(b"KSLT"))).await.expect("memory");
        assert!(place.try_start().await.is_err(), "a broker does not guess");
        let (records, groups, _) = recovered(&mut place, &mut load).await;
        assert_eq!((records, groups), before);
    });
}

#[test]
fn a_marker_that_cannot_be_read_is_made_anew() {
    for (apart, text) in [(false, "{}"), (false, "\0\0\0"), (true, "{\"format\": 1}")] {
        story(move |world| async move {
            let mut place = Place::new(&world, apart);
            let (broker, mut load) = lived(&mut place).await;
            let before = (consume(&broker).await, offsets(&broker));
            drop(broker);
            place.kill();
            for store in [&place.data, place.log()] {
                store.replace(MARKER, Body::from(Bytes::from_static(text.as_bytes()))).await.expect("memory");
            }
            assert!(place.try_start().await.is_err(), "a broker does not guess");
            let (records, groups, _) = recovered(&mut place, &mut load).await;
            assert_eq!((records, groups), before);
        });
    }
}

#[test]
fn a_crash_at_any_write_leaves_something_to_begin_anew() {
    story(|world| async move {
        let mut place = Place::new(&world, true);
        let (broker, mut load) = lived(&mut place).await;
        broker.snapshotter().take().await.expect("memory");
        load.produce(3).await;
        let before = consume(&broker).await;
        place.kill();
        place.delete(place.log(), "").await;
        // As a tool leaves it that died between the two markers.
        let bucket = place.bucket();
        let marker = place.data.get("cluster.json", kafscale_store::ReadRange::All).await.expect("it is there");
        let plan = recover::plan(&bucket, WISH).await.expect("there is enough");
        recover::execute(&bucket, plan, &|_, _| ()).await.expect("it is done");
        place.data.replace("cluster.json", marker.into()).await.expect("memory");
        let (records, _, outcome) = recovered(&mut place, &mut load).await;
        assert_eq!((records, outcome.generation), (before, 3));
    });
}

#[test]
fn a_broker_that_runs_is_noticed_or_ends() {
    for apart in [false, true] {
        story(move |world| async move {
            let mut place = Place::new(&world, apart);
            let (broker, mut load) = lived(&mut place).await;
            let before = consume(&broker).await;
            let bucket = place.bucket();
            let stale = recover::plan(&bucket, WISH).await.expect("there is enough");
            load.produce(1).await;
            let refused = recover::execute(&bucket, stale, &|_, _| ()).await.expect_err("it is refused");
            assert!(refused.to_string().contains("a broker is running"), "{refused}");

            let plan = recover::plan(&bucket, WISH).await.expect("there is enough");
            recover::execute(&bucket, plan, &|_, _| ()).await.expect("it is done");
            let late = load.client().produce("orders", 0, batch(1).build()).await;
            assert_ne!(late.error, ErrorCode::None, "nobody would ever read it");
            assert!(matches!(broker.ended().await, Ended::Fenced(_)));
            let (records, _, _) = recovered(&mut place, &mut load).await;
            let grown = |(key, row): (&_, &Vec<_>)| before[key].len() < row.len() && row.starts_with(&before[key]);
            assert!(records.iter().all(grown), "all of what was acknowledged is there");
        });
    }
}

/// The marker's JSON.
fn marker_of(bucket: &kafscale_sim::store::Bucket) -> serde_json::Value {
    serde_json::from_slice(&bucket.object("cluster.json").expect("it is there")).expect("json")
}

#[test]
fn what_a_probe_found_of_a_bucket_outlives_its_recovery_and_no_late_writer_brings_the_old_generation_back() {
    story(|world| async move {
        let bucket = kafscale_sim::store::Bucket::new(&world, false);
        let node = world.node("broker");
        let stores: Arc<dyn Store> = bucket.client(&node);
        let settings = Settings { look_at_stores: true, ..Settings::default() };
        let broker = Broker::start(stores, node.runtime(), Arc::default(), settings).await.expect("it starts");
        world.sleep(MINUTE).await;
        let old = bucket.object("cluster.json").expect("it is there");
        let before = marker_of(&bucket);
        assert_eq!(before["probed"]["found"]["checks"].as_array().expect("all of them").len(), 10);
        drop(broker);
        node.kill();

        let node = world.node("tool");
        let stores: Arc<dyn Store> = bucket.client(&node);
        let tool = Bucket::new(stores, node.runtime());
        let plan = recover::plan(&tool, WISH).await.expect("there is enough");
        // A write of the old marker that was under way all the time lands behind the new one.
        let late = async {
            while marker_of(&bucket)["generation"] == 1 {
                world.sleep(Duration::from_millis(100)).await;
            }
            world.sleep(Duration::from_secs(4)).await;
            bucket.corrupt("cluster.json", old);
        };
        let ((), recovered) = join(late, recover::execute(&tool, plan, &|_, _| ())).await;
        recovered.expect("it is done");
        let after = marker_of(&bucket);
        assert_eq!((&after["generation"], &after["probed"]), (&2.into(), &before["probed"]));
    });
}
