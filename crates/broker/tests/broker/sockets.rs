//! Peers that misbehave on the socket: each is closed, and nobody else notices.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use kafscale_broker::{
    Broker, Settings,
    net::{self, Listener},
};
use kafscale_protocol::{
    ErrorCode, encode_request,
    messages::{api_versions, metadata},
    read_response_header,
};
use kafscale_runtime::{BoxFuture, Handle, Instant, Runtime, TokioRuntime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::common::Cluster;

/// A clock that runs a hundred times as fast, so that limits of seconds pass at once.
struct Fast(Handle);

impl Runtime for Fast {
    fn now(&self) -> Instant {
        self.0.now() * 100
    }
    fn wall_clock_ms(&self) -> i64 {
        self.0.wall_clock_ms()
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration / 100)
    }
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.0.spawn(name, task);
    }
    fn random_u64(&self) -> u64 {
        self.0.random_u64()
    }
}

async fn serve(settings: Settings, sockets: Handle) -> (Arc<Broker>, Listener, SocketAddr) {
    let broker = Cluster::with(settings).start().await;
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listener = net::listen(socket, Arc::clone(&broker), sockets).unwrap();
    let address = listener.address();
    (broker, listener, address)
}

async fn small() -> (Arc<Broker>, Listener, SocketAddr) {
    let settings = Settings { request_bytes_max: 1 << 16, connections_max: 3, ..Settings::default() };
    serve(settings, TokioRuntime::handle()).await
}

/// Asks for the API versions and says what came.
async fn ask(stream: &mut TcpStream) -> ErrorCode {
    let request = api_versions::Request { client_software_name: "test", client_software_version: "1.0" };
    let frame = encode_request(3, 7, Some("t"), &request).unwrap().to_bytes();
    stream.write_all(&frame).await.unwrap();
    let length = stream.read_i32().await.unwrap();
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.unwrap();
    let (correlation_id, body) = read_response_header(kafscale_protocol::ApiKey::ApiVersions, 3, &answer).unwrap();
    assert_eq!(correlation_id, 7);
    let response = <api_versions::Response<'_> as kafscale_protocol::Body>::read(3, body).unwrap();
    assert!(response.api_keys.len() > 5);
    response.error_code
}

async fn is_closed(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    // A reset is as closed as an end.
    stream.read_to_end(&mut rest).await.is_err() || rest.is_empty()
}

#[tokio::test]
async fn frames_that_are_no_requests_close_their_connection_only() {
    let (_broker, _listener, address) = small().await;
    let mut good = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut good).await, ErrorCode::None);
    let too_long = (1i32 << 16) + 1;
    let unknown_api = [&[0, 0, 0, 10][..], &[0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff]].concat();
    let unserved_version = [&[0, 0, 0, 10][..], &[0, 3, 0, 99, 0, 0, 0, 1, 0xff, 0xff]].concat();
    let garbage_body = [&[0, 0, 0, 14][..], &[0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xff], &[0x7f, 0xff, 0xff, 0xff]].concat();
    for bytes in [
        too_long.to_be_bytes().to_vec(),
        (-1i32).to_be_bytes().to_vec(),
        i32::MAX.to_be_bytes().to_vec(),
        vec![0, 0, 0, 0],
        vec![0, 0, 0, 3, 1, 2, 3],
        unknown_api,
        unserved_version,
        garbage_body,
    ] {
        let mut bad = TcpStream::connect(address).await.unwrap();
        bad.write_all(&bytes).await.unwrap();
        assert!(is_closed(bad).await, "{bytes:?}");
        assert_eq!(ask(&mut good).await, ErrorCode::None);
    }
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let (_broker, _listener, address) = small().await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(ask(&mut stream).await, ErrorCode::None);
        open.push(stream);
    }
    assert!(is_closed(TcpStream::connect(address).await.unwrap()).await);
    assert_eq!(ask(&mut open[0]).await, ErrorCode::None);
}

#[tokio::test]
async fn half_frames_and_idle_peers_are_closed_after_their_time() {
    let (_broker, _listener, address) = serve(Settings::default(), Arc::new(Fast(TokioRuntime::handle()))).await;
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(&[0, 0, 1]).await.unwrap();
    assert!(is_closed(half).await, "half a length");
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(&[0, 0, 1, 0, 0, 3]).await.unwrap();
    assert!(is_closed(half).await, "half a body");
    let idle = TcpStream::connect(address).await.unwrap();
    assert!(is_closed(idle).await, "idle");
}

#[tokio::test]
async fn a_peer_that_never_reads_is_closed_and_its_memory_comes_back() {
    let (broker, _listener, address) = serve(Settings::default(), Arc::new(Fast(TokioRuntime::handle()))).await;
    let client = crate::common::Client::connect(&broker);
    client.create_topic("wide", 10_000, &[]).await;
    let mut deaf = TcpStream::connect(address).await.unwrap();
    let frame = encode_request(1, 1, None, &metadata::Request::default()).unwrap().to_bytes();
    // Each answer is several hundred kilobytes; socket buffers hold a few of them.
    for _ in 0..100 {
        if deaf.write_all(&frame).await.is_err() {
            break;
        }
    }
    let gone = async {
        while broker.metrics().connections.get() > 0 {
            tokio::task::yield_now().await;
        }
    };
    gone.await;
    assert_eq!(broker.request_budget().used(), 0);
}

#[tokio::test]
async fn draining_answers_what_was_read_and_takes_no_more() {
    let (_broker, listener, address) = small().await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(&mut stream).await, ErrorCode::None);
    assert_eq!(listener.drain(Duration::from_secs(10)).await, 0);
    assert!(is_closed(stream).await);
    assert!(TcpStream::connect(address).await.is_err());
}
