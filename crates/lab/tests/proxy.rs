//! The proxy in front of a tiny server: what passes unchanged, and each fault.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a tool beside the product")]

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, body::Incoming, client::conn::http1 as client, server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kafscale_lab::proxy::{self, Options, Running, Settings};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};

type Seen = Arc<Mutex<Vec<(String, usize)>>>;

/// A proxy, and what its upstream has carried out: method, path and host, length of the body.
struct Setup {
    running: Running,
    carried_out: Seen,
}

impl Setup {
    async fn start(settings: Settings) -> Self {
        Self::start_as(settings, None).await
    }

    /// With the ways of a provider.
    async fn start_as(settings: Settings, quirks: Option<&str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let carried_out: Seen = Arc::default();
        tokio::spawn(serve(listener, carried_out.clone()));
        let free = "127.0.0.1:0".parse().unwrap();
        let running = proxy::start(&Options {
            listen: free,
            admin: free,
            upstream,
            seed: 1,
            quirks: quirks.map(str::to_owned),
            settings,
        })
        .await
        .unwrap();
        Self { running, carried_out }
    }

    /// The answer's status and body, or an error if the connection was cut.
    async fn send(&self, method: Method, path: &str, body: Bytes) -> hyper::Result<(u16, Bytes)> {
        let request =
            Request::builder().method(method).uri(path).header("host", "bucket.example:1").body(Full::from(body));
        exchange(self.running.address, request.unwrap()).await
    }

    async fn put(&self, path: &str) -> hyper::Result<(u16, Bytes)> {
        self.send(Method::PUT, path, Bytes::from_static(b"content")).await
    }

    async fn admin(&self, method: Method, path: &str, body: &str) -> (u16, serde_json::Value) {
        let request = Request::builder().method(method).uri(path).header("host", "admin");
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let (status, body) = exchange(self.running.admin_address, request).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn stats(&self) -> serde_json::Value {
        self.admin(Method::GET, "/stats", "").await.1
    }

    fn carried_out(&self) -> Vec<(String, usize)> {
        self.carried_out.lock().clone()
    }
}

async fn exchange(address: std::net::SocketAddr, request: Request<Full<Bytes>>) -> hyper::Result<(u16, Bytes)> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

async fn serve(listener: TcpListener, seen: Seen) {
    while let Ok((stream, _)) = listener.accept().await {
        let seen = seen.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let seen = seen.clone();
            async move {
                let host = request.headers()["host"].to_str().unwrap();
                let line = format!("{} {} {host}", request.method(), request.uri());
                let length = request.into_body().collect().await.unwrap().to_bytes().len();
                seen.lock().push((line, length));
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("answer")))
            }
        });
        tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn done(line: &str, length: usize) -> (String, usize) {
    (line.to_owned(), length)
}

#[tokio::test]
async fn without_faults_all_passes_unchanged() {
    let setup = Setup::start(Settings::default()).await;
    assert_eq!(setup.put("/a%20b?x=1&y").await.unwrap(), (200, Bytes::from_static(b"answer")));
    let large = Bytes::from(vec![7; 20 << 20]);
    assert_eq!(setup.send(Method::PUT, "/large", large).await.unwrap().0, 200);
    assert_eq!(setup.send(Method::GET, "/a", Bytes::new()).await.unwrap().1, "answer");
    let expected = [
        done("PUT /a%20b?x=1&y bucket.example:1", 7),
        done("PUT /large bucket.example:1", 20 << 20),
        done("GET /a bucket.example:1", 0),
    ];
    assert_eq!(setup.carried_out(), expected);
    let stats = setup.stats().await;
    let put = &stats["methods"]["PUT"];
    assert_eq!((&put["requests"], &put["answers"]["200"]), (&2.into(), &2.into()), "{stats}");
    assert_eq!((&put["bytes_in"], &put["bytes_out"]), (&((20 << 20) + 7).into(), &12.into()), "{stats}");
    assert_eq!(stats["methods"]["GET"]["bytes_out"], 6, "{stats}");
    assert_eq!(stats["puts_in_flight"], 0);
    setup.admin(Method::POST, "/reset", "").await;
    assert_eq!(setup.stats().await["methods"], serde_json::json!({}));
}

#[tokio::test]
async fn a_503_is_not_carried_out() {
    let setup = Setup::start(Settings { error_503_rate: 1.0, ..Settings::default() }).await;
    let (status, body) = setup.put("/a").await.unwrap();
    assert_eq!(status, 503);
    assert!(body.windows(8).any(|part| part == b"SlowDown"));
    assert_eq!(setup.send(Method::GET, "/a", Bytes::new()).await.unwrap().0, 503);
    assert_eq!(setup.carried_out(), []);
    assert_eq!(setup.stats().await["methods"]["PUT"]["faults"]["error_503"], 1);
}

#[tokio::test]
async fn an_unanswered_write_is_carried_out() {
    let setup = Setup::start(Settings { applied_unanswered_rate: 1.0, ..Settings::default() }).await;
    setup.put("/a").await.unwrap_err();
    assert_eq!(setup.carried_out(), [done("PUT /a bucket.example:1", 7)]);
    assert_eq!(setup.send(Method::GET, "/a", Bytes::new()).await.unwrap().0, 200, "reads are spared");
    assert_eq!(setup.stats().await["methods"]["PUT"]["faults"]["applied_unanswered"], 1);
}

#[tokio::test]
async fn a_late_503_is_carried_out() {
    let setup = Setup::start(Settings { applied_503_rate: 1.0, ..Settings::default() }).await;
    assert_eq!(setup.put("/a").await.unwrap().0, 503);
    assert_eq!(setup.carried_out(), [done("PUT /a bucket.example:1", 7)]);
}

