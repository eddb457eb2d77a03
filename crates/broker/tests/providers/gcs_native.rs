//! Google Cloud Storage in its own dialect.

use kafscale_broker::Ended;
use kafscale_lab::quirks::{Rule, rule};
use kafscale_store::profile::Dialect;

use crate::harness::{Bucket, Producer, ordinary_day, rules, story_in, ten_minutes_of};

fn google_story<F>(rules: Vec<Rule>, tell: impl FnOnce(Bucket) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    story_in(Dialect::Gcs, rules, tell);
}

#[test]
fn gcs_native_429_of_a_name_and_408_and_503_for_a_day() {
    google_story(rules("gcs-native"), |bucket| async move {
        ordinary_day(&bucket).await;
        for name in ["busy", "timeout", "too many reads"] {
            assert!(bucket.quirks.fired(name) > 0, "{name} was met");
        }
    });
}

#[test]
fn gcs_native_412_of_generation_zero_fences_the_older_broker() {
    google_story(Vec::new(), |bucket| async move {
        let older = bucket.process().cluster.start().await;
        let mut producer = Producer::new(&bucket, &older).await;
        producer.produce().await;
        let newer = bucket.process().cluster.start().await;
        older.barrier().await.expect_err("another one has taken over");
        let Ended::Fenced(reason) = older.ended().await else { panic!("it is fenced") };
        assert!(reason.contains("has taken over"), "{reason}");
        producer.move_to(&newer);
        producer.produce().await;
        producer.finds_everything().await;
    });
}

#[test]
fn gcs_native_401_of_an_expired_token_until_there_is_another() {
    let expired = rule("expired").respond(401, "AuthenticationRequired", "Authentication required.");
    google_story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![expired]).await });
}

#[test]
fn gcs_native_answers_are_lost_for_ten_minutes() {
    let lost = rule("lost").forward(kafscale_lab::quirks::After::Drop);
    google_story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![lost]).await });
}
