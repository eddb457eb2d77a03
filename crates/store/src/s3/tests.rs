#![allow(clippy::disallowed_methods, reason = "its server is a task of its own")]
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_runtime::TokioRuntime;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    Body, CreateError, DeleteError, NoObserver, Observer, Operation, Outcome, ReadError, ReadRange, ReplaceError,
    Request, Store,
};

use super::{S3Settings, open};
use crate::{CloudStore, Encryption, StoreSettings, Writing, profile::Provider};

/// What the server does with a request.
#[derive(Clone)]
enum Reaction {
    Answer(String),
    Close,
    Hang,
    /// Takes and sends bodies in small pieces.
    Slow(String),
}

/// A body's piece on a slow line, and how long it takes.
const PIECE: usize = 64 << 10;
const PIECE_TIME: Duration = Duration::from_millis(20);

/// A server that reacts to every request alike and keeps their first lines.
struct Server {
    endpoint: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(reaction: Reaction) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(react(connection, reaction.clone(), log.clone()));
            }
        });
        Self { endpoint, seen }
    }

    async fn answering(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
        Self::start(Reaction::Answer(answer)).await
    }

    /// An S3 error.
    async fn failing(status: &str, code: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>so it is</Message></Error>");
        Self::answering(status, "", &body).await
    }

    fn store(&self) -> CloudStore {
        self.observed(Arc::new(NoObserver))
    }

    fn settings(&self) -> StoreSettings {
        let s3 = S3Settings {
            access_key_id: Some("id".to_owned()),
            secret_access_key: Some("secret".to_owned().into()),
            endpoint: Some(self.endpoint.clone()),
            ..S3Settings::default()
        };
        StoreSettings { s3, request_timeout: Duration::from_millis(500), ..StoreSettings::default() }
    }

    fn store_of(&self, provider: Provider) -> CloudStore {
        let settings = StoreSettings { profile: Some(provider), ..self.settings() };
        open("bucket", "a/b", &settings, TokioRuntime::handle(), Arc::new(NoObserver)).unwrap()
    }

    fn observed(&self, observer: Arc<dyn Observer>) -> CloudStore {
        open("bucket", "a/b", &self.settings(), TokioRuntime::handle(), observer).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().clone()
    }
}

async fn react(connection: TcpStream, reaction: Reaction, seen: Arc<Mutex<Vec<String>>>) {
    let mut connection = BufReader::new(connection);
    let mut length = 0;
    let mut first = String::new();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end().to_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if first.is_empty() {
            first = line;
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    for piece in body.chunks_mut(PIECE) {
        connection.read_exact(piece).await.unwrap();
        if matches!(reaction, Reaction::Slow(_)) {
            tokio::time::sleep(PIECE_TIME).await;
        }
    }
    seen.lock().push(first);
    match reaction {
        Reaction::Slow(answer) => {
            for piece in answer.as_bytes().chunks(PIECE) {
                let _ = connection.write_all(piece).await;
                tokio::time::sleep(PIECE_TIME).await;
            }
        }
        Reaction::Answer(answer) => drop(connection.write_all(answer.as_bytes()).await),
        Reaction::Close => {}
        Reaction::Hang => std::future::pending().await,
    }
}

fn body() -> Body {
    Body::new(vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"two")])
}

#[derive(Default)]
struct Log(Mutex<Vec<Request>>);

impl Observer for Log {
    fn request(&self, request: &Request) {
        self.0.lock().push(*request);
    }
}

