//! What one merged object is made of: a pure choice from the state.
//!
//! Partitions come in the order of (slot, handle), as in every object. Of each, the newest records that lie below the level
//! are taken, as far as a claim does not cover them. Partitions with so much of them that an object of their own pays are
//! left to become segments directly; compacted ones never do, so they are taken whatever they have.

use kafscale_state::{Handle, State, slot};

use crate::{
    config::{layers::Layers, topic::TopicConfig},
    read::Extent,
};

/// One partition's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which partition.
    pub partition: Handle,
    /// The first offset that moves.
    pub first: i64,
    /// What was read, as the entry must name it.
    pub sources: u64,
    /// Where the records lie.
    pub extents: Vec<Extent>,
    /// Batches that end at or below it are left out.
    pub log_start: i64,
    /// It is all that waits there, not only what fits in an object.
    pub is_all: bool,
}

impl Part {
    /// One past the last offset that moves.
    pub fn end(&self) -> i64 {
        self.extents.last().map_or(self.first, |last| last.end_offset)
    }

    /// Bytes of its batches.
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.len)).sum()
    }
}

/// What to choose.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// The level of the new object.
    pub level: u8,
    /// Bytes of it.
    pub bytes_max: u64,
    /// A partition with so many bytes is left to the segments.
    pub fat_bytes: u64,
    /// This broker, whose settings are in force.
    pub node_id: i32,
}

/// Chooses the parts of one object among candidates, and which of these have nothing to move.
pub fn plan(state: &State, candidates: impl Iterator<Item = (Handle, bool)>, wish: &Wish) -> (Vec<Part>, Vec<Handle>) {
    let mut candidates: Vec<_> = candidates.collect();
    candidates.sort_by_key(|(handle, _)| (slot(*handle), *handle));
    let (mut parts, mut idle, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (handle, may_be_fat) in candidates {
        let Some(part) = part(state, handle, wish) else {
            idle.push(handle);
            continue;
        };
        let is_fat = part.bytes() >= wish.fat_bytes && !may_be_fat && !is_compacted(state, handle, wish.node_id);
        if is_fat || (bytes > 0 && bytes + part.bytes() > wish.bytes_max) {
            continue;
        }
        bytes += part.bytes();
        parts.push(part);
        if bytes >= wish.bytes_max {
            break;
        }
    }
    (parts, idle)
}

fn part(state: &State, handle: Handle, wish: &Wish) -> Option<Part> {
    let view = state.partition(handle)?;
    let claimed_until = view.claim().map_or(0, |claim| claim.end as i64);
    let (mut extents, mut bytes, mut is_all) = (Vec::new(), 0, true);
    for extent in view.unmerged(wish.level).filter(|extent| extent.base_offset >= claimed_until) {
        bytes += u64::from(extent.len);
        if !extents.is_empty() && bytes > wish.bytes_max {
            is_all = false;
            break;
        }
        extents.push(Extent::from(extent));
    }
    let (first, last) = (extents.first()?, extents.last()?);
    let (first, end) = (first.base_offset, last.end_offset);
    let sources = view.sources(first, end)?;
    Some(Part { partition: handle, first, sources, extents, log_start: view.log_start_offset(), is_all })
}

/// Whether a partition's topic is cleaned by key: then its records stay in objects with unique names.
pub fn is_compacted(state: &State, handle: Handle, node_id: i32) -> bool {
    let config = state.partition(handle).map(|view| TopicConfig::new(&Layers::of_topic(state, node_id, view.topic())));
    config.is_some_and(|config| config.compact)
}

#[cfg(test)]
mod tests;
