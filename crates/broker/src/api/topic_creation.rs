//! Creating topics: what CreateTopics and the auto-creation of Metadata share.

use std::collections::BTreeMap;

use kafscale_protocol::ErrorCode;
use kafscale_state::{
    Verdict,
    entry::{Entry, TopicCreated},
    limits,
    topic::DEFAULT_NAMESPACE,
    verdict::Refused,
};

use super::{Session, error_codes};

/// A topic as it was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// Its id.
    pub id: u128,
    /// Its partitions.
    pub partitions: u32,
}

/// The log of Kafka's controllers, which is no topic.
const CLUSTER_METADATA: &str = "__cluster_metadata";

/// Why a topic was not created: Kafka's code and words.
pub type NotCreated = (ErrorCode, String);

/// What a topic shall be.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Its name, which was found to be free.
    pub name: &'a str,
    /// Its partitions.
    pub partitions: u32,
    /// Its settings, which were checked.
    pub settings: BTreeMap<String, String>,
}

/// Kafka's rules for topic names (`Topic.validate`).
pub fn check_name(name: &str) -> Result<(), NotCreated> {
    let most = limits::NAME_BYTES_MAX;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." | ".." => format!("'{name}' is not allowed"),
        // Kafka repeats the name, which may be longer than a text of an answer can be.
        _ if name.len() > most => format!("the length of the name is longer than the max allowed length {most}"),
        _ if !name.bytes().all(legal) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err((ErrorCode::InvalidTopicException, format!("Topic name is invalid: {reason}")))
}

impl Session {
    /// Checks that a new topic may have this name, as far as can be seen without the log. Kafka looks at everything else of
    /// a topic after that.
    pub(super) fn check_free(&self, name: &str) -> Result<(), NotCreated> {
        check_name(name)?;
        if name == CLUSTER_METADATA {
            return Err((ErrorCode::InvalidRequest, format!("Creation of internal topic {name} is prohibited.")));
        }
        self.broker().replica().read(|state| {
            let colliding = |name: &str| name.replace('.', "_");
            if state.topic(name).is_some() {
                return Err((ErrorCode::TopicAlreadyExists, format!("Topic '{name}' already exists.")));
            }
            // Kafka refuses names that become one in metric names; only a name with '.' or '_' can collide.
            if name.contains(['.', '_'])
                && let Some(other) = state.topics().find(|topic| colliding(topic.name()) == colliding(name))
            {
                let text = format!("Topic '{name}' collides with existing topic: {}", other.name());
                return Err((ErrorCode::InvalidTopicException, text));
            }
            Ok(())
        })
    }

    /// Creates a topic.
    pub(super) async fn create_topic(&self, wanted: Wanted<'_>) -> Result<Created, NotCreated> {
        let (broker, partitions) = (self.broker(), wanted.partitions);
        let id = loop {
            let id = uuid_v4(broker.runtime().random_u128());
            // Kafka's own text form of a topic id must not begin with a dash: tools take it for an option.
            if (id >> 122) != 0b11_1110 {
                break id;
            }
        };
        let entry = Entry::TopicCreated(TopicCreated {
            namespace: DEFAULT_NAMESPACE.to_owned(),
            name: wanted.name.to_owned(),
            id,
            partitions,
            settings: wanted.settings,
        });
        let verdict = broker.writer().submit(Some(self.id()), entry, false).await;
        match verdict.map_err(|error| (error_codes::of_entry(error), error.to_string()))? {
            Verdict::TopicCreated { .. } => Ok(Created { id, partitions }),
            Verdict::Refused(refused) => Err((refused_code(refused), refused.to_string())),
            other => unreachable!("apply answers a topic with {other:?}"),
        }
    }
}

fn refused_code(refused: Refused) -> ErrorCode {
    match refused {
        Refused::TopicAlreadyExists { .. } => ErrorCode::TopicAlreadyExists,
        Refused::InvalidName => ErrorCode::InvalidTopicException,
        Refused::InvalidPartitions => ErrorCode::InvalidPartitions,
        Refused::TooManyPartitions => ErrorCode::PolicyViolation,
        Refused::InvalidSettings => ErrorCode::InvalidConfig,
        _ => ErrorCode::UnknownServerError,
    }
}

/// Random bits with the version and variant of a random UUID (RFC 9562).
pub(super) fn uuid_v4(bits: u128) -> u128 {
    let version = 0xf_u128 << 76;
    let variant = 0b11_u128 << 62;
    bits & !(version | variant) | 4 << 76 | 0b10 << 62
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kafka_refuses_are_refused() {
        let long = "a".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "ä", "a\u{0}", &long] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["a", "_", "A.b_c-1", &long[1..]] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn topic_ids_are_random_uuids() {
        assert_eq!(uuid_v4(0), 0x0000_0000_0000_4000_8000_0000_0000_0000);
        assert_eq!(uuid_v4(u128::MAX), 0xffff_ffff_ffff_4fff_bfff_ffff_ffff_ffff);
    }
}
