//! The rules at work on one request after the other.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hyper::Method;
use kafscale_runtime::{Handle, Instant};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{After, Rule, Scope, Seen, Then};
use crate::exchange::{Answer, Asked, escaped, tags, unescaped};

/// The latest writes that listings may lack.
const WRITTEN_MAX: usize = 1_000;

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// It was answered.
    Answered(Answer),
    /// The connection was cut before an answer.
    Cut,
    /// The connection was cut after so many bytes of the answer's body.
    CutAfter(Answer, usize),
    /// Nothing ever comes.
    Hang,
}

/// Rules over whatever answers behind them.
pub struct Quirks {
    runtime: Handle,
    state: Mutex<State>,
}

struct State {
    rules: Vec<Active>,
    random: StdRng,
    seen: Vec<Seen>,
    written: VecDeque<String>,
    hidden: BTreeSet<String>,
    in_flight: BTreeMap<String, usize>,
}

struct Active {
    rule: Rule,
    since: Instant,
    matched: u64,
    fired: u64,
    /// Tokens left of each counted group, and when they were.
    tokens: BTreeMap<String, (f64, Instant)>,
}

/// What was decided about a request.
#[derive(Default)]
struct Plan {
    wait: std::time::Duration,
    turn: Option<Then>,
    mutations: Vec<fn(&Asked, &mut Answer)>,
    lag: usize,
    hides: bool,
}

impl Quirks {
    /// The layer with these rules; `seed` fixes its draws.
    pub fn new(runtime: Handle, rules: Vec<Rule>, seed: u64) -> Self {
        let state = State {
            rules: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            seen: Vec::new(),
            written: VecDeque::new(),
            hidden: BTreeSet::new(),
            in_flight: BTreeMap::new(),
        };
        let quirks = Self { runtime, state: Mutex::new(state) };
        quirks.set(rules);
        quirks
    }

    /// These rules from now on, instead of those before.
    pub fn set(&self, rules: Vec<Rule>) {
        let since = self.runtime.now();
        let fresh = |rule| Active { rule, since, matched: 0, fired: 0, tokens: BTreeMap::new() };
        self.state.lock().rules = rules.into_iter().map(fresh).collect();
    }

    /// How often the rule of this name has decided something since it was set.
    pub fn fired(&self, name: &str) -> u64 {
        self.state.lock().rules.iter().filter(|active| active.rule.name == name).map(|active| active.fired).sum()
    }

    /// The same of every rule.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().rules.iter().map(|active| (active.rule.name, active.fired)).collect()
    }

    /// Everything that was asked.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().seen.clone()
    }

    /// Forgets what was asked.
    pub fn forget(&self) {
        self.state.lock().seen.clear();
    }

    /// One request. `forward` carries it out behind the layer; none means that the connection there broke.
    pub async fn exchange<F>(&self, asked: Asked, forward: impl Fn(Asked) -> F) -> Outcome
    where
        F: Future<Output = Option<Answer>>,
    {
        let plan = self.state.lock().decide(&asked, self.runtime.now());
        let _crowd = Crowd::enter(self, &asked);
        if !plan.wait.is_zero() {
            self.runtime.sleep(plan.wait).await;
        }
        let after = match plan.turn {
            Some(Then::Respond(answer)) => return Outcome::Answered(for_method(&asked.method, answer)),
            Some(Then::Drop) => return Outcome::Cut,
            Some(Then::Hang) => return Outcome::Hang,
            Some(Then::Twice) => {
                if forward(asked.clone()).await.is_none() {
                    return Outcome::Cut;
                }
                None
            }
            Some(Then::Forward(after)) => Some(after),
            _ => None,
        };
        let own = self.state.lock().hidden_answer(&asked, plan.hides);
        let answer = match own {
            Some(answer) => answer,
            None => match forward(asked.clone()).await {
                Some(answer) => answer,
                None => return Outcome::Cut,
            },
        };
        let answer = self.changed(&asked, answer, &plan.mutations, plan.lag);
        match after {
            None => Outcome::Answered(answer),
            Some(After::Drop) => Outcome::Cut,
            Some(After::Hang) => Outcome::Hang,
            Some(After::Respond(instead)) => Outcome::Answered(for_method(&asked.method, instead)),
            Some(After::CutBody) => {
                let half = answer.body.len() / 2;
                Outcome::CutAfter(answer, half)
            }
        }
    }

    fn changed(&self, asked: &Asked, mut answer: Answer, mutations: &[fn(&Asked, &mut Answer)], lag: usize) -> Answer {
        let mut state = self.state.lock();
        if asked.method == Method::PUT && (200..300).contains(&answer.status) {
            state.hidden.remove(asked.key());
            state.written.push_back(asked.key().to_owned());
            if state.written.len() > WRITTEN_MAX {
                state.written.pop_front();
            }
        }
        if asked.lists() {
            let mut lacking: BTreeSet<_> = state.written.iter().rev().take(lag).cloned().collect();
            lacking.extend(state.hidden.iter().cloned());
            if !lacking.is_empty() {
                answer.body = without(&answer.body, &lacking).into();
            }
        }
        drop(state);
        for mutate in mutations {
            mutate(asked, &mut answer);
        }
        answer
    }
}

