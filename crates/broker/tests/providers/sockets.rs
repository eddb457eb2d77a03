//! What only sockets show: connections that are closed, uploads that stall, names that move, TLS that is cut off.
//!
//! The server is the double of S3 behind a socket of its own; the client is the one that a broker has in production.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use hyper::{Method, Request};
use kafscale_broker::{Broker, Settings};
use kafscale_lab::{
    double::{Double, S3Double},
    exchange::{Answer, Asked},
};
use kafscale_records::{BatchBuilder, Codec};
use kafscale_runtime::TokioRuntime;
use kafscale_store::{CloudStore, NoObserver, S3Settings, Store, StoreSettings, TlsSettings, profile::Provider, s3};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket},
    task::{JoinHandle, JoinSet},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    common::{Client, NOW_MS},
    harness::Producer,
};

/// How a server treats its connections.
#[derive(Debug, Clone, Copy, Default)]
struct Manners {
    /// A connection is closed after so many answers, without a word.
    answers: Option<usize>,
    /// Of every so-manyth upload only the beginning is ever read.
    stalls_every: Option<usize>,
    /// The body of every so-manyth read is cut off in the middle.
    cuts_every: Option<usize>,
}

struct Shop {
    double: S3Double,
    manners: Manners,
    uploads: AtomicUsize,
    reads: AtomicUsize,
    /// Connections that were closed, uploads that were left, bodies that were cut.
    met: AtomicUsize,
}

impl Shop {
    fn new(manners: Manners) -> Arc<Self> {
        let double = S3Double::new(TokioRuntime::handle(), "bucket");
        let count = AtomicUsize::default;
        Arc::new(Self { double, manners, uploads: count(), reads: count(), met: count() })
    }

    /// Whether this one is met by a manner, counted from one.
    fn meets(&self, every: Option<usize>, counter: &AtomicUsize) -> bool {
        every.is_some_and(|every| (counter.fetch_add(1, Relaxed) + 1).is_multiple_of(every))
    }

    /// Serves one connection to its end.
    async fn serve(&self, connection: impl AsyncRead + AsyncWrite + Unpin) {
        let mut connection = BufReader::new(connection);
        let mut answers = 0;
        while let Some(head) = read_head(&mut connection).await {
            let length = head.headers().get("content-length").and_then(|text| text.to_str().ok()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if head.method() == Method::PUT && self.meets(self.manners.stalls_every, &self.uploads) {
                self.met.fetch_add(1, Relaxed);
                let _ = connection.read_exact(&mut body[..100]).await;
                // Until the client gives up and this task ends with the test.
                return std::future::pending().await;
            }
            if connection.read_exact(&mut body).await.is_err() {
                return;
            }
            let reads = head.method() == Method::GET;
            let answer = self.double.answer(&Asked::new(&head.into_parts().0, body.into()));
            let cut = reads && answer.body.len() > 100 && self.meets(self.manners.cuts_every, &self.reads);
            let len = if cut { answer.body.len() / 2 } else { answer.body.len() };
            if connection.write_all(&written(&answer, len)).await.is_err() || connection.flush().await.is_err() {
                return;
            }
            answers += 1;
            if cut || self.manners.answers == Some(answers) {
                self.met.fetch_add(1, Relaxed);
                return;
            }
        }
    }
}

async fn read_head(connection: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Request<()>> {
    let mut request = Request::builder();
    let mut line = String::new();
    connection.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    request = request.method(words.next()?).uri(words.next()?);
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).await.ok().filter(|read| *read > 0)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => request = request.header(name, value),
            None => return request.body(()).ok(),
        }
    }
}

/// An answer as it is sent, with so many bytes of its body.
fn written(answer: &Answer, len: usize) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} so\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if answer.header("content-length").is_none() {
        head += &format!("content-length: {}\r\n", answer.body.len());
    }
    [head.as_bytes(), b"\r\n", &answer.body[..len]].concat()
}

/// Serves at `address` until it is aborted, and its connections with it.
fn open_shop(address: SocketAddr, shop: &Arc<Shop>, tls: Option<ServerConfig>) -> (SocketAddr, JoinHandle<()>) {
    let socket = TcpSocket::new_v4().expect("a socket");
    // So that an upload that nobody reads does not fit into the kernel's buffers.
    socket.set_recv_buffer_size(4 << 10).expect("a small buffer");
    socket.bind(address).expect("a free address");
    let listener: TcpListener = socket.listen(64).expect("it listens");
    let address = listener.local_addr().expect("it has an address");
    let (shop, acceptor) = (Arc::clone(shop), tls.map(|config| TlsAcceptor::from(Arc::new(config))));
    let serve = async move {
        let mut connections = JoinSet::new();
        while let Ok((connection, _)) = listener.accept().await {
            let (shop, acceptor) = (Arc::clone(&shop), acceptor.clone());
            connections.spawn(async move {
                match acceptor {
                    None => shop.serve(connection).await,
                    // It is dropped without a `close_notify`.
                    Some(acceptor) => {
                        if let Ok(connection) = acceptor.accept(connection).await {
                            shop.serve(connection).await;
                        }
                    }
                }
            });
        }
    };
    (address, tokio::spawn(serve))
}

fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn settings(endpoint: String) -> StoreSettings {
    let s3 = S3Settings {
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some("secret".to_owned().into()),
        endpoint: Some(endpoint),
        path_style: Some(true),
        ..S3Settings::default()
    };
    // One that does not count requests, so that nobody waits for tokens.
    StoreSettings { s3, profile: Some(Provider::Minio), ..StoreSettings::default() }
}

fn store(settings: &StoreSettings) -> CloudStore {
    s3::open("bucket", "", settings, TokioRuntime::handle(), Arc::new(NoObserver)).expect("the settings are complete")
}

async fn start(store: &Arc<dyn Store>) -> Arc<Broker> {
    let started = Broker::start(Arc::clone(store), TokioRuntime::handle(), Arc::default(), Settings::default()).await;
    started.expect("it starts")
}

/// Batches one after the other until there are `enough`, all of them read; and read again by another broker, from what is
/// stored.
async fn produce_and_start_again(store: Arc<dyn Store>, enough: impl Fn(usize) -> bool) {
    let broker = start(&store).await;
    let mut producer = Producer::over(TokioRuntime::handle(), &broker).await;
    while !enough(producer.acknowledged.len()) {
        producer.produce().await;
    }
    producer.finds_everything().await;
    assert!(broker.is_ready());
    drop(broker);
    let broker = start(&store).await;
    producer.move_to(&broker);
    producer.finds_everything().await;
    producer.produce().await;
    producer.finds_everything().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_a_connection_that_is_closed_after_100_requests() {
    let shop = Shop::new(Manners { answers: Some(100), ..Manners::default() });
    let (address, _server) = open_shop(local(), &shop, None);
    // On a slow machine the requests are spread over more connections.
    let closed = || shop.met.load(Relaxed) >= 2;
    let enough = |batches| batches >= 250 && closed() || batches >= 5_000;
    produce_and_start_again(Arc::new(store(&settings(format!("http://{address}")))), enough).await;
    assert!(closed(), "connections were closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_an_upload_of_which_only_the_beginning_is_read() {
    let shop = Shop::new(Manners { stalls_every: Some(5), ..Manners::default() });
    let (address, _server) = open_shop(local(), &shop, None);
    let impatient =
        StoreSettings { request_timeout: Duration::from_millis(300), ..settings(format!("http://{address}")) };
    let store: Arc<dyn Store> = Arc::new(store(&impatient));
    let broker = start(&store).await;
    let mut producer = Producer::over(TokioRuntime::handle(), &broker).await;
    let client = Client::connect(&broker);
    client.create_topic("large", 1, &[]).await;
    for number in 0..6 {
        let value = vec![number; 900_000];
        let batch = BatchBuilder::new(Codec::None).record(NOW_MS, None, Some(&value)).build();
        assert_eq!(client.produce("large", 0, batch).await.offset(), i64::from(number));
        producer.produce().await;
    }
    producer.finds_everything().await;
    assert!(shop.met.load(Relaxed) > 0, "uploads were left");
    assert!(broker.is_ready());
}

/// An authority's bundle as a file, and a server's side of TLS at 127.0.0.1.
fn certified() -> (tempfile::NamedTempFile, ServerConfig) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let bundle = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(bundle.path(), issuer.pem()).expect("it is written");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("versions").with_no_client_auth();
    (bundle, builder.with_single_cert(vec![certificate.der().clone()], key).expect("they belong together"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_tls_that_ends_without_close_notify() {
    let (bundle, tls) = certified();
    let shop = Shop::new(Manners { answers: Some(7), cuts_every: Some(3), ..Manners::default() });
    let (address, _server) = open_shop(local(), &shop, Some(tls));
    let trust = TlsSettings { ca_bundle: Some(bundle.path().to_owned()), ..TlsSettings::default() };
    let settings = StoreSettings { tls: trust, ..settings(format!("https://{address}")) };
    produce_and_start_again(Arc::new(store(&settings)), |batches| batches >= 40).await;
    assert!(shop.met.load(Relaxed) > 5, "connections ended");
}

/// A name server with one name, which moves.
struct Names(Mutex<IpAddr>);

impl Resolve for Names {
    fn resolve(&self, _name: Name) -> Resolving {
        let address = *self.0.lock();
        let addresses: Addrs = Box::new(std::iter::once(SocketAddr::new(address, 0)));
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_a_name_that_moves_to_another_address() {
    let shop = Shop::new(Manners::default());
    let (before, server) = open_shop(local(), &shop, None);
    let after = SocketAddr::from(([127, 0, 0, 2], before.port()));
    let names = Arc::new(Names(Mutex::new(Ipv4Addr::LOCALHOST.into())));
    let settings = settings(format!("http://store.lab:{}", before.port()));
    let client = TlsSettings::default().client_resolving(Arc::clone(&names)).expect("a client");
    let runtime = TokioRuntime::handle();
    let store = s3::over(Arc::new(client), "bucket", "", &settings, runtime.clone(), Arc::new(NoObserver));
    let store: Arc<dyn Store> = Arc::new(store.expect("the settings are complete"));
    let broker = start(&store).await;
    let mut producer = Producer::over(runtime, &broker).await;
    producer.produce().await;

    let (_, _server) = open_shop(after, &shop, None);
    *names.0.lock() = after.ip();
    server.abort();
    assert!(server.await.is_err(), "the old address is gone");
    for _ in 0..3 {
        producer.produce().await;
    }
    producer.finds_everything().await;
    assert!(broker.is_ready());
}
