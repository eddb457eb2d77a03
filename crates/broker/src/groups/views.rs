//! Groups as administrators see them: what is in memory where there is something, else what was saved.

use std::collections::BTreeSet;

use bytes::Bytes;
use kafscale_state::group::{self, Consumer, Content};

use super::{
    Coordinator, Group,
    classic::{self, Member, Phase},
    consumer, subscription,
};

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// Kafka's protocol type.
    pub protocol_type: String,
    /// Where it is, by Kafka's name.
    pub phase: &'static str,
    /// Its type, by Kafka's name.
    pub kind: &'static str,
}

/// A KIP-848 group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConsumers {
    /// Where it is, by Kafka's name.
    pub phase: &'static str,
    /// The assignor that it uses.
    pub assignor: &'static str,
    /// All of it.
    pub content: Consumer,
}

/// A classic group with its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Where it is.
    pub phase: Phase,
    /// Kafka's protocol type.
    pub protocol_type: String,
    /// The chosen protocol, while it is stable.
    pub protocol: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// As its client calls itself.
    pub client_id: String,
    /// Where its client is.
    pub client_host: String,
    /// What it said to the chosen protocol, while the group is stable.
    pub metadata: Bytes,
    /// What it was given last; empty from when an assignment was asked for in vain.
    pub assignment: Bytes,
}

impl Coordinator {
    /// All groups, by id.
    pub fn list(&self) -> Vec<Listed> {
        let table = self.shared.table.lock();
        let mut listed: Vec<Listed> = self.shared.replica.read(|state| {
            let unknown = state.groups().filter(|(id, _)| !table.rows.contains_key(*id));
            unknown.map(|(id, group)| saved(id, group)).collect()
        });
        listed.extend(table.rows.values().map(|row| Listed {
            id: row.group.id().to_owned(),
            protocol_type: row.group.protocol_type().to_owned(),
            phase: row.group.phase(),
            kind: row.group.kind(),
        }));
        listed.sort_by(|a, b| a.id.cmp(&b.id));
        listed
    }

    /// A KIP-848 group, if there is one.
    pub fn describe_consumers(&self, id: &str) -> Option<DescribedConsumers> {
        let described = self.shared.look(id, |group, _| {
            let group = group.as_consumer()?;
            let (phase, assignor) = (group.phase().name(), group.assignor().name());
            Some(DescribedConsumers { phase, assignor, content: group.content().clone() })
        });
        described.flatten()
    }

    /// A classic group, if there is one.
    pub fn describe(&self, id: &str) -> Option<Described> {
        let described = self.shared.look(id, |group, _| {
            let group = group.as_classic()?;
            let stable = group.phase() == Phase::Stable;
            let protocol = group.protocol().filter(|_| stable).unwrap_or_default().to_owned();
            let member = |member: &Member| DescribedMember {
                id: member.id.clone(),
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                metadata: if stable { member.metadata(&protocol) } else { Bytes::new() },
                assignment: member.assignment.clone(),
            };
            Some(Described {
                phase: group.phase(),
                protocol_type: group.protocol_type().to_owned(),
                members: group.members().map(member).collect(),
                protocol,
            })
        });
        described.flatten()
    }

    /// The topics that the members of a group read; none if that cannot be known, and then any may be among them.
    pub fn subscribed(&self, id: &str) -> Option<BTreeSet<String>> {
        self.shared.look(id, |group, _| subscribed(group)).flatten()
    }
}

/// As Kafka counts it: an empty group reads nothing, and only consumers tell what they read.
pub(super) fn subscribed(group: &Group) -> Option<BTreeSet<String>> {
    match group {
        Group::Classic(group) => read_by_classic(group),
        Group::Consumer(group) => {
            let content = group.content();
            let named = content.members.iter().flat_map(|member| &member.topics);
            let matched = content.patterns.iter().flat_map(|pattern| &pattern.topics);
            Some(named.chain(matched).cloned().collect())
        }
    }
}

fn read_by_classic(group: &classic::Group) -> Option<BTreeSet<String>> {
    if group.phase() == Phase::Empty {
        return Some(BTreeSet::new());
    }
    let protocol = group.protocol().filter(|_| group.protocol_type() == subscription::CONSUMER)?;
    let mut topics = BTreeSet::new();
    for member in group.members() {
        let metadata = member.metadata(protocol);
        topics.extend(subscription::topics(&metadata)?.into_iter().map(str::to_owned));
    }
    Some(topics)
}

fn saved(id: &str, group: &group::Group) -> Listed {
    let (protocol_type, phase, kind) = match group.content() {
        Content::Classic(classic) => {
            let phase = if classic.members.is_empty() { Phase::Empty } else { Phase::Stable };
            (classic.protocol_type.clone(), phase.name(), "classic")
        }
        Content::Consumer(content) => {
            (subscription::CONSUMER.to_owned(), consumer::Phase::of(content).name(), "consumer")
        }
    };
    Listed { id: id.to_owned(), protocol_type, phase, kind }
}
