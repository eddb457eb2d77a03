//! A world for tests: one thread, a virtual clock, and a store that fails by script.
#![allow(dead_code, reason = "each test binary uses its own part")]

pub mod executor;
pub mod store;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use kafscale_log::{
    Draft, Frame, Log, Position,
    lone::{self, Lone, OpenArgs, OpenError, Opened, Resume, Settings},
};
use kafscale_runtime::Handle;
use kafscale_store::Store;
use tokio::sync::mpsc;

pub use executor::World;
#[allow(unused_imports, reason = "each test binary uses its own part")]
pub use store::{Answer, Op, TestStore};

pub const CLUSTER: u128 = 0xc1;
pub const GENERATION: u64 = 1;

/// A lone log and what its replica has been given.
pub struct Opening {
    pub log: Arc<Lone>,
    pub opened: Opened,
    pub frames: Taken,
}

/// The frames that a replica took; `ended` once the engine dropped its end.
#[derive(Clone, Default)]
pub struct Taken(Arc<Mutex<(Vec<Frame>, bool)>>);

impl Taken {
    /// Starts to take frames.
    pub fn start(runtime: &Handle, mut frames: mpsc::Receiver<Frame>) -> Self {
        let taken = Self::default();
        let into = taken.clone();
        let take = async move {
            while let Some(frame) = frames.recv().await {
                into.0.lock().unwrap().0.push(frame);
            }
            into.0.lock().unwrap().1 = true;
        };
        runtime.spawn("replica", Box::pin(take));
        taken
    }

    pub fn all(&self) -> Vec<Frame> {
        self.0.lock().unwrap().0.clone()
    }

    pub fn positions(&self) -> Vec<Position> {
        self.all().iter().map(|frame| frame.header.position).collect()
    }

    /// What the frames say, in order; fills are `-`.
    pub fn story(&self) -> Vec<String> {
        let text = |frame: &Frame| String::from_utf8(frame.entries.to_vec()).unwrap();
        self.all().iter().map(|frame| if frame.entries.is_empty() { "-".into() } else { text(frame) }).collect()
    }

    pub fn ended(&self) -> bool {
        self.0.lock().unwrap().1
    }
}

pub fn draft(entries: &str) -> Draft {
    let payload = Bytes::from(format!("payload of {entries}")).into();
    Draft { entries: Bytes::copy_from_slice(entries.as_bytes()), payload }
}

pub async fn open(store: &Arc<impl Store>, runtime: &Handle) -> Opening {
    open_from(store, runtime, Resume::default()).await.expect("the log opens")
}

pub fn open_args(store: &Arc<impl Store>, runtime: &Handle, resume: Resume, frames: mpsc::Sender<Frame>) -> OpenArgs {
    OpenArgs {
        store: Arc::clone(store) as Arc<dyn Store>,
        runtime: Arc::clone(runtime),
        cluster_id: CLUSTER,
        generation: GENERATION,
        resume,
        take_over_entries: Box::new(|session| Bytes::from(format!("session {session}"))),
        frames,
        applied: Box::new(|_| Box::pin(std::future::ready(true))),
        settings: Settings::default(),
    }
}

pub async fn open_from(store: &Arc<impl Store>, runtime: &Handle, resume: Resume) -> Result<Opening, OpenError> {
    let (sender, receiver) = mpsc::channel(2);
    let frames = Taken::start(runtime, receiver);
    let args = open_args(store, runtime, resume, sender);
    let (log, opened) = lone::open(args).await?;
    Ok(Opening { log, opened, frames })
}

impl Opening {
    pub async fn append(&self, entries: &str) -> Position {
        self.log.append(draft(entries)).await.expect("the append succeeds")
    }
}
