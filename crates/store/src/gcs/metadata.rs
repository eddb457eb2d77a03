//! The metadata server of a machine of Google's, which gives tokens of the machine's service account. On GKE it is the
//! cluster's own, and gives those of a pod's workload identity.
//!
//! `object_store` knows it too, but tries the address that all clouds have in common where the host does not answer, whatever
//! host it was told.

use kafscale_runtime::{BoxFuture, Handle};
use object_store::gcp::GcpCredential;
use reqwest::{Client, Url};

use crate::cloud::{
    bearer::bearer,
    keys::{Lease, Source},
    transport::answer,
};

/// Where it is on every machine of Google's.
const HOST: &str = "metadata.google.internal";

/// See <https://cloud.google.com/compute/docs/access/authenticate-workloads>.
pub(super) struct Metadata {
    pub client: Client,
    pub url: Url,
    pub runtime: Handle,
}

/// Where tokens are given, by a host that may bear a port; nothing if it is none.
pub(super) fn address(host: Option<&str>) -> Option<Url> {
    let host = host.unwrap_or(HOST);
    let url = Url::parse(&format!("http://{host}/")).ok()?;
    let is_host = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && !host.contains(['/', '@']);
    is_host.then(|| url.join("computeMetadata/v1/instance/service-accounts/default/token").expect("it is a path"))
}

impl Source<GcpCredential> for Metadata {
    fn name(&self) -> &str {
        "Google's metadata server"
    }

    fn fetch(&self, _anew: bool) -> BoxFuture<'_, Result<Lease<GcpCredential>, String>> {
        Box::pin(async move {
            // It answers nobody who does not say this, so that no page in a browser can ask it.
            let request = self.client.get(self.url.clone()).header("metadata-flavor", "Google");
            let (token, valid_for) = bearer(&answer(request).await?, &self.runtime)?;
            Ok(Lease::ending_in(GcpCredential { bearer: token }, valid_for))
        })
    }
}

#[cfg(test)]
mod tests;
