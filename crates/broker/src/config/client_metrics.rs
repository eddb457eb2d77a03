//! Subscriptions of client metrics (KIP-714): which metrics which clients shall send, and how often.

use regex::{Regex, RegexBuilder};

use super::definition::{
    self, ConfigError, Definition,
    Kind::{Int, List},
    Settings,
    Treatment::Enforced,
    definitions,
};

/// What clients are asked for an interval where no subscription says another.
pub const INTERVAL_MS_DEFAULT: i32 = 300_000;
const INTERVAL_MS_MIN: i64 = 100;
const INTERVAL_MS_MAX: i64 = 3_600_000;
/// A pattern's program may take so many bytes.
const PATTERN_BYTES_MAX: usize = 1 << 16;

/// Every setting of a subscription, by name.
pub const DEFINITIONS: &[Definition] = definitions! {
    "interval.ms", Int(INTERVAL_MS_MIN, INTERVAL_MS_MAX), "300000", Enforced, "How often clients push.";
    "match", List(&[]), "", Enforced, "Which clients: name=regular expression, of all that are listed; every client if none is.";
    "metrics", List(&[]), "", Enforced, "Beginnings of the names of the metrics that are asked for; * for all.";
};

/// What a client is known by, under the names that patterns have for it. Kafka's `client_source_port` is not among them:
/// nobody can know it beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientFacts<'a> {
    /// `client_instance_id`, as Kafka writes it.
    pub instance_id: &'a str,
    /// `client_id`.
    pub client_id: &'a str,
    /// `client_software_name`.
    pub software_name: &'a str,
    /// `client_software_version`.
    pub software_version: &'a str,
    /// `client_source_address`.
    pub source_address: &'a str,
}

impl<'a> ClientFacts<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        Some(match name {
            "client_instance_id" => self.instance_id,
            "client_id" => self.client_id,
            "client_software_name" => self.software_name,
            "client_software_version" => self.software_version,
            "client_source_address" => self.source_address,
            _ => return None,
        })
    }
}

/// A subscription, parsed.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// `interval.ms`.
    pub interval_ms: i32,
    /// `metrics`.
    pub metrics: Vec<String>,
    patterns: Vec<(String, Regex)>,
}

impl Subscription {
    /// Reads checked settings; nothing if this version cannot read them.
    pub fn new(settings: &Settings) -> Option<Self> {
        let value = |name: &str| settings.get(name).map_or("", String::as_str);
        Some(Self {
            interval_ms: value("interval.ms").trim().parse().unwrap_or(INTERVAL_MS_DEFAULT),
            metrics: definition::words(value("metrics")).map(str::to_owned).collect(),
            patterns: patterns(value("match")).ok()?,
        })
    }

    /// Whether it is about this client.
    pub fn matches(&self, client: &ClientFacts<'_>) -> bool {
        self.patterns.iter().all(|(name, pattern)| client.get(name).is_some_and(|text| pattern.is_match(text)))
    }
}

/// Checks all settings of a subscription together, as they would be.
pub fn check_all(settings: &Settings) -> Result<(), ConfigError> {
    for (name, value) in settings {
        let Some(definition) = definition::find(DEFINITIONS, name) else {
            return Err(ConfigError::Request(format!("Unknown client metrics configuration: {name}")));
        };
        // Kafka has words of its own for a number out of bounds.
        if let (Int(min, max), Ok(number)) = (definition.kind, value.trim().parse::<i32>())
            && !(min..=max).contains(&i64::from(number))
        {
            return Err(ConfigError::Request(format!(
                "Invalid value {number} for {name}, interval must be between {min} and {max} (1 hour)"
            )));
        }
        definition.check(value)?;
    }
    settings.get("match").map_or(Ok(()), |list| patterns(list).map(|_| ()))
}

/// Patterns must fit the whole text, as Java's `matches` asks.
fn patterns(list: &str) -> Result<Vec<(String, Regex)>, ConfigError> {
    let parse = |pair: &str| {
        let illegal = || ConfigError::Refused(format!("Illegal client matching pattern: {pair}"));
        let (name, pattern) = pair.split_once('=').ok_or_else(illegal)?;
        let (name, pattern) = (name.trim(), pattern.trim());
        let known = ClientFacts::of_nobody().get(name).is_some();
        if !known || pattern.is_empty() || pattern.contains('=') {
            return Err(illegal());
        }
        let pattern = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_BYTES_MAX).build();
        Ok((name.to_owned(), pattern.map_err(|_| illegal())?))
    };
    definition::words(list).map(parse).collect()
}

impl ClientFacts<'_> {
    fn of_nobody() -> Self {
        Self { instance_id: "", client_id: "", software_name: "", software_version: "", source_address: "" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(given: &[(&str, &str)]) -> Settings {
        given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn a_subscription_is_about_clients_that_fit_all_patterns_as_a_whole() {
        let given =
            settings(&[("match", "client_id=app-.*, client_software_version=4\\.[0-9]+"), ("metrics", "a., b")]);
        assert_eq!(check_all(&given), Ok(()));
        let subscription = Subscription::new(&given).expect("checked");
        assert_eq!((subscription.interval_ms, &subscription.metrics[..]), (300_000, &["a.".into(), "b".into()][..]));
        let client =
            |client_id, software_version| ClientFacts { client_id, software_version, ..ClientFacts::of_nobody() };
        assert!(subscription.matches(&client("app-1", "4.3")));
        assert!(!subscription.matches(&client("my-app-1", "4.3")));
        assert!(!subscription.matches(&client("app-1", "4.3.1")));
        assert!(Subscription::new(&Settings::new()).is_some_and(|all| all.matches(&client("", ""))));
    }

    #[test]
    fn what_cannot_be_matched_or_pushed_is_refused() {
        for (name, value) in
            [("match", "nobody=x"), ("match", "client_id"), ("match", "client_id=("), ("interval.ms", "99")]
        {
            assert!(check_all(&settings(&[(name, value)])).is_err(), "{name}={value}");
        }
        let giant = "client_id=(?:a{1000}){1000}";
        assert!(check_all(&settings(&[("match", giant)])).is_err(), "a program of a million steps");
        assert!(matches!(check_all(&settings(&[("no.such", "1")])), Err(ConfigError::Request(_))));
    }
}
