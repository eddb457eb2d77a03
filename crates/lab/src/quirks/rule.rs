//! A rule: which requests it matches, and what becomes of them.

use std::time::Duration;

use hyper::Method;

use crate::exchange::{Answer, Asked};

/// One quirk.
#[derive(Debug, Clone)]
pub struct Rule {
    /// By which tests and counters know it.
    pub name: &'static str,
    pub(super) method: Option<Method>,
    pub(super) query: Option<&'static str>,
    pub(super) header: Option<(&'static str, &'static str)>,
    pub(super) key: Option<&'static str>,
    pub(super) is: Option<fn(&Asked) -> bool>,
    pub(super) nth: Nth,
    pub(super) permille: u64,
    pub(super) lasts: Option<Duration>,
    pub(super) then: Then,
}

/// Which of the matching requests are met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nth {
    /// All.
    Each,
    /// The first so many.
    First(u64),
    /// Every so-manyth.
    Every(u64),
    /// This one alone, counted from 1.
    Only(u64),
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Then {
    /// Not carried out; this is the answer.
    Respond(Answer),
    /// Not carried out; the connection is cut.
    Drop,
    /// Not carried out; no answer ever.
    Hang,
    /// Carried out, and then this.
    Forward(After),
    /// Takes so much longer; the rules behind this one apply too.
    Delay(Duration),
    /// The answer is changed.
    Mutate(fn(&Asked, &mut Answer)),
    /// Beyond so many a second (with a burst of a second's worth) the answer is this, and nothing is carried out.
    Limit {
        /// How many.
        per_second: f64,
        /// What is counted together.
        scope: Scope,
        /// The answer beyond.
        over: Answer,
    },
    /// Beyond so many at the same time for one key the answer is this.
    Crowd {
        /// How many.
        most: usize,
        /// The answer beyond.
        over: Answer,
    },
    /// Listings lack the latest so many objects that were written.
    StaleList(usize),
    /// Deletions hide the object and keep its bytes.
    HideOnDelete,
    /// Carried out twice, as by something on the way that repeats; the answer is that of the second time.
    Twice,
}

/// What becomes of a request after it was carried out.
#[derive(Debug, Clone)]
pub enum After {
    /// The connection is cut before the first byte of the answer.
    Drop,
    /// The connection is cut after half of the answer's body.
    CutBody,
    /// This is answered instead.
    Respond(Answer),
    /// No answer ever.
    Hang,
}

/// Which requests share a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that match.
    All,
    /// Those below the same first part of a key.
    Prefix,
    /// Those of the same key.
    Key,
}

/// Begins a rule that matches everything and does nothing.
pub fn rule(name: &'static str) -> Rule {
    Rule {
        name,
        method: None,
        query: None,
        header: None,
        key: None,
        is: None,
        nth: Nth::Each,
        permille: 1000,
        lasts: None,
        then: Then::Delay(Duration::ZERO),
    }
}

/// Begins a rule for one method.
pub fn on(method: Method, name: &'static str) -> Rule {
    Rule { method: Some(method), ..rule(name) }
}

/// An S3 error as an answer.
pub fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::error(status, code, message)
}

impl Rule {
    /// Only requests with this query parameter.
    pub fn query(self, name: &'static str) -> Self {
        Self { query: Some(name), ..self }
    }

    /// Only requests with this header, whose value contains `part` (empty: any value).
    pub fn header(self, name: &'static str, part: &'static str) -> Self {
        Self { header: Some((name, part)), ..self }
    }

    /// Only keys that contain this.
    pub fn key(self, part: &'static str) -> Self {
        Self { key: Some(part), ..self }
    }

    /// Only requests of which this is true.
    pub fn is(self, predicate: fn(&Asked) -> bool) -> Self {
        Self { is: Some(predicate), ..self }
    }

    /// Only these of the matching requests.
    pub fn nth(self, nth: Nth) -> Self {
        Self { nth, ..self }
    }

    /// Only this share of the matching requests, drawn from the layer's seed.
    pub fn chance(self, permille: u64) -> Self {
        Self { permille, ..self }
    }

    /// Only for so long after it was set.
    pub fn lasts(self, duration: Duration) -> Self {
        Self { lasts: Some(duration), ..self }
    }

    /// What becomes of them.
    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    /// They are answered like this and not carried out.
    pub fn respond(self, status: u16, code: &str, message: &str) -> Self {
        self.then(Then::Respond(Answer::error(status, code, message)))
    }

    /// They are carried out, and then this.
    pub fn forward(self, after: After) -> Self {
        self.then(Then::Forward(after))
    }

    pub(super) fn matches(&self, asked: &Asked) -> bool {
        self.method.as_ref().is_none_or(|method| *method == asked.method)
            && self.query.is_none_or(|name| asked.parameter(name).is_some())
            && self.key.is_none_or(|part| asked.key().contains(part))
            && self.header.is_none_or(|(name, part)| asked.header(name).is_some_and(|value| value.contains(part)))
            && self.is.is_none_or(|predicate| predicate(asked))
    }
}

impl Nth {
    /// Whether the `count`th match (from 1) is one of them.
    pub(super) fn has(self, count: u64) -> bool {
        match self {
            Self::Each => true,
            Self::First(most) => count <= most,
            Self::Every(step) => count.is_multiple_of(step),
            Self::Only(at) => count == at,
        }
    }
}
