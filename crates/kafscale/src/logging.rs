//! Log lines on stderr, as text or as JSON.

use std::io::IsTerminal;

use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::settings::{LogFormat, Settings};

/// Installs the process-wide writer of log lines. Called once, before anything logs.
pub fn start(settings: &Settings) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(settings.log_level.targets())).init();
}
