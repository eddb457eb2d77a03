//! A reverse proxy that turns a local S3 server into something like a cloud's.
//!
//! ```text
//! client --> [draw latency and fault] --> upstream --> [wait until start + latency] --> client
//!                                              GET /stats, POST /settings, POST /quirks on the admin port
//! ```
//!
//! The latency is counted from the arrival of the request's head, so that the upstream's own time is hidden in it; where
//! the upstream was slower than the latency drawn, the answer counts as *late*. Heads pass unchanged, `Host` too, so that
//! signatures stay valid; bodies are streamed. A request whose body arrived whole is carried out even if its client goes
//! away, as a cloud would do. All draws come from one seed.
//!
//! With `--quirks` the answers are moreover those of a provider ([`crate::quirks`]); then requests and answers pass whole. The
//! rules can be changed while it runs.

mod admin;
mod faults;
mod forward;
mod latency;
mod line;
mod quirky;
mod settings;
mod stats;

use std::{net::SocketAddr, sync::Arc};

use anyhow::Context;
use clap::Args;
use hyper::{Uri, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use rand::{SeedableRng, rngs::StdRng};
use tokio::{net::TcpListener, task::JoinSet};

use crate::quirks::Quirks;
pub use faults::Fault;
pub use latency::LogNormal;
pub use settings::Settings;
pub use stats::Stats;

/// The proxy's command line.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Address of the statistics and settings
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    pub admin: SocketAddr,
    /// The real server
    #[arg(long, value_name = "URL")]
    pub upstream: Uri,
    /// Fixes all draws
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Answer as this provider does where it differs
    #[arg(long, value_name = "PROFILE", value_parser = clap::builder::PossibleValuesParser::new(crate::quirks::NAMES))]
    pub quirks: Option<String>,
    /// Latencies and rates
    #[command(flatten)]
    pub settings: Settings,
}

/// What the connections share.
pub(crate) struct Proxy {
    pub upstream: forward::Upstream,
    pub settings: Mutex<Settings>,
    pub random: Mutex<StdRng>,
    pub stats: Stats,
    seed: u64,
    pub quirks: Mutex<Option<Arc<Quirks>>>,
    /// To the store.
    pub up: line::Line,
    /// From it.
    pub down: line::Line,
}

/// A proxy at work; it ends when this is dropped.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where its statistics are.
    pub admin_address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Running {
    /// Waits for as long as it works.
    pub async fn forever(mut self) -> anyhow::Result<()> {
        while self.tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// Starts a proxy.
pub async fn start(options: &Options) -> anyhow::Result<Running> {
    options.settings.check()?;
    let listener =
        TcpListener::bind(options.listen).await.with_context(|| format!("listening on {}", options.listen))?;
    let admin = TcpListener::bind(options.admin).await.with_context(|| format!("listening on {}", options.admin))?;
    let (address, admin_address) = (listener.local_addr()?, admin.local_addr()?);
    let proxy = Arc::new(Proxy {
        upstream: forward::Upstream::new(&options.upstream)?,
        settings: Mutex::new(options.settings.clone()),
        random: Mutex::new(StdRng::seed_from_u64(options.seed)),
        stats: Stats::default(),
        up: line::Line::default(),
        down: line::Line::default(),
        quirks: Mutex::default(),
        seed: options.seed,
    });
    if let Some(profile) = &options.quirks {
        proxy.follow(quirky::Choice { profile: Some(profile.clone()), rules: Vec::new() })?;
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_requests(listener, proxy.clone()));
    tasks.spawn(serve_admin(admin, proxy));
    Ok(Running { address, admin_address, tasks })
}

async fn serve_requests(listener: TcpListener, proxy: Arc<Proxy>) {
    // Dropped with the task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let proxy = proxy.clone();
                let service = service_fn(move |request| forward::handle(proxy.clone(), request));
                connections.spawn(async move {
                    // An error is a connection that was cut, mostly by us.
                    let _ = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(None)
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        }
    }
}

async fn serve_admin(listener: TcpListener, proxy: Arc<Proxy>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let proxy = proxy.clone();
                let service = service_fn(move |request| admin::handle(proxy.clone(), request));
                connections.spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        }
    }
}
