//! Fetch (1): the wire side of [`Reader::fetch`](crate::read::Reader::fetch): sessions, topics, and the answer's form.
//!
//! There are no leaders here and one leader epoch, 0: a client that knows a later one has been elsewhere.

use std::{sync::Arc, time::Duration};

use kafscale_protocol::{
    ApiKey, Array, ErrorCode, Records, Uuid,
    messages::fetch::{FetchableTopicResponse, PartitionData, Request, Response},
};
use kafscale_state::{Handle, State, Topic};

use super::{Answer, Call, Hold, LEADER_EPOCH, Refusal, Session, error_codes};
use crate::read::{
    Ask, Limits, Taken,
    sessions::{self, Context, PartitionKey, SessionError, Told, TopicKey, Wanted},
};

/// Bytes of one answer at most, whatever the client asks for (Kafka's `fetch.max.bytes` of a broker).
const ANSWER_BYTES_MAX: i32 = 55 << 20;
/// The first version in which topics go by id.
const TOPIC_IDS: i16 = 13;
/// The isolation level of readers that want committed records only.
pub(super) const READ_COMMITTED: i8 = 1;

/// What one partition gets.
struct Outcome {
    error: ErrorCode,
    taken: Option<Taken>,
}

/// Answers when there is enough, or when the client's time is over.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let hold = Some(Arc::clone(session.fetches()).lock_owned().await);
    let request: Request<'_> = call.request()?;
    let named = request.topics.iter().map(|topic| topic.partitions.len().max(1)).sum::<usize>();
    let forgotten = request.forgotten_topics_data.iter().map(|topic| topic.partitions.len().max(1)).sum::<usize>();
    Refusal::unless_few(named + forgotten)?;
    let uses_topic_ids = call.version >= TOPIC_IDS;
    let broker = session.broker();
    let asked = asked(&request, uses_topic_ids);
    let begun = broker.fetch_sessions().lock().begin(asked, broker.runtime().now());
    let context = match begun {
        Ok(context) => context,
        Err(error) => return refuse(&session, &call, error, hold),
    };
    let resolved = resolve(&session, &context).await;
    let outcomes = fetch(&session, &request, &context, resolved, uses_topic_ids).await;
    let told: Vec<Told> = outcomes.iter().map(told).collect();
    broker.metrics().fetched_bytes.inc_by(told.iter().map(|told| told.bytes as u64).sum());
    let (now, random) = (broker.runtime().now(), broker.runtime().random_u64());
    let finished = broker.fetch_sessions().lock().finish(&context, uses_topic_ids, &told, now, random);
    match finished {
        Ok((session_id, sent)) => respond(&session, &call, &context, outcomes, session_id, &sent, hold),
        Err(error) => refuse(&session, &call, error, hold),
    }
}

/// The request in the words of fetch sessions.
fn asked(request: &Request<'_>, uses_topic_ids: bool) -> sessions::Request {
    let key = |name: &str, id: Uuid| match uses_topic_ids {
        true => TopicKey::Id(u128::from_be_bytes(id.0)),
        false => TopicKey::Name(name.into()),
    };
    let mut partitions = Vec::new();
    for topic in request.topics.iter() {
        let key = key(topic.topic, topic.topic_id);
        partitions.extend(topic.partitions.iter().map(|partition| {
            let wanted = Wanted {
                fetch_offset: partition.fetch_offset,
                partition_max_bytes: partition.partition_max_bytes,
                current_leader_epoch: partition.current_leader_epoch,
            };
            ((key.clone(), partition.partition), wanted)
        }));
    }
    let mut forgotten: Vec<PartitionKey> = Vec::new();
    for topic in request.forgotten_topics_data.iter() {
        let key = key(topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.iter().map(|partition| (key.clone(), partition)));
    }
    let (session_id, session_epoch) = (request.session_id, request.session_epoch);
    sessions::Request { session_id, session_epoch, uses_topic_ids, partitions, forgotten }
}

/// The partitions' handles. Before anything is called missing, the replica catches up.
async fn resolve(session: &Session, context: &Context) -> Vec<Result<Handle, ErrorCode>> {
    let broker = session.broker();
    let look = || broker.replica().read(|state| find(state, context));
    let found = look();
    if found.iter().all(Result::is_ok) {
        return found;
    }
    match broker.barrier().await {
        Ok(()) => look(),
        Err(_) => found.into_iter().map(|found| found.map_err(|_| ErrorCode::OffsetNotAvailable)).collect(),
    }
}

fn find(state: &State, context: &Context) -> Vec<Result<Handle, ErrorCode>> {
    // Partitions of one topic mostly stand together, so the topic is looked up once for all of them.
    let mut last: Option<(&TopicKey, Option<&Topic>)> = None;
    let handle = |((key, partition), wanted): &'_ (PartitionKey, Wanted), topic: Option<&Topic>| {
        let unknown = match key {
            TopicKey::Name(_) => ErrorCode::UnknownTopicOrPartition,
            TopicKey::Id(_) => ErrorCode::UnknownTopicId,
        };
        let topic = topic.ok_or(unknown)?;
        let handle = u32::try_from(*partition).ok().and_then(|index| topic.handle(index));
        let handle = handle.ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if wanted.current_leader_epoch > LEADER_EPOCH { Err(ErrorCode::UnknownLeaderEpoch) } else { Ok(handle) }
    };
    let mut handles = Vec::with_capacity(context.partitions.len());
    for wanted in &context.partitions {
        let key = &wanted.0.0;
        let topic = match last {
            Some((last, topic)) if last == key => topic,
            _ => match key {
                TopicKey::Name(name) => state.topic(name),
                TopicKey::Id(id) => state.topic_by_id(*id),
            },
        };
        last = Some((key, topic));
        handles.push(handle(wanted, topic));
    }
    handles
}

