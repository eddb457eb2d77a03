//! CreateTopics (19).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::join_all;
use kafscale_protocol::{
    ApiKey, Array, ErrorCode, Uuid,
    messages::create_topics::{CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, Request, Response},
};

use super::{
    Answer, Call, Refusal, Session,
    topic_creation::{Created, NotCreated, Wanted},
};
use crate::config::{
    definition::Definition,
    layers::{Layers, Source},
    topic,
};

/// Partitions that one request may create, as in Kafka.
pub(super) const PARTITIONS_MAX: u32 = 10_000;

/// Creates what can be created; every topic has its own result. All of them ride in one object.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.len())?;
    let mut seen = BTreeSet::new();
    let topics: Vec<CreatableTopic<'_>> = request.topics.iter().collect();
    if partitions_in_all(&topics, session.settings().default_partitions) > PARTITIONS_MAX {
        return refuse_all(&session, &call, &topics);
    }
    let twice: BTreeSet<&str> =
        topics.iter().filter(|topic| !seen.insert(topic.name)).map(|topic| topic.name).collect();
    let results = join_all(topics.iter().filter(|topic| !twice.contains(topic.name)).map(|topic| {
        let session = &session;
        async move { (topic.name, create(session, topic, request.validate_only).await) }
    }));
    let results = results.await;
    let configs: Vec<_> = topics.iter().map(|topic| (topic.name, settings_of(topic).unwrap_or_default())).collect();
    let configs: BTreeMap<&str, BTreeMap<String, String>> = configs.into_iter().collect();
    let state = session.broker().replica().snapshot();
    let mut responses: Vec<CreatableTopicResult<'_>> = Vec::with_capacity(results.len() + twice.len());
    for (name, result) in &results {
        if let Err((code, _)) = result {
            session.broker().metrics().error(ApiKey::CreateTopics, *code);
        }
        let layers = Layers::of_settings(&state, session.settings().node_id, &configs[name]);
        responses.push(response(name, result, &layers));
    }
    responses.extend(twice.iter().map(|name| CreatableTopicResult {
        name,
        error_code: ErrorCode::InvalidRequest,
        error_message: Some("duplicate topic name in the request"),
        configs: Some(Array::EMPTY),
        ..Default::default()
    }));
    call.respond(&Response { topics: Array::from(responses), ..Default::default() })
}

/// The partitions of all topics that say how many, or leave it to the default. A topic counts as one at least.
fn partitions_in_all(topics: &[CreatableTopic<'_>], default: u32) -> u32 {
    let partitions = |topic: &CreatableTopic<'_>| partitions_of(topic).map_or(1, |count| count.unwrap_or(default));
    topics.iter().fold(0, |sum: u32, topic| sum.saturating_add(partitions(topic)))
}

fn refuse_all(session: &Session, call: &Call, topics: &[CreatableTopic<'_>]) -> Result<Answer, Refusal> {
    session.broker().metrics().error(ApiKey::CreateTopics, ErrorCode::PolicyViolation);
    let text = format!("a request may create {PARTITIONS_MAX} partitions");
    let refused = topics.iter().map(|topic| CreatableTopicResult {
        name: topic.name,
        error_code: ErrorCode::PolicyViolation,
        error_message: Some(&text),
        configs: Some(Array::EMPTY),
        ..Default::default()
    });
    call.respond(&Response { topics: refused.collect(), ..Default::default() })
}

/// The order of the checks is Kafka's (`ReplicationControlManager`): name, settings, assignments, replication, partitions.
async fn create(session: &Session, topic: &CreatableTopic<'_>, validate_only: bool) -> Result<Created, NotCreated> {
    session.check_free(topic.name)?;
    let settings = settings_of(topic)?;
    topic::check_all(&settings).map_err(|error| (error.code(), error.to_string()))?;
    let partitions = partitions_of(topic)?.unwrap_or(session.settings().default_partitions);
    if validate_only {
        return Ok(Created { id: 0, partitions });
    }
    session.create_topic(Wanted { name: topic.name, partitions, settings }).await
}

/// The partition count: given, by the assignments, or the default (-1). Replication is the store's business, so any factor
/// that Kafka would understand is accepted.
fn partitions_of(topic: &CreatableTopic<'_>) -> Result<Option<u32>, NotCreated> {
    if !topic.assignments.is_empty() {
        if topic.num_partitions != -1 || topic.replication_factor != -1 {
            let text = "with assignments, partitions and replication factor must be -1".to_owned();
            return Err((ErrorCode::InvalidRequest, text));
        }
        let indexes: BTreeSet<i32> = topic.assignments.iter().map(|assignment| assignment.partition_index).collect();
        let dense = indexes.iter().copied().eq(0..topic.assignments.len() as i32);
        let some_broker = topic.assignments.iter().all(|assignment| !assignment.broker_ids.is_empty());
        return match dense && some_broker {
            true => Ok(Some(topic.assignments.len() as u32)),
            false => Err((ErrorCode::InvalidReplicaAssignment, "partitions must be 0, 1, 2 ...".to_owned())),
        };
    }
    if topic.replication_factor == 0 || topic.replication_factor < -1 {
        let text = "replication factor must be larger than 0, or -1 for the default".to_owned();
        return Err((ErrorCode::InvalidReplicationFactor, text));
    }
    match topic.num_partitions {
        -1 => Ok(None),
        count if count > 0 => Ok(Some(count as u32)),
        _ => Err((ErrorCode::InvalidPartitions, "number of partitions must be larger than 0, or -1".to_owned())),
    }
}

fn settings_of(topic: &CreatableTopic<'_>) -> Result<BTreeMap<String, String>, NotCreated> {
    let mut settings = BTreeMap::new();
    for config in topic.configs.iter() {
        let Some(value) = config.value else {
            return Err((ErrorCode::InvalidConfig, format!("null value for topic config {}", config.name)));
        };
        settings.insert(config.name.to_owned(), value.to_owned());
    }
    Ok(settings)
}

fn response<'a>(
    name: &'a str,
    result: &'a Result<Created, NotCreated>,
    layers: &Layers<'a>,
) -> CreatableTopicResult<'a> {
    match result {
        Ok(created) => CreatableTopicResult {
            name,
            topic_id: Uuid(created.id.to_be_bytes()),
            num_partitions: created.partitions as i32,
            replication_factor: 1,
            configs: Some(Array::from(configs(layers))),
            ..Default::default()
        },
        Err((error_code, text)) => {
            let configs = Some(Array::EMPTY);
            CreatableTopicResult {
                name,
                error_code: *error_code,
                error_message: Some(text),
                configs,
                ..Default::default()
            }
        }
    }
}

fn configs<'a>(layers: &Layers<'a>) -> Vec<CreatableTopicConfigs<'a>> {
    let config = |definition: &'static Definition| CreatableTopicConfigs {
        name: definition.name,
        value: Some(layers.value(definition)),
        config_source: layers.of(definition).next().map_or(Source::Default, |given| given.source) as i8,
        ..Default::default()
    };
    topic::DEFINITIONS.iter().map(config).collect()
}
