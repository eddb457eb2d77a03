//! Lines on stderr: the log, as text or as JSON, and what is said whatever the log level is.

use std::{io::IsTerminal, sync::OnceLock, time::SystemTime};

use tracing_subscriber::{Layer, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    settings::{LogFormat, Settings},
    text::escape::safe_lines,
};

/// The form of all lines, once the log was started.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Installs the process-wide writer of log lines. Called once, before anything logs.
pub fn start(settings: &Settings) {
    FORMAT.get_or_init(|| settings.log_format);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.log_format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(settings.log_level.targets())).init();
}

/// Writes one line whatever the log level is: as text, or as an object of the form of the log lines, so that stderr stays
/// one format. What a user or a broker put into the text cannot move a terminal's cursor; JSON escapes it by itself.
pub fn say(level: &str, line: &str) {
    match FORMAT.get() {
        Some(LogFormat::Json) => {
            let timestamp = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
            let fields = serde_json::json!({ "message": line.trim() });
            let line =
                serde_json::json!({ "timestamp": timestamp, "level": level, "fields": fields, "target": "kafscale" });
            eprintln!("{line}");
        }
        Some(LogFormat::Text) | None => eprintln!("{}", safe_lines(line)),
    }
}
