#![allow(clippy::disallowed_methods, reason = "it runs against servers of its own")]
//! Keys that are fetched: over the wire, exchanged by somebody else, refused in mid-flight, and never shown.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use kafscale_runtime::{Handle, TokioRuntime};

use crate::s3::{S3Settings, S3SettingsError, open};
use crate::{
    CloudStore, CreateError, NoObserver, Store, StoreSettings, TlsSettings,
    cloud::{
        double::{Asked, Authority, Double, Shifted, fault, reply, taken},
        givers::{Story, create, unavailable},
    },
};

const MINUTE: Duration = Duration::from_secs(60);

fn in_an_hour() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now() + Duration::from_secs(3_600)).to_string()
}

/// STS: for the token `token-N` it gives the key `KEY-token-N`, and nothing while it is down.
async fn sts(authority: &Authority, down: Arc<AtomicBool>) -> Double {
    Double::start(Some(authority.server(false)), move |asked: &Asked| {
        if down.load(Relaxed) {
            return reply("500 Internal Server Error", "", "");
        }
        let (_, token) = asked.body.split_once("WebIdentityToken=").expect("the token is in the body");
        let end = in_an_hour();
        let body = format!(
            "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
             <AccessKeyId>KEY-{token}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
             <SessionToken>session-{token}</SessionToken><Expiration>{end}</Expiration>\
             </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        );
        reply("200 OK", "", &body)
    })
    .await
}

fn store(s3: S3Settings, tls: TlsSettings, runtime: Handle) -> CloudStore {
    let settings = StoreSettings { s3, tls, ..StoreSettings::default() };
    open("bucket", "", &settings, runtime, Arc::new(NoObserver)).unwrap()
}

