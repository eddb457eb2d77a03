//! The state itself and its queries.
//!
//! Everything large stands behind an `Arc` and is copied when one of its holders writes: the shards one by one, the
//! tables of topics, brokers and producer ids as a whole (they change rarely and are small beside the shards).

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::broker::{Broker, Brokers};
use crate::group::Groups;
use crate::object::{Dead, DeadObject, DeadSegment, Grave, Object, ObjectId, Place};
use crate::partition::PartitionView;
use crate::pid::PidBlocks;
use crate::producer::{Facts, ProducerState};
use crate::shard::Shard;
use crate::topic::{DEFAULT_NAMESPACE, Named, NamedSettings, Settings, Topic, TopicId, Topics, TopicsVersion};
use crate::{Handle, Limits, Position, SLOTS, slot};

/// Everything that is known at a position of the log.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) limits: Limits,
    pub(crate) position: Position,
    pub(crate) digest: u128,
    pub(crate) cluster_time_ms: i64,
    /// The session of the last `Sequencer`; frames of lower ones are void.
    pub(crate) session: u64,
    pub(crate) feature_level: u16,
    pub(crate) cluster_id: Option<u128>,
    /// Extents of all partitions, those of deleted data included until they are freed.
    pub(crate) extents: u64,
    /// Published segments of all partitions.
    pub(crate) segments: u64,
    pub(crate) next_data_object: u64,
    pub(crate) dead: Arc<Dead>,
    pub(crate) brokers: Arc<Brokers>,
    pub(crate) topics: Arc<Topics>,
    pub(crate) named: Arc<NamedSettings>,
    pub(crate) pids: Arc<PidBlocks>,
    /// Partitions with extents below their log start, to be freed.
    pub(crate) trimmed: Arc<std::collections::BTreeSet<Handle>>,
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) groups: Groups,
}

/// Where a dead segment lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadSegmentView<'a> {
    /// Namespace of its topic.
    pub namespace: &'a str,
    /// Its topic, which may have been deleted.
    pub topic: &'a str,
    /// Kafka's partition index.
    pub index: u32,
    /// The position at which the last reference went.
    pub since: Position,
    /// Its records live on in another object.
    pub replaced: bool,
}

/// How full the state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Extents that it holds.
    pub used: u64,
    /// Extents that it may hold.
    pub cap: u64,
    /// The next frame frees some of what was deleted, whatever is in it.
    pub frees: bool,
}

impl Backlog {
    /// The used part, 0 to 1.
    pub fn share(&self) -> f64 {
        self.used as f64 / self.cap.max(1) as f64
    }

