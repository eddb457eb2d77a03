//! The client library's errors as exit codes and advice.

use krafka::error::{ErrorCode, KrafkaError, ProtocolErrorKind};

use crate::exit::{Exit, Failure};

/// `what` failed for this reason: the exit code, and what to try next where that is known.
pub fn failure(error: KrafkaError, what: &str) -> Failure {
    let exit = exit(&error);
    let text = match advice(&error) {
        Some(advice) => format!("{what}: {}\n{advice}", plain(&error)),
        None => format!("{what}: {}", plain(&error)),
    };
    Failure::new(exit, anyhow::anyhow!(text))
}

/// For `map_err`: [`failure`] with these words.
pub fn failure_of(what: impl Into<String>) -> impl FnOnce(KrafkaError) -> Failure {
    let what = what.into();
    move |error| failure(error, &what)
}

/// The error in Kafka's words: its code's name, and what the broker said.
pub fn plain(error: &KrafkaError) -> String {
    match error {
        KrafkaError::Broker { code, message } => {
            let name = code_name(*code);
            // Where the broker said nothing, the library repeats its own name of the code.
            if message.is_empty() || *message == format!("{code:?}") { name } else { format!("{name}: {message}") }
        }
        KrafkaError::Protocol { kind: ProtocolErrorKind::UnknownApiVersion, message } => {
            format!("this Kafka does not offer it: {message}")
        }
        KrafkaError::Protocol { message, .. } if is_bad_name(error) => message.clone(),
        other => other.to_string(),
    }
}

/// Whether this is a topic's name that the client refused before it asked anybody.
fn is_bad_name(error: &KrafkaError) -> bool {
    matches!(error, KrafkaError::Protocol { kind: ProtocolErrorKind::InvalidValue | ProtocolErrorKind::InvalidLength, message }
        if message.starts_with("topic name"))
}

/// The code's name as Kafka writes it.
fn code_name(code: ErrorCode) -> String {
    let number = code.to_i16();
    kafscale_protocol::ErrorCode::from_code(number)
        .map_or_else(|| format!("error code {number}"), |code| code.name().to_owned())
}

fn exit(error: &KrafkaError) -> Exit {
    match error {
        KrafkaError::Network(_) | KrafkaError::Timeout { .. } | KrafkaError::DeliveryTimeout { .. } => {
            Exit::Unreachable
        }
        KrafkaError::Auth { .. } => Exit::Denied,
        KrafkaError::Config { .. } => Exit::Usage,
        error if is_bad_name(error) => Exit::Usage,
        KrafkaError::UnknownTopic { .. } => Exit::NotFound,
        KrafkaError::Protocol { kind: ProtocolErrorKind::UnknownApiVersion, .. } => Exit::Refused,
        KrafkaError::Broker { code, .. } => match code {
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId | ErrorCode::GroupIdNotFound => {
                Exit::NotFound
            }
            ErrorCode::TopicAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::SaslAuthenticationFailed => Exit::Denied,
            ErrorCode::KafkaStorageException => Exit::DataLoss,
            ErrorCode::RequestTimedOut | ErrorCode::CoordinatorNotAvailable => Exit::Unreachable,
            _ => Exit::Refused,
        },
        _ => Exit::Unexpected,
    }
}

fn advice(error: &KrafkaError) -> Option<&'static str> {
    match error {
        KrafkaError::Network(_) | KrafkaError::Timeout { .. } => Some(
            "Is it running, and is this its address? Name another with --bootstrap-server or KAFSCALE_BOOTSTRAP; one \
             that wants TLS or a password needs --command-config.",
        ),
        KrafkaError::Auth { .. } => {
            Some("Check security.protocol, sasl.mechanism, the user name and the password in --command-config.")
        }
        KrafkaError::UnknownTopic { .. } | KrafkaError::Broker { code: ErrorCode::UnknownTopicOrPartition, .. } => {
            Some("`kafscale topics list` shows what is there.")
        }
        KrafkaError::Broker { code: ErrorCode::GroupIdNotFound, .. } => {
            Some("`kafscale groups list` shows what is there.")
        }
        KrafkaError::Broker { code: ErrorCode::KafkaStorageException, .. } => Some(
            "The Kafka cannot read these records from its store now: its log says why, and `kafscale fsck` checks a store.",
        ),
        KrafkaError::Broker { code: ErrorCode::InvalidRecord, .. } => Some(
            "Records of compacted topics need keys: give --key or --key-delimiter, or a \"key\" in each object of \
             --format json.",
        ),
        KrafkaError::Config { message } if message.contains("exceeds max_request_size") => {
            Some("Set -X max.request.size=BYTES; the topic's own bound is its setting max.message.bytes.")
        }
        KrafkaError::Broker { code: ErrorCode::MessageTooLarge, .. } => Some(
            "How large a batch may be is the topic's setting max.message.bytes: `kafscale configs` shows and changes it.",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_in_kafkas_words() {
        let error = KrafkaError::broker(ErrorCode::UnknownTopicOrPartition, "UnknownTopicOrPartition");
        assert_eq!(plain(&error), "UNKNOWN_TOPIC_OR_PARTITION");
        let absent = KrafkaError::protocol_kind(ProtocolErrorKind::UnknownApiVersion, "no ListGroups");
        assert_eq!(
            (exit(&absent), plain(&absent)),
            (Exit::Refused, "this Kafka does not offer it: no ListGroups".into())
        );
        let bad = krafka::admin::NewTopic::new("a/b", 1, 1).unwrap_err();
        assert_eq!((exit(&bad), plain(&bad).contains("illegal character")), (Exit::Usage, true));
        assert_eq!(plain(&KrafkaError::broker(ErrorCode::InvalidTopic, "")), "INVALID_TOPIC_EXCEPTION");
        assert_eq!(plain(&KrafkaError::broker(ErrorCode::Unknown(9999), "")), "error code 9999");
        let error = KrafkaError::broker(ErrorCode::InvalidConfig, "no such key");
        assert_eq!(plain(&error), "INVALID_CONFIG: no such key");
        let failure = failure(KrafkaError::broker(ErrorCode::TopicAuthorizationFailed, ""), "cannot read t");
        assert_eq!(
            (failure.exit, failure.to_string()),
            (Exit::Denied, "cannot read t: TOPIC_AUTHORIZATION_FAILED".into())
        );
    }
}
