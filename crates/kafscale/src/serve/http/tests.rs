use std::sync::atomic::{AtomicBool, Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::*;

struct Fake {
    ready: AtomicBool,
}

impl Source for Fake {
    fn metrics(&self) -> String {
        "kafscale_tests_total 3\n# EOF\n".into()
    }
    fn ready(&self) -> Result<Option<String>, String> {
        if self.ready.load(Ordering::SeqCst) { Ok(None) } else { Err("the log is not replayed yet".to_owned()) }
    }
}

/// Starts the server on a free port; the second value flips readiness.
async fn start() -> (std::net::SocketAddr, Arc<Fake>) {
    let fake = Arc::new(Fake { ready: AtomicBool::new(false) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, fake.clone()));
    (address, fake)
}

/// Sends one request as it is and reads the whole answer.
async fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get_page(address: std::net::SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn readiness_follows_the_broker() {
    let (address, fake) = start().await;
    let answer = get_page(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("not replayed yet"), "{answer}");
    fake.ready.store(true, Ordering::SeqCst);
    assert!(get_page(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get_page(address, "/healthz").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let (address, _) = start().await;
    let answer = get_page(address, "/metrics").await;
    assert!(answer.contains("application/openmetrics-text"), "{answer}");
    assert!(answer.contains("kafscale_tests_total 3") && answer.contains("# EOF"), "{answer}");
}

#[tokio::test]
async fn what_is_not_a_small_get_is_refused() {
    let (address, _) = start().await;
    assert!(get_page(address, "/secrets").await.starts_with("HTTP/1.1 404"));
    let post = "POST /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert!(ask(address, post).await.starts_with("HTTP/1.1 405"));
    let many = "a: b\r\n".repeat(HEADERS_MAX + 1);
    assert!(ask(address, &format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{many}\r\n")).await.starts_with("HTTP/1.1 431"));
}