#[tokio::test]
async fn a_hang_lasts_until_the_client_gives_up() {
    for (settings, carried_out) in [
        (Settings { hang_rate: 1.0, ..Settings::default() }, 0),
        (Settings { applied_hang_rate: 1.0, ..Settings::default() }, 1),
    ] {
        let setup = Setup::start(settings).await;
        let fault = if carried_out == 1 { "applied_hang" } else { "hang" };
        let waiting = async {
            loop {
                let stats = setup.stats().await;
                if stats["methods"]["PUT"]["faults"][fault] == 1 && setup.carried_out().len() == carried_out {
                    assert_eq!(stats["puts_in_flight"], 1, "{stats}");
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            answer = setup.put("/a") => panic!("it hangs: {answer:?}"),
            () = waiting => {}
        }
        while setup.stats().await["puts_in_flight"] != 0 {}
        assert_eq!(setup.carried_out().len(), carried_out);
    }
}

#[tokio::test]
async fn faults_are_switched_on_and_off_while_it_runs() {
    let setup = Setup::start(Settings::default()).await;
    assert_eq!(setup.put("/a").await.unwrap().0, 200);
    let (status, settings) = setup.admin(Method::POST, "/settings", r#"{"error_503_rate": 1.0}"#).await;
    assert_eq!((status, &settings["error_503_rate"]), (200, &1.0.into()));
    assert_eq!(setup.put("/b").await.unwrap().0, 503);
    let (status, said) = setup.admin(Method::POST, "/settings", r#"{"error_rate": 1.0}"#).await;
    assert!(status == 400 && said["error"].as_str().unwrap().contains("error_rate"), "{said}");
    setup.admin(Method::POST, "/settings", r#"{"error_503_rate": 0.0}"#).await;
    assert_eq!(setup.put("/c").await.unwrap().0, 200);
}

#[tokio::test(start_paused = true)]
async fn latency_is_added_from_the_arrival_on() {
    let settings = Settings { put_p50_ms: 60_000.0, put_p99_ms: 60_000.0, ..Settings::default() };
    let setup = Setup::start(settings).await;
    let start = tokio::time::Instant::now();
    setup.put("/a").await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 60, "on the paused clock");
    let put = &setup.stats().await["methods"]["PUT"];
    let p50 = put["latency_ms"]["p50"].as_f64().unwrap();
    assert!((p50 / 60_000.0 - 1.0).abs() < 0.01 && put["late"] == 0, "{put}");
}

#[tokio::test]
async fn an_unreachable_upstream_is_no_answer() {
    let free = "127.0.0.1:0".parse().unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let upstream = format!("http://{gone}").parse().unwrap();
    let options = Options { listen: free, admin: free, upstream, seed: 1, quirks: None, settings: Settings::default() };
    let setup = Setup { running: proxy::start(&options).await.unwrap(), carried_out: Seen::default() };
    setup.put("/a").await.unwrap_err();
    assert_eq!(setup.stats().await["connections_to_upstream_failed"], 1);
}

#[tokio::test]
async fn a_provider_answers_in_its_own_words_and_the_rest_passes_unchanged() {
    let setup = Setup::start_as(Settings::default(), Some("b2")).await;
    let create = Request::put("/bucket/x").header("host", "bucket.example:1").header("if-none-match", "*");
    let (status, body) = exchange(setup.running.address, create.body(Full::from("x")).unwrap()).await.unwrap();
    assert_eq!(status, 501);
    assert!(String::from_utf8_lossy(&body).contains("<Code>NotImplemented</Code>"));
    assert_eq!(setup.carried_out(), [], "refused, not carried out");
    let (status, _) = setup.put("/bucket/x").await.unwrap();
    assert_eq!(status, 200);
    assert_eq!(setup.carried_out(), [("PUT /bucket/x bucket.example:1".to_owned(), 7)], "host and length are as sent");
}

#[tokio::test]
async fn a_body_may_be_cut_on_the_way_back() {
    let setup = Setup::start_as(Settings::default(), Some("any")).await;
    let mut cut = 0;
    for _ in 0..12 {
        cut += usize::from(setup.send(Method::GET, "/bucket/x", Bytes::new()).await.is_err());
    }
    assert_eq!(cut, 2, "every sixth");
}

#[tokio::test]
async fn rules_can_be_changed_while_it_runs() {
    let setup = Setup::start(Settings::default()).await;
    assert_eq!(setup.stats().await["quirks"], serde_json::json!({}));
    let (status, counts) = setup.admin(Method::POST, "/quirks", r#"{"profile": "any", "rules": ["cut body"]}"#).await;
    assert_eq!((status, counts), (200, serde_json::json!({"cut body": 0})));
    let mut cut = 0;
    for _ in 0..12 {
        cut += usize::from(setup.send(Method::GET, "/a", Bytes::new()).await.is_err());
    }
    assert_eq!(cut, 2, "every sixth");
    assert_eq!(setup.stats().await["quirks"], serde_json::json!({"cut body": 2}));
    for wrong in
        [r#"{"profile": "nobody"}"#, r#"{"profile": "any", "rules": ["odd"]}"#, r#"{"rules": ["cut body"]}"#, "x"]
    {
        assert_eq!(setup.admin(Method::POST, "/quirks", wrong).await.0, 400, "{wrong}");
    }
    assert_eq!(setup.admin(Method::POST, "/quirks", "{}").await.0, 200);
    for _ in 0..12 {
        assert_eq!(setup.send(Method::GET, "/a", Bytes::new()).await.unwrap().0, 200);
    }
}
