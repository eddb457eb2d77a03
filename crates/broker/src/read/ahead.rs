//! Read-ahead: how far beyond its last answer a sequential reader will soon be.
//!
//! A reader is recognised by where it must continue: a fetch that begins exactly where an earlier one of the same
//! partition ended goes on, and its window doubles each time, up to a bound. Connections and consumers need no name here,
//! and several readers at different places of one partition do not disturb each other. All windows together fit a part of
//! the cache: partitions that are read at the same time share it, so that what is read ahead is not lost before it is used.

use std::collections::{BTreeMap, VecDeque};

use kafscale_state::Handle;
use parking_lot::Mutex;

/// Window of a reader that was recognised for the first time.
const WINDOW_MIN: u64 = 1 << 20;
/// Largest window.
const WINDOW_MAX: u64 = 16 << 20;
/// All windows together are at most this part of the cache.
const CACHE_PART: u64 = 4;
/// So many steps back are looked at to tell how many partitions are read at the same time.
const RECENT: usize = 256;
/// Readers that are remembered.
const READERS_MAX: usize = 16 << 10;

/// See the module.
pub struct ReadAhead {
    /// What all windows share.
    bytes: u64,
    readers: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    /// By partition and the offset at which the reader continues: its window in bytes.
    windows: BTreeMap<(Handle, i64), u64>,
    /// The same readers by age. May name some that have moved on.
    order: VecDeque<(Handle, i64)>,
    /// The partitions of the latest steps, and how often each is among them.
    recent: VecDeque<Handle>,
    steps: BTreeMap<Handle, usize>,
}

impl Readers {
    /// Notes a step of a partition; how many partitions are read at the same time.
    fn step(&mut self, partition: Handle) -> u64 {
        self.recent.push_back(partition);
        *self.steps.entry(partition).or_default() += 1;
        if self.recent.len() > RECENT
            && let Some(oldest) = self.recent.pop_front()
            && let Some(count) = self.steps.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.steps.remove(&oldest);
            }
        }
        self.steps.len() as u64
    }
}

impl ReadAhead {
    /// Read-ahead into a cache of so many bytes.
    pub fn new(cache_bytes: u64) -> Self {
        Self { bytes: cache_bytes / CACHE_PART, readers: Mutex::default() }
    }

    /// A fetch of a partition from `offset` on ended at `next_offset`: how many bytes beyond it are worth loading.
    pub fn advance(&self, partition: Handle, offset: i64, next_offset: i64) -> u64 {
        let mut readers = self.readers.lock();
        let window_max = WINDOW_MAX.min(self.bytes / readers.step(partition));
        let before = readers.windows.remove(&(partition, offset));
        let window = before.map_or(0, |window| (window * 2).clamp(WINDOW_MIN, WINDOW_MAX).min(window_max));
        let place = (partition, next_offset);
        if readers.windows.insert(place, window).is_none() {
            readers.order.push_back(place);
        }
        while readers.order.len() > READERS_MAX {
            if let Some(oldest) = readers.order.pop_front() {
                readers.windows.remove(&oldest);
            }
        }
        window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_of_a_sequential_reader_doubles_up_to_its_bound() {
        let ahead = ReadAhead::new(1 << 30);
        let windows: Vec<u64> = (0..7).map(|step| ahead.advance(1, step * 10, step * 10 + 10)).collect();
        assert_eq!(windows, [0, 1, 2, 4, 8, 16, 16].map(|mib| mib << 20));
    }

    #[test]
    fn a_jump_begins_anew_and_readers_do_not_disturb_each_other() {
        let ahead = ReadAhead::new(1 << 30);
        ahead.advance(1, 0, 10);
        assert_eq!(ahead.advance(1, 500, 510), 0, "another place");
        assert_eq!(ahead.advance(2, 10, 20), 0, "another partition");
        assert_eq!(ahead.advance(1, 10, 20), WINDOW_MIN);
        assert_eq!(ahead.advance(1, 510, 520), WINDOW_MIN);
    }

    #[test]
    fn partitions_that_are_read_together_share_a_part_of_the_cache() {
        let ahead = ReadAhead::new(256 << 20);
        for step in 0..20 {
            for partition in 0..16 {
                let window = ahead.advance(partition, step * 10, step * 10 + 10);
                assert!(step < 10 || window == 4 << 20, "{window}");
            }
        }
        for step in 0..300 {
            ahead.advance(1, 1_000 + step, 1_001 + step);
        }
        assert_eq!(ahead.advance(1, 1_300, 1_301), 16 << 20, "the others have stopped");
    }

    #[test]
    fn a_small_cache_and_many_readers_are_bounded() {
        let ahead = ReadAhead::new(1 << 20);
        ahead.advance(1, 0, 10);
        assert_eq!(ahead.advance(1, 10, 20), 1 << 18);
        for offset in 0..(READERS_MAX as i64 * 2) {
            ahead.advance(9, offset * 100, offset * 100 + 1);
        }
        let readers = ahead.readers.lock();
        assert!(readers.windows.len() <= READERS_MAX && readers.order.len() <= READERS_MAX);
    }
}
