//! Stories about clients that use more of the protocol: fetch sessions, offsets by time, producers that want no answer.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use kafscale_runtime::Runtime;

use super::{Scenario, Stage, deployment::Deployment};
use crate::{
    client::{
        Partition, admin,
        consumer::{Consumer, Habits},
        producer::{self, Plan},
        unanswered,
    },
    executor::EPOCH_MS,
    rng::Rng,
    store::Bucket,
    weather::Weather,
};

const LIMIT: Duration = Duration::from_secs(6 * 3_600);

/// How long clients may take after everything was healed.
const PATIENCE: Duration = Duration::from_secs(900);

/// The same where producers pause for many seconds.
const SLOW_PATIENCE: Duration = Duration::from_secs(4 * 3_600);

/// Consumers in fetch sessions.
pub(super) const SESSIONS: Scenario = Scenario {
    name: "broker-sessions",
    about: "consumers in fetch sessions that pause partitions, say wrong epochs, are displaced, and outlive brokers",
    marks: &[
        "fetch session begun",
        "fetch session went on",
        "fetch session not found",
        "fetch session epoch refused",
        "no fetch session given",
        "peer vanished",
        "half frame sent",
        "killed",
        "acknowledged",
        "values read",
        "end told",
    ],
    errors: &[],
    seeds: 10,
    limit: LIMIT,
    story: |stage| Box::pin(sessions(stage)),
};

async fn sessions(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("sessions");
    let bucket = Bucket::new(&stage.world, rng.chance(200));
    let mut deployment = Deployment::on_bucket(&stage, &mut rng, &bucket);
    deployment.session_slots = Some(usize::try_from(rng.within(1..=4)).expect("few"));
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        let pause_max = Duration::from_millis(500);
        deployment.load_at(&mut rng, &partitions, Habits { fragile: 10, pause_max, in_session: false });
        for _ in 0..rng.within(2..=5) {
            // Some are silent for so long that others may displace them.
            let pause_max = *rng.pick(&[pause_max, Duration::from_millis(5), Duration::from_secs(400)]);
            let habits = Habits { fragile: *rng.pick(&[0, 0, 20]), pause_max, in_session: true };
            let (node, brokers) = (deployment.clients.clone(), deployment.brokers.clone());
            let consumer = Consumer::new(node, brokers, stage.history.clone(), &partitions, habits);
            deployment.watch("session", consumer.run(deployment.stop()));
        }
        unrest(&stage, &deployment, &bucket, &mut rng).await;
        // More is written while the sessions that outlived all this, or began after it, are up: what one of them has
        // forgotten is missed at its end.
        for _ in 0..2 {
            let (node, brokers) = (deployment.clients.clone(), deployment.brokers.clone());
            let plan = Plan { batches: 20, pause_max: Duration::from_secs(2), ..Plan::to(&partitions) };
            deployment.work("producer", producer::run(node, brokers, stage.history.clone(), plan));
        }
        deployment.settle(&partitions, SLOW_PATIENCE).await
    };
    deployment.supervised(story).await
}

/// Offsets by time.
pub(super) const TIMES: Scenario = Scenario {
    name: "broker-times",
    about: "questions for the first record at a time, and for the greatest time, while records of all times are written",
    marks: &["time told", "killed", "acknowledged", "values read"],
    errors: &[],
    seeds: 10,
    limit: LIMIT,
    story: |stage| Box::pin(times(stage)),
};

async fn times(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("times");
    let bucket = Bucket::new(&stage.world, rng.chance(200));
    let deployment = Deployment::on_bucket(&stage, &mut rng, &bucket);
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        deployment.load(&mut rng, &partitions, 10);
        for _ in 0..rng.within(1..=3) {
            deployment.watch("times", ask_times(deployment.clone(), partitions.clone(), rng.fork(1)));
        }
        unrest(&stage, &deployment, &bucket, &mut rng).await;
        deployment.settle(&partitions, PATIENCE).await
    };
    deployment.supervised(story).await
}

async fn ask_times(deployment: Deployment, partitions: Vec<Partition>, mut rng: Rng) -> Result<(), String> {
    let (node, history, stop) = (&deployment.clients, &deployment.stage.history, deployment.stop());
    let client = history.value();
    let mut link = deployment.brokers.connect(node).await.fragile(10);
    while !stop.load(Relaxed) {
        let passed = u64::try_from(node.wall_clock_ms() - EPOCH_MS).expect("later");
        let asked = EPOCH_MS - 4_000 + i64::try_from(rng.below(passed + 8_000)).expect("small");
        let at_or_after = Some(asked).filter(|_| !rng.chance(250));
        if admin::times(history, client, &mut link, &partitions, at_or_after).await.is_err() {
            link = deployment.brokers.connect(node).await.fragile(10);
        }
        node.sleep(Duration::from_millis(rng.below(700))).await;
    }
    Ok(())
}

/// Producers that want no answer.
pub(super) const UNANSWERED: Scenario = Scenario {
    name: "broker-acks-0",
    about: "producers with acks=0 beside others: once or not at all, in order, and a refused batch closes the connection",
    marks: &["acks=0 closed the connection", "unknown but there", "killed", "acknowledged", "values read"],
    errors: &[],
    seeds: 10,
    limit: LIMIT,
    story: |stage| Box::pin(unanswered(stage)),
};

async fn unanswered(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("acks=0");
    let bucket = Bucket::new(&stage.world, rng.chance(200));
    let deployment = Deployment::on_bucket(&stage, &mut rng, &bucket);
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        deployment.load(&mut rng, &partitions, 5);
        for _ in 0..rng.within(1..=4) {
            let plan = unanswered::Plan {
                partition: rng.pick(&partitions).clone(),
                batches: usize::try_from(rng.within(10..=80)).expect("few"),
                pause_max: Duration::from_millis(*rng.pick(&[0, 5, 300])),
                fragile: *rng.pick(&[0, 0, 20]),
            };
            let (node, brokers) = (deployment.clients.clone(), deployment.brokers.clone());
            deployment.work("acks=0", unanswered::run(node, brokers, stage.history.clone(), plan));
        }
        unrest(&stage, &deployment, &bucket, &mut rng).await;
        deployment.settle(&partitions, PATIENCE).await
    };
    deployment.supervised(story).await
}

/// Brokers are killed, and the store is in bad weather and away, for some minutes; then it is calm.
pub(super) async fn unrest(stage: &Stage, deployment: &Deployment, bucket: &Bucket, rng: &mut Rng) {
    if !bucket.is_exclusive() && rng.chance(400) {
        bucket.set_weather(Weather::swarm(rng));
    }
    for _ in 0..rng.within(0..=4) {
        stage.world.sleep(Duration::from_millis(rng.within(1..=60_000))).await;
        let Some(running) = deployment.brokers.alive().pop() else { continue };
        if rng.chance(300) {
            bucket.black_out(Duration::from_secs(rng.within(1..=40)));
        } else {
            stage.world.mark("killed");
            running.node.kill();
        }
    }
    stage.world.sleep(Duration::from_millis(rng.within(1..=30_000))).await;
    bucket.clear_up();
}
