//! What a broker finds out of a bucket once in its life, and what its marker says of it from then on.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_broker::{Broker, Settings, StartError, cluster::ClusterError};
use kafscale_lab::{
    double::Conditions,
    quirks::{Then, on, rule},
};
use kafscale_store::{
    probe::{Check, Unfit},
    profile::Provider,
};
use serde_json::{Value, json};

use crate::harness::{Bucket, MINUTE, Process, Producer, story};

/// A process that looks at its stores, as `serve` does.
fn process(bucket: &Bucket, provider: Provider) -> Process {
    let mut process = bucket.process_as(provider);
    process.cluster.settings = Settings { look_at_stores: true, ..process.cluster.settings };
    process
}

/// One that has found out what there is, and is over.
async fn known(bucket: &Bucket, provider: Provider) {
    let process = process(bucket, provider);
    let broker = process.cluster.start().await;
    bucket.sleep(MINUTE).await;
    drop(broker);
    process.node.kill();
}

fn marker(bucket: &Bucket) -> Value {
    let bytes = bucket.double.object("cluster.json").expect("there is a marker");
    serde_json::from_slice(&bytes).expect("it is JSON")
}

fn change(bucket: &Bucket, change: impl FnOnce(&mut Value)) {
    let mut marker = marker(bucket);
    change(&mut marker);
    bucket.double.overwrite("cluster.json", Bytes::from(marker.to_string()));
}

fn result(marker: &Value, check: Check) -> String {
    let checks = marker["probed"]["found"]["checks"].as_array().expect("a list").iter();
    let mut of = checks.filter(|line| line["check"] == check.as_str());
    of.next().expect("it was made")["result"].as_str().expect("a word").to_owned()
}

fn asked_of_probes(bucket: &Bucket) -> usize {
    bucket.quirks.seen().iter().filter(|seen| seen.asked.key().starts_with("probe/")).count()
}

async fn refused(bucket: &Bucket, provider: Provider) -> ClusterError {
    match process(bucket, provider).try_start().await {
        Err(StartError::Cluster(error)) => error,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it starts"),
    }
}

#[test]
fn any_a_bucket_is_asked_in_full_once_in_its_life_and_its_marker_has_the_result() {
    for (provider, races) in [(Provider::GenericS3, 3), (Provider::Aws, 1)] {
        story(Vec::new(), move |bucket| async move {
            let first = process(&bucket, provider);
            let broker = first.cluster.start().await;
            bucket.sleep(MINUTE).await;
            let asked = asked_of_probes(&bucket);
            assert!((20..35).contains(&asked), "{asked}");
            let found = marker(&bucket);
            assert!(Check::ALL.into_iter().all(|check| result(&found, check) == "ok"), "{found}");
            assert_eq!((&found["probed"]["races"], &found["generation"]), (&json!(races), &json!(1)));
            assert!(found["probed"]["found"]["put"]["count"].as_u64().is_some_and(|count| count > 5), "{found}");
            assert!(!bucket.double.keys().iter().any(|key| key.starts_with("probe/")), "nothing is left behind");

            // That was once: without clients nothing more is asked.
            bucket.quirks.forget();
            bucket.sleep(30 * MINUTE).await;
            assert_eq!(bucket.quirks.seen().len(), 0);
            drop(broker);
            first.node.kill();
            let broker = process(&bucket, provider).cluster.start().await;
            let mut producer = Producer::new(&bucket, &broker).await;
            bucket.sleep(MINUTE).await;
            assert_eq!(asked_of_probes(&bucket), 0);
            assert_eq!(marker(&bucket), found);
            producer.produce().await;
            producer.finds_everything().await;
        });
    }
}

#[test]
fn any_what_was_denied_is_known_later_on_and_keeps_nobody_from_serving() {
    let denied = on(hyper::Method::POST, "denied").query("delete").respond(403, "AccessDenied", "Access Denied");
    story(vec![denied], |bucket| async move {
        known(&bucket, Provider::Aws).await;
        assert_eq!(result(&marker(&bucket), Check::Delete), "denied");
        bucket.quirks.forget();
        let broker = process(&bucket, Provider::Aws).cluster.start().await;
        bucket.sleep(MINUTE).await;
        assert_eq!(asked_of_probes(&bucket), 0);
        assert!(broker.is_ready());
    });
}

#[test]
fn any_a_result_without_an_answer_is_not_noted_and_asked_for_by_the_next_start() {
    let silent = rule("silent").is(|asked| asked.key().ends_with("/plain")).respond(503, "SlowDown", "");
    story(vec![silent], |bucket| async move {
        known(&bucket, Provider::Aws).await;
        assert!(marker(&bucket).get("probed").is_none());
        bucket.quirks.set(Vec::new());
        known(&bucket, Provider::Aws).await;
        assert_eq!(result(&marker(&bucket), Check::Get), "ok");
    });
}

