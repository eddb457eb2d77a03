//! Committed offsets as clients ask for them.

use kafscale_state::{Handle, group::Committed};

use super::Coordinator;

impl Coordinator {
    /// What a group has committed for a partition. The caller has waited for a barrier.
    pub fn committed(&self, group: &str, handle: Handle) -> Option<Committed> {
        self.shared.replica.read(|state| state.committed(group, handle).cloned())
    }

    /// All that it has committed: topic name and id, partition, offset; in the order of handles.
    pub fn all_committed(&self, group: &str) -> Vec<(String, u128, u32, Committed)> {
        self.shared.replica.read(|state| {
            let Some(group) = state.group(group) else { return Vec::new() };
            let named = group.offsets().filter_map(|(handle, committed)| {
                let partition = state.partition(handle)?;
                let topic = partition.topic();
                Some((topic.name().to_owned(), topic.id(), partition.index(), committed.clone()))
            });
            named.collect()
        })
    }
}
