//! The memory cache of extents.
//!
//! Bounded in bytes and resistant to scans: half of it is for what was read a second time, so that a consumer that goes
//! through a year of data leaves what the others share where it is. A reader's own steps through an extent are one use,
//! and the first reader of all is none, since a scan is exactly that. Placement and eviction depend on nothing but the
//! order of calls (a fixed hash), so the simulation can replay it.

use std::{
    hash::{BuildHasherDefault, DefaultHasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use quick_cache::{OptionsBuilder, Weighter, sync::DefaultLifecycle};

use super::{Content, Extent, Key};

/// Part of the bytes for extents that were read more than once; the rest is for the newest.
const HOT: f64 = 0.5;
/// One lock per so many bytes: a shard holds no extent larger than its hot half.
const SHARD_BYTES: u64 = 512 << 20;
/// What an extent is guessed to weigh, to size the book-keeping.
const EXTENT_GUESS: u64 = 16 << 10;

type FixedHash = BuildHasherDefault<DefaultHasher>;

/// See the module.
pub struct Cache {
    extents: quick_cache::sync::Cache<Key, Arc<Content>, Weight, FixedHash>,
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
        let options = OptionsBuilder::new()
            .shards(usize::try_from(bytes / SHARD_BYTES).unwrap_or(usize::MAX).clamp(1, 16))
            .hot_allocation(HOT)
            .weight_capacity(bytes)
            .estimated_items_capacity(usize::try_from(bytes / EXTENT_GUESS).unwrap_or(usize::MAX))
            .build()
            .expect("capacities are set");
        let extents =
            quick_cache::sync::Cache::with_options(options, Weight, FixedHash::default(), DefaultLifecycle::default());
        let (admitted, hits, misses) = Default::default();
        Self { extents, admitted, hits, misses }
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
        self.extents.insert(key, content);
    }

    /// The extent, if it is in memory, for a reader that wants `offset` of it.
    pub fn get(&self, extent: &Extent, offset: i64) -> Option<Arc<Content>> {
        let found = self.extents.peek(&extent.key());
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        let content = found?;
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
