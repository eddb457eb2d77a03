//! The HTTP client as `object_store` asks it, which does to the last byte of a body what a probe wants: holds it back until
//! all racers are as far, or damages it.

use std::{future::ready, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use object_store::client::{
    HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::{Body, Client, Request, Url};

use crate::{Racer, body::Sending};

/// A client of `reqwest`.
#[derive(Debug)]
pub(crate) struct Wire(pub Client);

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        match request.extensions().get::<Sending>().cloned() {
            None | Some(Sending::Plainly) => self.0.call(request).await,
            Some(Sending::Racing(racer)) => self.race(request, racer).await,
            Some(Sending::Damaged) => {
                let (parts, body) = request.into_parts();
                self.0.call(HttpRequest::from_parts(parts, damaged(body).await?)).await
            }
        }
    }
}

impl Wire {
    async fn race(&self, request: HttpRequest, racer: Arc<Racer>) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = Url::parse(&parts.uri.to_string()).map_err(|error| HttpError::new(HttpErrorKind::Request, error))?;
        let mut request = Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(held(body, racer).await?);
        let mut response = self.0.execute(request).await.map_err(failed)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut answer = HttpResponse::new(HttpResponseBody::new(Body::from(response).map_err(failed)));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        Ok(answer)
    }
}

async fn damaged(body: HttpRequestBody) -> Result<HttpRequestBody, HttpError> {
    let mut bytes = body.collect().await?.to_bytes().to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    Ok(bytes.into())
}

/// The same body, whose last byte comes when the racer may go. How long it is stands in the request's headers.
async fn held(body: HttpRequestBody, racer: Arc<Racer>) -> Result<Body, HttpError> {
    let mut first = body.collect().await?.to_bytes();
    let last = first.split_off(first.len().saturating_sub(1));
    let wait = async move {
        racer.wait().await;
        Ok::<_, HttpError>(last)
    };
    Ok(Body::wrap_stream(stream::once(ready(Ok(first))).chain(stream::once(wait))))
}

fn failed(error: reqwest::Error) -> HttpError {
    let kind = if error.is_connect() { HttpErrorKind::Connect } else { HttpErrorKind::Unknown };
    HttpError::new(kind, error.without_url())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "its server is a task of its own")]
mod tests {
    use bytes::Bytes;
    use futures_util::future::join;
    use kafscale_runtime::TokioRuntime;
    use parking_lot::Mutex;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::cloud::double::{head, taken};

    /// What a server sees of requests that are as long as these bodies.
    #[derive(Default)]
    struct Seen {
        events: Vec<&'static str>,
        bodies: Vec<Vec<u8>>,
    }

    async fn serve(connection: TcpStream, seen: Arc<Mutex<Seen>>) {
        let mut connection = BufReader::new(connection);
        let asked = head(&mut connection).await.unwrap();
        let mut body = vec![0; asked.header("content-length").parse().unwrap()];
        let (last, first) = body.split_last_mut().unwrap();
        connection.read_exact(first).await.unwrap();
        seen.lock().events.push("all but the last byte");
        *last = connection.read_u8().await.unwrap();
        seen.lock().events.push("the last byte");
        seen.lock().bodies.push(body);
        connection.write_all(taken().as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn of_bodies_that_race_all_are_sent_but_for_one_byte_before_one_is_sent_whole() {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/name", listener.local_addr().unwrap());
        let server = seen.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(serve(connection, server.clone()));
            }
        });
        let wire = Wire(Client::new());
        let mut racers = Racer::line_up(&TokioRuntime::handle(), 2);
        let mut send = |body: &'static str| {
            let mut request = HttpRequest::new(body.to_owned().into());
            *request.uri_mut() = url.parse().unwrap();
            *request.method_mut() = reqwest::Method::PUT;
            request.headers_mut().insert("content-length", body.len().into());
            request.extensions_mut().insert(Sending::Racing(racers.pop().unwrap()));
            wire.call(request)
        };
        let (one, other) = (send("one"), send("another"));
        let later = async {
            while seen.lock().events.is_empty() {
                tokio::task::yield_now().await;
            }
            other.await
        };
        let (one, other) = join(one, later).await;
        assert_eq!((one.unwrap().status().as_u16(), other.unwrap().status().as_u16()), (200, 200));
        let seen = seen.lock();
        let (begun, done) = ("all but the last byte", "the last byte");
        assert_eq!(seen.events, [begun, begun, done, done]);
        assert!([b"one".to_vec(), b"another".to_vec()].iter().all(|body| seen.bodies.contains(body)));
    }

    #[tokio::test]
    async fn of_a_damaged_body_the_last_byte_is_another() {
        let body = damaged(Bytes::from_static(b"body").into()).await.unwrap();
        assert_eq!(body.as_bytes().unwrap(), &Bytes::from_static(b"bodx"));
        assert!(damaged(HttpRequestBody::empty()).await.unwrap().is_empty());
    }
}
