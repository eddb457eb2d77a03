//! Stories about whole brokers and their clients.

use std::{sync::Arc, time::Duration};

use kafscale_broker::Settings;
use kafscale_runtime::timeout;
use kafscale_store::directory::{CrashFs, Survives};
use parking_lot::Mutex;

use super::{Scenario, Stage, deployment::Deployment};
use crate::{client::consumer::Habits, rng::Rng, slow_disk::SlowDisk, store::Bucket, weather::Weather};

const HOURS: Duration = Duration::from_secs(6 * 3_600);

/// How long producers may take after everything was healed.
const PATIENCE: Duration = Duration::from_secs(900);

/// How long a broker may take to flush and answer before it is killed.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

const CLIENT_MARKS: [&str; 4] = ["acknowledged", "acknowledged after a retry", "values read", "end told"];

/// Processes that die at a chosen call to the store.
pub(super) const CRASHES: Scenario = Scenario {
    name: "broker-crashes",
    about: "the broker dies at a chosen call to the store, again and again, and is started again; clients retry",
    marks: &["crashed", "died while starting", CLIENT_MARKS[0], CLIENT_MARKS[1], CLIENT_MARKS[2], CLIENT_MARKS[3]],
    errors: &[],
    seeds: 15,
    limit: HOURS,
    story: |stage| Box::pin(crashes(stage)),
};

async fn crashes(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("crashes");
    let bucket = Bucket::new(&stage.world, rng.chance(300));
    let deployment = Deployment::with_crashes(&stage, &mut rng, &bucket, 1..=6, 1..=60);
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        deployment.load(&mut rng, &partitions, 5);
        deployment.settle(&partitions, PATIENCE).await
    };
    deployment.supervised(story).await
}

/// Everything at once.
pub(super) const CHAOS: Scenario = Scenario {
    name: "broker-chaos",
    about: "bad weather, black-outs, suspended and killed brokers, successors beside their predecessors, wrong clocks",
    marks: &[
        "lost answer",
        "lost request",
        "late write",
        "hang",
        "conflict",
        "unavailable",
        "spike",
        "outage",
        "read asked again",
        "suspended",
        "killed",
        "successor beside a living one",
        "broker ended by itself",
        "connection broke",
        "retriable error",
        "request timed out",
        CLIENT_MARKS[0],
        CLIENT_MARKS[1],
        CLIENT_MARKS[2],
        CLIENT_MARKS[3],
    ],
    errors: &[],
    seeds: 15,
    limit: HOURS,
    story: |stage| Box::pin(chaos(stage)),
};

async fn chaos(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("chaos");
    let bucket = Bucket::new(&stage.world, false);
    let deployment = Deployment::on_bucket(&stage, &mut rng, &bucket);
    deployment.supervised(in_chaos(&stage, &deployment, &bucket, &mut rng)).await
}

async fn in_chaos(stage: &Stage, deployment: &Deployment, bucket: &Bucket, rng: &mut Rng) -> Result<(), String> {
    if rng.chance(500) {
        bucket.set_weather(Weather::swarm(rng));
    }
    let partitions = deployment.create_topics(rng).await?;
    bucket.set_weather(Weather::swarm(rng));
    let fragile = if rng.chance(500) { 30 } else { 0 };
    deployment.load(rng, &partitions, fragile);
    if rng.chance(300) {
        deployment.churn(rng.within(1..=6), Duration::from_secs(10));
    }
    for _ in 0..rng.within(1..=6) {
        stage.world.sleep(Duration::from_millis(rng.within(1..=15_000))).await;
        let Some(running) = deployment.brokers.alive().pop() else { continue };
        match rng.below(7) {
            0 => bucket.black_out(Duration::from_secs(rng.within(1..=60))),
            1 | 2 => {
                stage.world.mark("killed");
                running.node.kill();
            }
            3 => {
                stage.world.mark("suspended");
                running.node.pause();
                let delay = Duration::from_secs(rng.within(1..=120));
                stage.world.after(delay, move || running.node.resume());
                deployment.start().await?;
            }
            4 => {
                stage.world.mark("successor beside a living one");
                let node = deployment.start().await?;
                // Not by an hour: from there on a broker refuses the timestamps of its clients, as Kafka does.
                let off_ms = i64::try_from(rng.below(6_000_000)).expect("small") - 3_000_000;
                node.set_wall_offset_ms(off_ms);
            }
            5 => {
                let drain = running.node.call("drain", running.clone().drain());
                if timeout(&deployment.clients, DRAIN_LIMIT, drain).await.is_ok() {
                    stage.world.mark("drained");
                }
                running.node.kill();
            }
            _ => bucket.set_weather(Weather::swarm(rng)),
        }
    }
    stage.world.sleep(Duration::from_millis(rng.within(1..=30_000))).await;
    bucket.clear_up();
    deployment.settle(&partitions, PATIENCE).await
}

