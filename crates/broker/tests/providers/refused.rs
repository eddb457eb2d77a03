//! Stores that a broker asks at its start, and refuses.

use std::time::Duration;

use hyper::Method;
use kafscale_broker::{StartError, cluster::ClusterError};
use kafscale_lab::{
    double::Conditions,
    quirks::{Seen, Then, on, rule},
};
use kafscale_store::{
    probe::{Check, Unfit},
    profile::Provider,
};

use crate::harness::{Bucket, Producer, story};

/// What of the contract a start finds broken.
async fn broken(bucket: &Bucket) -> Check {
    match bucket.process().try_start().await {
        Err(StartError::Cluster(ClusterError::Unfit(unfit @ Unfit::Broken { check, .. }))) => {
            let said = ClusterError::from(unfit).to_string();
            assert!(said.contains("--log"), "{said}");
            check
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it starts"),
    }
}

#[test]
fn nonatomic_conditions_are_refused_for_the_log_and_the_bucket_is_left_empty() {
    let far = rule("far").then(Then::Delay(Duration::from_millis(30)));
    story(vec![far], |bucket| async move {
        bucket.double.set_conditions(Conditions::Racy(Duration::from_millis(20)));
        assert_eq!(broken(&bucket).await, Check::CreateRace);
        assert_eq!(bucket.double.keys(), Vec::<String>::new());
    });
}

#[test]
fn any_conditions_that_are_ignored_are_refused_for_the_log_and_the_bucket_is_left_empty() {
    story(Vec::new(), |bucket| async move {
        bucket.double.set_conditions(Conditions::Ignored);
        assert_eq!(broken(&bucket).await, Check::CreateOnce);
        assert_eq!(bucket.double.keys(), Vec::<String>::new());
    });
}

#[test]
fn any_conditions_that_are_ignored_later_on_are_refused_by_the_next_start() {
    // Also where a provider's word is believed at first.
    for provider in [Provider::GenericS3, Provider::Aws] {
        story(Vec::new(), move |bucket| async move {
            let first = bucket.process_as(provider);
            let broker = first.cluster.start().await;
            let mut producer = Producer::new(&bucket, &broker).await;
            producer.produce().await;
            drop(broker);
            first.node.kill();
            bucket.double.set_conditions(Conditions::Ignored);
            let before = bucket.double.keys();
            assert_eq!(broken(&bucket).await, Check::CreateOnce);
            assert_eq!(bucket.double.keys(), before, "nothing was written");
            bucket.double.set_conditions(Conditions::Honoured);
            let broker = bucket.process().cluster.start().await;
            producer.move_to(&broker);
            producer.finds_everything().await;
        });
    }
}

#[test]
fn any_bucket_that_takes_no_write_at_all_is_not_told_to_keep_its_log_elsewhere() {
    let disabled = on(Method::PUT, "disabled").respond(400, "KMS.DisabledException", "The key is disabled.");
    story(vec![disabled], |bucket| async move {
        let said = bucket.process().start_fails().await;
        assert!(said.contains("an object can be written") && said.contains("KMS.DisabledException"), "{said}");
        assert!(!said.contains("--log"), "{said}");
    });
}

/// Requests about objects of a probe, and creates of the marker.
fn creates(bucket: &Bucket) -> (usize, usize) {
    let seen = bucket.quirks.seen();
    let probes = seen.iter().filter(|seen| seen.asked.key().starts_with("probe/"));
    let is_create = |seen: &&Seen| seen.asked.headers.contains_key("if-none-match");
    let markers = seen.iter().filter(is_create).filter(|seen| seen.asked.key() == "cluster.json");
    (probes.count(), markers.count())
}

#[test]
fn any_the_first_start_asks_in_full_and_later_ones_one_thing() {
    story(Vec::new(), |bucket| async move {
        let first = bucket.process();
        let broker = first.cluster.start().await;
        bucket.sleep(Duration::from_secs(5)).await;
        let (asked, markers) = creates(&bucket);
        assert!((20..30).contains(&asked), "{asked}");
        assert_eq!(markers, 1, "it was made");
        assert!(!bucket.double.keys().iter().any(|key| key.starts_with("probe/")), "nothing is left behind");
        drop(broker);
        first.node.kill();
        bucket.quirks.forget();
        drop(bucket.process().cluster.start().await);
        assert_eq!(creates(&bucket), (0, 1));
    });
    // Where the provider vouches, nothing is asked of an empty bucket.
    story(Vec::new(), |bucket| async move {
        drop(bucket.process_as(Provider::Aws).cluster.start().await);
        bucket.sleep(Duration::from_secs(5)).await;
        assert_eq!(creates(&bucket), (0, 1));
    });
}

#[test]
fn any_keys_that_may_not_delete_do_not_keep_a_broker_from_serving() {
    let denied = on(Method::POST, "denied").query("delete").respond(403, "AccessDenied", "Access Denied");
    story(vec![denied], |bucket| async move {
        let broker = bucket.process().cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        producer.produce().await;
        bucket.sleep(Duration::from_secs(5)).await;
        assert!(bucket.quirks.fired("denied") > 0, "it was tried, and told");
        producer.finds_everything().await;
        assert!(broker.is_ready());
    });
}

#[test]
fn any_a_store_that_does_not_answer_is_not_called_broken() {
    let silent = on(Method::PUT, "silent").is(|asked| asked.key().starts_with("probe/"));
    let silent = silent.respond(503, "SlowDown", "Please reduce your request rate.");
    story(vec![silent], |bucket| async move {
        let said = bucket.process().start_fails().await;
        assert!(said.contains("did not answer"), "{said}");
    });
}
