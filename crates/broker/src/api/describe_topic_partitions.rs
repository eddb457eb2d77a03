//! DescribeTopicPartitions (75): topics with their partitions in the order of names, a page at a time.

use std::{collections::BTreeSet, sync::Arc};

use kafscale_protocol::{
    ApiKey, Array, ErrorCode, Uuid,
    messages::describe_topic_partitions::{
        Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic, Request, Response,
    },
};
use kafscale_state::{State, Topic};

use super::{Answer, Call, LEADER_EPOCH, Refusal, Session, error_codes, operations, topic_creation::check_name};

/// Partitions in one page at most (`max.request.partition.size.limit`).
pub const PAGE_PARTITIONS_MAX: i32 = 2_000;

type TopicAnswer<'a> = DescribeTopicPartitionsResponseTopic<'a>;

/// Answers once the replica has caught up, because absences are claimed; a list of all topics claims none.
pub async fn handle(session: Arc<Session>, call: Call) -> Result<Answer, Refusal> {
    let request: Request<'_> = call.request()?;
    Refusal::unless_few(request.topics.len())?;
    let broker = session.broker();
    let reached = match request.topics.is_empty() {
        true => Ok(broker.catch_up_to_list().await.map_err(|error| Refusal::Closed(error.to_string()))?),
        false => broker.barrier().await,
    };
    let error = match (&request.cursor, reached) {
        (Some(cursor), _) if cursor.partition_index < 0 => Some(ErrorCode::InvalidRequest),
        (_, Err(error)) => Some(error_codes::of_barrier(&error)),
        _ => None,
    };
    if let Some(error) = error {
        broker.metrics().error(ApiKey::DescribeTopicPartitions, error);
        let topics = request.topics.iter().map(|topic| missing(topic.name, error)).collect();
        return call.respond(&Response { topics, ..Default::default() });
    }
    let state = broker.replica().snapshot();
    let nodes = [session.settings().node_id];
    let mut page = Page {
        room: request.response_partition_limit.clamp(1, PAGE_PARTITIONS_MAX) as u32,
        nodes: &nodes,
        topics: Vec::new(),
        next: None,
    };
    let cursor = request.cursor.as_ref();
    page.fill(names(&state, &request), cursor.map_or(0, |cursor| cursor.partition_index as u32), cursor, &state);
    call.respond(&Response { topics: Array::from(page.topics), next_cursor: page.next, ..Default::default() })
}

/// The names to answer for in their order, from the cursor on: those asked for, or all.
fn names<'a>(state: &'a State, request: &Request<'a>) -> Vec<&'a str> {
    let from = request.cursor.as_ref().map_or("", |cursor| cursor.topic_name);
    let names: BTreeSet<&str> = match request.topics.is_empty() {
        true => state.topics().map(Topic::name).collect(),
        false => request.topics.iter().map(|topic| topic.name).collect(),
    };
    names.range(from..).copied().collect()
}

/// A page that fills up.
struct Page<'a> {
    room: u32,
    nodes: &'a [i32],
    topics: Vec<TopicAnswer<'a>>,
    next: Option<Cursor<'a>>,
}

impl<'a> Page<'a> {
    /// Takes topics until there is no room; `first` is where the cursor's topic goes on.
    fn fill(&mut self, names: Vec<&'a str>, first: u32, cursor: Option<&Cursor<'_>>, state: &'a State) {
        for topic_name in names {
            let first = if cursor.is_some_and(|cursor| cursor.topic_name == topic_name) { first } else { 0 };
            if self.room == 0 {
                self.next = Some(Cursor { topic_name, partition_index: first as i32 });
                return;
            }
            let Some(topic) = state.topic(topic_name) else {
                let code =
                    check_name(topic_name).map_or_else(|(code, _)| code, |()| ErrorCode::UnknownTopicOrPartition);
                self.topics.push(missing(topic_name, code));
                continue;
            };
            let count = topic.partition_count();
            let end = count.min(first.saturating_add(self.room));
            self.room -= end.saturating_sub(first);
            self.topics.push(self.topic(topic, first..end));
            if end < count {
                self.next = Some(Cursor { topic_name, partition_index: end as i32 });
                return;
            }
        }
    }

    fn topic(&self, topic: &'a Topic, indexes: std::ops::Range<u32>) -> TopicAnswer<'a> {
        TopicAnswer {
            name: Some(topic.name()),
            topic_id: Uuid(topic.id().to_be_bytes()),
            partitions: indexes.map(|index| self.partition(index)).collect(),
            topic_authorized_operations: operations::ON_TOPIC,
            ..Default::default()
        }
    }

    /// Any broker takes writes for any partition; the leader is a hint, and the store is all replicas.
    fn partition(&self, index: u32) -> DescribeTopicPartitionsResponsePartition<'a> {
        DescribeTopicPartitionsResponsePartition {
            partition_index: index as i32,
            leader_id: self.nodes[0],
            leader_epoch: LEADER_EPOCH,
            replica_nodes: Array::from(self.nodes),
            isr_nodes: Array::from(self.nodes),
            eligible_leader_replicas: Some(Array::EMPTY),
            last_known_elr: Some(Array::EMPTY),
            ..Default::default()
        }
    }
}

fn missing(name: &str, error_code: ErrorCode) -> TopicAnswer<'_> {
    TopicAnswer { error_code, name: Some(name), ..Default::default() }
}
