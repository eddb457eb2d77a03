//! Reads what is to be rewritten: from memory where it is there, else with as few GETs as its places allow.
//!
//! Every batch is compared with its checksum, and gets its offset if it does not carry it. What is gone or damaged is said of
//! the extents that it concerns: one hurt object must not keep the records of others from being rewritten.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use kafscale_state::Place;
use kafscale_store::ReadRange;

use super::{Context, Undone, pace::Pace};
use crate::read::{Content, Extent, LoadError};

/// Bytes of one GET, unless one extent has more.
const GET_MAX: u64 = 16 << 20;
/// Bytes between two extents that are read in vain rather than asking twice.
const GAP_MAX: u64 = 128 << 10;

/// An extent's batches.
pub struct Read {
    /// The batches.
    pub content: Arc<Content>,
    /// They were in memory: somebody may still be reading there.
    pub was_cached: bool,
}

/// The contents of these extents, in their order: all of them, or why not.
pub async fn read_all(context: &Context, pace: &mut Pace, extents: &[Extent]) -> Result<Vec<Read>, Undone> {
    let read = read(context, pace, extents).await?;
    Ok(read.into_iter().collect::<Result<_, LoadError>>()?)
}

/// What each of these extents holds, or why that cannot be had, in their order.
pub async fn read(
    context: &Context,
    pace: &mut Pace,
    extents: &[Extent],
) -> Result<Vec<Result<Read, LoadError>>, Undone> {
    let mut found: Vec<Result<Read, LoadError>> = Vec::with_capacity(extents.len());
    let mut cold: BTreeMap<Place, BTreeSet<(u64, usize)>> = BTreeMap::new();
    for (index, extent) in extents.iter().enumerate() {
        let content = context.cache.peek(extent);
        if content.is_none() {
            cold.entry(extent.object).or_default().insert((extent.start, index));
        }
        // What is not in memory is missing until it was read.
        found.push(content.map(|content| Read { content, was_cached: true }).ok_or(LoadError::Missing));
    }
    for (object, rows) in cold {
        let Some(name) = context.view.name(object) else { continue };
        let rows: Vec<usize> = rows.into_iter().map(|(_, index)| index).collect();
        for group in groups(&rows, extents) {
            let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
            let (start, end) = (extents[*first].start, extents[*last].end());
            pace.take(end - start).await;
            let range = ReadRange::At { start, len: end - start };
            let Some(bytes) = context.get(&name, range, end - start).await? else { break };
            for index in group {
                let extent = &extents[*index];
                let at = |byte: u64| usize::try_from(byte - start).unwrap_or(usize::MAX).min(bytes.len());
                let piece = bytes.slice(at(extent.start)..at(extent.end()));
                // What came alone, such as a segment, is not copied if it can stay as it is.
                let content = match group.len() {
                    1 => Content::alone(extent, piece),
                    _ => Content::new(extent, &[piece], true),
                };
                let content = content.map_err(LoadError::from);
                found[*index] = content.map(|content| Read { content: Arc::new(content), was_cached: false });
            }
        }
    }
    Ok(found)
}

/// Cuts the extents of one object, in the order of their places, into what one GET brings.
fn groups<'a>(rows: &'a [usize], extents: &[Extent]) -> Vec<&'a [usize]> {
    let (mut groups, mut from) = (Vec::new(), 0);
    for at in 1..=rows.len() {
        let is_cut = match rows.get(at) {
            None => true,
            Some(next) => {
                let (first, last, next) = (&extents[rows[from]], &extents[rows[at - 1]], &extents[*next]);
                next.start > last.end().saturating_add(GAP_MAX) || next.end() - first.start > GET_MAX
            }
        };
        if is_cut {
            groups.push(&rows[from..at]);
            from = at;
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_come_with_one_get() {
        let extent = |start, len| Extent {
            object: Place::LogFrame { position: 1 },
            start,
            len,
            base_offset: 0,
            end_offset: 1,
            max_timestamp: 0,
            version: 0,
        };
        let mib = 1 << 20;
        let extents =
            [extent(0, 100), extent(100, 100), extent(mib, 10), extent(mib + 10, 16 << 20), extent(18 * mib, 5)];
        let rows = [0, 1, 2, 3, 4];
        assert_eq!(groups(&rows, &extents), [&rows[0..2], &rows[2..3], &rows[3..4], &rows[4..5]]);
        assert!(groups(&[], &extents).is_empty());
    }
}
