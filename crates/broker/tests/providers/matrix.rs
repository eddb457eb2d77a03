//! Every fault at every kind of request, as every provider of S3 is spoken to.
//!
//! Providers without create-if-absent are not here: no broker starts there ([`crate::b2`]). A bucket that is deleted is a
//! story of its own ([`crate::any`]), because nothing can be healthy afterwards.

use hyper::Method;
use kafscale_lab::{
    exchange::{Answer, Asked},
    quirks::{After, Nth, Rule, Then, error, rule},
};
use kafscale_store::profile::{ConditionalCreate, Dialect, Provider};

use crate::harness::{Bucket, MINUTE, Producer, story};

/// Which requests meet the fault.
#[derive(Debug, Clone, Copy)]
enum Request {
    Create,
    Get,
    List,
    Delete,
}

const REQUESTS: [Request; 4] = [Request::Create, Request::Get, Request::List, Request::Delete];

impl Request {
    fn is(self) -> fn(&Asked) -> bool {
        match self {
            Self::Create => |asked| asked.method == Method::PUT && asked.headers.contains_key("if-none-match"),
            Self::Get => |asked| asked.method == Method::GET && !asked.lists(),
            Self::List => |asked| asked.lists(),
            Self::Delete => |asked| asked.method == Method::DELETE || asked.parameter("delete").is_some(),
        }
    }
}

/// All providers on whose buckets a broker may start.
fn providers() -> Vec<Provider> {
    let fits = |provider: &Provider| {
        let profile = provider.profile();
        profile.dialect == Dialect::S3 && profile.conditional_create != ConditionalCreate::None
    };
    Provider::ALL.into_iter().filter(fits).collect()
}

/// A few faults in a life with deletions, and again at the start that follows; at last all is there and well.
fn tell(request: Request, provider: Provider, fault: fn(Rule) -> Rule) {
    story(Vec::new(), move |bucket| async move {
        let name = "fault";
        let faults = move || vec![fault(rule(name).is(request.is()))];
        let process = bucket.process_as(provider);
        let broker = process.cluster.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        let mut met = 0;
        for number in 0..16 {
            // Again and again, so that what happens seldom meets it too.
            if number >= 4 {
                met += bucket.quirks.fired(name);
                bucket.quirks.set(faults());
            }
            producer.produce().await;
            bucket.sleep(15 * MINUTE).await;
        }
        met += bucket.quirks.fired(name);
        drop(broker);
        process.node.kill();
        bucket.quirks.set(faults());
        let broker = started(&bucket, provider).await;
        producer.move_to(&broker);
        producer.finds_everything().await;
        producer.produce().await;
        assert!(met + bucket.quirks.fired(name) > 0, "{request:?} of {provider} met it");
        bucket.quirks.set(Vec::new());
        bucket.sleep(MINUTE).await;
        producer.produce().await;
        producer.finds_everything().await;
        assert!(broker.is_ready(), "{request:?} of {provider}");
    });
}

/// A start that is tried again as a supervisor does.
async fn started(bucket: &Bucket, provider: Provider) -> std::sync::Arc<kafscale_broker::Broker> {
    for _ in 0..30 {
        if let Ok(broker) = bucket.process_as(provider).try_start().await {
            return broker;
        }
        bucket.sleep(MINUTE).await;
    }
    panic!("it does not start");
}

fn everywhere(fault: fn(Rule) -> Rule) {
    for provider in providers() {
        for request in REQUESTS {
            tell(request, provider, fault);
        }
    }
}

#[test]
fn applied_and_then_a_timeout() {
    everywhere(|rule| rule.nth(Nth::First(2)).forward(After::Hang));
}

#[test]
fn applied_and_then_a_reset() {
    everywhere(|rule| rule.nth(Nth::First(3)).forward(After::Drop));
}

#[test]
fn applied_and_then_503() {
    everywhere(|rule| rule.nth(Nth::First(3)).forward(After::Respond(error(503, "SlowDown", ""))));
}

#[test]
fn not_applied_and_409() {
    everywhere(|rule| rule.nth(Nth::First(3)).respond(409, "ConditionalRequestConflict", ""));
}

#[test]
fn cut_body() {
    everywhere(|rule| rule.nth(Nth::First(3)).forward(After::CutBody));
}

#[test]
fn list_lag() {
    for provider in providers() {
        tell(Request::List, provider, |rule| rule.then(Then::StaleList(4)));
    }
}

#[test]
fn ten_minutes_of_503() {
    everywhere(|rule| rule.lasts(10 * MINUTE).respond(503, "ServiceUnavailable", ""));
}

#[test]
fn credentials_revoked_and_restored() {
    everywhere(|rule| rule.lasts(10 * MINUTE).respond(403, "InvalidAccessKeyId", ""));
}

#[test]
fn a_clock_that_is_twenty_minutes_off() {
    everywhere(|rule| {
        let skewed = Answer::error(403, "RequestTimeTooSkewed", "The difference is too large.");
        rule.lasts(10 * MINUTE).then(Then::Respond(skewed))
    });
}
