//! Somebody who administers one topic and one group's offsets: topics made, grown, deleted and made again, records deleted,
//! settings altered, offsets committed from outside and deleted. Each order is repeated until it is known to be carried
//! out, and in between the operator looks whether all is as it was left.

mod orders;

use std::{sync::Arc, time::Duration};

use kafscale_protocol::{
    ErrorCode, Records,
    messages::{describe_configs, list_offsets, metadata, offset_fetch, produce},
};
use kafscale_records::{BatchBuilder, Codec};
use kafscale_runtime::Runtime;

use super::{
    Partition,
    link::{Brokers, Link, Lost},
};
use crate::{executor::Node, registers::Registers, rng::Rng};

const TOPIC: i8 = 2;
const SETTING: &str = "retention.ms";
const EARLIEST: i64 = -2;
/// What DescribeConfigs says of a setting that the topic itself has.
const OF_TOPIC: i8 = 1;
/// Records in a batch.
const BATCH: i64 = 5;

/// What an operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Create {
        partitions: i32,
    },
    Delete,
    Grow {
        partitions: i32,
    },
    Alter {
        value: u64,
    },
    Commit {
        offset: i64,
    },
    Forget,
    /// Records are written first, and then all of them go.
    Trim {
        to: i64,
    },
}

/// See the module.
pub struct Operator {
    node: Node,
    brokers: Brokers,
    registers: Registers,
    rng: Rng,
    topic: Arc<str>,
    group: Arc<str>,
    fragile: u64,
    /// The topic as it was made last: its first partition, and how many there are.
    made: Option<(Partition, i32)>,
    /// Records written to the first partition.
    written: i64,
    orders: u64,
}

impl Operator {
    /// Number `number` of all.
    pub fn new(node: &Node, brokers: &Brokers, registers: &Registers, mut rng: Rng, number: u64) -> Self {
        let (node, brokers, registers) = (node.clone(), brokers.clone(), registers.clone());
        let (topic, group) = (format!("ledger-{number}").into(), format!("books-{number}").into());
        let fragile = *rng.pick(&[0, 20, 100]);
        Self { node, brokers, registers, rng, topic, group, fragile, made: None, written: 0, orders: 0 }
    }

    /// Gives so many orders, with pauses of at most `pause_max`.
    pub async fn run(mut self, orders: u64, pause_max: Duration) -> Result<(), String> {
        let pause_max = u64::try_from(pause_max.as_micros()).expect("short");
        for _ in 0..orders {
            self.orders += 1;
            let order = self.order();
            if matches!(order, Order::Trim { .. }) {
                self.write().await?;
            }
            self.carry_out(order).await?;
            self.look().await?;
            self.node.sleep(Duration::from_micros(self.rng.below(pause_max + 1))).await;
        }
        self.look().await
    }

    fn order(&mut self) -> Order {
        let Some((_, partitions)) = self.made else {
            return Order::Create { partitions: i32::try_from(self.rng.within(1..=3)).expect("few") };
        };
        match self.rng.below(10) {
            0 => Order::Delete,
            1 => Order::Grow { partitions: partitions + 1 },
            2..4 => Order::Alter { value: 3_600_000 + self.orders },
            4..7 => Order::Commit { offset: i64::try_from(self.orders).expect("few") },
            7 => Order::Forget,
            _ => Order::Trim { to: self.written + BATCH },
        }
    }

    /// What an order makes of which register.
    fn effect(&self, order: Order) -> (String, Option<String>) {
        let id = self.made.as_ref().map(|(partition, _)| partition.id).unwrap_or_default();
        match order {
            Order::Create { .. } => (self.presence(), Some("there".into())),
            Order::Delete => (self.presence(), None),
            Order::Grow { partitions } => (format!("partitions of {id}"), Some(partitions.to_string())),
            Order::Alter { value } => (format!("{SETTING} of {id}"), Some(value.to_string())),
            Order::Commit { offset } => (format!("offset of {id}"), Some(offset.to_string())),
            Order::Forget => (format!("offset of {id}"), None),
            Order::Trim { to } => (format!("start of {id}"), Some(to.to_string())),
        }
    }

    fn presence(&self) -> String {
        format!("topic {}", self.topic)
    }

