//! Looking at the proxy and changing it while it runs.
//!
//! `GET /stats` and `GET /settings` tell; `POST /settings` changes the fields that its JSON object names and answers with
//! all of them; `POST /quirks` names a profile, and maybe some of its rules, to follow from now on (none: the server's own
//! ways), whose counts begin anew and are part of the statistics; `POST /reset` sets the other counts to zero.

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming};

use super::Proxy;

const BODY_MAX: usize = 64 << 10;

pub(crate) async fn handle(proxy: Arc<Proxy>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let answer = match (request.method(), path.as_str()) {
        (&Method::GET, "/stats") => {
            let mut stats = proxy.stats.json();
            stats["quirks"] = serde_json::json!(proxy.fired());
            Ok(stats)
        }
        (&Method::GET, "/settings") => Ok(serde_json::json!(*proxy.settings.lock())),
        (&Method::POST, "/reset") => {
            proxy.stats.reset();
            Ok(serde_json::json!({}))
        }
        (&Method::POST, "/settings" | "/quirks") => {
            let change = if path == "/settings" { change } else { follow };
            match Limited::new(request.into_body(), BODY_MAX).collect().await {
                Ok(body) => {
                    change(&proxy, &body.to_bytes()).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))
                }
                Err(error) => Err((StatusCode::BAD_REQUEST, error.to_string())),
            }
        }
        _ => {
            let there = "there are GET /stats, GET|POST /settings, POST /quirks, POST /reset";
            Err((StatusCode::NOT_FOUND, there.to_owned()))
        }
    };
    let (status, json) = match answer {
        Ok(json) => (StatusCode::OK, json),
        Err((status, error)) => (status, serde_json::json!({ "error": error })),
    };
    let mut response = Response::new(Full::from(format!("{json:#}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn change(proxy: &Proxy, changes: &[u8]) -> anyhow::Result<serde_json::Value> {
    let mut settings = proxy.settings.lock();
    *settings = settings.changed_by(changes)?;
    Ok(serde_json::json!(*settings))
}

fn follow(proxy: &Proxy, choice: &[u8]) -> anyhow::Result<serde_json::Value> {
    proxy.follow(serde_json::from_slice(choice)?)?;
    Ok(serde_json::json!(proxy.fired()))
}
