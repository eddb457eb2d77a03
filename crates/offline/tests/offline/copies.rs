//! Backups beside a running broker, and stores that are made from them.

use bytes::Bytes;
use kafscale_offline::{
    Bucket, Error, Until,
    backup::{Copied, backup, manifest},
    fsck::{self, Depth, Severity},
    recover::{Wish, execute_between, plan},
};
use kafscale_sim::executor::World;
use kafscale_store::{ReadRange, Store};

use crate::common::Client;
use crate::deleted_keys::{CLEANED, write};
use crate::places::{MINUTE, Place, Records, commit, consume, lived, offsets, story};

/// A place with nothing but copies.
fn copies(world: &World) -> Place {
    Place::new(world, false)
}

async fn copy(from: &Place, to: &Place) -> Copied {
    backup(&from.bucket(), &to.bucket().plain(), &|_, _| ()).await.expect("it is copied")
}

async fn restored(from: &Bucket, world: &World, apart: bool, until: Until) -> Result<Place, Error> {
    let to = Place::new(world, apart);
    let plan = plan(from, Wish { until, gap: 0 }).await?.all_elsewhere();
    plan.require_reached()?;
    let outcome = execute_between(from, &to.bucket(), plan, &|_, _| ()).await?;
    assert_eq!(outcome.damaged, []);
    to.is_sound().await;
    Ok(to)
}

async fn served(place: &mut Place) -> (Records, Vec<(String, String, i64)>) {
    let broker = place.start().await;
    (consume(&broker).await, offsets(&broker))
}

#[test]
fn a_store_is_made_from_any_point_of_its_backup() {
    for apart in [false, true] {
        story(move |world| async move {
            let (mut place, copy_of) = (Place::new(&world, apart), copies(&world));
            let (broker, mut load) = lived(&mut place).await;
            let early = (broker.replica().applied(), consume(&broker).await, offsets(&broker));
            let first = copy(&place, &copy_of).await;
            assert_eq!((first.position, first.kept), (early.0, 0));

            load.produce(3).await;
            broker.snapshotter().take().await.expect("memory");
            commit(load.client(), "readers", "orders", 11).await;
            load.client().create_topic("late", 1, &[]).await;
            load.client().produce("late", 0, crate::common::batch(3).build()).await.offset();
            // What the first copy has is rewritten here, and deleted.
            world.sleep(120 * MINUTE).await;
            load.produce(2).await;
            let late = (broker.replica().applied(), consume(&broker).await, offsets(&broker));
            let second = copy(&place, &copy_of).await;
            assert!(second.kept > 5 && second.objects > 5 && second.position == late.0, "{second:?}");
            assert_eq!(copy(&place, &copy_of).await.objects, 0, "nothing is copied twice");

            let from = copy_of.bucket();
            let report = fsck::check(&from, Depth::Whole, &|_, _| ()).await.expect("it can be checked");
            assert!(report.worst() <= Some(Severity::Note), "{:#?}", report.findings);
            assert_eq!(copy_of.cat().await, late.1, "a copy can be read");
            let points = manifest(&from).await.expect("memory").expect("it is a backup").points;
            assert_eq!(points.iter().map(|point| point.position).collect::<Vec<_>>(), [early.0, late.0]);

            for target_apart in [false, true] {
                let mut at_end =
                    restored(&from, &world, target_apart, Until::Position(late.0)).await.expect("it is made");
                assert_eq!(served(&mut at_end).await, (late.1.clone(), late.2.clone()));
                let mut at_start =
                    restored(&from, &world, target_apart, Until::Position(early.0)).await.expect("it is made");
                assert_eq!(served(&mut at_start).await, (early.1.clone(), early.2.clone()));
            }
            let mut by_time = restored(&from, &world, false, Until::Time(points[0].time_ms)).await.expect("it is made");
            assert_eq!(served(&mut by_time).await.0, early.1);
            let beyond = restored(&from, &world, false, Until::Position(late.0 + 100)).await.err().expect("refused");
            assert!(beyond.to_string().contains("cannot be had"), "{beyond}");
        });
    }
}

/// What was compacted later lacks values that were the last ones then.
#[test]
fn a_compacted_topic_has_at_any_point_the_values_of_then() {
    story(|world| async move {
        let (mut place, copy_of) = (Place::new(&world, false), copies(&world));
        let broker = place.start().await;
        let client = Client::connect(&broker);
        client.create_topic("table", 1, &CLEANED).await;
        write(&client, "a", Some("then")).await;
        write(&client, "b", Some("then")).await;
        world.sleep(3 * MINUTE).await;
        let then = (broker.replica().applied(), consume(&broker).await);
        copy(&place, &copy_of).await;
        for _ in 0..3 {
            write(&client, "a", Some("later")).await;
            world.sleep(3 * MINUTE).await;
        }
        let later = (broker.replica().applied(), consume(&broker).await);
        assert_eq!(later.1[&("table".to_owned(), 0)].len(), 2, "the value of then is compacted away");
        copy(&place, &copy_of).await;
        for (position, records) in [then, later] {
            let until = Until::Position(position);
            let mut at = restored(&copy_of.bucket(), &world, false, until).await.expect("it is made");
            assert_eq!(served(&mut at).await.0, records, "at {position}");
        }
    });
}

#[test]
fn a_backup_is_of_one_store() {
    story(|world| async move {
        let (mut one, mut other, copy_of) = (Place::new(&world, false), Place::new(&world, false), copies(&world));
        let (_one, _) = lived(&mut one).await;
        copy(&one, &copy_of).await;
        let (_other, _) = lived(&mut other).await;
        let refused = backup(&other.bucket(), &copy_of.bucket(), &|_, _| ()).await.expect_err("it is another's");
        assert!(refused.to_string().contains("take another place"), "{refused}");
        let refused = backup(&one.bucket(), &other.bucket(), &|_, _| ()).await.expect_err("it is no backup");
        assert!(refused.to_string().contains("not empty"), "{refused}");
    });
}

#[test]
fn what_a_probe_found_of_a_store_is_said_of_no_other_one() {
    for apart in [false, true] {
        story(move |world| async move {
            let mut place = Place::new(&world, apart);
            drop(lived(&mut place).await);
            place.kill();
            let mut sides = vec![&place.data];
            sides.extend(&place.log);
            for store in sides {
                let marker = store.get("cluster.json", ReadRange::All).await.expect("it is there");
                let mut marker: serde_json::Value = serde_json::from_slice(&marker).expect("json");
                marker["probed"] = serde_json::json!({ "at_ms": 5, "version": "0.1.0", "races": 4, "racers": 16 });
                store.replace("cluster.json", Bytes::from(marker.to_string()).into()).await.expect("memory");
            }
            let to = restored(&place.bucket(), &world, apart, Until::Tail).await.expect("there is enough");
            for store in [Some(&to.data), to.log.as_ref()].into_iter().flatten() {
                let marker = store.get("cluster.json", ReadRange::All).await.expect("it is there");
                let marker: serde_json::Value = serde_json::from_slice(&marker).expect("json");
                assert!(marker.get("probed").is_none(), "{marker}");
            }
        });
    }
}
