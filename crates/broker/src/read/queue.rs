//! What is wanted from the store, and what is read next.
//!
//! Wants stand in three lines: what somebody waits for and lies where a flush put it, which is what readers of the newest
//! records want that have fallen behind; what else somebody waits for; and read-ahead. Within a line partitions take turns,
//! so that the backfill of one cannot starve the others. A turn takes all that is wanted near the chosen extent in the same
//! object, whosever it is: one GET for all of it.
//!
//! Bytes and requests in flight are bounded. While the broker writes, reads of what is old have half of that: a PUT shares
//! the way to the store with every GET under way.
//!
//! Pure bookkeeping: no I/O, no clock, no hash order.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Weak},
};

use kafscale_state::{Handle, Place};

use super::{Extent, Key, mailbox::Mailbox};

/// GETs at once.
const GETS_MAX: usize = 16;
/// Bytes in flight at once; one GET that is larger goes alone.
const IN_FLIGHT_MAX: u64 = 64 << 20;
/// Beside writes, old records have this part of both.
const BESIDE_WRITES: usize = 2;
/// Bytes of one GET, unless one extent alone is larger.
const GET_MAX: u64 = 16 << 20;
/// Bytes between two extents that are read in vain rather than asking twice.
const GAP_MAX: u64 = 128 << 10;
/// Extents that are wanted at once.
const WANTS_MAX: usize = 32 << 10;

/// Extents of one object that are read with one GET.
#[derive(Debug, PartialEq, Eq)]
pub struct Get {
    /// The object.
    pub object: Place,
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
    /// What it brings, in the order of the object.
    pub extents: Vec<Extent>,
}

struct Want {
    extent: Extent,
    waiting: Vec<Weak<Mailbox>>,
    is_started: bool,
}

/// Partitions that take turns.
#[derive(Default)]
struct Line {
    by_partition: BTreeMap<Handle, VecDeque<Key>>,
    last: Handle,
}

/// See the module.
#[derive(Default)]
pub struct Queue {
    wants: BTreeMap<Key, Want>,
    newest: Line,
    urgent: Line,
    ahead: Line,
    gets: usize,
    bytes: u64,
}

impl Queue {
    /// Wants an extent for `mailbox`, or ahead of need. False if too much is wanted already.
    pub fn want(&mut self, partition: Handle, extent: Extent, mailbox: Option<&Arc<Mailbox>>) -> bool {
        let key = extent.key();
        if !self.wants.contains_key(&key) && self.wants.len() >= WANTS_MAX {
            self.forget_abandoned();
            if self.wants.len() >= WANTS_MAX || mailbox.is_none() {
                return false;
            }
        }
        let is_new = !self.wants.contains_key(&key);
        let want = self.wants.entry(key).or_insert(Want { extent, waiting: Vec::new(), is_started: false });
        let Some(mailbox) = mailbox else {
            if is_new {
                self.ahead.push(partition, key);
            }
            return true;
        };
        let was_urgent = !want.waiting.is_empty();
        want.waiting.push(Arc::downgrade(mailbox));
        if !was_urgent && !want.is_started {
            let line = if extent.object.level() == 0 { &mut self.newest } else { &mut self.urgent };
            line.push(partition, key);
        }
        true
    }

    /// The next GET, if the budget allows one; it counts as in flight until [`Queue::done`]. `is_written`: the broker is
    /// writing at the same time.
    pub fn next(&mut self, is_written: bool) -> Option<Get> {
        let wants = &self.wants;
        let is_open = |key: &Key| wants.get(key).is_some_and(|want| !want.is_started);
        let (line, part) = match () {
            () if self.newest.peek(is_open).is_some() => (&mut self.newest, 1),
            () if self.urgent.peek(is_open).is_some() => (&mut self.urgent, BESIDE_WRITES),
            () => (&mut self.ahead, BESIDE_WRITES),
        };
        let room = room(self.gets, self.bytes, if is_written { part } else { 1 })?;
        let fits = |key: &Key| self.gets == 0 || u64::from(wants[key].extent.len) <= room;
        let first = line.peek(is_open).filter(fits)?;
        line.take_turn();
        let get = self.gather(first, room.clamp(1, GET_MAX));
        self.gets += 1;
        self.bytes += get.end - get.start;
        Some(get)
    }

