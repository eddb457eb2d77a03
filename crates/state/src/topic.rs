//! Topics: names, ids, settings, and which handles are theirs. And what else has settings.
//!
//! Deleting a topic takes its entry out of the maps and leaves a note; apply then frees its partitions a few at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::limits::NAME_BYTES_MAX;
use crate::{Handle, Position};

/// Kafka's topic id (a UUID, big-endian); never 0.
pub type TopicId = u128;

/// The namespace of topics that name none.
pub const DEFAULT_NAMESPACE: &str = "";

/// What stands for [`DEFAULT_NAMESPACE`] in the paths of segments.
pub const DEFAULT_PATH_NAMESPACE: &str = "default";
/// First components of names that the store uses otherwise.
const RESERVED: [&str; 8] =
    [DEFAULT_PATH_NAMESPACE, "log", "data", "merged", "snapshot", "archive", "floor", "cluster.json"];

/// The first component of the paths of a namespace's segments; none for one that must not have paths.
pub fn path_namespace(namespace: &str) -> Option<&str> {
    match namespace {
        DEFAULT_NAMESPACE => Some(DEFAULT_PATH_NAMESPACE),
        _ => (!RESERVED.contains(&namespace)).then_some(namespace),
    }
}

/// Kafka's rule for topic names.
pub fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal) && name != "." && name != ".."
}

/// Settings by name.
pub type Settings = BTreeMap<String, String>;

/// What has settings by its name alone, whether or not there is more of it; the tags are persisted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Named {
    /// A group.
    Group = 0,
    /// A subscription of client metrics.
    ClientMetrics = 1,
}

impl Named {
    pub(crate) fn from_tag(tag: u8) -> Option<Self> {
        [Self::Group, Self::ClientMetrics].into_iter().find(|kind| *kind as u8 == tag)
    }
}

/// Settings of what is known by its name; none of them are empty.
pub(crate) type NamedSettings = BTreeMap<(Named, String), Settings>;

/// Handles that were given at once: `first..first + count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handles {
    /// The first.
    pub first: Handle,
    /// How many.
    pub count: u32,
}

impl Handles {
    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Handle> {
        (0..self.count).map(move |index| self.first + index)
    }
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub(crate) number: u32,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) id: TopicId,
    pub(crate) created_at: Position,
    pub(crate) replaced_at: Option<Position>,
    pub(crate) settings: Settings,
    pub(crate) handles: Vec<Handles>,
    /// A segment was claimed once, so that there may be objects under its path.
    pub(crate) has_path: bool,
}

impl Topic {
    /// Its namespace; [`DEFAULT_NAMESPACE`] unless it was created in another.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its id.
    pub fn id(&self) -> TopicId {
        self.id
    }

    /// The position at which it was created.
    pub fn created_at(&self) -> Position {
        self.created_at
    }

    /// Its settings, as they were given: defaults are not among them.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// One of its settings.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str)
    }

    /// How many partitions it has.
    pub fn partition_count(&self) -> u32 {
        self.handles.iter().map(|handles| handles.count).sum()
    }

    /// The handle of a partition index.
    pub fn handle(&self, mut index: u32) -> Option<Handle> {
        for handles in &self.handles {
            match index.checked_sub(handles.count) {
                None => return Some(handles.first + index),
                Some(rest) => index = rest,
            }
        }
        None
    }

    /// The handles of its partitions in the order of their indexes.
    pub fn handles(&self) -> impl Iterator<Item = Handle> + '_ {
        self.handles.iter().flat_map(|handles| handles.iter())
    }
}

/// A deleted topic's name, while producers may still continue their sequences under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// The topic's number; with the position it tells the order of deletions.
    pub(crate) number: u32,
    pub(crate) position: Position,
    pub(crate) time_ms: i64,
}

/// Changes whenever a topic comes, grows or goes. New topics take new numbers and new partitions new handles, so only a
/// topic that goes leaves both as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicsVersion {
    pub(crate) next_number: u32,
    pub(crate) next_handle: Handle,
    pub(crate) count: usize,
}

/// All topics, and what remains of the deleted ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topics {
    pub(crate) by_number: BTreeMap<u32, Arc<Topic>>,
    pub(crate) by_id: BTreeMap<TopicId, u32>,
    pub(crate) by_name: BTreeMap<String, BTreeMap<String, u32>>,
    /// Numbers and handles are never reused.
    pub(crate) next_number: u32,
    pub(crate) next_handle: Handle,
    /// Partitions of live topics.
    pub(crate) partitions: u32,
    /// Deleted topics whose partitions are not yet freed, with the handles that remain.
    pub(crate) garbage: BTreeMap<u32, Vec<Handles>>,
    pub(crate) deleted: BTreeMap<(String, String), Deleted>,
    /// The same in the order of their deletion, to forget the oldest.
    pub(crate) deleted_order: BTreeMap<(Position, u32), (String, String)>,
}

impl Topics {
    pub(crate) fn find(&self, namespace: &str, name: &str) -> Option<&Arc<Topic>> {
        self.by_number.get(self.by_name.get(namespace)?.get(name)?)
    }

    pub(crate) fn insert(&mut self, topic: Topic) {
        self.by_id.insert(topic.id, topic.number);
        self.by_name.entry(topic.namespace.clone()).or_default().insert(topic.name.clone(), topic.number);
        self.partitions = self.partitions.saturating_add(topic.partition_count());
        self.by_number.insert(topic.number, Arc::new(topic));
    }

    /// Partitions that exist: of live topics, and of deleted ones that are not yet freed.
    pub(crate) fn existing_partitions(&self) -> u64 {
        let dead = self.garbage.values().flatten().map(|handles| u64::from(handles.count)).sum::<u64>();
        u64::from(self.partitions) + dead
    }

    /// Moves a topic to the garbage.
    pub(crate) fn remove(&mut self, id: TopicId) -> Option<Arc<Topic>> {
        let number = self.by_id.remove(&id)?;
        let topic = self.by_number.remove(&number)?;
        if let Some(names) = self.by_name.get_mut(&topic.namespace) {
            names.remove(&topic.name);
            if names.is_empty() {
                self.by_name.remove(&topic.namespace);
            }
        }
        self.partitions = self.partitions.saturating_sub(topic.partition_count());
        self.garbage.insert(number, topic.handles.clone());
        Some(topic)
    }
}
