//! Google Cloud Storage in its S3 dialect.

use std::time::Duration;

use bytes::Bytes;
use kafscale_lab::double::Conditions;
use kafscale_store::{Body, ReadRange, ReplaceError};

use crate::harness::{Producer, ordinary_day, rules, story};

#[test]
fn gcs_interop_conditions_that_are_dropped_silently_stop_the_broker_that_was_overwritten() {
    story(Vec::new(), |bucket| async move {
        let broker = bucket.process().cluster.start().await;
        bucket.double.set_conditions(Conditions::Ignored);
        let mut producer = Producer::new(&bucket, &broker).await;
        producer.produce().await;
        let newest = bucket.double.keys().into_iter().rfind(|key| key.starts_with("log/")).expect("a log");
        bucket.double.overwrite(&newest, Bytes::from_static(b"another writer's"));
        let error = broker.barrier().await.expect_err("its own last position is another's");
        assert!(error.to_string().contains("lost or overwrote a confirmed create"), "{error}");
    });
}

#[test]
fn gcs_interop_501_of_bulk_deletion_is_worked_around() {
    // The provider is known by its host, and then names are deleted one by one.
    story(rules("gcs-interop"), |bucket| async move {
        let store = bucket.process_at("https://storage.googleapis.com").store;
        let names: Vec<_> = (0..20).map(|index| format!("data/{index}")).collect();
        for name in &names {
            store.replace(name, Body::from(Bytes::from_static(b"x"))).await.expect("written");
        }
        store.delete(&names).await.expect("deleted");
        assert_eq!(bucket.double.keys(), Vec::<String>::new());
        assert_eq!(bucket.met("bulk deletion"), 0);
    });
}

#[test]
fn gcs_interop_403_signature_does_not_match_is_never_asked_for() {
    story(rules("gcs-interop"), |bucket| async move {
        let store = bucket.process_at("https://storage.googleapis.com").store;
        store.replace("data/1", Body::from(Bytes::from_static(b"x"))).await.expect("written");
        assert_eq!(store.get("data/1", ReadRange::All).await.expect("there"), "x");
        store.list("data/", "", 10).await.expect("listed");
        store.delete(&["data/1".to_owned()]).await.expect("deleted");
        for name in ["x-id", "signed accept-encoding", "checksum trailer"] {
            assert_eq!(bucket.met(name), 0, "{name}");
        }
    });
}

#[test]
fn gcs_interop_501_of_a_part_copy_and_400_of_mixed_headers_are_never_asked_for() {
    let transient = rules("gcs-interop").into_iter().filter(|rule| rule.name != "bulk deletion").collect();
    story(transient, |bucket| async move {
        ordinary_day(&bucket).await;
        for name in ["part copy", "mixed headers"] {
            assert_eq!(bucket.met(name), 0, "{name}");
        }
    });
}

#[test]
fn gcs_interop_429_of_an_object_that_is_changed_too_quickly() {
    story(rules("gcs-interop"), |bucket| async move {
        let store = bucket.process_at("https://storage.googleapis.com").store;
        store.replace("floor", Body::from(Bytes::from_static(b"1"))).await.expect("the first");
        let second = store.replace("floor", Body::from(Bytes::from_static(b"2"))).await;
        assert!(matches!(second, Err(ReplaceError::Unknown(_) | ReplaceError::Unavailable(_))), "{second:?}");
        bucket.sleep(Duration::from_secs(2)).await;
        store.replace("floor", Body::from(Bytes::from_static(b"3"))).await.expect("later");
    });
}

#[test]
fn gcs_interop_a_whole_day_where_conditions_are_kept() {
    let transient = rules("gcs-interop").into_iter().filter(|rule| rule.name != "bulk deletion").collect();
    story(transient, |bucket| async move { ordinary_day(&bucket).await });
}
