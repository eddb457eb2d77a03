//! Whether the store of the log creates only what is absent, which is all that keeps two brokers apart there.
//!
//! | The store | At its first start | At later ones |
//! |---|---|---|
//! | vouched for (`Facts::create_is_known`) | nothing | one create of the marker |
//! | any other | [`passed`] before the marker is made, [`rest`] while the broker serves | the same |
//! | this process's alone | nothing | nothing |
//!
//! The marker says that a store was asked; one that does not is asked at every start. The create of the marker has its very
//! bytes, so it changes nothing even where it should be carried out, and it goes along with the reading of snapshots.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_runtime::{Handle, timeout};
use kafscale_store::{
    Body, Store,
    probe::{Check, Trial, Unfit, Verdict},
};

use crate::cluster::MARKER;

/// The one question of a later start holds nothing up for longer.
const AGAIN: Duration = Duration::from_secs(5);

/// Asks what decides; whoever gets a trial here lets it ask the [`rest`] once the broker serves.
pub async fn passed(store: &Arc<dyn Store>, runtime: &Handle) -> Result<Trial, Unfit> {
    let trial = Trial::new(Arc::clone(store), Arc::clone(runtime));
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

/// Asks everything else and says what does not hold. Nothing acknowledged rests on it: it shows as errors of reads, or as
/// objects that stay.
pub async fn rest(trial: Trial) {
    let report = trial.rest().await;
    for finding in report.findings {
        let (check, reason) = (finding.check, finding.verdict.reason());
        match finding.verdict {
            Verdict::Passed | Verdict::Skipped(_) => {}
            Verdict::Failed(_) => tracing::error!(%reason, "the store does not do what it must: {}", check.meaning()),
            Verdict::Denied(permission, _) => {
                tracing::error!(%reason, "the keys may not do {} here", permission.action());
            }
            Verdict::Unanswered(_) => tracing::warn!(%reason, "no answer whether {}", check.meaning()),
        }
    }
}
