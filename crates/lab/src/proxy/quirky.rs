//! A request under the rules of a provider: it and its answer pass whole. And which rules those are.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{Request, Response, body::Frame, header::CONTENT_LENGTH};

use kafscale_runtime::TokioRuntime;
use serde::Deserialize;

use super::{
    Proxy,
    forward::{self, AnswerBody, Counted, Cut},
};
use crate::{
    exchange::{Answer, Asked},
    quirks::{self, Outcome, Quirks},
};

/// Which rules are followed from now on.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    /// Those of this profile; none without one.
    pub profile: Option<String>,
    /// Of them those of these names alone; all if none is named.
    #[serde(default)]
    pub rules: Vec<String>,
}

impl Proxy {
    /// Follows other rules.
    pub(crate) fn follow(&self, choice: Choice) -> anyhow::Result<()> {
        let Choice { profile, rules: names } = choice;
        let Some(profile) = profile else {
            ensure!(names.is_empty(), "rules without a profile");
            *self.quirks.lock() = None;
            return Ok(());
        };
        let mut rules = quirks::profile(&profile).with_context(|| format!("there is no profile {profile:?}"))?;
        for name in &names {
            ensure!(rules.iter().any(|rule| rule.name == name), "{profile} has no rule {name:?}");
        }
        rules.retain(|rule| names.is_empty() || names.iter().any(|name| rule.name == name));
        *self.quirks.lock() = Some(Arc::new(Quirks::new(TokioRuntime::handle(), rules, self.seed)));
        Ok(())
    }

    /// The rules that are followed.
    pub(crate) fn ways(&self) -> Option<Arc<Quirks>> {
        self.quirks.lock().clone()
    }

    /// How often each of them has decided something.
    pub(crate) fn fired(&self) -> BTreeMap<&'static str, u64> {
        self.ways().map(|quirks| quirks.counts()).unwrap_or_default()
    }
}

pub(super) async fn carry_out(
    proxy: &Arc<Proxy>,
    quirks: &Quirks,
    request: Request<Counted>,
) -> Result<Response<AnswerBody>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let asked = Asked::new(&head, body.clone());
    let forward = |_| async {
        let request = Request::from_parts(head.clone(), Full::from(body.clone()));
        let (head, body) = forward::carry_out(proxy, request).await.ok()?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers = head.headers.iter().filter_map(header).collect();
        Some(Answer { status: head.status.as_u16(), headers, body })
    };
    match quirks.exchange(asked, forward).await {
        Outcome::Answered(answer) => {
            let body = answer.body.clone();
            Ok(response(&answer, Full::from(body).map_err(|never| match never {}).boxed()))
        }
        Outcome::CutAfter(answer, len) => {
            let frames: [Result<Frame<Bytes>, Cut>; 2] = [Ok(Frame::data(answer.body.slice(..len))), Err(Cut)];
            Ok(response(&answer, StreamBody::new(stream::iter(frames)).boxed()))
        }
        Outcome::Cut => Err(Cut),
        Outcome::Hang => std::future::pending().await,
    }
}

/// The answer as it is sent. Its length is that of its body, but an answer to HEAD tells the object's.
fn response(answer: &Answer, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = hyper::StatusCode::from_u16(answer.status).unwrap_or(hyper::StatusCode::BAD_GATEWAY);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (hyper::header::HeaderName::try_from(name), value.parse()) {
            // Bodies are whole here, whatever the encoding of their transfer was.
            if name != hyper::header::TRANSFER_ENCODING {
                response.headers_mut().append(name, value);
            }
        }
    }
    if !answer.body.is_empty() {
        response.headers_mut().insert(CONTENT_LENGTH, answer.body.len().into());
    }
    response
}
