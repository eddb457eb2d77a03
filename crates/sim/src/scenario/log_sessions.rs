//! Sessions of the store log for the stories: opening, writing, asking for the tail, and writing down what came of it.
//!
//! A frame's value is eight bytes in its entries. Fills, take-over frames and void frames hold none: a frame is void when
//! a frame of a higher session, or the take-over of another process, stands before it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_log::{
    AppendError, Draft, Frame, Log, Position,
    frame::Kind,
    lone::{self, Lone, OpenArgs, OpenError, Resume, Settings},
};
use kafscale_runtime::Runtime;
use kafscale_store::{Body, Store};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};

use super::Stage;
use crate::{
    executor::Node,
    history::{Appended, Found, Line, OpId, Promise, Value},
};

const CLUSTER: u128 = 0xc1;
const TAKE_OVER: &[u8] = b"take-over";

/// One process that has the log open.
pub(super) struct Session {
    pub node: Node,
    pub log: Arc<Lone>,
    pub opened: lone::Opened,
    pub reading: Arc<Mutex<Reading>>,
    stage: Stage,
    client: u64,
    pending: Arc<Mutex<Vec<OpId>>>,
}

/// What a process has seen of the log.
#[derive(Default)]
pub(super) struct Reading {
    pub values: Vec<(Position, Option<Value>)>,
    /// Session and incarnation that own the log at this point of the reading; a snapshot tells the session alone.
    owner: Option<(u64, Option<u128>)>,
    /// How far it is in the history.
    told: usize,
    pub wrong: Vec<String>,
}

impl Reading {
    fn take(&mut self, frame: &Frame) {
        let header = &frame.header;
        let expected = self.values.last().map_or(header.position, |(last, _)| last + 1);
        if header.position != expected {
            self.wrong.push(format!("position {} was delivered where {expected} belongs", header.position));
        }
        let incarnation = header.write_id.incarnation;
        let is_take_over = header.kind == Kind::Entries && *frame.entries == *TAKE_OVER;
        if is_take_over && self.owner.is_none_or(|(session, _)| header.session > session) {
            self.owner = Some((header.session, Some(incarnation)));
        }
        let is_owner = self.owner.is_some_and(|(session, owner)| {
            session == header.session && owner.is_none_or(|owner| owner == incarnation)
        });
        let has_value = header.kind == Kind::Entries && !is_take_over && is_owner;
        self.values.push((header.position, has_value.then(|| value_of(&frame.entries))));
    }
}

fn value_of(entries: &[u8]) -> Value {
    Value::from_be_bytes(entries.try_into().expect("a value is eight bytes"))
}

/// Opens the log on `node` as a new session; nothing if the node died meanwhile.
pub(super) async fn open(stage: &Stage, node: &Node, store: Arc<dyn Store>) -> Option<Result<Session, OpenError>> {
    open_behind(stage, node, store, Resume::default()).await
}

/// The same behind a snapshot.
pub(super) async fn open_behind(
    stage: &Stage,
    node: &Node,
    store: Arc<dyn Store>,
    resume: Resume,
) -> Option<Result<Session, OpenError>> {
    let (sender, mut frames) = mpsc::channel(16);
    let owner = (resume.session > 0).then_some((resume.session, None));
    let reading = Arc::new(Mutex::new(Reading { owner, ..Reading::default() }));
    let (seen, tell, watched) = (Arc::clone(&reading), stage.clone(), node.clone());
    let opened_flag = Arc::new(Mutex::new(None::<u64>));
    let flag = Arc::clone(&opened_flag);
    drop(node.call("reader", async move {
        while let Some(frame) = frames.recv().await {
            seen.lock().take(&frame);
            if let Some(client) = *flag.lock() {
                tell_history(&tell, client, &mut seen.lock());
            }
        }
        watched.world().note("frames ended");
    }));
    let args = OpenArgs {
        store,
        runtime: node.runtime(),
        cluster_id: CLUSTER,
        generation: 1,
        resume,
        take_over_entries: Box::new(|_| Bytes::from_static(TAKE_OVER)),
        frames: sender,
        applied: Box::new(|_| Box::pin(std::future::ready(true))),
        settings: Settings::default(),
    };
    let opened = node.call("open", lone::open(args)).await?;
    Some(opened.map(|(log, opened)| {
        // Two processes may go by one session number for a while; a client of the history is a process.
        let client = stage.history.value();
        *opened_flag.lock() = Some(client);
        tell_history(stage, client, &mut reading.lock());
        stage.world.note(&format!("{} has opened: {opened:?}", node.name()));
        Session { node: node.clone(), log, opened, reading, stage: stage.clone(), client, pending: Arc::default() }
    }))
}

/// Writes what was read since the last time into the history.
fn tell_history(stage: &Stage, client: u64, reading: &mut Reading) {
    let told = reading.told;
    reading.told = reading.values.len();
    if let Some((from, _)) = reading.values.get(told) {
        let id = stage.history.read(client, &Stage::log_line(), *from, false);
        stage.history.found(id, Found::Values(reading.values[told..].to_vec()));
    }
}

