//! Azure Blob Storage in its own dialect.

use std::time::Duration;

use hyper::Method;
use kafscale_broker::Ended;
use kafscale_lab::{
    double::{AzureDouble, Container, azure_error},
    exchange::Asked,
    quirks::{After, Nth, Rule, Then, on, rule},
};
use kafscale_store::profile::Dialect;

use crate::harness::{Bucket, Foreign, Producer, fences, ordinary_day, rules, story_in, ten_minutes_of};

fn azure_story<F>(rules: Vec<Rule>, tell: impl FnOnce(Bucket) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    story_in(Dialect::Azure, rules, tell);
}

fn container(bucket: &Bucket) -> &AzureDouble {
    match &bucket.foreign {
        Some(Foreign::Azure(azure)) => azure,
        _ => unreachable!("the story is Azure's"),
    }
}

#[test]
fn azure_native_409_blob_already_exists_fences_the_older_broker() {
    azure_story(Vec::new(), |bucket| async move { fences(&bucket).await });
}

#[test]
fn azure_native_412_condition_not_met_says_the_same() {
    // What Azure answers to one of two creates that are under way at once.
    let lost = on(Method::PUT, "lost").then(Then::Mutate(|_, answer| {
        if answer.status == 409 {
            *answer = azure_error(412, "ConditionNotMet");
        }
    }));
    azure_story(vec![lost], |bucket| async move { fences(&bucket).await });
}

#[test]
fn azure_native_503_server_busy_and_500_operation_timed_out_for_a_day() {
    azure_story(rules("azure"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.met("busy") > 0 && bucket.met("timed out") > 0);
    });
}

#[test]
fn azure_native_500_operation_timed_out_of_a_create_that_was_applied() {
    let creates = |asked: &Asked| asked.headers.contains_key("if-none-match");
    let timed_out = rule("timed out").is(creates).nth(Nth::Every(3));
    let timed_out = timed_out.forward(After::Respond(azure_error(500, "OperationTimedOut")));
    azure_story(vec![timed_out], |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.met("timed out") > 0);
    });
}

#[test]
fn azure_native_400_of_a_suffix_range_is_never_asked_for() {
    azure_story(rules("azure"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert_eq!(bucket.met("suffix range"), 0);
    });
}

#[test]
fn azure_native_a_connection_that_is_closed_after_30_s_of_streaming() {
    let slow = |name| rule(name).is(|asked| asked.method == Method::PUT).nth(Nth::Every(4));
    let reads = |name| on(Method::GET, name).is(|asked| !asked.lists()).nth(Nth::Every(5));
    let half_a_minute = || Then::Delay(Duration::from_secs(30));
    let closes = vec![
        slow("slow upload").then(half_a_minute()),
        slow("upload closed").then(Then::Drop),
        reads("slow download").then(half_a_minute()),
        reads("download closed").forward(After::CutBody),
    ];
    azure_story(closes, |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.quirks.fired("upload closed") > 0 && bucket.quirks.fired("download closed") > 0);
    });
}

#[test]
fn azure_native_404_blob_not_found_of_an_item_in_a_202_batch_is_a_deletion() {
    // The answer to each first batch is lost, so the second one finds nothing left to delete.
    let lost = on(Method::POST, "lost").is(|asked| asked.parameter("comp") == Some("batch"));
    let lost = lost.nth(Nth::Every(2)).forward(After::Drop);
    azure_story(vec![lost], |bucket| async move {
        ordinary_day(&bucket).await;
        bucket.sleep(Duration::from_secs(2 * 60 * 60)).await;
        let (lost, again) = (bucket.met("lost"), container(&bucket).absent_in_batches());
        assert!(lost > 0 && again > 0, "{lost} {again}");
    });
}

#[test]
fn azure_native_403_authentication_failed_until_the_keys_are_good_again() {
    let refused = rule("refused").then(Then::Respond(azure_error(403, "AuthenticationFailed")));
    azure_story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![refused]).await });
}

#[test]
fn azure_native_409_container_being_deleted_and_then_404_stops_the_broker_and_acknowledges_nothing_more() {
    azure_story(Vec::new(), |bucket| async move {
        let broker = bucket.process().start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        producer.produce().await;
        container(&bucket).set_container(Container::BeingDeleted);
        let acknowledged = tokio::select! {
            biased;
            () = producer.produce() => true,
            () = bucket.sleep(Duration::from_secs(30)) => false,
        };
        assert!(!acknowledged, "it is on its way out");
        container(&bucket).set_container(Container::Gone);
        broker.barrier().await.expect_err("nothing can be claimed any more");
        let Ended::Fenced(reason) = broker.ended().await else { panic!("it stops") };
        assert!(reason.contains("is gone"), "{reason}");
        let said = bucket.process().start_fails().await;
        assert!(said.contains("ContainerNotFound"), "{said}");
    });
}
