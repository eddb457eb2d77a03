//! Groups that change their protocol while they have members (KIP-848).
//!
//! ```text
//!            a client joins by ConsumerGroupHeartbeat
//!   classic ──────────────────────────────────────────▶ KIP-848, its former members speak the classic protocol
//!      ▲                                                         │
//!      └─────────────────────────────────────────────────────────┘
//!        the last member that speaks KIP-848's leaves, or a static member that does not takes its place
//! ```
//!
//! The generation becomes the group epoch and the assignments become what members own, and the other way round. Nobody
//! has to give up anything by the change itself; the rebalance that follows is that of the new type. What the classic
//! leader's assignor said to its members would be lost, so a group with such an assignor is not upgraded. The rules are
//! those of Apache Kafka's group coordinator.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_runtime::Instant;
use kafscale_state::{
    State,
    group::{ClassicMetadata, Consumer, ConsumerMember, MemberState, Partitions},
};

use super::{
    Error, classic,
    consumer::{self, Turn},
    subscription::{self, Assignment, CONSUMER, Subscription},
};
use crate::settings::GroupSettings;

/// What a group hands on to the one that takes its place.
#[derive(Debug, Clone, Copy, Default)]
pub struct Succession {
    /// The revision in the state that it follows.
    pub revision: u64,
    /// A save is under way: its answer is for the successor.
    pub is_saving: bool,
}

/// The KIP-848 group that goes on with the members of a classic one. The classic one is as it was.
pub fn upgrade(
    group: &classic::Group,
    state: &State,
    now: Instant,
    settings: &GroupSettings,
) -> Result<consumer::Group, Error> {
    let (id, generation, succession) = (group.id(), group.generation(), group.succession());
    if group.members().len() == 0 {
        return Ok(consumer::Group::new(id, generation, succession));
    }
    if !settings.migration.upgrades() {
        return Err(Error::CannotUpgrade("on-line upgrade is disabled"));
    }
    if group.protocol_type() != CONSUMER {
        return Err(Error::CannotUpgrade("the group does not use the consumer embedded protocol"));
    }
    if group.members().len() > settings.consumer_max_size as usize {
        return Err(Error::CannotUpgrade("the group is larger than a consumer group may be"));
    }
    let protocol = group.choose_protocol().unwrap_or_default();
    let members = group.members().map(|member| consumer_member(member, &protocol, generation, state));
    let mut members = members.collect::<Result<Vec<_>, Error>>()?;
    let mut owned = Partitions::new();
    if !members.iter().flat_map(|member| &member.assigned).all(|handle| owned.insert(*handle)) {
        return Err(Error::CannotUpgrade("its assignor gives a partition to several members"));
    }
    for member in &mut members {
        member.revoking.retain(|handle| owned.insert(*handle));
        if !member.revoking.is_empty() {
            member.state = MemberState::UnrevokedPartitions;
        }
    }
    tracing::info!(group = id, members = members.len(), "a classic group becomes a consumer group");
    let members = members.into_iter().map(Arc::new).collect();
    let content = Consumer { epoch: generation, assignment_epoch: generation, members, ..Consumer::default() };
    let is_settled = group.phase() == classic::Phase::Stable;
    Ok(consumer::Group::succeed(id, &content, succession, is_settled, now, state))
}

fn consumer_member(
    member: &classic::Member,
    protocol: &str,
    generation: i32,
    state: &State,
) -> Result<ConsumerMember, Error> {
    const MALFORMED: Error = Error::CannotUpgrade("the embedded consumer protocol is malformed");
    let metadata = member.metadata(protocol);
    let subscription = Subscription::read(&metadata).ok_or(MALFORMED)?;
    // Who has just joined was given nothing yet.
    let assigned = match member.assignment.is_empty() {
        true => Partitions::new(),
        false => {
            let assignment = Assignment::read(&member.assignment).ok_or(MALFORMED)?;
            if !assignment.user_data.is_empty() {
                return Err(Error::CannotUpgrade("an unsupported custom assignor is in use"));
            }
            subscription::existing(&assignment.partitions, state)
        }
    };
    // A cooperative member gives up what the last rebalance took from it only after it has heard of that: until it joins
    // again and says what it owns, it may own what it owned when it joined.
    let claimed = subscription::existing(&subscription.owned, state);
    Ok(ConsumerMember {
        id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id.map(str::to_owned),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: millis(member.rebalance_timeout),
        topics: subscription.topics.into_iter().map(str::to_owned).collect(),
        epoch: generation,
        previous_epoch: generation,
        target: assigned.clone(),
        revoking: &claimed - &assigned,
        assigned,
        classic: Some(spoken(member.session_timeout, &member.protocols)),
        ..ConsumerMember::default()
    })
}

/// The classic group that goes on with the members of a KIP-848 group, all of which speak the classic protocol.
pub fn downgrade(
    group: &mut consumer::Group,
    turn: Turn,
    state: &State,
    now: Instant,
    settings: &GroupSettings,
) -> classic::Group {
    // Where a rebalance follows, what members have counts as given to them until it ends: should the group be upgraded
    // before, nobody else may have it.
    let rebalances = !matches!(&turn, Turn::Replaced(takeover) if !takeover.rebalances);
    let given = |member: &ConsumerMember| match rebalances {
        true => &member.assigned | &member.revoking,
        false => member.target.clone(),
    };
    let members = group.content().members.iter();
    let members = members.filter_map(|member| classic_member(member, &given(member), state, now));
    let members: Vec<_> = members.collect();
    tracing::info!(group = group.id(), members = members.len(), "a consumer group becomes a classic group");
    let (id, epoch) = (group.id().to_owned(), group.content().epoch);
    let mut downgraded = classic::Group::succeed(&id, epoch, members, group.give_way());
    match turn {
        Turn::Left => downgraded.rebalance_or_complete(now, settings),
        Turn::Replaced(takeover) => downgraded.take_over(takeover, now, settings),
    }
    downgraded
}

fn classic_member(member: &ConsumerMember, given: &Partitions, state: &State, now: Instant) -> Option<classic::Member> {
    let ClassicMetadata { session_timeout_ms, protocols } = member.classic.as_ref()?;
    let version =
        protocols.first().and_then(|(_, metadata)| Subscription::read(metadata)).map_or(0, |read| read.version);
    let session_timeout = duration(*session_timeout_ms);
    Some(classic::Member {
        id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        session_timeout,
        rebalance_timeout: duration(member.rebalance_timeout_ms),
        protocols: protocols.iter().map(|(name, said)| (name.clone(), Bytes::copy_from_slice(said))).collect(),
        assignment: Bytes::from(subscription::write_assignment(version, given, state)),
        is_new: false,
        expires: now + session_timeout,
        join: None,
        sync: None,
    })
}

/// What a member said when it joined, as a KIP-848 group keeps it.
pub fn spoken(session_timeout: Duration, protocols: &classic::Protocols) -> ClassicMetadata {
    let protocols = protocols.iter().map(|(name, said)| (name.clone(), said.to_vec())).collect();
    ClassicMetadata { session_timeout_ms: millis(session_timeout), protocols }
}

/// As it is saved.
pub fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// As it was saved; nothing for what is negative.
pub fn duration(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
