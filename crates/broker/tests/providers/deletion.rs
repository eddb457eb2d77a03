//! Deletion where a store refuses some of it, where listings are long, and where deleting early saves nothing.

use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use kafscale_lab::{
    exchange::Asked,
    quirks::{on, rule},
};
use kafscale_log::data::DataId;
use kafscale_store::{Body, profile::Provider};

use crate::harness::{Bucket, MINUTE, Producer, story};

/// Frames up to this position can never be deleted; more than the deleter takes at a time.
const LOCKED: u64 = 560;

/// The log positions that a key or a body names.
fn positions(text: &str) -> impl Iterator<Item = u64> {
    text.split("log/").skip(1).filter_map(|rest| rest.split_once('/')?.1.get(..20)?.parse().ok())
}

/// A deletion of a frame that is locked.
fn locked(asked: &Asked) -> bool {
    asked.parameter("delete").is_some()
        && positions(&String::from_utf8_lossy(&asked.body)).any(|position| position <= LOCKED)
}

#[test]
fn any_names_whose_deletion_is_refused_for_ever_do_not_hold_up_the_others() {
    let rules = vec![rule("locked").is(locked).respond(403, "AccessDenied", "Object is locked.")];
    story(rules, |bucket| async move {
        let broker = bucket.process().cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        // Enough for two snapshots: what lies before the older one is let go.
        for _ in 0..2 * LOCKED + 140 {
            producer.produce().await;
            bucket.sleep(Duration::from_secs(1)).await;
        }
        bucket.sleep(180 * MINUTE).await;
        assert!(bucket.met("locked") > 100);
        let left: Vec<u64> = bucket.double.keys().iter().flat_map(|key| positions(key).collect::<Vec<_>>()).collect();
        let of_the_locked = left.iter().filter(|position| **position <= LOCKED).count();
        assert!(of_the_locked > 500, "{of_the_locked}");
        let others = left.iter().filter(|position| (LOCKED + 1..LOCKED + 100).contains(*position)).count();
        assert!(others == 0, "{left:?}");
        producer.finds_everything().await;
    });
}

#[test]
fn any_a_trim_that_could_not_read_is_made_up_for_without_another_snapshot() {
    story(Vec::new(), |bucket| async move {
        let process = bucket.process();
        let broker = process.cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        for _ in 0..24 {
            producer.produce().await;
            bucket.sleep(10 * MINUTE).await;
        }
        let floor = || bucket.double.object("floor").expect("the log was trimmed");
        let before = floor();
        // What is read to be archived, and nothing else.
        let unreadable = on(Method::GET, "unreadable").key("log/").header("range", "bytes=0-65535");
        bucket.quirks.set(vec![unreadable.respond(403, "AccessDenied", "Access Denied.")]);
        for _ in 0..8 {
            producer.produce().await;
            bucket.sleep(Duration::from_secs(1)).await;
        }
        bucket.sleep(3 * MINUTE).await;
        assert!(bucket.quirks.fired("unreadable") > 0, "a snapshot was taken, and the log could not be trimmed");
        assert_eq!(floor(), before);
        let snapshots = broker.metrics().snapshots.get();
        bucket.quirks.set(Vec::new());
        bucket.sleep(10 * MINUTE).await;
        assert_eq!(broker.metrics().snapshots.get(), snapshots);
        assert_ne!(floor(), before);
    });
}

#[test]
fn any_orphans_are_found_on_every_page_of_a_listing() {
    story(Vec::new(), |bucket| async move {
        let first = bucket.process();
        let broker = first.cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        producer.produce().await;
        let cluster_id = broker.cluster().id;
        drop(broker);
        first.node.kill();
        let names: Vec<_> = (0..2_300).map(|number| DataId { cluster_id, session: 1, number }.name()).collect();
        for name in &names {
            let put = first.cluster.store.replace(name, Body::from(Bytes::from_static(b"half a flush"))).await;
            put.expect("it is written");
        }
        let broker = bucket.process().cluster.start().await;
        bucket.sleep(20 * 60 * MINUTE).await;
        assert!(bucket.double.keys().contains(&names[2_299]), "they are watched for a day");
        bucket.sleep(8 * 60 * MINUTE).await;
        assert!(!bucket.double.keys().iter().any(|key| key.starts_with("data/")));
        producer.move_to(&broker);
        producer.finds_everything().await;
    });
}

/// A day and more of light load at a provider: what was merged, what is billed again, and the byte-days of what was deleted.
async fn a_day(bucket: &Bucket, provider: Provider) -> (bool, u64, f64) {
    let broker = bucket.process_as(provider).cluster.start().await;
    let mut producer = Producer::new(bucket, &broker).await;
    let mut has_merged = false;
    for _ in 0..110 {
        producer.produce().await;
        bucket.sleep(15 * MINUTE).await;
        has_merged |= bucket.double.keys().iter().any(|key| key.starts_with("merged/"));
    }
    producer.finds_everything().await;
    let metrics = broker.metrics_text();
    let figure = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let below = figure("kafscale_reading{name=\"topics_below_storage_minimum\"}").unwrap_or(0);
    assert_eq!(below, u64::from(provider == Provider::Wasabi), "a week is less than 90 days");
    let billed_again = figure("kafscale_billed_again_bytes_total").expect("it is there");
    (has_merged, billed_again, bucket.double.byte_days_billed_after_deletion(90))
}

#[test]
fn wasabi_records_are_not_merged_before_they_become_segments_and_the_bill_says_what_was_written_twice() {
    story(Vec::new(), |bucket| async move {
        let (has_merged, _, _) = a_day(&bucket, Provider::GenericS3).await;
        assert!(has_merged, "elsewhere they are");
    });
    story(Vec::new(), |bucket| async move {
        let (has_merged, billed_again, byte_days) = a_day(&bucket, Provider::Wasabi).await;
        assert!(!has_merged, "a copy more would be billed for 90 days");
        assert!(billed_again > 0 && byte_days > 0.0, "segments were made: {billed_again}, {byte_days}");
    });
}
