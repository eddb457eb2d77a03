//! The suite of the contract, on every engine and every kind of store at hand.

mod support;

use std::sync::Arc;

use bytes::Bytes;
use kafscale_log::{
    Log, Position,
    conformance::{self, Bench, Session},
    lone::{self, OpenArgs, Resume, Settings},
    memory::MemoryLog,
};
use kafscale_runtime::{BoxFuture, Handle, TokioRuntime};
use kafscale_store::{DirectoryStore, MemoryStore, Store};
use support::*;
use tokio::sync::mpsc;

struct MemoryBench {
    runtime: Handle,
    log: Arc<MemoryLog>,
}

impl Bench for MemoryBench {
    fn reset(&mut self) {
        self.log = MemoryLog::new(CLUSTER);
    }

    fn open(&self, from: Position) -> BoxFuture<'_, Session> {
        Box::pin(async move {
            let (log, frames) = self.log.open(&self.runtime, from, |session| format!("session {session}").into());
            let tail = log.barrier().await.unwrap();
            Session { log, frames, tail }
        })
    }

    fn barrier_sees_a_successor(&self) -> bool {
        true
    }
}

struct LoneBench<F> {
    runtime: Handle,
    make: F,
    store: Arc<dyn Store>,
}

impl<F: FnMut() -> Arc<dyn Store> + Send + Sync> LoneBench<F> {
    fn new(runtime: Handle, mut make: F) -> Self {
        Self { runtime, store: make(), make }
    }
}

impl<F: FnMut() -> Arc<dyn Store> + Send + Sync> Bench for LoneBench<F> {
    fn reset(&mut self) {
        self.store = (self.make)();
    }

    fn open(&self, from: Position) -> BoxFuture<'_, Session> {
        Box::pin(async move {
            let (sender, frames) = mpsc::channel(256);
            let mut resume = Resume::default();
            resume.progress.position = from;
            let args = OpenArgs {
                store: Arc::clone(&self.store),
                runtime: Arc::clone(&self.runtime),
                cluster_id: CLUSTER,
                generation: GENERATION,
                resume,
                take_over_entries: Box::new(|session| Bytes::from(format!("session {session}"))),
                frames: sender,
                applied: Box::new(|_| Box::pin(std::future::ready(true))),
                settings: Settings::default(),
            };
            let (log, opened) = lone::open(args).await.expect("the log opens");
            Session { log, frames, tail: opened.tail }
        })
    }

    fn barrier_sees_a_successor(&self) -> bool {
        !self.store.facts().exclusive
    }
}

#[test]
fn memory() {
    let world = World::new();
    let runtime = world.runtime();
    world.run(async move {
        let log = MemoryLog::new(CLUSTER);
        conformance::run(&mut MemoryBench { runtime, log }).await;
    });
}

#[test]
fn lone_on_a_bucket() {
    let world = World::new();
    let runtime = world.runtime();
    world.run(async move {
        let clock = Arc::clone(&runtime);
        conformance::run(&mut LoneBench::new(runtime, move || TestStore::new(&clock) as Arc<dyn Store>)).await;
    });
}

#[test]
fn lone_on_a_bucket_whose_answers_get_lost() {
    let world = World::new();
    let runtime = world.runtime();
    world.run(async move {
        let clock = Arc::clone(&runtime);
        let make = move || {
            let store = TestStore::new(&clock);
            let faults = [Answer::AppliedUnknown, Answer::Unknown, Answer::Unavailable(None), Answer::Conflict];
            for position in 5..40 {
                let fault = faults[position % faults.len()];
                store.script(Op::Create, &lone::names::frame(GENERATION, position as u64), 1, fault);
            }
            store as Arc<dyn Store>
        };
        conformance::run(&mut LoneBench::new(runtime, make)).await;
    });
}

#[tokio::test]
async fn lone_in_memory() {
    let make = || Arc::new(MemoryStore::new()) as Arc<dyn Store>;
    conformance::run(&mut LoneBench::new(TokioRuntime::handle(), make)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lone_in_a_directory() {
    let root = tempfile::tempdir().unwrap();
    let directories = root.path().to_owned();
    let mut made = 0;
    let make = move || {
        made += 1;
        Arc::new(DirectoryStore::open(&directories.join(made.to_string())).unwrap()) as Arc<dyn Store>
    };
    conformance::run(&mut LoneBench::new(TokioRuntime::handle(), make)).await;
}
