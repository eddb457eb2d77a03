//! OffsetForLeaderEpoch (23): where a leader epoch ends. Here every partition has the one epoch 0 for ever, in Metadata, in
//! record batches and in this answer: it ends at the log's end.

use std::sync::Arc;

use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::offset_for_leader_epoch::{
        EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult, Request, Response,
    },
};
use kafscale_state::{State, Topic};

use super::{Answer, Call, LEADER_EPOCH, Refusal, Session, error_codes};

/// Answers once the replica has caught up: the answer claims an end.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.iter().map(|topic| topic.partitions.len().max(1)).sum())?;
    let broker = session.broker();
    let reached = broker.barrier().await.map_err(|error| error_codes::of_barrier(&error));
    let topics: Vec<_> = broker.replica().read(|state| {
        let topics = request.topics.iter().map(|asked| {
            let topic = state.topic(asked.topic);
            let answer = |asked| {
                reached.and_then(|()| end_of(state, topic, &asked)).unwrap_or_else(|code| refused(&asked, code))
            };
            let partitions = asked.partitions.iter().map(answer).collect();
            OffsetForLeaderTopicResult { topic: asked.topic, partitions }
        });
        topics.collect()
    });
    for answer in
        topics.iter().flat_map(|topic| &topic.partitions).filter(|answer| answer.error_code != ErrorCode::None)
    {
        broker.metrics().error(ApiKey::OffsetForLeaderEpoch, answer.error_code);
    }
    call.respond(&Response { topics: Array::from(topics), ..Default::default() })
}

fn end_of(state: &State, topic: Option<&Topic>, asked: &OffsetForLeaderPartition) -> Result<EpochEndOffset, ErrorCode> {
    let index = u32::try_from(asked.partition).ok();
    let handle = topic.zip(index).and_then(|(topic, index)| topic.handle(index));
    let partition = handle.and_then(|handle| state.partition(handle)).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if asked.current_leader_epoch > LEADER_EPOCH {
        return Err(ErrorCode::UnknownLeaderEpoch);
    }
    let mut answer = EpochEndOffset { partition: asked.partition, ..Default::default() };
    if asked.leader_epoch == LEADER_EPOCH {
        answer.leader_epoch = LEADER_EPOCH;
        answer.end_offset = partition.high_watermark();
    }
    Ok(answer)
}

fn refused(asked: &OffsetForLeaderPartition, error_code: ErrorCode) -> EpochEndOffset {
    EpochEndOffset { partition: asked.partition, error_code, ..Default::default() }
}
