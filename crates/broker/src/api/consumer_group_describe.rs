//! ConsumerGroupDescribe (69): KIP-848 groups with their members, what they have and what they shall have.

use std::{collections::BTreeMap, sync::Arc};

use kafscale_protocol::{
    Array, ErrorCode, Uuid,
    messages::consumer_group_describe::{Assignment, DescribedGroup, Member, Request, Response, TopicPartitions},
};
use kafscale_state::{
    State,
    group::{ConsumerMember, Partitions},
};

use super::{Answer, Call, Refusal, Session, error_codes, operations};
use crate::groups::DescribedConsumers;

/// A member that speaks the classic protocol, and one that speaks KIP-848's.
const CLASSIC_MEMBER: i8 = 0;
const CONSUMER_MEMBER: i8 = 1;

/// Partitions by topic, with the topic's name.
type Named = BTreeMap<u128, (String, Vec<i32>)>;

/// A group with the names of what its members have and shall have.
struct Told {
    group: DescribedConsumers,
    members: Vec<(Named, Named)>,
}

/// Answers after a barrier: a group may be said not to exist.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.group_ids.len())?;
    let caught_up = session.broker().barrier().await.map_err(|error| error_codes::of_group_barrier(&error));
    let groups = session.broker().groups();
    let operations = if request.include_authorized_operations { operations::ON_GROUP } else { i32::MIN };
    let found: Vec<_> = request
        .group_ids
        .iter()
        .map(|id| {
            let found = match caught_up {
                Ok(()) if groups.is_coordinator(id) => Ok(groups.describe_consumers(id)),
                Ok(()) => Err(ErrorCode::NotCoordinator),
                Err(error_code) => Err(error_code),
            };
            let told =
                found.map(|group| group.map(|group| session.broker().replica().read(|state| tell(state, group))));
            let other = matches!(told, Ok(None)) && groups.describe(id).is_some();
            (id, told, format!("Group {id} {}.", if other { "is not a consumer group" } else { "not found" }))
        })
        .collect();
    let described = found.iter().map(|(id, found, absent)| match found {
        Ok(Some(told)) => describe(id, told, operations),
        Ok(None) => DescribedGroup {
            error_code: ErrorCode::GroupIdNotFound,
            error_message: Some(absent),
            group_id: id,
            ..Default::default()
        },
        Err(error_code) => DescribedGroup { error_code: *error_code, group_id: id, ..Default::default() },
    });
    let groups: Array<'_, _> = described.collect();
    call.respond(&Response { groups, ..Default::default() })
}

fn tell(state: &State, group: DescribedConsumers) -> Told {
    let members = group.content.members.iter();
    let members = members.map(|member| (name(state, &member.assigned), name(state, &member.target))).collect();
    Told { group, members }
}

fn name(state: &State, partitions: &Partitions) -> Named {
    let mut named = Named::new();
    for found in partitions.iter().filter_map(|handle| state.partition(*handle)) {
        let topic = found.topic();
        let (_, indexes) = named.entry(topic.id()).or_insert_with(|| (topic.name().to_owned(), Vec::new()));
        indexes.push(found.index() as i32);
    }
    named
}

fn describe<'a>(id: &'a str, told: &'a Told, authorized_operations: i32) -> DescribedGroup<'a> {
    let content = &told.group.content;
    let members = content.members.iter().zip(&told.members);
    DescribedGroup {
        group_id: id,
        group_state: told.group.phase,
        group_epoch: content.epoch,
        assignment_epoch: content.assignment_epoch,
        assignor_name: told.group.assignor,
        members: members.map(|(member, (assigned, target))| describe_member(member, assigned, target)).collect(),
        authorized_operations,
        ..Default::default()
    }
}

fn describe_member<'a>(member: &'a ConsumerMember, assigned: &'a Named, target: &'a Named) -> Member<'a> {
    Member {
        member_id: &member.id,
        instance_id: member.instance_id.as_deref(),
        rack_id: member.rack_id.as_deref(),
        member_epoch: member.epoch,
        client_id: &member.client_id,
        client_host: &member.client_host,
        subscribed_topic_names: member.topics.iter().map(String::as_str).collect(),
        subscribed_topic_regex: member.pattern.as_deref(),
        assignment: assignment(assigned),
        target_assignment: assignment(target),
        member_type: if member.classic.is_some() { CLASSIC_MEMBER } else { CONSUMER_MEMBER },
    }
}

fn assignment(named: &Named) -> Assignment<'_> {
    let topics = named.iter().map(|(id, (topic_name, indexes))| TopicPartitions {
        topic_id: Uuid(id.to_be_bytes()),
        topic_name,
        partitions: indexes.as_slice().into(),
    });
    Assignment { topic_partitions: topics.collect() }
}