/// What a start waits for: requests that wait for each other, each a second long.
#[test]
fn any_a_start_takes_less_than_eight_round_trips_and_four_more_where_nobody_vouches_for_creates() {
    for (provider, first, later) in [(Provider::Aws, 7, 7), (Provider::GenericS3, 11, 7)] {
        story(vec![rule("a second").then(Then::Delay(Duration::from_secs(1)))], move |bucket| async move {
            let mut trips = Vec::new();
            for _ in 0..2 {
                let process = process(&bucket, provider);
                let began = bucket.now();
                let broker = process.cluster.start().await;
                trips.push((bucket.now() - began).as_secs());
                bucket.sleep(10 * MINUTE).await;
                drop(broker);
                process.node.kill();
            }
            assert_eq!(trips, [first, later], "{provider:?}");
        });
    }
}

#[test]
fn any_a_store_that_is_known_to_lose_races_is_refused_without_being_asked() {
    let far = rule("far").then(Then::Delay(Duration::from_millis(30)));
    story(vec![far], |bucket| async move {
        // The provider's documents vouch for it, so that only the first look behind the scene sees it.
        bucket.double.set_conditions(Conditions::Racy(Duration::from_millis(20)));
        known(&bucket, Provider::Aws).await;
        assert_eq!(result(&marker(&bucket), Check::CreateRace), "failed");
        bucket.double.set_conditions(Conditions::Honoured);
        bucket.quirks.forget();
        let error = refused(&bucket, Provider::Aws).await;
        let said = error.to_string();
        assert!(said.contains("--log") && said.contains("kafscale storage probe"), "{said}");
        assert!(matches!(error, ClusterError::KnownUnfit(Unfit::Broken { check: Check::CreateRace, .. })), "{said}");
        assert_eq!((asked_of_probes(&bucket), bucket.quirks.seen().len()), (0, 1), "the marker was read");
    });
}

#[test]
fn any_a_marker_from_another_bucket_vouches_for_nothing() {
    story(Vec::new(), |bucket| async move {
        known(&bucket, Provider::GenericS3).await;
        change(&bucket, |marker| marker["probed"]["place"] = "0123456789abcdef".into());
        bucket.double.set_conditions(Conditions::Ignored);
        let error = refused(&bucket, Provider::GenericS3).await;
        assert!(matches!(error, ClusterError::Unfit(Unfit::Broken { check: Check::CreateOnce, .. })), "{error}");
        bucket.double.set_conditions(Conditions::Honoured);
        known(&bucket, Provider::GenericS3).await;
        assert_ne!(marker(&bucket)["probed"]["place"], "0123456789abcdef", "it was asked anew");
    });
}

#[test]
fn any_a_result_that_only_a_newer_version_understands_stays_as_it_is() {
    story(Vec::new(), |bucket| async move {
        known(&bucket, Provider::Aws).await;
        change(&bucket, |marker| marker["probed"]["found"] = json!({ "format": 9, "checks": "future" }));
        let before = marker(&bucket);
        bucket.quirks.forget();
        known(&bucket, Provider::Aws).await;
        assert_eq!((asked_of_probes(&bucket), marker(&bucket)), (0, before));
    });
}

/// A broker whose first look is under way for some seconds.
async fn looking(bucket: &Bucket) -> Arc<Broker> {
    let slow = rule("slow").is(|asked| asked.key().ends_with("/plain")).then(Then::Delay(Duration::from_secs(4)));
    bucket.quirks.set(vec![slow]);
    process(bucket, Provider::Aws).cluster.start().await
}

#[test]
fn any_a_marker_that_was_written_meanwhile_is_left_alone() {
    story(Vec::new(), |bucket| async move {
        let _broker = looking(&bucket).await;
        change(&bucket, |marker| marker["generation"] = 2.into());
        bucket.sleep(5 * MINUTE).await;
        let after = marker(&bucket);
        assert_eq!((&after["generation"], after.get("probed")), (&json!(2), None));
    });
}

#[test]
fn any_a_broker_that_is_not_the_one_of_its_log_any_more_notes_nothing() {
    story(Vec::new(), |bucket| async move {
        let broker = looking(&bucket).await;
        // One that does not look takes over.
        let _newer = bucket.process_as(Provider::Aws).cluster.start().await;
        let before = marker(&bucket);
        bucket.sleep(5 * MINUTE).await;
        assert!(!broker.is_ready());
        assert_eq!(marker(&bucket), before);
        assert!(before.get("probed").is_none());
    });
}
