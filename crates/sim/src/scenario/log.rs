//! Stories about the store log of a lone broker: crashes at every step, successors beside their predecessors, losses.

use std::{sync::Arc, time::Duration};

use kafscale_log::{
    Log, Progress,
    lone::{OpenError, Resume, names},
};
use kafscale_store::directory::{CrashFs, Survives};

use super::{
    Scenario, Stage,
    log_sessions::{Session, final_reading, final_reading_behind, open},
};
use crate::{
    slow_disk::SlowDisk,
    store::{Bucket, Client, Side, Stall},
    weather::Weather,
};

const SIDES: [Side; 2] = [Side::Before, Side::After];

const HOUR: Duration = Duration::from_secs(3_600);

/// Processes that die at a chosen call to the store, one after the other.
pub(super) const CRASHES: Scenario = Scenario {
    name: "log-crashes",
    about: "each process dies at a chosen call to the store, before or after its effect; the next takes over",
    marks: &["died while opening", "died while writing", "outcome unknown", "unknown but there", "end told"],
    errors: &[],
    seeds: 64,
    limit: HOUR,
    story: |stage| Box::pin(crashes(stage)),
};

async fn crashes(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("crashes");
    let exclusive = rng.chance(300);
    let bucket = Bucket::new(&stage.world, exclusive);
    for life in 0..rng.within(1..=5) {
        let node = stage.world.node(format!("broker-{life}"));
        let client = bucket.client(&node);
        let (call, side) = match life {
            // Consecutive seeds sweep every step of the first life, on both sides of its effect.
            0 => (1 + stage.world.seed() / 2 % 32, SIDES[usize::from(stage.world.seed() % 2 == 1)]),
            _ => (rng.within(1..=30), *rng.pick(&SIDES)),
        };
        client.crash_at(call, side);
        let Some(opened) = open(&stage, &node, client).await else {
            stage.world.mark("died while opening");
            continue;
        };
        let session = opened.map_err(|error| format!("life {life} cannot open the log: {error}"))?;
        session.keep_asking();
        if session.write(20).await.is_none() {
            stage.world.mark("died while writing");
        }
        session.bury();
    }
    final_reading(&stage, |node| bucket.client(node)).await
}

/// Everything at once.
pub(super) const CHAOS: Scenario = Scenario {
    name: "log-chaos",
    about: "bad weather, processes that start beside living predecessors, are killed, suspended, and have wrong clocks",
    marks: &[
        "append fenced",
        "lost answer",
        "lost request",
        "late write",
        "hang",
        "conflict",
        "unavailable",
        "spike",
        "outage",
        "open gave up",
        "unknown but there",
        "create repeated",
        "create lost a race",
        "suspended",
        "end told",
    ],
    errors: &["store clock and system clock contradict each other"],
    seeds: 20,
    limit: Duration::from_secs(8 * 3_600),
    story: |stage| Box::pin(chaos(stage)),
};

async fn chaos(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("chaos");
    let bucket = Bucket::new(&stage.world, false);
    bucket.set_weather(Weather::swarm(&mut rng));
    let mut sessions: Vec<Session> = Vec::new();
    for life in 0..rng.within(2..=5) {
        let node = stage.world.node(format!("broker-{life}"));
        if rng.chance(300) {
            let off_ms = i64::try_from(rng.below(20_000_000)).expect("small") - 10_000_000;
            node.set_wall_offset_ms(off_ms);
        }
        let opened = open(&stage, &node, bucket.client(&node)).await.expect("nobody kills it while it opens");
        let session = match opened {
            Ok(session) => session,
            Err(OpenError::Unavailable(_)) => {
                stage.world.mark("open gave up");
                node.kill();
                continue;
            }
            Err(error) => return Err(format!("life {life} cannot open the log: {error}")),
        };
        session.keep_asking();
        drop(session.write(rng.within(1..=60) as usize));
        stage.world.sleep(Duration::from_millis(rng.within(1..=20_000))).await;
        if rng.chance(200) {
            // Some outlast the patience of the next opening.
            bucket.black_out(Duration::from_secs(rng.within(1..=120)));
        }
        match rng.below(4) {
            0 => session.bury(),
            1 => {
                stage.world.mark("suspended");
                session.node.pause();
                let (node, delay) = (session.node.clone(), Duration::from_secs(rng.within(1..=120)));
                stage.world.after(delay, move || node.resume());
            }
            // It goes on beside its successor.
            _ => {}
        }
        sessions.push(session);
    }
    stage.world.sleep(Duration::from_secs(130)).await;
    bucket.clear_up();
    let judged = final_reading(&stage, |node| bucket.client(node)).await;
    sessions.iter().for_each(Session::bury);
    judged
}

