//! A producer with several requests in flight, which retries like the stock clients.
//!
//! Batches of a partition are sent in order. After a retriable error or a lost connection everything that has no answer is
//! sent again, in order and under the same sequences, one request at a time until one succeeds. An idempotent producer
//! that is told OUT_OF_ORDER for its oldest batch, or anything that a client takes for fatal, is a bug to report.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use kafscale_protocol::{
    ErrorCode, Records,
    messages::produce::{PartitionProduceData, Request, Response, TopicProduceData},
};
use kafscale_records::{BatchBuilder, Codec};
use kafscale_runtime::Runtime;

use super::{
    Partition, admin,
    link::{Brokers, Link, Lost},
};
use crate::{
    executor::Node,
    history::{Appended, History, OpId, Promise, Value},
    rng::Rng,
};

/// Produce by topic id.
const VERSION: i16 = 13;

/// How old a record may be when it is sent.
pub(super) const OLDEST_MS: u64 = 3_000;

/// What a producer is to do.
#[derive(Clone)]
pub struct Plan {
    /// Whether it has a producer id.
    pub idempotent: bool,
    /// Where it writes.
    pub partitions: Vec<Partition>,
    /// Batches for each partition.
    pub batches: usize,
    /// Records in a batch at most.
    pub records_max: u64,
    /// Requests in flight at most.
    pub in_flight_max: usize,
    /// Pause between requests at most.
    pub pause_max: Duration,
    /// Permille of requests after which the connection breaks.
    pub fragile: u64,
    /// Whether its topics are deleted while it writes; what it had not been told of then stays unknown.
    pub may_vanish: bool,
    /// Permille of lost connections after which it gives up what has no answer and goes on under the next epoch (KIP-360).
    pub gives_up: u64,
    /// How batches are compressed.
    pub codec: Codec,
    /// Bytes of each record's key.
    pub key_bytes: usize,
}

impl Plan {
    /// An unhurried idempotent producer on a good connection.
    pub fn to(partitions: &[Partition]) -> Self {
        Self {
            idempotent: true,
            partitions: partitions.to_vec(),
            batches: 10,
            records_max: 4,
            in_flight_max: 3,
            pause_max: Duration::from_secs(1),
            fragile: 0,
            may_vanish: false,
            gives_up: 0,
            codec: Codec::None,
            key_bytes: 0,
        }
    }
}

struct Batch {
    op: OpId,
    values: Vec<Value>,
    sequence: i32,
    sent: bool,
}

struct Lane {
    partition: Partition,
    queue: VecDeque<Batch>,
    left: usize,
    next_sequence: i32,
}

struct Producer {
    node: Node,
    brokers: Brokers,
    history: History,
    plan: Plan,
    client: u64,
    rng: Rng,
    id: Option<(i64, i16)>,
    lanes: Vec<Lane>,
    /// One request at a time, after a failure.
    careful: bool,
}

/// Lanes that a request in flight has a batch of.
type InFlight = VecDeque<Vec<usize>>;

/// Runs on `node` until everything was acknowledged; an error is something that a stock client would report to its user.
pub async fn run(node: Node, brokers: Brokers, history: History, plan: Plan) -> Result<(), String> {
    let (client, rng) = (history.value(), Rng::new(node.random_u64()));
    let lane = |partition: &Partition| Lane {
        partition: partition.clone(),
        queue: VecDeque::new(),
        left: plan.batches,
        next_sequence: 0,
    };
    let lanes = plan.partitions.iter().map(lane).collect();
    let producer = Producer { node, brokers, history, client, rng, id: None, lanes, careful: false, plan };
    producer.run().await
}

