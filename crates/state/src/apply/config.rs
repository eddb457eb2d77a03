//! Settings of topics, brokers, and what is known by its name alone.

use std::sync::Arc;

use super::Frame;
use crate::State;
use crate::entry::{Change, ConfigSet, NamedConfigSet, Resource};
use crate::limits::{BROKERS_MAX, NAMED_SETTINGS_MAX, SETTING_NAME_BYTES_MAX, SETTING_VALUE_BYTES_MAX, SETTINGS_MAX};
use crate::topic::Settings;
use crate::verdict::{Refused, Verdict};

impl State {
    pub(super) fn apply_config_set(&mut self, frame: &mut Frame, entry: &ConfigSet) -> Result<Verdict, Refused> {
        frame.defaults_changed |= !matches!(entry.resource, Resource::Topic(_));
        match entry.resource {
            Resource::Topic(id) => {
                let topic = self.topic_by_id(id).ok_or(Refused::UnknownTopic)?;
                frame.changed.extend(topic.handles());
                let (number, settings) = (topic.number, changed(&topic.settings, &entry.changes)?);
                if let Some(topic) = Arc::make_mut(&mut self.topics).by_number.get_mut(&number) {
                    Arc::make_mut(topic).settings = settings;
                }
            }
            Resource::Brokers => {
                let settings = changed(&self.brokers.defaults, &entry.changes)?;
                Arc::make_mut(&mut self.brokers).defaults = settings;
            }
            Resource::Broker(node_id) => {
                let before = self.brokers.settings.get(&node_id);
                let settings = changed(before.unwrap_or(&Settings::new()), &entry.changes)?;
                if before.is_none() && self.brokers.settings.len() >= BROKERS_MAX {
                    return Err(Refused::TooManyBrokers);
                }
                let all = &mut Arc::make_mut(&mut self.brokers).settings;
                match settings.is_empty() {
                    true => all.remove(&node_id),
                    false => all.insert(node_id, settings),
                };
            }
        }
        Ok(Verdict::Done)
    }

    pub(super) fn apply_named_config_set(&mut self, entry: &NamedConfigSet) -> Result<Verdict, Refused> {
        if !(1..=SETTING_NAME_BYTES_MAX).contains(&entry.name.len()) {
            return Err(Refused::InvalidName);
        }
        let key = (entry.kind, entry.name.clone());
        let before = self.named.get(&key);
        let settings = changed(before.unwrap_or(&Settings::new()), &entry.changes)?;
        if before.is_none() && self.named.len() >= NAMED_SETTINGS_MAX {
            return Err(Refused::InvalidSettings);
        }
        let all = Arc::make_mut(&mut self.named);
        match settings.is_empty() {
            true => all.remove(&key),
            false => all.insert(key, settings),
        };
        Ok(Verdict::Done)
    }
}

pub(super) fn are_settings(settings: &Settings) -> bool {
    let fits = |(name, value): (&String, &String)| {
        (1..=SETTING_NAME_BYTES_MAX).contains(&name.len()) && value.len() <= SETTING_VALUE_BYTES_MAX
    };
    settings.len() <= SETTINGS_MAX && settings.iter().all(fits)
}

fn changed(settings: &Settings, changes: &[Change]) -> Result<Settings, Refused> {
    let mut settings = settings.clone();
    for change in changes {
        match &change.value {
            Some(value) => settings.insert(change.name.clone(), value.clone()),
            None => settings.remove(&change.name),
        };
    }
    match are_settings(&settings) {
        true => Ok(settings),
        false => Err(Refused::InvalidSettings),
    }
}
