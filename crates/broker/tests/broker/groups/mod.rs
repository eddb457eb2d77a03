//! Consumer groups through the handlers, on a virtual clock.

mod membership;
mod migration;
mod offsets;
mod statics;

use std::sync::Arc;

use kafscale_broker::Broker;
use kafscale_protocol::{
    ErrorCode, Uuid,
    messages::{describe_groups, heartbeat, join_group, leave_group, offset_commit, offset_fetch, sync_group},
};

use parking_lot::Mutex;

use crate::common::Client;

/// A consumer of one group, with a connection of its own.
pub struct Member {
    pub client: Client,
    pub id: Mutex<String>,
    pub instance: Option<&'static str>,
    pub generation: Mutex<i32>,
}

/// A join's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Join {
    pub error: ErrorCode,
    pub generation: i32,
    pub leader: String,
    pub member_id: String,
    pub members: Vec<String>,
    pub protocol: Option<String>,
    pub skips: bool,
}

impl Member {
    pub fn new(broker: &Arc<Broker>) -> Self {
        Self { client: Client::connect(broker), id: Mutex::default(), instance: None, generation: Mutex::new(-1) }
    }

    pub fn fixed(broker: &Arc<Broker>, instance: &'static str) -> Self {
        Self { instance: Some(instance), ..Self::new(broker) }
    }

    /// One JoinGroup, as it is.
    pub async fn join_once(&self, protocols: &[(&str, &[u8])]) -> Join {
        let id = self.id.lock().clone();
        let protocols =
            protocols.iter().map(|(name, metadata)| join_group::JoinGroupRequestProtocol { name, metadata });
        let request = join_group::Request {
            group_id: "g",
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            member_id: &id,
            group_instance_id: self.instance,
            protocol_type: "consumer",
            protocols: protocols.collect(),
            reason: None,
        };
        let reply = self.client.call(9, &request).await;
        let answer: join_group::Response<'_> = reply.read();
        Join {
            error: answer.error_code,
            generation: answer.generation_id,
            leader: answer.leader.to_owned(),
            member_id: answer.member_id.to_owned(),
            members: answer.members.iter().map(|member| member.member_id.to_owned()).collect(),
            protocol: answer.protocol_name.map(str::to_owned),
            skips: answer.skip_assignment,
        }
    }

    /// Joins as clients do: again with the id that it is given.
    pub async fn join(&self, protocols: &[(&str, &[u8])]) -> Join {
        loop {
            let joined = self.join_once(protocols).await;
            *self.id.lock() = joined.member_id.clone();
            *self.generation.lock() = joined.generation;
            if joined.error != ErrorCode::MemberIdRequired {
                return joined;
            }
        }
    }

    /// Asks for its assignment; a leader gives everybody its id followed by `word`.
    pub async fn sync(&self, joined: &Join, word: &str) -> Result<String, ErrorCode> {
        let given: Vec<_> = joined.members.iter().map(|id| (id, format!("{id}{word}"))).collect();
        let assignments = given.iter().map(|(member_id, assignment)| sync_group::SyncGroupRequestAssignment {
            member_id,
            assignment: assignment.as_bytes(),
        });
        let id = self.id.lock().clone();
        let request = sync_group::Request {
            group_id: "g",
            generation_id: *self.generation.lock(),
            member_id: &id,
            group_instance_id: self.instance,
            protocol_type: Some("consumer"),
            protocol_name: joined.protocol.as_deref(),
            assignments: assignments.collect(),
        };
        let reply = self.client.call(5, &request).await;
        let answer: sync_group::Response<'_> = reply.read();
        match answer.error_code {
            ErrorCode::None => Ok(String::from_utf8(answer.assignment.to_vec()).expect("as it was given")),
            error => Err(error),
        }
    }

    pub async fn heartbeat(&self) -> ErrorCode {
        let id = self.id.lock().clone();
        let request = heartbeat::Request {
            group_id: "g",
            generation_id: *self.generation.lock(),
            member_id: &id,
            group_instance_id: self.instance,
        };
        let reply = self.client.call(4, &request).await;
        reply.read::<heartbeat::Response>().error_code
    }

