//! What has settings, as requests name it: shared by the APIs that describe and change them.

use kafscale_protocol::ErrorCode;
use kafscale_state::{State, Topic, entry, topic::Named};

use super::topic_creation::check_name;
use crate::config::{
    broker, client_metrics,
    definition::{ConfigError, Definition, Settings},
    group, topic,
};

/// Why a resource cannot be described or changed: Kafka's code and words.
pub type Refused = (ErrorCode, String);

/// Kafka's numbers of the types.
pub mod code {
    /// A topic.
    pub const TOPIC: i8 = 2;
    /// One broker, or all of them.
    pub const BROKER: i8 = 4;
    /// The loggers of a broker; there are none here that clients can set.
    pub const BROKER_LOGGER: i8 = 8;
    /// A subscription of client metrics.
    pub const CLIENT_METRICS: i8 = 16;
    /// A group.
    pub const GROUP: i8 = 32;
}

/// What has settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A topic, which may not exist.
    Topic(&'a str),
    /// All brokers.
    Brokers,
    /// This broker.
    Broker(i32),
    /// A group or a subscription of client metrics.
    Named(Named, &'a str),
}

impl<'a> Resource<'a> {
    /// The resource of a request, if it can be one.
    pub fn parse(kind: i8, name: &'a str, node_id: i32) -> Result<Self, Refused> {
        let refused = |text: &str| Err((ErrorCode::InvalidRequest, text.to_owned()));
        match kind {
            code::TOPIC if name.is_empty() => refused("Default topic resources are not allowed."),
            code::TOPIC => check_name(name).map(|()| Self::Topic(name)),
            code::BROKER if name.is_empty() => Ok(Self::Brokers),
            code::BROKER => match name.parse::<i32>() {
                Ok(id) if id == node_id => Ok(Self::Broker(node_id)),
                Ok(id) => refused(&format!("Unexpected broker id, expected {node_id}, but received {id}")),
                Err(_) => refused("Node id must be an integer"),
            },
            code::BROKER_LOGGER => refused("the levels of loggers cannot be seen or changed here"),
            code::CLIENT_METRICS if name.is_empty() => refused("Subscription name can't be empty"),
            code::CLIENT_METRICS => Ok(Self::Named(Named::ClientMetrics, name)),
            code::GROUP if name.is_empty() => refused("Default group resources are not allowed."),
            code::GROUP => Ok(Self::Named(Named::Group, name)),
            other => refused(&format!("Unknown resource type {other}")),
        }
    }

    /// Its settings as they were given; a topic that does not exist has none.
    pub fn settings(self, state: &State) -> Settings {
        let given = match self {
            Self::Topic(name) => state.topic(name).map(Topic::settings),
            Self::Brokers => Some(state.broker_defaults()),
            Self::Broker(node_id) => state.broker_settings(node_id),
            Self::Named(kind, name) => state.named_settings(kind, name),
        };
        given.cloned().unwrap_or_default()
    }

    /// The settings that it may have. Those of brokers are no table of their own; none of them is a list but one.
    pub fn definitions(self) -> &'static [Definition] {
        match self {
            Self::Topic(_) => topic::DEFINITIONS,
            Self::Brokers | Self::Broker(_) => broker::LISTS,
            Self::Named(Named::Group, _) => group::DEFINITIONS,
            Self::Named(Named::ClientMetrics, _) => client_metrics::DEFINITIONS,
        }
    }

    /// Whether it may have these settings.
    pub fn check(self, settings: &Settings) -> Result<(), ConfigError> {
        match self {
            Self::Topic(_) => topic::check_all(settings),
            Self::Brokers => broker::check_all(settings, false),
            Self::Broker(_) => broker::check_all(settings, true),
            Self::Named(Named::Group, _) => group::check_all(settings),
            Self::Named(Named::ClientMetrics, _) => client_metrics::check_all(settings),
        }
    }

    /// The entry that changes its settings.
    pub fn entry(self, state: &State, changes: Vec<entry::Change>) -> Result<entry::Entry, Refused> {
        let resource = match self {
            Self::Topic(name) => {
                let unknown = || (ErrorCode::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."));
                entry::Resource::Topic(state.topic(name).ok_or_else(unknown)?.id())
            }
            Self::Brokers => entry::Resource::Brokers,
            Self::Broker(node_id) => entry::Resource::Broker(node_id),
            Self::Named(kind, name) => {
                let change = entry::NamedConfigSet { kind, name: name.to_owned(), changes };
                return Ok(entry::Entry::NamedConfigSet(change));
            }
        };
        Ok(entry::Entry::ConfigSet(entry::ConfigSet { resource, changes }))
    }
}