impl Producer {
    async fn run(mut self) -> Result<(), String> {
        while self.lanes.iter().any(|lane| lane.left > 0 || !lane.queue.is_empty()) {
            let link = self.brokers.connect(&self.node).await.fragile(self.plan.fragile);
            if let Err(Broken::Fatal(wrong)) = self.work(link).await {
                return Err(wrong);
            }
            if self.rng.chance(self.plan.gives_up) {
                self.give_up();
            }
            self.retry_all();
            self.node.sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Nobody will learn what became of the batches without an answer; an idempotent producer begins a new epoch.
    fn give_up(&mut self) {
        let pending = self.lanes.iter_mut().flat_map(|lane| lane.queue.drain(..));
        pending.for_each(|batch| self.history.appended(batch.op, Appended::Unknown));
        if let Some((_, epoch)) = &mut self.id {
            *epoch += 1;
            self.lanes.iter_mut().for_each(|lane| lane.next_sequence = 0);
            self.node.world().mark("epoch bumped");
        }
    }

    /// Works on one connection until everything is done or the connection is of no more use.
    async fn work(&mut self, mut link: Link) -> Result<(), Broken> {
        if self.plan.idempotent && self.id.is_none() {
            self.id = Some(admin::init_producer_id(&self.node, &mut link).await?);
        }
        let mut in_flight = InFlight::new();
        loop {
            let room = if self.careful { 1 } else { self.plan.in_flight_max };
            while in_flight.len() < room {
                let Some(lanes) = self.send_some(&mut link).await? else { break };
                in_flight.push_back(lanes);
            }
            let Some(lanes) = in_flight.pop_front() else { return Ok(()) };
            if !self.settle(&mut link, &lanes).await? {
                // Everything behind it may fail in its turn; then all of it is sent again.
                while let Some(lanes) = in_flight.pop_front() {
                    self.settle(&mut link, &lanes).await?;
                }
                self.retry_all();
                self.node.sleep(Duration::from_millis(100)).await;
            }
        }
    }

    fn retry_all(&mut self) {
        self.careful = true;
        self.lanes.iter_mut().flat_map(|lane| &mut lane.queue).for_each(|batch| batch.sent = false);
    }

    /// Sends the next batches of some partitions in one request; nothing if there is nothing to send.
    async fn send_some(&mut self, link: &mut Link) -> Result<Option<Vec<usize>>, Lost> {
        let pause = self.rng.below(1 + u64::try_from(self.plan.pause_max.as_micros()).expect("short"));
        self.node.sleep(Duration::from_micros(pause)).await;
        let mut chosen = Vec::new();
        let mut topics: Vec<TopicProduceData<'_>> = Vec::new();
        for index in 0..self.lanes.len() {
            let skip = !self.careful && self.rng.chance(400);
            if (skip && index + 1 < self.lanes.len()) || !self.has_unsent(index) {
                continue;
            }
            let bytes = self.next_bytes(index);
            chosen.push(index);
            let partition = &self.lanes[index].partition;
            let data = PartitionProduceData { index: partition.index, records: Some(Records::from(bytes)) };
            match topics.iter_mut().find(|topic| topic.topic_id == partition.id) {
                Some(topic) => topic.partition_data = topic.partition_data.iter().chain([data]).collect(),
                None => topics.push(TopicProduceData {
                    topic_id: partition.id,
                    partition_data: vec![data].into(),
                    ..TopicProduceData::default()
                }),
            }
        }
        if chosen.is_empty() {
            return Ok(None);
        }
        let request = Request { acks: -1, timeout_ms: 30_000, topic_data: topics.into(), ..Request::default() };
        link.send(VERSION, &request).await?;
        Ok(Some(chosen))
    }

    /// Whether there is a batch of this lane to send now; makes a new one if all others are under way.
    fn has_unsent(&mut self, index: usize) -> bool {
        let lane = &mut self.lanes[index];
        if lane.queue.iter().all(|batch| batch.sent) && lane.left > 0 {
            lane.left -= 1;
            let values: Vec<_> =
                (0..self.rng.within(1..=self.plan.records_max)).map(|_| self.history.value()).collect();
            let promise = if self.plan.idempotent { Promise::ExactlyOnce } else { Promise::AtLeastOnce };
            let op = self.history.append(self.client, &lane.partition.line(), values.clone(), promise);
            let sequence = lane.next_sequence;
            lane.next_sequence += i32::try_from(values.len()).expect("few");
            lane.queue.push_back(Batch { op, values, sequence, sent: false });
        }
        self.lanes[index].queue.iter().any(|batch| !batch.sent)
    }

    /// The bytes of the lane's oldest batch that is not under way.
    fn next_bytes(&mut self, index: usize) -> Bytes {
        let now_ms = self.node.wall_clock_ms();
        let batch = self.lanes[index].queue.iter_mut().find(|batch| !batch.sent).expect("has_unsent said so");
        batch.sent = true;
        self.history.attempt(batch.op);
        let mut builder = BatchBuilder::new(self.plan.codec);
        if let Some((id, epoch)) = self.id {
            builder = builder.producer(id, epoch, batch.sequence);
        }
        let key = vec![7; self.plan.key_bytes];
        let key = Some(&key[..]).filter(|key| !key.is_empty());
        for value in &batch.values {
            // Records are as old as what they tell of, so that their times stand in no order.
            let time_ms = now_ms - i64::try_from(self.rng.below(OLDEST_MS)).expect("small");
            builder = builder.record(time_ms, key, Some(&value.to_be_bytes()));
        }
        builder.build()
    }

    /// Takes one answer; whether all of its batches were acknowledged.
    async fn settle(&mut self, link: &mut Link, lanes: &[usize]) -> Result<bool, Broken> {
        let frame = link.receive().await?;
        let response: Response<'_> = link.read(VERSION, &frame);
        let mut all_good = true;
        for index in lanes {
            let partition = self.lanes[*index].partition.clone();
            let topic = response.responses.iter().find(|topic| topic.topic_id == partition.id);
            let answer =
                topic.and_then(|topic| topic.partition_responses.iter().find(|answer| answer.index == partition.index));
            let Some(answer) = answer else {
                return Err(Broken::Fatal(format!("no answer for {partition:?} in {response:?}")));
            };
            all_good &= self.settle_one(*index, answer.error_code, answer.base_offset)?;
        }
        if all_good {
            self.careful = false;
        }
        Ok(all_good)
    }

    fn settle_one(&mut self, index: usize, error: ErrorCode, base_offset: i64) -> Result<bool, Broken> {
        let idempotent = self.plan.idempotent;
        let lane = &mut self.lanes[index];
        let is_gone = matches!(error, ErrorCode::UnknownTopicId | ErrorCode::UnknownTopicOrPartition);
        if self.plan.may_vanish && (is_gone || lane.queue.is_empty()) {
            lane.left = 0;
            lane.queue.drain(..).for_each(|batch| self.history.appended(batch.op, Appended::Unknown));
            return Ok(true);
        }
        // Answers of a partition come in the order of its batches, so this is the oldest one under way without an answer.
        let position = lane.queue.iter().position(|batch| batch.sent).expect("an answer belongs to a batch under way");
        let outcome = match error {
            ErrorCode::None => Appended::At(
                u64::try_from(base_offset)
                    .map_err(|_| Broken::Fatal(format!("acknowledged without an offset: {base_offset}")))?,
            ),
            ErrorCode::DuplicateSequenceNumber if idempotent => Appended::Somewhere,
            ErrorCode::OutOfOrderSequenceNumber if idempotent && position > 0 => {
                return Ok(self.failed(index, position));
            }
            error if error.is_retriable() => {
                self.node.world().mark("retriable error");
                return Ok(self.failed(index, position));
            }
            error => {
                let (sequence, line) = (lane.queue[position].sequence, lane.partition.line().name);
                return Err(Broken::Fatal(format!("fatal for a client: {error:?} for sequence {sequence} of {line}")));
            }
        };
        let batch = lane.queue.remove(position).expect("found above");
        self.history.appended(batch.op, outcome);
        Ok(true)
    }

    /// The batch waits for its retry; it is not under way any more, but its turn has not come either.
    fn failed(&mut self, index: usize, position: usize) -> bool {
        let lane = &mut self.lanes[index];
        lane.queue[position].sent = false;
        false
    }
}

/// Why a connection is of no more use.
pub enum Broken {
    /// It was lost.
    Lost,
    /// Something that a client reports to its user.
    Fatal(String),
}

impl From<Lost> for Broken {
    fn from(Lost: Lost) -> Self {
        Self::Lost
    }
}
