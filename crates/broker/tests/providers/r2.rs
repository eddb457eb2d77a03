//! Cloudflare R2.

use kafscale_store::{Body, ReplaceError};

use crate::harness::{Bucket, ordinary_day, rules, story};

#[test]
fn r2_499_client_disconnect_after_the_write_was_applied() {
    story(rules("r2"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.met("client disconnect") > 0);
    });
}

#[test]
fn r2_429_above_one_write_a_second_of_a_key() {
    story(rules("r2"), |bucket| async move {
        let process = bucket.process();
        let write = |text: &'static str| {
            process.store.replace("data/x", Body::from(bytes::Bytes::from_static(text.as_bytes())))
        };
        write("1").await.expect("the first");
        let second = write("2").await;
        assert!(matches!(second, Err(ReplaceError::Unavailable(_))), "not applied, later it may be: {second:?}");
        ordinary_day(&bucket).await;
    });
}

#[test]
fn r2_200_ms_more_for_a_commit() {
    story(rules("r2"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.quirks.fired("commit latency") > 0);
    });
}

#[test]
fn r2_400_invalid_part_is_never_asked_for() {
    never(&["unequal parts"]);
}

#[test]
fn r2_an_opaque_etag_of_a_multipart_upload_is_never_asked_for() {
    never(&["opaque etag"]);
}

#[test]
fn r2_501_of_a_crc32_header_is_never_asked_for() {
    never(&["checksum header"]);
}

#[test]
fn r2_401_of_an_aws_chunked_trailer_is_never_asked_for() {
    never(&["aws-chunked trailer"]);
}

#[test]
fn r2_501_of_encryption_lock_tag_and_acl_headers_is_never_asked_for() {
    never(&["encryption header", "object lock header", "tagging header", "acl header"]);
}

#[test]
fn r2_no_100_continue_is_never_waited_for() {
    never(&["expect"]);
}

fn never(names: &'static [&'static str]) {
    story(rules("r2"), |bucket| async move {
        ordinary_day(&bucket).await;
        for name in names {
            assert_eq!(bucket.met(name), 0, "{name}");
        }
    });
}

#[test]
fn r2_400_invalid_region_name_refuses_the_start_and_says_why() {
    story(rules("r2"), |bucket| async move {
        let elsewhere = Bucket { region: "eu-west-1", ..bucket.clone() };
        let said = elsewhere.process().start_fails().await;
        assert!(said.contains("InvalidRegionName"), "{said}");
        let auto = Bucket { region: "auto", ..bucket };
        assert!(auto.process().cluster.start().await.is_ready());
    });
}