/// With which key the latest request was signed.
fn key_of(server: &Double) -> String {
    let asked = server.asked().pop().unwrap();
    let (_, rest) = asked.header("authorization").split_once("Credential=").unwrap();
    rest.split('/').next().unwrap().to_owned()
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

struct Irsa {
    clock: Arc<Shifted>,
    down: Arc<AtomicBool>,
    sts: Double,
    s3: Double,
    store: CloudStore,
    token: tempfile::NamedTempFile,
    _authority: Authority,
}

impl Irsa {
    /// A pod with a role; the store answers as `answer` says.
    async fn start(answer: impl Fn(&Asked) -> String + Send + Sync + 'static) -> Self {
        let (authority, down, clock) = (Authority::new(), Arc::<AtomicBool>::default(), Shifted::new());
        let sts = sts(&authority, down.clone()).await;
        let s3 = Double::start(None, answer).await;
        let token = tempfile::NamedTempFile::new().unwrap();
        write(token.path(), "token-1\n");
        let settings = S3Settings {
            endpoint: Some(s3.url()),
            role_arn: Some("arn:aws:iam::1:role/broker".to_owned()),
            web_identity_token_file: Some(token.path().to_owned()),
            sts_endpoint: Some(sts.url()),
            ..S3Settings::default()
        };
        let tls = TlsSettings { ca_bundle: Some(authority.bundle()), ..TlsSettings::default() };
        let store = store(settings, tls, clock.clone());
        Self { clock, down, sts, s3, store, token, _authority: authority }
    }
}

#[tokio::test]
async fn irsa_exchanges_the_pods_token_for_keys() {
    let irsa = Irsa::start(|_| taken()).await;
    assert!(irsa.store.identity().unwrap().starts_with("the role arn:"), "{:?}", irsa.store.identity());
    create(&irsa.store).await.unwrap();
    create(&irsa.store).await.unwrap();
    let asked = irsa.sts.asked();
    assert_eq!(asked.len(), 1, "one exchange serves many requests");
    assert_eq!(asked[0].line, "POST /", "no token in an address");
    for part in [
        "Action=AssumeRoleWithWebIdentity",
        "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fbroker",
        "RoleSessionName=kafscale",
    ] {
        assert!(asked[0].body.contains(part), "{}", asked[0].body);
    }
    assert_eq!(key_of(&irsa.s3), "KEY-token-1");
    assert_eq!(irsa.s3.asked()[0].header("x-amz-security-token"), "session-token-1");
    // The kubelet exchanges the token's file long before the keys end.
    write(irsa.token.path(), "token-2");
    irsa.clock.pass(46 * MINUTE);
    create(&irsa.store).await.unwrap();
    assert_eq!(key_of(&irsa.s3), "KEY-token-1", "nobody waits for the renewal");
    irsa.sts.until_asked(2).await;
    while key_of(&irsa.s3) != "KEY-token-2" {
        create(&irsa.store).await.unwrap();
    }
}

#[tokio::test]
async fn keys_are_kept_while_sts_fails() {
    let irsa = Irsa::start(|_| taken()).await;
    create(&irsa.store).await.unwrap();
    irsa.down.store(true, Relaxed);
    irsa.clock.pass(46 * MINUTE);
    create(&irsa.store).await.expect("the keys are good for some time yet");
    irsa.sts.until_asked(2).await;
    create(&irsa.store).await.expect("a failed renewal changes nothing");
    irsa.clock.pass(15 * MINUTE);
    let reason = unavailable(create(&irsa.store).await);
    assert!(reason.contains("no credentials from STS: HTTP 500"), "{reason}");
    let sent = irsa.s3.asked().len();
    irsa.down.store(false, Relaxed);
    irsa.clock.pass(MINUTE);
    create(&irsa.store).await.expect("it recovers by itself");
    assert_eq!(irsa.s3.asked().len(), sent + 1);
}

#[tokio::test]
async fn keys_that_expire_in_mid_flight_are_exchanged() {
    for (status, code) in [("403 Forbidden", "ExpiredToken"), ("400 Bad Request", "ExpiredToken")] {
        let irsa = Irsa::start(move |asked| {
            if asked.header("authorization").contains("KEY-token-1") { fault(status, code) } else { taken() }
        })
        .await;
        // The store says that the keys are over, and STS has no others yet.
        assert!(unavailable(create(&irsa.store).await).contains(code));
        write(irsa.token.path(), "token-2");
        irsa.clock.pass(MINUTE);
        unavailable(create(&irsa.store).await);
        create(&irsa.store).await.expect("with keys that the store knows");
        assert_eq!(key_of(&irsa.s3), "KEY-token-2");
    }
}

#[tokio::test]
async fn a_refusal_for_lack_of_permission_asks_nobody_for_other_keys() {
    let irsa = Irsa::start(|_| fault("403 Forbidden", "AccessDenied")).await;
    for _ in 0..3 {
        assert!(matches!(create(&irsa.store).await, Err(CreateError::Refused(_))));
    }
    assert_eq!(irsa.sts.asked().len(), 1);
}

#[tokio::test]
async fn files_with_keys_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let rotate = |number: u32| {
        write(&folder.path().join("accessKey"), &format!("KEY-{number}\n"));
        write(&folder.path().join("secretKey"), "hush\n");
    };
    rotate(1);
    let valid = Arc::new(AtomicU64::new(1));
    let expected = valid.clone();
    let server = Double::start(None, move |asked| {
        let key = format!("Credential=KEY-{}/", expected.load(Relaxed));
        if asked.header("authorization").contains(&key) {
            taken()
        } else {
            fault("403 Forbidden", "InvalidAccessKeyId")
        }
    })
    .await;
    let clock = Shifted::new();
    let settings = S3Settings {
        endpoint: Some(server.url()),
        credentials: Some(folder.path().to_owned()),
        ..S3Settings::default()
    };
    let store = store(settings, TlsSettings::default(), clock.clone());
    create(&store).await.unwrap();
    // Revoked before the file says so: that is a refusal.
    valid.store(2, Relaxed);
    assert!(matches!(create(&store).await, Err(CreateError::Refused(text)) if text.contains("InvalidAccessKeyId")));
    rotate(2);
    clock.pass(MINUTE);
    // The file is read beside the first request, or because the store refused its keys.
    while create(&store).await.is_err() {}
    assert_eq!(key_of(&server), "KEY-2");
    std::fs::remove_file(folder.path().join("accessKey")).unwrap();
    clock.pass(MINUTE);
    create(&store).await.expect("files that are gone change nothing");
}

#[tokio::test]
async fn the_file_of_the_command_line_is_understood() {
    let file = tempfile::NamedTempFile::new().unwrap();
    write(
        file.path(),
        "[other]\naws_access_key_id = NO\n\n[default]\naws_access_key_id = KEY\naws_secret_access_key=hush\n",
    );
    let server = Double::start(None, |_| taken()).await;
    let settings =
        S3Settings { endpoint: Some(server.url()), credentials: Some(file.path().to_owned()), ..S3Settings::default() };
    create(&store(settings, TlsSettings::default(), TokioRuntime::handle())).await.unwrap();
    assert_eq!(key_of(&server), "KEY");
}

fn keys(given: &str) -> String {
    let end = in_an_hour();
    let body = format!(
        "{{\"AccessKeyId\":\"{given}\",\"SecretAccessKey\":\"hush\",\"Token\":\"session\",\"Expiration\":\"{end}\"}}"
    );
    reply("200 OK", "", &body)
}

