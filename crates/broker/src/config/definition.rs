//! What a setting is, and whether a value will do. The words of refusals are those of Kafka's `ConfigDef`: tools and
//! people look for them.

use std::collections::BTreeMap;

use kafscale_protocol::ErrorCode;

/// Settings by name, as they were given.
pub type Settings = BTreeMap<String, String>;

/// What the broker does with a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It has its effect.
    Enforced,
    /// It is checked, stored and shown; its effect is not needed for correctness here.
    Accepted,
}

/// The type of a value and its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A 32-bit number within bounds.
    Int(i64, i64),
    /// A 32-bit number within bounds, or -1 for the codec's own choice.
    Level(i64, i64),
    /// A 64-bit number within bounds.
    Long(i64, i64),
    /// A fraction within bounds.
    Double(f64, f64),
    /// One of these words; any text where there are none.
    Word(&'static [&'static str]),
    /// One of these words, or another with this beginning.
    WordOr(&'static [&'static str], &'static str),
    /// Words from this list, separated by commas; any where it is empty.
    List(&'static [&'static str]),
    /// `partition:broker` pairs separated by commas, or `*`.
    Replicas,
}

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Kafka's name.
    pub name: &'static str,
    /// Its type and bounds.
    pub kind: Kind,
    /// Its value where none is set.
    pub default: &'static str,
    /// What it does here.
    pub treatment: Treatment,
    /// One sentence for DescribeConfigs.
    pub doc: &'static str,
}

/// A table of settings, in the order of names.
macro_rules! definitions {
    ($($name:literal, $kind:expr, $default:expr, $treatment:expr, $doc:expr;)+) => {
        &[$($crate::config::definition::Definition {
            name: $name,
            kind: $kind,
            default: $default,
            treatment: $treatment,
            doc: $doc,
        }),+]
    };
}
pub(super) use definitions;

/// Why a setting was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No such setting.
    #[error("Unknown {of} config name: {name}")]
    Unknown {
        /// Of what.
        of: &'static str,
        /// The name asked for.
        name: String,
    },
    /// The value is of the wrong type or out of bounds, or not supported.
    #[error("Invalid value {value} for configuration {name}: {reason}")]
    Invalid {
        /// The setting.
        name: String,
        /// What was asked for.
        value: String,
        /// What would do.
        reason: String,
    },
    /// Settings contradict each other, or mean something that is not there.
    #[error("{0}")]
    Refused(String),
    /// The same where Kafka speaks of an invalid request.
    #[error("{0}")]
    Request(String),
}

impl ConfigError {
    /// Kafka's code.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown { .. } | Self::Invalid { .. } | Self::Refused(_) => ErrorCode::InvalidConfig,
            Self::Request(_) => ErrorCode::InvalidRequest,
        }
    }

    pub(super) fn invalid(name: &str, value: &str, reason: impl Into<String>) -> Self {
        Self::Invalid { name: name.to_owned(), value: value.to_owned(), reason: reason.into() }
    }
}

/// The definition of a setting in a table.
pub fn find(definitions: &'static [Definition], name: &str) -> Option<&'static Definition> {
    definitions.binary_search_by(|definition| definition.name.cmp(name)).ok().map(|index| &definitions[index])
}

/// The words of a list: trimmed, without empty ones.
pub fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

impl Definition {
    /// Checks one value.
    pub fn check(&self, value: &str) -> Result<(), ConfigError> {
        check(self.name, self.kind, value)
    }
}

impl Kind {
    /// Kafka's number of a type in DescribeConfigs.
    pub fn code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::Word(_) | Self::WordOr(..) => 2,
            Self::Int(..) | Self::Level(..) => 3,
            Self::Long(..) => 5,
            Self::Double(..) => 6,
            Self::List(_) | Self::Replicas => 7,
        }
    }

    /// Whether APPEND and SUBTRACT work on it.
    pub fn is_list(self) -> bool {
        matches!(self, Self::List(_) | Self::Replicas)
    }
}