#[tokio::test]
async fn each_status_means_what_the_contract_says() {
    use Outcome::{AlreadyExists, NotFound, Refused, Unavailable, Unknown};
    for (status, code, create, replace, read, delete) in [
        ("412 Precondition Failed", "PreconditionFailed", AlreadyExists, Unavailable, Unavailable, Unavailable),
        ("409 Conflict", "ConditionalRequestConflict", AlreadyExists, Unavailable, Unavailable, Unavailable),
        ("429 Too Many Requests", "SlowDown", Unavailable, Unavailable, Unavailable, Unavailable),
        ("400 Bad Request", "RequestTimeout", Unavailable, Unavailable, Unavailable, Unavailable),
        ("408 Request Timeout", "", Unknown, Unknown, Unavailable, Unavailable),
        ("499 Client Closed", "", Unknown, Unknown, Unavailable, Unavailable),
        ("500 Internal Server Error", "InternalError", Unknown, Unknown, Unavailable, Unavailable),
        ("502 Bad Gateway", "", Unknown, Unknown, Unavailable, Unavailable),
        ("503 Service Unavailable", "SlowDown", Unknown, Unknown, Unavailable, Unavailable),
        ("504 Gateway Timeout", "", Unknown, Unknown, Unavailable, Unavailable),
        ("501 Not Implemented", "NotImplemented", Refused, Refused, Refused, Refused),
        ("403 Forbidden", "SignatureDoesNotMatch", Refused, Refused, Refused, Refused),
        ("403 Forbidden", "ExpiredToken", Refused, Refused, Refused, Refused),
        ("400 Bad Request", "ExpiredToken", Refused, Refused, Refused, Refused),
        ("401 Unauthorized", "Unauthorized", Refused, Refused, Refused, Refused),
        ("301 Moved Permanently", "PermanentRedirect", Refused, Refused, Refused, Refused),
        ("404 Not Found", "NoSuchBucket", Refused, Refused, NotFound, Refused),
        ("400 Bad Request", "InvalidArgument", Refused, Refused, Refused, Refused),
    ] {
        let server = Server::failing(status, code).await;
        let store = server.store();
        let created = store.create("x", body()).await;
        assert_eq!(Outcome::of(&created), create, "create {status}");
        let replaced = store.replace("x", body()).await;
        assert_eq!(Outcome::of(&replaced), replace, "replace {status}");
        let got = store.get("x", ReadRange::All).await;
        assert_eq!(Outcome::of(&got), read, "get {status}");
        let listed = store.list("", "", 10).await;
        assert_eq!(Outcome::of(&listed), read, "list {status}");
        let deleted = store.delete(&["x".to_owned()]).await;
        assert_eq!(Outcome::of(&deleted), delete, "delete {status}");
        assert_eq!(server.requests().len(), 5, "one call is one request, {status}");
        if let Err(CreateError::Refused(text)) = created {
            assert!(text.contains(code) && text.contains("so it is"), "the store's words are passed on: {text}");
        }
        if let Err(ReplaceError::Unknown(text)) = replaced {
            assert!(text.contains(code) && text.contains(&status[..3]), "{text}");
        }
    }
}

#[tokio::test]
async fn nothing_is_created_where_a_create_could_overwrite() {
    let server = Server::answering("200 OK", "etag: \"x\"\r\n", "").await;
    for provider in [Provider::B2, Provider::Gcs] {
        let store = server.store_of(provider);
        let created = store.create("x", body()).await;
        assert!(matches!(&created, Err(CreateError::Refused(text)) if text.contains(provider.as_str())), "{created:?}");
        assert_eq!(server.requests(), [""; 0], "not even asked");
    }
    server.store_of(Provider::B2).replace("x", body()).await.expect("what has a name of its own can be written");
}

#[tokio::test]
async fn a_provider_may_mean_something_else() {
    let server = Server::failing("429 Too Many Requests", "TooManyRequests").await;
    let created = server.store_of(Provider::R2).create("x", body()).await;
    assert!(matches!(created, Err(CreateError::Unknown(_))), "an earlier attempt may have been applied: {created:?}");
    let created = server.store_of(Provider::Aws).create("x", body()).await;
    assert!(matches!(created, Err(CreateError::Unavailable { .. })), "{created:?}");
}

