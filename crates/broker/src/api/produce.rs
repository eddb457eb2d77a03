//! Produce (0): batches into the write path.
//!
//! [`begin`] runs before any await, so that requests of one connection take their places in order: it has every partition's
//! batch judged, stamps it in the frame itself (leader epoch, LogAppendTime), and hands shared slices of the frame to
//! the writer. Nothing is copied but what is a small part of its frame, or what its topic wants compressed otherwise.
//! What follows waits for the verdicts and answers.

mod answer;
mod inside;
mod judge;
mod rejected;

use std::{ops::Range, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use kafscale_protocol::{ApiKey, Body, RequestHeader, messages::produce::Request};
use kafscale_records::edit;
use kafscale_runtime::{BoxFuture, timeout};
use tokio::sync::oneshot;

use self::{answer::Sent, judge::Accepted, rejected::Rejected};
use super::{Answer, Call, LEADER_EPOCH, Refusal, Session};
use crate::write::{self, Append, BatchResult, Outcome, STALL, Waiting, replies};

/// The shortest time that a request waits for the store, however little the client asks for.
const WAIT_MIN_MS: i32 = 1_000;

/// Takes the request's place in the write path and returns its answer.
pub fn begin(
    session: &Arc<Session>,
    mut frame: BytesMut,
    body_at: usize,
) -> Result<BoxFuture<'static, Result<Answer, Refusal>>, Refusal> {
    let (header, body) = RequestHeader::read(&frame)?;
    let request = <Request<'_> as Body>::read(header.api_version, body)?;
    Refusal::unless_few(request.topic_data.iter().map(|topic| topic.partition_data.len().max(1)).sum())?;
    let (acks, timeout_ms) = (request.acks, request.timeout_ms);
    let mut judged = judge::judge(session, &frame, &request, header.api_version);
    let call = Call::new(ApiKey::Produce, &header, Bytes::new(), body_at);

    judged.iter_mut().flatten().for_each(|accepted| stamp(&mut frame, accepted));
    let frame = frame.freeze();
    let call = call.with_frame(frame.clone());
    let (appends, outcome) = appends(&frame, &mut judged);
    let bytes = judged.iter().flatten().map(|accepted| accepted.at.len()).sum();
    let broker = session.broker();
    broker.metrics().produced(bytes, appends.len());
    let is_write = !appends.is_empty();
    if is_write {
        broker.writer().produce(session.id(), appends);
    }
    let sent = |accepted: Accepted| Sent { partition: accepted.partition, is_stamped: accepted.stamp.is_some() };
    let sent = judged.into_iter().map(|judged| judged.map(sent)).collect();
    let begun = Begun { session: Arc::clone(session), call, acks, timeout_ms, sent, is_write };
    Ok(Box::pin(begun.end(outcome)))
}

/// Writes into a batch what the broker owns of it.
fn stamp(frame: &mut [u8], accepted: &mut Accepted) {
    let batch = match &mut accepted.recompressed {
        Some(batch) => batch.as_mut_slice(),
        None => &mut frame[accepted.at.clone()],
    };
    edit::set_partition_leader_epoch(batch, LEADER_EPOCH);
    if let Some(now_ms) = accepted.stamp {
        edit::stamp_log_append_time(batch, now_ms);
    }
}

/// The accepted batches as the writer takes them, and what will become of them.
fn appends(frame: &Bytes, judged: &mut [Result<Accepted, Rejected>]) -> (Vec<Append>, oneshot::Receiver<Outcome>) {
    let kept = judged.iter().flatten().filter(|accepted| accepted.recompressed.is_none());
    let shared_bytes: usize = kept.map(|accepted| accepted.at.len()).sum();
    let (mut parts, outcome) = replies(judged.iter().flatten().count());
    parts.reverse();
    let append = |accepted: &mut Accepted| Append {
        partition: accepted.partition,
        bytes: match accepted.recompressed.take() {
            Some(batch) => Bytes::from(batch),
            None => part(frame, accepted.at.clone(), shared_bytes),
        },
        records: accepted.records,
        max_timestamp: accepted.max_timestamp,
        producer: accepted.producer,
        waiting: Waiting::new(parts.pop().expect("one reply for each accepted batch")),
    };
    (judged.iter_mut().flatten().map(append).collect(), outcome)
}

/// A part of a frame: shared, unless what is taken of it in all is the smaller part of it. A batch may outlive its request,
/// and must not keep much more memory than it counts for.
fn part(frame: &Bytes, at: Range<usize>, taken: usize) -> Bytes {
    if taken >= frame.len() / 2 { frame.slice(at) } else { Bytes::copy_from_slice(&frame[at]) }
}

/// A request whose batches are on their way.
struct Begun {
    session: Arc<Session>,
    call: Call,
    acks: i16,
    timeout_ms: i32,
    sent: Vec<Result<Sent, Rejected>>,
    is_write: bool,
}

impl Begun {
    async fn end(mut self, outcome: oneshot::Receiver<Outcome>) -> Result<Answer, Refusal> {
        let broker = self.session.broker();
        let patience = Duration::from_millis(self.timeout_ms.max(WAIT_MIN_MS) as u64);
        let limit = if self.acks == -1 { STALL.min(patience) } else { STALL };
        let outcome = timeout(&**broker.runtime(), limit, outcome).await;
        if self.is_write {
            broker.writer().answered(self.session.id());
        }
        let mut appended: Vec<BatchResult> = match outcome {
            Ok(Ok(results)) => results,
            Ok(Err(_)) => vec![Err(write::Error::Stopped); self.sent.len()],
            Err(_) => vec![Err(write::Error::TimedOut); self.sent.len()],
        };
        answer::confirm_absences(broker, &mut self.sent, &mut appended).await;
        if self.acks != 0 {
            answer::find_append_times(broker, &self.sent, &mut appended).await;
        }
        answer::answer(&self.session, &self.call, self.acks, &self.sent, appended)
    }
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
