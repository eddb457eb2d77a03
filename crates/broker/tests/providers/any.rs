//! What may happen at every provider.

use hyper::Method;
use kafscale_broker::Ended;
use kafscale_lab::quirks::{After, Nth, Rule, Then, error, on, rule};

use crate::harness::{MINUTE, Producer, ordinary_day, rules, story, ten_minutes_of};

#[test]
fn any_all_of_it_at_once_for_a_day() {
    story(rules("any"), |bucket| async move {
        ordinary_day(&bucket).await;
        for name in ["applied, reset", "applied, 503", "cut body", "empty 200"] {
            assert!(bucket.met(name) > 0, "{name}");
        }
    });
}

fn alone(rule: Rule) {
    let name = rule.name;
    story(vec![rule], |bucket| async move {
        ordinary_day(&bucket).await;
        assert!(bucket.quirks.fired(name) > 0, "{name} was met");
    });
}

fn write(name: &'static str) -> Rule {
    rule(name).is(|asked| asked.method == Method::PUT).nth(Nth::Every(3))
}

#[test]
fn any_applied_and_never_answered() {
    alone(write("hang").forward(After::Hang));
}

#[test]
fn any_applied_and_reset_before_the_status_line() {
    alone(write("reset").forward(After::Drop));
}

#[test]
fn any_applied_and_503() {
    alone(write("503").forward(After::Respond(error(503, "SlowDown", "Please reduce your request rate."))));
}

#[test]
fn any_reset_before_it_was_applied() {
    alone(write("dropped").then(Then::Drop));
}

#[test]
fn any_a_body_cut_in_the_middle() {
    alone(on(Method::GET, "cut").nth(Nth::Every(2)).forward(After::CutBody));
}

#[test]
fn any_listings_that_lack_the_latest_writes() {
    alone(rule("lag").is(|asked| asked.lists()).then(Then::StaleList(5)));
}

#[test]
fn any_a_200_without_a_byte() {
    let empty = Then::Respond(kafscale_lab::exchange::Answer::empty(200));
    alone(on(Method::GET, "empty").nth(Nth::Every(3)).then(empty));
}

#[test]
fn any_a_wrong_content_range() {
    let wrong = rules("any").into_iter().find(|rule| rule.name == "wrong content-range").expect("it is there");
    alone(wrong.nth(Nth::Every(2)));
}

#[test]
fn any_a_request_that_is_delivered_twice() {
    alone(rule("twice").is(|asked| asked.writes()).nth(Nth::Every(2)).then(Then::Twice));
}

#[test]
fn any_an_upload_that_takes_a_minute() {
    alone(write("slow").nth(Nth::Every(10)).then(Then::Delay(MINUTE)));
}

#[test]
fn any_ten_minutes_of_503() {
    let away = rule("away").respond(503, "ServiceUnavailable", "Service is not able to handle request.");
    story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![away]).await });
}

#[test]
fn any_ten_minutes_without_an_answer() {
    story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![rule("silent").then(Then::Hang)]).await });
}

#[test]
fn any_keys_revoked_and_restored() {
    let revoked = rule("revoked").respond(403, "InvalidAccessKeyId", "The key Id does not exist in our records.");
    story(Vec::new(), |bucket| async move { ten_minutes_of(&bucket, vec![revoked]).await });
}

#[test]
fn any_a_store_clock_that_steps_by_twenty_minutes() {
    story(Vec::new(), |bucket| async move {
        let broker = bucket.process().cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        for off_minutes in [0, 20, -20, 0] {
            bucket.double.set_clock_off(off_minutes * 60_000);
            producer.produce().await;
            bucket.sleep(5 * MINUTE).await;
        }
        producer.finds_everything().await;
        assert!(broker.is_ready());
    });
}

#[test]
fn any_a_bucket_that_is_deleted_stops_the_broker_and_acknowledges_nothing_more() {
    story(Vec::new(), |bucket| async move {
        let broker = bucket.process().cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        producer.produce().await;
        bucket.double.set_bucket(false);
        broker.barrier().await.expect_err("nothing can be claimed any more");
        let Ended::Fenced(reason) = broker.ended().await else { panic!("it stops") };
        assert!(reason.contains("is gone"), "{reason}");
        let said = bucket.process().start_fails().await;
        assert!(said.contains("NoSuchBucket"), "{said}");
    });
}

#[test]
fn any_a_bucket_that_is_deleted_and_made_anew_is_not_written_on_by_the_broker_of_the_former_one() {
    story(Vec::new(), |bucket| async move {
        let broker = bucket.process().cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        producer.produce().await;
        for exists in [false, true] {
            bucket.double.set_bucket(exists);
            let acknowledged = tokio::select! {
                biased;
                () = producer.produce() => true,
                () = bucket.sleep(MINUTE) => false,
            };
            assert!(!acknowledged, "what came before it is gone");
        }
        let Ended::Fenced(reason) = broker.ended().await else { panic!("it stops") };
        assert!(reason.contains("NoSuchBucket"), "{reason}");
        assert_eq!(bucket.double.keys(), Vec::<String>::new());
    });
}
