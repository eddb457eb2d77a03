//! A group of either type, as the table holds it, and what becomes of requests that either type may get.

use kafscale_runtime::Instant;
use kafscale_state::{
    State,
    entry::GroupSaved,
    group::{self, Content},
};

use tokio::sync::oneshot;

use super::{
    Error,
    classic::{self, JoinAnswer, JoinRequest, Leaving, SyncAnswer, SyncRequest},
    commits::Commit,
    consumer,
    migration::{self, Succession},
};
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
        let succession = Succession { revision: saved.revision(), is_saving: false };
        match saved.content() {
            Content::Classic(content) => Self::Classic(classic::Group::load(id, content, saved.revision(), now)),
            Content::Consumer(content) => Self::Consumer(consumer::Group::load(id, content, succession, now, state)),
        }
    }

    /// A client joins by the classic protocol; a KIP-848 group without members becomes a classic one.
    pub fn join(
        &mut self,
        request: JoinRequest,
        new_id: String,
        answer: oneshot::Sender<JoinAnswer>,
        state: &State,
        now: Instant,
        settings: &GroupSettings,
    ) {
        if let Self::Consumer(group) = self
            && group.content().members.is_empty()
        {
            let (id, epoch) = (group.id().to_owned(), group.content().epoch);
            *self = Self::Classic(classic::Group::succeed(&id, epoch, Vec::new(), group.give_way()));
        }
        match self {
            Self::Classic(group) => group.join(request, new_id, answer, now, settings),
            Self::Consumer(group) => group.join_classic(&request, new_id, answer, state, now, settings),
        }
        self.turn_classic_if_due(state, now, settings);
    }

    /// A member that speaks the classic protocol asks for its assignment.
    pub fn sync(&mut self, request: SyncRequest, answer: oneshot::Sender<SyncAnswer>, state: &State, now: Instant) {
        match self {
            Self::Classic(group) => group.sync(request, answer, now),
            Self::Consumer(group) => group.sync_classic(&request, answer, state, now),
        }
    }

    /// Members leave by the classic protocol; the answers are in the order of the request.
    pub fn leave(
        &mut self,
        leaving: &[Leaving],
        state: &State,
        now: Instant,
        settings: &GroupSettings,
    ) -> Vec<Result<(), Error>> {
        let left = match self {
            Self::Classic(group) => group.leave(leaving, now, settings),
            Self::Consumer(group) => group.leave_classic(leaving, state, now, settings),
        };
        self.turn_classic_if_due(state, now, settings);
        left
    }

    /// A member of KIP-848 joins, lives or leaves. A classic group that one joins becomes a KIP-848 group.
    pub fn consumer_heartbeat(
        &mut self,
        beat: &consumer::Heartbeat<'_>,
        state: &State,
        now: Instant,
        settings: &GroupSettings,
    ) -> Result<consumer::Reply, Error> {
        let reply = match self {
            Self::Consumer(group) => group.heartbeat(beat, state, now, settings)?,
            Self::Classic(_) if !beat.joins() => return Err(Error::GroupNotFound),
            Self::Classic(group) => {
                let mut upgraded = migration::upgrade(group, state, now, settings)?;
                let reply = upgraded.heartbeat(beat, state, now, settings)?;
                group.fail(Error::RebalanceInProgress);
                *self = Self::Consumer(upgraded);
                reply
            }
        };
        self.turn_classic_if_due(state, now, settings);
        Ok(reply)
    }

    /// A KIP-848 group that only has members of the classic protocol left becomes a classic one.
    fn turn_classic_if_due(&mut self, state: &State, now: Instant, settings: &GroupSettings) {
        if let Self::Consumer(group) = self
            && let Some(turn) = group.take_turn()
        {
            *self = Self::Classic(migration::downgrade(group, turn, state, now, settings));
        }
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
            Self::Consumer(group) => {
                group.tick(state, now, settings);
                self.turn_classic_if_due(state, now, settings);
            }
        }
    }

    /// What is to be saved now, if anything; none while a save is under way.
    pub fn take_save(&mut self, now: Instant) -> Option<GroupSaved> {
        match self {
            Self::Classic(group) => group.take_save(),
            Self::Consumer(group) => group.take_save(now),
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

    /// Whether these offsets may be committed. For a member with the generation, or epoch, that it has now.
    pub fn may_commit(&mut self, commit: &Commit, now: Instant) -> Result<Option<i32>, Error> {
        match self {
            Self::Classic(group) => {
                group.may_commit(&commit.member_id, commit.instance_id.as_deref(), commit.generation, now)
            }
            Self::Consumer(group) => group.may_commit(commit),
        }
    }
}
