#![allow(clippy::disallowed_methods, reason = "it runs against servers of its own")]
//! TLS, proxies and what goes with every write.

use std::{path::Path, process::Command, sync::Arc};

use bytes::Bytes;
use kafscale_runtime::TokioRuntime;
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::double::{Asked, Authority, Double, reply, self_signed, taken};
use crate::{
    AzureSettings, CloudStore, CreateError, Encryption, GcsSettings, NoObserver, ReadRange, S3Settings, Store,
    StoreSettings, TlsSettings, Writing, profile::Provider, s3,
};

fn settings(endpoint: &str) -> StoreSettings {
    let s3 = S3Settings {
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some("hush".to_owned().into()),
        endpoint: Some(endpoint.to_owned()),
        ..S3Settings::default()
    };
    StoreSettings { s3, ..StoreSettings::default() }
}

fn open(settings: &StoreSettings) -> Result<CloudStore, s3::S3SettingsError> {
    s3::open("bucket", "", settings, TokioRuntime::handle(), Arc::new(NoObserver))
}

async fn create(settings: &StoreSettings) -> Result<(), CreateError> {
    open(settings).unwrap().create("x", Bytes::from_static(b"body").into()).await
}

fn unavailable(result: Result<(), CreateError>) -> String {
    match result {
        Err(CreateError::Unavailable { reason, .. }) => reason,
        other => panic!("nothing was sent: {other:?}"),
    }
}

#[tokio::test]
async fn an_authority_of_ones_own_is_trusted_where_it_is_named() {
    let (ours, other) = (Authority::new(), Authority::new());
    let server = Double::start(Some(ours.server(false)), |_| taken()).await;
    let with = |bundle: Option<&Authority>| StoreSettings {
        tls: TlsSettings { ca_bundle: bundle.map(Authority::bundle), ..TlsSettings::default() },
        ..settings(&server.url())
    };
    for stranger in [None, Some(&other)] {
        let reason = unavailable(create(&with(stranger)).await);
        assert!(reason.contains("certificate"), "it says what is wrong: {reason}");
    }
    assert!(server.asked().is_empty());
    create(&with(Some(&ours))).await.expect("it is trusted");
    let plain = settings(&format!("http://{}", server.address));
    assert!(create(&plain).await.is_err(), "http is not tried where https is spoken");
    assert_eq!(server.asked().len(), 1);
}

/// A server that answers whatever comes with these bytes.
async fn blunt(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(answer.as_bytes()).await;
            // What is still on its way would turn the end into a reset.
            let _ = connection.shutdown().await;
            let _ = connection.read_to_end(&mut Vec::new()).await;
        }
    });
    address
}

