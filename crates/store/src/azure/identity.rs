//! Tokens for identities of Entra. A workload or an application asks Entra itself, with what proves who it is; a managed
//! identity is asked for where the machine or the platform gives it.
//!
//! `object_store` knows both, but its client asks through proxies, sends the platform's header to whatever it asks, and says
//! nothing of when a token ends.

use std::path::PathBuf;

use kafscale_runtime::{BoxFuture, Handle};
use object_store::azure::AzureCredential;
use reqwest::{Client, RequestBuilder, Url};

use super::{AzureSettingsError, plain_url};
use crate::{
    Secret,
    cloud::{
        bearer::bearer,
        files::read_secret,
        keys::{Lease, Source},
        transport::{answer, url_encoded},
    },
};

/// Entra of the public cloud.
const ENTRA: &str = "https://login.microsoftonline.com";

/// The metadata service of every virtual machine of Azure's, and of nodes of AKS.
const MACHINE: &str = "http://169.254.169.254";

/// What a token is to be good for: any storage account that the identity has a role on.
const STORAGE: &str = "https://storage.azure.com/";

/// What proves to Entra who asks.
pub(super) enum Proof {
    /// A secret of the application.
    Secret(Secret),
    /// A token that the cluster writes anew into this file.
    File(PathBuf),
}

/// An identity that asks for itself.
pub(super) struct Entra {
    client: Client,
    url: Url,
    client_id: String,
    proof: Proof,
    runtime: Handle,
}

impl Entra {
    pub(super) fn new(
        client: &Client,
        authority: Option<&str>,
        (tenant, client_id): (&str, &str),
        proof: Proof,
        runtime: &Handle,
    ) -> Result<Self, AzureSettingsError> {
        let mut url = checked("AZURE_AUTHORITY_HOST", authority.unwrap_or(ENTRA))?;
        let path = ["oauth2", "v2.0", "token"];
        url.path_segments_mut().expect("it is http").pop_if_empty().push(tenant).extend(path);
        let (client, client_id) = (client.clone(), client_id.to_owned());
        Ok(Self { client, url, client_id, proof, runtime: runtime.clone() })
    }

    async fn token(&self) -> Result<Lease<AzureCredential>, String> {
        let (scope, file);
        scope = format!("{STORAGE}.default");
        let mut form = vec![("grant_type", "client_credentials"), ("client_id", &self.client_id), ("scope", &scope)];
        match &self.proof {
            Proof::Secret(secret) => form.push(("client_secret", secret.reveal())),
            Proof::File(path) => {
                file = read_secret(path)?;
                form.push(("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
                form.push(("client_assertion", &file));
            }
        }
        // In the body, so that no proof is in an address that somebody logs.
        let request = self.client.post(self.url.clone()).body(url_encoded(&form));
        lease(request.header("content-type", "application/x-www-form-urlencoded"), &self.runtime).await
    }
}

impl Source<AzureCredential> for Entra {
    fn name(&self) -> &str {
        "Entra"
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<AzureCredential>, String>> {
        Box::pin(self.token())
    }
}

/// A managed identity.
pub(super) struct Managed {
    client: Client,
    url: Url,
    /// Where a platform (App Service, Container Apps) gives it, by which it knows its own. A machine has none.
    header: Option<Secret>,
    runtime: Handle,
}

impl Managed {
    /// By the platform, if that says where and with which header, else by the machine at `machine` or its usual address.
    /// The client must not go through a proxy. `client_id` says which of several identities.
    pub(super) fn new(
        client: Client,
        platform: Option<(&str, Secret)>,
        machine: Option<&str>,
        client_id: Option<&str>,
        runtime: &Handle,
    ) -> Result<Self, AzureSettingsError> {
        let (mut url, version, header) = match platform {
            Some((endpoint, header)) => (checked("IDENTITY_ENDPOINT", endpoint)?, "2019-08-01", Some(header)),
            None => {
                let mut url = checked("AZURE_POD_IDENTITY_AUTHORITY_HOST", machine.unwrap_or(MACHINE))?;
                url.set_path("/metadata/identity/oauth2/token");
                (url, "2018-02-01", None)
            }
        };
        url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", STORAGE);
        if let Some(id) = client_id {
            url.query_pairs_mut().append_pair("client_id", id);
        }
        Ok(Self { client, url, header, runtime: runtime.clone() })
    }
}

impl Source<AzureCredential> for Managed {
    fn name(&self) -> &str {
        if self.header.is_some() { "Azure's identity endpoint" } else { "Azure's metadata service" }
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<AzureCredential>, String>> {
        Box::pin(async move {
            let request = self.client.get(self.url.clone());
            let request = match &self.header {
                Some(header) => request.header("x-identity-header", header.reveal()),
                // It answers nobody who does not say this, so that no page in a browser can ask it.
                None => request.header("metadata", "true"),
            };
            lease(request, &self.runtime).await
        })
    }
}

async fn lease(request: RequestBuilder, runtime: &Handle) -> Result<Lease<AzureCredential>, String> {
    let (token, valid_for) = bearer(&answer(request).await?, runtime)?;
    Ok(Lease::ending_in(AzureCredential::BearerToken(token), valid_for))
}

/// The text is not repeated in the error: it might hold a password.
fn checked(variable: &'static str, text: &str) -> Result<Url, AzureSettingsError> {
    plain_url(text).ok_or(AzureSettingsError::Address(variable))
}

#[cfg(test)]
mod tests;