#[tokio::test]
async fn a_wrong_clock_is_called_so() {
    let server = Server::failing("403 Forbidden", "RequestTimeTooSkewed").await;
    let Err(CreateError::Refused(text)) = server.store().create("x", body()).await else { panic!("it is refused") };
    assert!(text.contains("this machine's clock"), "{text}");
}

#[tokio::test]
async fn a_store_without_conditional_create_is_told_by_name() {
    let server = Server::failing("501 Not Implemented", "NotImplemented").await;
    let Err(CreateError::Refused(text)) = server.store().create("x", body()).await else { panic!("it is refused") };
    assert!(text.contains("cannot create an object only if it is absent (If-None-Match: *)"), "{text}");
    assert!(text.contains("NotImplemented"), "{text}");
}

#[tokio::test]
async fn a_header_that_is_not_implemented_need_not_be_the_condition() {
    let server = Server::failing("501 Not Implemented", "NotImplemented").await;
    let tags = vec![("team".to_owned(), "a".to_owned())];
    for writing in [
        Writing { encryption: Some(Encryption::Store), ..Writing::default() },
        Writing { storage_class: Some("STANDARD".to_owned()), ..Writing::default() },
        Writing { tags, ..Writing::default() },
    ] {
        let settings = StoreSettings { writing: writing.clone(), ..server.settings() };
        let store = open("bucket", "a/b", &settings, TokioRuntime::handle(), Arc::new(NoObserver)).unwrap();
        let Err(CreateError::Refused(text)) = store.create("x", body()).await else { panic!("it is refused") };
        assert!(text.contains("a header of this create") && text.contains("NotImplemented"), "{writing:?}: {text}");
        assert!(!text.contains("cannot create"), "{writing:?}: {text}");
    }
}

#[tokio::test]
async fn a_missing_object_and_a_missing_bucket_are_not_found() {
    for code in ["NoSuchKey", "NoSuchBucket"] {
        let server = Server::failing("404 Not Found", code).await;
        let Err(ReadError::NotFound(text)) = server.store().get("x", ReadRange::All).await else { panic!("not found") };
        assert!(text.contains(code), "{text}");
    }
    let server = Server::failing("404 Not Found", "NoSuchKey").await;
    assert_eq!(server.store().delete(&["x".to_owned()]).await, Ok(()));
}

#[tokio::test]
async fn a_write_without_an_answer_is_unknown_and_not_repeated() {
    let cut = Reaction::Answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n123".to_owned());
    let no_etag = Reaction::Answer("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned());
    for reaction in [Reaction::Close, Reaction::Hang, no_etag] {
        let server = Server::start(reaction).await;
        let store = server.store();
        let created = store.create("x", body()).await;
        assert!(matches!(created, Err(CreateError::Unknown(_))), "{created:?}");
        let replaced = store.replace("x", body()).await;
        assert!(matches!(replaced, Err(ReplaceError::Unknown(_))), "{replaced:?}");
        assert_eq!(server.requests().len(), 2);
    }
    for reaction in [Reaction::Close, Reaction::Hang, cut] {
        let server = Server::start(reaction).await;
        let store = server.store();
        let got = store.get("x", ReadRange::All).await;
        assert!(matches!(got, Err(ReadError::Unavailable(_))), "{got:?}");
        let listed = store.list("", "", 1).await;
        assert!(matches!(listed, Err(ReadError::Unavailable(_))), "{listed:?}");
        let deleted = store.delete(&["x".to_owned()]).await;
        assert!(matches!(deleted, Err(DeleteError::Unavailable(_))), "{deleted:?}");
        assert_eq!(server.requests().len(), 3);
    }
}

#[tokio::test]
async fn without_a_connection_nothing_was_written() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let store = Server { endpoint, seen: Arc::default() }.store();
    let created = store.create("x", body()).await;
    assert!(matches!(created, Err(CreateError::Unavailable { .. })), "{created:?}");
    assert!(matches!(store.replace("x", body()).await, Err(ReplaceError::Unavailable(_))));
    assert!(matches!(store.get("x", ReadRange::All).await, Err(ReadError::Unavailable(_))));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Server::answering("200 OK", "etag: \"x\"\r\n", "").await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        let server = Server::answering(status, &format!("location: {}/\r\n", elsewhere.endpoint), "").await;
        let created = server.store().create("x", body()).await;
        assert!(matches!(&created, Err(CreateError::Refused(text)) if text.contains("region")), "{created:?}");
    }
    assert_eq!(elsewhere.requests(), [""; 0]);
}

