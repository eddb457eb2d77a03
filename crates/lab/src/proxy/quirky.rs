//! A request under the rules of a provider: it and its answer pass whole.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{Request, Response, body::Frame, header::CONTENT_LENGTH};

use super::{
    Proxy,
    forward::{self, AnswerBody, Counted, Cut},
};
use crate::{
    exchange::{Answer, Asked},
    quirks::{Outcome, Quirks},
};

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
