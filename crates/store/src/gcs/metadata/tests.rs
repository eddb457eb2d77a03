#![allow(clippy::disallowed_methods, reason = "it runs against servers of its own")]

use std::sync::Arc;

use kafscale_runtime::TokioRuntime;

use super::*;
use crate::{
    CloudStore, NoObserver, StoreSettings,
    cloud::{
        double::{Asked, Double, reply, taken},
        givers::{Story, create, unavailable},
    },
    gcs::{GcsSettings, GcsSettingsError, open},
};

/// Google's server answers only what is asked in its own way.
fn google(asked: &Asked, given: &str) -> String {
    let path = "GET /computeMetadata/v1/instance/service-accounts/default/token";
    if asked.line != path || asked.header("metadata-flavor") != "Google" {
        return reply("403 Forbidden", "", "");
    }
    let body = format!("{{\"access_token\":\"{given}\",\"expires_in\":3600,\"token_type\":\"Bearer\"}}");
    reply("200 OK", "metadata-flavor: Google\r\n", &body)
}

fn settings(server: &Double, host: &str) -> GcsSettings {
    GcsSettings {
        endpoint: Some(server.address.clone()),
        instance_metadata: true,
        metadata_host: Some(host.to_owned()),
        ..GcsSettings::default()
    }
}

fn store(gcs: GcsSettings, runtime: Handle) -> CloudStore {
    open("bucket", "", &StoreSettings { gcs, ..StoreSettings::default() }, runtime, Arc::new(NoObserver)).unwrap()
}

#[tokio::test]
async fn a_token_of_the_metadata_server_is_used_renewed_and_kept() {
    let story = Story::begin(google).await;
    let settings = settings(&story.server, &story.giver.address);
    story.tell("Google's metadata server", || store(settings.clone(), story.clock.clone())).await;
    assert_eq!(story.server.asked()[0].header("authorization"), "Bearer given-1");
}

#[tokio::test]
async fn a_server_that_is_missing_or_has_no_account_is_named() {
    let server = Double::start(None, |_| taken()).await;
    let bare = Double::start(None, |_| reply("404 Not Found", "", "no service account")).await;
    for (host, why) in [(bare.address.as_str(), "HTTP 404"), ("127.0.0.1:1", "Connection refused")] {
        let reason = unavailable(create(&store(settings(&server, host), TokioRuntime::handle())).await);
        assert!(reason.starts_with("no credentials from Google's metadata server: "), "{reason}");
        assert!(reason.contains(why), "{reason}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn it_is_not_asked_unless_a_setting_says_so_nor_where_there_is_a_file() {
    let story = Story::begin(google).await;
    let not_allowed = GcsSettings { instance_metadata: false, ..settings(&story.server, &story.giver.address) };
    create(&store(not_allowed.clone(), TokioRuntime::handle())).await.unwrap();
    let without_endpoint =
        StoreSettings { gcs: GcsSettings { endpoint: None, ..not_allowed }, ..StoreSettings::default() };
    let refused = open("bucket", "", &without_endpoint, TokioRuntime::handle(), Arc::new(NoObserver)).err();
    assert_eq!(refused, Some(GcsSettingsError::NoCredentials));
    let file = tempfile::NamedTempFile::new().unwrap();
    let user = "{\"type\":\"external_account\",\"audience\":\"a\",\"subject_token_type\":\"t\"}";
    std::fs::write(file.path(), user).unwrap();
    let both =
        GcsSettings { credentials: Some(file.path().to_owned()), ..settings(&story.server, &story.giver.address) };
    let reason = unavailable(create(&store(both, TokioRuntime::handle())).await);
    assert!(reason.starts_with("no credentials from Google's token service"), "{reason}");
    assert!(story.giver.asked().is_empty());
}

#[test]
fn the_host_is_googles_own_or_another_and_nothing_more() {
    let path = "computeMetadata/v1/instance/service-accounts/default/token";
    let at = |host| address(host).map(|url| url.to_string());
    assert_eq!(at(None), Some(format!("http://metadata.google.internal/{path}")));
    assert_eq!(at(Some("127.0.0.1:988")), Some(format!("http://127.0.0.1:988/{path}")));
    for host in ["", "a/b", "a?b", "a#b", "me:hush@a", "http://a"] {
        assert_eq!(at(Some(host)), None, "{host}");
        let gcs = GcsSettings {
            instance_metadata: true,
            metadata_host: Some(host.to_owned()).filter(|host| !host.is_empty()),
            ..GcsSettings::default()
        };
        let settings = StoreSettings { gcs, ..StoreSettings::default() };
        let opened = open("bucket", "", &settings, TokioRuntime::handle(), Arc::new(NoObserver));
        let expected = if host.is_empty() { None } else { Some(GcsSettingsError::MetadataHost) };
        assert_eq!(opened.err(), expected, "{host}");
    }
}