impl State {
    fn decide(&mut self, asked: &Asked, now: Instant) -> Plan {
        let mut plan = Plan::default();
        let mut name = None;
        let crowd = self.in_flight.get(asked.key()).copied().unwrap_or(0);
        for active in &mut self.rules {
            let over = active.rule.lasts.is_some_and(|lasts| now.saturating_sub(active.since) >= lasts);
            if over || !active.rule.matches(asked) {
                continue;
            }
            active.matched += 1;
            if !active.rule.nth.has(active.matched) || self.random.random_range(0..1000) >= active.rule.permille {
                continue;
            }
            match &active.rule.then {
                Then::Delay(longer) => plan.wait += *longer,
                Then::Mutate(mutate) => plan.mutations.push(*mutate),
                Then::StaleList(lag) => plan.lag = plan.lag.max(*lag),
                Then::HideOnDelete => plan.hides = true,
                Then::Limit { per_second, scope, over } => {
                    let debt = *scope != Scope::Key;
                    if !take(&mut active.tokens, *per_second, debt, group(*scope, asked), now) {
                        plan.turn = Some(Then::Respond(over.clone()));
                    }
                }
                Then::Crowd { most, over } if crowd >= *most => plan.turn = Some(Then::Respond(over.clone())),
                Then::Crowd { .. } => {}
                turn => plan.turn = Some(turn.clone()),
            }
            let passive = matches!(active.rule.then, Then::Limit { .. } | Then::Crowd { .. }) && plan.turn.is_none();
            active.fired += u64::from(!passive);
            if plan.turn.is_some() {
                name = Some(active.rule.name);
                break;
            }
        }
        let body_len = asked.body.len();
        let head = Asked { body: bytes::Bytes::new(), ..asked.clone() };
        self.seen.push(Seen { at: now, asked: head, body_len, rule: name });
        plan
    }

    /// The layer's own answer where deletions only hide.
    fn hidden_answer(&mut self, asked: &Asked, hides: bool) -> Option<Answer> {
        let key = asked.key();
        if hides && asked.method == Method::DELETE {
            self.hidden.insert(key.to_owned());
            return Some(Answer::empty(204));
        }
        if hides && asked.method == Method::POST && asked.parameter("delete").is_some() {
            let xml = String::from_utf8_lossy(&asked.body).into_owned();
            let keys: Vec<_> = tags(&xml, "Key").into_iter().map(unescaped).collect();
            let rows: String =
                keys.iter().map(|key| format!("<Deleted><Key>{}</Key></Deleted>", escaped(key))).collect();
            self.hidden.extend(keys);
            let body = format!("<DeleteResult>{rows}</DeleteResult>").into();
            return Some(Answer { status: 200, headers: Vec::new(), body });
        }
        let reads = matches!(asked.method, Method::GET | Method::HEAD);
        (reads && self.hidden.contains(key))
            .then(|| for_method(&asked.method, Answer::error(404, "NoSuchKey", "The specified key does not exist.")))
    }
}

/// A request under way, for the limits of concurrency.
struct Crowd<'a> {
    quirks: &'a Quirks,
    key: String,
}

impl<'a> Crowd<'a> {
    fn enter(quirks: &'a Quirks, asked: &Asked) -> Self {
        let key = asked.key().to_owned();
        *quirks.state.lock().in_flight.entry(key.clone()).or_default() += 1;
        Self { quirks, key }
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        let mut state = self.quirks.state.lock();
        if let Some(count) = state.in_flight.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.in_flight.remove(&self.key);
            }
        }
    }
}

fn for_method(method: &Method, mut answer: Answer) -> Answer {
    if *method == Method::HEAD || answer.status == 304 {
        answer.body.clear();
    }
    answer
}

fn group(scope: Scope, asked: &Asked) -> String {
    match scope {
        Scope::All => String::new(),
        Scope::Prefix => asked.key().split('/').next().unwrap_or_default().to_owned(),
        Scope::Key => asked.key().to_owned(),
    }
}

/// Takes a token of a bucket that fills by `per_second` up to a second's worth (at least one). With `debt` refused requests
/// count as well, so that who goes on beyond a limit stays refused.
fn take(
    tokens: &mut BTreeMap<String, (f64, Instant)>,
    per_second: f64,
    debt: bool,
    group: String,
    now: Instant,
) -> bool {
    let most = per_second.max(1.0);
    let (left, at) = tokens.entry(group).or_insert((most, now));
    *left = (*left + now.saturating_sub(*at).as_secs_f64() * per_second).min(most);
    *at = now;
    let granted = *left >= 1.0;
    if granted || debt {
        *left = (*left - 1.0).max(-most);
    }
    granted
}

/// A listing without the rows of these keys: S3's and Google's rows are called `Contents`, Azure's `Blob`.
fn without(listing: &[u8], lacking: &BTreeSet<String>) -> String {
    let xml = String::from_utf8_lossy(listing).into_owned();
    let (row, name) = if xml.contains("<Blobs>") { ("Blob", "Name") } else { ("Contents", "Key") };
    let (begin, end) = (format!("<{row}>"), format!("</{row}>"));
    let mut rows = xml.split(&begin);
    let mut kept = rows.next().unwrap_or_default().to_owned();
    for row in rows {
        let key = tags(row, name).first().map(|key| unescaped(key)).unwrap_or_default();
        if lacking.contains(&key) {
            // Whatever follows the last row belongs to the listing.
            kept.push_str(row.split_once(&end).map_or("", |(_, tail)| tail));
        } else {
            kept.push_str(&begin);
            kept.push_str(row);
        }
    }
    kept
}

#[cfg(test)]
mod tests;
