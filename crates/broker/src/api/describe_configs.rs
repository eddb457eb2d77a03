//! DescribeConfigs (32): the settings of topics and of this broker, each with its value in force and where it comes from.

use std::{collections::BTreeSet, sync::Arc};

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::describe_configs::{
        DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym, Request,
        Response,
    },
};
use kafscale_state::{State, Topic};

use super::{Answer, Call, Refusal, Session, error_codes, topic_creation::check_name};
use crate::{
    broker_config::{self, BrokerConfig},
    topic_config::{self, Definition, Kind},
};

/// Kafka's types of resources.
const TOPIC: i8 = 2;
const BROKER: i8 = 4;

/// Kafka's sources of a value.
const SOURCE_TOPIC: i8 = 1;
const SOURCE_ALL_BROKERS: i8 = 3;
const SOURCE_START: i8 = 4;
const SOURCE_DEFAULT: i8 = 5;

/// Why a resource cannot be described: Kafka's code and words.
type Refused = (ErrorCode, String);
/// The settings of one resource.
type Configs<'a> = Vec<DescribeConfigsResourceResult<'a>>;

/// Answers once the replica has caught up. A resource that is named twice is described once.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.resources.len())?;
    let broker = session.broker();
    let reached = broker.barrier().await;
    let state = broker.replica().snapshot();
    let own = broker_config::describe(session.settings(), state.producer_id_expiration_ms());
    let view = View { request: &request, state: &state, node_id: session.settings().node_id, own: &own };
    let mut seen = BTreeSet::new();
    let resources = request.resources.iter().filter(|asked| seen.insert((asked.resource_type, asked.resource_name)));
    let described: Vec<_> = resources
        .map(|asked| {
            let unreached = |error| (error_codes::of_barrier(error), "the log cannot be asked for its end".to_owned());
            let configs = reached.as_ref().map_err(unreached).and_then(|()| view.describe(&asked));
            (asked, configs)
        })
        .collect();
    for (_, refused) in described.iter().filter_map(|(asked, configs)| Some((asked, configs.as_ref().err()?))) {
        broker.metrics().error(ApiKey::DescribeConfigs, refused.0);
    }
    let results = described.iter().map(|(asked, configs)| result(asked, configs)).collect();
    call.respond(&Response { results, ..Default::default() })
}

fn result<'a>(
    asked: &DescribeConfigsResource<'a>,
    configs: &'a Result<Configs<'a>, Refused>,
) -> DescribeConfigsResult<'a> {
    let (resource_type, resource_name) = (asked.resource_type, asked.resource_name);
    let result = DescribeConfigsResult { resource_type, resource_name, ..Default::default() };
    match configs {
        Ok(configs) => DescribeConfigsResult { configs: Array::from(configs.as_slice()), ..result },
        Err((error_code, text)) => {
            DescribeConfigsResult { error_code: *error_code, error_message: Some(text), ..result }
        }
    }
}

/// What a description is made from.
struct View<'a> {
    request: &'a Request<'a>,
    state: &'a State,
    node_id: i32,
    own: &'a [BrokerConfig],
}

impl<'a> View<'a> {
    fn describe(&self, asked: &DescribeConfigsResource<'a>) -> Result<Configs<'a>, Refused> {
        let keys: Option<BTreeSet<&str>> = asked.configuration_keys.as_ref().map(|keys| keys.iter().collect());
        let wanted = |name: &str| keys.as_ref().is_none_or(|keys| keys.is_empty() || keys.contains(name));
        match asked.resource_type {
            TOPIC => {
                let topic = self.topic(asked.resource_name)?;
                let wanted = topic_config::DEFINITIONS.iter().filter(|definition| wanted(definition.name));
                Ok(wanted.map(|definition| self.topic_config(topic, definition)).collect())
            }
            // All brokers together: what was set for all of them while they run.
            BROKER if asked.resource_name.is_empty() => {
                let defaults = self.state.broker_defaults().iter().filter(|(name, _)| wanted(name));
                Ok(defaults.map(|(name, value)| all_brokers_config(name, value)).collect())
            }
            BROKER => {
                self.check_node(asked.resource_name)?;
                let wanted = self.own.iter().filter(|config| wanted(config.name));
                Ok(wanted.map(|config| self.broker_config(config)).collect())
            }
            other => Err((ErrorCode::InvalidRequest, format!("resources of type {other} have no settings here"))),
        }
    }

    fn topic(&self, name: &str) -> Result<&'a Topic, Refused> {
        check_name(name)?;
        let unknown = || (ErrorCode::UnknownTopicOrPartition, "no topic has this name".to_owned());
        self.state.topic(name).ok_or_else(unknown)
    }

    fn check_node(&self, name: &str) -> Result<(), Refused> {
        match name.parse::<i32>() {
            Ok(node_id) if node_id == self.node_id => Ok(()),
            Ok(node_id) => {
                let text = format!("this is broker {} and not {node_id}", self.node_id);
                Err((ErrorCode::InvalidRequest, text))
            }
            Err(_) => Err((ErrorCode::InvalidRequest, format!("broker id {name} is not a number"))),
        }
    }

    fn topic_config(&self, topic: &'a Topic, definition: &'static Definition) -> DescribeConfigsResourceResult<'a> {
        let given = topic.setting(definition.name);
        let of_topic = given.map(|value| synonym(definition.name, value, SOURCE_TOPIC));
        let of_broker =
            broker_config::of_topic(definition.name).map(|name| synonym(name, definition.default, SOURCE_DEFAULT));
        DescribeConfigsResourceResult {
            name: definition.name,
            value: Some(given.unwrap_or(definition.default)),
            config_source: if given.is_some() { SOURCE_TOPIC } else { SOURCE_DEFAULT },
            synonyms: self.synonyms([of_topic, of_broker]),
            config_type: type_code(definition.kind),
            documentation: self.documentation(definition.doc),
            ..Default::default()
        }
    }

    fn broker_config(&self, config: &'a BrokerConfig) -> DescribeConfigsResourceResult<'a> {
        let source = if config.is_default { SOURCE_DEFAULT } else { SOURCE_START };
        let value = config.value.as_deref();
        DescribeConfigsResourceResult {
            name: config.name,
            value,
            read_only: true,
            config_source: source,
            synonyms: self.synonyms([value.map(|value| synonym(config.name, value, source)), None]),
            config_type: type_code(config.kind),
            documentation: self.documentation(config.doc),
            ..Default::default()
        }
    }

    fn synonyms(&self, from: [Option<DescribeConfigsSynonym<'a>>; 2]) -> Array<'a, DescribeConfigsSynonym<'a>> {
        from.into_iter().flatten().filter(|_| self.request.include_synonyms).collect()
    }

    fn documentation(&self, text: &'a str) -> Option<&'a str> {
        self.request.include_documentation.then_some(text)
    }
}

fn all_brokers_config<'a>(name: &'a str, value: &'a str) -> DescribeConfigsResourceResult<'a> {
    let config_source = SOURCE_ALL_BROKERS;
    DescribeConfigsResourceResult { name, value: Some(value), config_source, ..Default::default() }
}

fn synonym<'a>(name: &'a str, value: &'a str, source: i8) -> DescribeConfigsSynonym<'a> {
    DescribeConfigsSynonym { name, value: Some(value), source }
}

/// Kafka's number of a type.
fn type_code(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => 1,
        Kind::Word(_) => 2,
        Kind::Int(..) => 3,
        Kind::Long(..) => 5,
        Kind::Double(..) => 6,
        Kind::List(_) | Kind::FreeList => 7,
    }
}