#[tokio::test]
async fn an_endpoint_of_the_other_scheme_is_told_as_that() {
    let bad = blunt("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let reason = unavailable(create(&settings(&format!("https://{bad}"))).await);
    assert!(reason.ends_with(": the endpoint speaks plain http: its address must begin with http:"), "{reason}");
    let silent = blunt("").await;
    let reason = unavailable(create(&settings(&format!("https://{silent}"))).await);
    assert!(reason.contains("it may speak plain http"), "{reason}");
    let told = |error: CreateError| {
        assert!(
            error.to_string().ends_with(": the endpoint speaks TLS: its address must begin with https:"),
            "{error}"
        );
    };
    let server = Double::start(Some(Authority::new().server(false)), |_| taken()).await;
    told(create(&settings(&format!("http://{}", server.address))).await.unwrap_err());
    // A server that notices, as those of Go do.
    let polite = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    told(create(&settings(&format!("http://{}", blunt(polite).await))).await.unwrap_err());
}

#[tokio::test]
async fn other_failures_are_not_taken_for_another_scheme() {
    let ours = Authority::new();
    let trusted = Double::start(Some(ours.server(false)), |_| taken()).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = blunt("").await;
    for url in [trusted.url(), format!("http://{gone}"), format!("https://{gone}"), format!("http://{silent}")] {
        let said = create(&settings(&url)).await.unwrap_err().to_string();
        assert!(!said.contains("speak"), "{url}: {said}");
    }
}

#[tokio::test]
async fn a_store_may_demand_a_certificate() {
    let authority = Authority::new();
    let server = Double::start(Some(authority.server(true)), |_| taken()).await;
    let (certificate, key) = authority.client();
    let tls = TlsSettings { ca_bundle: Some(authority.bundle()), ..TlsSettings::default() };
    let anonymous = StoreSettings { tls: tls.clone(), ..settings(&server.url()) };
    assert!(create(&anonymous).await.is_err());
    assert!(server.asked().is_empty());
    let tls = TlsSettings { client_certificate: Some(certificate), client_key: Some(key), ..tls };
    create(&StoreSettings { tls, ..settings(&server.url()) }).await.expect("it is let in");
}

#[tokio::test]
async fn a_certificate_that_its_own_key_signed_is_trusted_where_it_is_named_itself() {
    let ((config, ours), (_, other)) = (self_signed("127.0.0.1"), self_signed("127.0.0.1"));
    let server = Double::start(Some(config), |_| taken()).await;
    let with = |bundle: &NamedTempFile, url: &str| StoreSettings {
        tls: TlsSettings { ca_bundle: Some(bundle.path().to_owned()), ..TlsSettings::default() },
        ..settings(url)
    };
    create(&with(&ours, &server.url())).await.expect("it stands in the bundle");
    let reason = unavailable(create(&with(&other, &server.url())).await);
    assert!(reason.contains("CaUsedAsEndEntity"), "only another one of the same name does: {reason}");
    let reason = unavailable(create(&settings(&server.url())).await);
    assert!(reason.contains("CaUsedAsEndEntity"), "there is no bundle: {reason}");

    let (config, elsewhere) = self_signed("127.0.0.2");
    let stranger = Double::start(Some(config), |_| taken()).await;
    let reason = unavailable(create(&with(&elsewhere, &stranger.url())).await);
    assert!(reason.contains("not valid for name"), "it is another host's: {reason}");
    assert_eq!((server.asked().len(), stranger.asked().len()), (1, 0));
}

#[test]
fn unusable_files_are_named() {
    let authority = Authority::new();
    let fault = |tls| open(&StoreSettings { tls, ..settings("https://127.0.0.1:1") }).err().unwrap().to_string();
    let (certificate, _) = authority.client();
    let missing = TlsSettings { ca_bundle: Some("/no/such/file".into()), ..TlsSettings::default() };
    assert!(fault(missing).starts_with("cannot use /no/such/file as a bundle of authorities"));
    let empty = tempfile::NamedTempFile::new().unwrap();
    let empty = TlsSettings { ca_bundle: Some(empty.path().to_owned()), ..TlsSettings::default() };
    assert!(fault(empty).contains("no certificate"));
    let half = TlsSettings { client_certificate: Some(certificate), ..TlsSettings::default() };
    assert!(fault(half).contains("together"));
}

/// Runs a test of these in a process of its own, with these variables and no other proxies.
async fn alone(test: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("cloud::tests::{test}")]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        child.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    child.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || child.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The variables of a process hold for all its tests, so this one runs itself again in processes of its own.
#[tokio::test]
async fn proxies_come_from_the_environment() {
    const STORE: &str = "KAFSCALE_TEST_STORE_BEHIND_PROXY";
    if let Ok(endpoint) = std::env::var(STORE) {
        let _ = create(&settings(&endpoint)).await;
        return;
    }
    let proxy = Double::start(None, |_| taken()).await;
    let run = async |variables: &[(&str, &str)]| alone("proxies_come_from_the_environment", variables).await;
    // Names that nobody resolves: whoever is asked for them is the proxy.
    run(&[(STORE, "http://store.invalid:9000"), ("HTTP_PROXY", &proxy.url())]).await;
    run(&[(STORE, "https://store.invalid:9000"), ("HTTPS_PROXY", &proxy.url())]).await;
    let proxied = proxy.url();
    run(&[(STORE, "http://127.0.0.1:1"), ("HTTP_PROXY", &proxied), ("NO_PROXY", "127.0.0.1")]).await;
    let lines: Vec<_> = proxy.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["PUT http://store.invalid:9000/bucket/x", "CONNECT store.invalid:9000"]);
}

