//! Every fault at every kind of request, as every provider is spoken to: S3's dialect, Google's and Azure's.
//!
//! Where a provider cannot create only what is absent (Backblaze B2, Google's S3 dialect) the log lives in another bucket, in
//! which nothing goes wrong, and the faults are those of the bucket with the records; a *create* is then any PUT. What is
//! alike everywhere is said in each dialect's own words. A bucket that is deleted meets every request, and nothing can be
//! healthy afterwards: it is a story of its own.
//!
//! `local` and `memory` are not here, because their requests are calls: no answer gets lost behind a write that was
//! applied, there are no keys, no clock but the broker's own and no lag, and a directory that fails is the simulation's.

use hyper::Method;
use kafscale_broker::Ended;
use kafscale_lab::{
    double::azure_error,
    exchange::{Answer, Asked},
    quirks::{After, Nth, Rule, Then, error, rule},
};
use kafscale_store::profile::{ConditionalCreate, Dialect, Provider};

use crate::harness::{Bucket, MINUTE, Producer, story_in};

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
    fn is(self, provider: Provider) -> fn(&Asked) -> bool {
        match self {
            Self::Create if is_plain(provider) => |asked| asked.method == Method::PUT,
            Self::Create => |asked| {
                let conditions = ["if-none-match", "x-goog-if-generation-match"];
                asked.method == Method::PUT && conditions.iter().any(|name| asked.headers.contains_key(*name))
            },
            Self::Get => |asked| asked.method == Method::GET && !asked.lists(),
            Self::List => Asked::lists,
            Self::Delete => Asked::deletes,
        }
    }
}

/// What becomes of the requests, in the words of a dialect.
type Fault = fn(Rule, Dialect) -> Rule;

/// All providers that are spoken to over HTTP.
fn providers() -> impl Iterator<Item = Provider> {
    let here = [Dialect::Directory, Dialect::Memory];
    Provider::ALL.into_iter().filter(move |provider| !here.contains(&provider.profile().dialect))
}

/// Whether the log cannot live there.
fn is_plain(provider: Provider) -> bool {
    provider.profile().conditional_create == ConditionalCreate::None
}

/// A few faults in a life with deletions, and again at the start that follows; at last all is there and well.
fn tell(request: Request, provider: Provider, fault: Fault) {
    let dialect = provider.profile().dialect;
    story_in(dialect, Vec::new(), move |bucket| async move {
        let name = "fault";
        let faults = move || vec![fault(rule(name).is(request.is(provider)), dialect)];
        let process = bucket.process_as(provider);
        let broker = process.start().await;
        let mut producer = Producer::new(&bucket, &broker).await;
        let mut met = 0;
        for number in 0..16 {
            producer.produce().await;
            // Again and again, and at other moments, so that what happens seldom meets it too.
            let quiet = (number % 3) * 5 * MINUTE;
            bucket.sleep(quiet).await;
            if number >= 4 {
                met += bucket.quirks.fired(name);
                bucket.quirks.set(faults());
            }
            bucket.sleep(15 * MINUTE - quiet).await;
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

fn everywhere(fault: Fault) {
    for provider in providers() {
        for request in REQUESTS {
            tell(request, provider, fault);
        }
    }
}

fn busy(dialect: Dialect) -> Answer {
    match dialect {
        Dialect::Azure => azure_error(503, "ServerBusy"),
        _ => error(503, "SlowDown", ""),
    }
}

#[test]
fn applied_and_then_a_timeout() {
    everywhere(|rule, _| rule.nth(Nth::First(2)).forward(After::Hang));
}

#[test]
fn applied_and_then_a_reset() {
    everywhere(|rule, _| rule.nth(Nth::First(3)).forward(After::Drop));
}

#[test]
fn applied_and_then_503() {
    everywhere(|rule, dialect| rule.nth(Nth::First(3)).forward(After::Respond(busy(dialect))));
}

#[test]
fn not_applied_and_409() {
    everywhere(|rule, dialect| {
        let conflict = match dialect {
            Dialect::Azure => azure_error(409, "BlobAlreadyExists"),
            Dialect::Gcs => error(409, "Conflict", ""),
            _ => error(409, "ConditionalRequestConflict", ""),
        };
        rule.nth(Nth::First(3)).then(Then::Respond(conflict))
    });
}

#[test]
fn cut_body() {
    everywhere(|rule, _| rule.nth(Nth::First(3)).forward(After::CutBody));
}

#[test]
fn list_lag() {
    for provider in providers() {
        tell(Request::List, provider, |rule, _| rule.then(Then::StaleList(4)));
    }
}

#[test]
fn ten_minutes_of_503() {
    everywhere(|rule, dialect| rule.lasts(10 * MINUTE).then(Then::Respond(busy(dialect))));
}

#[test]
fn credentials_revoked_and_restored() {
    everywhere(|rule, dialect| {
        let revoked = match dialect {
            Dialect::Azure => azure_error(403, "AuthenticationFailed"),
            Dialect::Gcs => error(401, "AuthenticationRequired", "Authentication required."),
            _ => error(403, "InvalidAccessKeyId", ""),
        };
        rule.lasts(10 * MINUTE).then(Then::Respond(revoked))
    });
}

#[test]
fn a_clock_that_is_twenty_minutes_off() {
    everywhere(|rule, dialect| {
        let skewed = match dialect {
            Dialect::Azure => azure_error(403, "AuthenticationFailed"),
            // Tokens are good at any time, but what the store says of the time is wrong.
            Dialect::Gcs => {
                let ahead: fn(&Asked, &mut Answer) = |_, answer| answer.put_ahead(20 * MINUTE);
                return rule.lasts(10 * MINUTE).then(Then::Mutate(ahead));
            }
            _ => error(403, "RequestTimeTooSkewed", "The difference is too large."),
        };
        rule.lasts(10 * MINUTE).then(Then::Respond(skewed))
    });
}

/// A broker whose bucket is gone claims nothing more; where the log is elsewhere it cannot store records either.
#[test]
fn a_bucket_that_is_deleted() {
    for provider in providers() {
        story_in(provider.profile().dialect, Vec::new(), move |bucket| async move {
            let process = bucket.process_as(provider);
            let broker = process.start().await;
            let mut producer = Producer::new(&bucket, &broker).await;
            producer.produce().await;
            bucket.delete();
            let acknowledged = tokio::select! {
                biased;
                () = producer.produce() => true,
                () = bucket.sleep(10 * MINUTE) => false,
            };
            assert!(!acknowledged, "{provider}: there is nowhere to store it");
            if is_plain(provider) {
                assert!(!broker.is_ready(), "{provider}: it says so");
            } else {
                broker.barrier().await.expect_err("nothing can be claimed any more");
                let Ended::Fenced(reason) = broker.ended().await else { panic!("it stops") };
                assert!(reason.contains("is gone"), "{provider}: {reason}");
            }
            drop(broker);
            process.node.kill();
            let said = bucket.process_as(provider).start_fails().await;
            assert!(said.contains("NoSuchBucket") || said.contains("ContainerNotFound"), "{provider}: {said}");
        });
    }
}
