//! Wasabi, Oracle, IBM.

use kafscale_lab::double::Conditions;
use kafscale_store::{Body, profile::Provider};

use crate::harness::{Producer, ordinary_day, rules, story};

#[test]
fn wasabi_503_maximum_number_of_active_requests_exceeded() {
    story(rules("wasabi"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.met("active requests") > 0);
    });
}

#[test]
fn wasabi_deleted_objects_are_billed_until_day_90() {
    story(Vec::new(), |bucket| async move {
        let store = bucket.process().store;
        store.create("a", Body::from(bytes::Bytes::from_static(b"0123456789"))).await.expect("absent");
        store.delete(&["a".to_owned()]).await.expect("deleted");
        let billed = bucket.double.byte_days_billed_after_deletion(90);
        assert!((billed - 900.0).abs() < 1.0, "ten bytes for 90 days: {billed}");
    });
}

#[test]
fn wasabi_conditions_ignored_from_some_moment_on_lose_nothing_of_a_lone_broker() {
    story(rules("wasabi"), |bucket| async move {
        let broker = bucket.process().cluster.start().await;
        bucket.double.set_conditions(Conditions::Ignored);
        let mut producer = Producer::new(&bucket, &broker).await;
        for _ in 0..12 {
            producer.produce().await;
        }
        producer.finds_everything().await;
        assert!(broker.is_ready());
    });
}

#[test]
fn oci_400_of_a_deletion_with_crc32_alone_is_never_asked_for() {
    story(rules("oci"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert_eq!(bucket.met("deletion with CRC32 alone"), 0);
    });
}

#[test]
fn oci_412_of_a_condition_on_a_part_is_never_asked_for() {
    story(rules("oci"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert_eq!(bucket.met("condition on a part"), 0);
    });
}

#[test]
fn oci_2026_501_and_400_of_aws_chunked_are_never_asked_for() {
    story(rules("oci-2026"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert_eq!(bucket.met("aws-chunked") + bucket.met("streaming digest"), 0);
    });
}

#[test]
fn oci_404_no_such_bucket_on_a_virtual_host_refuses_the_start_and_says_why() {
    let absent = kafscale_lab::quirks::rule("absent").respond(404, "NoSuchBucket", "The bucket does not exist.");
    story(vec![absent], |bucket| async move {
        let said = bucket.process().start_fails().await;
        assert!(said.contains("NoSuchBucket"), "{said}");
    });
}

#[test]
fn ibm_400_of_a_deletion_without_a_digest_is_never_asked_for() {
    story(rules("ibm"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert_eq!(bucket.met("deletion without a digest"), 0);
    });
}

#[test]
fn ibm_400_of_an_unsigned_payload_under_object_lock_is_never_asked_for() {
    story(rules("ibm"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert_eq!(bucket.met("unsigned payload under object lock"), 0);
    });
}

#[test]
fn ibm_409_bucket_already_exists_is_never_asked_for() {
    story(rules("ibm"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert_eq!(bucket.met("bucket already exists"), 0);
    });
}

#[test]
fn ibm_a_bucket_that_takes_bearer_tokens_alone_refuses_the_start_and_says_why() {
    const DENIED: &str = "HMAC credentials are not enabled for this service instance";
    let bearer = kafscale_lab::quirks::rule("bearer")
        .is(|asked| !asked.header("authorization").is_some_and(|value| value.starts_with("Bearer ")))
        .respond(403, "AccessDenied", DENIED);
    story(vec![bearer], |bucket| async move {
        let said = bucket.process_as(Provider::Ibm).start_fails().await;
        assert!(said.contains(DENIED), "{said}");
        assert_eq!(bucket.double.keys(), Vec::<String>::new());
    });
}

#[test]
fn ibm_429_and_503_in_turn() {
    story(rules("ibm"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.met("busy 503") > 0 && bucket.met("busy 429") > 0);
    });
}