/// Several processes start at the same moment.
pub(super) const RACE: Scenario = Scenario {
    name: "log-race",
    about: "several processes take the log over at the same moment, and write if they think that they succeeded",
    marks: &["append fenced", "create lost a race", "two opened"],
    errors: &[],
    seeds: 20,
    limit: Duration::from_secs(7_200),
    story: |stage| Box::pin(race(stage)),
};

async fn race(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("race");
    let bucket = Bucket::new(&stage.world, false);
    if rng.chance(500) {
        bucket.set_weather(Weather::swarm(&mut rng));
    }
    let contenders = (0..rng.within(2..=4)).map(|index| {
        let (stage, bucket) = (stage.clone(), bucket.clone());
        let start = Duration::from_millis(rng.within(0..=400));
        let count = rng.within(1..=30) as usize;
        async move {
            stage.world.sleep(start).await;
            let node = stage.world.node(format!("contender-{index}"));
            let opened = open(&stage, &node, bucket.client(&node)).await.expect("nobody kills it");
            match opened {
                Ok(session) => {
                    session.keep_asking();
                    drop(session.write(count));
                    Ok(Some(session))
                }
                Err(OpenError::Unavailable(_)) => Ok(None),
                Err(error) => Err(format!("contender {index} cannot open the log: {error}")),
            }
        }
    });
    let opened = futures_util::future::join_all(contenders.collect::<Vec<_>>()).await;
    let sessions: Vec<Session> = opened.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
    if sessions.len() > 1 {
        stage.world.mark("two opened");
    }
    stage.world.sleep(Duration::from_secs(60)).await;
    bucket.clear_up();
    let judged = final_reading(&stage, |node| bucket.client(node)).await;
    sessions.iter().for_each(Session::bury);
    judged
}

/// A store that loses an object.
pub(super) const LOST_OBJECT: Scenario = Scenario {
    name: "log-lost-object",
    about: "an object in the middle of the log is gone: the start is refused, and nothing is written or deleted",
    marks: &["refused a start"],
    errors: &[],
    seeds: 20,
    limit: HOUR,
    story: |stage| Box::pin(lost_object(stage)),
};

async fn lost_object(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("lost object");
    let bucket = Bucket::new(&stage.world, rng.chance(300));
    let node = stage.world.node("broker");
    let session = open(&stage, &node, bucket.client(&node)).await.expect("alive").map_err(|error| error.to_string())?;
    let written = session.write(rng.within(9..=40) as usize).await.expect("alive")?;
    session.bury();
    let last = session.opened.tail + written as u64;
    let hole = rng.within(1..=last - 4);
    let name = names::frame(1, hole);
    let bytes = bucket.object(&name).expect("it was written");
    bucket.lose(&name);
    let before = bucket.names("");
    let node = stage.world.node("successor");
    match open(&stage, &node, bucket.client(&node)).await.expect("alive") {
        Err(OpenError::Lost { position }) if position == hole => stage.world.mark("refused a start"),
        Err(error) => return Err(format!("position {hole} of {last} was lost, and the start says: {error}")),
        Ok(_) => return Err(format!("position {hole} of {last} was lost, and the start went on")),
    }
    if bucket.names("") != before {
        return Err("a refused start changed the store".into());
    }
    bucket.corrupt(&name, bytes);
    final_reading(&stage, |node| bucket.client(node)).await
}

