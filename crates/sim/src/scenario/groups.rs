//! Stories about consumer groups.

use std::time::Duration;

use super::{
    Scenario, Stage,
    crowd::{Crowd, Protocol},
    deployment::Deployment,
};
use crate::{client::consumer::Habits, rng::Rng, store::Bucket, weather::Weather};

const LIMIT: Duration = Duration::from_secs(6 * 3_600);

/// How long clients may take after everything was healed.
const PATIENCE: Duration = Duration::from_secs(900);

/// The longest outage, and the longest sleep of a broker.
const CALM: Duration = Duration::from_secs(61);

/// Groups in which a member assigns.
pub(super) const CLASSIC: Scenario = Scenario {
    name: "groups-classic",
    about: "members of classic groups come, go, die, sleep beyond their sessions, take each other's place, and lie",
    marks: &[
        "joined",
        "left",
        "member killed",
        "member suspended",
        "member unknown",
        "member of an old generation",
        "place taken",
        "static member fenced",
        "cooperative member gave partitions up",
        "leader saw new partitions",
        "lied",
        "commit accepted",
        "commit refused for its generation",
        "commit of a stranger refused",
        "commit cut by a restart",
        "join cut by a restart",
        "rebalance cut by a restart",
        "successor beside a living one",
        "killed",
        "outage",
        "connection broke",
        "group complete",
    ],
    errors: &[],
    seeds: 6,
    limit: LIMIT,
    story: |stage| Box::pin(told(stage, &[Protocol::Eager, Protocol::Cooperative])),
};

/// Groups in which the coordinator assigns.
pub(super) const CONSUMER: Scenario = Scenario {
    name: "groups-kip-848",
    about: "members of KIP-848 groups come, go, die, sleep beyond their sessions, leave for a while, and lie",
    marks: &[
        "joined",
        "left",
        "member killed",
        "member suspended",
        "member fenced",
        "static member left for a while",
        "place taken",
        "instance not released",
        "partition given up",
        "lied",
        "commit accepted",
        "commit refused for its generation",
        "commit of a stranger refused",
        "commit cut by a restart",
        "reconciliation cut by a restart",
        "successor beside a living one",
        "killed",
        "outage",
        "connection broke",
        "group complete",
    ],
    errors: &[],
    seeds: 6,
    limit: LIMIT,
    story: |stage| Box::pin(told(stage, &[Protocol::Consumer])),
};

async fn told(stage: Stage, protocols: &'static [Protocol]) -> Result<(), String> {
    let mut rng = stage.world.rng("groups");
    let bucket = Bucket::new(&stage.world, false);
    let mut deployment = Deployment::on_bucket(&stage, &mut rng, &bucket);
    deployment.settings.groups.initial_rebalance_delay = Duration::from_secs(*rng.pick(&[0, 3]));
    let deployment = &deployment;
    let story = async {
        let mut partitions = deployment.create_topics(&mut rng).await?;
        let habits = Habits { fragile: 5, pause_max: Duration::from_millis(200), in_session: false };
        deployment.produce_at(&mut rng, &partitions, habits);
        let mut crowds = Vec::new();
        for number in 0..rng.within(1..=2) {
            let protocol = *rng.pick(protocols);
            let mut crowd = Crowd::new(deployment, &mut rng, number, protocol, &partitions);
            (0..rng.within(1..=3)).for_each(|_| crowd.come(&mut rng));
            crowds.push(crowd);
        }
        for _ in 0..rng.within(6..=20) {
            // Short pauses, so that some things happen while others are under way.
            let most = *rng.pick(&[300, 2_000, 12_000]);
            stage.world.sleep(Duration::from_millis(rng.within(1..=most))).await;
            match rng.below(10) {
                0..5 => {
                    let index = usize::try_from(rng.below(crowds.len() as u64)).expect("few");
                    crowds[index].stir(&mut rng);
                }
                5 => {
                    let topic = partitions[0].topic.clone();
                    // A broker that was taken over may have told an older number, so that nothing was to be done.
                    let grown = deployment.grow(&topic).await?;
                    partitions.extend(grown.filter(|grown| !partitions.contains(grown)));
                }
                _ => disturb(&stage, deployment, &bucket, &crowds, &mut rng).await?,
            }
        }
        bucket.clear_up();
        // Until the store is back and everybody is awake.
        stage.world.sleep(CALM).await;
        deployment.settle(&partitions, PATIENCE).await?;
        let ends = deployment.ends(&partitions).await?;
        for crowd in crowds {
            crowd.settle(&mut rng, &partitions, &ends).await?;
        }
        Ok(())
    };
    deployment.supervised(story).await
}

/// Something happens to the coordinator.
async fn disturb(
    stage: &Stage,
    deployment: &Deployment,
    bucket: &Bucket,
    crowds: &[Crowd],
    rng: &mut Rng,
) -> Result<(), String> {
    let Some(running) = deployment.brokers.alive().pop() else { return Ok(()) };
    match rng.below(8) {
        0 => bucket.black_out(Duration::from_secs(rng.within(1..=40))),
        1 => bucket.set_weather(Weather::swarm(rng)),
        2 => bucket.set_weather(Weather::calm()),
        3 => {
            stage.world.mark("successor beside a living one");
            deployment.start().await?;
        }
        4 => {
            stage.world.mark("suspended");
            running.node.pause();
            let delay = Duration::from_secs(rng.within(1..=60));
            stage.world.after(delay, move || running.node.resume());
            deployment.start().await?;
        }
        _ => {
            stage.world.mark("killed");
            crowds.iter().for_each(Crowd::mark_what_is_cut);
            running.node.kill();
        }
    }
    Ok(())
}
