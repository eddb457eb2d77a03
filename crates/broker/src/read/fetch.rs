//! Fetch: records of many partitions from given offsets on, in one answer, now or when there are enough.
//!
//! A fetch goes through its partitions in order and takes what is in memory within the limits; what is not is loaded behind
//! it, and the fetch goes through them again whenever something arrives. It ends as soon as there is enough or something
//! to complain about, or when its time is over; only a fetch that has nothing at all to send waits for the store longer,
//! as it would wait for a disk.
//!
//! Kafka's rule of the first batch: the first batch of the first partition that has one is sent even if it is over every
//! limit, and after that no limit is exceeded. Batches are never cut.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use kafscale_log::BarrierError;
use kafscale_runtime::timeout;
use kafscale_state::Handle;

use super::{
    Content, Error, Extent, Key, LoadError, Offsets, Reader,
    mailbox::{Loaded, Mailbox},
};

/// How long a fetch that has nothing to send waits for the store, even if the client would rather have nothing.
const LOAD_PATIENCE: Duration = Duration::from_secs(10);

/// What is wanted of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// The partition.
    pub partition: Handle,
    /// The first offset wanted.
    pub offset: i64,
    /// Bytes at most.
    pub bytes_max: usize,
}

/// What the whole answer must keep to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes at most.
    pub bytes_max: usize,
    /// Bytes that are worth an answer before `wait_max` is over.
    pub bytes_min: usize,
    /// How long to wait for `bytes_min`.
    pub wait_max: Duration,
}

/// What one partition has for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its bounds; none if it does not exist.
    pub offsets: Option<Offsets>,
    /// Whole batches, the first of which holds the offset asked for.
    pub records: Result<Vec<Bytes>, Error>,
}

/// One walk through the partitions.
#[derive(Default)]
struct Pass {
    taken: Vec<Taken>,
    /// Where each partition's records end.
    next_offsets: Vec<i64>,
    bytes: usize,
    has_failed: bool,
    is_beyond_end: bool,
    is_missing: bool,
    cold: Vec<(Handle, Extent)>,
}

/// What this fetch has learned so far.
#[derive(Default)]
struct Known {
    loaded: BTreeMap<Key, Loaded>,
    /// A barrier that vouches for the local end.
    end: Option<Result<(), Error>>,
    /// A barrier since an object was found missing.
    missing_confirmed: bool,
}

impl Reader {
    /// Takes records for `asks`, in their order: one [`Taken`] for each.
    pub async fn fetch(&self, asks: &[Ask], limits: Limits) -> Vec<Taken> {
        let shared = &*self.shared;
        let mailbox = Arc::new(Mailbox::default());
        let _waiting = shared.waiters.register(asks.iter().map(|ask| ask.partition), &mailbox);
        let started = shared.runtime.now();
        let mut known = Known::default();
        let mut asked = BTreeSet::new();
        loop {
            let pass = self.pass(asks, &limits, &known);
            self.load(&pass.cold, &mut asked, &mailbox);
            let arrived = mailbox.take();
            if !arrived.is_empty() {
                known.loaded.extend(arrived);
                continue;
            }
            if pass.is_beyond_end && known.end.is_none() {
                known.end = Some(self.barrier().await.map_err(Error::from));
                continue;
            }
            if pass.is_missing && !known.missing_confirmed {
                // The data may have been moved: what this replica applies up to now says where it is.
                known.missing_confirmed = self.barrier().await.is_ok();
                if known.missing_confirmed {
                    continue;
                }
            }
            let only_cold = pass.bytes == 0 && !pass.cold.is_empty();
            let patience = if only_cold { limits.wait_max.max(LOAD_PATIENCE) } else { limits.wait_max };
            let is_enough = pass.has_failed || (pass.bytes >= limits.bytes_min && !only_cold);
            let is_over = shared.waiters.is_over() || shared.runtime.now() >= started + patience;
            if is_enough || is_over {
                self.read_ahead(asks, &pass);
                return pass.taken;
            }
            self.wait(&mailbox, started + patience).await;
        }
    }

