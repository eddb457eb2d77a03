#![allow(clippy::disallowed_methods, reason = "it runs against servers of its own")]

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use kafscale_runtime::TokioRuntime;

use super::*;
use crate::{
    CreateError, NoObserver, Outcome, ReadRange, Store, Writing,
    cloud::double::{Double, fault, reply, taken},
};

fn settings(server: &Double) -> StoreSettings {
    let gcs = GcsSettings { endpoint: Some(server.address.clone()), ..GcsSettings::default() };
    StoreSettings { gcs, ..StoreSettings::default() }
}

fn store(settings: &StoreSettings) -> CloudStore {
    open("bucket", "a/b", settings, TokioRuntime::handle(), Arc::new(NoObserver)).unwrap()
}

async fn create(store: &CloudStore) -> Result<(), CreateError> {
    store.create("x", Bytes::from_static(b"body").into()).await
}

#[tokio::test]
async fn a_create_asks_for_generation_zero() {
    let server = Double::start(None, |_| taken()).await;
    let writing = Writing { storage_class: Some("NEARLINE".to_owned()), ..Writing::default() };
    let store = store(&StoreSettings { writing, ..settings(&server) });
    create(&store).await.unwrap();
    store.replace("x", Bytes::new().into()).await.unwrap();
    let [create, replace] = &server.asked()[..] else { panic!("two requests") };
    assert_eq!((create.line.as_str(), create.body.as_str()), ("PUT /bucket/a%2Fb%2Fx", "body"));
    assert_eq!(create.header("x-goog-if-generation-match"), "0");
    assert_eq!(create.header("x-goog-storage-class"), "NEARLINE");
    assert_eq!(replace.header("x-goog-if-generation-match"), "");
}

#[tokio::test]
async fn each_answer_means_what_google_says() {
    use Outcome::{AlreadyExists, NotFound, Refused, Unavailable, Unknown};
    for (status, code, created, read) in [
        ("412 Precondition Failed", "PreconditionFailed", AlreadyExists, Unavailable),
        // One write a second of a name: an earlier attempt may have been the one.
        ("429 Too Many Requests", "SlowDown", Unknown, Unavailable),
        ("503 Service Unavailable", "ServiceUnavailable", Unknown, Unavailable),
        ("408 Request Timeout", "", Unknown, Unavailable),
        ("401 Unauthorized", "AuthenticationRequired", Refused, Refused),
        ("403 Forbidden", "AccessDenied", Refused, Refused),
        ("404 Not Found", "NoSuchBucket", Refused, NotFound),
    ] {
        let server = Double::start(None, move |_| fault(status, code)).await;
        let store = store(&settings(&server));
        assert_eq!(Outcome::of(&create(&store).await), created, "create {code}");
        assert_eq!(Outcome::of(&store.get("x", ReadRange::All).await), read, "get {code}");
        assert_eq!(server.asked().len(), 2, "one call is one request");
    }
}

#[tokio::test]
async fn each_object_is_deleted_by_a_request_of_its_own() {
    let server = Double::start(None, |asked| {
        if asked.line.ends_with('y') { fault("404 Not Found", "NoSuchKey") } else { reply("204 No Content", "", "") }
    })
    .await;
    store(&settings(&server)).delete(&["x".to_owned(), "y".to_owned()]).await.unwrap();
    assert_eq!(server.asked().len(), 2);
    let server = Double::start(None, |_| fault("404 Not Found", "NoSuchBucket")).await;
    assert!(store(&settings(&server)).delete(&["x".to_owned()]).await.is_err());
}

#[tokio::test]
async fn a_workload_of_another_cloud_is_vouched_for() {
    let google = Double::start(None, |asked| match asked.line.as_str() {
        "POST /v1/token" if asked.body.contains("subject_token=pod") => {
            reply("200 OK", "", "{\"access_token\":\"federated\",\"expires_in\":3600}")
        }
        "POST /impersonate" if asked.header("authorization") == "Bearer federated" => {
            reply("200 OK", "", "{\"accessToken\":\"account\",\"expireTime\":\"2030-01-01T00:00:00Z\"}")
        }
        _ => reply("400 Bad Request", "", "{}"),
    })
    .await;
    let server = Double::start(None, |_| taken()).await;
    let folder = tempfile::tempdir().unwrap();
    let (token, file) = (folder.path().join("token"), folder.path().join("google.json"));
    std::fs::write(&token, "{\"t\":\"pod\"}").unwrap();
    let json = serde_json::json!({
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{}/v1/token", google.url()),
        "service_account_impersonation_url": format!("{}/impersonate", google.url()),
        "credential_source": { "file": token, "format": { "type": "json", "subject_token_field_name": "t" } },
    });
    std::fs::write(&file, json.to_string()).unwrap();
    let gcs = GcsSettings { credentials: Some(file), ..settings(&server).gcs };
    let store = store(&StoreSettings { gcs, ..settings(&server) });
    create(&store).await.unwrap();
    create(&store).await.unwrap();
    assert_eq!(server.asked()[1].header("authorization"), "Bearer account");
    assert_eq!(google.asked().len(), 2, "one exchange serves many requests");
}

#[tokio::test]
async fn a_service_account_signs_for_itself() {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let json = serde_json::json!({
        "type": "service_account",
        "client_email": "broker@project.iam.gserviceaccount.com",
        "private_key_id": "7",
        "private_key": key.serialize_pem(),
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json.to_string()).unwrap();
    let server = Double::start(None, |_| taken()).await;
    let gcs = GcsSettings { credentials: Some(file.path().to_owned()), ..settings(&server).gcs };
    create(&store(&StoreSettings { gcs, ..settings(&server) })).await.unwrap();
    let asked = server.asked();
    let token = asked[0].header("authorization").strip_prefix("Bearer ").expect("a token");
    let [head, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else { panic!("a signed token: {token}") };
    let said = |part| String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    assert!(said(head).contains("\"kid\":\"7\""), "{}", said(head));
    assert!(said(claims).contains("\"iss\":\"broker@project.iam.gserviceaccount.com\""), "{}", said(claims));
    assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap().len(), 256);
}

#[test]
fn what_is_missing_is_named() {
    let fault = |gcs: GcsSettings| {
        let settings = StoreSettings { gcs, ..StoreSettings::default() };
        open("bucket", "", &settings, TokioRuntime::handle(), Arc::new(NoObserver)).err().unwrap()
    };
    assert_eq!(fault(GcsSettings::default()), GcsSettingsError::NoCredentials, "no metadata service is asked");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "{\"type\":\"hush\"}").unwrap();
    let text = fault(GcsSettings { credentials: Some(file.path().to_owned()), ..GcsSettings::default() }).to_string();
    assert!(text.contains("is not of the type service_account") && !text.contains("hush"), "{text}");
    let endpoint = Some("ftp://host".to_owned());
    assert_eq!(fault(GcsSettings { endpoint, ..GcsSettings::default() }), GcsSettingsError::Endpoint);
}