/// A machine's metadata service in its second version: without the token that a PUT gives it tells nothing.
fn machine(asked: &Asked, given: &str) -> String {
    let roles = "GET /latest/meta-data/iam/security-credentials/";
    let known = asked.header("x-aws-ec2-metadata-token") == "machine";
    match asked.line.strip_prefix(roles) {
        Some("") if known => reply("200 OK", "", "role\n"),
        Some("role") if known => keys(given),
        None if asked.line == "PUT /latest/api/token"
            && asked.header("x-aws-ec2-metadata-token-ttl-seconds") == "600" =>
        {
            reply("200 OK", "", "machine")
        }
        _ => reply("401 Unauthorized", "", ""),
    }
}

fn on_a_machine(server: &Double, metadata: &str) -> S3Settings {
    S3Settings {
        endpoint: Some(server.url()),
        instance_metadata: true,
        metadata_endpoint: Some(metadata.to_owned()),
        ..S3Settings::default()
    }
}

#[tokio::test]
async fn the_role_of_a_machine_is_used_renewed_and_kept() {
    let story = Story::begin(machine).await;
    let settings = on_a_machine(&story.server, &story.giver.url());
    story.tell("EC2's metadata service", || store(settings.clone(), TlsSettings::default(), story.clock.clone())).await;
    assert_eq!(story.server.asked()[0].header("x-amz-security-token"), "session");
}

#[tokio::test]
async fn the_identity_of_a_pod_is_used_renewed_and_kept() {
    let story = Story::begin(|asked, given| match asked.line.as_str() {
        "GET /v1/credentials" if asked.header("authorization") == "pod" => keys(given),
        _ => reply("401 Unauthorized", "", ""),
    })
    .await;
    let token = tempfile::NamedTempFile::new().unwrap();
    write(token.path(), "pod\n");
    let settings = S3Settings {
        endpoint: Some(story.server.url()),
        container_credentials_uri: Some(format!("{}/v1/credentials", story.giver.url())),
        container_token_file: Some(token.path().to_owned()),
        ..S3Settings::default()
    };
    let store = || store(settings.clone(), TlsSettings::default(), story.clock.clone());
    story.tell("the container's agent", store).await;
    assert_eq!(story.server.asked()[0].header("x-amz-security-token"), "session");
}

#[tokio::test]
async fn a_machine_that_is_none_or_has_no_role_is_named() {
    let server = Double::start(None, |_| taken()).await;
    let bare = Double::start(None, |asked| match asked.line.as_str() {
        "PUT /latest/api/token" => reply("200 OK", "", "machine"),
        _ => reply("404 Not Found", "", ""),
    })
    .await;
    for (metadata, why) in [(bare.url().as_str(), "HTTP 404"), ("http://127.0.0.1:1", "Connection refused")] {
        let settings = on_a_machine(&server, metadata);
        let reason = unavailable(create(&store(settings, TlsSettings::default(), TokioRuntime::handle())).await);
        assert!(reason.starts_with("no credentials from EC2's metadata service: "), "{reason}");
        assert!(reason.contains(why), "{reason}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_machine_is_not_asked_unless_a_setting_says_so_nor_where_there_are_keys() {
    let story = Story::begin(machine).await;
    let allowed = on_a_machine(&story.server, &story.giver.url());
    let s3 = S3Settings { instance_metadata: false, ..allowed.clone() };
    let settings = StoreSettings { s3, ..StoreSettings::default() };
    let refused = open("bucket", "", &settings, TokioRuntime::handle(), Arc::new(NoObserver)).err();
    assert!(matches!(refused, Some(S3SettingsError::NoCredentials(_))), "{refused:?}");
    let with_keys = S3Settings {
        access_key_id: Some("KEY".to_owned()),
        secret_access_key: Some("hush".to_owned().into()),
        ..allowed
    };
    create(&store(with_keys, TlsSettings::default(), TokioRuntime::handle())).await.unwrap();
    assert!(story.giver.asked().is_empty());
}

#[test]
fn nobody_is_asked_for_keys_unless_a_setting_says_so() {
    let fault = |s3: S3Settings| {
        let settings = StoreSettings { s3, ..StoreSettings::default() };
        open("bucket", "", &settings, TokioRuntime::handle(), Arc::new(NoObserver)).err().unwrap().to_string()
    };
    let none = fault(S3Settings::default());
    for word in ["AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", "AWS_ROLE_ARN", "KAFSCALE_INSTANCE_METADATA"] {
        assert!(none.contains(word), "{none}");
    }
    let half = S3Settings { access_key_id: Some("id".to_owned()), ..S3Settings::default() };
    assert!(fault(half).contains("set AWS_SECRET_ACCESS_KEY "));
    let half = S3Settings { secret_access_key: Some("hush".to_owned().into()), ..S3Settings::default() };
    assert!(fault(half).contains("set AWS_ACCESS_KEY_ID "));
    let far = S3Settings { container_credentials_uri: Some("http://example.com/".to_owned()), ..S3Settings::default() };
    assert!(fault(far).contains("over https"), "a token is not sent in the clear");
}
