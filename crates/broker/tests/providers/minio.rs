//! MinIO, and stores that check conditions without a lock.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use kafscale_broker::Ended;
use kafscale_lab::double::Conditions;
use kafscale_store::Body;

use crate::harness::{MINUTE, Producer, story};

#[test]
fn minio_degraded_conditions_ignored_without_a_quorum_are_detected_by_the_barrier() {
    story(Vec::new(), |bucket| async move {
        let first = bucket.process();
        let older = first.cluster.start().await;
        let mut producer = Producer::new(&bucket, &older).await;
        producer.produce().await;

        // Another broker takes over, the quorum is lost, and the older one writes over its first frames.
        let newer = bucket.process().cluster.start().await;
        bucket.double.set_conditions(Conditions::Ignored);
        producer.move_to(&newer);
        producer.produce().await;
        let barrier = older.barrier().await;
        assert!(barrier.is_err(), "the older one sees at its next question that it is not alone");
        let ended = tokio::select! {
            ended = older.ended() => ended,
            () = bucket.sleep(MINUTE) => panic!("it goes on"),
        };
        assert!(matches!(ended, Ended::Fenced(_)), "{ended:?}");
        producer.finds_everything().await;
    });
}

#[test]
fn minio_degraded_an_overwritten_frame_stops_its_writer_and_names_the_cause() {
    story(Vec::new(), |bucket| async move {
        let broker = bucket.process().cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        producer.produce().await;
        bucket.double.set_conditions(Conditions::Ignored);
        let newest = bucket.double.keys().into_iter().rfind(|key| key.starts_with("log/")).expect("a log");
        bucket.double.overwrite(&newest, Bytes::from_static(b"another writer's"));
        let error = broker.barrier().await.expect_err("not its own").to_string();
        assert!(error.contains("lost or overwrote a confirmed create"), "{error}");
        assert!(error.contains("If-None-Match"), "{error}");
        let Ended::Fenced(reason) = broker.ended().await else { panic!("it stops") };
        assert!(reason.contains("If-None-Match"), "{reason}");
    });
}

#[test]
fn nonatomic_conditions_pass_one_after_the_other_and_fail_in_a_race() {
    story(Vec::new(), |bucket| async move {
        bucket.double.set_conditions(Conditions::Racy(Duration::from_millis(50)));
        let store = bucket.process().store;
        let create = |name: &'static str| store.create(name, Body::from(Bytes::from_static(b"x")));
        create("alone").await.expect("absent");
        bucket.sleep(Duration::from_secs(1)).await;
        create("alone").await.expect_err("it is there");
        let raced = join_all((0..16).map(|_| create("raced"))).await;
        assert!(raced.iter().filter(|result| result.is_ok()).count() > 1, "what only a race shows");
    });
}
