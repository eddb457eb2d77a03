//! Where the keys of a bucket come from, in this order: the settings, files, a web identity (IRSA), a container's agent (EKS
//! pod identity), and, only when a setting asks for it, the machine's metadata service.
//!
//! `object_store` knows the last three too, but fails requests while the giver fails, although the keys it holds are still
//! good, and does not say when they end. So they are fetched here, and kept by a [`Keeper`].

use std::{path::PathBuf, time::Duration};

use kafscale_runtime::{BoxFuture, Handle};
use object_store::aws::AwsCredential;
use reqwest::{Client, Url};

use super::settings::{S3Settings, S3SettingsError};
use crate::{
    cloud::{
        TlsSettings,
        files::{read_secret, read_stable},
        keys::{Keys, Lease, Source},
        transport::{answer, url_encoded},
        words::text_of,
    },
    masked,
};

/// How often files are looked at.
const FILES_EVERY: Duration = Duration::from_secs(30);

/// What AWS gives at most to a role by default.
const SESSION: &str = "3600";

/// Hosts to which a container's agent may be asked over plain http, as AWS's own clients have it.
const AGENT_HOSTS: [&str; 5] = ["127.0.0.1", "[::1]", "localhost", "169.254.170.23", "[fd00:ec2::23]"];

impl S3Settings {
    /// Chooses the first kind that the settings name. Nothing is fetched yet.
    pub(super) fn keys(
        &self,
        region: &str,
        tls: &TlsSettings,
        client: &Client,
        runtime: &Handle,
    ) -> Result<Keys<AwsCredential>, S3SettingsError> {
        let present = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let secret = self.secret_access_key.as_ref().map(|secret| secret.reveal()).filter(|text| !text.is_empty());
        match (present(&self.access_key_id), secret) {
            (Some(key_id), Some(secret)) => {
                let token = self.session_token.as_ref().map(|token| token.reveal().to_owned());
                let token = token.filter(|token| !token.is_empty());
                let whose = format!("the key {key_id}");
                return Ok(Keys::fixed(AwsCredential { key_id, secret_key: secret.to_owned(), token }, whose));
            }
            (Some(_), None) => return Err(S3SettingsError::NoCredentials("AWS_SECRET_ACCESS_KEY")),
            (None, Some(_)) => return Err(S3SettingsError::NoCredentials("AWS_ACCESS_KEY_ID")),
            (None, None) => {}
        }
        if let Some(path) = &self.credentials {
            return Ok(Keys::kept(Files { path: path.clone() }, format!("the key in {}", path.display()), runtime));
        }
        if let (Some(role_arn), Some(token_file)) = (present(&self.role_arn), &self.web_identity_token_file) {
            let china = if region.starts_with("cn-") { ".cn" } else { "" };
            let regional = || format!("https://sts.{region}.amazonaws.com{china}");
            let endpoint = present(&self.sts_endpoint).unwrap_or_else(regional);
            let endpoint = checked_url("AWS_ENDPOINT_URL_STS", &endpoint, |_| true)?;
            let session_name = present(&self.role_session_name).unwrap_or_else(|| "kafscale".to_owned());
            let token_file = token_file.clone();
            let whose = format!("the role {role_arn}");
            let (client, own) = (client.clone(), runtime.clone());
            let source = WebIdentity { client, endpoint, role_arn, session_name, token_file, runtime: own };
            return Ok(Keys::kept(source, whose, runtime));
        }
        if let Some(uri) = present(&self.container_credentials_uri) {
            let allowed =
                |url: &Url| url.scheme() == "https" || url.host_str().is_some_and(|host| AGENT_HOSTS.contains(&host));
            let url = checked_url("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri, allowed)?;
            let token_file = self.container_token_file.clone();
            let client = tls.direct_client()?;
            let agent = Agent { client, url, token_file, runtime: runtime.clone() };
            return Ok(Keys::kept(agent, "the role that the container's agent gives", runtime));
        }
        if self.instance_metadata {
            let endpoint = present(&self.metadata_endpoint).unwrap_or_else(|| "http://169.254.169.254".to_owned());
            let url = checked_url("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint, |_| true)?;
            let metadata = Metadata { client: tls.direct_client()?, url, runtime: runtime.clone() };
            return Ok(Keys::kept(metadata, "the machine's role", runtime));
        }
        Err(S3SettingsError::NoCredentials("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"))
    }
}

fn checked_url(variable: &'static str, text: &str, allowed: impl Fn(&Url) -> bool) -> Result<Url, S3SettingsError> {
    let fault = |why: &str| S3SettingsError::Address { variable, address: masked(text), why: why.to_owned() };
    let url = Url::parse(text).map_err(|error| fault(&error.to_string()))?;
    match url.scheme() {
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err(S3SettingsError::Address {
                variable, address: "…".to_owned(), why: "it holds credentials".to_owned()
            })
        }
        "http" | "https" if allowed(&url) => Ok(url),
        "http" | "https" => Err(fault("keys are asked for over https, or on this machine")),
        _ => Err(fault("it must begin with http:// or https://")),
    }
}

/// A directory with one file per variable, as a mounted Secret is, or a file of the AWS command line.
struct Files {
    path: PathBuf,
}

impl Source<AwsCredential> for Files {
    fn name(&self) -> &str {
        "files"
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<AwsCredential>, String>> {
        Box::pin(async move {
            let credential = read_stable(|| self.read())?.into();
            Ok(Lease { credential, renew_after: FILES_EVERY, valid_for: None })
        })
    }
}

impl Files {
    fn read(&self) -> Result<AwsCredential, String> {
        let (key_id, secret_key, token) = if self.path.is_dir() {
            let one_of = |names: [&str; 2]| {
                let path = names.map(|name| self.path.join(name)).into_iter().find(|path| path.exists());
                path.map(|path| read_secret(&path)).transpose()
            };
            (
                one_of(["AWS_ACCESS_KEY_ID", "accessKey"])?,
                one_of(["AWS_SECRET_ACCESS_KEY", "secretKey"])?,
                one_of(["AWS_SESSION_TOKEN", "sessionToken"])?,
            )
        } else {
            let text = read_secret(&self.path)?;
            let key = |name| of_default_profile(&text, name);
            (key("aws_access_key_id"), key("aws_secret_access_key"), key("aws_session_token"))
        };
        match (key_id, secret_key) {
            (Some(key_id), Some(secret_key)) => Ok(AwsCredential { key_id, secret_key, token }),
            _ => Err(format!("{} does not hold an access key and its secret", self.path.display())),
        }
    }
}

/// The value of a key in the section `[default]`.
fn of_default_profile(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().map(str::trim);
    let section = lines.skip_while(|line| *line != "[default]").skip(1).take_while(|line| !line.starts_with('['));
    let mut pairs = section.filter_map(|line| line.split_once('='));
    pairs
        .find(|(key, _)| key.trim() == name)
        .map(|(_, value)| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// A role that a token of the cluster is exchanged for.
struct WebIdentity {
    client: Client,
    endpoint: Url,
    role_arn: String,
    session_name: String,
    token_file: PathBuf,
    runtime: Handle,
}

impl Source<AwsCredential> for WebIdentity {
    fn name(&self) -> &str {
        "STS"
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<AwsCredential>, String>> {
        Box::pin(async move {
            let token = read_secret(&self.token_file)?;
            // In the body, so that the token is in no address that somebody logs.
            let body = url_encoded(&[
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", "2011-06-15"),
                ("DurationSeconds", SESSION),
                ("RoleArn", &self.role_arn),
                ("RoleSessionName", &self.session_name),
                ("WebIdentityToken", &token),
            ]);
            let request = self.client.post(self.endpoint.clone());
            let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
            let text = answer(request).await?;
            let part = |tag| text_of(&text, tag).ok_or_else(|| format!("an answer without {tag}"));
            lease(
                part("AccessKeyId")?,
                part("SecretAccessKey")?,
                part("SessionToken")?,
                &part("Expiration")?,
                &self.runtime,
            )
        })
    }
}

/// The agent beside a container, which knows the container by a token.
struct Agent {
    client: Client,
    url: Url,
    token_file: Option<PathBuf>,
    runtime: Handle,
}

impl Source<AwsCredential> for Agent {
    fn name(&self) -> &str {
        "the container's agent"
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<AwsCredential>, String>> {
        Box::pin(async move {
            let mut request = self.client.get(self.url.clone());
            if let Some(path) = &self.token_file {
                request = request.header("authorization", read_secret(path)?);
            }
            lease_of_json(&answer(request).await?, &self.runtime)
        })
    }
}

/// The machine's metadata service, version 2.
struct Metadata {
    client: Client,
    url: Url,
    runtime: Handle,
}

impl Source<AwsCredential> for Metadata {
    fn name(&self) -> &str {
        "EC2's metadata service"
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<AwsCredential>, String>> {
        Box::pin(async move {
            let base = self.url.as_str().trim_end_matches('/');
            let token = self.client.put(format!("{base}/latest/api/token"));
            let token = answer(token.header("x-aws-ec2-metadata-token-ttl-seconds", "600")).await?;
            let get = |path: &str| {
                let url = format!("{base}/latest/meta-data/iam/security-credentials/{path}");
                answer(self.client.get(url).header("x-aws-ec2-metadata-token", token.trim()))
            };
            let role = get("").await?;
            let role = role.lines().next().unwrap_or_default().trim();
            lease_of_json(&get(role).await?, &self.runtime)
        })
    }
}

fn lease_of_json(text: &str, runtime: &Handle) -> Result<Lease<AwsCredential>, String> {
    let json: serde_json::Value = serde_json::from_str(text).map_err(|_| "an answer that is no JSON".to_owned())?;
    let part = |key: &str| {
        json.get(key)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
            .ok_or_else(|| format!("an answer without {key}"))
    };
    lease(part("AccessKeyId")?, part("SecretAccessKey")?, part("Token")?, &part("Expiration")?, runtime)
}

fn lease(
    key_id: String,
    secret_key: String,
    token: String,
    expiration: &str,
    runtime: &Handle,
) -> Result<Lease<AwsCredential>, String> {
    let end = humantime::parse_rfc3339_weak(expiration).map_err(|_| "an expiration that is no time".to_owned())?;
    let end_ms = end.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let now_ms = u128::try_from(runtime.wall_clock_ms()).unwrap_or_default();
    let left = Duration::from_millis(u64::try_from(end_ms.saturating_sub(now_ms)).unwrap_or(u64::MAX));
    if left.is_zero() {
        return Err("keys that have expired already".to_owned());
    }
    Ok(Lease::ending_in(
        AwsCredential { key_id, secret_key, token: Some(token) },
        left.min(Duration::from_secs(86_400)),
    ))
}

#[cfg(test)]
mod tests;
