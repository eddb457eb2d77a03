//! Which value of a topic's setting is in force: the topic's own, else this broker's, else that of all brokers, else the
//! default.

use kafscale_state::{State, Topic};

use super::{
    broker,
    definition::{Definition, Settings},
};

/// Where a value comes from, with Kafka's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Source {
    /// Set on the topic.
    Topic = 1,
    /// Set on this broker while it runs.
    Broker = 2,
    /// Set on all brokers while they run.
    AllBrokers = 3,
    /// Set when the broker started.
    Start = 4,
    /// Nobody set it.
    Default = 5,
    /// Set on a subscription of client metrics.
    ClientMetrics = 7,
    /// Set on a group.
    Group = 8,
}

/// A value that somebody gave, under the name that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given<'a> {
    /// The name of the setting where it was given.
    pub name: &'static str,
    /// The value.
    pub value: &'a str,
    /// Where.
    pub source: Source,
}

/// The settings that decide about a topic.
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    topic: Option<&'a Settings>,
    broker: Option<&'a Settings>,
    brokers: &'a Settings,
}

impl<'a> Layers<'a> {
    /// Those of a topic on this broker.
    pub fn of_topic(state: &'a State, node_id: i32, topic: &'a Topic) -> Self {
        Self { topic: Some(topic.settings()), ..Self::of_broker(state, node_id) }
    }

    /// Those of a topic with these settings of its own.
    pub fn of_settings(state: &'a State, node_id: i32, topic: &'a Settings) -> Self {
        Self { topic: Some(topic), ..Self::of_broker(state, node_id) }
    }

    /// Those of a topic that has none of its own.
    pub fn of_broker(state: &'a State, node_id: i32) -> Self {
        Self { topic: None, broker: state.broker_settings(node_id), brokers: state.broker_defaults() }
    }

    /// Every value that was given for a topic's setting, the one in force first; the default is the last.
    pub fn of(&self, setting: &'static Definition) -> impl Iterator<Item = Given<'a>> + use<'a> {
        let own = self.topic.and_then(|settings| settings.get(setting.name));
        let own = own.map(|value| Given { name: setting.name, value, source: Source::Topic });
        let name = broker::of_topic(setting.name);
        let layers = [(self.broker, Source::Broker), (Some(self.brokers), Source::AllBrokers)];
        let of_brokers = layers.into_iter().filter_map(move |(settings, source)| {
            let name = name?;
            Some(Given { name, value: settings?.get(name)?, source })
        });
        let default = name.map(|name| Given { name, value: setting.default, source: Source::Default });
        own.into_iter().chain(of_brokers).chain(default)
    }

    /// The value in force.
    pub fn value(&self, setting: &'static Definition) -> &'a str {
        self.of(setting).next().map_or(setting.default, |given| given.value)
    }
}