    /// A barrier of bounded patience.
    pub(super) async fn barrier(&self) -> Result<(), BarrierError> {
        let shared = &*self.shared;
        let barrier = timeout(&*shared.runtime, LOAD_PATIENCE, shared.view.barrier()).await;
        barrier.unwrap_or_else(|_| Err(BarrierError::Unavailable("no answer in time".to_owned())))
    }

    /// Until something arrives or time is over. Now and then it is this fetch that looks whether the log has gone on.
    async fn wait(&self, mailbox: &Mailbox, deadline: Duration) {
        let runtime = &self.shared.runtime;
        if self.shared.pulse.take_due(runtime.now()) {
            let view = Arc::clone(&self.shared.view);
            let barrier = async move {
                if let Err(error) = view.barrier().await {
                    tracing::debug!(%error, "barrier of a long poll failed");
                }
            };
            runtime.spawn("pulse", Box::pin(barrier));
        }
        tokio::select! {
            biased;
            () = mailbox.rung() => {}
            () = runtime.sleep_until(deadline.min(self.shared.pulse.next())) => {}
        }
    }

    fn load(&self, cold: &[(Handle, Extent)], asked: &mut BTreeSet<Key>, mailbox: &Arc<Mailbox>) {
        let loader = &self.shared.loader;
        for (partition, extent) in cold {
            if asked.insert(extent.key()) {
                loader.load(*partition, *extent, mailbox);
            }
        }
        loader.start();
    }

    fn pass(&self, asks: &[Ask], limits: &Limits, known: &Known) -> Pass {
        let mut pass = Pass::default();
        let mut room = Room { bytes: limits.bytes_max, cold: limits.bytes_max, must: true };
        for ask in asks {
            let offsets = self.shared.view.offsets(ask.partition);
            pass.next_offsets.push(ask.offset);
            let records = match offsets {
                None => Err(Error::UnknownPartition),
                Some(offsets) => self.take(ask, offsets, &mut room, known, &mut pass),
            };
            pass.has_failed |= records.is_err();
            pass.taken.push(Taken { offsets, records });
        }
        pass
    }

    fn take(
        &self,
        ask: &Ask,
        offsets: Offsets,
        room: &mut Room,
        known: &Known,
        pass: &mut Pass,
    ) -> Result<Vec<Bytes>, Error> {
        let Offsets { log_start, high_watermark: end, .. } = offsets;
        let out_of_range = Err(Error::OffsetOutOfRange { offset: ask.offset, log_start, end });
        if ask.offset < log_start {
            return out_of_range;
        }
        if ask.offset > end {
            return match &known.end {
                None => {
                    pass.is_beyond_end = true;
                    Ok(Vec::new())
                }
                Some(Ok(())) => out_of_range,
                Some(Err(error)) => Err(error.clone()),
            };
        }
        let mut taking = Taking {
            records: Vec::new(),
            next_offset: ask.offset,
            bytes: 0,
            room: ask.bytes_max.min(room.bytes),
            cold_room: ask.bytes_max.min(room.cold),
            cold: 0,
            failed: None,
            must: room.must,
        };
        self.extents(ask.partition, ask.offset, &mut |extent| match self.look_up(&extent, taking.next_offset, known) {
            Some(Ok(content)) => {
                let goes_on = taking.add(&extent, &content);
                if taking.next_offset >= extent.end_offset {
                    self.shared.cache.read_to_its_end(&content);
                }
                goes_on
            }
            Some(Err(error)) => taking.fail(error),
            None => taking.want(ask.partition, extent, pass),
        });
        if let Some(error) = taking.failed.filter(|_| taking.records.is_empty()) {
            if error == LoadError::Missing && !known.missing_confirmed {
                pass.is_missing = true;
            }
            return Err(error.into());
        }
        room.bytes = room.bytes.saturating_sub(taking.bytes);
        room.cold = room.cold.saturating_sub(taking.cold);
        room.must &= taking.bytes == 0;
        pass.bytes += taking.bytes;
        if let Some(next_offset) = pass.next_offsets.last_mut() {
            *next_offset = taking.next_offset;
        }
        Ok(taking.records)
    }