#[tokio::test]
async fn date_and_retry_after_are_read() {
    let date = "date: Tue, 15 Nov 1994 08:12:31 GMT\r\n";
    for (header, seconds) in [
        ("", None),
        ("retry-after: 7\r\n", Some(7)),
        ("retry-after: Tue, 15 Nov 1994 08:12:40 GMT\r\n", Some(9)),
        ("retry-after: Tue, 15 Nov 1994 08:12:00 GMT\r\n", None),
        ("retry-after: 99999999999\r\n", Some(3600)),
        ("retry-after: soon\r\n", None),
    ] {
        let server = Server::answering("429 Too Many Requests", &format!("{date}{header}"), "").await;
        let store = server.store();
        assert_eq!(store.date(), None);
        let Err(CreateError::Unavailable { retry_after, .. }) = store.create("x", body()).await else {
            panic!("it is unavailable")
        };
        assert_eq!(retry_after, seconds.map(Duration::from_secs), "{header}");
        assert_eq!(store.date().unwrap().unix_ms, 784_887_151_000);
    }
}

#[tokio::test]
async fn names_lie_below_the_prefix() {
    let server = Server::answering("200 OK", "etag: \"x\"\r\n", "").await;
    let store = server.store();
    store.create("log/1", body()).await.unwrap();
    store.create("../x", body()).await.unwrap_err();
    assert_eq!(server.requests(), ["put /bucket/a/b/log/1 http/1.1"]);
}

#[tokio::test]
async fn a_listing_out_of_order_is_refused() {
    let row = |key| {
        format!("<Contents><Key>{key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>")
    };
    let page = |rows: &str| format!("<?xml version=\"1.0\"?><ListBucketResult>{rows}</ListBucketResult>");
    let ordered = Server::answering("200 OK", "", &page(&format!("{}{}", row("a/b/1"), row("a/b/2")))).await;
    assert_eq!(ordered.store().list("", "", 10).await.unwrap().len(), 2);
    let early = ordered.store().list("", "1", 10).await;
    assert!(matches!(early, Err(ReadError::Refused(_))), "{early:?}");
    let turned = Server::answering("200 OK", "", &page(&format!("{}{}", row("a/b/2"), row("a/b/1")))).await;
    let listed = turned.store().list("", "", 10).await;
    assert!(matches!(listed, Err(ReadError::Refused(_))), "{listed:?}");
}

#[tokio::test]
async fn an_object_that_may_not_be_deleted_is_an_error() {
    for (code, expected) in [("AccessDenied", Outcome::Refused), ("InternalError", Outcome::Unavailable)] {
        let body = format!(
            "<?xml version=\"1.0\"?><DeleteResult><Error><Key>a/b/x</Key><Code>{code}</Code><Message>no</Message></Error></DeleteResult>"
        );
        let server = Server::answering("200 OK", "", &body).await;
        let deleted = server.store().delete(&["x".to_owned()]).await;
        assert_eq!(Outcome::of(&deleted), expected, "{deleted:?}");
    }
}

#[tokio::test]
async fn what_a_store_says_is_shown_as_it_is_meant() {
    let body =
        "<Error><Code>InvalidArgument</Code><Message>&quot;x&quot; isn&#x27;t&#10;a&#x1b;[31m key</Message></Error>";
    let server = Server::answering("400 Bad Request", "", body).await;
    let refused = CreateError::Refused("InvalidArgument: \"x\" isn't a[31m key (HTTP 400)".to_owned());
    assert_eq!(server.store().create("x", Bytes::new().into()).await, Err(refused));
}

