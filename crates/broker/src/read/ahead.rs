//! Read-ahead: how far beyond its last answer a sequential reader will soon be.
//!
//! A reader is recognised by where it must continue: a fetch that begins exactly where an earlier one of the same
//! partition ended goes on, and its window doubles each time, up to a bound. Connections and consumers need no name here,
//! and several readers at different places of one partition do not disturb each other.

use std::collections::{BTreeMap, VecDeque};

use kafscale_state::Handle;
use parking_lot::Mutex;

/// Window of a reader that was recognised for the first time.
const WINDOW_MIN: u64 = 1 << 20;
/// Largest window.
const WINDOW_MAX: u64 = 16 << 20;
/// A window is at most this part of the cache, so that what is read ahead is not lost before it is used.
const CACHE_PART: u64 = 16;
/// Readers that are remembered.
const READERS_MAX: usize = 16 << 10;

/// See the module.
pub struct ReadAhead {
    window_max: u64,
    readers: Mutex<Readers>,
}

#[derive(Default)]
struct Readers {
    /// By partition and the offset at which the reader continues: its window in bytes.
    windows: BTreeMap<(Handle, i64), u64>,
    /// The same readers by age. May name some that have moved on.
    order: VecDeque<(Handle, i64)>,
}

impl ReadAhead {
    /// Read-ahead into a cache of so many bytes.
    pub fn new(cache_bytes: u64) -> Self {
        Self { window_max: WINDOW_MAX.min(cache_bytes / CACHE_PART), readers: Mutex::default() }
    }

    /// A fetch of a partition from `offset` on ended at `next_offset`: how many bytes beyond it are worth loading.
    pub fn advance(&self, partition: Handle, offset: i64, next_offset: i64) -> u64 {
        let mut readers = self.readers.lock();
        let before = readers.windows.remove(&(partition, offset));
        let window = before.map_or(0, |window| (window * 2).clamp(WINDOW_MIN, WINDOW_MAX).min(self.window_max));
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
    fn a_small_cache_and_many_readers_are_bounded() {
        let ahead = ReadAhead::new(1 << 20);
        ahead.advance(1, 0, 10);
        assert_eq!(ahead.advance(1, 10, 20), 1 << 16);
        for offset in 0..(READERS_MAX as i64 * 2) {
            ahead.advance(9, offset * 100, offset * 100 + 1);
        }
        let readers = ahead.readers.lock();
        assert!(readers.windows.len() <= READERS_MAX && readers.order.len() <= READERS_MAX);
    }
}
