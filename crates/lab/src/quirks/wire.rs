//! The layer in front of a double, as the HTTP client of a store under test.

use std::{io, sync::Arc};

use async_trait::async_trait;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{Response, body::Frame};
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService};

use super::{Outcome, Quirks};
use crate::{
    double::Double,
    exchange::{Answer, Asked},
};

/// `object_store`'s HTTP client, but everything happens in this process and on the layer's clock.
#[derive(Clone)]
pub struct Wire {
    quirks: Arc<Quirks>,
    double: Arc<dyn Double>,
}

impl Wire {
    /// A client of `double` through `quirks`.
    pub fn new(quirks: Arc<Quirks>, double: Arc<dyn Double>) -> Self {
        Self { quirks, double }
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Wire")
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let asked = Asked::new(&head, body);
        let double = self.double.clone();
        let forward = |asked| {
            let answer = double.answer(&asked);
            async move { Some(answer) }
        };
        let outcome = self.quirks.exchange(asked, forward).await;
        match outcome {
            Outcome::Answered(answer) => {
                let body = answer.body.clone();
                Ok(response(&answer, HttpResponseBody::from(body)))
            }
            Outcome::CutAfter(answer, len) => {
                let frames = [Ok(Frame::data(answer.body.slice(..len))), Err(cut())];
                Ok(response(&answer, HttpResponseBody::new(StreamBody::new(stream::iter(frames)))))
            }
            Outcome::Cut => Err(cut()),
            Outcome::Hang => std::future::pending().await,
        }
    }
}

fn response(answer: &Answer, body: HttpResponseBody) -> HttpResponse {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    if answer.header("content-length").is_none() {
        response = response.header("content-length", answer.body.len());
    }
    response.body(body).expect("a double's answer is well-formed")
}

fn cut() -> HttpError {
    HttpError::new(HttpErrorKind::Interrupted, io::Error::new(io::ErrorKind::ConnectionReset, "connection reset"))
}
