//! The properties of a client as they were given, and the values in force.

use std::{collections::BTreeMap, str::FromStr};

use super::catalogue::{self, KNOWN, Known, Part};
use crate::{
    exit::{Exit, Failure},
    settings::nearest,
};

/// Given properties over the catalogue's defaults. What is set later counts.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    given: BTreeMap<&'static str, String>,
}

impl Properties {
    /// Sets a property. A name that nobody knows is a usage error that names the nearest one.
    pub fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), Failure> {
        let Some(known) = Self::known(name) else {
            let names: Vec<String> = KNOWN.iter().map(|known| known.name.to_owned()).collect();
            let nearest = nearest::of(name, names.iter());
            return Err(usage(format!("unknown property {name}; the nearest known one is {nearest}")));
        };
        self.given.insert(known.name, value.into());
        Ok(())
    }

    /// The property that this name means, an older name included.
    pub fn known(name: &str) -> Option<&'static Known> {
        catalogue::find(match name {
            "sasl.mechanisms" => "sasl.mechanism",
            "compression.codec" => "compression.type",
            "fetch.wait.max.ms" => "fetch.max.wait.ms",
            "fetch.message.max.bytes" => "max.partition.fetch.bytes",
            name => name,
        })
    }

    /// Sets a property unless it is given: what a command prefers to the general default.
    pub fn prefer(&mut self, name: &'static str, value: &str) {
        debug_assert!(catalogue::find(name).is_some(), "{name} is in the catalogue");
        self.given.entry(name).or_insert_with(|| value.to_owned());
    }

    /// Whether it was given (or preferred by the command).
    pub fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// The value in force; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        let given = self.given.get(name).map(String::as_str);
        given.unwrap_or_else(|| match name {
            // As in Kafka's own clients: it needs every acknowledgement.
            "enable.idempotence" if !["all", "-1"].contains(&self.text("acks")) => "false",
            name => catalogue::find(name).expect("only names of the catalogue are asked for").default,
        })
    }

    /// The value, unless it is empty.
    pub fn some(&self, name: &str) -> Option<&str> {
        Some(self.text(name)).filter(|text| !text.is_empty())
    }

    /// The value as a number.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        let text = self.text(name);
        text.parse().map_err(|_| self.refused(name, "expected a whole number in its range"))
    }

    /// The value as `true` or `false`.
    pub fn switch(&self, name: &str) -> Result<bool, Failure> {
        let text = self.text(name);
        text.parse().map_err(|_| self.refused(name, "expected true or false"))
    }

    /// The error for a value of this property that cannot be used.
    pub fn refused(&self, name: &str, expected: &str) -> Failure {
        let secret = catalogue::find(name).is_some_and(Known::is_secret);
        let value = if secret { "(secret)" } else { self.text(name) };
        usage(format!("{name}={value}: {expected}"))
    }

    /// The values in force for this part, and everything that was given; secrets are hidden.
    pub fn effective(&self, part: Part) -> BTreeMap<String, String> {
        let told = KNOWN.iter().filter(|known| known.part == part || self.is_given(known.name));
        told.filter(|known| self.some(known.name).is_some())
            .map(|known| {
                let value = if known.is_secret() { "(secret)" } else { self.text(known.name) };
                (known.name.to_owned(), value.to_owned())
            })
            .collect()
    }
}

/// An error of whoever wrote the command line or the file.
pub fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, anyhow::anyhow!(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_hold_until_a_value_is_given() {
        let mut properties = Properties::default();
        assert_eq!(properties.number::<u64>("linger.ms").unwrap(), 5);
        properties.prefer("linger.ms", "0");
        properties.prefer("linger.ms", "9");
        assert_eq!(properties.text("linger.ms"), "0");
        properties.set("linger.ms", "7").unwrap();
        assert_eq!(properties.text("linger.ms"), "7");
    }

    #[test]
    fn idempotence_follows_acks_unless_it_was_asked_for() {
        let mut properties = Properties::default();
        assert!(properties.switch("enable.idempotence").unwrap());
        properties.set("acks", "1").unwrap();
        assert!(!properties.switch("enable.idempotence").unwrap());
        properties.set("enable.idempotence", "true").unwrap();
        assert!(properties.switch("enable.idempotence").unwrap());
    }

    #[test]
    fn unknown_names_and_values_are_usage_errors() {
        let mut properties = Properties::default();
        let error = properties.set("linger.msec", "1").unwrap_err();
        assert!(error.to_string().contains("nearest known one is linger.ms"), "{error}");
        properties.set("linger.ms", "soon").unwrap();
        let error = properties.number::<u64>("linger.ms").unwrap_err();
        assert_eq!((error.exit, error.to_string().contains("linger.ms=soon")), (Exit::Usage, true));
    }

    #[test]
    fn the_effective_values_hide_secrets() {
        let mut properties = Properties::default();
        properties.set("sasl.password", "swordfish").unwrap();
        let effective = properties.effective(Part::Producer);
        assert_eq!(effective["sasl.password"], "(secret)");
        assert_eq!(effective["acks"], "all");
        assert!(!effective.contains_key("fetch.min.bytes"));
    }
}
