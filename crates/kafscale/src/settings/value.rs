//! The types of settings' values: how each is read from text and written back.
//!
//! Whatever the source (flag, variable, TOML), a value arrives as text and goes through [`Value::parse`]; `show` writes the
//! same value in the form that `parse` accepts. Secrets are the exception: they never show.

use std::{fmt, path::PathBuf, time::Duration};

use kafscale_store::{Encryption, Location, Secret, profile::Provider};
use tracing_subscriber::filter::{LevelFilter, Targets};

/// A type that a setting can have.
pub trait Value: Sized {
    /// The only accepted texts, if there are so few.
    const CHOICES: &'static [&'static str] = &[];
    /// Whether the value must never be printed.
    const SECRET: bool = false;
    /// Whether a flag without a value means `true`.
    const SWITCH: bool = false;

    /// Reads a value. The error says what would have been accepted.
    fn parse(text: &str) -> Result<Self, String>;

    /// The value as text that [`parse`](Value::parse) accepts.
    fn show(&self) -> String;
}

impl Value for String {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected some text".into()) } else { Ok(text.to_owned()) }
    }
    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected a path".into()) } else { Ok(PathBuf::from(text)) }
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for bool {
    const CHOICES: &'static [&'static str] = &["true", "false"];
    const SWITCH: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| "expected true or false".into())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($type:ty)+) => { $(
        impl Value for $type {
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| format!("expected a whole number from 0 to {}", Self::MAX))
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )+ };
}
whole_numbers!(u32 u64);

impl Value for Duration {
    fn parse(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map_err(|_| "expected a time with its unit, such as 250ms, 10s or 1h".into())
    }
    fn show(&self) -> String {
        humantime::format_duration(*self).to_string()
    }
}

/// `none` stands for the absence of a value.
impl<T: Value> Value for Option<T> {
    const CHOICES: &'static [&'static str] = T::CHOICES;
    const SECRET: bool = T::SECRET;
    const SWITCH: bool = T::SWITCH;
    fn parse(text: &str) -> Result<Self, String> {
        if text == NONE { Ok(None) } else { T::parse(text).map(Some) }
    }
    fn show(&self) -> String {
        self.as_ref().map_or_else(|| NONE.to_owned(), T::show)
    }
}

const NONE: &str = "none";

/// A number of bytes. It reads `1048576`, `64MiB`, `100 MiB`, `1GB`, and shows the largest unit that is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

impl Size {
    /// The bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl From<u64> for Size {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

/// Units and their bytes; within one base the larger come first, which `show` relies on.
const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Value for Size {
    fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || "expected a whole number of bytes with its unit, such as 64MiB, 100 MiB, 1GB or 65536".to_owned();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(split);
        let number: u64 = digits.parse().map_err(|_| expected())?;
        let unit = match unit.trim_start_matches(' ') {
            "" => 1,
            unit => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(expected)?.1,
        };
        number.checked_mul(unit).map(Self).ok_or_else(|| "too large".to_owned())
    }
    fn show(&self) -> String {
        let exact = |(_, unit): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().find(exact).copied().unwrap_or(("B", 1));
        format!("{}{name}", self.0 / unit)
    }
}

/// `HOST:PORT`: a name, an IPv4 address, or an IPv6 address in brackets, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The host, without brackets.
    pub host: String,
    /// The port; 0 where a free one is to be taken.
    pub port: u16,
}

