//! The command line of the tools.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a tool beside the product")]

use std::{net::SocketAddr, sync::Arc};

use clap::{Parser, Subcommand};
use kafscale_lab::{
    double::{self, GcsDouble},
    proxy,
};
use kafscale_runtime::TokioRuntime;
use tokio::net::TcpListener;

#[derive(Debug, Parser)]
#[command(name = "kafscale-lab", about = "Tools for working on KafScale")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a real S3 server slow and unreliable: a reverse proxy with latency and faults
    Proxy(Box<proxy::Options>),
    /// Be one bucket of Google Cloud Storage in its own dialect, in memory, with a token service at /token
    Gcs {
        /// Address to listen on; port 0 takes a free one
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// The bucket's name
        #[arg(long, value_name = "NAME")]
        bucket: String,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Proxy(options) => {
            let running = proxy::start(&options).await?;
            println!("proxy http://{} admin http://{}", running.address, running.admin_address);
            running.forever().await
        }
        Command::Gcs { listen, bucket } => {
            let listener = TcpListener::bind(listen).await?;
            println!("gcs http://{}", listener.local_addr()?);
            double::serve(listener, Arc::new(GcsDouble::new(TokioRuntime::handle(), &bucket))).await;
            Ok(())
        }
    }
}
