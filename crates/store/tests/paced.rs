//! Requests within a rate, on a virtual clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use kafscale_runtime::{BoxFuture, Instant, Runtime};
use kafscale_sim::executor::{Node, World};
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, MemoryStore, Paced, Rates, ReadError, ReadRange, ReplaceError,
    Store, StoreDate, Throttled,
};
use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);

/// A store that takes so many creates in a second and complains about the rest.
struct Strict {
    memory: MemoryStore,
    node: Node,
    per_second: u64,
    retry_after: Option<Duration>,
    second: Mutex<(u64, u64)>,
    throttled: Mutex<Throttled>,
    created: AtomicU64,
    /// It refuses one create in so many whatever their rate is; 0 for none.
    refuses_one_in: AtomicU64,
}

impl Store for Strict {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            let now = self.node.now();
            let full = {
                let mut second = self.second.lock();
                if second.0 != now.as_secs() {
                    *second = (now.as_secs(), 0);
                }
                second.1 += 1;
                let one_in = self.refuses_one_in.load(Relaxed);
                let is_unlucky = one_in > 0 && self.node.random_u64().is_multiple_of(one_in);
                second.1 > self.per_second || is_unlucky
            };
            if full {
                let mut throttled = self.throttled.lock();
                throttled.times += 1;
                throttled.until = self.retry_after.map(|wait| now + wait);
                return Err(CreateError::Unknown("SlowDown".into()));
            }
            self.created.fetch_add(1, Relaxed);
            self.memory.create(name, body).await
        })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        self.memory.replace(name, body)
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        self.memory.get(name, range)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        self.memory.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        self.memory.delete(names)
    }

    fn date(&self) -> Option<StoreDate> {
        None
    }

    fn throttled(&self) -> Throttled {
        *self.throttled.lock()
    }

    fn facts(&self) -> Facts {
        self.memory.facts()
    }
}

struct Asker {
    node: Node,
    strict: Arc<Strict>,
    paced: Arc<Paced>,
    next: AtomicU64,
}

impl Asker {
    fn new(world: &World, per_second: u64, retry_after: Option<Duration>, rates: Rates) -> Self {
        let node = world.node("asker");
        let strict = Arc::new(Strict {
            memory: MemoryStore::new(),
            node: node.clone(),
            per_second,
            retry_after,
            second: Mutex::default(),
            throttled: Mutex::default(),
            created: AtomicU64::new(0),
            refuses_one_in: AtomicU64::new(0),
        });
        let paced = Arc::new(Paced::new(Arc::clone(&strict) as Arc<dyn Store>, node.runtime(), rates));
        Self { node, strict, paced, next: AtomicU64::new(0) }
    }

    /// One create; when it ended and how.
    async fn create(&self, prefix: &str) -> (Instant, bool) {
        let name = format!("{prefix}{}", self.next.fetch_add(1, Relaxed));
        let created = self.paced.create(&name, Body::default()).await;
        (self.node.now(), created.is_ok())
    }

    /// Eight that create one after the other, until the time is over; how many creates were refused.
    async fn load(&self, prefix: &str, time: Duration) -> (u64, u64) {
        let (until, created) = (self.node.now() + time, self.strict.created.load(Relaxed));
        let one = || async {
            let mut refused = 0;
            while self.node.now() < until {
                let (_, fine) = self.create(prefix).await;
                refused += u64::from(!fine);
                self.node.sleep(Duration::from_millis(5)).await;
            }
            refused
        };
        let refused = join_all((0..8).map(|_| one())).await.into_iter().sum();
        (self.strict.created.load(Relaxed) - created, refused)
    }
}

fn story<F>(per_second: u64, retry_after: Option<Duration>, rates: Rates, tell: impl FnOnce(Asker) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    story_of(1, per_second, retry_after, rates, tell);
}

fn story_of<F>(seed: u64, per_second: u64, retry_after: Option<Duration>, rates: Rates, tell: impl FnOnce(Asker) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let world = World::new(seed);
    world.run(Duration::from_secs(3_600), tell(Asker::new(&world, per_second, retry_after, rates))).expect("it ends");
}

const NONE: Rates = Rates { writes: None, reads: None };

#[test]
fn without_limits_and_complaints_nothing_waits() {
    story(u64::MAX, None, NONE, |asker| async move {
        let (created, refused) = asker.load("log/", 10 * SECOND).await;
        assert!(created >= 15_900, "eight in five milliseconds: {created}");
        assert_eq!(refused, 0);
        assert_eq!(asker.paced.figures().waited, 0);
    });
}