async fn fetch(
    session: &Session,
    request: &Request<'_>,
    context: &Context,
    resolved: Vec<Result<Handle, ErrorCode>>,
    uses_topic_ids: bool,
) -> Vec<Outcome> {
    let asks: Vec<Ask> = context
        .partitions
        .iter()
        .zip(&resolved)
        .filter_map(|((_, wanted), handle)| {
            let bytes_max = usize::try_from(wanted.partition_max_bytes).unwrap_or(0);
            Some(Ask { partition: *handle.as_ref().ok()?, offset: wanted.fetch_offset, bytes_max })
        })
        .collect();
    // An error is told at once, together with what there is.
    let waits = asks.len() == resolved.len();
    let bytes_max = request.max_bytes.clamp(0, ANSWER_BYTES_MAX) as usize;
    let limits = Limits {
        bytes_max,
        bytes_min: if waits { usize::try_from(request.min_bytes).unwrap_or(0).min(bytes_max) } else { 0 },
        wait_max: Duration::from_millis(if waits { u64::try_from(request.max_wait_ms).unwrap_or(0) } else { 0 }),
    };
    let mut taken = session.broker().reader().fetch(&asks, limits).await.into_iter();
    let outcome = |resolved| match resolved {
        Err(error) => Outcome { error, taken: None },
        Ok(_) => {
            let taken = taken.next().expect("one for each ask");
            let error = match &taken.records {
                Ok(_) => ErrorCode::None,
                Err(error) => error_codes::of_read(error, uses_topic_ids),
            };
            Outcome { error, taken: Some(taken) }
        }
    };
    resolved.into_iter().map(outcome).collect()
}

fn told(outcome: &Outcome) -> Told {
    let is_error = outcome.error != ErrorCode::None;
    let offsets = outcome.taken.as_ref().and_then(|taken| taken.offsets).filter(|_| !is_error);
    let records = outcome.taken.as_ref().and_then(|taken| taken.records.as_ref().ok());
    Told {
        is_error,
        bytes: records.map_or(0, |records| records.iter().map(bytes::Bytes::len).sum()),
        high_watermark: offsets.map_or(-1, |offsets| offsets.high_watermark),
        log_start_offset: offsets.map_or(-1, |offsets| offsets.log_start),
    }
}

fn refuse(session: &Session, call: &Call, error: SessionError, hold: Hold) -> Result<Answer, Refusal> {
    let error_code = match error {
        SessionError::NotFound(_) => ErrorCode::FetchSessionIdNotFound,
        SessionError::Epoch { .. } => ErrorCode::InvalidFetchSessionEpoch,
        SessionError::TopicId => ErrorCode::FetchSessionTopicIdError,
    };
    session.broker().metrics().error(ApiKey::Fetch, error_code);
    call.respond_holding(&Response { error_code, ..Default::default() }, hold)
}

fn respond(
    session: &Session,
    call: &Call,
    context: &Context,
    outcomes: Vec<Outcome>,
    session_id: i32,
    sent: &[bool],
    hold: Hold,
) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    let reads_committed = request.isolation_level == READ_COMMITTED;
    let metrics = session.broker().metrics();
    let mut topics: Vec<(&TopicKey, Vec<PartitionData<'_>>)> = Vec::new();
    for ((((key, partition), _), outcome), _) in
        context.partitions.iter().zip(outcomes).zip(sent).filter(|(_, sent)| **sent)
    {
        if outcome.error != ErrorCode::None {
            metrics.error(ApiKey::Fetch, outcome.error);
        }
        if topics.last().is_none_or(|(last, _)| *last != key) {
            topics.push((key, Vec::new()));
        }
        let (_, partitions) = topics.last_mut().expect("pushed above");
        partitions.push(partition_data(*partition, outcome, reads_committed));
    }
    let responses = topics.into_iter().map(|(key, partitions)| {
        let partitions = Array::from(partitions);
        match key {
            TopicKey::Name(topic) => FetchableTopicResponse { topic, partitions, ..Default::default() },
            TopicKey::Id(id) => {
                FetchableTopicResponse { topic_id: Uuid(id.to_be_bytes()), partitions, ..Default::default() }
            }
        }
    });
    call.respond_holding(&Response { session_id, responses: responses.collect(), ..Default::default() }, hold)
}

fn partition_data<'a>(partition_index: i32, outcome: Outcome, reads_committed: bool) -> PartitionData<'a> {
    let error_code = outcome.error;
    let Some((offsets, records)) = outcome.taken.and_then(|taken| Some((taken.offsets?, taken.records.ok()?))) else {
        return PartitionData { partition_index, error_code, high_watermark: -1, ..Default::default() };
    };
    PartitionData {
        partition_index,
        high_watermark: offsets.high_watermark,
        last_stable_offset: offsets.last_stable,
        log_start_offset: offsets.log_start,
        aborted_transactions: reads_committed.then_some(Array::EMPTY),
        records: Records::Shared(records),
        ..Default::default()
    }
}
