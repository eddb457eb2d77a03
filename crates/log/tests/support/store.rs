//! A bucket shared by several processes, whose answers can be scripted.
//!
//! A rule matches calls by operation and a part of the name, and serves a number of them. Without a rule a call takes effect
//! after the latency and says the truth.

use std::{
    collections::BTreeMap,
    future::pending,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Handle};
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Create,
    Replace,
    Get,
    List,
    Delete,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// 503, not applied; may ask to wait.
    Unavailable(Option<Duration>),
    /// Not applied, and the caller cannot know.
    Unknown,
    /// Applied, and the caller cannot know.
    AppliedUnknown,
    /// Unknown at once, applied so much later.
    AppliedLater(Duration),
    /// Not applied, and no answer ever.
    Hang,
    /// Applied, and no answer ever.
    AppliedHang,
    /// 403.
    Refused,
    /// "Exists already", whatever is there (S3's 409).
    Conflict,
    /// The truth, after this time.
    After(Duration),
    /// Applied over whatever is there: a store that ignores the condition.
    Overwrite,
}

struct Rule {
    op: Op,
    part: String,
    answer: Answer,
    left: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub op: Op,
    pub name: String,
    pub at: Duration,
}

pub struct TestStore {
    runtime: Handle,
    latency: Duration,
    state: Arc<Mutex<State>>,
}

struct State {
    objects: BTreeMap<String, Bytes>,
    rules: Vec<Rule>,
    calls: Vec<Call>,
    facts: Facts,
    date: Option<StoreDate>,
}

const TELL_NOBODY: &str = "the answer was lost";

