//! A member that speaks the classic protocol.

use kafscale_protocol::{
    Array, ErrorCode,
    messages::{heartbeat, join_group, sync_group},
};

use super::{super::leave, PARTITIONS};
use crate::{common::Client, consumer_groups};

/// A consumer of topic `t` that speaks the classic protocol and keeps what it owns while it joins.
pub struct Classic {
    pub client: Client,
    pub id: String,
    pub instance: Option<&'static str>,
    pub generation: i32,
    pub owned: Vec<i32>,
}

fn named(partitions: &[i32]) -> Vec<u8> {
    let count = partitions.len() as i32;
    let indexes: Vec<u8> = partitions.iter().flat_map(|index| index.to_be_bytes()).collect();
    [&1_i32.to_be_bytes()[..], b"\0\x01t", &count.to_be_bytes(), &indexes].concat()
}

pub fn subscription(owned: &[i32]) -> Vec<u8> {
    [b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff", &named(owned)[..]].concat()
}

pub fn assignment(partitions: &[i32]) -> Vec<u8> {
    [b"\0\x01", &named(partitions)[..], b"\xff\xff\xff\xff"].concat()
}

/// The partitions of an assignment that has at most one topic.
pub fn assigned(assignment: &[u8]) -> Vec<i32> {
    assert_eq!((&assignment[..2], &assignment[assignment.len() - 4..]), (&b"\0\x01"[..], &b"\xff\xff\xff\xff"[..]));
    let indexes = assignment[6..assignment.len() - 4].get(7..).unwrap_or_default();
    indexes.chunks(4).map(|index| i32::from_be_bytes(index.try_into().unwrap())).collect()
}

impl Classic {
    pub fn new(client: Client) -> Self {
        Self { client, id: String::new(), instance: None, generation: -1, owned: Vec::new() }
    }

    pub fn fixed(client: Client, instance: &'static str) -> Self {
        Self { instance: Some(instance), ..Self::new(client) }
    }

    /// Joins; who leads is told all members.
    pub async fn join(&mut self) -> Result<Vec<String>, ErrorCode> {
        self.join_as("consumer", &subscription(&self.owned)).await
    }

    pub async fn join_as(&mut self, protocol_type: &str, metadata: &[u8]) -> Result<Vec<String>, ErrorCode> {
        loop {
            let id = self.id.clone();
            let request = join_group::Request {
                group_id: "g",
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: 60_000,
                member_id: &id,
                group_instance_id: self.instance,
                protocol_type,
                protocols: Array::from(vec![join_group::JoinGroupRequestProtocol { name: "range", metadata }]),
                reason: None,
            };
            let reply = self.client.call(9, &request).await;
            let joined: join_group::Response<'_> = reply.read();
            match joined.error_code {
                ErrorCode::None => {
                    (self.id, self.generation) = (joined.member_id.to_owned(), joined.generation_id);
                    assert_eq!(joined.protocol_name, Some("range"));
                    return Ok(joined.members.iter().map(|member| member.member_id.to_owned()).collect());
                }
                ErrorCode::MemberIdRequired => joined.member_id.clone_into(&mut self.id),
                error => return Err(error),
            }
        }
    }

    /// Asks for its assignment; a leader shares all partitions out among the members.
    pub async fn sync(&mut self, members: &[String]) -> Result<(), ErrorCode> {
        let mut shares = vec![Vec::new(); members.len()];
        (0..PARTITIONS).zip((0..members.len()).cycle()).for_each(|(index, at)| shares[at].push(index));
        let given: Vec<_> = members.iter().zip(&shares).map(|(id, share)| (id, assignment(share))).collect();
        self.sync_with(&given).await
    }

    async fn sync_with(&mut self, given: &[(&String, Vec<u8>)]) -> Result<(), ErrorCode> {
        let assignments = given
            .iter()
            .map(|(member_id, assignment)| sync_group::SyncGroupRequestAssignment { member_id, assignment });
        let id = self.id.clone();
        let request = sync_group::Request {
            group_id: "g",
            generation_id: self.generation,
            member_id: &id,
            group_instance_id: self.instance,
            protocol_type: Some("consumer"),
            protocol_name: Some("range"),
            assignments: assignments.collect(),
        };
        let reply = self.client.call(5, &request).await;
        let synced: sync_group::Response<'_> = reply.read();
        match synced.error_code {
            ErrorCode::None => {
                self.owned = assigned(synced.assignment);
                Ok(())
            }
            error => Err(error),
        }
    }

    pub async fn beat(&self) -> ErrorCode {
        let request = heartbeat::Request {
            group_id: "g",
            generation_id: self.generation,
            member_id: &self.id,
            group_instance_id: self.instance,
        };
        self.client.call(4, &request).await.read::<heartbeat::Response>().error_code
    }

    /// Joins until it has an assignment.
    pub async fn enter(&mut self) {
        loop {
            match self.join().await {
                Ok(members) if self.sync(&members).await.is_ok() => return,
                Ok(_) | Err(ErrorCode::RebalanceInProgress) => {}
                Err(error) => panic!("{}: {error:?}", self.id),
            }
        }
    }

    /// Heartbeats, and joins again when it is told to.
    pub async fn live(&mut self) {
        match self.beat().await {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration => self.enter().await,
            error => panic!("{}: {error:?}", self.id),
        }
    }

    pub async fn leave(&self) {
        assert_eq!(leave(&self.client, &[(&self.id, self.instance)]).await, [ErrorCode::None]);
    }

    pub async fn commit(&self) -> ErrorCode {
        consumer_groups::commit(&self.client, &self.id, self.generation).await
    }
}
