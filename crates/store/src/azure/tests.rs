#![allow(clippy::disallowed_methods, reason = "it runs against servers of its own")]

use bytes::Bytes;
use kafscale_runtime::TokioRuntime;

use super::*;
use crate::{
    CreateError, DeleteError, NoObserver, Outcome, ReadError, ReadRange, Store, Writing,
    cloud::double::{Double, Shifted, fault, reply, taken},
};

/// The emulator's public key.
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn settings(server: &Double) -> StoreSettings {
    let azure = AzureSettings {
        account: Some("account".to_owned()),
        key: Some(KEY.to_owned().into()),
        endpoint: Some(server.url()),
        ..AzureSettings::default()
    };
    StoreSettings { azure, ..StoreSettings::default() }
}

fn store(settings: &StoreSettings) -> CloudStore {
    open("box", "a/b", settings, TokioRuntime::handle(), Arc::new(NoObserver)).unwrap()
}

async fn create(store: &CloudStore) -> Result<(), CreateError> {
    store.create("x", Bytes::from_static(b"body").into()).await
}

#[tokio::test]
async fn a_create_is_one_put_of_what_is_absent() {
    let server = Double::start(None, |_| taken()).await;
    let writing = Writing {
        storage_class: Some("Cool".to_owned()),
        tags: vec![("team".to_owned(), "a".to_owned())],
        ..Writing::default()
    };
    create(&store(&StoreSettings { writing, ..settings(&server) })).await.unwrap();
    let [asked] = &server.asked()[..] else { panic!("one request") };
    assert_eq!((asked.line.as_str(), asked.body.as_str()), ("PUT /box/a/b/x", "body"));
    assert_eq!((asked.header("if-none-match"), asked.header("x-ms-blob-type")), ("*", "BlockBlob"));
    assert_eq!((asked.header("x-ms-access-tier"), asked.header("x-ms-tags")), ("Cool", "team=a"));
    assert!(asked.header("authorization").starts_with("SharedKey account:"));
}

#[tokio::test]
async fn each_answer_means_what_azure_says() {
    use Outcome::{AlreadyExists, NotFound, Refused, Unavailable, Unknown};
    for (status, code, created, read) in [
        ("409 Conflict", "BlobAlreadyExists", AlreadyExists, Unavailable),
        ("412 Precondition Failed", "ConditionNotMet", AlreadyExists, Unavailable),
        ("409 Conflict", "ContainerBeingDeleted", Unavailable, Unavailable),
        ("409 Conflict", "BlobImmutableDueToPolicy", Refused, Refused),
        ("412 Precondition Failed", "LeaseIdMissing", Refused, Refused),
        ("503 Service Unavailable", "ServerBusy", Unknown, Unavailable),
        ("500 Internal Server Error", "OperationTimedOut", Unknown, Unavailable),
        ("429 Too Many Requests", "TooManyRequests", Unavailable, Unavailable),
        ("403 Forbidden", "AuthenticationFailed", Refused, Refused),
        ("403 Forbidden", "AuthorizationPermissionMismatch", Refused, Refused),
        ("404 Not Found", "ContainerNotFound", Refused, NotFound),
    ] {
        let server = Double::start(None, move |_| fault(status, code)).await;
        let store = store(&settings(&server));
        assert_eq!(Outcome::of(&create(&store).await), created, "create {code}");
        assert_eq!(Outcome::of(&store.get("x", ReadRange::All).await), read, "get {code}");
        assert_eq!(server.asked().len(), 2, "one call is one request");
    }
}

#[tokio::test]
async fn many_are_deleted_in_one_request_and_the_absent_are_fine() {
    let part = |id: u32, status: &str| {
        format!(
            "--batch\r\nContent-Type: application/http\r\nContent-ID: {id}\r\n\r\nHTTP/1.1 {status}\r\nx-ms-error-code: Y\r\n\r\n\r\n"
        )
    };
    for (second, expected) in [("404 Not Found", Outcome::Ok), ("500 Internal", Outcome::Unavailable)] {
        let body = format!("{}{}--batch--", part(0, "202 Accepted"), part(1, second));
        let answer = reply("202 Accepted", "content-type: multipart/mixed; boundary=batch\r\n", &body);
        let server = Double::start(None, move |_| answer.clone()).await;
        let deleted = store(&settings(&server)).delete(&["x".to_owned(), "y".to_owned()]).await;
        assert_eq!(Outcome::of(&deleted), expected, "{deleted:?}");
        assert_eq!(server.asked().len(), 1);
    }
    let server = Double::start(None, |_| fault("404 Not Found", "ContainerNotFound")).await;
    let deleted = store(&settings(&server)).delete(&["x".to_owned()]).await;
    assert!(matches!(deleted, Err(DeleteError::Refused(_))), "{deleted:?}");
}

#[tokio::test]
async fn a_listing_that_begins_too_early_is_cut() {
    let blob = |name: &str| {
        format!(
            "<Blob><Name>{name}</Name><Properties><Last-Modified>Tue, 15 Nov 1994 08:12:31 GMT</Last-Modified>\
             <Etag>x</Etag><Content-Length>1</Content-Length><Content-Type>x</Content-Type></Properties></Blob>"
        )
    };
    let rows = ["a/b/1", "a/b/2", "a/b/3"].map(blob).concat();
    let body =
        format!("<?xml version=\"1.0\"?><EnumerationResults><Blobs>{rows}</Blobs><NextMarker/></EnumerationResults>");
    let server = Double::start(None, move |_| reply("200 OK", "", &body)).await;
    let names = |prefix: &'static str, after: &'static str| {
        let store = store(&settings(&server));
        async move { store.list(prefix, after, 10).await.unwrap().into_iter().map(|row| row.name).collect::<Vec<_>>() }
    };
    assert_eq!(names("", "").await, ["1", "2", "3"]);
    assert_eq!(names("", "2").await, ["3"]);
    assert_eq!(names("2", "").await, ["2"], "a prefix may be a whole name");
}