    pub async fn leave(&self) -> ErrorCode {
        let id = self.id.lock().clone();
        leave(&self.client, &[(&id, self.instance)]).await[0]
    }

    pub async fn commit(&self, offset: i64) -> ErrorCode {
        let (id, generation) = (self.id.lock().clone(), *self.generation.lock());
        commit(&self.client, "g", (&id, generation), offset).await
    }
}

pub const RANGE: &[(&str, &[u8])] = &[("range", b"\0\0\0\0\0\x01\0\x04mine\0\0\0\0")];

pub async fn leave(client: &Client, members: &[(&str, Option<&str>)]) -> Vec<ErrorCode> {
    let members = members.iter().map(|&(member_id, group_instance_id)| leave_group::MemberIdentity {
        member_id,
        group_instance_id,
        reason: Some("told to"),
    });
    let request = leave_group::Request { group_id: "g", members: members.collect(), ..Default::default() };
    let reply = client.call(5, &request).await;
    let answer: leave_group::Response<'_> = reply.read();
    assert_eq!(answer.error_code, ErrorCode::None);
    answer.members.iter().map(|member| member.error_code).collect()
}

/// What DescribeGroups says that each member was given, by member id.
pub async fn assigned(client: &Client) -> Vec<(String, String)> {
    let request = describe_groups::Request { groups: vec!["g"].into(), ..Default::default() };
    let reply = client.call(5, &request).await;
    let answer: describe_groups::Response<'_> = reply.read();
    let group = answer.groups.iter().next().expect("one group");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("as it was given");
    group.members.iter().map(|member| (member.member_id.to_owned(), text(member.member_assignment))).collect()
}

/// Commits an offset of partition 0 of `mine`.
pub async fn commit(client: &Client, group: &str, (member_id, generation): (&str, i32), offset: i64) -> ErrorCode {
    let partition = offset_commit::OffsetCommitRequestPartition {
        partition_index: 0,
        committed_offset: offset,
        committed_leader_epoch: 0,
        committed_metadata: Some("note"),
    };
    let topic = offset_commit::OffsetCommitRequestTopic {
        name: "mine",
        topic_id: Uuid::ZERO,
        partitions: vec![partition].into(),
    };
    let request = offset_commit::Request {
        group_id: group,
        generation_id_or_member_epoch: generation,
        member_id,
        topics: vec![topic].into(),
        ..Default::default()
    };
    let reply = client.call(8, &request).await;
    let answer: offset_commit::Response<'_> = reply.read();
    answer.topics.iter().next().expect("one topic").partitions.iter().next().expect("one partition").error_code
}

/// The offset that a group has committed for partition 0 of `mine`; -1 for none.
pub async fn fetched(client: &Client, group: &str) -> i64 {
    let topic = offset_fetch::OffsetFetchRequestTopics {
        name: "mine",
        partition_indexes: vec![0].into(),
        ..Default::default()
    };
    let asked = offset_fetch::OffsetFetchRequestGroup {
        group_id: group,
        topics: Some(vec![topic].into()),
        ..Default::default()
    };
    let reply = client.call(8, &offset_fetch::Request { groups: vec![asked].into(), ..Default::default() }).await;
    let answer: offset_fetch::Response<'_> = reply.read();
    let group = answer.groups.iter().next().expect("one group");
    assert_eq!(group.error_code, ErrorCode::None);
    let partition = group.topics.iter().next().expect("one topic").partitions.iter().next().expect("one partition");
    assert_eq!(partition.error_code, ErrorCode::None);
    partition.committed_offset
}

/// State and number of members of group `g`.
pub async fn described(client: &Client) -> (String, usize) {
    let request = describe_groups::Request { groups: vec!["g"].into(), ..Default::default() };
    let reply = client.call(5, &request).await;
    let answer: describe_groups::Response<'_> = reply.read();
    let group = answer.groups.iter().next().expect("one group");
    assert_eq!(group.error_code, ErrorCode::None);
    (group.group_state.to_owned(), group.members.len())
}
