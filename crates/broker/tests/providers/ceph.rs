//! DigitalOcean Spaces, Linode and Vultr: Ceph's RADOS gateway with limits.

use hyper::Method;
use kafscale_store::Body;

use crate::harness::{beside_a_neighbour, ordinary_day, rules, story};

/// What a store does in such a case does not matter: no request of a broker's is one.
fn never_met(provider: &'static str, case: &'static str) {
    story(rules(provider), move |bucket| async move {
        ordinary_day(&bucket).await;
        assert_eq!(bucket.met(case), 0);
    });
}

fn always_says_how_long(provider: &'static str) {
    story(rules(provider), |bucket| async move {
        ordinary_day(&bucket).await;
        // Also of a body without a byte.
        bucket.process().store.create("empty", Body::default()).await.expect("an empty object has a length too");
        assert_eq!(bucket.met("no length"), 0);
    });
}

fn never_asks_for_a_part_number(provider: &'static str) {
    story(rules(provider), |bucket| async move {
        ordinary_day(&bucket).await;
        assert_eq!(bucket.quirks.fired("part number ignored"), 0);
    });
}

#[test]
fn do_spaces_412_of_a_quoted_if_match_is_never_asked_for() {
    never_met("do-spaces", "quoted if-match");
}

#[test]
fn do_spaces_400_of_x_amz_trailer_is_never_asked_for() {
    never_met("do-spaces", "trailer");
}

#[test]
fn do_spaces_503_slow_down_above_1500_requests_a_second_of_a_client() {
    story(rules("do-spaces"), |bucket| async move {
        beside_a_neighbour(&bucket, "requests of a client", Method::GET, "/bucket/x", 1800).await;
    });
}

#[test]
fn do_spaces_503_slow_down_above_300_writes_and_lists_a_second_of_an_old_bucket() {
    story(rules("do-old-bucket"), |bucket| async move {
        beside_a_neighbour(&bucket, "writes and lists", Method::PUT, "/bucket/x", 360).await;
    });
}

#[test]
fn do_spaces_503_slow_down_above_500_requests_a_second_of_an_old_bucket() {
    story(rules("do-old-bucket"), |bucket| async move {
        beside_a_neighbour(&bucket, "requests of a bucket", Method::GET, "/bucket/x", 600).await;
    });
}

#[test]
fn do_spaces_503_above_ten_concurrent_writes_of_a_key_is_never_met() {
    never_met("do-spaces", "concurrent writes of a key");
}

#[test]
fn linode_400_content_sha256_mismatch_of_streamed_checksums_is_never_asked_for() {
    never_met("linode", "streaming checksum");
}

#[test]
fn linode_411_missing_content_length_is_never_asked_for() {
    always_says_how_long("linode");
}

#[test]
fn linode_503_slow_down_above_750_requests_a_second_of_a_bucket() {
    story(rules("linode"), |bucket| async move {
        beside_a_neighbour(&bucket, "requests of a bucket", Method::GET, "/bucket/x", 900).await;
    });
}

#[test]
fn linode_503_slow_down_above_2000_requests_a_second_of_a_newer_endpoint() {
    story(rules("linode-e2"), |bucket| async move {
        beside_a_neighbour(&bucket, "requests of a bucket", Method::GET, "/bucket/x", 2400).await;
    });
}

#[test]
fn linode_200_with_the_whole_object_of_a_part_number_is_never_asked_for() {
    never_asks_for_a_part_number("linode");
}

#[test]
fn linode_429_of_a_bucket_name_clash_is_never_asked_for() {
    never_met("linode", "bucket name clash");
}

#[test]
fn vultr_503_slow_down_above_400_requests_a_second_of_a_subscription() {
    story(rules("vultr"), |bucket| async move {
        beside_a_neighbour(&bucket, "requests of a subscription", Method::GET, "/other-bucket/x", 480).await;
    });
}

#[test]
fn vultr_400_content_sha256_mismatch_of_streamed_checksums_is_never_asked_for() {
    never_met("vultr", "streaming checksum");
}

#[test]
fn vultr_411_missing_content_length_is_never_asked_for() {
    always_says_how_long("vultr");
}

#[test]
fn vultr_200_with_the_whole_object_of_a_part_number_is_never_asked_for() {
    never_asks_for_a_part_number("vultr");
}

#[test]
fn vultr_429_of_a_bucket_name_clash_is_never_asked_for() {
    never_met("vultr", "bucket name clash");
}