#[test]
fn a_known_limit_is_kept_and_nothing_is_refused() {
    story(160, None, Rates { writes: Some(100), reads: None }, |asker| async move {
        asker.load("log/", 2 * SECOND).await;
        let (created, refused) = asker.load("log/", 10 * SECOND).await;
        assert!((990..=1_010).contains(&created), "{created}");
        assert_eq!(refused, 0);
    });
}

#[test]
fn an_unknown_limit_is_found_and_kept_near() {
    story(100, None, NONE, |asker| async move {
        asker.load("log/", 10 * SECOND).await;
        let (created, refused) = asker.load("log/", 60 * SECOND).await;
        assert!(created >= 60 * 75, "three quarters of what it takes at the least: {created}");
        assert!(refused * 10 <= created, "{refused} refused of {created}");
    });
}

#[test]
fn refusals_that_come_at_any_rate_do_not_slow_anybody_down() {
    story(u64::MAX, None, NONE, |asker| async move {
        asker.strict.refuses_one_in.store(20, Relaxed);
        let (created, refused) = asker.load("log/", 60 * SECOND).await;
        assert!(created >= 90_000, "eight in five milliseconds but for what is refused: {created}");
        assert!(refused >= 4_000, "{refused}");
        // At the rate of a broker with little to do as well.
        let asker = &asker;
        let began = asker.node.now();
        for _ in 0..600 {
            asker.create("log/").await;
            asker.node.sleep(Duration::from_millis(100)).await;
        }
        assert!(asker.node.now() - began <= 66 * SECOND, "{:?}", asker.node.now() - began);
    });
}

#[test]
fn the_rate_grows_again_when_the_store_takes_more() {
    story(20, None, NONE, |asker| async move {
        asker.load("log/", 20 * SECOND).await;
        let slow = asker.paced.figures().writes_per_second;
        assert!(slow <= 25, "{slow}");
        let before = asker.paced.figures().complaints;
        asker.load("log/", SECOND).await;
        asker.node.sleep(60 * SECOND).await;
        let grown = asker.paced.figures();
        assert!(grown.writes_per_second >= 2 * slow, "{slow} -> {grown:?}");
        assert!(grown.complaints >= before);
    });
}

#[test]
fn a_start_that_meets_some_refusals_by_chance_is_not_slowed_down() {
    for seed in 0..300 {
        story_of(seed, u64::MAX, None, NONE, |asker| async move {
            asker.strict.refuses_one_in.store(20, Relaxed);
            for _ in 0..60 {
                asker.create("log/").await;
                asker.node.sleep(Duration::from_millis(20)).await;
            }
            assert_eq!(asker.paced.figures().waited, 0);
        });
    }
}

#[test]
fn retry_after_holds_back_everybody() {
    story(1, Some(7 * SECOND), NONE, |asker| async move {
        assert!(asker.create("log/").await.1);
        let (asked, fine) = asker.create("log/").await;
        assert!(!fine);
        let (written, read) = tokio::join!(asker.create("log/"), async {
            let _ = asker.paced.get("absent", ReadRange::All).await;
            asker.node.now()
        });
        assert!(written.0 >= asked + 7 * SECOND && read >= asked + 7 * SECOND);
    });
    story(1, Some(3_600 * SECOND), NONE, |asker| async move {
        asker.create("log/").await;
        let (asked, _) = asker.create("log/").await;
        let (written, _) = asker.create("log/").await;
        assert!(written <= asked + 11 * SECOND, "nobody is silenced for an hour");
    });
}

#[test]
fn the_log_goes_before_background_work() {
    story(u64::MAX, None, Rates { writes: Some(20), reads: None }, |asker| async move {
        let asker = Arc::new(asker);
        let background = asker.load("snapshot/", 20 * SECOND);
        let foreground = async {
            let mut slowest = Duration::ZERO;
            for _ in 0..100 {
                let began = asker.node.now();
                asker.create("log/").await;
                slowest = slowest.max(asker.node.now() - began);
                asker.node.sleep(Duration::from_millis(100)).await;
            }
            slowest
        };
        let (_, slowest) = tokio::join!(background, foreground);
        assert_eq!(slowest, Duration::ZERO, "half of the tokens are kept back for it");
    });
}
