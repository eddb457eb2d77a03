//! A server of ours that stands for a store, a token service or a proxy in tests: it keeps what it was asked and answers as
//! a function says, over TLS if it is given a certificate.

#![allow(clippy::disallowed_methods, reason = "its server is a task of its own")]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use kafscale_runtime::{BoxFuture, Handle, Instant, Runtime, TokioRuntime};
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
use tempfile::{NamedTempFile, TempDir};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// `PUT /path`.
    pub line: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    /// A header's value, or nothing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// An answer of this status, these header lines and this body.
pub(crate) fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
}

/// What a store says to a write that it takes.
pub(crate) fn taken() -> String {
    reply("200 OK", "etag: \"x\"\r\nx-goog-generation: 7\r\n", "")
}

/// An error as S3, Azure and Google write it.
pub(crate) fn fault(status: &str, code: &str) -> String {
    reply(status, "", &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>so it is</Message></Error>"))
}

pub(crate) struct Double {
    /// `HOST:PORT`.
    pub address: String,
    scheme: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Double {
    pub(crate) async fn start(
        tls: Option<ServerConfig>,
        answer: impl Fn(&Asked) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (asked.clone(), Arc::new(answer));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (log, answer, acceptor) = (log.clone(), answer.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(connection, &log, &*answer).await,
                        Some(acceptor) => {
                            if let Ok(connection) = acceptor.accept(connection).await {
                                serve(connection, &log, &*answer).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, scheme, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    /// Lets others run until so many requests have come.
    pub(crate) async fn until_asked(&self, times: usize) {
        while self.asked.lock().len() < times {
            tokio::task::yield_now().await;
        }
    }
}

/// A request without its body; nothing if the connection ends before.
pub(crate) async fn head(connection: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Asked> {
    let mut asked = Asked::default();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some((name, value)) if !asked.line.is_empty() => {
                asked.headers.push((name.to_ascii_lowercase(), value.to_owned()));
            }
            _ => asked.line = line.trim_end_matches(" HTTP/1.1").to_owned(),
        }
    }
    Some(asked)
}

async fn serve(
    connection: impl AsyncRead + AsyncWrite + Unpin,
    log: &Mutex<Vec<Asked>>,
    answer: &(impl Fn(&Asked) -> String + ?Sized),
) {
    let mut connection = BufReader::new(connection);
    let Some(mut asked) = head(&mut connection).await else { return };
    let length = asked.header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    if connection.read_exact(&mut body).await.is_err() {
        return;
    }
    asked.body = String::from_utf8_lossy(&body).into_owned();
    let text = answer(&asked);
    log.lock().push(asked);
    let _ = connection.write_all(text.as_bytes()).await;
    let _ = connection.shutdown().await;
}

/// An authority of our own, with what it issued.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.bundle(), authority.issuer.pem()).unwrap();
        authority
    }

    /// The file that makes a client trust it.
    pub(crate) fn bundle(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate and key for a client, as files.
    pub(crate) fn client(&self) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["broker".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = ["client.pem", "client.key"].map(|name| self.folder.path().join(name));
        std::fs::write(&files[0], certificate.pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        let [certificate, key] = files;
        (certificate, key)
    }

    /// A server at 127.0.0.1, which may demand a certificate of its clients.
    pub(crate) fn server(&self, demands_certificate: bool) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = if demands_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.issuer.der().clone()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        builder.with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }
}

/// A server with a certificate for this host that its own key signed, as `openssl req -x509` makes it (an authority's, by what
/// it says of itself), and the certificate as a file.
pub(crate) fn self_signed(host: &str) -> (ServerConfig, NamedTempFile) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), certificate.pem()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    (builder.with_single_cert(vec![certificate.der().clone()], key).unwrap(), file)
}

/// The clock of this machine, put forward at will.
pub(crate) struct Shifted {
    tokio: Handle,
    by_secs: AtomicU64,
}

impl Shifted {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { tokio: TokioRuntime::handle(), by_secs: AtomicU64::new(0) })
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.by_secs.fetch_add(time.as_secs(), Relaxed);
    }
}

impl Runtime for Shifted {
    fn now(&self) -> Instant {
        self.tokio.now() + Duration::from_secs(self.by_secs.load(Relaxed))
    }

    fn wall_clock_ms(&self) -> i64 {
        self.tokio.wall_clock_ms()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.tokio.sleep(duration)
    }

    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        self.tokio.spawn(name, task);
    }

    fn random_u64(&self) -> u64 {
        self.tokio.random_u64()
    }
}
