#![allow(clippy::disallowed_methods, reason = "it runs against servers of its own")]

use std::sync::Arc;

use kafscale_runtime::TokioRuntime;

use super::*;
use crate::{
    CloudStore, NoObserver, StoreSettings,
    azure::{AzureSettings, open},
    cloud::{
        double::{Asked, Double, reply, taken},
        givers::{Story, create, unavailable},
    },
};

fn token(given: &str) -> String {
    let body = format!("{{\"access_token\":\"{given}\",\"expires_in\":\"3600\",\"token_type\":\"Bearer\"}}");
    reply("200 OK", "content-type: application/json\r\n", &body)
}

/// Answers only what is asked in the way of a machine's metadata service.
fn machine(asked: &Asked, given: &str) -> String {
    let path = "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F";
    let known = asked.line == path || asked.line == format!("{path}&client_id=client");
    let wrong = !known || asked.header("metadata") != "true" || !asked.header("x-identity-header").is_empty();
    if wrong { reply("400 Bad Request", "", "{\"error\":\"bad_request\"}") } else { token(given) }
}

/// ... in that of App Service, which says only when the token ends.
fn platform(asked: &Asked, given: &str) -> String {
    let path = "GET /msi/token?api-version=2019-08-01&resource=https%3A%2F%2Fstorage.azure.com%2F&client_id=client";
    if asked.line != path || asked.header("x-identity-header") != "hush" {
        return reply("400 Bad Request", "", "{\"statusCode\":400}");
    }
    let end = TokioRuntime::handle().wall_clock_ms() / 1_000 + 3_600;
    reply("200 OK", "", &format!("{{\"access_token\":\"{given}\",\"expires_on\":\"{end}\"}}"))
}

fn settings(server: &Double) -> AzureSettings {
    AzureSettings {
        account: Some("account".to_owned()),
        endpoint: Some(server.url()),
        instance_metadata: true,
        // Wherever a test forgets to say whom to ask, nobody is there.
        pod_identity_authority_host: Some("http://127.0.0.1:1".to_owned()),
        ..AzureSettings::default()
    }
}

fn store(azure: AzureSettings, runtime: Handle) -> CloudStore {
    open("box", "", &StoreSettings { azure, ..StoreSettings::default() }, runtime, Arc::new(NoObserver)).unwrap()
}

fn refused(azure: AzureSettings) -> Option<AzureSettingsError> {
    let settings = StoreSettings { azure, ..StoreSettings::default() };
    open("box", "", &settings, TokioRuntime::handle(), Arc::new(NoObserver)).err()
}

#[tokio::test]
async fn the_identity_of_a_machine_is_used_renewed_and_kept() {
    let story = Story::begin(machine).await;
    let azure = AzureSettings { pod_identity_authority_host: Some(story.giver.url()), ..settings(&story.server) };
    story.tell("Azure's metadata service", || store(azure.clone(), story.clock.clone())).await;
    let asked = story.server.asked();
    assert_eq!(asked[0].header("authorization"), "Bearer given-1");
    let one_of_many = AzureSettings { client_id: Some("client".to_owned()), ..azure };
    create(&store(one_of_many, TokioRuntime::handle())).await.unwrap();
    assert!(story.giver.asked().last().unwrap().line.ends_with("&client_id=client"));
}

#[tokio::test]
async fn the_identity_of_a_platform_is_used_renewed_and_kept() {
    let story = Story::begin(platform).await;
    let azure = AzureSettings {
        identity_endpoint: Some(format!("{}/msi/token", story.giver.url())),
        identity_header: Some("hush".to_owned().into()),
        client_id: Some("client".to_owned()),
        ..settings(&story.server)
    };
    story.tell("Azure's identity endpoint", || store(azure.clone(), story.clock.clone())).await;
    assert_eq!(story.server.asked()[0].header("authorization"), "Bearer given-1");
    assert!(!format!("{azure:?}").contains("hush"));
}

