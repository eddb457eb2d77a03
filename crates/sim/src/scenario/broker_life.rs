//! Stories about what becomes of data: merging, segments and deletion while brokers die at every step of them.

use std::time::Duration;

use kafscale_broker::LifeSettings;
use kafscale_segment::{
    kfs, merged,
    names::{self, File},
};
use kafscale_state::{Place, State, topic::path_namespace};

use super::{Scenario, Stage, deployment::Deployment};
use crate::{
    client::{Partition, admin, consumer::Habits},
    rng::Rng,
    store::Bucket,
    weather::Weather,
};

/// Records are rewritten within minutes here, a few KiB at a time; what is dead goes as in real life.
fn settings(rng: &mut Rng) -> LifeSettings {
    let minutes = |rng: &mut Rng, most| Duration::from_secs(60 * rng.within(1..=most));
    LifeSettings {
        merge_interval: Duration::from_secs(rng.within(5..=30)),
        merge_objects_min: rng.within(2..=16),
        merge_age: minutes(rng, 10),
        merge_bytes: rng.within(512..=8_192),
        fat_bytes: rng.within(256..=4_096),
        level_2_partitions: *rng.pick(&[1, 100]),
        segment_bytes: rng.within(512..=8_192),
        segment_age: minutes(rng, 30),
        segment_small_bytes: rng.within(64..=1_024),
        segment_small_age: Duration::from_secs(3_600),
        bandwidth: *rng.pick(&[0, 1 << 20]),
        retention_check: minutes(rng, 10),
        ..LifeSettings::default()
    }
}

const EXPIRING: &str = "expiring";

pub(super) const LIFE: Scenario = Scenario {
    name: "broker-life",
    about: "records move into merged objects and segments, expire, and go from the store, while brokers die at any call to it",
    marks: &[
        "killed",
        "crashed",
        "merged object stored",
        "segment stored",
        "read from a segment",
        "log object deleted",
        "merged object deleted",
        "segment deleted",
        "topic deleted",
        "records expired",
        "consumer reset to the start",
        "acknowledged",
        "values read",
    ],
    errors: &[],
    seeds: 2,
    limit: Duration::from_secs(96 * 3_600),
    story: |stage| Box::pin(life(stage)),
};

async fn life(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("life");
    let bucket = Bucket::new(&stage.world, rng.chance(200));
    let mut deployment = Deployment::with_crashes(&stage, &mut rng, &bucket, 2..=8, 10..=300);
    deployment.settings.life = settings(&mut rng);
    // Little is kept in memory, so that readers read what was rewritten.
    deployment.settings.cache_bytes = *rng.pick(&[4 << 10, 64 << 10, 64 << 20]);
    let story = async {
        let mut partitions = deployment.create_topics(&mut rng).await?;
        partitions.extend(expiring_topic(&deployment, &mut rng).await?);
        for _ in 0..rng.within(1..=3) {
            let pause_max = Duration::from_secs(rng.within(1..=12));
            deployment.load_at(&mut rng, &partitions, Habits { fragile: 2, pause_max, in_session: false });
        }
        deployment.churn(rng.within(2..=8), Duration::from_secs(5_400));
        if !bucket.is_exclusive() && rng.chance(500) {
            bucket.set_weather(Weather::swarm(&mut rng));
        }
        for _ in 0..rng.within(2..=6) {
            stage.world.sleep(Duration::from_secs(rng.within(60..=5_400))).await;
            let Some(running) = deployment.brokers.alive().pop() else { continue };
            match rng.below(3) {
                0 if !bucket.is_exclusive() => {
                    running.node.pause();
                    let delay = Duration::from_secs(rng.within(1..=3_600));
                    stage.world.after(delay, move || running.node.resume());
                    deployment.start().await?;
                }
                _ => {
                    stage.world.mark("killed");
                    running.node.kill();
                }
            }
        }
        bucket.clear_up();
        // Until everybody is awake, and everything that waits for its time had it.
        stage.world.sleep(Duration::from_secs(5 * 3_600)).await;
        deployment.settle(&partitions, Duration::from_secs(40 * 3_600)).await?;
        // Nothing is written any more: what died last has its hour, and the deleter its rounds.
        stage.world.sleep(Duration::from_secs(5 * 3_600)).await;
        let Some(running) = deployment.brokers.alive().pop() else { return Err("nobody is up".into()) };
        let state = running.broker.replica().snapshot();
        is_whole(&stage, &bucket, &state)
    };
    deployment.supervised(story).await
}

