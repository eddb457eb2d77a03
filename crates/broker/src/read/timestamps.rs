//! Offsets by time, exact to the record.
//!
//! The state bounds the timestamps of each extent from above, so a search skips what cannot hold the answer and opens the
//! rest in order. The answers are Apache Kafka's: the first record, in offset order, that is late enough, and for the
//! greatest timestamp the first record that has it.

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc, time::Duration};

use kafscale_records::{
    TimestampType,
    search::{self, Found},
};
use kafscale_state::Handle;
use tokio::sync::oneshot;

use super::{Content, ContentError, Error, Extent, LoadError, Reader, mailbox::Mailbox};

/// Extents that are looked at in one go, while the state is locked.
const STRIDE: usize = 1_024;
/// Bytes that one batch may decompress to, so that a bomb costs bounded work. The memory taken is far less.
const OPEN_MAX: u64 = 1 << 30;
/// Batches that are open at once, over all searches: each may hold a codec's window, 128 MiB at the very most, and keeps a
/// core busy.
pub(super) const OPEN_AT_ONCE: usize = 4;
/// How long one search waits for the store.
const PATIENCE: Duration = Duration::from_secs(20);

/// A record that was looked for.
type Search = Result<Option<Found>, Error>;

/// Which record is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeQuery {
    /// The first one at this time or later, Unix milliseconds.
    AtOrAfter(i64),
    /// The first one with the greatest timestamp.
    Greatest,
}

impl Reader {
    /// The offset and timestamp of the wanted record; none if there is no such record.
    pub async fn offset_by_time(&self, partition: Handle, query: TimeQuery) -> Search {
        let found = self.search(partition, query).await;
        if found == Err(LoadError::Missing.into()) {
            // The data may have been moved: what this replica applies up to now says where it is.
            self.barrier().await?;
            return self.search(partition, query).await;
        }
        found
    }

    async fn search(&self, partition: Handle, query: TimeQuery) -> Search {
        match query {
            TimeQuery::AtOrAfter(timestamp) => self.first_at_or_after(partition, timestamp).await,
            TimeQuery::Greatest => self.greatest(partition).await,
        }
    }

    async fn first_at_or_after(&self, partition: Handle, timestamp: i64) -> Search {
        let log_start = self.log_start(partition)?;
        let mut from = log_start;
        'strides: loop {
            let (extents, next) = self.stride(partition, from, &|extent| extent.max_timestamp >= timestamp);
            for extent in extents {
                let content = self.content(partition, extent).await?;
                if extent.is_map() {
                    from = extent.base_offset.max(from);
                    continue 'strides;
                }
                let found = self.open(extent, move || first_in(&content, timestamp, log_start)).await?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            match next {
                Some(next) => from = next,
                None => return Ok(None),
            }
        }
    }

