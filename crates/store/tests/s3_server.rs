//! The conformance suite on a real S3 server: the one that `KAFSCALE_TEST_S3_ENDPOINT` names (as
//! `tests/servers/seaweedfs.sh` prints it), with `KAFSCALE_TEST_S3_BUCKET` and the usual `AWS_*` keys.

#![allow(clippy::disallowed_methods, reason = "it runs against a real server")]

use std::{
    env,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use kafscale_runtime::TokioRuntime;
use kafscale_store::{
    CloudStore, CreateError, NoObserver, ReadError, ReadRange, S3Settings, Store, StoreSettings, conformance, s3,
};

struct Server {
    bucket: String,
    settings: StoreSettings,
}

impl Server {
    fn from_environment() -> Self {
        let wanted =
            |name| env::var(name).unwrap_or_else(|_| panic!("{name} is set, as tests/servers/seaweedfs.sh does"));
        let s3 = S3Settings {
            access_key_id: Some(wanted("AWS_ACCESS_KEY_ID")),
            secret_access_key: Some(wanted("AWS_SECRET_ACCESS_KEY").into()),
            endpoint: Some(wanted("KAFSCALE_TEST_S3_ENDPOINT")),
            ..S3Settings::default()
        };
        let settings = StoreSettings { s3, ..StoreSettings::default() };
        Self { bucket: wanted("KAFSCALE_TEST_S3_BUCKET"), settings }
    }

    fn open(&self, bucket: &str, settings: &StoreSettings) -> CloudStore {
        s3::open(bucket, &unique("run"), settings, TokioRuntime::handle(), Arc::new(NoObserver)).unwrap()
    }
}

/// Each run works below a prefix of its own: a server may be used many times.
fn unique(what: &str) -> String {
    format!("{what}-{}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs an S3 server: tests/servers/seaweedfs.sh -- cargo test -- --include-ignored"]
async fn a_real_server_conforms() {
    let server = Server::from_environment();
    let store = server.open(&server.bucket, &server.settings);
    conformance::run(&store, "suite").await;
    let date = store.date().expect("the server tells its time");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!((now - date.unix_ms).abs() < 60_000, "the store's clock is this machine's");
}

#[tokio::test]
#[ignore = "needs an S3 server: tests/servers/seaweedfs.sh -- cargo test -- --include-ignored"]
async fn wrong_keys_and_a_missing_bucket_are_told_by_the_servers_own_code() {
    let server = Server::from_environment();
    let mut wrong = server.settings.clone();
    wrong.s3.secret_access_key = Some("wrong".to_owned().into());
    let store = server.open(&server.bucket, &wrong);
    for result in [
        store.create("x", bytes::Bytes::from_static(b"x").into()).await.map_err(|error| error.to_string()),
        store.get("x", ReadRange::All).await.map(drop).map_err(|error| error.to_string()),
    ] {
        let text = result.unwrap_err();
        assert!(text.starts_with("refused") && text.contains("SignatureDoesNotMatch"), "{text}");
    }
    let store = server.open("no-such-bucket-here", &server.settings);
    let created = store.create("x", bytes::Bytes::from_static(b"x").into()).await;
    assert!(matches!(&created, Err(CreateError::Refused(text)) if text.contains("NoSuchBucket")), "{created:?}");
    let listed = store.list("", "", 1).await;
    assert!(matches!(&listed, Err(ReadError::NotFound(text)) if text.contains("NoSuchBucket")), "{listed:?}");
}
