//! Stores that keep their contract, and each way of not keeping it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use kafscale_runtime::{BoxFuture, Handle};
use kafscale_sim::executor::World;
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, MemoryStore, ReadError, ReadRange, ReplaceError, Store, StoreDate,
    probe::{Check, Percentiles, Permission, Plan, Report, Unfit, Verdict, probe},
};
use parking_lot::Mutex;

/// In which way a store does not keep its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Keeps,
    IgnoresCondition,
    RefusesCondition,
    /// Looks, waits, and writes: alone it keeps the condition, in a race it does not.
    LooksBeforeItWrites,
    DeniesPut,
    DeniesGet,
    DeniesList,
    DeniesDelete,
    /// Every write is refused with these words.
    RefusesWrites(&'static str),
    KeepsDeleted,
    ListsLate,
    ReadsWhole,
    OverwritesLate,
    /// The first answers of each kind are lost or 503.
    StartsUnwell,
    NeverAnswers,
}

struct Odd {
    inner: MemoryStore,
    way: Way,
    runtime: Handle,
    calls: AtomicU32,
    first: Mutex<BTreeMap<String, Bytes>>,
}

impl Odd {
    fn new(way: Way, runtime: Handle) -> Self {
        Self { inner: MemoryStore::new(), way, runtime, calls: AtomicU32::new(0), first: Mutex::default() }
    }

    /// Whether this call has no answer.
    fn unwell(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.way == Way::NeverAnswers || (self.way == Way::StartsUnwell && call.is_multiple_of(2))
    }
}

const DENIED: &str = "AccessDenied: no (HTTP 403)";

impl Store for Odd {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            let replace = |error: ReplaceError| CreateError::Refused(error.to_string());
            match self.way {
                _ if self.unwell() => {
                    // Done, and the answer is lost.
                    let _ = self.inner.create(name, body).await;
                    Err(CreateError::Unknown("no answer".into()))
                }
                Way::IgnoresCondition => self.inner.replace(name, body).await.map_err(replace),
                Way::RefusesCondition => Err(CreateError::Refused("NotImplemented: a header (HTTP 501)".into())),
                Way::DeniesPut => Err(CreateError::Refused(DENIED.into())),
                Way::RefusesWrites(words) => Err(CreateError::Refused(words.into())),
                Way::LooksBeforeItWrites => {
                    let absent = self.inner.get(name, ReadRange::All).await.is_err();
                    self.runtime.sleep(Duration::from_millis(1)).await;
                    if absent {
                        return self.inner.replace(name, body).await.map_err(replace);
                    }
                    Err(CreateError::AlreadyExists)
                }
                _ => self.inner.create(name, body).await,
            }
        })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async move {
            if self.unwell() {
                return Err(ReplaceError::Unavailable("SlowDown: later (HTTP 503)".into()));
            }
            if self.way == Way::DeniesPut {
                return Err(ReplaceError::Refused(DENIED.into()));
            }
            if let Way::RefusesWrites(words) = self.way {
                return Err(ReplaceError::Refused(words.into()));
            }
            self.first.lock().entry(name.to_owned()).or_insert_with(|| body.to_bytes());
            self.inner.replace(name, body).await
        })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move {
            if self.unwell() {
                return Err(ReadError::Unavailable("no answer".into()));
            }
            match self.way {
                Way::DeniesGet => Err(ReadError::Refused(DENIED.into())),
                Way::ReadsWhole => self.inner.get(name, ReadRange::All).await,
                Way::OverwritesLate if self.first.lock().contains_key(name) && range == ReadRange::All => {
                    Ok(self.first.lock()[name].clone())
                }
                _ => self.inner.get(name, range).await,
            }
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(async move {
            if self.unwell() {
                return Err(ReadError::Unavailable("no answer".into()));
            }
            match self.way {
                Way::DeniesList => Err(ReadError::Refused(DENIED.into())),
                Way::ListsLate => Ok(Vec::new()),
                _ => self.inner.list(prefix, after, limit).await,
            }
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move {
            if self.unwell() {
                return Err(DeleteError::Unavailable("no answer".into()));
            }
            match self.way {
                Way::DeniesDelete => Err(DeleteError::Refused(DENIED.into())),
                Way::KeepsDeleted => Ok(()),
                _ => self.inner.delete(names).await,
            }
        })
    }

    fn date(&self) -> Option<StoreDate> {
        self.inner.date()
    }

    fn facts(&self) -> Facts {
        self.inner.facts()
    }
}

