//! Blocks of producer ids: which ids were given, where and when.

use std::collections::BTreeMap;

use crate::Position;
use crate::limits::PID_BLOCKS_MAX;

/// A block of ids that was given at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidBlock {
    pub(crate) count: u32,
    pub(crate) position: Position,
    pub(crate) time_ms: i64,
}

/// All blocks that are young enough to matter.
#[derive(Debug, Clone, Default)]
pub(crate) struct PidBlocks {
    /// By first id; they tile from `old_below` to `next`.
    pub(crate) blocks: BTreeMap<i64, PidBlock>,
    /// Ids below it are older than the expiration.
    pub(crate) old_below: i64,
    /// The next id to give.
    pub(crate) next: i64,
}

impl PidBlocks {
    /// The block of an id; none for ids that are old or were never given.
    pub(crate) fn find(&self, pid: i64) -> Option<&PidBlock> {
        let (first, block) = self.blocks.range(..=pid).next_back()?;
        (pid - first < i64::from(block.count)).then_some(block)
    }

    /// Gives a block, and forgets the times of those that are older than the expiration.
    pub(crate) fn give(&mut self, block: PidBlock, expiration_ms: i64) -> Option<i64> {
        let first = self.next;
        self.next = first.checked_add(i64::from(block.count))?;
        self.blocks.insert(first, block);
        while let Some((&oldest, PidBlock { count, time_ms, .. })) = self.blocks.first_key_value() {
            let old = block.time_ms.saturating_sub(*time_ms) > expiration_ms;
            if !old && self.blocks.len() <= PID_BLOCKS_MAX {
                break;
            }
            self.old_below = oldest + i64::from(*count);
            self.blocks.remove(&oldest);
        }
        Some(first)
    }
}
