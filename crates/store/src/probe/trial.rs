//! What a broker asks of a store whose create-if-absent nobody vouches for, in two parts.
//!
//! What decides (a create of an absent name, of a taken name, and racing creates) comes first and costs four round trips,
//! so that nothing is acknowledged, or even written, where it does not hold. The rest is asked while the broker serves, and
//! removes what was written.

use std::sync::Arc;

use kafscale_runtime::Handle;

use super::{Check, Finding, Plan, Report, Unfit, Verdict, folder, skew, steps::Steps, tally::Tally};
use crate::Store;

/// A probe by a broker that starts.
pub struct Trial {
    store: Arc<dyn Store>,
    runtime: Handle,
    folder: String,
    plan: Plan,
    tally: Tally,
}

impl Trial {
    /// Asks nothing yet.
    pub fn new(store: Arc<dyn Store>, runtime: Handle, plan: Plan) -> Self {
        let folder = folder(&runtime);
        Self { store, runtime, folder, plan, tally: Tally::default() }
    }

    /// The same, asked this much of what is left.
    pub fn with_plan(self, plan: Plan) -> Self {
        Self { plan, ..self }
    }

    fn steps(&self) -> Steps<'_> {
        let Self { runtime, plan, folder, tally, .. } = self;
        Steps { store: &*self.store, runtime, plan: *plan, folder, tally }
    }

    /// Whether a name is created only if it is absent, also when writers race for it.
    pub async fn creates(&self) -> Result<(), Unfit> {
        let mut findings = self.steps().creates().await;
        // Where it is not the condition that is refused, another place for the log alone may be no help. Where it is, as our own
        // words of a 501 say, nothing is written.
        let is_unclear = |reason: &str| !reason.contains("only if it is absent");
        if matches!(&findings[0].verdict, Verdict::Failed(reason) if is_unclear(reason))
            && let Err(verdict @ (Verdict::Failed(_) | Verdict::Denied(..))) = self.steps().any_put().await
        {
            findings.insert(0, Finding { check: Check::Put, verdict });
        }
        let fit = Report { findings, ..Report::default() }.fit_for_log();
        if fit.is_err() {
            self.steps().clean().await;
        }
        fit
    }

    /// Everything else, after [`creates`](Self::creates) has passed, or where it is not needed.
    pub async fn rest(self) -> Report {
        let plain = self.steps().plain().await;
        let (findings, latency) = self.steps().others(plain).await;
        Report { findings, latency, clock_skew: skew(&*self.store, &self.runtime), ..Report::default() }
    }
}