    /// Whether the next frame finds no room for another extent.
    pub fn is_full(&self) -> bool {
        self.used >= self.cap && !self.frees
    }
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state before the first frame.
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// The same with other limits. All replicas of a log need the same ones.
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            position: 0,
            digest: 0,
            cluster_time_ms: 0,
            session: 0,
            feature_level: 1,
            cluster_id: None,
            extents: 0,
            segments: 0,
            next_data_object: 0,
            dead: Arc::default(),
            brokers: Arc::default(),
            topics: Arc::default(),
            named: Arc::default(),
            pids: Arc::default(),
            trimmed: Arc::default(),
            shards: (0..SLOTS).map(|_| Arc::default()).collect(),
            groups: Groups::default(),
        }
    }

    /// The position of the last frame that was applied; 0 before the first.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The digest there: equal on every replica at this position.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// The greatest cluster time of any frame, Unix milliseconds; 0 before the first.
    pub fn cluster_time_ms(&self) -> i64 {
        self.cluster_time_ms
    }

    /// The session that took the log over last; 0 before the first.
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Which rules apply follows.
    pub fn feature_level(&self) -> u16 {
        self.feature_level
    }

    /// The cluster that the log belongs to, once it was said.
    pub fn cluster_id(&self) -> Option<u128> {
        self.cluster_id
    }

    /// How many extents there are and may be, for the backlog rule.
    pub fn backlog(&self) -> Backlog {
        let frees = !self.trimmed.is_empty() || !self.topics.garbage.is_empty();
        Backlog { used: self.extents, cap: self.limits.extents, frees }
    }

    /// Live brokers in the order of their sessions.
    pub fn brokers(&self) -> impl Iterator<Item = &Broker> {
        self.brokers.live.values()
    }

    /// Whether a session was declared over: its later frames are void.
    pub fn is_session_over(&self, session: u64) -> bool {
        session < self.session || self.brokers.gone.contains(&session)
    }

    /// Settings of all brokers, as they were given.
    pub fn broker_defaults(&self) -> &Settings {
        &self.brokers.defaults
    }

    /// Settings of one broker, as they were given.
    pub fn broker_settings(&self, node_id: i32) -> Option<&Settings> {
        self.brokers.settings.get(&node_id)
    }

    /// Settings of a group or a subscription of client metrics, as they were given; none if none were.
    pub fn named_settings(&self, kind: Named, name: &str) -> Option<&Settings> {
        self.named.get(&(kind, name.to_owned()))
    }

    /// Everything of this kind that has settings, in the order of names.
    pub fn named(&self, kind: Named) -> impl Iterator<Item = (&str, &Settings)> {
        let from = self.named.range((kind, String::new())..);
        from.take_while(move |((of, _), _)| *of == kind).map(|((_, name), settings)| (name.as_str(), settings))
    }

    /// `producer.id.expiration.ms`: what was set for all brokers if it is a positive number, else the default.
    pub fn producer_id_expiration_ms(&self) -> i64 {
        self.brokers.producer_id_expiration_ms()
    }

    /// A topic of the default namespace by name.
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topic_in(DEFAULT_NAMESPACE, name)
    }

    /// A topic by namespace and name.
    pub fn topic_in(&self, namespace: &str, name: &str) -> Option<&Topic> {
        self.topics.find(namespace, name).map(Arc::as_ref)
    }

    /// A hash of all settings that decide about a topic on this broker: who acts on them names what was read.
    pub fn settings_hash(&self, topic: &Topic, node_id: i32) -> u64 {
        let mut hash = Xxh3::new();
        let layers = [Some(&topic.settings), self.broker_settings(node_id), Some(self.broker_defaults())];
        for settings in layers {
            let settings = settings.into_iter().flatten();
            settings.for_each(|(name, value)| {
                for text in [name, value] {
                    hash.update(&(text.len() as u64).to_be_bytes());
                    hash.update(text.as_bytes());
                }
            });
            hash.update(&u64::MAX.to_be_bytes());
        }
        hash.digest()
    }

    /// A topic by id.
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Topic> {
        self.topics.by_number.get(self.topics.by_id.get(&id)?).map(Arc::as_ref)
    }

    /// All topics in the order of namespace and name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        let numbers = self.topics.by_name.values().flat_map(|names| names.values());
        numbers.filter_map(|number| self.topics.by_number.get(number).map(Arc::as_ref))
    }

    /// Which topics there are, with how many partitions.
    pub fn topics_version(&self) -> TopicsVersion {
        let Topics { next_number, next_handle, by_number, .. } = &*self.topics;
        TopicsVersion { next_number: *next_number, next_handle: *next_handle, count: by_number.len() }
    }

    /// How many topics there are.
    pub fn topic_count(&self) -> usize {
        self.topics.by_number.len()
    }

    /// How many partitions live topics have.
    pub fn partition_count(&self) -> u32 {
        self.topics.partitions
    }

    /// A partition of a live topic.
    pub fn partition(&self, handle: Handle) -> Option<PartitionView<'_>> {
        let partition = self.shards[slot(handle)].partitions.get(&handle)?;
        let topic = self.topics.by_number.get(&partition.topic)?;
        Some(PartitionView { state: self, topic, handle, partition })
    }

    /// What a partition remembers of a producer, expired or not.
    pub fn producer(&self, handle: Handle, pid: i64) -> Option<&ProducerState> {
        self.shards[slot(handle)].producers.get(&(handle, pid))
    }

    /// All producers that a partition remembers, in the order of their ids.
    pub fn producers(&self, handle: Handle) -> impl Iterator<Item = (i64, &ProducerState)> {
        let range = self.shards[slot(handle)].producers.range((handle, i64::MIN)..=(handle, i64::MAX));
        range.map(|((_, pid), state)| (*pid, state))
    }

    /// What [`crate::producer::judge`] needs beside the producer's state.
    pub fn producer_facts(&self, handle: Handle, pid: i64) -> Facts {
        let expiration_ms = self.producer_id_expiration_ms();
        let now_ms = self.cluster_time_ms();
        let may_be_forgotten = self.may_be_forgotten(handle, pid, now_ms, expiration_ms);
        Facts { now_ms, expiration_ms, may_be_forgotten }
    }

    /// Whether a partition without state of this producer may have had some.
    pub(crate) fn may_be_forgotten(&self, handle: Handle, pid: i64, now_ms: i64, expiration_ms: i64) -> bool {
        if (0..self.pids.old_below).contains(&pid) {
            return true;
        }
        let Some(block) = self.pids.find(pid) else { return false };
        let shard = &self.shards[slot(handle)];
        let replaced_at = || {
            let topic = shard.partitions.get(&handle)?.topic;
            self.topics.by_number.get(&topic)?.replaced_at
        };
        now_ms.saturating_sub(block.time_ms) > expiration_ms
            || block.position < shard.evicted_below
            || replaced_at().is_some_and(|replaced_at| block.position < replaced_at)
    }

    /// Whether an extent refers to the payload of the frame at this position. Such a frame must not be deleted.
    pub fn is_live(&self, position: Position) -> bool {
        self.object(ObjectId::log_frame(position)).is_some()
    }

    /// Whether the trimmer of the log must leave the frame at this position alone: it is live, or was until lately, and then
    /// its deletion is not the trimmer's business.
    pub fn is_kept(&self, position: Position) -> bool {
        let id = ObjectId::log_frame(position);
        self.object(id).is_some() || self.dead.objects.contains_key(&id)
    }

    /// Objects that nothing refers to any more.
    pub fn dead_objects(&self) -> impl Iterator<Item = (ObjectId, &DeadObject)> {
        self.dead.objects.iter().map(|(id, dead)| (*id, dead))
    }

    /// Segments that nothing refers to any more: partition, base offset, and where they are.
    pub fn dead_segments(&self) -> impl Iterator<Item = (Handle, u64, DeadSegmentView<'_>)> {
        self.dead.segments.iter().filter_map(|((handle, base_offset), dead)| {
            let (namespace, topic) = self.topic_name(dead.topic)?;
            let DeadSegment { index, since, replaced, .. } = *dead;
            Some((*handle, *base_offset, DeadSegmentView { namespace, topic, index, since, replaced }))
        })
    }

    /// Deleted topics under whose paths there may still be objects, by number.
    pub fn graves(&self) -> impl Iterator<Item = (u32, &Grave)> {
        self.dead.graves.iter().map(|(number, grave)| (*number, &**grave))
    }

    /// Whether nothing of a deleted topic is left in the state but its grave.
    pub fn is_grave_empty(&self, number: u32) -> bool {
        let segments = self.dead.segments.values().any(|dead| dead.topic == number);
        !segments && !self.topics.garbage.contains_key(&number)
    }

    /// How many published segments there are.
    pub fn segment_count(&self) -> u64 {
        self.segments
    }

    /// The live object at this place.
    pub fn object_at(&self, place: Place) -> Option<ObjectId> {
        let id = match place {
            Place::LogFrame { position } => ObjectId::log_frame(position),
            Place::Segment { .. } | Place::SegmentIndex { .. } => return None,
            Place::Data { .. } | Place::Merged(_) => *self.shards[place.slot()].data_objects.get(&place)?,
        };
        self.object(id).map(|_| id)
    }

    /// Whether the state knows this object, live or dead: what it does not know, nobody will ever refer to.
    pub fn knows(&self, place: Place) -> bool {
        match place {
            Place::LogFrame { position } => self.is_kept(position),
            Place::Data { .. } | Place::Merged(_) => self.shards[place.slot()].data_objects.contains_key(&place),
            Place::Segment { partition, base_offset } | Place::SegmentIndex { partition, base_offset } => {
                let found = self.shards[slot(partition)].partitions.get(&partition);
                let segment = found.is_some_and(|partition| partition.segments.position(base_offset).is_some());
                segment || self.dead.segments.contains_key(&(partition, base_offset))
            }
        }
    }

    /// Namespace and name of a topic that lives, or that has a grave.
    fn topic_name(&self, number: u32) -> Option<(&str, &str)> {
        if let Some(topic) = self.topics.by_number.get(&number) {
            return Some((topic.namespace(), topic.name()));
        }
        self.dead.graves.get(&number).map(|grave| (grave.namespace.as_str(), grave.name.as_str()))
    }

    /// What is known of a live object.
    pub fn object(&self, id: ObjectId) -> Option<&Object> {
        self.shards[id.slot()].objects.get(&id)
    }

    /// How many objects are live.
    pub fn object_count(&self) -> usize {
        self.shards.iter().map(|shard| shard.objects.len()).sum()
    }

    /// Where an object is.
    pub(crate) fn place(&self, id: ObjectId) -> Option<Place> {
        match id.log_position() {
            Some(position) => Some(Place::LogFrame { position }),
            None => self.object(id).map(|object| object.place),
        }
    }
}