fn check(name: &str, kind: Kind, given: &str) -> Result<(), ConfigError> {
    let invalid = |value: &str, reason: String| Err(ConfigError::invalid(name, value, reason));
    let value = given.trim();
    match kind {
        Kind::Boolean if value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false") => Ok(()),
        Kind::Boolean => invalid(value, "Expected value to be either true or false".to_owned()),
        Kind::Int(min, max) => match value.parse::<i32>() {
            Ok(number) => within(name, i64::from(number), min, max),
            Err(_) => invalid(value, "Not a number of type INT".to_owned()),
        },
        Kind::Level(min, max) => match value.parse::<i32>() {
            Ok(number) if number == -1 || (min..=max).contains(&i64::from(number)) => Ok(()),
            Ok(_) => invalid(value, format!("Value must be between {min} and {max} or equal to -1")),
            Err(_) => invalid(value, "Not a number of type INT".to_owned()),
        },
        Kind::Long(min, max) => match value.parse::<i64>() {
            Ok(number) => within(name, number, min, max),
            Err(_) => invalid(value, "Not a number of type LONG".to_owned()),
        },
        Kind::Double(min, max) => match value.parse::<f64>() {
            Ok(number) if number < min => invalid(&format!("{number:?}"), format!("Value must be at least {min}")),
            Ok(number) if number <= max => Ok(()),
            Ok(number) => invalid(&format!("{number:?}"), format!("Value must be no more than {max}")),
            Err(_) => invalid(value, "Not a number of type DOUBLE".to_owned()),
        },
        Kind::Word(allowed) if allowed.is_empty() || allowed.contains(&value) => Ok(()),
        Kind::WordOr(allowed, beginning) if allowed.contains(&value) || value.starts_with(beginning) => Ok(()),
        Kind::Word(allowed) | Kind::WordOr(allowed, _) => {
            invalid(value, format!("String must be one of: {}", allowed.join(", ")))
        }
        Kind::List([]) => Ok(()),
        Kind::List(allowed) => match words(value).find(|word| !allowed.contains(word)) {
            None => Ok(()),
            Some(word) => invalid(word, format!("String must be one of: {}", allowed.join(", "))),
        },
        Kind::Replicas if value == "*" || words(value).all(is_replica) => Ok(()),
        Kind::Replicas => invalid(
            &format!("[{}]", words(value).collect::<Vec<_>>().join(", ")),
            format!(
                "{name} must be the literal '*' or a list of replicas in the following format: \
                 [partitionId]:[brokerId],[partitionId]:[brokerId],..."
            ),
        ),
    }
}

fn within(name: &str, number: i64, min: i64, max: i64) -> Result<(), ConfigError> {
    let reason = match number {
        _ if number < min => format!("Value must be at least {min}"),
        _ if number > max => format!("Value must be no more than {max}"),
        _ => return Ok(()),
    };
    Err(ConfigError::invalid(name, &number.to_string(), reason))
}

fn is_replica(pair: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    pair.split_once(':').is_some_and(|(partition, broker)| is_number(partition) && is_number(broker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(kind: Kind, value: &str) -> Option<String> {
        check("name", kind, value).err().map(|error| error.to_string())
    }

    fn refused(value: &str, why: &str) -> Option<String> {
        Some(format!("Invalid value {value} for configuration name: {why}"))
    }

    #[test]
    fn values_are_refused_in_kafkas_words() {
        let int = Kind::Int(0, i64::from(i32::MAX));
        assert_eq!(reason(int, " 5 "), None);
        assert_eq!(reason(int, "3000000000"), refused("3000000000", "Not a number of type INT"));
        assert_eq!(reason(int, ""), refused("", "Not a number of type INT"));
        let long = Kind::Long(-1, i64::MAX);
        assert_eq!(reason(long, "-5"), refused("-5", "Value must be at least -1"));
        assert_eq!(reason(long, "1s"), refused("1s", "Not a number of type LONG"));
        assert_eq!(reason(Kind::Boolean, "TRUE"), None);
        assert_eq!(reason(Kind::Boolean, "yes"), refused("yes", "Expected value to be either true or false"));
        let ratio = Kind::Double(0.0, 1.0);
        assert_eq!(reason(ratio, "1.5"), refused("1.5", "Value must be no more than 1"));
        assert_eq!(reason(ratio, "-1"), refused("-1.0", "Value must be at least 0"));
        assert_eq!(reason(ratio, "NaN"), refused("NaN", "Value must be no more than 1"));
        let policy = Kind::List(&["compact", "delete"]);
        assert_eq!(reason(policy, "compact, delete"), None);
        assert_eq!(reason(policy, ""), None);
        assert_eq!(reason(policy, "compact,foo"), refused("foo", "String must be one of: compact, delete"));
        let level = Kind::Level(1, 9);
        assert_eq!(reason(level, "-1"), None);
        assert_eq!(reason(level, "10"), refused("10", "Value must be between 1 and 9 or equal to -1"));
        assert_eq!(reason(Kind::Replicas, "0:1,1:1"), None);
        assert!(reason(Kind::Replicas, "foo").is_some_and(|text| text.starts_with("Invalid value [foo] for")));
    }
}