/// Several processes start at the same moment on an empty bucket.
pub(super) const RACE: Scenario = Scenario {
    name: "broker-race",
    about: "several brokers start on an empty bucket at the same moment; clients talk to whoever is there",
    marks: &["broker ended by itself", CLIENT_MARKS[0], CLIENT_MARKS[1], CLIENT_MARKS[2], CLIENT_MARKS[3]],
    errors: &[],
    seeds: 15,
    limit: HOURS,
    story: |stage| Box::pin(race(stage)),
};

async fn race(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("race");
    let bucket = Bucket::new(&stage.world, false);
    if rng.chance(500) {
        bucket.set_weather(Weather::swarm(&mut rng));
    }
    let deployment = Deployment::on_bucket(&stage, &mut rng, &bucket);
    let contenders = (0..rng.within(2..=4)).map(|_| {
        let (deployment, delay) = (deployment.clone(), Duration::from_millis(rng.within(0..=400)));
        async move {
            deployment.stage.world.sleep(delay).await;
            deployment.start_on(&deployment.next_node()).await
        }
    });
    let started = futures_util::future::join_all(contenders.collect::<Vec<_>>()).await;
    started.into_iter().collect::<Result<Vec<_>, _>>()?;
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        deployment.load(&mut rng, &partitions, 5);
        stage.world.sleep(Duration::from_millis(rng.within(1..=30_000))).await;
        bucket.clear_up();
        deployment.settle(&partitions, PATIENCE).await
    };
    deployment.supervised(story).await
}

/// Clients come back to a broker that was taken over and does not know it.
pub(super) const STALE: Scenario = Scenario {
    name: "broker-stale",
    about: "a suspended broker wakes up when its successor is dead and the store does not answer; clients come back to it",
    marks: &["broker ended by itself", "outage", CLIENT_MARKS[0], CLIENT_MARKS[1], CLIENT_MARKS[2], CLIENT_MARKS[3]],
    errors: &[],
    seeds: 15,
    limit: HOURS,
    story: |stage| Box::pin(stale(stage)),
};

async fn stale(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("stale");
    let bucket = Bucket::new(&stage.world, false);
    let deployment = Deployment::on_bucket(&stage, &mut rng, &bucket);
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        deployment.load(&mut rng, &partitions, 0);
        deployment.load(&mut rng, &partitions, 0);
        stage.world.sleep(Duration::from_millis(rng.within(1..=2_000))).await;
        let old = deployment.brokers.alive().pop().ok_or("nobody is up")?;
        old.node.pause();
        let new = deployment.start().await?;
        // Clients give the old one up after 30 s without an answer.
        stage.world.sleep(Duration::from_millis(rng.within(30_000..=36_000))).await;
        new.kill();
        bucket.black_out(Duration::from_secs(rng.within(2..=40)));
        old.node.resume();
        deployment.settle(&partitions, PATIENCE).await
    };
    deployment.supervised(story).await
}

/// Hours of a broker's life: snapshots, trimming, and starts from them.
pub(super) const HOURS_OF_LIFE: Scenario = Scenario {
    name: "broker-hours",
    about: "hours under light load: snapshots are taken and damaged, the log is trimmed, brokers die and are suspended",
    marks: &[
        "snapshot stored",
        "snapshot damaged",
        "archive stored",
        "log object deleted",
        "object deleted",
        "topic deleted",
        "killed",
        "suspended",
        CLIENT_MARKS[0],
        CLIENT_MARKS[1],
        CLIENT_MARKS[2],
        CLIENT_MARKS[3],
    ],
    errors: &["snapshot is not readable"],
    seeds: 3,
    limit: Duration::from_secs(48 * 3_600),
    story: |stage| Box::pin(hours_of_life(stage, Settings::default().snapshot_part_bytes)),
};

