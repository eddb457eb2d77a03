//! A story about those who administer topics and offsets while brokers die.

use std::time::Duration;

use super::{Scenario, Stage, broker_clients::unrest, deployment::Deployment};
use crate::{
    client::{consumer::Habits, operator::Operator},
    store::Bucket,
};

/// How long operators may take after everything was healed.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Orders under faults.
pub(super) const ADMINISTRATION: Scenario = Scenario {
    name: "administration",
    about: "topics are made, grown, deleted and made again, records and offsets deleted, settings altered, while brokers die",
    marks: &[
        "topic made",
        "topic grown",
        "topic deleted",
        "setting altered",
        "offset committed from outside",
        "offset deleted",
        "records deleted",
        "order found carried out",
        "all looked at",
        "killed",
        "outage",
        "connection broke",
        "acknowledged",
    ],
    errors: &[],
    seeds: 8,
    limit: Duration::from_secs(6 * 3_600),
    story: |stage| Box::pin(administration(stage)),
};

async fn administration(stage: Stage) -> Result<(), String> {
    let mut rng = stage.world.rng("administration");
    let bucket = Bucket::new(&stage.world, rng.chance(200));
    let deployment = Deployment::on_bucket(&stage, &mut rng, &bucket);
    let story = async {
        let partitions = deployment.create_topics(&mut rng).await?;
        let habits = Habits { fragile: 5, pause_max: Duration::from_millis(500), in_session: false };
        deployment.produce_at(&mut rng, &partitions, habits);
        for number in 0..rng.within(1..=3) {
            let operator =
                Operator::new(&deployment.clients, &deployment.brokers, &stage.registers, rng.fork(number), number);
            let pause_max = Duration::from_millis(*rng.pick(&[100, 1_000, 8_000]));
            deployment.work("operator", operator.run(rng.within(10..=60), pause_max));
        }
        unrest(&stage, &deployment, &bucket, &mut rng).await;
        deployment.settle(&partitions, PATIENCE).await
    };
    deployment.supervised(story).await
}