    /// What is wanted near `first`, marked as started.
    fn gather(&mut self, first: Key, bytes_max: u64) -> Get {
        let (object, version, _) = first;
        let extent = self.wants[&first].extent;
        let (mut start, mut end) = (extent.start, extent.end());
        let mut keys = VecDeque::from([first]);
        for (key, want) in self.wants.range(first..=(object, version, u64::MAX)).skip(1) {
            let reach = want.extent.end().max(end);
            if key.2 > end.saturating_add(GAP_MAX) || reach - start > bytes_max {
                break;
            }
            if !want.is_started {
                keys.push_back(*key);
                end = reach;
            }
        }
        for (key, want) in self.wants.range((object, version, 0)..first).rev() {
            if want.extent.end().saturating_add(GAP_MAX) < start || end - key.2 > bytes_max {
                break;
            }
            if !want.is_started {
                keys.push_front(*key);
                start = key.2;
            }
        }
        let extents = keys.iter().map(|key| {
            let want = self.wants.get_mut(key).expect("found above");
            want.is_started = true;
            want.extent
        });
        Get { object, start, end, extents: extents.collect() }
    }

    /// An extent has arrived, or will not: who waits for it.
    pub fn settle(&mut self, key: &Key) -> Vec<Arc<Mailbox>> {
        let want = self.wants.remove(key);
        want.into_iter().flat_map(|want| want.waiting).filter_map(|waiting| waiting.upgrade()).collect()
    }

    /// A GET has ended.
    pub fn done(&mut self, get: &Get) {
        self.gets -= 1;
        self.bytes -= get.end - get.start;
    }

    /// Whether anybody waits for one of these extents.
    pub fn is_waited_for(&self, get: &Get) -> bool {
        let waiting = |extent: &Extent| self.wants.get(&extent.key()).map(|want| &want.waiting);
        get.extents.iter().filter_map(waiting).flatten().any(|mailbox| mailbox.strong_count() > 0)
    }

    fn forget_abandoned(&mut self) {
        self.wants.retain(|_, want| want.is_started || want.waiting.iter().any(|mailbox| mailbox.strong_count() > 0));
        self.newest.retain(&self.wants);
        self.urgent.retain(&self.wants);
        self.ahead.retain(&self.wants);
    }
}

/// The bytes that may be asked for beside so much under way, of this part of the budget; none if there are enough GETs.
fn room(gets: usize, bytes: u64, part: usize) -> Option<u64> {
    #[cfg(feature = "planted-bugs")]
    if crate::planted::is(crate::planted::Bug::BackfillsUnbounded) {
        return Some(u64::MAX);
    }
    (gets < GETS_MAX / part).then(|| (IN_FLIGHT_MAX / part as u64).saturating_sub(bytes))
}

impl Line {
    fn push(&mut self, partition: Handle, key: Key) {
        self.by_partition.entry(partition).or_default().push_back(key);
    }

    /// The extent whose turn it is; drops those that are no longer open on the way.
    fn peek(&mut self, is_open: impl Fn(&Key) -> bool) -> Option<Key> {
        loop {
            let partition = self.turn()?;
            let keys = self.by_partition.get_mut(&partition).expect("it has a turn");
            while let Some(key) = keys.front() {
                if is_open(key) {
                    return Some(*key);
                }
                keys.pop_front();
            }
            self.by_partition.remove(&partition);
        }
    }

    /// The partition behind the last one, around in a circle.
    fn turn(&self) -> Option<Handle> {
        let behind = self.last.checked_add(1).and_then(|next| self.by_partition.range(next..).next());
        behind.or_else(|| self.by_partition.first_key_value()).map(|(partition, _)| *partition)
    }

    fn take_turn(&mut self) {
        let partition = self.turn().expect("peek has found one");
        self.last = partition;
        if let Some(keys) = self.by_partition.get_mut(&partition) {
            keys.pop_front();
        }
    }

    fn retain(&mut self, wants: &BTreeMap<Key, Want>) {
        self.by_partition.retain(|_, keys| {
            keys.retain(|key| wants.contains_key(key));
            !keys.is_empty()
        });
    }
}

#[cfg(test)]
mod tests;