#[tokio::test]
async fn a_large_body_on_a_slow_line_arrives() {
    // Both directions take three times the limit of a small request.
    let len = 2 << 20;
    let sent = "x".repeat(len);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {len}\r\nlast-modified: Tue, 15 Nov 1994 08:12:31 GMT\r\netag: \"x\"\r\n\r\n{sent}"
    );
    let server = Server::start(Reaction::Slow(answer)).await;
    let settings = StoreSettings { request_timeout: Duration::from_millis(200), ..server.settings() };
    let store = open("bucket", "", &settings, TokioRuntime::handle(), Arc::new(NoObserver)).unwrap();
    store.create("x", Bytes::from(sent.clone()).into()).await.unwrap();
    assert_eq!(store.get("x", ReadRange::All).await.unwrap(), sent);
}

/// A clock on which every limit is over at once, and is kept.
struct Impatient {
    tokio: kafscale_runtime::Handle,
    limits: Mutex<Vec<Duration>>,
}

impl kafscale_runtime::Runtime for Impatient {
    fn now(&self) -> kafscale_runtime::Instant {
        self.tokio.now()
    }

    fn wall_clock_ms(&self) -> i64 {
        self.tokio.wall_clock_ms()
    }

    fn sleep(&self, duration: Duration) -> kafscale_runtime::BoxFuture<'static, ()> {
        self.limits.lock().push(duration);
        Box::pin(async {})
    }

    fn spawn(&self, name: &'static str, task: kafscale_runtime::BoxFuture<'static, ()>) {
        self.tokio.spawn(name, task);
    }

    fn random_u64(&self) -> u64 {
        self.tokio.random_u64()
    }
}

#[tokio::test]
async fn the_limit_of_a_request_grows_with_what_it_moves() {
    let server = Server::start(Reaction::Hang).await;
    let clock = Arc::new(Impatient { tokio: TokioRuntime::handle(), limits: Mutex::default() });
    let store = open("bucket", "", &server.settings(), clock.clone(), Arc::new(NoObserver)).unwrap();
    let created = store.create("x", body()).await;
    assert!(matches!(&created, Err(CreateError::Unknown(text)) if text.contains("500ms")), "{created:?}");
    let large = store.create("x", Bytes::from(vec![0; 200 << 20]).into()).await;
    assert!(matches!(large, Err(CreateError::Unknown(_))));
    assert!(matches!(store.get("x", ReadRange::All).await, Err(ReadError::Unavailable(_))));
    assert!(matches!(store.list("", "", 1).await, Err(ReadError::Unavailable(_))));
    let short = Duration::from_millis(500);
    let seconds = |seconds| short + Duration::from_secs(seconds);
    assert_eq!(*clock.limits.lock(), [short, seconds(800), short, short], "200 MiB at 256 KiB/s");
}

#[tokio::test]
async fn every_request_is_observed_also_an_abandoned_one() {
    let log = Arc::new(Log::default());
    let server = Server::failing("503 Service Unavailable", "SlowDown").await;
    server.observed(log.clone()).create("x", body()).await.unwrap_err();
    let hanging = Server::start(Reaction::Hang).await;
    let store = hanging.observed(log.clone());
    let get = store.get("x", ReadRange::All);
    tokio::select! {
        biased;
        _ = get => panic!("it hangs"),
        () = async { while hanging.requests().is_empty() { tokio::task::yield_now().await } } => {}
    }
    let seen = log.0.lock();
    let [create, get] = seen.as_slice() else { panic!("two requests: {seen:?}") };
    assert_eq!((create.operation, create.outcome, create.status), (Operation::Create, Outcome::Unknown, Some(503)));
    assert_eq!((create.bytes_sent, create.bytes_received), (6, 0));
    assert_eq!((get.operation, get.outcome, get.status), (Operation::Get, Outcome::Abandoned, None));
}
