//! Google Cloud Storage in its own dialect.

use kafscale_lab::quirks::{Rule, rule};
use kafscale_store::profile::Dialect;

use crate::harness::{Bucket, fences, ordinary_day, rules, story_in, ten_minutes_of};

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
    google_story(Vec::new(), |bucket| async move { fences(&bucket).await });
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
