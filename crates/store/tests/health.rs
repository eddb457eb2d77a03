//! How a store's condition follows its answers, on a virtual clock.

use std::{sync::Arc, time::Duration};

use kafscale_runtime::{BoxFuture, Runtime, timeout};
use kafscale_sim::executor::{Node, World};
use kafscale_store::{
    Body, Condition, CreateError, DeleteError, Diagnosed, Facts, Health, Listed, MemoryStore, ReadError, ReadRange,
    ReplaceError, Store, StoreDate, health::End,
};
use parking_lot::Mutex;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    After(Duration),
    Fails,
    Hangs,
}

struct Scripted {
    memory: MemoryStore,
    node: Node,
    course: Mutex<Course>,
}

impl Scripted {
    async fn course(&self) -> Result<(), ReadError> {
        let course = *self.course.lock();
        match course {
            Course::After(delay) => {
                self.node.sleep(delay).await;
                Ok(())
            }
            Course::Fails => Err(ReadError::Unavailable("503".into())),
            Course::Hangs => std::future::pending().await,
        }
    }
}

impl Store for Scripted {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        self.memory.create(name, body)
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        self.memory.replace(name, body)
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<bytes::Bytes, ReadError>> {
        Box::pin(async move {
            self.course().await?;
            self.memory.get(name, range).await
        })
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

    fn facts(&self) -> Facts {
        self.memory.facts()
    }
}

struct Asker {
    node: Node,
    scripted: Arc<Scripted>,
    store: Diagnosed,
    health: Arc<Health>,
}

impl Asker {
    fn new(world: &World) -> Self {
        let node = world.node("asker");
        let course = Mutex::new(Course::After(20 * MS));
        let scripted = Arc::new(Scripted { memory: MemoryStore::new(), node: node.clone(), course });
        let health = Arc::new(Health::new("data", node.runtime()));
        let store = Diagnosed::new(Arc::clone(&scripted) as Arc<dyn Store>, node.runtime(), Arc::clone(&health));
        Self { node, scripted, store, health }
    }

    /// Asks so often, pausing in between and giving up after five seconds.
    async fn ask(&self, times: usize, course: Course, pause: Duration) -> Condition {
        *self.scripted.course.lock() = course;
        for _ in 0..times {
            // Nothing is there, which is an answer.
            let _ = timeout(&self.node, 5 * SECOND, self.store.get("absent", ReadRange::All)).await;
            self.node.sleep(pause).await;
        }
        self.health.condition()
    }
}

fn story<F>(tell: impl FnOnce(Asker) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let world = World::new(1);
    world.run(Duration::from_secs(3_600), tell(Asker::new(&world))).expect("it ends");
}

const FINE: Course = Course::After(Duration::from_millis(20));

#[test]
fn errors_degrade_and_time_heals() {
    story(|asker| async move {
        assert_eq!(asker.health.condition(), Condition::Healthy, "nothing was asked");
        assert_eq!(asker.ask(90, FINE, 10 * MS).await, Condition::Healthy);
        assert_eq!(asker.ask(9, Course::Fails, 10 * MS).await, Condition::Healthy, "nine of 99");
        assert_eq!(asker.ask(1, Course::Fails, 10 * MS).await, Condition::Degraded, "ten of 100");
        assert_eq!(asker.ask(60, FINE, 10 * MS).await, Condition::Degraded, "no flutter at the edge");
        assert_eq!(asker.ask(50, FINE, 10 * MS).await, Condition::Healthy, "less than a twentieth");
        asker.ask(20, Course::Fails, 10 * MS).await;
        asker.ask(1, FINE, MS).await;
        assert_eq!(asker.health.condition(), Condition::Degraded);
        asker.node.sleep(32 * SECOND).await;
        assert_eq!(asker.health.condition(), Condition::Healthy, "nobody asks it any more");
    });
}

#[test]
fn silence_makes_unavailable_and_one_answer_ends_it() {
    story(|asker| async move {
        asker.ask(20, FINE, 10 * MS).await;
        assert_eq!(asker.ask(40, Course::Fails, 100 * MS).await, Condition::Degraded, "four seconds may pass");
        assert_eq!(asker.ask(15, Course::Fails, 100 * MS).await, Condition::Unavailable);
        let told = asker.health.reading().to_string();
        assert_eq!(
            told,
            "unavailable: of 75 requests in 30 s 55 failed and 0 were slow; the last failure: get: store unavailable: 503"
        );
        assert_eq!(asker.ask(1, FINE, MS).await, Condition::Degraded, "it answers, and had failed a lot");
        asker.ask(200, FINE, 200 * MS).await;
        let reading = asker.health.reading();
        assert_eq!((reading.condition, reading.last_failure), (Condition::Healthy, None), "it is long ago");
    });
}

#[test]
fn a_few_failures_in_a_long_time_are_not_an_outage() {
    story(|asker| async move {
        assert_eq!(asker.ask(4, Course::Fails, 3 * SECOND).await, Condition::Healthy, "four in a row");
        assert_eq!(asker.ask(1, Course::Fails, MS).await, Condition::Unavailable, "five");
        asker.node.sleep(40 * SECOND).await;
        assert_eq!(asker.health.condition(), Condition::Healthy);
        assert_eq!(asker.ask(3, Course::Fails, MS).await, Condition::Healthy, "a row does not outlast the window");
    });
}

#[test]
fn hangs_count_and_losers_of_a_race_do_not() {
    story(|asker| async move {
        asker.ask(20, FINE, 10 * MS).await;
        *asker.scripted.course.lock() = Course::Hangs;
        for _ in 0..50 {
            let _ = timeout(&asker.node, 100 * MS, asker.store.get("absent", ReadRange::All)).await;
        }
        assert_eq!(asker.health.condition(), Condition::Healthy, "they were dropped early");
        assert_eq!(asker.health.reading().requests, 20);
        assert_eq!(asker.ask(5, Course::Hangs, MS).await, Condition::Unavailable);
        assert_eq!(asker.health.reading().last_failure.as_deref(), Some("get: no answer in 5 s"));
    });
}

#[test]
fn latency_alone_degrades_and_large_bodies_may_take_longer() {
    story(|asker| async move {
        assert_eq!(asker.ask(12, Course::After(1_500 * MS), MS).await, Condition::Degraded);
        asker.node.sleep(40 * SECOND).await;
        let large = vec![0; 3 << 20];
        asker.scripted.memory.create("large", bytes::Bytes::from(large).into()).await.expect("memory");
        for _ in 0..12 {
            asker.store.get("large", ReadRange::All).await.expect("it is there");
        }
        assert_eq!(asker.health.reading().slow, 0);
        assert_eq!(asker.health.condition(), Condition::Healthy);
    });
}

#[test]
fn the_words_of_a_failure_are_bounded_and_on_one_line() {
    story(|asker| async move {
        asker.health.note(End::Failed(format!("get: <html>\r\n{}", "é".repeat(10_000))));
        let words = asker.health.reading().last_failure.expect("one has failed");
        assert!(words.starts_with("get: <html>  é") && words.ends_with("é..."), "{words}");
        assert_eq!(words.chars().count(), 303);
    });
}
