//! HTTP for operators: `/metrics`, `/healthz`, `/readyz`.
//!
//! It is small on purpose: GET only, bodies are never read, heads are bounded in size and time, and so are connections.
//! It answers whoever reaches it, which is why it binds loopback unless told otherwise.
//!
//! - `/metrics`: OpenMetrics text of the broker's registry.
//! - `/healthz`: 200 while the process runs; a supervisor restarts it when this stops answering.
//! - `/readyz`: 200 while the broker can commit, 503 with a reason otherwise; a load balancer asks this.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// A request's head must arrive within this time, and an idle connection closes after it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of one request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// After a failed accept (no file descriptors left) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What the pages are made from.
pub trait Source: Send + Sync + 'static {
    /// The broker's metrics as OpenMetrics text.
    fn metrics(&self) -> String;

    /// Whether requests can be served and committed now, and what is not as it should be; if they cannot, why.
    fn ready(&self) -> Result<Option<String>, String>;
}

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener, source: Arc<dyn Source>) {
    let pages = pages(source);
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(pages.clone());
        tokio::spawn(async move {
            let mut http = hyper::server::conn::http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            http.max_headers(HEADERS_MAX).max_buf_size(HEAD_BYTES_MAX);
            if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
                tracing::debug!(%error, "HTTP connection ended");
            }
            drop(permit);
        });
    }
}

fn pages(source: Arc<dyn Source>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .with_state(source)
}

async fn metrics(State(source): State<Arc<dyn Source>>) -> Response {
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], source.metrics())
        .into_response()
}

async fn readyz(State(source): State<Arc<dyn Source>>) -> Response {
    match source.ready() {
        Ok(None) => "ready\n".into_response(),
        Ok(Some(but)) => format!("ready: {but}\n").into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
