//! The judge of groups: reads a [`GroupHistory`], knows nothing of how it came about, and names what may not be.
//!
//! - **two owners**: a generation gave a partition to two members, or two lives were sure of one at the same time.
//! - **made up**: a member was told an assignment that no leader of its generation handed in for it.
//! - **stale commit**: a commit was accepted although a later generation had been told before it began, in a KIP-848 group
//!   under an older epoch for a partition that somebody else was sure of, or for somebody who was never told to be that
//!   member in that generation or epoch.
//! - **outsider**: a commit without a member was accepted while a member owned something.
//! - **not fenced**: a static member whose place was taken went on as if it had it.
//! - **committed offset**: one was asked for and is one that was overwritten, or that nobody committed.
//! - **moved back**: an accepted commit is smaller than one accepted before, and its member did not own the partition.
//! - **twice**: two members of one generation, or one life without losing the partition, were given the same record.
//! - **unread**: a record was given to no member although everybody was there and done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafscale_runtime::Instant;

use crate::{
    group_history::{Deed, GroupDeeds, GroupHistory, Life, Moment, Name, Outcome, What},
    history::{Line, Place},
    registers::{self, Read, Write},
};

#[cfg(test)]
mod tests;

/// For so long a coordinator that was taken over may answer from memory; what goes through the log may not.
const STALE: Duration = Duration::from_secs(6);

/// Judges all groups; everything that is wrong.
pub fn audit(history: &GroupHistory) -> Vec<String> {
    let groups = history.groups().into_iter();
    let named = |(id, deeds): (Arc<str>, GroupDeeds)| {
        judge(&deeds).into_iter().map(move |wrong| format!("group {id}: {wrong}")).collect::<Vec<_>>()
    };
    groups.flat_map(named).collect()
}

/// Judges one group.
fn judge(group: &GroupDeeds) -> Vec<String> {
    let mut case = Case { deeds: &group.deeds, instances: BTreeMap::new(), wrong: Vec::new() };
    case.name_everybody();
    case.generations();
    case.owners();
    case.commits();
    case.fences();
    case.committed_offsets();
    case.deliveries();
    case.coverage(&group.ends);
    case.wrong
}

struct Case<'a> {
    deeds: &'a [Deed],
    /// Instance ids by member id: who comes back under another id is the same.
    instances: BTreeMap<&'a str, &'a str>,
    wrong: Vec<String>,
}

/// An assignment as a member was told it, and when.
type Told<'a> = (&'a Name, &'a BTreeSet<Line>, u64);

/// When a leader handed assignments in, and what by person.
type Proposal<'a> = (u64, BTreeMap<&'a str, &'a BTreeSet<Line>>);

/// Records that a life was given: from, to.
type Given = (Life, Place, Place);

/// A life's stay in a partition, in pieces of time within which it was sure.
struct Stay<'a> {
    life: Life,
    line: &'a Line,
    from: Moment,
    to: Option<Moment>,
    sure: Vec<(Instant, Instant)>,
}

/// A member id that held the place of its instance.
struct Holder<'a> {
    member: &'a str,
    /// When its life asked to be a member and when it was told this id: it came in between.
    asked: u64,
    told: u64,
    /// The first that it was assigned something in; a member's first epoch tells nothing of when it came.
    generation: Option<i32>,
    /// When it was known to hold the place. Answers come as late as a sleep is long: who held it before may be known later.
    held: Moment,
}

impl Holder<'_> {
    /// Whether that is certain; of two that asked at the same time it may be certain of neither. Who was told its id before
    /// another asked for one was there first. An id of a classic group is given once: with its place it loses all later
    /// generations.
    fn came_before(&self, other: &Self) -> bool {
        self.told < other.asked || self.generation < other.generation
    }
}

