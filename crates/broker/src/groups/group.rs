//! A group of either type, as the table holds it.

use kafscale_runtime::Instant;
use kafscale_state::{
    State,
    entry::GroupSaved,
    group::{self, Content},
};

use super::{Error, classic, consumer};
use crate::settings::GroupSettings;

/// See the module.
#[derive(Debug)]
pub enum Group {
    /// One of the members assigns.
    Classic(classic::Group),
    /// The coordinator assigns (KIP-848).
    Consumer(consumer::Group),
}

impl Group {
    /// A group that nobody has heard of.
    pub fn new(id: &str) -> Self {
        Self::Classic(classic::Group::new(id))
    }

    /// A group as it was saved: it goes on without a rebalance.
    pub fn load(id: &str, saved: &group::Group, now: Instant, state: &State) -> Self {
        match saved.content() {
            Content::Classic(content) => Self::Classic(classic::Group::load(id, content, saved.revision(), now)),
            Content::Consumer(content) => {
                Self::Consumer(consumer::Group::load(id, content, saved.revision(), now, state))
            }
        }
    }

    /// The group for members that let one of them assign; a KIP-848 group without members becomes such a one.
    pub fn for_classic(&mut self) -> Result<&mut classic::Group, Error> {
        if let Self::Consumer(group) = self {
            if !group.content().members.is_empty() {
                return Err(Error::InconsistentProtocol);
            }
            if !group.is_idle() {
                return Err(Error::NotAvailable);
            }
            *self = Self::Classic(classic::Group::after(group.id(), group.content().epoch, group.revision()));
        }
        self.as_classic().ok_or(Error::InconsistentProtocol)
    }

    /// The group for members of KIP-848; a classic group without members becomes such a one.
    pub fn for_consumers(&mut self) -> Result<&mut consumer::Group, Error> {
        if let Self::Classic(group) = self {
            if group.members().len() > 0 {
                return Err(Error::GroupNotFound);
            }
            if !group.is_idle() {
                return Err(Error::NotAvailable);
            }
            *self = Self::Consumer(consumer::Group::new(group.id(), group.generation(), group.revision()));
        }
        self.as_consumer().ok_or(Error::GroupNotFound)
    }

    /// The classic group that it is.
    pub fn as_classic(&mut self) -> Option<&mut classic::Group> {
        match self {
            Self::Classic(group) => Some(group),
            Self::Consumer(_) => None,
        }
    }

    /// The KIP-848 group that it is.
    pub fn as_consumer(&mut self) -> Option<&mut consumer::Group> {
        match self {
            Self::Classic(_) => None,
            Self::Consumer(group) => Some(group),
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Classic(group) => group.id(),
            Self::Consumer(group) => group.id(),
        }
    }

    /// Kafka's name of its type.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Classic(_) => "classic",
            Self::Consumer(_) => "consumer",
        }
    }

    /// Kafka's name of where it is.
    pub fn phase(&self) -> &'static str {
        match self {
            Self::Classic(group) => group.phase().name(),
            Self::Consumer(group) => group.phase().name(),
        }
    }

    /// Whether all members have what they were given.
    pub fn is_stable(&self) -> bool {
        match self {
            Self::Classic(group) => group.phase() == classic::Phase::Stable,
            Self::Consumer(group) => group.phase() == consumer::Phase::Stable,
        }
    }

    /// Kafka's protocol type; empty where nobody ever joined.
    pub fn protocol_type(&self) -> &str {
        match self {
            Self::Classic(group) => group.protocol_type(),
            Self::Consumer(_) => super::subscription::CONSUMER,
        }
    }

    /// How many members it has.
    pub fn member_count(&self) -> usize {
        match self {
            Self::Classic(group) => group.members().len(),
            Self::Consumer(group) => group.content().members.len(),
        }
    }

    /// What it weighs towards the bounds.
    pub fn weight(&self) -> u64 {
        match self {
            Self::Classic(group) => group.weight(),
            Self::Consumer(group) => group.weight(),
        }
    }

    /// Whether nothing would be lost if it were forgotten here: the state knows all of it.
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Classic(group) => group.is_idle(),
            Self::Consumer(group) => group.is_idle(),
        }
    }

    /// The next moment at which [`Group::tick`] has something to do.
    pub fn wake_at(&self) -> Option<Instant> {
        match self {
            Self::Classic(group) => group.wake_at(),
            Self::Consumer(group) => group.wake_at(),
        }
    }

    /// Does what is due.
    pub fn tick(&mut self, state: &State, now: Instant, settings: &GroupSettings) {
        match self {
            Self::Classic(group) => group.tick(now, settings),
            Self::Consumer(group) => group.tick(state, now),
        }
    }

    /// What is to be saved now, if anything; none while a save is under way.
    pub fn take_save(&mut self) -> Option<GroupSaved> {
        match self {
            Self::Classic(group) => group.take_save(),
            Self::Consumer(group) => group.take_save(),
        }
    }

    /// The save under way was applied.
    pub fn saved(&mut self, revision: u64, now: Instant) {
        match self {
            Self::Classic(group) => group.saved(revision, now),
            Self::Consumer(group) => group.saved(revision),
        }
    }

    /// It cannot go on here: whoever waits is told why.
    pub fn fail(&mut self, error: Error) {
        match self {
            Self::Classic(group) => group.fail(error),
            Self::Consumer(group) => group.fail(error),
        }
    }

    /// Whether offsets may be committed. `Ok(true)` for a member.
    pub fn may_commit(&mut self, id: &str, instance_id: Option<&str>, epoch: i32, now: Instant) -> Result<bool, Error> {
        match self {
            Self::Classic(group) => group.may_commit(id, instance_id, epoch, now),
            Self::Consumer(group) => group.may_commit(id, epoch),
        }
    }
}
