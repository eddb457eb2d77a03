//! The last offset of each key, in memory of a fixed size.
//!
//! Not the keys themselves but 16 bytes of their hash: a table of 24 bytes a key, open addressing, at most nine tenths full,
//! as Kafka's offset map. What does not fit waits for the next pass.
//!
//! Two keys with one hash would be taken for one, and the older record would be lost. The hash depends on secrets that are
//! drawn for each table and never leave the process, so nobody can prepare such keys; by chance two of ten million collide
//! once in 10^24 passes.

use std::hash::{DefaultHasher, Hasher};

/// Bytes of a slot.
const SLOT_BYTES: u64 = size_of::<Slot>() as u64;
/// Nine tenths of the slots are used.
const USED: (u64, u64) = (9, 10);

#[derive(Clone, Copy)]
struct Slot {
    hash: [u64; 2],
    /// Negative while it is free.
    offset: i64,
}

const FREE: Slot = Slot { hash: [0; 2], offset: -1 };

/// See the module.
pub struct Keys {
    slots: Vec<Slot>,
    len: u64,
    max: u64,
    secrets: [u64; 2],
}

impl Keys {
    /// A table of at most so many bytes, and for no more than so many keys. It holds one key at least.
    pub fn new(bytes: u64, keys: u64, secrets: [u64; 2]) -> Self {
        let max = (bytes / SLOT_BYTES * USED.0 / USED.1).min(keys).max(1);
        let slots = usize::try_from(max * USED.1 / USED.0 + 1).unwrap_or(usize::MAX);
        Self { slots: vec![FREE; slots], len: 0, max, secrets }
    }

    /// Notes that a key has a record at this offset, which is greater than those before. False if the table is full.
    pub fn put(&mut self, key: &[u8], offset: i64) -> bool {
        let hash = self.hash(key);
        let at = self.find(hash);
        let slot = &mut self.slots[at];
        if slot.offset < 0 {
            if self.len == self.max {
                return false;
            }
            self.len += 1;
        }
        *slot = Slot { hash, offset };
        true
    }

    /// The last offset that was noted for a key.
    pub fn get(&self, key: &[u8]) -> Option<i64> {
        if self.len == 0 {
            return None;
        }
        Some(self.slots[self.find(self.hash(key))].offset).filter(|offset| *offset >= 0)
    }

    /// Keys that are noted.
    #[cfg(test)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that it takes.
    #[cfg(test)]
    pub fn bytes(&self) -> u64 {
        self.slots.len() as u64 * SLOT_BYTES
    }

    /// The slot of a hash, or the free one where it belongs. One in ten is free, so it is found soon.
    fn find(&self, hash: [u64; 2]) -> usize {
        let count = self.slots.len();
        let mut at = ((u128::from(hash[0]) * count as u128) >> 64) as usize;
        while self.slots[at].offset >= 0 && self.slots[at].hash != hash {
            at = (at + 1) % count;
        }
        at
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.secrets.map(|secret| {
            // What comes first is hashed like a key of the hash.
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(secret);
            hasher.write(key);
            hasher.finish()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_agrees_with_a_plain_map_until_it_is_full_and_stays_small() {
        let (mut keys, mut plain) = (Keys::new(24_000, u64::MAX, [1, 2]), BTreeMap::new());
        for offset in 0..5_000_i64 {
            let key = (offset * 7_919 % 1_300).to_string();
            let fits = plain.len() < 900 || plain.contains_key(&key);
            assert_eq!(keys.put(key.as_bytes(), offset), fits, "{offset}");
            if fits {
                plain.insert(key, offset);
            }
        }
        assert_eq!((keys.len(), plain.len()), (900, 900));
        assert!(keys.bytes() <= 24_024, "{}", keys.bytes());
        for key in 0..2_000 {
            let key = key.to_string();
            assert_eq!(keys.get(key.as_bytes()), plain.get(&key).copied(), "{key}");
        }
    }

    #[test]
    fn a_small_partition_takes_a_small_table() {
        let keys = Keys::new(128 << 20, 10, [1, 2]);
        assert!(keys.bytes() < 400);
        assert_eq!(keys.get(b"anything"), None);
        let mut one = Keys::new(0, 0, [1, 2]);
        assert!(one.put(b"a", 1) && one.put(b"a", 2) && !one.put(b"b", 3));
        assert_eq!((one.get(b"a"), one.get(b"b")), (Some(2), None));
    }
}
