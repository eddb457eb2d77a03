use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_runtime::TokioRuntime;

use super::*;
use crate::quirks::{Nth, error, on, rule};

fn asked(method: Method, target: &str) -> Asked {
    let request = hyper::Request::builder().method(method).uri(target).body(()).unwrap();
    Asked::new(&request.into_parts().0, Bytes::new())
}

async fn status(quirks: &Quirks, asked: Asked) -> u16 {
    let listing = "<L><Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents></L>";
    let forward = |_| async { Some(Answer { status: 200, headers: Vec::new(), body: listing.into() }) };
    match quirks.exchange(asked, forward).await {
        Outcome::Answered(answer) => answer.status,
        Outcome::Cut => 0,
        Outcome::CutAfter(_, len) => u16::try_from(len).unwrap(),
        Outcome::Hang => 1,
    }
}

fn layer(rules: Vec<Rule>) -> Arc<Quirks> {
    Arc::new(Quirks::new(TokioRuntime::handle(), rules, 7))
}

#[tokio::test]
async fn the_first_rule_that_acts_decides_and_is_counted() {
    let second = on(Method::PUT, "second").nth(Nth::Every(2)).respond(503, "SlowDown", "");
    let quirks = layer(vec![second, rule("rest").key("b").respond(429, "SlowDown", "")]);
    let mut statuses = Vec::new();
    for target in ["/x/a", "/x/a", "/x/b", "/x/b"] {
        statuses.push(status(&quirks, asked(Method::PUT, target)).await);
    }
    assert_eq!(statuses, [200, 503, 429, 503]);
    assert_eq!((quirks.fired("second"), quirks.fired("rest")), (2, 1));
    assert_eq!(quirks.seen().iter().filter(|seen| seen.rule == Some("second")).count(), 2);
}

#[tokio::test]
async fn limits_count_per_group_and_a_rule_may_end() {
    let over = error(429, "SlowDown", "");
    let limit = rule("limit").then(Then::Limit { per_second: 1.0, scope: Scope::Key, over });
    let quirks = layer(vec![limit, rule("over").lasts(Duration::ZERO).respond(500, "InternalError", "")]);
    assert_eq!(status(&quirks, asked(Method::PUT, "/x/a")).await, 200);
    assert_eq!(status(&quirks, asked(Method::PUT, "/x/a")).await, 429);
    assert_eq!(status(&quirks, asked(Method::PUT, "/x/b")).await, 200);
    assert_eq!(quirks.fired("limit"), 1);
}

#[tokio::test]
async fn what_was_carried_out_may_go_unanswered() {
    let rules = [After::Drop, After::CutBody, After::Hang]
        .into_iter()
        .map(|after| on(Method::GET, "after").nth(Nth::First(1)).forward(after));
    for (rule, expected) in rules.zip([0, 36, 1]) {
        let quirks = layer(vec![rule]);
        assert_eq!(status(&quirks, asked(Method::GET, "/x/a")).await, expected);
        assert_eq!(status(&quirks, asked(Method::GET, "/x/a")).await, 200);
    }
}

#[tokio::test]
async fn listings_lag_and_deletions_hide() {
    let quirks = layer(vec![rule("stale").then(Then::StaleList(1)), rule("hide").then(Then::HideOnDelete)]);
    status(&quirks, asked(Method::PUT, "/x/a")).await;
    status(&quirks, asked(Method::PUT, "/x/b")).await;
    let listing = Bytes::from_static(b"<L><Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents></L>");
    let list = || async {
        let body = listing.clone();
        let forward = |_| {
            let body = body.clone();
            async move { Some(Answer { status: 200, headers: Vec::new(), body }) }
        };
        match quirks.exchange(asked(Method::GET, "/x?list-type=2"), forward).await {
            Outcome::Answered(answer) => String::from_utf8(answer.body.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list().await, "<L><Contents><Key>a</Key></Contents></L>");
    assert_eq!(status(&quirks, asked(Method::DELETE, "/x/a")).await, 204);
    assert_eq!(list().await, "<L></L>");
    assert_eq!(status(&quirks, asked(Method::GET, "/x/a")).await, 404);
    status(&quirks, asked(Method::PUT, "/x/a")).await;
    assert_eq!(status(&quirks, asked(Method::GET, "/x/a")).await, 200, "written anew");
}

#[tokio::test]
async fn azures_listings_lag_as_well() {
    let quirks = layer(vec![rule("stale").then(Then::StaleList(1))]);
    status(&quirks, asked(Method::PUT, "/x/b&c")).await;
    let listing = "<E><Blobs><Blob><Name>a</Name></Blob><Blob><Name>b&amp;c</Name></Blob></Blobs><NextMarker/></E>";
    let forward = |_| async { Some(Answer { status: 200, headers: Vec::new(), body: listing.into() }) };
    match quirks.exchange(asked(Method::GET, "/x?restype=container&comp=list"), forward).await {
        Outcome::Answered(answer) => {
            assert_eq!(answer.body, "<E><Blobs><Blob><Name>a</Name></Blob></Blobs><NextMarker/></E>");
        }
        other => panic!("{other:?}"),
    }
}