fn of(way: Way) -> (Report, Arc<Odd>) {
    let world = World::new(1);
    let runtime = world.node("prober").runtime();
    let store = Arc::new(Odd::new(way, runtime.clone()));
    let probed = store.clone();
    let plan = Plan { samples: 3, large: 1_000, ..Plan::FULL };
    let report = world.run(Duration::from_secs(600), async move { probe(&*probed, &runtime, plan).await });
    (report.expect("a probe ends"), store)
}

fn broken(report: &Report) -> Vec<Check> {
    let not_passed = report.findings.iter().filter(|finding| !finding.verdict.passed());
    not_passed.map(|finding| finding.check).collect()
}

#[test]
fn a_store_that_keeps_its_contract_is_fit_and_left_empty() {
    let (report, store) = of(Way::Keeps);
    assert_eq!(broken(&report), []);
    assert_eq!((report.fit_for_log(), report.fit_for_data()), (Ok(()), Ok(())));
    let latency = report.latency.expect("it was measured");
    assert_eq!((latency.put.count, latency.get.count, latency.failed), (3, 3, 0));
    assert!(latency.large.is_some());
    let left = store.inner.list("", "", 10).now_or_never().expect("memory answers at once");
    assert_eq!(left, Ok(vec![]), "nothing is left behind");
}

#[test]
fn what_is_not_kept_is_found() {
    use Check::*;
    for (way, expected) in [
        (Way::IgnoresCondition, &[CreateOnce, CreateRace][..]),
        (Way::RefusesCondition, &[Create, CreateOnce, CreateRace]),
        (Way::LooksBeforeItWrites, &[CreateRace]),
        (Way::KeepsDeleted, &[Delete]),
        (Way::ListsLate, &[ListAfterWrite]),
        (Way::ReadsWhole, &[Ranges]),
        (Way::OverwritesLate, &[Overwrite, Delete]),
    ] {
        let (report, _) = of(way);
        assert_eq!(broken(&report), expected, "{way:?}: {:?}", report.findings);
        assert!(matches!(report.fit_for_log(), Err(Unfit::Broken { .. })), "{way:?}");
        let only_the_condition = expected.iter().all(|check| matches!(check, Create | CreateOnce | CreateRace));
        assert_eq!(report.fit_for_data().is_ok(), only_the_condition, "{way:?}");
        assert_eq!(report.missing_permissions(), []);
    }
}

#[test]
fn missing_permissions_are_named() {
    for (way, missing) in [
        (Way::DeniesPut, Permission::Put),
        (Way::DeniesGet, Permission::Get),
        (Way::DeniesList, Permission::List),
        (Way::DeniesDelete, Permission::Delete),
    ] {
        let (report, _) = of(way);
        assert_eq!(report.missing_permissions(), [missing], "{way:?}: {:?}", report.findings);
        let unfit = report.fit_for_data().expect_err("nothing can be stored without it");
        assert!(unfit.to_string().contains(missing.action()), "{unfit}");
    }
}

#[test]
fn a_wrong_clock_and_unknown_keys_are_no_missing_permissions() {
    let (report, _) = of(Way::RefusesWrites("RequestTimeTooSkewed: too large (HTTP 403)"));
    assert_eq!(report.missing_permissions(), []);
    assert!(matches!(report.verdict(Check::Put), Verdict::Failed(_)), "{:?}", report.findings);
    let (report, _) = of(Way::RefusesWrites("InvalidAccessKeyId: not in our records (HTTP 403)"));
    assert_eq!(report.missing_permissions(), []);
    assert!(report.verdict(Check::Put).doubts_keys(), "{:?}", report.findings);
}

#[test]
fn lost_answers_are_asked_for_again() {
    let (report, _) = of(Way::StartsUnwell);
    let wrong: Vec<_> = report.findings.iter().filter(|it| matches!(it.verdict, Verdict::Failed(_))).collect();
    assert!(wrong.is_empty(), "an answer that did not come proves nothing: {wrong:?}");
    for check in [Check::List, Check::Put, Check::Get, Check::Create, Check::CreateOnce] {
        assert!(report.verdict(check).passed(), "{check:?}: {:?}", report.verdict(check));
    }
}

#[test]
fn a_store_that_never_answers_is_not_called_broken() {
    let (report, _) = of(Way::NeverAnswers);
    assert!(matches!(report.fit_for_data(), Err(Unfit::Unanswered { .. })), "{:?}", report.findings);
    assert_eq!(report.latency, None);
}

#[test]
fn percentiles_are_of_what_was_measured() {
    let ms = Duration::from_millis;
    assert_eq!(Percentiles::of(vec![]), None);
    let ten = Percentiles::of((1..=10).rev().map(ms).collect()).unwrap();
    assert_eq!((ten.p50, ten.p99, ten.max, ten.count), (ms(5), ms(10), ms(10), 10));
    assert_eq!(ten.mean, Duration::from_micros(5_500));
}