impl Session {
    /// Appends `count` values from the session's own process, as many side by side as the log takes, until it is fenced.
    /// The call ends when all have an answer.
    pub fn write(&self, count: usize) -> crate::executor::Call<Result<usize, String>> {
        let (log, node, stage) = (Arc::clone(&self.log), self.node.clone(), self.stage.clone());
        let (client, pending) = (self.client, Arc::clone(&self.pending));
        self.node.call("writer", async move {
            let places = Arc::new(Semaphore::new(log.window()));
            let answers = Arc::new(Mutex::new((0, None)));
            for _ in 0..count {
                let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
                if answers.lock().1.is_some() {
                    break;
                }
                let value = stage.history.value();
                let id = stage.history.append(client, &line(), vec![value], Promise::ExactlyOnce);
                stage.history.attempt(id);
                pending.lock().push(id);
                let entries = Bytes::copy_from_slice(&value.to_be_bytes());
                let payload = Body::from(Bytes::from(value.to_be_bytes().repeat(3)));
                let append = log.append(Draft { entries, payload });
                let (stage, pending, answers) = (stage.clone(), Arc::clone(&pending), Arc::clone(&answers));
                drop(node.call("append", async move {
                    let answer = append.await;
                    pending.lock().retain(|other| *other != id);
                    let mut answers = answers.lock();
                    match answer {
                        Ok(position) => {
                            stage.history.appended(id, Appended::At(position));
                            answers.0 += 1;
                        }
                        Err(AppendError::Fenced(reason)) => {
                            stage.history.appended(id, Appended::Unknown);
                            stage.world.mark("append fenced");
                            answers.1 = Some(reason);
                        }
                        Err(AppendError::Refused(reason)) => {
                            stage.history.appended(id, Appended::Refused);
                            answers.1 = Some(reason);
                        }
                    }
                    drop(place);
                }));
            }
            drop(places.acquire_many(u32::try_from(log.window()).expect("small")).await);
            let answers = answers.lock();
            match &answers.1 {
                Some(reason) => Err(reason.clone()),
                None => Ok(answers.0),
            }
        })
    }

    /// Asks for the tail every now and then until the session is over.
    pub fn keep_asking(&self) {
        self.keep_asking_every(Duration::from_millis(700));
    }

    /// The same with such pauses at most.
    pub fn keep_asking_every(&self, pause_max: Duration) {
        let (log, node, stage, client) = (Arc::clone(&self.log), self.node.clone(), self.stage.clone(), self.client);
        let pending = Arc::clone(&self.pending);
        drop(self.node.call("asker", async move {
            while log.fenced().is_none() {
                node.sleep(pause_max.mul_f64((node.random_u64() % 1_000) as f64 / 1_000.0)).await;
                let id = stage.history.ask_end(client, &line());
                pending.lock().push(id);
                let answer = log.barrier().await;
                pending.lock().retain(|other| *other != id);
                stage.history.told_end(id, answer.ok().map(|tail| tail + 1));
            }
        }));
    }

    /// Kills the process (again) and writes down that nobody will learn what came of its last operations.
    pub fn bury(&self) {
        self.node.kill();
        for id in self.pending.lock().drain(..) {
            self.stage.history.give_up(id);
        }
    }
}

fn line() -> Line {
    Stage::log_line()
}

/// What is known of the beginning of a log, and the snapshot behind it.
pub(super) type Known = (Vec<(Position, Option<Value>)>, Resume);

/// The judge's reading: a session of its own, after the healing. It reads twice, with time between for what is late.
pub(super) async fn final_reading<S: Store>(stage: &Stage, store: impl FnMut(&Node) -> Arc<S>) -> Result<(), String> {
    final_reading_behind(stage, (Vec::new(), Resume::default()), store).await
}

/// The same for a log whose beginning was trimmed.
pub(super) async fn final_reading_behind<S: Store>(
    stage: &Stage,
    (known, resume): Known,
    mut store: impl FnMut(&Node) -> Arc<S>,
) -> Result<(), String> {
    let mut last = Vec::new();
    for turn in 0..2 {
        let node = stage.world.node(format!("judge-{turn}"));
        let opened = open_behind(stage, &node, store(&node), resume).await.expect("nobody kills the judge");
        let session = opened.map_err(|error| format!("the log cannot be opened any more: {error}"))?;
        if turn == 0 {
            session.write(3).await.expect("alive").map_err(|reason| format!("the judge cannot write: {reason}"))?;
            stage.world.sleep(Duration::from_secs(400)).await;
        }
        stage.world.sleep(Duration::from_millis(100)).await;
        session.bury();
        let reading = session.reading.lock();
        if let Some(wrong) = reading.wrong.first() {
            return Err(wrong.clone());
        }
        last.clone_from(&known);
        last.extend(&reading.values);
    }
    let id = stage.history.read(0, &line(), 1, true);
    stage.history.found(id, Found::Values(last));
    Ok(())
}