impl<'a> Case<'a> {
    fn name_everybody(&mut self) {
        for deed in self.deeds {
            match &deed.what {
                What::Told { name, instance: Some(instance) } if deed.end.is_some() => {
                    self.instances.insert(&name.member, instance);
                }
                What::Proposed { instances, .. } => {
                    self.instances.extend(instances.iter().map(|(member, instance)| (&**member, &**instance)));
                }
                _ => {}
            }
        }
    }

    /// Who a member id stands for: the instance of a static member.
    fn person<'b>(&'b self, member: &'b str) -> &'b str {
        self.instances.get(member).copied().unwrap_or(member)
    }

    /// In a classic group all that is told of a generation comes from one word of one leader.
    fn generations(&mut self) {
        let mut told: BTreeMap<i32, Vec<Told<'_>>> = BTreeMap::new();
        let mut proposals: BTreeMap<i32, Vec<Proposal<'_>>> = BTreeMap::new();
        for deed in self.deeds {
            match (&deed.what, deed.end) {
                (What::Assigned { name, lines }, Some(end)) => {
                    told.entry(name.epoch).or_default().push((name, lines, end.tick));
                }
                (What::Proposed { epoch, assignments, .. }, _) => {
                    let named = assignments.iter().map(|(id, lines)| (self.person(id), lines)).collect();
                    proposals.entry(*epoch).or_default().push((deed.start.tick, named));
                }
                _ => {}
            }
        }
        let none = BTreeSet::new();
        let mut wrong = Vec::new();
        for (epoch, told) in &told {
            let fits = |(began, named): &Proposal<'_>| {
                told.iter().all(|(name, lines, end)| {
                    began < end && **named.get(self.person(&name.member)).unwrap_or(&&none) == **lines
                })
            };
            if !proposals.get(epoch).is_some_and(|proposals| proposals.iter().any(fits)) {
                wrong.push(format!("made up: no leader handed in what generation {epoch} was told: {told:?}"));
            }
            let mut owners: BTreeMap<&Line, &str> = BTreeMap::new();
            for (name, lines, _) in told {
                let person = self.person(&name.member);
                for line in *lines {
                    let other = owners.insert(line, person);
                    if other.is_some_and(|other| other != person) {
                        wrong.push(format!("two owners: {line:?} of {other:?} and {person} in generation {epoch}"));
                    }
                }
            }
        }
        self.wrong.extend(wrong);
    }

    fn stays(&self) -> Vec<Stay<'a>> {
        let mut open: BTreeMap<(Life, &Line), Stay<'a>> = BTreeMap::new();
        let mut sure: BTreeMap<Life, Instant> = BTreeMap::new();
        let mut holders: BTreeMap<&str, Life> = BTreeMap::new();
        let mut displaced: BTreeSet<Life> = BTreeSet::new();
        let mut closed = Vec::new();
        let mut close = |mut stay: Stay<'a>, at: Moment| {
            stay.to = Some(at);
            if let Some(last) = stay.sure.last_mut() {
                last.1 = last.1.min(at.at);
            }
            closed.push(stay);
        };
        for deed in self.deeds {
            let (life, now) = (deed.life, deed.start);
            match &deed.what {
                // Nobody asks the one that was there: it is sure of nothing any more.
                What::Claims(instance) => {
                    let before = holders.insert(instance, life).filter(|before| *before != life);
                    displaced.extend(before);
                    for stay in open.values_mut().filter(|stay| before == Some(stay.life)) {
                        stay.sure.iter_mut().for_each(|(_, to)| *to = (*to).min(now.at));
                    }
                }
                What::Sure(_) if displaced.contains(&life) => {}
                What::Took(line) if displaced.contains(&life) => {
                    open.insert((life, line), Stay { life, line, from: now, to: None, sure: Vec::new() });
                }
                What::Took(line) => {
                    let until = sure.get(&life).copied().unwrap_or_default();
                    let stay = Stay { life, line, from: now, to: None, sure: vec![(now.at, until.max(now.at))] };
                    open.insert((life, line), stay);
                }
                What::Sure(until) => {
                    sure.insert(life, *until);
                    for stay in open.values_mut().filter(|stay| stay.life == life) {
                        match stay.sure.last_mut() {
                            Some(last) if last.1 >= now.at => last.1 = last.1.max(*until),
                            _ => stay.sure.push((now.at, (*until).max(now.at))),
                        }
                    }
                }
                What::Dropped(line) => {
                    open.remove(&(life, line)).into_iter().for_each(|stay| close(stay, now));
                }
                What::Died => {
                    let own: Vec<_> = open.keys().filter(|(owner, _)| *owner == life).copied().collect();
                    own.iter().filter_map(|key| open.remove(key)).for_each(|stay| close(stay, now));
                }
                _ => {}
            }
        }
        closed.extend(open.into_values());
        closed
    }

    /// Two lives are never sure of one partition at the same time, unless one of them took the other's place by its instance
    /// id.
    fn owners(&mut self) {
        let mut instances: BTreeMap<Life, &str> = BTreeMap::new();
        for deed in self.deeds {
            if let What::Told { instance: Some(instance), .. } = &deed.what {
                instances.insert(deed.life, instance);
            }
        }
        let stays = self.stays();
        let mut wrong = Vec::new();
        for (index, one) in stays.iter().enumerate() {
            for other in stays[index + 1..].iter().filter(|other| other.line == one.line && other.life != one.life) {
                if instances.get(&one.life).is_some_and(|instance| instances.get(&other.life) == Some(instance)) {
                    continue;
                }
                let overlap = one.sure.iter().find_map(|(from, to)| {
                    let met = other.sure.iter().find(|(start, end)| start.max(from) < end.min(to));
                    met.map(|(start, _)| *start.max(from))
                });
                if let Some(at) = overlap {
                    let (a, b, line) = (one.life, other.life, &one.line.name);
                    wrong.push(format!("two owners: lives {a} and {b} both own {line} at {at:?}"));
                }
            }
        }
        self.wrong.extend(wrong);
    }

    /// Accepted commits come from those who are what they say, and move nothing back that is not theirs.
    fn commits(&mut self) {
        let told: BTreeMap<&Name, Moment> = self.told().into_iter().rev().collect();
        let assigned = self.deeds.iter().filter_map(|deed| match (&deed.what, deed.end) {
            (What::Assigned { name, .. }, Some(end)) => Some((name.epoch, end.tick)),
            _ => None,
        });
        let assigned: Vec<(i32, u64)> = assigned.collect();
        let stays = self.stays();
        let mut greatest: BTreeMap<&Line, (u64, Place)> = BTreeMap::new();
        let mut wrong = Vec::new();
        for deed in self.deeds {
            let What::Committed { name, offsets, outcome: Outcome::Accepted } = &deed.what else { continue };
            let Some(end) = deed.end else { continue };
            let start = deed.start;
            if name.member.is_empty() {
                let sure = |stay: &Stay<'_>| stay.sure.iter().any(|(from, to)| *from < start.at && *to > end.at);
                if let Some(stay) = stays.iter().find(|stay| sure(stay)) {
                    wrong.push(format!(
                        "outsider: a commit at {start:?} was accepted while life {} was there",
                        stay.life
                    ));
                }
            } else if told.get(name).is_none_or(|at| at.tick > end.tick) {
                wrong.push(format!("stale commit: of {name:?} at {start:?}, and nobody was ever told to be that"));
            }
            let later = assigned.iter().any(|(epoch, tick)| *epoch > name.epoch && *tick < start.tick);
            if later && !name.member.is_empty() {
                wrong.push(format!(
                    "stale commit: {name:?} at {start:?} was accepted after a later generation was told"
                ));
            }
            // In its epoch a member may commit anything; under an older one what it has held since then.
            let newer = |(other, at): (&&Name, &Moment)| {
                other.member == name.member && other.epoch > name.epoch && at.tick < start.tick
            };
            let is_older = assigned.is_empty() && told.iter().any(newer);
            let was_sure = |(from, to): &(Instant, Instant)| *from < start.at && *to > end.at;
            for (line, place) in offsets {
                let mut others = stays.iter().filter(|stay| stay.life != deed.life && stay.line == line);
                if let Some(stay) = others.find(|stay| is_older && stay.sure.iter().any(was_sure)) {
                    let (other, line) = (stay.life, &line.name);
                    wrong.push(format!("stale commit: {name:?} at {start:?} was accepted for {line} of life {other}"));
                }
                let owns = stays.iter().any(|stay| {
                    let began = stay.from.tick < start.tick && stay.to.is_none_or(|to| to.tick > start.tick);
                    stay.life == deed.life && stay.line == line && began
                });
                let before = greatest.get(line).copied().unwrap_or_default();
                if before.0 < start.tick && before.1 > *place && !owns && !name.member.is_empty() {
                    wrong.push(format!("moved back: {} from {} to {place} by {name:?}", line.name, before.1));
                }
                if *place >= before.1 {
                    greatest.insert(line, (end.tick, *place));
                }
            }
        }
        self.wrong.extend(wrong);
    }

    /// When each name was told, in that order.
    fn told(&self) -> Vec<(&'a Name, Moment)> {
        let told = self.deeds.iter().filter_map(|deed| match (&deed.what, deed.end) {
            (What::Told { name, .. }, Some(end)) => Some((name, end)),
            _ => None,
        });
        let mut told: Vec<_> = told.collect();
        told.sort_by_key(|(_, at)| *at);
        told
    }

    /// Once another has taken a static member's place nothing of it is accepted any more.
    fn fences(&mut self) {
        let mut fenced: BTreeMap<&str, Moment> = BTreeMap::new();
        for rivals in self.holders().values() {
            for one in rivals {
                let later = rivals.iter().filter(|other| one.came_before(other)).map(|other| other.held);
                fenced.extend(later.min().map(|at| (one.member, at)));
            }
        }
        for deed in self.deeds {
            let (name, from_memory) = match &deed.what {
                What::Beat { name, is_accepted: true } => (name, true),
                What::Assigned { name, .. } => (name, true),
                What::Committed { name, outcome: Outcome::Accepted, .. } => (name, false),
                _ => continue,
            };
            let Some(fenced_at) = fenced.get(&*name.member).filter(|_| deed.end.is_some()) else { continue };
            let is_later = match from_memory {
                true => deed.start.at > fenced_at.at + STALE,
                false => deed.start.tick > fenced_at.tick,
            };
            if is_later {
                self.wrong
                    .push(format!("not fenced: {name:?} at {:?}, its place was taken at {fenced_at:?}", deed.start));
            }
        }
    }

    /// The member ids that held the place of each instance. JoinGroup is answered from memory, so a coordinator that was
    /// taken over, or is lost before it saves, may name members that never hold anything; assignments and epochs are saved
    /// before they are told.
    fn holders(&self) -> BTreeMap<&'a str, Vec<Holder<'a>>> {
        let is_classic = self.deeds.iter().any(|deed| matches!(deed.what, What::Assigned { .. }));
        let mut joined: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        let mut holders: BTreeMap<&str, Vec<Holder<'_>>> = BTreeMap::new();
        for deed in self.deeds {
            let (What::Told { name, .. } | What::Assigned { name, .. }, Some(end)) = (&deed.what, deed.end) else {
                continue;
            };
            let is_assigned = matches!(deed.what, What::Assigned { .. });
            if !is_assigned {
                joined.entry(&name.member).or_insert((deed.start.tick, end.tick));
            }
            let (Some(instance), Some((asked, told))) =
                (self.instances.get(&*name.member), joined.get(&*name.member).copied())
            else {
                continue;
            };
            let ids = holders.entry(instance).or_default();
            if is_assigned == is_classic && ids.iter().all(|holder| *holder.member != *name.member) {
                let generation = is_classic.then_some(name.epoch);
                ids.push(Holder { member: &name.member, asked, told, generation, held: end });
            }
        }
        holders
    }

    /// Each partition's committed offset is a register: who asks is told what was committed last.
    fn committed_offsets(&mut self) {
        let mut commits: BTreeMap<&Line, Vec<Write<Option<Place>>>> = BTreeMap::new();
        for deed in self.deeds {
            let What::Committed { offsets, outcome, .. } = &deed.what else { continue };
            let end = match (outcome, deed.end) {
                (Outcome::Refused, Some(_)) => continue,
                (Outcome::Accepted, Some(end)) => end.tick,
                _ => u64::MAX,
            };
            for (line, place) in offsets {
                commits.entry(line).or_default().push(Write { start: deed.start.tick, end, value: Some(*place) });
            }
        }
        for deed in self.deeds {
            let (What::Asked { line, answer: Some(told) }, Some(end)) = (&deed.what, deed.end) else { continue };
            let read = Read { start: deed.start.tick, end: end.tick, value: *told };
            if let Err(why) = registers::judge(&read, commits.get(line).map_or(&[], Vec::as_slice), None) {
                let name = &line.name;
                self.wrong.push(format!("committed offset: {told:?} was told for {name} at {:?}: {why}", deed.start));
            }
        }
    }

    /// No record twice in one generation, nor to one life that had not lost the partition.
    fn deliveries(&mut self) {
        let is_classic = self.deeds.iter().any(|deed| matches!(deed.what, What::Assigned { .. }));
        let mut persons: BTreeMap<Life, &str> = BTreeMap::new();
        let mut stay_of: BTreeMap<(Life, &Line), u64> = BTreeMap::new();
        let mut by_stay: BTreeMap<(Life, &Line, u64), Place> = BTreeMap::new();
        let mut by_generation: BTreeMap<(i32, &Line), Vec<Given>> = BTreeMap::new();
        let mut wrong = Vec::new();
        for deed in self.deeds {
            match &deed.what {
                What::Told { instance: Some(instance), .. } => drop(persons.insert(deed.life, instance)),
                What::Took(line) => *stay_of.entry((deed.life, line)).or_default() += 1,
                What::Delivered { epoch, line, from, to } => {
                    let life = deed.life;
                    let stay = stay_of.get(&(life, line)).copied().unwrap_or_default();
                    let reached = by_stay.entry((life, line, stay)).or_insert(*from);
                    if from < reached {
                        wrong.push(format!("twice: {} from {from} to life {life}, which was at {reached}", line.name));
                    }
                    *reached = *to;
                    let given = by_generation.entry((*epoch, line)).or_default();
                    let same = |other: &Life| {
                        *other == life || persons.get(other).is_some_and(|p| persons.get(&life) == Some(p))
                    };
                    let met = given.iter().find(|(other, start, end)| !same(other) && start.max(from) < end.min(to));
                    if let Some((other, ..)) = met.filter(|_| is_classic) {
                        wrong.push(format!(
                            "twice: {} from {from} to lives {other} and {life} in generation {epoch}",
                            line.name
                        ));
                    }
                    given.push((life, *from, *to));
                }
                _ => {}
            }
        }
        self.wrong.extend(wrong);
    }

    /// Once everybody has read everything, every record was given to somebody.
    fn coverage(&mut self, ends: &BTreeMap<Line, Place>) {
        for (line, end) in ends {
            let given = self.deeds.iter().filter_map(|deed| match &deed.what {
                What::Delivered { line: of, from, to, .. } if of == line => Some((*from, *to)),
                _ => None,
            });
            let given: BTreeSet<(Place, Place)> = given.collect();
            let reached =
                given.iter().fold(0, |reached, (from, to)| if *from <= reached { reached.max(*to) } else { reached });
            if reached < *end {
                self.wrong.push(format!("unread: {} from {reached}, its end is {end}", line.name));
            }
        }
    }
}
