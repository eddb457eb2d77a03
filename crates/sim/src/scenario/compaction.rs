//! The story of log compaction: keys are written, superseded and deleted, brokers die at every step of a pass, the policy of
//! the topic changes, and readers of every pace see what they are promised.

use std::{sync::Arc, time::Duration};

use kafscale_broker::LifeSettings;

use super::{Scenario, Stage, deployment::Deployment};
use crate::{
    client::{
        keyed::{self, Reader, Writer},
        link::Brokers,
    },
    executor::Node,
    ledger::Ledger,
    rng::Rng,
    store::Bucket,
};

/// How long tombstones stay.
const DELETE_RETENTION: Duration = Duration::from_secs(3_600);

pub(super) const COMPACTION: Scenario = Scenario {
    name: "broker-compaction",
    about: "of each key the last value stays, while brokers die, policies change and readers are slow",
    marks: &[
        "killed",
        "crashed",
        "records compacted",
        "tombstone read",
        "tombstone gone",
        "segment stored",
        "policy changed",
        "cleaned to the end",
    ],
    errors: &[],
    seeds: 2,
    limit: Duration::from_secs(96 * 3_600),
    story: |stage| Box::pin(compaction(stage)),
};

fn settings(rng: &mut Rng) -> LifeSettings {
    let minutes = |rng: &mut Rng, most| Duration::from_secs(60 * rng.within(1..=most));
    LifeSettings {
        merge_interval: Duration::from_secs(rng.within(5..=30)),
        merge_objects_min: rng.within(2..=8),
        merge_age: minutes(rng, 3),
        merge_bytes: rng.within(256..=4_096),
        fat_bytes: rng.within(256..=4_096),
        level_2_partitions: *rng.pick(&[1, 100]),
        segment_bytes: rng.within(512..=8_192),
        segment_age: minutes(rng, 5),
        segment_small_bytes: 64,
        segment_small_age: minutes(rng, 10),
        clean_interval: Duration::from_secs(rng.within(5..=60)),
        // From three keys to all of them.
        clean_memory: *rng.pick(&[80, 250, 1 << 20]),
        bandwidth: *rng.pick(&[0, 1 << 20]),
        ..LifeSettings::default()
    }
}

async fn compaction(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("compaction");
    let bucket = Bucket::new(&stage.world, rng.chance(200));
    let mut deployment = Deployment::with_crashes(&stage, &mut rng, &bucket, 1..=6, 10..=400);
    deployment.settings.life = settings(&mut rng);
    deployment.settings.cache_bytes = *rng.pick(&[4 << 10, 64 << 20]);
    let ledger = Ledger::new(&stage.world, DELETE_RETENTION);
    let story = async {
        let (node, brokers) = (deployment.clients.clone(), deployment.brokers.clone());
        let name: Arc<str> = "compacted".into();
        let topic_settings = topic_settings(&mut rng);
        let count = i32::try_from(rng.within(1..=3)).expect("few");
        let partitions = keyed::create_topic(&node, &brokers, &name, count, &topic_settings).await?;
        for partition in &partitions {
            let writer = Writer {
                node: node.clone(),
                brokers: brokers.clone(),
                ledger: ledger.clone(),
                partition: partition.clone(),
                keys: rng.within(2..=12),
                batches: rng.within(20..=120),
                pause_max: Duration::from_secs(rng.within(10..=240)),
            };
            deployment.work("writer", writer.run());
        }
        let reader = |pause_max, bytes_max| Reader {
            node: node.clone(),
            brokers: brokers.clone(),
            ledger: ledger.clone(),
            partitions: partitions.clone(),
            pause_max,
            bytes_max,
        };
        for pause_max in [20, 60, 300] {
            let bytes_max = *rng.pick(&[1, 200, 1 << 16]);
            deployment.watch("reader", reader(Duration::from_secs(pause_max), bytes_max).run(deployment.stop()));
        }
        disturb(&stage, &node, &brokers, &name, &mut rng).await?;
        for (name, value) in [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0")] {
            keyed::set(&node, &brokers, "compacted", name, value).await?;
        }
        deployment.settle(&[], Duration::from_secs(40 * 3_600)).await?;
        // Everything is merged and cleaned, and tombstones have their time.
        stage.world.sleep(6 * DELETE_RETENTION).await;
        for partition in &partitions {
            let reading = reader(Duration::ZERO, 1 << 16).read(partition).await?;
            is_clean(&reading.rows, partition.index)?;
        }
        stage.world.mark("cleaned to the end");
        let Some(running) = deployment.brokers.alive().pop() else { return Err("nobody is up".into()) };
        let state = running.broker.replica().snapshot();
        match state.dead_segments().count() {
            0 => Ok(()),
            many => Err(format!("{many} segments that were replaced are still there")),
        }
    };
    deployment.supervised(story).await
}

/// What the topic has from its start.
fn topic_settings(rng: &mut Rng) -> [(&'static str, String); 5] {
    let starts_as = *rng.pick(&["compact", "compact", "compact,delete", "delete"]);
    [
        ("cleanup.policy", starts_as.to_owned()),
        ("delete.retention.ms", DELETE_RETENTION.as_millis().to_string()),
        ("min.cleanable.dirty.ratio", (*rng.pick(&["0", "0.1", "0.5"])).to_owned()),
        ("min.compaction.lag.ms", (*rng.pick(&["0", "0", "60000"])).to_owned()),
        ("max.compaction.lag.ms", (*rng.pick(&["9223372036854775807", "600000"])).to_owned()),
    ]
}

/// For some hours brokers die and the topic's policy changes.
async fn disturb(stage: &Stage, node: &Node, brokers: &Brokers, topic: &str, rng: &mut Rng) -> Result<(), String> {
    for _ in 0..rng.within(2..=6) {
        stage.world.sleep(Duration::from_secs(rng.within(60..=3_600))).await;
        match rng.below(3) {
            0 => {
                stage.world.mark("policy changed");
                let policy = *rng.pick(&["delete", "compact", "compact,delete"]);
                keyed::set(node, brokers, topic, "cleanup.policy", policy).await?;
            }
            _ => {
                let Some(running) = brokers.alive().pop() else { continue };
                stage.world.mark("killed");
                running.node.kill();
            }
        }
    }
    Ok(())
}

/// When nothing is written any more each key is there once, and none that was deleted.
fn is_clean(rows: &[(u64, crate::ledger::Entry)], partition: i32) -> Result<(), String> {
    let mut keys: Vec<u64> = rows.iter().map(|(_, (key, _))| *key).collect();
    keys.sort_unstable();
    let twice = keys.windows(2).find(|pair| pair[0] == pair[1]);
    let tombstone = rows.iter().find(|(_, (_, value))| value.is_none());
    match (twice, tombstone) {
        (None, None) => Ok(()),
        _ => Err(format!("partition {partition} was not cleaned: {twice:?} stands twice, {tombstone:?} is left")),
    }
}
