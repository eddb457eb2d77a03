//! Workload identity federation: a token that another cloud or cluster gave is exchanged for one of Google's, and that, where
//! the file says so, for one of a service account. `object_store` does not know it.

use std::{path::PathBuf, time::Duration};

use kafscale_runtime::BoxFuture;
use object_store::gcp::GcpCredential;
use reqwest::{Client, Url};
use serde_json::{Value, json};

use crate::{
    cloud::{
        files::read_secret,
        keys::{Lease, Source},
        transport::{answer, url_encoded},
    },
    masked,
};

const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";

/// The file that Google's console makes for the workload.
pub(super) struct Federated {
    pub path: PathBuf,
    pub client: Client,
}

impl Source<GcpCredential> for Federated {
    fn name(&self) -> &str {
        "Google's token service"
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<GcpCredential>, String>> {
        Box::pin(self.exchange())
    }
}

impl Federated {
    async fn exchange(&self) -> Result<Lease<GcpCredential>, String> {
        let file: Value = parse(&read_secret(&self.path)?)?;
        let subject = subject_token(&file)?;
        let body = url_encoded(&[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("audience", text(&file, "/audience")?),
            ("scope", "https://www.googleapis.com/auth/cloud-platform"),
            ("subject_token_type", text(&file, "/subject_token_type")?),
            ("subject_token", &subject),
        ]);
        let request = self.client.post(address(text(&file, "/token_url")?)?);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(body);
        let given = parse(&answer(request).await?)?;
        let token = text(&given, "/access_token")?;
        let seconds = given.get("expires_in").and_then(Value::as_u64).unwrap_or(600);
        let Ok(impersonate) = text(&file, "/service_account_impersonation_url") else {
            return Ok(lease(token, seconds));
        };
        let body = json!({ "scope": [SCOPE], "lifetime": "3600s" }).to_string();
        let request = self.client.post(address(impersonate)?).bearer_auth(token);
        let given = parse(&answer(request.header("content-type", "application/json").body(body)).await?)?;
        Ok(lease(text(&given, "/accessToken")?, 3_600))
    }
}

fn lease(token: &str, seconds: u64) -> Lease<GcpCredential> {
    Lease::ending_in(GcpCredential { bearer: token.to_owned() }, Duration::from_secs(seconds.clamp(60, 86_400)))
}

/// From a file, as text or as a field of JSON.
fn subject_token(file: &Value) -> Result<String, String> {
    let path = text(file, "/credential_source/file")
        .map_err(|_| "only files are read for the workload's token (credential_source.file)".to_owned())?;
    let content = read_secret(path.as_ref())?;
    match text(file, "/credential_source/format/subject_token_field_name") {
        Ok(field) => {
            let json = parse(&content)?;
            let token = json.get(field).and_then(Value::as_str);
            token.map(str::to_owned).ok_or_else(|| format!("{path} has no field {field}"))
        }
        Err(_) => Ok(content),
    }
}

fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|_| "a file or an answer that is no JSON".to_owned())
}

fn text<'a>(json: &'a Value, pointer: &str) -> Result<&'a str, String> {
    json.pointer(pointer).and_then(Value::as_str).ok_or_else(|| format!("no {} where it must be", &pointer[1..]))
}

/// Tokens are sent there, so it must be https, or this machine.
fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{}: {error}", masked(text)))?;
    let local = url.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "[::1]" | "localhost"));
    if url.scheme() == "https" || local { Ok(url) } else { Err(format!("{} is not https", masked(text))) }
}
