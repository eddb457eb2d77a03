//! What of a request may be appended: every partition is judged for itself, by its topic's settings.

use std::ops::Range;

use kafscale_protocol::{
    ErrorCode,
    messages::produce::{PartitionProduceData, Request, TopicProduceData},
};
use kafscale_records::{Batch, Codec};
use kafscale_state::{Handle, State, Topic, entry::Producer};

use super::{Rejected, inside};
use crate::{
    api::Session,
    config::{layers::Layers, topic::TopicConfig},
};

/// A batch that may be appended, and where it lies in the frame.
#[derive(Clone)]
pub struct Accepted {
    pub partition: Handle,
    pub at: Range<usize>,
    /// The batch as its topic wants it compressed, if that is not how it came.
    pub recompressed: Option<Vec<u8>>,
    pub records: u32,
    pub max_timestamp: i64,
    /// When the batch was appended, where its topic wants to know that.
    pub stamp: Option<i64>,
    pub producer: Option<(Producer, i32)>,
}

/// Judges every partition of the request, in order.
pub fn judge(session: &Session, frame: &[u8], request: &Request<'_>, version: i16) -> Vec<Result<Accepted, Rejected>> {
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
    let mut judge = Judge { frame, version, now_ms, room: session.settings().request_bytes_max };
    let mut judged = Vec::with_capacity(targets.len());
    for topic_data in request.topic_data.iter() {
        for data in topic_data.partition_data.iter() {
            let target = targets.next().expect("one for each partition").map_err(|code| Rejected::new(code, ""));
            judged.push(target.and_then(|(handle, config)| judge.batch(&data, handle, &config)));
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

/// What all batches of a request are judged with.
struct Judge<'a> {
    frame: &'a [u8],
    version: i16,
    now_ms: i64,
    /// What is compressed anew may grow, but all of it to no more than this.
    room: usize,
}

impl Judge<'_> {
    fn batch(
        &mut self,
        data: &PartitionProduceData<'_>,
        partition: Handle,
        config: &TopicConfig,
    ) -> Result<Accepted, Rejected> {
        let bytes = data.records.as_ref().and_then(|records| records.borrowed()).unwrap_or_default();
        if bytes.is_empty() {
            return Err(Rejected::new(ErrorCode::InvalidRecord, "a partition without a record batch"));
        }
        let batch = Batch::validate(bytes).map_err(Rejected::from)?;
        let header = batch.header();
        if bytes.len() > config.batch_bytes_max {
            let limit = config.batch_bytes_max;
            let text = format!("a batch of {} bytes is above max.message.bytes {limit}", bytes.len());
            return Err(Rejected::new(ErrorCode::MessageTooLarge, text));
        }
        if header.attributes.is_transactional() {
            return Err(Rejected::new(ErrorCode::InvalidTxnState, "transactions are not supported yet"));
        }
        if self.version < 7 && header.attributes.codec() == Ok(Codec::Zstd) {
            return Err(Rejected::new(ErrorCode::UnsupportedCompressionType, "zstd needs Produce version 7"));
        }
        let stamp = config.log_append_time.then_some(self.now_ms);
        if stamp.is_none() {
            check_timestamps(header.base_timestamp, header.max_timestamp, config, self.now_ms)?;
        }
        let recompressed = inside::look(&batch, config, self.room)?;
        self.room -= recompressed.as_ref().map_or(0, Vec::len);
        let start = bytes.as_ptr() as usize - self.frame.as_ptr() as usize;
        let producer = || Producer { id: header.producer_id, epoch: header.producer_epoch, transactional: false };
        Ok(Accepted {
            partition,
            at: start..start + bytes.len(),
            recompressed,
            records: u32::try_from(header.record_count).expect("validated to be positive"),
            max_timestamp: stamp.unwrap_or(header.max_timestamp),
            stamp,
            producer: (header.producer_id >= 0).then(|| (producer(), header.base_sequence)),
        })
    }
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