impl Address {
    /// Whether it stands for every address of the machine and thus cannot be connected to.
    pub fn is_unspecified(&self) -> bool {
        self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Value for Address {
    fn parse(text: &str) -> Result<Self, String> {
        let expected = || "expected HOST:PORT, such as 127.0.0.1:9092 or [::1]:9092".to_owned();
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let port = port.parse().map_err(|_| expected())?;
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<std::net::Ipv6Addr>().map_err(|_| expected())?.to_string(),
            None if host_name_is_plain(host) => host.to_owned(),
            None => return Err(expected()),
        };
        Ok(Self { host, port })
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// Kafka's answers carry host names of at most 32,767 bytes; DNS allows 253, of these characters.
fn host_name_is_plain(host: &str) -> bool {
    (1..=253).contains(&host.len()) && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}

impl Value for Location {
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: kafscale_store::BadLocation| error.to_string())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Provider {
    const CHOICES: &'static [&'static str] = &Provider::NAMES;
    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: kafscale_store::profile::UnknownProvider| error.to_string())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Encryption {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "sse-s3" => Ok(Self::Store),
            Some(("sse-kms", key)) if !key.is_empty() => Ok(Self::Kms(key.to_owned())),
            _ => Err("expected sse-s3 or sse-kms:KEY".to_owned()),
        }
    }
    fn show(&self) -> String {
        match self {
            Self::Store => "sse-s3".to_owned(),
            Self::Kms(key) => format!("sse-kms:{key}"),
        }
    }
}

/// Tags on objects: keys and values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags(pub Vec<(String, String)>);

impl Value for Tags {
    fn parse(text: &str) -> Result<Self, String> {
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty())?;
            Some((key.to_owned(), value.to_owned()))
        };
        let pairs: Option<Vec<_>> = text.split(',').map(pair).collect();
        pairs.map(Self).ok_or_else(|| "expected KEY=VALUE pairs separated by commas".to_owned())
    }
    fn show(&self) -> String {
        let pairs: Vec<_> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join(",")
    }
}

/// A number by which clients know a broker. Kafka's are 0 or greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId(pub i32);

impl Value for NodeId {
    fn parse(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number: &i32| *number >= 0);
        number.map(Self).ok_or_else(|| format!("expected a whole number from 0 to {}", i32::MAX))
    }
    fn show(&self) -> String {
        self.0.to_string()
    }
}

/// A secret is never shown.
impl Value for Secret {
    const SECRET: bool = true;
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() { Err("expected some text".into()) } else { Ok(Self::from(text.to_owned())) }
    }
    fn show(&self) -> String {
        "(secret)".into()
    }
}

/// Which log lines are written: a level, and `target=level` pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter in the form that the writer of log lines takes.
    pub fn targets(&self) -> Targets {
        self.0.parse().expect("it was parsed when it was read")
    }
}

impl Value for LogFilter {
    fn parse(text: &str) -> Result<Self, String> {
        // The level of each part is judged here: the writer takes a mistyped level for the name of a target.
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:=,".contains(&b));
        let level = |part: &str| {
            let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
            !level.is_empty() && level.parse::<LevelFilter>().is_ok()
        };
        if plain && text.split(',').all(level) && text.parse::<Targets>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err("expected a level (error, warn, info, debug, trace) or target=level pairs".into())
        }
    }
    fn show(&self) -> String {
        self.0.clone()
    }
}

/// Defines an enum whose variants are written as the given words.
macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $( $(#[doc = $variant_doc:literal])+ $variant:ident = $word:literal, )+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $variant_doc])+ $variant, )+ }

        impl Value for $name {
            const CHOICES: &'static [&'static str] = &[$($word),+];
            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    _ => Err(format!("expected one of {}", Self::CHOICES.join(", "))),
                }
            }
            fn show(&self) -> String {
                match self { $( Self::$variant => $word.to_owned(), )+ }
            }
        }
    };
}

words! {
    /// The dial between answer time and requests to the store.
    Latency {
        /// Flush on the timer only.
        Economical = "economical",
        /// Flush early while no other PUT is under way.
        Balanced = "balanced",
        /// Flush early with several PUTs under way.
        Fast = "fast",
    }
}

words! {
    /// Which groups may change their protocol while they have members.
    MigrationPolicy {
        /// None, and no classic member joins a KIP-848 group.
        Disabled = "disabled",
        /// From classic to KIP-848.
        Upgrade = "upgrade",
        /// From KIP-848 to classic.
        Downgrade = "downgrade",
        /// Both ways.
        Bidirectional = "bidirectional",
    }
}

words! {
    /// The form of log lines.
    LogFormat {
        /// Lines for people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

#[cfg(test)]
mod tests;