/// As above: in a process of its own, with a proxy that would answer anything.
#[tokio::test]
async fn no_proxy_stands_before_a_machines_own_services() {
    const GIVER: &str = "KAFSCALE_TEST_GIVER";
    if let Ok(giver) = std::env::var(GIVER) {
        let host = giver.trim_start_matches("http://").to_owned();
        let pod = S3Settings {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            container_credentials_uri: Some(format!("{giver}/pod")),
            ..S3Settings::default()
        };
        let machine = S3Settings {
            container_credentials_uri: None,
            instance_metadata: true,
            metadata_endpoint: Some(giver.clone()),
            ..pod.clone()
        };
        for s3 in [pod, machine] {
            let _ = create(&StoreSettings { s3, ..StoreSettings::default() }).await;
        }
        let (runtime, body) = (TokioRuntime::handle(), || Bytes::from_static(b"body").into());
        let gcs = GcsSettings { instance_metadata: true, metadata_host: Some(host), ..GcsSettings::default() };
        let settings = StoreSettings { gcs, ..StoreSettings::default() };
        let store = crate::gcs::open("bucket", "", &settings, runtime.clone(), Arc::new(NoObserver)).unwrap();
        let _ = store.create("x", body()).await;
        let azure = AzureSettings {
            account: Some("account".to_owned()),
            instance_metadata: true,
            pod_identity_authority_host: Some(giver),
            ..AzureSettings::default()
        };
        let settings = StoreSettings { azure, ..StoreSettings::default() };
        let store = crate::azure::open("box", "", &settings, runtime, Arc::new(NoObserver)).unwrap();
        let _ = store.create("x", body()).await;
        return;
    }
    let nothing = |_: &Asked| reply("404 Not Found", "", "");
    let (proxy, giver) = (Double::start(None, nothing).await, Double::start(None, nothing).await);
    alone("no_proxy_stands_before_a_machines_own_services", &[(GIVER, &giver.url()), ("HTTP_PROXY", &proxy.url())])
        .await;
    let paths: Vec<_> = giver.asked().into_iter().map(|asked| asked.line).collect();
    let [pod, machine, google, azure] = &paths[..] else { panic!("each was asked: {paths:?}") };
    assert_eq!((pod.as_str(), machine.as_str()), ("GET /pod", "PUT /latest/api/token"));
    assert!(google.starts_with("GET /computeMetadata/") && azure.starts_with("GET /metadata/identity/"), "{paths:?}");
    assert!(proxy.asked().is_empty());
}

#[tokio::test]
async fn what_is_wished_for_goes_with_every_write() {
    let server = Double::start(None, |_| taken()).await;
    let writing = Writing {
        encryption: Some(Encryption::Kms("key-7".to_owned())),
        storage_class: Some("INTELLIGENT_TIERING".to_owned()),
        tags: vec![("team".to_owned(), "a b".to_owned()), ("env".to_owned(), "prod".to_owned())],
    };
    let aws = StoreSettings { profile: Some(Provider::Aws), writing, ..settings(&server.url()) };
    create(&aws).await.unwrap();
    let writing = Writing { encryption: Some(Encryption::Store), ..Writing::default() };
    create(&StoreSettings { writing: writing.clone(), ..aws.clone() }).await.unwrap();
    let [kms, own] = &server.asked()[..] else { panic!("two requests") };
    assert_eq!(kms.header("x-amz-server-side-encryption"), "aws:kms");
    assert_eq!(kms.header("x-amz-server-side-encryption-aws-kms-key-id"), "key-7");
    assert_eq!(kms.header("x-amz-storage-class"), "INTELLIGENT_TIERING");
    assert_eq!(kms.header("x-amz-tagging"), "team=a+b&env=prod");
    assert_eq!(own.header("x-amz-server-side-encryption"), "AES256");
    let r2 = StoreSettings { profile: Some(Provider::R2), writing, ..aws };
    assert_eq!(open(&r2).err().unwrap().to_string(), "r2 does not offer server-side encryption on request");
}

