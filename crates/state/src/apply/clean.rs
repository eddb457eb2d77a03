//! Log compaction: how far partitions are clean.

use std::sync::Arc;

use super::Frame;
use crate::entry::Cleaned;
use crate::partition::Clean;
use crate::verdict::Verdict;
use crate::{State, slot};

impl State {
    /// Partitions that are gone, and offsets that there are not or that are clean already, are passed over.
    pub(super) fn apply_cleaned(&mut self, frame: &mut Frame, entry: &Cleaned) -> Verdict {
        frame.changed.extend(entry.partitions.iter().map(|cleaned| cleaned.partition));
        for cleaned in &entry.partitions {
            let Ok(to) = u64::try_from(cleaned.to) else { continue };
            let Some(view) = self.partition(cleaned.partition) else { continue };
            let before = view.partition.clean.as_ref().map_or(0, |clean| clean.to);
            if to < before || to > view.partition.end {
                continue;
            }
            let clean = Clean { to, time_ms: self.cluster_time_ms, horizon_ms: cleaned.horizon_ms };
            let shard = Arc::make_mut(&mut self.shards[slot(cleaned.partition)]);
            if let Some(partition) = shard.partitions.get_mut(&cleaned.partition) {
                Arc::make_mut(partition).clean = Some(Arc::new(clean));
            }
        }
        Verdict::Done
    }
}