/// A topic whose records are kept for an hour or two at most.
async fn expiring_topic(deployment: &Deployment, rng: &mut Rng) -> Result<Vec<Partition>, String> {
    let age_ms = 60_000 * i64::try_from(rng.within(1..=120)).expect("small");
    let configs = [("retention.ms", &*age_ms.to_string())];
    let (clients, brokers) = (&deployment.clients, &deployment.brokers);
    let partitions = admin::create_topic(clients, brokers, &EXPIRING.into(), 2, &configs).await?;
    partitions.iter().for_each(|partition| deployment.stage.history.expires(&partition.line(), age_ms));
    Ok(partitions)
}

/// Everything that the state refers to is in the bucket, and is what it says; and space has come back.
fn is_whole(stage: &Stage, bucket: &Bucket, state: &State) -> Result<(), String> {
    let mark = |what| stage.world.mark(what);
    for topic in state.topics() {
        let namespace = path_namespace(topic.namespace()).ok_or("a namespace without paths")?;
        for (index, handle) in (0..).zip(topic.handles()) {
            let view = state.partition(handle).ok_or("a topic without its partition")?;
            if topic.name() == EXPIRING && view.high_watermark() > 0 {
                mark("records expired");
                if view.log_start_offset() != view.high_watermark() {
                    return Err(format!("records of {EXPIRING} are still there, long after their time"));
                }
            }
            for segment in view.segments() {
                let base_offset = u64::try_from(segment.base_offset).expect("not negative");
                let name = |file| names::segment(namespace, topic.name(), index, base_offset, file);
                let kfs_name = name(File::Kfs);
                let bytes = bucket.object(&kfs_name).ok_or(format!("{kfs_name} is missing"))?;
                if (bytes.len(), kfs::checksum(&bytes)) != (segment.len as usize, segment.crc) {
                    return Err(format!("{kfs_name} is not what was published"));
                }
                kfs::parse(&bytes).map_err(|error| format!("{kfs_name}: {error}"))?;
                let index_name = name(File::Index);
                let index = bucket.object(&index_name).ok_or(format!("{index_name} is missing"))?;
                kafscale_segment::index::parse(&index).map_err(|error| format!("{index_name}: {error}"))?;
                mark("read from a segment");
            }
            for extent in view.unsegmented() {
                let Place::Merged(object) = extent.place else { continue };
                let name = bucket.names(names::MERGED).into_iter().find(|name| {
                    name.contains(&format!("/{:020}/{:020}-", object.session, object.number))
                        && name.ends_with(&format!("{:016x}", object.nonce))
                });
                let bytes = name.and_then(|name| bucket.object(&name)).ok_or(format!("{object:?} is missing"))?;
                let (_, parts) = merged::parse_tail(&bytes, &bytes).map_err(|error| format!("{object:?}: {error}"))?;
                if !parts.iter().any(|part| part.handle == handle) {
                    return Err(format!("{object:?} does not know of partition {handle}"));
                }
                mark("read from a merged object");
            }
        }
    }
    let is_frame = |place: Place| matches!(place, Place::LogFrame { .. });
    let dead = state.dead_objects().filter(|(_, dead)| !is_frame(dead.place)).count();
    match dead + state.dead_segments().count() {
        0 => Ok(()),
        many => Err(format!("{many} dead objects are still there")),
    }
}
