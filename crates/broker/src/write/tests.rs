//! The write path over a log that does what a test says.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use kafscale_log::{AppendError, BarrierError, Draft, Log, Position, Progress, TrimError};
use kafscale_runtime::{BoxFuture, TokioRuntime};
use kafscale_state::{
    Backlog,
    entry::{Entry, PidBlock, Producer},
    producer::Claim,
};
use kafscale_store::{MemoryStore, Store};

use super::*;
use crate::{ConnectionId, Latency, metrics::Metrics};

/// A log that never confirms, or that refuses.
struct Mute {
    refuses: bool,
}

impl Log for Mute {
    fn append(&self, _: Draft) -> BoxFuture<'static, Result<Position, AppendError>> {
        match self.refuses {
            true => Box::pin(async { Err(AppendError::Refused("as told".to_owned())) }),
            false => Box::pin(std::future::pending()),
        }
    }
    fn barrier(&self) -> BoxFuture<'_, Result<Position, BarrierError>> {
        Box::pin(async { Ok(0) })
    }
    fn trim<'a>(
        &'a self,
        _: Position,
        _: Arc<dyn Fn(Position) -> bool + Send + Sync>,
    ) -> BoxFuture<'a, Result<(), TrimError>> {
        Box::pin(async { Ok(()) })
    }
    fn applied(&self, _: Progress) {}
    fn window(&self) -> usize {
        1
    }
}

/// A state that knows nothing: sequences begin at 0.
struct Empty {
    extents: u64,
}

impl Judge for Empty {
    fn judge(&self, _: &Append, claim: Claim) -> Judged {
        match claim.base_sequence {
            0 => Judged::Accept,
            _ => Judged::Refuse { error: Error::OutOfOrderSequence, may_change: true },
        }
    }
    fn backlog(&self) -> Backlog {
        Backlog { used: self.extents, cap: 100, frees: false }
    }
    #[cfg(feature = "planted-bugs")]
    fn end(&self, _: kafscale_state::Handle) -> i64 {
        0
    }
}

const CONNECTION: ConnectionId = ConnectionId(1);

fn writer(refuses: bool, bytes_max: u64) -> Writer {
    writer_with(Empty { extents: 0 }, refuses, bytes_max)
}

fn writer_with(judge: Empty, refuses: bool, bytes_max: u64) -> Writer {
    let (runtime, facts) = (TokioRuntime::handle(), MemoryStore::new().facts());
    let outlet = Outlet::Frames(Arc::new(Mute { refuses }));
    let metrics = Arc::new(Metrics::default());
    let is_away = Box::new(|| false);
    Writer::start(runtime, outlet, Arc::new(judge), Latency::Balanced, facts, bytes_max, is_away, metrics)
}

/// A batch of one record, and what becomes of it.
fn batch(producer_id: i64, base_sequence: i32) -> (Append, impl Future<Output = BatchResult>) {
    let (mut parts, outcome) = replies(1);
    let append = Append {
        partition: 1,
        bytes: Bytes::from_static(&[0; 100]),
        records: 1,
        max_timestamp: 0,
        producer: Some((Producer { id: producer_id, epoch: 0, transactional: false }, base_sequence)),
        waiting: Waiting::new(parts.remove(0)),
    };
    (append, async { outcome.await.expect("it is answered")[0] })
}

#[tokio::test]
async fn a_drain_ends_when_the_last_held_batch_is_let_go() {
    let writer = writer(false, 1 << 20);
    let (ahead, outcome) = batch(1, 7);
    writer.produce(CONNECTION, vec![ahead]);
    let ((), outcome) = tokio::join!(writer.drain(), outcome);
    assert_eq!(outcome, Err(Error::OutOfOrderSequence));
}

#[tokio::test]
async fn a_frame_that_the_log_refuses_ends_the_write_path() {
    let writer = writer(true, 1 << 20);
    let (first, outcome) = batch(1, 0);
    writer.produce(CONNECTION, vec![first]);
    assert_eq!(outcome.await, Err(Error::Stopped));
    assert!(writer.refused().await.contains("as told"));
    assert!(writer.is_stopped() && writer.landed().is_none());
}

#[tokio::test]
async fn only_so_many_batches_are_held() {
    let writer = writer(false, 1 << 20);
    let (held, outcomes): (Vec<_>, Vec<_>) = (0..1_000).map(|id| batch(id, 7)).unzip();
    let (over, refused) = batch(1_000, 7);
    writer.produce(CONNECTION, held);
    writer.produce(CONNECTION, vec![over]);
    assert_eq!(refused.now_or_never(), Some(Err(Error::OutOfOrderSequence)));
    assert!(outcomes.into_iter().all(|outcome| outcome.now_or_never().is_none()));
}

#[tokio::test]
async fn entries_are_refused_where_batches_are() {
    let writer = writer(false, 100);
    let entry = Entry::PidBlock(PidBlock { count: 1 });
    assert_eq!(writer.submit(Some(CONNECTION), entry, false).await, Err(EntryError::StoreStalled));
}

#[tokio::test]
async fn nothing_is_uploaded_while_the_room_for_extents_is_full() {
    for (extents, refused) in [(99, None), (100, Some(Err(Error::Backlog)))] {
        let writer = writer_with(Empty { extents }, false, 1 << 20);
        let (first, outcome) = batch(1, 0);
        writer.produce(CONNECTION, vec![first]);
        assert_eq!(outcome.now_or_never(), refused, "{extents}");
    }
}
