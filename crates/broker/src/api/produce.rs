//! Produce (0): batches into the write path.
//!
//! [`begin`] runs before any await, so that requests of one connection take their places in order: it validates every
//! partition's batch, stamps it in the frame itself (leader epoch, LogAppendTime), and hands shared slices of the frame to
//! the writer. Nothing is copied but what is a small part of its frame, or what its topic wants compressed otherwise.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use kafscale_log::BarrierError;
use kafscale_protocol::{
    ApiKey, Array, ErrorCode, RequestHeader,
    messages::produce::{
        BatchIndexAndErrorMessage, PartitionProduceData, PartitionProduceResponse, Request, Response, TopicProduceData,
        TopicProduceResponse,
    },
};
use kafscale_records::{Batch, BatchError, Codec, edit, recompress};
use kafscale_runtime::{BoxFuture, timeout};
use kafscale_state::{Handle, State, Topic, entry::Producer};

use super::{Answer, Call, LEADER_EPOCH, Refusal, Session, error_codes};
use crate::{
    Broker,
    config::{layers::Layers, topic::TopicConfig},
    write::{Append, BatchResult, STALL, Waiting, replies},
};

/// The shortest time that a request waits for the store, however little the client asks for.
const WAIT_MIN_MS: i32 = 1_000;

/// Records that one answer tells of at most where a batch is refused for some of them.
const RECORD_ERRORS_MAX: usize = 100;
/// Bytes to which a batch may decompress.
const DECOMPRESSED_MAX: u64 = 256 << 20;

/// Why a batch goes no further.
#[derive(Debug, Clone)]
struct Rejected {
    /// Kafka's code.
    code: ErrorCode,
    /// The same in words; may be empty.
    text: String,
    /// Which records of the batch are to blame, if not all, and what for.
    records: Vec<(u32, &'static str)>,
}

impl Rejected {
    fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), records: Vec::new() }
    }
}

/// Of a batch that was sent to be appended, what its answer needs.
#[derive(Clone, Copy)]
struct Sent {
    partition: Handle,
    /// Whether the topic has LogAppendTime.
    is_stamped: bool,
}

/// A batch that may be appended, and where it lies in the frame.
#[derive(Clone)]
struct Accepted {
    partition: Handle,
    at: std::ops::Range<usize>,
    /// The batch as its topic wants it compressed, if that is not how it came.
    recompressed: Option<Vec<u8>>,
    records: u32,
    max_timestamp: i64,
    stamp: Option<i64>,
    producer: Option<(Producer, i32)>,
}

/// Takes the request's place in the write path and returns its answer.
pub fn begin(
    session: &Arc<Session>,
    mut frame: BytesMut,
    body_at: usize,
) -> Result<BoxFuture<'static, Result<Answer, Refusal>>, Refusal> {
    let (header, body) = RequestHeader::read(&frame)?;
    let request = <Request<'_> as kafscale_protocol::Body>::read(header.api_version, body)?;
    Refusal::unless_few(request.topic_data.iter().map(|topic| topic.partition_data.len().max(1)).sum())?;
    let (acks, timeout_ms) = (request.acks, request.timeout_ms);
    let mut judged = judge(session, &frame, &request, header.api_version);
    let mut call = Call::new(ApiKey::Produce, &header, Bytes::new(), body_at);

    for accepted in judged.iter_mut().flatten() {
        let batch = match &mut accepted.recompressed {
            Some(batch) => batch.as_mut_slice(),
            None => &mut frame[accepted.at.clone()],
        };
        edit::set_partition_leader_epoch(batch, LEADER_EPOCH);
        if let Some(now_ms) = accepted.stamp {
            edit::stamp_log_append_time(batch, now_ms);
        }
    }
    let frame = frame.freeze();
    call = call.with_frame(frame.clone());

    let accepted_bytes: usize = judged.iter().flatten().map(|accepted| accepted.at.len()).sum();
    let kept = judged.iter().flatten().filter(|accepted| accepted.recompressed.is_none());
    let shared_bytes: usize = kept.map(|accepted| accepted.at.len()).sum();
    let (mut parts, outcome) = replies(judged.iter().flatten().count());
    parts.reverse();
    let append = |accepted: &mut Accepted| Append {
        partition: accepted.partition,
        bytes: match accepted.recompressed.take() {
            Some(batch) => Bytes::from(batch),
            None => part(&frame, accepted.at.clone(), shared_bytes),
        },
        records: accepted.records,
        max_timestamp: accepted.max_timestamp,
        producer: accepted.producer,
        waiting: Waiting::new(parts.pop().expect("one reply for each accepted batch")),
    };
    let sent = |accepted: &Accepted| Sent { partition: accepted.partition, is_stamped: accepted.stamp.is_some() };
    let mut sent: Vec<Result<Sent, Rejected>> =
        judged.iter().map(|judged| judged.as_ref().map(sent).map_err(Clone::clone)).collect();
    let appends: Vec<Append> = judged.iter_mut().flatten().map(append).collect();
    let broker = session.broker();
    broker.metrics().produced(accepted_bytes, appends.len());
    let is_write = !appends.is_empty();
    if is_write {
        broker.writer().produce(session.id(), appends);
    }

    let session = Arc::clone(session);
    Ok(Box::pin(async move {
        let broker = session.broker();
        let limit = if acks == -1 { STALL.min(millis(timeout_ms.max(WAIT_MIN_MS))) } else { STALL };
        let outcome = timeout(&**broker.runtime(), limit, outcome).await;
        if is_write {
            broker.writer().answered(session.id());
        }
        let mut appended: Vec<BatchResult> = match outcome {
            Ok(Ok(results)) => results,
            Ok(Err(_)) => vec![Err(crate::write::Error::Stopped); sent.len()],
            Err(_) => vec![Err(crate::write::Error::TimedOut); sent.len()],
        };
        confirm_absences(broker, &mut sent, &mut appended).await;
        if acks != 0 {
            find_append_times(broker, &sent, &mut appended).await;
        }
        answer(&session, &call, acks, &sent, appended)
    }))
}

