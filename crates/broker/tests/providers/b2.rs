//! Backblaze B2: it has no create-if-absent, so no log of ours may live there alone.

use bytes::Bytes;
use kafscale_store::{Body, ReadError, ReadRange, ReplaceError};

use crate::harness::{rules, story, ten_minutes_of};

fn body(text: &'static str) -> Body {
    Body::from(Bytes::from_static(text.as_bytes()))
}

#[test]
fn b2_501_of_a_conditional_write_refuses_the_start_and_says_why() {
    for profile in ["b2", "b2-2025"] {
        story(rules(profile), |bucket| async move {
            let said = bucket.process().start_fails().await;
            assert!(said.contains("cannot create an object only if it is absent"), "{said}");
            assert!(said.contains("implies functionality that is not implemented"), "{said}");
            assert_eq!(bucket.met("sdk checksum"), 0);
            assert_eq!(bucket.double.keys(), Vec::<String>::new(), "nothing was written");
        });
    }
}

#[test]
fn b2_2025_400_of_an_sdk_checksum_header_is_never_asked_for() {
    story(rules("b2-2025"), |bucket| async move {
        let store = bucket.process().store;
        for name in ["data/1", "data/2"] {
            while store.replace(name, body("x")).await.is_err() {}
            assert_eq!(store.get(name, ReadRange::All).await.expect("written"), "x");
        }
        assert_eq!(store.list("data/", "", 10).await.expect("listed").len(), 2);
        store.delete(&["data/1".to_owned(), "data/2".to_owned()]).await.expect("deleted");
        assert_eq!(bucket.met("sdk checksum"), 0);
    });
}

#[test]
fn b2_over_http_is_refused_before_anything_is_sent() {
    story(rules("b2"), |bucket| async move {
        let said = bucket.refuses("http://s3.us-west-004.backblazeb2.com");
        assert!(said.contains("over https: alone"), "{said}");
        assert!(bucket.quirks.seen().is_empty());
    });
}

#[test]
fn b2_503_slow_down_with_retry_after() {
    story(rules("b2"), |bucket| async move {
        let store = bucket.process().store;
        let mut busy = 0;
        for index in 0..12 {
            let name = format!("data/{index}");
            while let Err(error) = store.replace(&name, body("x")).await {
                assert!(matches!(error, ReplaceError::Unknown(_)), "a 503 may follow a write: {error}");
                busy += 1;
            }
            assert_eq!(store.get(&name, ReadRange::All).await.expect("written"), "x");
        }
        assert!(busy > 0 && bucket.met("busy") == busy);
    });
}

#[test]
fn b2_deletions_and_overwrites_keep_the_old_bytes_until_a_lifecycle_rule_removes_them() {
    story(Vec::new(), |bucket| async move {
        bucket.double.keep_versions();
        let store = bucket.process().store;
        store.replace("floor", body("one")).await.expect("written");
        store.replace("floor", body("four")).await.expect("written again");
        store.delete(&["floor".to_owned()]).await.expect("deleted");
        let read = store.get("floor", ReadRange::All).await;
        assert!(matches!(read, Err(ReadError::NotFound(_))), "{read:?}");
        assert_eq!(bucket.double.stored_bytes(), (0, 7), "hidden, and billed");
        bucket.double.expire_former_versions();
        assert_eq!(bucket.double.stored_bytes(), (0, 0));
    });
}

#[test]
fn b2_a_hidden_object_is_not_seen_again() {
    let hides = rules("b2").into_iter().filter(|rule| rule.name == "deletions hide").collect();
    story(hides, |bucket| async move {
        let store = bucket.process().store;
        store.create("a/1", body("x")).await.expect("absent");
        store.delete(&["a/1".to_owned()]).await.expect("deleted");
        assert_eq!(bucket.double.keys(), ["a/1"], "the bytes are still there");
        assert!(matches!(store.get("a/1", ReadRange::All).await, Err(ReadError::NotFound(_))));
        assert_eq!(store.list("a/", "", 10).await.expect("listed"), []);
    });
}

#[test]
fn b2_403_cap_exceeded_until_the_cap_is_raised() {
    let cap = kafscale_lab::quirks::rule("cap").respond(
        403,
        "AccessDenied",
        "Cannot upload files, storage cap exceeded. See the Caps & Alerts page to increase your cap.",
    );
    story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![cap]).await });
}
