//! When members are removed, and when that is next looked at.

use std::collections::BTreeMap;

use kafscale_runtime::Instant;

/// By member.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    of: BTreeMap<String, Deadline>,
    /// No deadline ends before this. Not every step asks every member: it is found anew when it has come.
    first: Option<Instant>,
}

/// When a member is removed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline {
    /// Unless it is heard of.
    pub session: Instant,
    /// Unless it has given up what it must.
    pub revocation: Option<Instant>,
    /// Unless it joins again, having been told to; only of one that speaks the classic protocol.
    pub join: Option<Instant>,
    /// Unless it asks for its assignment, having joined; only of such a one.
    pub sync: Option<Instant>,
}

impl Deadline {
    pub fn new(session: Instant) -> Self {
        Self { session, revocation: None, join: None, sync: None }
    }

    fn first(&self) -> Instant {
        let others = [self.revocation, self.join, self.sync].into_iter().flatten();
        others.fold(self.session, Instant::min)
    }

    /// Why the member is to go now, if it is.
    fn missed(&self, now: Instant) -> Option<&'static str> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        match self {
            _ if self.session <= now => Some("silent for too long"),
            _ if is_due(self.revocation) => Some("partitions were not given up in time"),
            _ if is_due(self.join) => Some("not joined again in time"),
            _ if is_due(self.sync) => Some("the assignment was not asked for in time"),
            _ => None,
        }
    }
}

impl Deadlines {
    /// A member's deadlines are these from now on.
    pub fn insert(&mut self, id: &str, deadline: Deadline) {
        self.of.insert(id.to_owned(), deadline);
        self.watch(deadline.first());
    }

    /// The member is heard of: until then it may be silent.
    pub fn alive(&mut self, id: &str, session: Instant) {
        match self.of.get_mut(id) {
            Some(deadline) => deadline.session = session,
            None => drop(self.of.insert(id.to_owned(), Deadline::new(session))),
        }
        self.watch(session);
    }

    /// Changes those of a member, if it has any.
    pub fn change(&mut self, id: &str, change: impl FnOnce(&mut Deadline)) {
        if let Some(deadline) = self.of.get_mut(id) {
            change(deadline);
            let first = deadline.first();
            self.watch(first);
        }
    }

    /// A member is gone.
    pub fn remove(&mut self, id: &str) {
        self.of.remove(id);
    }

    /// The next moment at which [`Deadlines::missed`] is worth a look.
    pub fn first(&self) -> Option<Instant> {
        self.first
    }

    /// The members that are to go now, and why.
    pub fn missed(&mut self, now: Instant) -> Vec<(String, &'static str)> {
        if self.first.is_none_or(|first| first > now) {
            return Vec::new();
        }
        let missed = self.of.iter().filter_map(|(id, deadline)| Some((id.clone(), deadline.missed(now)?))).collect();
        self.first = self.of.values().map(Deadline::first).filter(|first| *first > now).min();
        missed
    }

    fn watch(&mut self, at: Instant) {
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
    }
}