/// The same with snapshots that are read in many parts.
pub(super) const SNAPSHOT_PARTS: Scenario = Scenario {
    name: "broker-snapshot-parts",
    about: "hours under light load with snapshots of many parts",
    seeds: 2,
    story: |stage| Box::pin(hours_of_life(stage, 2 << 10)),
    ..HOURS_OF_LIFE
};

async fn hours_of_life(stage: Stage, snapshot_part_bytes: u64) -> Result<(), String> {
    let mut rng = stage.world.rng("hours");
    let bucket = Bucket::new(&stage.world, rng.chance(200));
    let mut deployment = Deployment::on_bucket(&stage, &mut rng, &bucket);
    deployment.settings.snapshot_part_bytes = snapshot_part_bytes;
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        deployment.load_at(
            &mut rng,
            &partitions,
            Habits { fragile: 2, pause_max: Duration::from_secs(20), in_session: false },
        );
        deployment.churn(rng.within(5..=40), Duration::from_secs(900));
        if !bucket.is_exclusive() && rng.chance(500) {
            bucket.set_weather(Weather::swarm(&mut rng));
        }
        for _ in 0..rng.within(2..=5) {
            stage.world.sleep(Duration::from_secs(rng.within(300..=9_000))).await;
            let Some(running) = deployment.brokers.alive().pop() else { continue };
            if rng.chance(400) {
                stage.world.mark("suspended");
                running.node.pause();
                let delay = Duration::from_secs(rng.within(1..=7_200));
                stage.world.after(delay, move || running.node.resume());
                if !bucket.is_exclusive() && rng.chance(700) {
                    deployment.start().await?;
                }
            } else {
                stage.world.mark("killed");
                running.node.kill();
                damage_newest_snapshot(&stage, &bucket, &mut rng);
            }
        }
        bucket.clear_up();
        // Until everybody is awake.
        stage.world.sleep(Duration::from_secs(7_200)).await;
        deployment.settle(&partitions, Duration::from_secs(20 * 3_600)).await
    };
    deployment.supervised(story).await
}

/// Flips a bit of the newest of several snapshots: the one before it must serve.
fn damage_newest_snapshot(stage: &Stage, bucket: &Bucket, rng: &mut Rng) {
    let snapshots = bucket.names("snapshot/");
    if let [.., _, newest] = &snapshots[..]
        && rng.chance(500)
    {
        let mut bytes = bucket.object(newest).expect("it was listed").to_vec();
        let at = rng.below(bytes.len() as u64);
        bytes[usize::try_from(at).expect("in memory")] ^= 1 << rng.below(8);
        bucket.corrupt(newest, bytes.into());
        stage.world.mark("snapshot damaged");
    }
}

/// A directory whose machine loses power.
pub(super) const POWER_CUTS: Scenario = Scenario {
    name: "broker-power-cuts",
    about: "a broker on a directory whose machine loses power at a chosen step of the file system",
    marks: &["power cut", CLIENT_MARKS[0], CLIENT_MARKS[1], CLIENT_MARKS[2], CLIENT_MARKS[3]],
    errors: &[],
    seeds: 15,
    limit: HOURS,
    story: |stage| Box::pin(power_cuts(stage)),
};

async fn power_cuts(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("power cuts");
    let machine = Mutex::new((CrashFs::new(), rng.within(1..=4), rng.fork(3)));
    let deployment = Deployment::new(
        &stage,
        &mut rng,
        Arc::new(move |node| {
            let (disk, left, rng) = &mut *machine.lock();
            let survives = match rng.below(3) {
                0 => Survives::OnlyFlushed,
                1 => Survives::Everything,
                _ => Survives::Some(rng.bits()),
            };
            *disk = disk.reboot(survives);
            if *left > 0 {
                *left -= 1;
                node.world().mark("power cut");
                disk.fail_power_at(disk.steps() + rng.within(1..=250));
            }
            loop {
                if let Ok(store) = SlowDisk::open(disk, node) {
                    return store;
                }
                node.world().mark("power cut while the directory was opened");
                *disk = disk.reboot(survives);
            }
        }),
    );
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        deployment.load(&mut rng, &partitions, 5);
        deployment.settle(&partitions, PATIENCE).await
    };
    deployment.supervised(story).await
}