#[tokio::test]
async fn the_identity_of_a_workload_or_an_application_is_used_renewed_and_kept() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "pod/1\n").unwrap();
    let kind = "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let workload = format!("client_assertion_type={kind}&client_assertion=pod%2F1");
    for (proof, federated_token_file, client_secret) in [
        (workload, Some(file.path().to_owned()), None),
        ("client_secret=hush%26".to_owned(), None, Some("hush&".to_owned().into())),
    ] {
        let scope = "https%3A%2F%2Fstorage.azure.com%2F.default";
        let form = format!("grant_type=client_credentials&client_id=client&scope={scope}&{proof}");
        let story = Story::begin(move |asked, given| match asked.line.as_str() {
            "POST /tenant/oauth2/v2.0/token" if asked.body == form => token(given),
            _ => reply("400 Bad Request", "", ""),
        })
        .await;
        let azure = AzureSettings {
            tenant_id: Some("tenant".to_owned()),
            client_id: Some("client".to_owned()),
            federated_token_file,
            client_secret,
            authority_host: Some(format!("{}/", story.giver.url())),
            instance_metadata: false,
            ..settings(&story.server)
        };
        story.tell("Entra", || store(azure.clone(), story.clock.clone())).await;
    }
}

#[tokio::test]
async fn one_that_is_missing_or_knows_no_identity_is_named() {
    let server = Double::start(None, |_| taken()).await;
    let body = "{\"error\":\"invalid_request\",\"error_description\":\"Identity not found\"}";
    let bare = Double::start(None, move |_| reply("400 Bad Request", "", body)).await;
    let closed = "http://127.0.0.1:1".to_owned();
    for (machine, why) in [(bare.url(), "HTTP 400 invalid_request"), (closed, "Connection refused")] {
        let azure = AzureSettings { pod_identity_authority_host: Some(machine), ..settings(&server) };
        let reason = unavailable(create(&store(azure, TokioRuntime::handle())).await);
        assert!(reason.starts_with("no credentials from Azure's metadata service: "), "{reason}");
        assert!(reason.contains(why), "{reason}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn nobody_is_asked_unless_a_setting_says_so_nor_where_there_is_a_signature() {
    let story = Story::begin(machine).await;
    let allowed = AzureSettings { pod_identity_authority_host: Some(story.giver.url()), ..settings(&story.server) };
    let not_allowed = AzureSettings { instance_metadata: false, ..allowed.clone() };
    assert_eq!(refused(not_allowed.clone()), Some(AzureSettingsError::NoCredentials));
    let on_a_platform = AzureSettings {
        identity_endpoint: Some(story.giver.url()),
        identity_header: Some("hush".to_owned().into()),
        ..not_allowed
    };
    assert_eq!(refused(on_a_platform), Some(AzureSettingsError::NoCredentials));
    let signed = AzureSettings { sas: Some("sv=1&sig=x".to_owned().into()), ..allowed };
    create(&store(signed, TokioRuntime::handle())).await.unwrap();
    assert!(story.giver.asked().is_empty());
}

#[test]
fn addresses_are_those_of_azure_and_others_are_checked() {
    let (runtime, client) = (TokioRuntime::handle(), Client::new());
    let managed = Managed::new(client.clone(), None, None, None, &runtime).ok().unwrap();
    assert_eq!(
        managed.url.as_str(),
        "http://169.254.169.254/metadata/identity/oauth2/token\
         ?api-version=2018-02-01&resource=https%3A%2F%2Fstorage.azure.com%2F"
    );
    let proof = Proof::Secret("hush".to_owned().into());
    let entra = Entra::new(&client, None, ("a/b", "client"), proof, &runtime).ok().unwrap();
    assert_eq!(entra.url.as_str(), "https://login.microsoftonline.com/a%2Fb/oauth2/v2.0/token");
    for text in ["", "host", "ftp://host", "http://me:hush@host", "http://host/?sig=hush"] {
        let error = checked("IDENTITY_ENDPOINT", text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "IDENTITY_ENDPOINT is not usable: it must begin with http:// or https:// and hold no query"
        );
    }
}
