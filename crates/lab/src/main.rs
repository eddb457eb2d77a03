//! The command line of the tools.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a tool beside the product")]

use clap::{Parser, Subcommand};
use kafscale_lab::proxy;

#[derive(Debug, Parser)]
#[command(name = "kafscale-lab", about = "Tools for working on KafScale")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a real S3 server slow and unreliable: a reverse proxy with latency and faults
    Proxy(proxy::Options),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Proxy(options) => {
            let running = proxy::start(&options).await?;
            println!("proxy http://{} admin http://{}", running.address, running.admin_address);
            running.forever().await
        }
    }
}
