//! DescribeConfigs (32): the settings of topics, brokers, groups and client metrics, each with its value in force and where it
//! comes from.

use std::{collections::BTreeSet, sync::Arc};

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::describe_configs::{
        DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym, Request,
        Response,
    },
};
use kafscale_state::{State, Topic, topic::Named};

use super::{
    Answer, Call, Refusal, Session,
    config_resource::{Refused, Resource},
    error_codes,
};
use crate::config::{
    broker::{self, BrokerConfig},
    definition::{Definition, Settings},
    group,
    layers::{Given, Layers, Source},
    topic,
};

/// The settings of one resource.
type Configs<'a> = Vec<DescribeConfigsResourceResult<'a>>;

/// Answers once the replica has caught up. A resource that is named twice is described once.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.resources.len())?;
    let broker = session.broker();
    let reached = broker.barrier().await;
    let state = broker.replica().snapshot();
    let own = broker::describe(session.settings(), &state);
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
    own: &'a [BrokerConfig<'a>],
}

impl<'a> View<'a> {
    fn describe(&self, asked: &DescribeConfigsResource<'a>) -> Result<Configs<'a>, Refused> {
        let keys: Option<BTreeSet<&str>> = asked.configuration_keys.as_ref().map(|keys| keys.iter().collect());
        let wanted = |name: &str| keys.as_ref().is_none_or(|keys| keys.is_empty() || keys.contains(name));
        Ok(match Resource::parse(asked.resource_type, asked.resource_name, self.node_id)? {
            Resource::Topic(name) => {
                let unknown = || (ErrorCode::UnknownTopicOrPartition, "no topic has this name".to_owned());
                let layers = self.layers(self.state.topic(name).ok_or_else(unknown)?);
                let wanted = topic::DEFINITIONS.iter().filter(|definition| wanted(definition.name));
                wanted.map(|definition| self.layered(definition.name, definition, layers.of(definition))).collect()
            }
            // All brokers together: what was set for all of them while they run.
            Resource::Brokers => {
                let defaults = self.state.broker_defaults().iter().filter(|(name, _)| wanted(name));
                defaults.filter_map(|(name, value)| self.of_all_brokers(name, value)).collect()
            }
            Resource::Broker(_) => {
                let wanted = self.own.iter().filter(|config| wanted(config.name));
                wanted.map(|config| self.of_broker(config)).collect()
            }
            resource @ Resource::Named(kind, name) => {
                let source = if kind == Named::Group { Source::Group } else { Source::ClientMetrics };
                let settings = self.state.named_settings(kind, name);
                let wanted = resource.definitions().iter().filter(|definition| wanted(definition.name));
                let given = |definition| given(settings, definition, source, kind == Named::Group);
                wanted.map(|definition| self.layered(definition.name, definition, given(definition))).collect()
            }
        })
    }

    fn layers(&self, topic: &'a Topic) -> Layers<'a> {
        Layers::of_topic(self.state, self.node_id, topic)
    }

    /// A setting with everything that was given for it, the value in force first.
    fn layered(
        &self,
        name: &'a str,
        definition: &'static Definition,
        given: impl Iterator<Item = Given<'a>>,
    ) -> DescribeConfigsResourceResult<'a> {
        let given: Vec<Given<'a>> = given.collect();
        let first = given.first();
        DescribeConfigsResourceResult {
            name,
            value: Some(first.map_or(definition.default, |given| given.value)),
            config_source: first.map_or(Source::Default, |given| given.source) as i8,
            synonyms: self.synonyms(&given),
            config_type: definition.kind.code(),
            documentation: self.documentation(definition.doc),
            ..Default::default()
        }
    }

    fn of_all_brokers(&self, name: &'a str, value: &'a str) -> Option<DescribeConfigsResourceResult<'a>> {
        let definition = broker::dynamic(name)?;
        let config = self.own.iter().find(|config| config.name == name)?;
        let source = |layer: &&Given<'a>| matches!(layer.source, Source::AllBrokers | Source::Default);
        let given: Vec<Given<'a>> = config.layers.iter().filter(source).copied().collect();
        let described = self.layered(config.name, definition, given.into_iter());
        Some(DescribeConfigsResourceResult { value: Some(value), ..described })
    }

    fn of_broker(&self, config: &'a BrokerConfig<'a>) -> DescribeConfigsResourceResult<'a> {
        let own = config.value.as_deref().map(|value| Given { name: config.name, value, source: config.source });
        let own: Vec<Given<'a>> = own.into_iter().collect();
        let layers = if config.layers.is_empty() { &own } else { &config.layers };
        DescribeConfigsResourceResult {
            name: config.name,
            value: config.value.as_deref(),
            read_only: broker::dynamic(config.name).is_none(),
            config_source: config.source as i8,
            synonyms: self.synonyms(layers),
            config_type: config.kind.code(),
            documentation: self.documentation(config.doc),
            ..Default::default()
        }
    }

    fn synonyms(&self, given: &[Given<'a>]) -> Array<'a, DescribeConfigsSynonym<'a>> {
        let shown = |given: &&Given<'a>| {
            self.request.include_synonyms && (given.source != Source::Default || broker::has_default(given.name))
        };
        let synonym = |given: &Given<'a>| DescribeConfigsSynonym {
            name: given.name,
            value: Some(given.value),
            source: given.source as i8,
        };
        given.iter().filter(shown).map(synonym).collect()
    }

    fn documentation(&self, text: &'a str) -> Option<&'a str> {
        self.request.include_documentation.then_some(text)
    }
}

/// What was given for a setting of a group or of client metrics; for groups the default is one of the broker's.
fn given<'a>(
    settings: Option<&'a Settings>,
    definition: &'static Definition,
    source: Source,
    has_default: bool,
) -> impl Iterator<Item = Given<'a>> + use<'a> {
    let own = settings.and_then(|settings| settings.get(definition.name));
    let own = own.map(|value| Given { name: definition.name, value, source });
    let name = group::of_broker(definition.name);
    let default = Given { name, value: definition.default, source: Source::Default };
    own.into_iter().chain(has_default.then_some(default))
}