#[tokio::test]
async fn a_signature_is_in_no_message() {
    let server = Double::start(None, |_| fault("403 Forbidden", "AuthenticationFailed")).await;
    let signed = |endpoint: String| {
        let sas = Some("?sv=2024-11-04&sig=HUSH%2Bhush&se=2030-01-01".to_owned().into());
        let azure = AzureSettings { key: None, sas, endpoint: Some(endpoint), ..settings(&server).azure };
        StoreSettings { azure, ..settings(&server) }
    };
    let secretive = |text: String| assert!(!text.to_lowercase().contains("hush"), "{text}");
    let closed = "http://127.0.0.1:1".to_owned();
    for endpoint in [server.url(), closed] {
        let store = store(&signed(endpoint));
        secretive(format!("{:?}", create(&store).await.unwrap_err()));
        secretive(format!("{:?}", store.get("x", ReadRange::All).await.unwrap_err()));
        secretive(format!("{:?}", store.list("", "", 1).await.unwrap_err()));
        secretive(format!("{:?}", store.delete(&["x".to_owned()]).await.unwrap_err()));
    }
    secretive(format!("{:?}", signed(server.url())));
    assert!(server.asked()[0].line.contains("sig="), "it was sent");
}

#[tokio::test]
async fn a_workloads_token_is_exchanged_and_again_when_refused() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "pod-1").unwrap();
    let entra = Double::start(None, |asked| {
        let number = if asked.body.contains("client_assertion=pod-2") { 2 } else { 1 };
        let body = format!("{{\"access_token\":\"entra-{number}\",\"expires_in\":3600,\"token_type\":\"Bearer\"}}");
        reply("200 OK", "content-type: application/json\r\n", &body)
    })
    .await;
    let server = Double::start(None, |asked| match asked.header("authorization") {
        "Bearer entra-2" => taken(),
        _ => fault("401 Unauthorized", "InvalidAuthenticationInfo"),
    })
    .await;
    let azure = AzureSettings {
        key: None,
        tenant_id: Some("tenant".to_owned()),
        client_id: Some("client".to_owned()),
        federated_token_file: Some(token.path().to_owned()),
        authority_host: Some(entra.url()),
        ..settings(&server).azure
    };
    let (settings, clock) = (StoreSettings { azure, ..settings(&server) }, Shifted::new());
    let store = open("box", "", &settings, clock.clone(), Arc::new(NoObserver)).unwrap();
    assert!(matches!(create(&store).await, Err(CreateError::Refused(_))), "there is no other token yet");
    std::fs::write(token.path(), "pod-2").unwrap();
    clock.pass(Duration::from_secs(11));
    let again = create(&store).await;
    assert!(matches!(again, Err(CreateError::Unavailable { .. })), "there is another one now: {again:?}");
    create(&store).await.expect("the token that the store knows");
    assert!(entra.asked()[0].line.starts_with("POST /tenant/oauth2/v2.0/token"), "{}", entra.asked()[0].line);
}

#[test]
fn what_is_missing_is_named() {
    let fault = |azure: AzureSettings| {
        let settings = StoreSettings { azure, ..StoreSettings::default() };
        open("box", "", &settings, TokioRuntime::handle(), Arc::new(NoObserver)).err().unwrap()
    };
    assert_eq!(fault(AzureSettings::default()), AzureSettingsError::NoAccount);
    let account = || AzureSettings { account: Some("account".to_owned()), ..AzureSettings::default() };
    assert_eq!(
        fault(account()),
        AzureSettingsError::NoCredentials,
        "no metadata service is asked unless it is allowed"
    );
    let malformed = fault(AzureSettings { key: Some("hush!".to_owned().into()), ..account() }).to_string();
    assert_eq!(malformed, "AZURE_STORAGE_ACCOUNT_KEY is not in the form that Azure gives");
    let malformed = fault(AzureSettings { sas: Some("hush".to_owned().into()), ..account() }).to_string();
    assert_eq!(malformed, "AZURE_STORAGE_SAS_TOKEN is not in the form that Azure gives");
    let endpoint = Some("https://host/?sig=hush".to_owned());
    assert_eq!(fault(AzureSettings { endpoint, ..account() }), AzureSettingsError::Endpoint);
}

#[tokio::test]
async fn a_missing_blob_is_not_found() {
    let server = Double::start(None, |_| fault("404 Not Found", "BlobNotFound")).await;
    let got = store(&settings(&server)).get("x", ReadRange::All).await;
    assert!(matches!(&got, Err(ReadError::NotFound(text)) if text.contains("BlobNotFound")), "{got:?}");
}

#[tokio::test]
async fn a_range_at_the_end_is_empty() {
    for answer in [
        reply(
            "206 Partial Content",
            "content-range: bytes 10-9/10\r\netag: x\r\nlast-modified: Tue, 15 Nov 1994 08:12:31 GMT\r\n",
            "",
        ),
        fault("416 Requested Range Not Satisfiable", "InvalidRange"),
    ] {
        let server = Double::start(None, move |_| answer.clone()).await;
        let got = store(&settings(&server)).get("x", ReadRange::At { start: 10, len: 1 }).await;
        assert_eq!(got, Ok(Bytes::new()));
    }
}
