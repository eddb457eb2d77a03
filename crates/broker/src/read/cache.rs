//! The memory cache of extents.
//!
//! Bounded in bytes and resistant to scans: half of it is for what was read a second time, so that a consumer that goes
//! through a year of data leaves what the others share where it is. A reader's own steps through an extent are one use,
//! and the first reader of all is none, since a scan is exactly that. Placement and eviction depend on nothing but the
//! order of calls (a fixed hash), so the simulation can replay it.
//!
//! What was loaded from the store stays until a reader has come to its end, within bounds ([`Pins`]): else the readers of many
//! partitions push out what the others have read half of, and all of it is loaded again.

use std::{
    hash::{BuildHasherDefault, DefaultHasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use quick_cache::{OptionsBuilder, Weighter};

use super::{Content, Extent, Key};
use pins::{Pins, UnlessPinned};

mod pins;

/// Part of the bytes for extents that were read more than once; the rest is for the newest.
const HOT: f64 = 0.5;
/// One lock per so many bytes: a shard holds no extent larger than its hot half.
const SHARD_BYTES: u64 = 512 << 20;
const SHARDS_MAX: u64 = 16;
/// What an extent is guessed to weigh, to size the book-keeping.
const EXTENT_GUESS: u64 = 16 << 10;

type FixedHash = BuildHasherDefault<DefaultHasher>;

/// See the module.
pub struct Cache {
    extents: quick_cache::sync::Cache<Key, Arc<Content>, Weight, FixedHash, UnlessPinned>,
    pins: Pins,
    admitted: AtomicU64,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Arc<Content>> for Weight {
    fn weight(&self, _: &Key, content: &Arc<Content>) -> u64 {
        content.weight()
    }
}

impl Cache {
    /// A cache of so many bytes.
    pub fn new(bytes: u64) -> Self {
        let shards = (bytes / SHARD_BYTES).clamp(1, SHARDS_MAX);
        let options = OptionsBuilder::new()
            .shards(usize::try_from(shards).expect("they are few"))
            .hot_allocation(HOT)
            .weight_capacity(bytes)
            .estimated_items_capacity(usize::try_from(bytes / EXTENT_GUESS).unwrap_or(usize::MAX))
            .build()
            .expect("capacities are set");
        let (fixed, pinned) = (FixedHash::default(), UnlessPinned::default());
        let extents = quick_cache::sync::Cache::with_options(options, Weight, fixed, pinned);
        let (admitted, hits, misses) = Default::default();
        Self { extents, pins: Pins::new(bytes, bytes / shards), admitted, hits, misses }
    }

    /// Takes over what this broker has just written, before anybody is told of it. Its bytes were checked on their way in.
    pub fn admit(&self, extent: &Extent, pieces: &[Bytes]) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
        match Content::new(extent, pieces, false) {
            Ok(content) => self.insert(extent.key(), Arc::new(content)),
            Err(error) => tracing::error!(?extent, %error, "an own extent is not what was applied"),
        }
    }

    /// How many extents this broker has written, since the start.
    pub fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Keeps an extent, if it fits at all.
    pub fn insert(&self, key: Key, content: Arc<Content>) {
        self.pins.take_in(content.weight());
        self.extents.insert(key, content);
    }

    /// Keeps an extent that was loaded for a reader, until one has come to its end.
    pub fn insert_unread(&self, key: Key, content: Arc<Content>) {
        self.pins.pin(&content);
        self.insert(key, content);
    }

    /// A reader has come to the end of this extent.
    pub fn read_to_its_end(&self, content: &Content) {
        self.pins.unpin(content);
    }

    /// The extent, if it is in memory, for a reader that wants `offset` of it.
    pub fn get(&self, extent: &Extent, offset: i64) -> Option<Arc<Content>> {
        let found = self.extents.peek(&extent.key());
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        let content = found?;
        self.pins.renew(&content);
        if offset <= extent.base_offset && content.note_read() {
            self.extents.get(&extent.key());
        }
        Some(content)
    }

    /// The extent, if it is in memory, for somebody who is no reader: neither a use nor a hit.
    pub fn peek(&self, extent: &Extent) -> Option<Arc<Content>> {
        self.extents.peek(&extent.key())
    }

    /// Whether the extent is in memory. Counts neither as a use nor as a hit.
    pub fn contains(&self, extent: &Extent) -> bool {
        self.extents.peek(&extent.key()).is_some()
    }

    /// The bytes that it may hold.
    pub fn capacity(&self) -> u64 {
        self.extents.capacity()
    }

    /// The bytes that it holds.
    pub fn bytes(&self) -> u64 {
        self.extents.weight()
    }

    /// Look-ups that found something, and those that did not, since the start.
    pub fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests;
