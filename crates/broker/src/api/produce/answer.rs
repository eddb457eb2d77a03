//! The answer: what became of each partition's batch.

use futures_util::future::join_all;
use kafscale_log::BarrierError;
use kafscale_protocol::{
    ApiKey, Array, ErrorCode,
    messages::produce::{BatchIndexAndErrorMessage, PartitionProduceResponse, Request, Response, TopicProduceResponse},
};
use kafscale_state::Handle;

use super::Rejected;
use crate::{
    Broker,
    api::{Answer, Call, Refusal, Session, error_codes},
    write::{self, BatchResult},
};

/// Of a batch that was sent to be appended, what its answer needs.
#[derive(Clone, Copy)]
pub struct Sent {
    pub partition: Handle,
    /// Whether the topic has LogAppendTime.
    pub is_stamped: bool,
}

/// "No such topic", and a gap in the sequences, are claims that something does not exist, and no such claim may be older
/// than the request: from a broker that was taken over and does not know it yet, a gap would make a client give its
/// sequences up, and a client might ask after its topic for ever. A barrier that succeeds proves that nobody else has
/// written, so this replica had all there is.
pub async fn confirm_absences(broker: &Broker, judged: &mut [Result<Sent, Rejected>], appended: &mut [BatchResult]) {
    let is_unknown = |judged: &Result<_, Rejected>| {
        let code = judged.as_ref().err().map(|rejected| rejected.code);
        matches!(code, Some(ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition))
    };
    let is_gap = |result: &BatchResult| matches!(result, Err(write::Error::OutOfOrderSequence));
    if !judged.iter().any(is_unknown) && !appended.iter().any(is_gap) {
        return;
    }
    let Err(error) = broker.barrier().await else { return };
    let instead = match error {
        BarrierError::Fenced(_) => write::Error::Stopped,
        BarrierError::Unavailable(_) => write::Error::StoreStalled,
    };
    for judged in judged.iter_mut().filter(|judged| is_unknown(judged)) {
        *judged = Err(Rejected::new(error_codes::of_barrier(&error), "the log cannot be asked for its end"));
    }
    appended.iter_mut().filter(|result| is_gap(result)).for_each(|result| *result = Err(instead));
}

/// A retry of what was written before is told when that was appended, not when it was sent again: producers hand the answer
/// to their callers as the record's timestamp. What cannot be read stays unknown.
pub async fn find_append_times(broker: &Broker, sent: &[Result<Sent, Rejected>], appended: &mut [BatchResult]) {
    let sent = sent.iter().filter_map(|sent| sent.as_ref().ok());
    let find = async |(sent, result): (&Sent, &mut BatchResult)| match result {
        Ok(appended) if sent.is_stamped && appended.max_timestamp.is_none() => {
            appended.max_timestamp = broker.reader().append_time(sent.partition, appended.base_offset).await;
        }
        _ => {}
    };
    join_all(sent.zip(appended).map(find)).await;
}

/// Writes the answer; none where the client wants none.
pub fn answer(
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
