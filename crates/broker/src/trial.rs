//! What the stores of a broker are asked: whether that of the log creates only what is absent, which is all that keeps two
//! brokers apart there, and once in the life of a bucket everything else.
//!
//! | The store | At its first start | At later ones |
//! |---|---|---|
//! | vouched for (`Facts::create_is_known`) | [`Look`]: everything, while the broker serves | one create of the marker |
//! | any other | [`passed`] before the marker is made, then [`Look`]: the rest | the same |
//! | of data alone | [`Look`]: all but creates | nothing |
//! | this process's alone | nothing | nothing |
//!
//! The marker says what was found ([`Probed`]); of one that does not, the store is asked at this start. What a later start
//! would have to refuse it refuses on the marker's word, and says what is known to be wrong. The create of the marker has its
//! very bytes, so it changes nothing even where it should be carried out, and it goes along with the reading of snapshots.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_log::lone::Lone;
use kafscale_runtime::{Handle, timeout};
use kafscale_store::{
    Body, Store,
    probe::{Check, ClockSkew, Finding, Plan, Report, Trial, Unfit, Verdict, probe},
};

use crate::{
    cluster::{
        MARKER, Probed, Trouble,
        noted::{self, Noted},
    },
    replica::Replica,
};

/// The one question of a later start holds nothing up for longer.
const AGAIN: Duration = Duration::from_secs(5);
/// How often it is tried to note a result.
const TRIES: u32 = 3;
/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(10);

/// Asks what decides; whoever gets a trial here lets it ask the rest once the broker serves.
pub async fn passed(store: &Arc<dyn Store>, runtime: &Handle) -> Result<Trial, Unfit> {
    let trial = Trial::new(Arc::clone(store), Arc::clone(runtime), Plan::start(store.facts()));
    trial.creates().await?;
    tracing::info!("the store was asked whether it creates only what is absent, also in a race: it does");
    Ok(trial)
}

/// Asks a bucket whether it would create the marker that is there. An answer that does not come proves nothing.
pub async fn again(store: &dyn Store, runtime: &Handle, marker: Option<Bytes>) -> Result<(), Unfit> {
    let Some(marker) = marker.filter(|_| !store.facts().exclusive) else { return Ok(()) };
    match timeout(&**runtime, AGAIN, store.create(MARKER, Body::from(marker))).await {
        Ok(Ok(())) => {
            let reason = format!("a create of {MARKER}, which is there, was confirmed: the condition is not kept");
            Err(Unfit::Broken { check: Check::CreateOnce, reason })
        }
        _ => Ok(()),
    }
}

/// What is done about creates.
pub enum Creates {
    /// They passed before the start.
    Passed(Trial),
    /// They are asked for with the rest.
    Ask,
    /// No log lives there.
    NotNeeded,
}

/// What a store is asked while its broker serves.
pub struct Look {
    /// The store.
    pub store: Arc<dyn Store>,
    /// What of the creates.
    pub creates: Creates,
    /// The marker that is to have the result; nothing if it is only told.
    pub marker: Option<Bytes>,
}

impl Look {
    /// Asks, says what does not hold, and notes it all. Nothing acknowledged rests on it: what is wrong shows as errors of
    /// reads, or as objects that stay. A barrier proves that this broker is still the one of its log.
    pub async fn run(self, runtime: Handle, log: Arc<Lone>, replica: Arc<Replica>) {
        let Self { store, creates, marker } = self;
        let facts = store.facts();
        let mut plan = if marker.is_some() { Plan::noted(facts) } else { Plan::start(facts) };
        let report = match creates {
            Creates::Passed(trial) => {
                let passed = [Check::Create, Check::CreateOnce, Check::CreateRace];
                let passed = passed.map(|check| Finding { check, verdict: Verdict::Passed });
                let mut report = trial.with_plan(plan).rest().await;
                report.findings.extend(passed);
                report.findings.sort_unstable_by_key(|finding| finding.check);
                report
            }
            Creates::Ask => probe(&*store, &runtime, plan).await,
            Creates::NotNeeded => {
                plan = Plan { races: &[], ..plan };
                Trial::new(Arc::clone(&store), Arc::clone(&runtime), plan).rest().await
            }
        };
        tell(&report);
        // What had no answer is asked for again by the next start.
        if let Some(marker) = marker.filter(|_| report.is_answered()) {
            let probed = Probed::of(&report, &plan, &*runtime, facts);
            let barrier = || async { replica.barrier(&*log).await.map_err(|error| error.to_string()) };
            note(&*store, &runtime, &marker, probed, barrier).await;
        }
    }
}

/// Tries a few times to add the result to the marker.
async fn note<F>(store: &dyn Store, runtime: &Handle, marker: &Bytes, probed: Probed, barrier: impl Fn() -> F)
where
    F: Future<Output = Result<(), String>>,
{
    let mut last = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            runtime.sleep(PAUSE).await;
        }
        if let Err(error) = barrier().await {
            last = error;
            continue;
        }
        match noted::note(store, &**runtime, marker, probed.clone()).await {
            Noted::Yes => {
                tracing::info!("the store was asked in full, and {MARKER} has the result");
                return;
            }
            Noted::Changed | Noted::NoMarker => {
                tracing::info!("{MARKER} was written by somebody else meanwhile, and stays as it is");
                return;
            }
            Noted::Failed(reason) => last = reason,
        }
    }
    tracing::warn!(reason = %last, "what was found out about the store is not in {MARKER}: the next start asks again");
}

/// Says what a probe found wrong.
fn tell(report: &Report) {
    for finding in &report.findings {
        let (check, reason) = (finding.check, finding.verdict.reason());
        match &finding.verdict {
            Verdict::Passed | Verdict::Skipped(_) => {}
            Verdict::Failed(_) => tracing::error!(%reason, "the store does not do what it must: {}", check.meaning()),
            Verdict::Denied(permission, _) => {
                tracing::error!(%reason, "the keys may not do {} here", permission.action());
            }
            Verdict::Unanswered(_) => tracing::warn!(%reason, "no answer whether {}", check.meaning()),
        }
    }
    if let Some(skew) = report.clock_skew.filter(|skew| skew.size() >= ClockSkew::NOTABLE) {
        let ahead_ms = skew.ahead_ms;
        tracing::warn!(ahead_ms, "the store's clock and this machine's differ: set this one right");
    }
}

/// Says what an earlier probe found wrong.
pub fn tell_known(probed: &Probed) {
    for Trouble { check, result, reason } in probed.troubles() {
        let since_ms = probed.at_ms;
        tracing::warn!(%reason, since_ms, "an earlier probe of the store: {}: {result}", check.meaning());
    }
}