#[tokio::test]
async fn http_1_is_spoken_where_http_2_is_offered_too() {
    let authority = Authority::new();
    let mut offer = authority.server(false);
    offer.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // The double cannot speak HTTP/2: a client that chose it would get no answer that it understands.
    let server = Double::start(Some(offer), |_| taken()).await;
    let tls = TlsSettings { ca_bundle: Some(authority.bundle()), ..TlsSettings::default() };
    create(&StoreSettings { tls, ..settings(&server.url()) }).await.expect("they agree on HTTP/1.1");
    assert!(server.asked()[0].line.starts_with("PUT "), "{:?}", server.asked());
}

#[tokio::test]
async fn whose_the_keys_are_is_said_without_the_secret() {
    let store = open(&settings("http://127.0.0.1:9")).unwrap();
    assert_eq!(store.identity(), Some("the key id"));
}

#[tokio::test]
async fn payloads_are_signed_unless_a_checksum_over_tls_is_known_to_be_taken() {
    let authority = Authority::new();
    let secure = Double::start(Some(authority.server(false)), |_| taken()).await;
    let plain = Double::start(None, |_| taken()).await;
    let tls = TlsSettings { ca_bundle: Some(authority.bundle()), ..TlsSettings::default() };
    for (server, provider) in
        [(&secure, Provider::Aws), (&plain, Provider::Aws), (&secure, Provider::Wasabi), (&plain, Provider::R2)]
    {
        let settings = StoreSettings { profile: Some(provider), tls: tls.clone(), ..settings(&server.url()) };
        create(&settings).await.unwrap();
        let asked = server.asked().pop().unwrap();
        let unsigned = provider == Provider::Aws && server.url().starts_with("https");
        assert_eq!(asked.header("x-amz-content-sha256") == "UNSIGNED-PAYLOAD", unsigned, "{provider}");
        assert_eq!(asked.header("x-amz-checksum-crc64nvme").is_empty(), !unsigned, "{provider}");
        assert_eq!(asked.header("if-none-match"), "*");
    }
}

#[test]
fn small_files_are_read_and_bounded() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let read = |content: &str| {
        std::fs::write(file.path(), content).unwrap();
        super::files::read_secret(file.path())
    };
    assert_eq!(read(" token\n").as_deref(), Ok("token"));
    assert!(read("\n").unwrap_err().ends_with("it is empty"));
    assert!(read(&"x".repeat(70_000)).unwrap_err().ends_with("it is too long"));
    assert!(super::files::read_secret(Path::new("/no/such")).is_err());
}

#[tokio::test]
async fn a_range_that_is_not_cut_at_the_end_of_its_object_is_asked_for_again_as_far_as_it_goes() {
    let server = Double::start(None, |asked| match asked.header("range") {
        "bytes=6-9" => reply("206 Partial Content", "content-range: bytes 6-9/10\r\netag: \"x\"\r\n", "tail"),
        _ => "HTTP/1.1 206 Partial Content\r\ncontent-length: 100\r\ncontent-range: bytes 6-105/10\r\netag: \"x\"\r\n\r\ntail".to_owned(),
    })
    .await;
    let store = open(&settings(&server.url())).unwrap();
    let tail = store.get("x", ReadRange::At { start: 6, len: 100 }).await;
    assert_eq!(tail, Ok(Bytes::from_static(b"tail")));
}
