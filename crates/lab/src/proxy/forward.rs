//! The way of one request.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use anyhow::ensure;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Body, Frame, Incoming, SizeHint},
    header,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::Instant;

use super::{Fault, Proxy, faults};

pub(super) type AnswerBody = BoxBody<Bytes, Cut>;

/// The body of a request on its way.
type Sent = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The connection is to be cut.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// The real server.
pub(crate) struct Upstream {
    client: Client<HttpConnector, Sent>,
    base: Uri,
}

impl Upstream {
    pub(crate) fn new(base: &Uri) -> anyhow::Result<Self> {
        ensure!(
            base.scheme_str() == Some("http") && base.authority().is_some(),
            "the upstream is not http://HOST:PORT"
        );
        ensure!(base.path() == "/" && base.query().is_none(), "the upstream has a path: give http://HOST:PORT");
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            // A request must not be carried out twice because of us.
            .retry_canceled_requests(false)
            .set_host(false)
            .build(connector);
        Ok(Self { client, base: base.clone() })
    }

    /// The same request, addressed to the real server; `Host` and all that is signed stays as it is.
    fn addressed(&self, mut request: Request<Sent>) -> Request<Sent> {
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        // How the two connections are kept is not each other's business.
        request.headers_mut().remove(header::CONNECTION);
        request
    }
}

pub(crate) async fn handle(proxy: Arc<Proxy>, request: Request<Incoming>) -> Result<Response<AnswerBody>, Cut> {
    let start = Instant::now();
    let method = request.method().clone();
    proxy.stats.request(&method);
    let _in_flight = (method == Method::PUT).then(|| proxy.stats.put_in_flight());
    let (latency, fault) = draw(&proxy, &method);
    let due = latency.map(|latency| start + latency);
    if let Some(fault) = fault {
        proxy.stats.fault(&method, fault);
    }
    let request = request.map(|body| Counted::new(body, proxy.clone(), method.clone(), false));
    let answer = match fault {
        Some(Fault::Error503 | Fault::Hang) => {
            // Read to its end: an answer in the middle of an upload is a fault of another kind.
            drain(request.into_body()).await;
            slow_down()
        }
        _ => match proxy.ways() {
            None => carry_out(&proxy, request).await?,
            Some(quirks) => super::quirky::carry_out(&proxy, &quirks, request).await?,
        },
    };
    match fault {
        Some(Fault::Hang | Fault::AppliedHang) => std::future::pending().await,
        Some(Fault::AppliedUnanswered) => {
            wait_until(due).await;
            return Err(Cut);
        }
        _ => {}
    }
    let late = due.is_some_and(|due| due < Instant::now());
    wait_until(due).await;
    let answer = if fault == Some(Fault::Applied503) { slow_down() } else { answer };
    proxy.stats.answer(&method, answer.status(), start.elapsed(), late);
    Ok(answer)
}

fn draw(proxy: &Proxy, method: &Method) -> (Option<std::time::Duration>, Option<Fault>) {
    let settings = proxy.settings.lock().clone();
    let latency = if faults::writes(method) { settings.put_latency() } else { settings.get_latency() };
    let mut random = proxy.random.lock();
    (latency.map(|latency| latency.draw(&mut *random)), settings.rates().draw(method, &mut *random))
}

async fn wait_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}

/// Sends the request on, in a task of its own: once its body is here it is carried out whether or not the client waits.
pub(super) async fn carry_out<B>(proxy: &Arc<Proxy>, request: Request<B>) -> Result<Response<AnswerBody>, Cut>
where
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let method = request.method().clone();
    let request = request.map(|body| body.map_err(Into::into).boxed());
    let sender = proxy.clone();
    let sent = tokio::spawn(async move { sender.upstream.client.request(sender.upstream.addressed(request)).await });
    match sent.await {
        Ok(Ok(answer)) => {
            let proxy = proxy.clone();
            let mut answer = answer.map(|body| Counted::new(body, proxy, method, true).map_err(|_| Cut).boxed());
            answer.headers_mut().remove(header::CONNECTION);
            Ok(answer)
        }
        // What happened there is unknown, so the client must not learn more.
        _ => {
            proxy.stats.upstream_failed();
            Err(Cut)
        }
    }
}

async fn drain(mut body: Counted) {
    while let Some(Ok(_)) = body.frame().await {}
}

fn slow_down() -> Response<AnswerBody> {
    const BODY: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code>\
        <Message>Please reduce your request rate.</Message></Error>";
    let mut answer = Response::new(Full::from(BODY).map_err(|never| match never {}).boxed());
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
    answer
}

/// A body whose bytes are counted as they pass, no faster than the line.
pub(crate) struct Counted {
    body: Incoming,
    proxy: Arc<Proxy>,
    method: Method,
    is_answer: bool,
    /// What the line still has of the last bytes.
    passing: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Counted {
    fn new(body: Incoming, proxy: Arc<Proxy>, method: Method, is_answer: bool) -> Self {
        Self { body, proxy, method, is_answer, passing: None }
    }

    fn note(&mut self, bytes: usize) {
        let proxy = &self.proxy;
        let (count, line) = match self.is_answer {
            true => (super::Stats::bytes_out as fn(&_, &_, _), &proxy.down),
            false => (super::Stats::bytes_in as fn(&_, &_, _), &proxy.up),
        };
        count(&proxy.stats, &self.method, bytes as u64);
        let rate = proxy.settings.lock().line_mb_per_s * 1e6;
        self.passing = line.take(bytes, rate).map(|at| Box::pin(tokio::time::sleep_until(at)));
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(passing) = &mut self.passing {
            ready!(passing.as_mut().poll(context));
            self.passing = None;
        }
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let bytes = data.len();
            self.note(bytes);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
