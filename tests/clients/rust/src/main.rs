//! krafka, a Kafka client in pure Rust, as an agent of ../../matrix.py: `krafka-agent HOST:PORT`.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use krafka::admin::NewTopic;
use krafka::consumer::{AutoOffsetReset, Consumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition};
use krafka::{Compression, Kafka, Record};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Prints one line whole: `println!` locks the output for all of it.
fn say(line: Value) {
    println!("{line}");
}

fn text(command: &Value, field: &str) -> Result<String> {
    Ok(command[field].as_str().ok_or(format!("no {field}"))?.to_owned())
}

fn number(command: &Value, field: &str) -> Result<i64> {
    Ok(command[field].as_i64().ok_or(format!("no {field}"))?)
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::main]
async fn main() -> Result<()> {
    let bootstrap = std::env::args().nth(1).ok_or("usage: krafka-agent HOST:PORT")?;
    let kafka = Kafka::builder(bootstrap.as_str()).connect().await?;
    say(json!({
        "client": "krafka 0.28",
        "codecs": ["none", "gzip", "snappy", "lz4", "zstd"],
        "can": ["create", "describe", "delete", "timestamp", "stamp"],
        "tells": true,
    }));
    let mut agent = Agent { bootstrap, kafka, members: HashMap::new() };
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        match agent.perform(&serde_json::from_str(&line)?).await {
            Ok(answer) => say(json!({ "ok": answer })),
            Err(error) => say(json!({ "failed": error.to_string() })),
        }
    }
    Ok(())
}

struct Agent {
    bootstrap: String,
    kafka: Kafka,
    members: HashMap<String, Member>,
}

impl Agent {
    async fn perform(&mut self, command: &Value) -> Result<Value> {
        let admin = self.kafka.admin();
        match text(command, "do")?.as_str() {
            "create" => {
                let topic = NewTopic::new(text(command, "topic")?, number(command, "partitions")? as i32, 1)?;
                for (_, result) in admin.create_topics([topic], Default::default()).await? {
                    result?;
                }
                Ok(Value::Null)
            }
            "describe" => {
                let topic = text(command, "topic")?;
                let mut described = admin.describe_topics([&topic], Default::default()).await?;
                let partitions = described.remove(&topic).ok_or("not described")??.partitions.len();
                Ok(json!({ "partitions": partitions }))
            }
            "delete" => {
                for (_, result) in admin.delete_topics([text(command, "topic")?], Default::default()).await? {
                    result?;
                }
                Ok(Value::Null)
            }
            "produce" => self.produce(command).await,
            "timestamp" => self.by_timestamp(command).await,
            "join" => {
                let member = Member::join(&self.bootstrap, command).await?;
                self.members.insert(text(command, "member")?, member);
                Ok(Value::Null)
            }
            "leave" => {
                let member = self.members.remove(&text(command, "member")?).ok_or("no such member")?;
                member.leave().await
            }
            other => Err(format!("unknown command {other}").into()),
        }
    }

    async fn produce(&self, command: &Value) -> Result<Value> {
        let codec = match text(command, "codec")?.as_str() {
            "gzip" => Compression::Gzip,
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4,
            "zstd" => Compression::Zstd,
            _ => Compression::None,
        };
        let topic = text(command, "topic")?;
        let producer = self.kafka.producer().compression(codec).build().await?;
        let mut answers = Vec::new();
        for each in command["records"].as_array().ok_or("no records")? {
            let mut record = Record::new(topic.as_str(), text(each, "value")?)
                .key(text(each, "key")?)
                .partition(number(each, "partition")? as i32)
                .timestamp(number(each, "timestamp")?);
            for (name, value) in each["headers"].as_object().ok_or("no headers")? {
                record = record.header(name.as_str(), value.as_str().unwrap_or_default().to_owned());
            }
            answers.push(producer.enqueue(record).await?);
        }
        for answer in answers {
            let _placed = answer.await?;
        }
        producer.close().await?;
        Ok(Value::Null)
    }

    async fn by_timestamp(&self, command: &Value) -> Result<Value> {
        let topic = text(command, "topic")?;
        let partition = number(command, "partition")? as i32;
        let consumer = self.kafka.consumer_without_group().build().await?;
        consumer.assign(&topic, vec![partition]).await?;
        consumer.seek_to_timestamp(&topic, partition, number(command, "timestamp")?).await?;
        let mut records = Vec::new();
        for _ in 0..30 {
            records = consumer.poll(Duration::from_secs(1)).await?;
            if !records.is_empty() {
                break;
            }
        }
        let first = records.first().ok_or("no record after 30 s")?;
        let found = json!({ "offset": first.offset, "value": first.value_str() });
        consumer.close().await?;
        Ok(found)
    }
}

/// What a member owns, put together from what it gains and loses.
struct Assignment {
    member: String,
    owned: Mutex<BTreeSet<i32>>,
}

impl Assignment {
    fn change(&self, body: impl FnOnce(&mut BTreeSet<i32>)) {
        let mut owned = self.owned.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        body(&mut owned);
        say(json!({ "member": self.member, "owns": *owned }));
    }
}

impl ConsumerRebalanceListener for Assignment {
    async fn on_partitions_assigned(&self, gained: &[TopicPartition]) {
        self.change(|owned| owned.extend(gained.iter().map(|each| each.partition)));
    }

    async fn on_partitions_revoked(&self, lost: &[TopicPartition]) {
        self.change(|owned| owned.retain(|partition| lost.iter().all(|each| each.partition != *partition)));
    }
}

/// One member of a group, reading in a task of its own.
struct Member {
    stop: oneshot::Sender<()>,
    reading: JoinHandle<Result<()>>,
}

impl Member {
    /// A connection that a join waits on answers nobody else, so each member has a client of its own.
    async fn join(bootstrap: &str, command: &Value) -> Result<Member> {
        let kafka = Kafka::builder(bootstrap).connect().await?;
        let name = text(command, "member")?;
        let assignment = Arc::new(Assignment { member: name.clone(), owned: Mutex::default() });
        let mut builder = kafka
            .consumer(text(command, "group")?)
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .rebalance_listener(assignment);
        if command["protocol"] == "consumer" {
            builder = builder.group_protocol(krafka::consumer::GroupProtocol::Consumer);
        }
        let consumer = builder.build().await?;
        consumer.subscribe([text(command, "topic")?]).await?;
        let (stop, stopped) = oneshot::channel();
        Ok(Member { stop, reading: tokio::spawn(read(consumer, name, stopped)) })
    }

    async fn leave(self) -> Result<Value> {
        // The other end is gone only if reading failed, which the task then tells.
        let _ = self.stop.send(());
        self.reading.await??;
        Ok(Value::Null)
    }
}

async fn read(consumer: Consumer, member: String, mut stopped: oneshot::Receiver<()>) -> Result<()> {
    while stopped.try_recv().is_err() {
        for record in consumer.poll(Duration::from_secs(1)).await? {
            say(json!({ "member": member, "record": reported(&record) }));
        }
    }
    consumer.close().await?;
    Ok(())
}

fn reported(record: &ConsumerRecord) -> Value {
    let headers: HashMap<String, String> = record
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_deref().map(utf8).unwrap_or_default()))
        .collect();
    json!({
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": record.key.as_deref().map(utf8),
        "value": record.value.as_deref().map(utf8),
        "headers": headers,
    })
}