/// "No such topic", and a gap in the sequences, are claims that something does not exist, and no such claim may be older
/// than the request: from a broker that was taken over and does not know it yet, a gap would make a client give its
/// sequences up, and a client might ask after its topic for ever. A barrier that succeeds proves that nobody else has
/// written, so this replica had all there is.
async fn confirm_absences(broker: &Broker, judged: &mut [Result<Sent, Rejected>], appended: &mut [BatchResult]) {
    let is_unknown = |judged: &Result<_, Rejected>| {
        let code = judged.as_ref().err().map(|rejected| rejected.code);
        matches!(code, Some(ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition))
    };
    let is_gap = |result: &BatchResult| matches!(result, Err(crate::write::Error::OutOfOrderSequence));
    if !judged.iter().any(is_unknown) && !appended.iter().any(is_gap) {
        return;
    }
    let Err(error) = broker.barrier().await else { return };
    let instead = match error {
        BarrierError::Fenced(_) => crate::write::Error::Stopped,
        BarrierError::Unavailable(_) => crate::write::Error::StoreStalled,
    };
    for judged in judged.iter_mut().filter(|judged| is_unknown(judged)) {
        *judged = Err(Rejected::new(error_codes::of_barrier(&error), "the log cannot be asked for its end"));
    }
    appended.iter_mut().filter(|result| is_gap(result)).for_each(|result| *result = Err(instead));
}

/// A retry of what was written before is told when that was appended, not when it was sent again: producers hand the answer
/// to their callers as the record's timestamp. What cannot be read stays unknown.
async fn find_append_times(broker: &Broker, sent: &[Result<Sent, Rejected>], appended: &mut [BatchResult]) {
    let sent = sent.iter().filter_map(|sent| sent.as_ref().ok());
    let find = async |(sent, result): (&Sent, &mut BatchResult)| match result {
        Ok(appended) if sent.is_stamped && appended.max_timestamp.is_none() => {
            appended.max_timestamp = broker.reader().append_time(sent.partition, appended.base_offset).await;
        }
        _ => {}
    };
    join_all(sent.zip(appended).map(find)).await;
}

/// A part of a frame: shared, unless what is taken of it in all is the smaller part of it. A batch may outlive its request,
/// and must not keep much more memory than it counts for.
fn part(frame: &Bytes, at: std::ops::Range<usize>, taken: usize) -> Bytes {
    if taken >= frame.len() / 2 { frame.slice(at) } else { Bytes::copy_from_slice(&frame[at]) }
}

