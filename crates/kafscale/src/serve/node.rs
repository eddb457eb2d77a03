//! The broker as `serve` sees it: started, listening, failed, drained.

use std::{sync::Arc, time::Duration};

use tokio::net::TcpListener;

use super::http::Source;
use crate::{
    exit::Failure,
    settings::{Address, Settings},
};

/// A running broker and what it stands on.
pub struct Node {
    store: String,
    source: Arc<Metrics>,
}

struct Metrics;

impl Source for Metrics {
    fn metrics(&self) -> String {
        String::new()
    }
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Node {
    /// Opens the store, takes it over and replays the log.
    pub async fn start(settings: &Settings, _advertised: &Address) -> Result<Self, Failure> {
        Err(anyhow::anyhow!("the store {} cannot be served by this build", settings.data.display()).into())
    }

    /// What HTTP shows.
    pub fn source(&self) -> Arc<dyn Source> {
        self.source.clone()
    }

    /// Where records and log live, in words.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// Begins to accept clients.
    pub fn listen(&mut self, _socket: TcpListener) -> Result<(), Failure> {
        Ok(())
    }

    /// Completes when the broker cannot go on.
    pub async fn failed(&mut self) -> Failure {
        std::future::pending().await
    }

    /// Stops accepting, flushes and answers, within `limit`.
    pub async fn drain(self, _limit: Duration) -> Result<(), Failure> {
        Ok(())
    }
}
