//! Extents that no reader has come to the end of yet, and that the cache therefore keeps.
//!
//! A reader may leave at any time, so a pin ends by itself too. Pinned are at most half of the cache: then those that were
//! loaded, or read from, longest ago are kept no more. And whatever was not read from while the cache took in twice what it
//! holds is kept no more, so that what readers have left behind does not take the place of what others write and read.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak, atomic::Ordering::Relaxed},
};

use parking_lot::Mutex;
use quick_cache::{Lifecycle, sync::DefaultLifecycle};

use crate::read::{Content, Key};

/// Part of the cache that may be pinned.
const PINNED_PART: u64 = 2;
/// One extent may be this part of a shard of the cache: what is pinned is let in whatever it weighs.
const ONE_PART: u64 = 4;
/// A pin ends when the cache has taken in so many times what it holds since its last use.
const AGE: u64 = 2;

/// See the module.
pub struct Pins {
    bytes_max: u64,
    one_max: u64,
    age_max: u64,
    pinned: Mutex<Pinned>,
}

/// One pinned extent.
struct Pin {
    content: Weak<Content>,
    weight: u64,
    /// What the cache had taken in at its last use.
    used: u64,
}

#[derive(Default)]
struct Pinned {
    /// By the number of the pin, the least recently used first.
    pins: BTreeMap<u64, Pin>,
    bytes: u64,
    last: u64,
    taken_in: u64,
}

impl Pins {
    /// Of a cache of so many bytes in shards of so many.
    pub fn new(cache_bytes: u64, shard_bytes: u64) -> Self {
        Self {
            bytes_max: cache_bytes / PINNED_PART,
            one_max: shard_bytes / ONE_PART,
            age_max: cache_bytes.saturating_mul(AGE),
            pinned: Mutex::default(),
        }
    }

    /// The cache is about to take in so many bytes.
    pub fn take_in(&self, weight: u64) {
        let mut pinned = self.pinned.lock();
        pinned.taken_in += weight;
        let used_min = pinned.taken_in.saturating_sub(self.age_max);
        while pinned.pins.first_key_value().is_some_and(|(_, pin)| pin.used < used_min) {
            pinned.end_oldest();
        }
    }

    /// To be called before the cache has it.
    pub fn pin(&self, content: &Arc<Content>) {
        let weight = content.weight();
        if weight > self.one_max {
            return;
        }
        let mut pinned = self.pinned.lock();
        pinned.add(Arc::downgrade(content), weight, content);
        while pinned.bytes > self.bytes_max {
            pinned.end_oldest();
        }
    }

    /// It was used.
    pub fn renew(&self, content: &Content) {
        if content.pin.load(Relaxed) == 0 {
            return;
        }
        let mut pinned = self.pinned.lock();
        if let Some(pin) = pinned.remove(content) {
            pinned.add(pin.content, pin.weight, content);
        }
    }

    /// It need not be kept any longer.
    pub fn unpin(&self, content: &Content) {
        if content.pin.load(Relaxed) != 0 {
            self.pinned.lock().remove(content);
        }
    }
}

impl Pinned {
    fn add(&mut self, weak: Weak<Content>, weight: u64, content: &Content) {
        self.last += 1;
        self.bytes += weight;
        self.pins.insert(self.last, Pin { content: weak, weight, used: self.taken_in });
        content.pin.store(self.last, Relaxed);
    }

    fn remove(&mut self, content: &Content) -> Option<Pin> {
        let pin = self.pins.remove(&content.pin.swap(0, Relaxed))?;
        self.bytes -= pin.weight;
        Some(pin)
    }

    fn end_oldest(&mut self) {
        let (_, pin) = self.pins.pop_first().expect("there is one as long as any bytes are pinned");
        self.bytes -= pin.weight;
        if let Some(content) = pin.content.upgrade() {
            content.pin.store(0, Relaxed);
        }
    }
}

/// What is pinned is not evicted.
#[derive(Default, Clone)]
pub struct UnlessPinned(DefaultLifecycle<Key, Arc<Content>>);

impl Lifecycle<Key, Arc<Content>> for UnlessPinned {
    type RequestState = <DefaultLifecycle<Key, Arc<Content>> as Lifecycle<Key, Arc<Content>>>::RequestState;

    fn is_pinned(&self, _: &Key, content: &Arc<Content>) -> bool {
        content.pin.load(Relaxed) != 0
    }

    fn on_evict(&self, state: &mut Self::RequestState, key: Key, content: Arc<Content>) {
        self.0.on_evict(state, key, content);
    }
}
