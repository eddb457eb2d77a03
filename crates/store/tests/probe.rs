//! Stores that keep their contract, and each way of not keeping it.

use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// The first answer about each name is lost or 503, for each kind of request.
    StartsUnwell,
    NeverAnswers,
}

struct Odd {
    inner: MemoryStore,
    way: Way,
    /// Whether somebody says that it creates only what is absent.
    is_vouched_for: bool,
    runtime: Handle,
    calls: AtomicU32,
    asked: Mutex<BTreeSet<String>>,
    first: Mutex<BTreeMap<String, Bytes>>,
}

impl Odd {
    fn new(way: Way, is_vouched_for: bool, runtime: Handle) -> Self {
        Self {
            inner: MemoryStore::new(),
            way,
            is_vouched_for,
            runtime,
            calls: AtomicU32::new(0),
            asked: Mutex::default(),
            first: Mutex::default(),
        }
    }

    /// Whether this call has no answer.
    fn unwell(&self, kind: &str, name: &str) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let is_first = self.asked.lock().insert(format!("{kind} {name}"));
        self.way == Way::NeverAnswers || (self.way == Way::StartsUnwell && is_first)
    }
}

const DENIED: &str = "AccessDenied: no (HTTP 403)";

impl Store for Odd {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            let replace = |error: ReplaceError| CreateError::Refused(error.to_string());
            match self.way {
                _ if self.unwell("create", name) => {
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
            if self.unwell("replace", name) {
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
            if self.unwell("get", name) {
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
            if self.unwell("list", after) {
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
            if self.unwell("delete", "") {
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
        Facts { create_is_known: self.is_vouched_for, ..self.inner.facts() }
    }
}

/// What nobody vouches for, asked what a person asks by default.
fn of(way: Way) -> (Report, Arc<Odd>) {
    asked(way, false, Plan::usual)
}

fn asked(way: Way, is_vouched_for: bool, plan: impl FnOnce(Facts) -> Plan) -> (Report, Arc<Odd>) {
    let world = World::new(1);
    let runtime = world.node("prober").runtime();
    let store = Arc::new(Odd::new(way, is_vouched_for, runtime.clone()));
    let probed = store.clone();
    let plan = plan(store.facts());
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
    assert!(latency.put.count > 5 && latency.get.count > 5, "{latency:?}");
    assert_eq!((latency.put.p99_of_enough(), latency.failed), (None, 0));
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
fn a_usual_probe_asks_30_requests_and_40_where_nobody_vouches_for_creates() {
    for (is_vouched_for, most) in [(true, 30), (false, 40)] {
        let (report, store) = asked(Way::Keeps, is_vouched_for, Plan::usual);
        assert_eq!(broken(&report), []);
        let calls = store.calls.load(Ordering::Relaxed);
        assert!((most - 5..=most).contains(&calls), "{calls} of {most}");
    }
}

#[test]
fn a_thorough_probe_asks_300_requests_and_knows_a_p99() {
    let (report, store) = asked(Way::Keeps, true, |_| Plan::THOROUGH);
    let calls = store.calls.load(Ordering::Relaxed);
    assert!((290..=310).contains(&calls), "{calls}");
    let latency = report.latency.expect("it was measured");
    assert!(latency.put.p99_of_enough().is_some() && latency.get.p99_of_enough().is_some(), "{latency:?}");
}

#[test]
fn several_winners_of_a_race_are_found_with_any_plan_and_end_the_races() {
    let calls = |way, plan: fn(Facts) -> Plan| {
        let (report, store) = asked(way, true, plan);
        assert_eq!(report.verdict(Check::CreateRace).passed(), way == Way::Keeps, "{:?}", report.findings);
        store.calls.load(Ordering::Relaxed)
    };
    for plan in [Plan::start, Plan::noted, Plan::usual] {
        calls(Way::LooksBeforeItWrites, plan);
    }
    let (all, some) = (calls(Way::Keeps, |_| Plan::THOROUGH), calls(Way::LooksBeforeItWrites, |_| Plan::THOROUGH));
    assert!(some + 64 <= all, "the other races are left out: {some} of {all}");
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