/// Trimming while a predecessor is suspended with a create on its way.
pub(super) const TRIM: Scenario = Scenario {
    name: "log-trim",
    about: "a predecessor is suspended with a create on its way, which lands hours later on a name that was trimmed",
    marks: &["create of a deleted name", "append fenced", "trimmed", "stalled append ended", "end told"],
    errors: &[],
    seeds: 20,
    limit: Duration::from_secs(24 * 3_600),
    story: |stage| Box::pin(trim(stage)),
};

async fn trim(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("trim");
    let bucket = Bucket::new(&stage.world, false);
    let node = stage.world.node("predecessor");
    let client = bucket.client(&node);
    let old =
        open(&stage, &node, Arc::<Client>::clone(&client)).await.expect("alive").map_err(|error| error.to_string())?;
    old.write(rng.within(0..=9) as usize).await.expect("alive")?;
    let lands_after = HOUR + Duration::from_secs(rng.within(0..=7_200));
    client.stall(Stall { from_call: client.calls() + rng.within(1..=4), lands_after });
    let blocked = old.write(rng.within(1..=4) as usize);
    stage.world.sleep(Duration::from_millis(rng.within(1..=400))).await;
    old.node.pause();

    let node = stage.world.node("successor");
    let new = open(&stage, &node, bucket.client(&node)).await.expect("alive").map_err(|error| error.to_string())?;
    new.keep_asking_every(Duration::from_secs(90));
    new.write(rng.within(5..=30) as usize).await.expect("alive")?;
    let floor = rng.within(1..=new.opened.tail + 5);
    stage.world.sleep(HOUR).await;
    new.log.trim(floor, Arc::new(|_| false)).await.map_err(|error| error.to_string())?;
    stage.world.mark("trimmed");
    new.write(rng.within(1..=5) as usize).await.expect("alive")?;
    stage.world.sleep(Duration::from_secs(rng.within(0..=7_200))).await;
    old.node.resume();
    stage.world.sleep(Duration::from_secs(7_200)).await;
    if blocked.await.expect("alive").is_err() {
        stage.world.mark("stalled append ended");
    }
    old.bury();
    new.bury();

    let mut known = new.reading.lock().values.clone();
    known.truncate(usize::try_from(floor - 1).expect("small"));
    let resume = Resume {
        progress: Progress { position: floor - 1, digest: 0 },
        session: if floor > new.opened.position { new.opened.session } else { old.opened.session },
        cluster_time_ms: 0,
    };
    final_reading_behind(&stage, (known, resume), |node| bucket.client(node)).await
}

/// A directory whose machine loses power.
pub(super) const POWER_CUTS: Scenario = Scenario {
    name: "log-power-cuts",
    about: "the log lies in a directory, and the machine loses power at a chosen step of the file system",
    marks: &["power cut while opening", "power cut while writing"],
    errors: &[],
    seeds: 20,
    limit: HOUR,
    story: |stage| Box::pin(power_cuts(stage)),
};

async fn power_cuts(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("power cuts");
    let mut disk = CrashFs::new();
    for life in 0..rng.within(1..=4) {
        disk.fail_power_at(disk.steps() + rng.within(1..=90));
        let node = stage.world.node(format!("broker-{life}"));
        if let Ok(store) = SlowDisk::open(&disk, &node) {
            match open(&stage, &node, store).await {
                None => stage.world.mark("power cut while opening"),
                Some(Err(error)) => return Err(format!("life {life} cannot open the log: {error}")),
                Some(Ok(session)) => {
                    session.keep_asking();
                    if session.write(20).await.is_none() {
                        stage.world.mark("power cut while writing");
                    }
                    session.bury();
                }
            }
        }
        node.kill();
        disk =
            disk.reboot(*rng.pick(&[Survives::OnlyFlushed, Survives::Everything, Survives::Some(rng.clone().bits())]));
    }
    final_reading(&stage, |node| SlowDisk::open(&disk.reboot(Survives::OnlyFlushed), node).expect("the disk is whole"))
        .await
}
