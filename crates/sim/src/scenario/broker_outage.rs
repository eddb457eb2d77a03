//! A long outage of the store, with more requests than there is memory for.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use kafscale_protocol::messages::{api_versions, metadata};
use kafscale_records::Codec;
use kafscale_runtime::{Instant, Runtime, timeout};

use super::{Scenario, Stage, deployment::Deployment};
use crate::{
    client::{
        Partition,
        producer::{self, Plan},
    },
    rng::Rng,
    store::Bucket,
};

/// The longest request: two of them are all the memory that Produce requests can have.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// A small request that is not Produce is answered within this time, store or no store.
const CONTROL_LIMIT: Duration = Duration::from_secs(5);

/// After this time without clients all of the memory must be free: peers that vanished are noticed by their silence.
const FREE_WITHIN: Duration = Duration::from_secs(120);

/// Memory used up by Produce requests that wait, and by half frames.
pub(super) const OUTAGE: Scenario = Scenario {
    name: "broker-outage",
    about: "the store is away for minutes while producers and half frames use up the memory; the control path is answered",
    marks: &[
        "outage",
        "memory used up",
        "control request answered",
        "half frame closed",
        "retriable error",
        "acknowledged",
        "acknowledged after a retry",
    ],
    errors: &[],
    seeds: 5,
    limit: Duration::from_secs(6 * 3_600),
    story: |stage| Box::pin(outage(stage)),
};

async fn outage(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("outage");
    let bucket = Bucket::new(&stage.world, rng.chance(300));
    let shared = bucket.clone();
    let mut deployment = Deployment::new(&stage, &mut rng, Arc::new(move |node| shared.client(node)));
    deployment.settings.request_bytes_max = REQUEST_BYTES_MAX;
    deployment.settings.request_memory = 0;
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        for _ in 0..rng.within(10..=25) {
            let (node, brokers) = (deployment.clients.clone(), deployment.brokers.clone());
            let plan = plan(&mut rng, &partitions);
            deployment.work("producer", producer::run(node, brokers, stage.history.clone(), plan));
        }
        let lasts = Duration::from_secs(rng.within(20..=300));
        let healed_at = stage.world.now() + lasts;
        for number in 0..rng.within(1..=8) {
            let halves = send_halves(deployment.clone(), rng.fork(number), healed_at);
            deployment.watch("half frames", halves);
        }
        deployment.watch("control", ask_control(deployment.clone(), partitions[0].clone()));
        stage.world.sleep(Duration::from_millis(rng.within(1..=1_500))).await;
        bucket.black_out(lasts);
        deployment.settle(&partitions, Duration::from_secs(1_200)).await?;
        stage.world.sleep(FREE_WITHIN).await;
        for running in deployment.brokers.alive() {
            let used = running.broker.request_budget().used();
            if used > 0 {
                return Err(format!(
                    "{used} bytes of the memory for requests are in use when nobody asks for anything"
                ));
            }
        }
        Ok(())
    };
    deployment.supervised(story).await
}

fn plan(rng: &mut Rng, partitions: &[Partition]) -> Plan {
    Plan {
        idempotent: rng.chance(500),
        partitions: vec![rng.pick(partitions).clone()],
        batches: usize::try_from(rng.within(20..=60)).expect("few"),
        records_max: 4,
        in_flight_max: usize::try_from(rng.within(1..=20)).expect("few"),
        pause_max: Duration::from_millis(*rng.pick(&[0, 20, 200])),
        fragile: *rng.pick(&[0, 0, 10]),
        may_vanish: false,
        gives_up: 0,
        codec: Codec::None,
        key_bytes: *rng.pick(&[0, 500, 4_000]),
    }
}

/// Announces requests and sends a part of them, then trickles, falls silent or goes, until the store is back: then it must
/// turn out that none of them holds anything.
async fn send_halves(deployment: Deployment, mut rng: Rng, until: Instant) -> Result<(), String> {
    let node = &deployment.clients;
    while node.now() < until {
        let mut link = deployment.brokers.connect(node).await;
        let length = rng.within(1_000..=REQUEST_BYTES_MAX as u64);
        let mut frame = u32::try_from(length).expect("small").to_be_bytes().to_vec();
        frame.resize(frame.len() + usize::try_from(rng.below(length)).expect("small"), 0);
        if link.write(&frame).await.is_err() {
            continue;
        }
        match rng.below(3) {
            0 => link.vanish(),
            1 => drop(link.is_closed_within(Duration::from_secs(40)).await),
            _ => {
                for _ in 0..rng.below(20) {
                    node.sleep(Duration::from_secs(rng.below(4))).await;
                    if link.write(&[0]).await.is_err() {
                        break;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Asks what a client asks first, again and again, and on a connection of its own each time.
async fn ask_control(deployment: Deployment, known: Partition) -> Result<(), String> {
    const API_VERSIONS: i16 = 3;
    const METADATA: i16 = 12;
    let (node, world, stop) = (&deployment.clients, &deployment.stage.world, deployment.stop());
    while !stop.load(Relaxed) {
        let mut link = deployment.brokers.connect(node).await;
        if deployment.brokers.alive().iter().any(|running| is_used_up(running.broker.request_budget())) {
            world.mark("memory used up");
        }
        let versions = api_versions::Request { client_software_name: "simulated", client_software_version: "1" };
        let topic = metadata::MetadataRequestTopic { name: Some(&known.topic), ..Default::default() };
        let metadata = metadata::Request { topics: Some(vec![topic].into()), ..Default::default() };
        let asked = async {
            link.ask(API_VERSIONS, &versions).await?;
            link.ask(METADATA, &metadata).await
        };
        match timeout(node, CONTROL_LIMIT, asked).await {
            Ok(Ok(_)) => world.mark("control request answered"),
            Ok(Err(_)) => return Err("a control request lost its connection".into()),
            Err(_) => return Err(format!("a control request was not answered within {CONTROL_LIMIT:?}")),
        }
        node.sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Whether no Produce request but the oldest gets any more.
fn is_used_up(budget: &kafscale_broker::net::Budget) -> bool {
    budget.used() + 8_192 > REQUEST_BYTES_MAX as u64
}
