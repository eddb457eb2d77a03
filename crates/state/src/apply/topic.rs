//! Topics: creation, deletion, more partitions.

use std::sync::Arc;

use super::Frame;
use super::config::are_settings;
use crate::entry::{PartitionsAdded, TopicCreated, TopicDeleted};
use crate::limits::DELETED_NAMES_MAX;
use crate::object::Grave;
use crate::partition::Partition;
use crate::topic::{Deleted, Handles, Topic, Topics, is_name};
use crate::verdict::{Refused, Verdict};
use crate::{State, slot};

impl State {
    pub(super) fn apply_topic_created(&mut self, frame: &mut Frame, entry: &TopicCreated) -> Result<Verdict, Refused> {
        if !is_name(&entry.name) || !(entry.namespace.is_empty() || is_name(&entry.namespace)) {
            return Err(Refused::InvalidName);
        }
        if let Some(topic) = self.topic_in(&entry.namespace, &entry.name) {
            return Err(Refused::TopicAlreadyExists { id: topic.id });
        }
        if entry.id == 0 || self.topics.by_id.contains_key(&entry.id) {
            return Err(Refused::InvalidTopicId);
        }
        if !are_settings(&entry.settings) {
            return Err(Refused::InvalidSettings);
        }
        self.check_partitions(0, entry.partitions)?;
        let Some(after) = self.topics.next_number.checked_add(1) else { return Err(Refused::InvalidTopicId) };
        let topics = Arc::make_mut(&mut self.topics);
        let number = std::mem::replace(&mut topics.next_number, after);
        topics.forget_deleted(self.cluster_time_ms, self.brokers.producer_id_expiration_ms());
        let replaced = topics.deleted.get(&(entry.namespace.clone(), entry.name.clone()));
        let topic = Topic {
            number,
            namespace: entry.namespace.clone(),
            name: entry.name.clone(),
            id: entry.id,
            created_at: frame.facts.position,
            replaced_at: replaced.map(|deleted| deleted.position),
            settings: entry.settings.clone(),
            handles: Vec::new(),
            has_path: false,
        };
        topics.insert(topic);
        let handles = self.add_partitions(number, 0, entry.partitions);
        frame.changed.extend(handles.iter());
        Ok(Verdict::TopicCreated { handles })
    }

    pub(super) fn apply_topic_deleted(&mut self, frame: &mut Frame, entry: &TopicDeleted) -> Result<Verdict, Refused> {
        if !self.topics.by_id.contains_key(&entry.id) {
            return Err(Refused::UnknownTopic);
        }
        let topics = Arc::make_mut(&mut self.topics);
        let Some(topic) = topics.remove(entry.id) else { return Err(Refused::UnknownTopic) };
        topics.forget_deleted(self.cluster_time_ms, self.brokers.producer_id_expiration_ms());
        let position = frame.facts.position;
        let deleted = Deleted { number: topic.number, position, time_ms: self.cluster_time_ms };
        topics.remember_deleted(&topic, deleted);
        if topic.has_path {
            let (namespace, name) = (topic.namespace.clone(), topic.name.clone());
            let grave = Grave { namespace, name, since: position, time_ms: self.cluster_time_ms };
            Arc::make_mut(&mut self.dead).graves.insert(topic.number, Arc::new(grave));
        }
        frame.touched.extend(topic.handles());
        frame.changed.extend(topic.handles());
        self.sweep_offsets_anew();
        Ok(Verdict::Done)
    }

    pub(super) fn apply_partitions_added(
        &mut self,
        frame: &mut Frame,
        entry: &PartitionsAdded,
    ) -> Result<Verdict, Refused> {
        let topic = self.topic_by_id(entry.id).ok_or(Refused::UnknownTopic)?;
        let (number, before) = (topic.number, topic.partition_count());
        if before != entry.before || entry.after <= before {
            return Err(Refused::InvalidPartitions);
        }
        self.check_partitions(before, entry.after)?;
        let handles = self.add_partitions(number, before, entry.after - before);
        frame.changed.extend(handles.iter());
        Ok(Verdict::PartitionsAdded { handles })
    }

    fn check_partitions(&self, before: u32, after: u32) -> Result<(), Refused> {
        if after == 0 || after > self.limits.partitions_per_topic {
            return Err(Refused::InvalidPartitions);
        }
        let added = after - before;
        let exist = self.topics.existing_partitions() + u64::from(added);
        if exist > u64::from(self.limits.partitions) || self.topics.next_handle.checked_add(added).is_none() {
            return Err(Refused::TooManyPartitions);
        }
        Ok(())
    }

    fn add_partitions(&mut self, number: u32, before: u32, count: u32) -> Handles {
        let topics = Arc::make_mut(&mut self.topics);
        let handles = Handles { first: topics.next_handle, count };
        topics.next_handle += count;
        topics.partitions += count;
        if let Some(topic) = topics.by_number.get_mut(&number) {
            Arc::make_mut(topic).handles.push(handles);
        }
        for (index, handle) in (before..).zip(handles.iter()) {
            let partition = Partition { topic: number, index, ..Partition::default() };
            Arc::make_mut(&mut self.shards[slot(handle)]).partitions.insert(handle, Arc::new(partition));
        }
        handles
    }
}

impl Topics {
    /// Remembers a deleted topic's name: under it, producers may continue the sequences that they had.
    fn remember_deleted(&mut self, topic: &Topic, deleted: Deleted) {
        let key = (topic.namespace.clone(), topic.name.clone());
        if let Some(before) = self.deleted.insert(key.clone(), deleted) {
            self.deleted_order.remove(&(before.position, before.number));
        }
        self.deleted_order.insert((deleted.position, deleted.number), key);
        while self.deleted_order.len() > DELETED_NAMES_MAX {
            self.forget_oldest();
        }
    }

    /// Forgets the names whose producers' ids are all older than the expiration: those may start anywhere anyway.
    fn forget_deleted(&mut self, now_ms: i64, expiration_ms: i64) {
        while let Some((_, name)) = self.deleted_order.first_key_value() {
            let young = |deleted: &Deleted| now_ms.saturating_sub(deleted.time_ms) <= expiration_ms;
            if self.deleted.get(name).is_some_and(young) {
                break;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, name)) = self.deleted_order.pop_first() {
            self.deleted.remove(&name);
        }
    }
}
