//! The lines that a person reads when a broker starts, and the line with the word `ready` that programs wait for.
//!
//! They go to stderr whatever the log level is.

use std::time::Duration;

use crate::{
    logging,
    settings::{Address, Effective, Origin},
};

/// What the lines tell.
pub struct Greeting<'a> {
    /// What clients are told to connect to.
    pub advertised: &'a Address,
    /// Where the listening socket is bound.
    pub bound: std::net::SocketAddr,
    /// Whether the host name stands in for a missing `--advertise`.
    pub host_name_advertised: bool,
    /// Where HTTP is served, if it is.
    pub http: Option<std::net::SocketAddr>,
    /// Where records and log live, in words.
    pub store: &'a str,
    /// Where the log lives, if not there.
    pub log: Option<&'a str>,
    /// The cluster's id, as clients see it.
    pub cluster_id: &'a str,
    /// All settings; those that are not the default are shown.
    pub effective: &'a [Effective],
}

impl Greeting<'_> {
    /// Says that the broker serves; `after` is the time since the process started.
    pub fn ready(&self, after: Duration) {
        for line in self.lines(after) {
            logging::say("INFO", &line);
        }
    }

    fn lines(&self, after: Duration) -> Vec<String> {
        let address = self.advertised;
        let mut lines = vec![format!("kafscale {}", env!("CARGO_PKG_VERSION"))];
        lines.push(format!("  clients   {address} (listening on {})", self.bound));
        if self.host_name_advertised {
            let host = &self.advertised.host;
            lines.push(format!(
                "            clients are told to connect to {host}, the name of this machine; if they cannot"
            ));
            lines.push(
                "            reach it by that name, give one that they can reach with --advertise HOST:PORT".into(),
            );
        }
        lines.push(format!("  data      {} (cluster {})", self.store, self.cluster_id));
        if let Some(log) = self.log {
            lines.push(format!("  log       {log}"));
        }
        match self.http {
            Some(http) => lines.push(format!("  http      http://{http}/metrics, /healthz, /readyz")),
            None => lines.push("  http      off".into()),
        }
        let set = self.effective.iter().filter(|row| row.origin != Origin::Default);
        let set: Vec<String> = set.map(|row| format!("{}={}", row.definition.name(), row.value)).collect();
        lines.push(format!("  settings  {}", if set.is_empty() { "all defaults".into() } else { set.join(" ") }));
        lines.push("try:".into());
        lines.push(format!("  echo hello | kcat -P -b {address} -t greetings"));
        lines.push(format!("  kcat -C -e -b {address} -t greetings"));
        lines.push(format!("  kafka-console-producer.sh --bootstrap-server {address} --topic greetings"));
        lines.push(format!(
            "  kafka-console-consumer.sh --bootstrap-server {address} --topic greetings --partition 0 --offset earliest"
        ));
        let own = std::env::args().next().unwrap_or_else(|| "kafscale".to_owned());
        lines.push(format!("  echo hello | {own} produce greetings -b {address}"));
        lines.push(format!("  {own} consume greetings -b {address}"));
        lines.push(format!("  {own} bench e2e --bootstrap-server {address} --topic bench --rate 1000"));
        lines.push(format!("ready: serving Kafka clients at {address}, {} ms after the start", after.as_millis()));
        lines
    }
}
