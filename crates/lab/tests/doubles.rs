//! The doubles under the store's own clients: they pass the suite that every real server runs, and each way of S3's to be
//! wrong is seen by it.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a tool beside the product")]

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use kafscale_lab::{
    double::{AzureDouble, Conditions, GcsDouble, S3Double, serve},
    quirks::{NAMES, Quirks, Wire, never_sent, profile},
};
use kafscale_runtime::TokioRuntime;
use kafscale_store::{
    AzureSettings, CloudStore, GcsSettings, NoObserver, S3Settings, StoreSettings, azure, conformance, gcs, s3,
};

fn store(double: &Arc<S3Double>) -> (CloudStore, Arc<Quirks>) {
    let runtime = TokioRuntime::handle();
    let quirks = Arc::new(Quirks::new(runtime.clone(), Vec::new(), 1));
    let s3 = S3Settings {
        access_key_id: Some("id".to_owned()),
        secret_access_key: Some("secret".to_owned().into()),
        endpoint: Some("http://store.lab".to_owned()),
        ..S3Settings::default()
    };
    let settings = StoreSettings { s3, ..StoreSettings::default() };
    let wire = Arc::new(Wire::new(quirks.clone(), double.clone()));
    (s3::over(wire, "bucket", "prefix", &settings, runtime, Arc::new(NoObserver)).unwrap(), quirks)
}

#[tokio::test]
async fn the_double_of_s3_conforms_and_is_asked_nothing_odd() {
    let double = Arc::new(S3Double::new(TokioRuntime::handle(), "bucket"));
    let (store, quirks) = store(&double);
    conformance::run(&store, "suite").await;
    assert_eq!(never_sent(&quirks.seen()), Vec::<String>::new());
    assert_eq!(double.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn the_double_of_azure_conforms_and_is_asked_nothing_odd() {
    let runtime = TokioRuntime::handle();
    let double = Arc::new(AzureDouble::new(runtime.clone(), "bucket"));
    let quirks = Arc::new(Quirks::new(runtime.clone(), Vec::new(), 1));
    let settings = AzureSettings {
        account: Some("account".to_owned()),
        key: Some("a2V5".to_owned().into()),
        endpoint: Some("http://store.lab".to_owned()),
        ..AzureSettings::default()
    };
    let settings = StoreSettings { azure: settings, ..StoreSettings::default() };
    let wire = Arc::new(Wire::new(quirks.clone(), double.clone()));
    let store = azure::over(wire, "bucket", "prefix", &settings, runtime, Arc::new(NoObserver)).unwrap();
    conformance::run(&store, "suite").await;
    assert_eq!(never_sent(&quirks.seen()), Vec::<String>::new());
    assert_eq!(double.keys(), Vec::<String>::new());
}

/// Over a socket, with tokens from the emulator's own service, as a workload of another cloud gets them.
#[tokio::test]
async fn the_emulator_of_google_conforms() {
    let double = Arc::new(GcsDouble::new(TokioRuntime::handle(), "bucket"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(serve(listener, double.clone()));
    let folder = tempfile::tempdir().unwrap();
    let (token, credentials) = (folder.path().join("token"), folder.path().join("google.json"));
    std::fs::write(&token, "pod").unwrap();
    let json = serde_json::json!({
        "type": "external_account",
        "audience": "lab",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": format!("{endpoint}/token"),
        "credential_source": { "file": token },
    });
    std::fs::write(&credentials, json.to_string()).unwrap();
    let gcs = GcsSettings { credentials: Some(credentials), endpoint: Some(endpoint), ..GcsSettings::default() };
    let settings = StoreSettings { gcs, ..StoreSettings::default() };
    let store = gcs::open("bucket", "prefix", &settings, TokioRuntime::handle(), Arc::new(NoObserver)).unwrap();
    conformance::run(&store, "suite").await;
    assert_eq!(double.keys(), Vec::<String>::new());
    server.abort();
}

#[tokio::test]
async fn conditions_that_are_ignored_or_checked_too_late_are_found() {
    for conditions in [Conditions::Ignored, Conditions::Racy(Duration::from_secs(1))] {
        let double = Arc::new(S3Double::new(TokioRuntime::handle(), "bucket"));
        double.set_conditions(conditions);
        let (store, _quirks) = store(&double);
        let suite = std::panic::AssertUnwindSafe(conformance::run(&store, "suite")).catch_unwind();
        assert!(suite.await.is_err(), "{conditions:?}");
    }
}

#[test]
fn every_profile_has_rules_under_names_of_their_own() {
    for name in NAMES {
        let rules = profile(name).unwrap_or_else(|| panic!("{name}"));
        let names: std::collections::BTreeSet<_> = rules.iter().map(|rule| rule.name).collect();
        assert_eq!(names.len(), rules.len(), "{name}");
    }
    assert!(profile("nobody").is_none());
}