    /// Repeats an order until it is carried out.
    async fn carry_out(&mut self, order: Order) -> Result<(), String> {
        let (key, value) = self.effect(order);
        let mut is_first = true;
        loop {
            let mut link = self.brokers.connect(&self.node).await.fragile(self.fragile);
            let id = self.registers.set(&key, value.clone());
            match self.send(&mut link, order).await {
                Ok(ErrorCode::None) => {
                    self.registers.acknowledged(&id);
                    self.node.world().mark(mark_of(order));
                    return self.done(order).await;
                }
                // An earlier attempt has done it.
                Ok(error) if !is_first && is_done_already(order, error) => {
                    self.registers.acknowledged(&id);
                    self.node.world().mark("order found carried out");
                    return self.done(order).await;
                }
                Ok(error) if error.is_retriable() => {}
                Err(Lost) => {}
                Ok(error) => return Err(format!("{order:?} of {}: {error:?}", self.topic)),
            }
            is_first = false;
            self.node.sleep(Duration::from_millis(100)).await;
        }
    }

    async fn done(&mut self, order: Order) -> Result<(), String> {
        match order {
            Order::Create { partitions } => {
                let made = super::admin::find(&self.node, &self.brokers, &self.topic).await?;
                if made.len() != usize::try_from(partitions).expect("few") {
                    return Err(format!("{} was made with {} partitions, not {partitions}", self.topic, made.len()));
                }
                self.made = made.into_iter().next().map(|first| (first, partitions));
                let (partition, _) = self.made.as_ref().ok_or("a topic without partitions")?;
                for (what, value) in [("partitions", partitions.to_string()), ("start", "0".to_owned())] {
                    let id = self.registers.set(&format!("{what} of {}", partition.id), Some(value));
                    self.registers.acknowledged(&id);
                }
                self.written = 0;
            }
            Order::Delete => self.made = None,
            Order::Grow { partitions } => {
                if let Some((_, count)) = &mut self.made {
                    *count = partitions;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Writes a batch, however often that takes: there may be more than one in the end.
    async fn write(&mut self) -> Result<(), String> {
        let Some((partition, _)) = self.made.clone() else { return Ok(()) };
        loop {
            let mut link = self.brokers.connect(&self.node).await.fragile(self.fragile);
            let mut batch = BatchBuilder::new(Codec::None);
            for _ in 0..BATCH {
                batch = batch.record(self.node.wall_clock_ms(), None, Some(b"entry"));
            }
            let data = produce::PartitionProduceData { index: 0, records: Some(Records::from(batch.build())) };
            let topic = produce::TopicProduceData {
                topic_id: partition.id,
                partition_data: vec![data].into(),
                ..Default::default()
            };
            let request =
                produce::Request { acks: -1, timeout_ms: 30_000, topic_data: vec![topic].into(), ..Default::default() };
            if let Ok(frame) = link.ask(13, &request).await {
                let response: produce::Response<'_> = link.read(13, &frame);
                let row = response.responses.iter().next().and_then(|topic| topic.partition_responses.iter().next());
                let (error, base) =
                    row.map_or((ErrorCode::UnknownServerError, -1), |row| (row.error_code, row.base_offset));
                match error {
                    ErrorCode::None => {
                        self.written = base;
                        return Ok(());
                    }
                    error if error.is_retriable() => {}
                    error => return Err(format!("Produce to {}: {error:?}", self.topic)),
                }
            }
            self.node.sleep(Duration::from_millis(100)).await;
        }
    }

    /// Looks at everything, and lets the auditor judge what it saw.
    async fn look(&mut self) -> Result<(), String> {
        for _ in 0..50 {
            let mut link = self.brokers.connect(&self.node).await.fragile(self.fragile);
            let is_told = match &self.made {
                None => self.look_for_topic(&mut link).await,
                Some((partition, _)) => {
                    let partition = partition.clone();
                    self.look_closely(&mut link, &partition).await
                }
            };
            if is_told == Ok(true) {
                self.node.world().mark("all looked at");
                return Ok(());
            }
            self.node.sleep(Duration::from_millis(200)).await;
        }
        // The store may be away for longer than that.
        Ok(())
    }

    /// Whether the topic is there, by name. False if nobody can say.
    async fn look_for_topic(&self, link: &mut Link) -> Result<bool, Lost> {
        let question = self.registers.ask(&self.presence());
        let topic = metadata::MetadataRequestTopic { name: Some(&self.topic), ..Default::default() };
        let request = metadata::Request {
            topics: Some(vec![topic].into()),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let frame = link.ask(12, &request).await?;
        let response: metadata::Response<'_> = link.read(12, &frame);
        let Some(topic) = response.topics.iter().next() else { return Ok(false) };
        let told = match topic.error_code {
            ErrorCode::None => Some("there".to_owned()),
            ErrorCode::UnknownTopicOrPartition => None,
            _ => return Ok(false),
        };
        self.registers.told(question, told);
        if let (ErrorCode::None, Some((partition, _))) = (topic.error_code, &self.made)
            && topic.topic_id == partition.id
        {
            let question = self.registers.ask(&format!("partitions of {}", partition.id));
            // Metadata that is asked for later is no older.
            let frame = link.ask(12, &request).await?;
            let response: metadata::Response<'_> = link.read(12, &frame);
            let count = response.topics.iter().next().map(|topic| topic.partitions.len());
            self.registers.told(question, count.map(|count| count.to_string()));
        }
        Ok(true)
    }

    async fn look_closely(&self, link: &mut Link, partition: &Partition) -> Result<bool, Lost> {
        let id = partition.id;
        let is_told = self.look_for_topic(link).await?
            & self.look_at_setting(link, &format!("{SETTING} of {id}")).await?
            & self.look_at_offset(link, &format!("offset of {id}")).await?
            & self.look_at_start(link, &format!("start of {id}")).await?;
        Ok(is_told)
    }

    async fn look_at_setting(&self, link: &mut Link, key: &str) -> Result<bool, Lost> {
        let question = self.registers.ask(key);
        let resource = describe_configs::DescribeConfigsResource {
            resource_type: TOPIC,
            resource_name: &self.topic,
            configuration_keys: Some(vec![SETTING].into()),
        };
        let request = describe_configs::Request { resources: vec![resource].into(), ..Default::default() };
        let frame = link.ask(4, &request).await?;
        let response: describe_configs::Response<'_> = link.read(4, &frame);
        let Some(result) = response.results.iter().next().filter(|result| result.error_code == ErrorCode::None) else {
            return Ok(false);
        };
        let own = result.configs.iter().find(|config| config.name == SETTING && config.config_source == OF_TOPIC);
        self.registers.told(question, own.and_then(|config| config.value).map(str::to_owned));
        Ok(true)
    }

    async fn look_at_offset(&self, link: &mut Link, key: &str) -> Result<bool, Lost> {
        let question = self.registers.ask(key);
        let topic = offset_fetch::OffsetFetchRequestTopics {
            name: &self.topic,
            partition_indexes: vec![0].into(),
            ..Default::default()
        };
        let group = offset_fetch::OffsetFetchRequestGroup {
            group_id: &self.group,
            topics: Some(vec![topic].into()),
            ..Default::default()
        };
        let request = offset_fetch::Request { groups: vec![group].into(), ..Default::default() };
        let frame = link.ask(9, &request).await?;
        let response: offset_fetch::Response<'_> = link.read(9, &frame);
        let Some(group) = response.groups.iter().next().filter(|group| group.error_code == ErrorCode::None) else {
            return Ok(false);
        };
        let row = group.topics.iter().next().and_then(|topic| topic.partitions.iter().next());
        let Some(row) = row.filter(|row| row.error_code == ErrorCode::None) else { return Ok(false) };
        let offset = Some(row.committed_offset).filter(|offset| *offset >= 0);
        self.registers.told(question, offset.map(|offset| offset.to_string()));
        Ok(true)
    }

    async fn look_at_start(&self, link: &mut Link, key: &str) -> Result<bool, Lost> {
        let question = self.registers.ask(key);
        let partition = list_offsets::ListOffsetsPartition { timestamp: EARLIEST, ..Default::default() };
        let topic = list_offsets::ListOffsetsTopic { name: &self.topic, partitions: vec![partition].into() };
        let request = list_offsets::Request { replica_id: -1, topics: vec![topic].into(), ..Default::default() };
        let frame = link.ask(7, &request).await?;
        let response: list_offsets::Response<'_> = link.read(7, &frame);
        let row = response.topics.iter().next().and_then(|topic| topic.partitions.iter().next());
        let Some(row) = row.filter(|row| row.error_code == ErrorCode::None) else { return Ok(false) };
        self.registers.told(question, Some(row.offset.to_string()));
        Ok(true)
    }
}

fn is_done_already(order: Order, error: ErrorCode) -> bool {
    match order {
        Order::Create { .. } => error == ErrorCode::TopicAlreadyExists,
        Order::Delete => error == ErrorCode::UnknownTopicId,
        Order::Grow { .. } => error == ErrorCode::InvalidPartitions,
        _ => false,
    }
}

fn mark_of(order: Order) -> &'static str {
    match order {
        Order::Create { .. } => "topic made",
        Order::Delete => "topic deleted",
        Order::Grow { .. } => "topic grown",
        Order::Alter { .. } => "setting altered",
        Order::Commit { .. } => "offset committed from outside",
        Order::Forget => "offset deleted",
        Order::Trim { .. } => "records deleted",
    }
}
