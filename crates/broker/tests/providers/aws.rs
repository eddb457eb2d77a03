//! Amazon S3.

use std::time::Duration;

use hyper::Method;
use kafscale_lab::quirks::{Nth, rule};
use kafscale_store::S3Settings;

use crate::harness::{Producer, beside_a_neighbour, ordinary_day, rules, story, ten_minutes_of};

#[test]
fn aws_409_conflict_of_a_create_that_was_not_applied() {
    story(rules("aws"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.met("conflict") > 0);
    });
}

#[test]
fn aws_400_request_timeout_of_a_stalled_body() {
    story(rules("aws"), |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.met("stalled body") > 0);
    });
}

#[test]
fn aws_404_of_if_match_and_200_with_an_error_are_never_asked_for() {
    story(rules("aws"), |bucket| async move {
        ordinary_day(&bucket).await;
        for name in ["if-match on an absent key", "error in a 200", "error in the 200 of a copy"] {
            assert_eq!(bucket.met(name), 0, "{name}");
        }
    });
}

#[test]
fn aws_503_slow_down_above_3500_writes_a_second_of_a_prefix() {
    story(rules("aws"), |bucket| async move {
        beside_a_neighbour(&bucket, "writes per prefix", Method::PUT, "/bucket/log/x", 4200).await;
    });
}

#[test]
fn aws_503_slow_down_above_5500_reads_a_second_of_a_prefix() {
    story(rules("aws"), |bucket| async move {
        let first = bucket.process();
        let broker = first.cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        producer.produce().await;
        drop(broker);
        first.node.kill();
        // A start reads most.
        bucket.neighbour(Method::GET, "/bucket/log/x", 6600, 8);
        bucket.sleep(Duration::from_secs(2)).await;
        let broker = bucket.process().cluster.start().await;
        producer.move_to(&broker);
        producer.finds_everything().await;
        assert!(bucket.met("reads per prefix") > 0);
        assert!(broker.is_ready());
    });
}

#[test]
fn aws_301_permanent_redirect_of_a_wrong_region_refuses_the_start_and_says_why() {
    let redirect = rule("redirect").respond(
        301,
        "PermanentRedirect",
        "The bucket you are attempting to access must be addressed using the specified endpoint.",
    );
    story(vec![redirect], |bucket| async move {
        let said = bucket.process().start_fails().await;
        assert!(said.contains("PermanentRedirect") && said.contains("specified endpoint"), "{said}");
    });
}

#[test]
fn aws_400_authorization_header_malformed_of_a_wrong_region_refuses_the_start_and_says_why() {
    let malformed = rule("malformed").respond(
        400,
        "AuthorizationHeaderMalformed",
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'",
    );
    story(vec![malformed], |bucket| async move {
        let said = bucket.process().start_fails().await;
        assert!(said.contains("expecting 'eu-west-1'"), "{said}");
    });
}

#[test]
fn aws_403_request_time_too_skewed_for_a_while() {
    let skewed = rule("skewed").respond(
        403,
        "RequestTimeTooSkewed",
        "The difference between the request time and the server's time is too large.",
    );
    story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![skewed]).await });
}

#[test]
fn aws_400_expired_token_until_the_keys_are_renewed() {
    let expired = rule("expired").respond(400, "ExpiredToken", "The provided token has expired.");
    story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![expired]).await });
}

#[test]
fn aws_400_invalid_request_under_object_lock_refuses_the_start_and_says_why() {
    let locked = rule("object lock").is(kafscale_lab::exchange::Asked::writes).respond(
        400,
        "InvalidRequest",
        "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
    );
    story(vec![locked], |bucket| async move {
        let said = bucket.process().start_fails().await;
        assert!(said.contains("Object Lock"), "{said}");
    });
}

#[test]
fn aws_403_access_denied_for_a_while() {
    let denied = rule("denied").respond(403, "AccessDenied", "Access Denied");
    story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![denied]).await });
}

#[test]
fn aws_session_tokens_are_sent_with_every_request() {
    let missing = rule("missing").is(|asked| asked.header("x-amz-security-token") != Some("token"));
    let missing = missing.nth(Nth::Each).respond(403, "InvalidToken", "The provided token is malformed");
    story(vec![missing], |bucket| async move {
        let settings = S3Settings { session_token: Some("token".to_owned().into()), ..S3Settings::default() };
        let broker = bucket.process_with(&settings).cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        producer.produce().await;
        producer.finds_everything().await;
    });
}