impl TestStore {
    pub fn new(runtime: &Handle) -> Arc<Self> {
        let facts = Facts {
            requests_cost_money: true,
            may_hedge: true,
            exclusive: false,
            create_is_known: true,
            storage_days_min: 0,
            place: 0,
            put_latency_hint: Duration::from_millis(10),
        };
        let state = State { objects: BTreeMap::new(), rules: Vec::new(), calls: Vec::new(), facts, date: None };
        Arc::new(Self {
            runtime: Arc::clone(runtime),
            latency: Duration::from_millis(10),
            state: Arc::new(Mutex::new(state)),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Answers the next `times` calls so; earlier rules come first.
    pub fn script(&self, op: Op, part: &str, times: usize, answer: Answer) {
        self.state().rules.push(Rule { op, part: part.into(), answer, left: times });
    }

    pub fn clear_script(&self) {
        self.state().rules.clear();
    }

    pub fn set_facts(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.state().facts);
    }

    pub fn set_date(&self, date: StoreDate) {
        self.state().date = Some(date);
    }

    pub fn names(&self) -> Vec<String> {
        self.state().objects.keys().cloned().collect()
    }

    pub fn object(&self, name: &str) -> Option<Bytes> {
        self.state().objects.get(name).cloned()
    }

    pub fn put(&self, name: &str, bytes: Bytes) {
        self.state().objects.insert(name.into(), bytes);
    }

    pub fn remove(&self, name: &str) {
        self.state().objects.remove(name).expect("there is such an object");
    }

    pub fn calls(&self, op: Op, part: &str) -> Vec<Call> {
        self.state().calls.iter().filter(|call| call.op == op && call.name.contains(part)).cloned().collect()
    }

    pub fn forget_calls(&self) {
        self.state().calls.clear();
    }

    async fn begin(&self, op: Op, name: &str) -> Option<Answer> {
        let at = self.runtime.now();
        let answer = {
            let mut state = self.state();
            state.calls.push(Call { op, name: name.into(), at });
            let rule = state.rules.iter_mut().find(|rule| rule.op == op && rule.left > 0 && name.contains(&rule.part));
            rule.map(|rule| {
                rule.left -= 1;
                rule.answer
            })
        };
        let latency = if let Some(Answer::After(latency)) = answer { latency } else { self.latency };
        self.runtime.sleep(latency).await;
        answer
    }

    async fn create_so(&self, name: &str, body: Body) -> Result<(), CreateError> {
        let bytes = body.to_bytes();
        let apply = |state: &mut State| {
            if state.objects.contains_key(name) {
                return Err(CreateError::AlreadyExists);
            }
            state.objects.insert(name.into(), bytes.clone());
            Ok(())
        };
        let unknown = || Err(CreateError::Unknown(TELL_NOBODY.into()));
        match self.begin(Op::Create, name).await {
            None | Some(Answer::After(_)) => apply(&mut self.state()),
            Some(Answer::Unavailable(retry_after)) => {
                Err(CreateError::Unavailable { reason: "503".into(), retry_after })
            }
            Some(Answer::Unknown) => unknown(),
            Some(Answer::AppliedUnknown) => {
                let _ = apply(&mut self.state());
                unknown()
            }
            Some(Answer::AppliedLater(delay)) => {
                let (state, runtime, name) = (Arc::clone(&self.state), Arc::clone(&self.runtime), name.to_owned());
                let later = async move {
                    runtime.sleep(delay).await;
                    state.lock().unwrap().objects.entry(name).or_insert(bytes);
                };
                self.runtime.spawn("late create", Box::pin(later));
                unknown()
            }
            Some(Answer::Hang) => pending().await,
            Some(Answer::AppliedHang) => {
                let _ = apply(&mut self.state());
                pending().await
            }
            Some(Answer::Refused) => Err(CreateError::Refused("403".into())),
            Some(Answer::Conflict) => Err(CreateError::AlreadyExists),
            Some(Answer::Overwrite) => {
                self.state().objects.insert(name.into(), bytes);
                Ok(())
            }
        }
    }
}

async fn read_fault(answer: Option<Answer>) -> Result<(), ReadError> {
    match answer {
        None | Some(Answer::After(_)) => Ok(()),
        Some(Answer::Unavailable(_)) => Err(ReadError::Unavailable("503".into())),
        Some(Answer::Refused) => Err(ReadError::Refused("403".into())),
        Some(Answer::Hang) => pending().await,
        Some(other) => panic!("a read cannot be answered with {other:?}"),
    }
}

impl Store for TestStore {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(self.create_so(name, body))
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async move {
            match self.begin(Op::Replace, name).await {
                None | Some(Answer::After(_)) => {
                    self.state().objects.insert(name.into(), body.to_bytes());
                    Ok(())
                }
                Some(Answer::AppliedUnknown) => {
                    self.state().objects.insert(name.into(), body.to_bytes());
                    Err(ReplaceError::Unknown(TELL_NOBODY.into()))
                }
                Some(Answer::Hang) => pending().await,
                Some(_) => Err(ReplaceError::Unavailable("503".into())),
            }
        })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move {
            read_fault(self.begin(Op::Get, name).await).await?;
            let bytes = self.object(name).ok_or_else(|| ReadError::NotFound(name.into()))?;
            Ok(match range {
                ReadRange::All => bytes,
                ReadRange::At { start, len } => {
                    let start = usize::try_from(start).unwrap().min(bytes.len());
                    let end = start.saturating_add(usize::try_from(len).unwrap()).min(bytes.len());
                    bytes.slice(start..end)
                }
            })
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(async move {
            read_fault(self.begin(Op::List, prefix).await).await?;
            let state = self.state();
            let rows = state.objects.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
            let rows = rows.filter(|(name, _)| name.starts_with(prefix)).take(limit);
            Ok(rows.map(|(name, bytes)| Listed { name: name.clone(), size: bytes.len() as u64 }).collect())
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move {
            if self.begin(Op::Delete, &names.join(" ")).await.is_some() {
                return Err(DeleteError::Unavailable("503".into()));
            }
            let mut state = self.state();
            for name in names {
                state.objects.remove(name);
            }
            Ok(())
        })
    }

    fn date(&self) -> Option<StoreDate> {
        self.state().date
    }

    fn facts(&self) -> Facts {
        self.state().facts
    }
}