    /// Visits the extents by their bounds, the greatest first, until what was found beats all that is left: the extent with
    /// the greatest bound may hold no record that great. Each is read once.
    async fn greatest(&self, partition: Handle) -> Search {
        let log_start = self.log_start(partition)?;
        let mut best: Option<Found> = None;
        let mut visited = None;
        'bounds: loop {
            let extents = self.next_bounds(partition, log_start, visited);
            if extents.is_empty() {
                return Ok(best);
            }
            for extent in extents {
                let is_beaten = |best: Found| {
                    (best.timestamp, -best.offset) >= (extent.max_timestamp, -extent.base_offset.max(log_start))
                };
                if best.is_some_and(is_beaten) {
                    return Ok(best);
                }
                let content = self.content(partition, extent).await?;
                if extent.is_map() {
                    continue 'bounds;
                }
                visited = Some(bound(&extent));
                if let Some(found) = self.open(extent, move || greatest_in(&content, log_start)).await?
                    && best.is_none_or(|best| (found.timestamp, -found.offset) > (best.timestamp, -best.offset))
                {
                    best = Some(found);
                }
            }
        }
    }

    /// When the batch that begins at `offset` was appended, in Unix milliseconds; none if its timestamps are its producer's
    /// or it cannot be read.
    pub async fn append_time(&self, partition: Handle, offset: i64) -> Option<i64> {
        let content = loop {
            let mut holder = None;
            self.extents(partition, offset, &mut |extent| {
                holder = Some(extent).filter(|extent| extent.base_offset <= offset);
                false
            });
            let content = self.content(partition, holder?).await.ok()?;
            if !holder?.is_map() {
                break content;
            }
        };
        let header = *content.batches().find(|batch| batch.header().base_offset == offset)?.header();
        (header.attributes.timestamp_type() == TimestampType::LogAppendTime).then_some(header.max_timestamp)
    }

    /// Opens an extent's batches when it is its turn. In a task of its own, which nothing keeps from using its turn.
    async fn open(&self, extent: Extent, look: impl FnOnce() -> Search + Send + 'static) -> Search {
        let (answer, answered) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        let turn = async move {
            let _permit = shared.opening.acquire().await;
            // Whoever asked may be gone.
            let _ = answer.send(look());
        };
        self.shared.runtime.spawn("search", Box::pin(turn));
        let found = answered.await.map_err(|_| LoadError::Unavailable("the search was cut off".to_owned()))?;
        if let Err(Error::Load(LoadError::Corrupt(error))) = &found {
            self.shared.loader.is_unopenable(&extent, error);
        }
        found
    }

    fn log_start(&self, partition: Handle) -> Result<i64, Error> {
        let offsets = self.shared.view.offsets(partition).ok_or(Error::UnknownPartition)?;
        Ok(offsets.log_start)
    }

    /// The extents among the next [`STRIDE`] that are worth opening, and where to go on.
    fn stride(&self, partition: Handle, from: i64, is_wanted: &dyn Fn(&Extent) -> bool) -> (Vec<Extent>, Option<i64>) {
        let (mut wanted, mut seen, mut next) = (Vec::new(), 0, None);
        self.extents(partition, from, &mut |extent| {
            if seen == STRIDE {
                next = Some(extent.base_offset);
                return false;
            }
            seen += 1;
            if is_wanted(&extent) {
                wanted.push(extent);
            }
            true
        });
        (wanted, next)
    }

    /// The next [`STRIDE`] extents in the order of [`bound`], behind the one that was visited last.
    fn next_bounds(&self, partition: Handle, log_start: i64, visited: Option<Bound>) -> Vec<Extent> {
        let mut first: BTreeMap<Bound, Extent> = BTreeMap::new();
        let mut from = Some(log_start);
        while let Some(offset) = from {
            let (extents, next) = self.stride(partition, offset, &|extent| Some(bound(extent)) > visited);
            for extent in extents {
                first.insert(bound(&extent), extent);
                if first.len() > STRIDE {
                    first.pop_last();
                }
            }
            from = next;
        }
        first.into_values().collect()
    }

    /// An extent's content, loaded if need be.
    async fn content(&self, partition: Handle, extent: Extent) -> Result<Arc<Content>, Error> {
        let shared = &*self.shared;
        if let Some(content) = shared.cache.get(&extent, i64::MAX) {
            return Ok(content);
        }
        let mailbox = Arc::new(Mailbox::default());
        shared.loader.load(partition, extent, &mailbox);
        // Other searches of the same request add theirs first, so that neighbours come with one GET.
        tokio::task::yield_now().await;
        shared.loader.start();
        let arrival = async {
            loop {
                if let Some((_, loaded)) = mailbox.take().pop() {
                    return loaded;
                }
                mailbox.rung().await;
            }
        };
        let loaded = kafscale_runtime::timeout(&*shared.runtime, PATIENCE, arrival).await;
        let late = |_| LoadError::Unavailable("no answer in time".to_owned());
        Ok(loaded.map_err(late)??)
    }
}

/// Where an extent comes in the search for the greatest timestamp: the greatest bound first, of equal ones the first.
type Bound = (Reverse<i64>, i64);

fn bound(extent: &Extent) -> Bound {
    (Reverse(extent.max_timestamp), extent.base_offset)
}

/// The first record of an extent at `timestamp` or later, from `log_start` on.
fn first_in(content: &Content, timestamp: i64, log_start: i64) -> Search {
    let mut at = 0;
    for batch in content.batches() {
        let corrupt = |error| corrupt(at, error);
        let found = search::first_at_or_after(&batch, timestamp, log_start, OPEN_MAX).map_err(corrupt)?;
        at += batch.bytes().len();
        #[cfg(feature = "planted-bugs")]
        let found = match crate::planted::is(crate::planted::Bug::TimeOfBatch) {
            true => found.map(|found| Found { offset: batch.header().base_offset, ..found }),
            false => found,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The first record with the greatest timestamp of an extent, from `log_start` on.
fn greatest_in(content: &Content, log_start: i64) -> Search {
    let (mut best, mut end): (Option<Found>, _) = (None, 0);
    for batch in content.batches() {
        let at = end;
        end += batch.bytes().len();
        if best.is_some_and(|best| best.timestamp >= batch.header().max_timestamp) {
            continue;
        }
        if let Some(found) = search::max_timestamp(&batch, log_start, OPEN_MAX).map_err(|error| corrupt(at, error))?
            && best.is_none_or(|best| found.timestamp > best.timestamp)
        {
            best = Some(found);
        }
    }
    Ok(best)
}

fn corrupt(at: usize, error: kafscale_records::BatchError) -> Error {
    LoadError::Corrupt(ContentError::Batch { at, error }).into()
}

#[cfg(test)]
mod tests;