fn millis(ms: i32) -> std::time::Duration {
    std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

/// Judges every partition of the request, in order.
fn judge(session: &Session, frame: &[u8], request: &Request<'_>, version: i16) -> Vec<Result<Accepted, Rejected>> {
    let refused = |code, text: &str| -> Vec<Result<Accepted, Rejected>> {
        let count = request.topic_data.iter().map(|topic| topic.partition_data.len()).sum();
        vec![Err(Rejected::new(code, text)); count]
    };
    if request.transactional_id.is_some() {
        return refused(ErrorCode::InvalidRequest, "transactions are not supported yet");
    }
    if !(-1..=1).contains(&request.acks) {
        return refused(ErrorCode::InvalidRequiredAcks, "acks must be -1, 0 or 1");
    }
    let now_ms = session.broker().cluster_time_ms();
    let node_id = session.settings().node_id;
    // Checksums take their time: the state is not locked meanwhile.
    let mut targets =
        session.broker().replica().read(|state| find_targets(state, node_id, request, version)).into_iter();
    let mut judged = Vec::with_capacity(targets.len());
    // What is compressed anew may grow, but all of it no longer than a request may be.
    let mut room = session.settings().request_bytes_max;
    for topic_data in request.topic_data.iter() {
        for data in topic_data.partition_data.iter() {
            let target = targets.next().expect("one for each partition").map_err(|code| Rejected::new(code, ""));
            let accepted = target.and_then(|(handle, config)| {
                let (accepted, batch) = judge_batch(frame, &data, handle, &config, version, now_ms)?;
                let recompressed = as_wanted(&batch, &config, room)?;
                room -= recompressed.as_ref().map_or(0, Vec::len);
                Ok(Accepted { recompressed, ..accepted })
            });
            judged.push(accepted);
        }
    }
    judged
}

/// Every partition of the request and its topic's settings, in order.
fn find_targets(
    state: &State,
    node_id: i32,
    request: &Request<'_>,
    version: i16,
) -> Vec<Result<(Handle, TopicConfig), ErrorCode>> {
    let mut targets = Vec::new();
    for topic_data in request.topic_data.iter() {
        let topic = find_topic(state, &topic_data, version);
        let topic = topic.map(|topic| (topic, TopicConfig::new(&Layers::of_topic(state, node_id, topic))));
        targets.extend(topic_data.partition_data.iter().map(|data| {
            let (topic, config) = topic.as_ref().map_err(|code| *code)?;
            let handle = u32::try_from(data.index).ok().and_then(|index| topic.handle(index));
            Ok((handle.ok_or(ErrorCode::UnknownTopicOrPartition)?, *config))
        }));
    }
    targets
}

fn find_topic<'a>(state: &'a State, data: &TopicProduceData<'_>, version: i16) -> Result<&'a Topic, ErrorCode> {
    if version >= 13 {
        let id = u128::from_be_bytes(data.topic_id.0);
        return state.topic_by_id(id).ok_or(ErrorCode::UnknownTopicId);
    }
    state.topic(data.name).ok_or(ErrorCode::UnknownTopicOrPartition)
}

fn judge_batch<'a>(
    frame: &[u8],
    data: &PartitionProduceData<'a>,
    partition: Handle,
    config: &TopicConfig,
    version: i16,
    now_ms: i64,
) -> Result<(Accepted, Batch<'a>), Rejected> {
    let bytes = data.records.as_ref().and_then(|records| records.borrowed()).unwrap_or_default();
    if bytes.is_empty() {
        return Err(Rejected::new(ErrorCode::InvalidRecord, "a partition without a record batch"));
    }
    let batch = Batch::validate(bytes).map_err(|error| Rejected::new(batch_code(&error), error.to_string()))?;
    let header = batch.header();
    if bytes.len() > config.batch_bytes_max {
        let text = format!("a batch of {} bytes is above max.message.bytes {}", bytes.len(), config.batch_bytes_max);
        return Err(Rejected::new(ErrorCode::MessageTooLarge, text));
    }
    if header.attributes.is_transactional() {
        return Err(Rejected::new(ErrorCode::InvalidTxnState, "transactions are not supported yet"));
    }
    if version < 7 && header.attributes.codec() == Ok(Codec::Zstd) {
        return Err(Rejected::new(ErrorCode::UnsupportedCompressionType, "zstd needs Produce version 7"));
    }
    let stamp = config.log_append_time.then_some(now_ms);
    if stamp.is_none() {
        check_timestamps(header.base_timestamp, header.max_timestamp, config, now_ms)?;
    }
    check_records(&batch, config.compact)?;
    let start = bytes.as_ptr() as usize - frame.as_ptr() as usize;
    let producer = (header.producer_id >= 0).then_some((
        Producer { id: header.producer_id, epoch: header.producer_epoch, transactional: false },
        header.base_sequence,
    ));
    let accepted = Accepted {
        partition,
        at: start..start + bytes.len(),
        recompressed: None,
        records: u32::try_from(header.record_count).expect("validated to be positive"),
        max_timestamp: stamp.unwrap_or(header.max_timestamp),
        stamp,
        producer,
    };
    Ok((accepted, batch))
}

/// The batch as its topic wants it compressed, if that is not how it came. It may have grown.
fn as_wanted(batch: &Batch<'_>, config: &TopicConfig, room: usize) -> Result<Option<Vec<u8>>, Rejected> {
    let came = batch.header().attributes.codec();
    let Some(to) = config.compression.filter(|to| came != Ok(to.codec)) else { return Ok(None) };
    let recompressed = recompress(batch, to, DECOMPRESSED_MAX, config.batch_bytes_max.min(room));
    recompressed.map(Some).map_err(|error| Rejected::new(batch_code(&error), error.to_string()))
}