    /// What is known of an extent's content: none if it must be loaded.
    fn look_up(&self, extent: &Extent, offset: i64, known: &Known) -> Option<Loaded> {
        let loaded = known.loaded.get(&extent.key()).cloned();
        loaded.or_else(|| self.shared.cache.get(extent, offset).map(Ok))
    }

    /// Loads what the readers that were just served will want next.
    fn read_ahead(&self, asks: &[Ask], pass: &Pass) {
        let shared = &*self.shared;
        for (ask, next_offset) in asks.iter().zip(&pass.next_offsets) {
            if *next_offset == ask.offset {
                continue;
            }
            let mut window = shared.ahead.advance(ask.partition, ask.offset, *next_offset);
            if window == 0 {
                continue;
            }
            self.extents(ask.partition, *next_offset, &mut |extent| {
                if !shared.cache.contains(&extent) {
                    shared.loader.load_ahead(ask.partition, extent);
                }
                if extent.is_map() {
                    return false;
                }
                window = window.saturating_sub(bytes_from(&extent, *next_offset));
                window > 0
            });
        }
        shared.loader.start();
    }
}

/// About how many bytes of an extent a reader at `offset` has still before it: pieces may be larger than a window, and a
/// reader in the middle of one wants the next before it gets there.
fn bytes_from(extent: &Extent, offset: i64) -> u64 {
    let whole = extent.end_offset.saturating_sub(extent.base_offset).max(1) as u128;
    let left = extent.end_offset.saturating_sub(offset.max(extent.base_offset)).max(0) as u128;
    (u128::from(extent.len) * left / whole) as u64
}

/// What is left of the limits of a whole answer.
struct Room {
    bytes: usize,
    /// For what is not in memory yet: it may take another answer's worth.
    cold: usize,
    must: bool,
}

/// One partition's part of an answer in the making.
struct Taking {
    records: Vec<Bytes>,
    next_offset: i64,
    bytes: usize,
    room: usize,
    cold_room: usize,
    cold: usize,
    failed: Option<LoadError>,
    must: bool,
}

impl Taking {
    /// Takes what fits of an extent in memory; whether to go on to the next one.
    fn add(&mut self, extent: &Extent, content: &Content) -> bool {
        if self.cold > 0 || extent.is_map() {
            return false;
        }
        if !content.holds_from(self.next_offset) {
            // Nothing is left of these offsets.
            self.next_offset = self.next_offset.max(extent.end_offset);
            return true;
        }
        let must = self.must && self.records.is_empty();
        let Some(slice) = content.read(self.next_offset, self.room - self.bytes.min(self.room), must) else {
            return false;
        };
        self.bytes += slice.bytes.len();
        self.next_offset = slice.next_offset;
        self.records.push(slice.bytes);
        self.next_offset >= extent.end_offset && self.bytes < self.room
    }

    /// Wants an extent that is not in memory. Behind records that can be sent it is left to read-ahead.
    fn want(&mut self, partition: Handle, extent: Extent, pass: &mut Pass) -> bool {
        if !self.records.is_empty() || (self.cold_room == 0 && !self.must) {
            return false;
        }
        pass.cold.push((partition, extent));
        self.cold += extent.len.max(1) as usize;
        self.cold < self.cold_room && !extent.is_map()
    }

    fn fail(&mut self, error: LoadError) -> bool {
        if self.cold == 0 {
            self.failed = Some(error);
        }
        false
    }
}

#[cfg(test)]
mod tests;
