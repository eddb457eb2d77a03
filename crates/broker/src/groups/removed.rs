//! What the log says of members that are removed: one line for all that go at once, however many they are.

/// Members and why they go; the first is named for all of them, and the others are listed for those who debug.
pub(super) fn note(group: &str, removed: &[(String, &str)]) {
    let Some(((first, why), others)) = removed.split_first() else { return };
    tracing::info!(group, members = removed.len(), first, "members are removed: {why}");
    for (member, why) in others {
        tracing::debug!(group, member, "a member is removed: {why}");
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use kafscale_runtime::Instant;
    use tracing::{Event, Level, Metadata, span};

    use crate::{
        groups::{classic, migration::Succession},
        settings::GroupSettings,
    };

    /// Counts lines for operators.
    struct Lines(Arc<AtomicUsize>);

    impl tracing::Subscriber for Lines {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::INFO
        }
        fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
            span::Id::from_u64(1)
        }
        fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
        fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Relaxed);
        }
        fn enter(&self, _: &span::Id) {}
        fn exit(&self, _: &span::Id) {}
    }

    /// How many lines a step writes.
    pub fn lines(step: impl FnOnce()) -> usize {
        let count = Arc::<AtomicUsize>::default();
        tracing::subscriber::with_default(Lines(Arc::clone(&count)), step);
        count.load(Relaxed)
    }

    fn member(index: u64) -> classic::Member {
        classic::Member {
            id: format!("m{index}"),
            instance_id: None,
            client_id: String::new(),
            client_host: String::new(),
            session_timeout: Instant::from_secs(10),
            rebalance_timeout: Instant::from_secs(10),
            protocols: vec![("range".into(), Default::default())],
            assignment: Default::default(),
            is_new: false,
            expires: Instant::from_secs(10),
            join: None,
            sync: None,
        }
    }

    #[test]
    fn a_group_that_expires_writes_one_line() {
        let members = (0..100).map(member).collect();
        let mut group = classic::Group::succeed("g", 1, members, Succession::default());
        let settings = GroupSettings::default();
        assert_eq!(lines(|| group.tick(Instant::from_secs(9), &settings)), 0);
        assert_eq!(lines(|| group.tick(Instant::from_secs(10), &settings)), 1);
        assert_eq!((group.members().len(), group.phase()), (0, classic::Phase::Empty));
    }
}