/// The rules of KIP-937. A batch without timestamps passes.
fn check_timestamps(base: i64, max: i64, config: &TopicConfig, now_ms: i64) -> Result<(), Rejected> {
    let too_old = base >= 0 && now_ms.saturating_sub(base) > config.timestamp_before_max_ms;
    let too_new = max >= 0 && max.saturating_sub(now_ms) > config.timestamp_after_max_ms;
    if too_old || too_new {
        let text = format!("timestamps {base} to {max} are out of the range that the topic allows at {now_ms}");
        return Err(Rejected::new(ErrorCode::InvalidTimestamp, text));
    }
    Ok(())
}

/// The records are what the header says: nobody would get past a batch that cannot be read. Compaction keeps the last record
/// of each key, so there every record needs one.
fn check_records(batch: &Batch<'_>, need_keys: bool) -> Result<(), Rejected> {
    let keyless = kafscale_records::check(batch, if need_keys { RECORD_ERRORS_MAX } else { 0 }, DECOMPRESSED_MAX);
    let keyless = keyless.map_err(|error| Rejected::new(batch_code(&error), error.to_string()))?;
    if keyless.is_empty() {
        return Ok(());
    }
    let text = "One or more records have been rejected due to record errors";
    let records =
        keyless.into_iter().map(|index| (index, "Compacted topic cannot accept message without key")).collect();
    Err(Rejected { records, ..Rejected::new(ErrorCode::InvalidRecord, text) })
}

/// Kafka's code for a batch that is refused as it is.
fn batch_code(error: &BatchError) -> ErrorCode {
    match error {
        BatchError::Length { .. } | BatchError::UnknownMagic { .. } | BatchError::Crc { .. } => {
            ErrorCode::CorruptMessage
        }
        BatchError::Codec { .. } => ErrorCode::UnsupportedCompressionType,
        BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        _ => ErrorCode::InvalidRecord,
    }
}

fn answer(
    session: &Session,
    call: &Call,
    acks: i16,
    judged: &[Result<Sent, Rejected>],
    appended: Vec<BatchResult>,
) -> Result<Answer, Refusal> {
    let metrics = session.broker().metrics();
    let mut appended = appended.into_iter();
    let mut judged = judged.iter();
    let mut first_error = None;
    let request: Request<'_> = call.request()?;
    let mut responses = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data.iter() {
        let mut partitions = Vec::with_capacity(topic.partition_data.len());
        for data in topic.partition_data.iter() {
            let judged = judged.next().expect("every partition was judged");
            let response = partition_response(data.index, judged, &mut appended);
            if response.error_code != ErrorCode::None {
                metrics.error(ApiKey::Produce, response.error_code);
                first_error.get_or_insert(response.error_code);
            }
            partitions.push(response);
        }
        let partition_responses = Array::from(partitions);
        responses.push(TopicProduceResponse { name: topic.name, topic_id: topic.topic_id, partition_responses });
    }
    if acks == 0 {
        #[cfg(feature = "planted-bugs")]
        let first_error = first_error.filter(|_| !crate::planted::is(crate::planted::Bug::SilentFailure));
        return match first_error {
            None => Ok(Answer::Silent),
            Some(code) => Err(Refusal::Closed(format!("acks=0 and a batch failed with {code:?}"))),
        };
    }
    let throttle_time_ms = session.broker().throttle_ms();
    call.respond(&Response { responses: Array::from(responses), throttle_time_ms, ..Default::default() })
}

fn partition_response<'a>(
    index: i32,
    judged: &'a Result<Sent, Rejected>,
    appended: &mut impl Iterator<Item = BatchResult>,
) -> PartitionProduceResponse<'a> {
    let mut response = PartitionProduceResponse { index, base_offset: -1, ..Default::default() };
    match judged {
        Err(Rejected { code, text, records }) => {
            response.error_code = *code;
            response.error_message = (!text.is_empty()).then_some(text);
            let record = |&(index, text): &(u32, _)| BatchIndexAndErrorMessage {
                batch_index: index as i32,
                batch_index_error_message: Some(text),
            };
            response.record_errors = records.iter().map(record).collect();
        }
        Ok(sent) => match appended.next().expect("every accepted batch has a result") {
            Ok(at) => {
                response.base_offset = at.base_offset;
                response.log_start_offset = at.log_start_offset;
                response.log_append_time_ms = at.max_timestamp.filter(|_| sent.is_stamped).unwrap_or(-1);
            }
            Err(error) => response.error_code = error_codes::of_write(error),
        },
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_batch_does_not_keep_a_large_frame() {
        let frame = Bytes::from(vec![7; 1_000]);
        let is_shared = |part: &Bytes| frame.as_ptr_range().contains(&part.as_ptr());
        assert!(is_shared(&part(&frame, 100..200, 500)));
        let small = part(&frame, 100..200, 499);
        assert!(!is_shared(&small) && small == frame[100..200]);
    }
}
