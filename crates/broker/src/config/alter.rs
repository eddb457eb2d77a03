//! What becomes of settings when single ones of them change.

use kafscale_state::entry::Change;

use super::definition::{ConfigError, Definition, Settings, find, words};

/// What to do with a setting, with Kafka's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation<'a> {
    /// 0: set it.
    Set(&'a str),
    /// 1: go back to the default.
    Delete,
    /// 2: add words to a list.
    Append(&'a str),
    /// 3: take words off a list.
    Subtract(&'a str),
}

impl<'a> Operation<'a> {
    /// The operation of this number; all but deletion have a value.
    pub fn new(code: i8, value: Option<&'a str>) -> Option<Self> {
        match (code, value) {
            (0, Some(value)) => Some(Self::Set(value)),
            (1, _) => Some(Self::Delete),
            (2, Some(value)) => Some(Self::Append(value)),
            (3, Some(value)) => Some(Self::Subtract(value)),
            _ => None,
        }
    }
}

/// The settings after these operations. Values are not checked: they have to fit each other, and so are checked together.
pub fn altered(
    definitions: &'static [Definition],
    before: &Settings,
    operations: &[(&str, Operation<'_>)],
) -> Result<Settings, ConfigError> {
    let mut after = before.clone();
    for (name, operation) in operations {
        let list = |verb: &str| match find(definitions, name).filter(|definition| definition.kind.is_list()) {
            Some(definition) => Ok(before.get(*name).map_or(definition.default, String::as_str)),
            None => Err(ConfigError::Refused(format!("Can't {verb} to key {name} because its type is not LIST."))),
        };
        let value = match operation {
            Operation::Set(value) => Some((*value).to_owned()),
            Operation::Delete => None,
            Operation::Append(more) => {
                let mut all: Vec<&str> = words(list("APPEND")?).collect();
                words(more).for_each(|word| {
                    if !all.contains(&word) {
                        all.push(word);
                    }
                });
                Some(all.join(","))
            }
            Operation::Subtract(less) => {
                let less: Vec<&str> = words(less).collect();
                let left: Vec<&str> = words(list("SUBTRACT")?).filter(|word| !less.contains(word)).collect();
                Some(left.join(","))
            }
        };
        match value {
            Some(value) => after.insert((*name).to_owned(), value),
            None => after.remove(*name),
        };
    }
    Ok(after)
}

/// The changes that lead from one to the other.
pub fn changes(before: &Settings, after: &Settings) -> Vec<Change> {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    let gone = gone.map(|name| Change { name: name.clone(), value: None });
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let set = set.map(|(name, value)| Change { name: name.clone(), value: Some(value.clone()) });
    gone.chain(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::topic;

    fn settings(given: &[(&str, &str)]) -> Settings {
        given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn lists_grow_and_shrink_from_what_is_in_force() {
        let alter = |before: &[(&str, &str)], operation| {
            altered(topic::DEFINITIONS, &settings(before), &[("cleanup.policy", operation)]).unwrap()
        };
        let policy = |value: &str| settings(&[("cleanup.policy", value)]);
        assert_eq!(alter(&[], Operation::Append("compact")), policy("delete,compact"), "the default is in force");
        assert_eq!(alter(&[("cleanup.policy", "compact")], Operation::Append("compact")), policy("compact"));
        let both = [("cleanup.policy", "compact, delete")];
        assert_eq!(alter(&both, Operation::Subtract("delete,other")), policy("compact"));
        assert_eq!(alter(&both, Operation::Delete), Settings::new());
    }

    #[test]
    fn what_is_no_list_cannot_grow() {
        for name in ["retention.ms", "no.such"] {
            let error = altered(topic::DEFINITIONS, &Settings::new(), &[(name, Operation::Append("1"))]).unwrap_err();
            assert_eq!(error.to_string(), format!("Can't APPEND to key {name} because its type is not LIST."));
        }
    }

    #[test]
    fn changes_lead_from_one_to_the_other() {
        let (before, after) = (settings(&[("a", "1"), ("b", "2"), ("c", "3")]), settings(&[("b", "2"), ("c", "4")]));
        let change = |name: &str, value: Option<&str>| Change { name: name.into(), value: value.map(Into::into) };
        assert_eq!(changes(&before, &after), [change("a", None), change("c", Some("4"))]);
    }
}
