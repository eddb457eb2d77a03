//! The auditor of groups objects to each kind of wrong, and to nothing else.

use super::*;

fn line() -> Line {
    Line { name: "t 0".into(), first: 0 }
}

fn name(member: &str, epoch: i32) -> Name {
    Name { member: member.into(), epoch }
}

/// Writes a story down, a second per deed.
#[derive(Clone, Default)]
struct Story(GroupDeeds);

impl Story {
    /// A deed that takes a second.
    fn deed(mut self, life: Life, what: What) -> Self {
        let moment = |tick: u64| Moment { tick, at: Duration::from_secs(tick) };
        let tick = 2 * self.0.deeds.len() as u64;
        self.0.deeds.push(Deed { life, start: moment(tick), end: Some(moment(tick + 1)), what });
        self
    }

    /// A deed that began with deed `first` of the story and is answered now.
    fn late(mut self, first: usize, life: Life, what: What) -> Self {
        let tick = 2 * self.0.deeds.len() as u64 + 1;
        let (start, end) = (self.0.deeds[first].start, Some(Moment { tick, at: Duration::from_secs(tick) }));
        self.0.deeds.insert(first, Deed { life, start, end, what });
        self
    }

    fn told(self, life: Life, member: &str, epoch: i32, instance: Option<&str>) -> Self {
        self.deed(life, What::Told { name: name(member, epoch), instance: instance.map(Arc::from) })
    }

    fn proposed(self, life: Life, epoch: i32, owner: &str) -> Self {
        let assignments = BTreeMap::from([(Arc::from(owner), BTreeSet::from([line()]))]);
        self.deed(life, What::Proposed { epoch, assignments, instances: BTreeMap::new() })
    }

    fn assigned(self, life: Life, member: &str, epoch: i32, has_it: bool) -> Self {
        let lines = has_it.then(line).into_iter().collect();
        self.deed(life, What::Assigned { name: name(member, epoch), lines })
    }

    fn commit(self, life: Life, member: &str, epoch: i32, place: Place) -> Self {
        let offsets = BTreeMap::from([(line(), place)]);
        self.deed(life, What::Committed { name: name(member, epoch), offsets, outcome: Outcome::Accepted })
    }

    fn delivered(self, life: Life, epoch: i32, from: Place, to: Place) -> Self {
        self.deed(life, What::Delivered { epoch, line: line(), from, to })
    }

    fn sure(self, life: Life, until: u64) -> Self {
        self.deed(life, What::Sure(Duration::from_secs(until)))
    }

    #[track_caller]
    fn passes(self) {
        assert_eq!(judge(&self.0), Vec::<String>::new());
    }

    #[track_caller]
    fn fails_as(self, word: &str) {
        let wrong = judge(&self.0);
        assert!(!wrong.is_empty() && wrong.iter().all(|text| text.starts_with(word)), "{word}: {wrong:?}");
    }
}

/// A reads, commits, and hands over to B.
fn handed_over() -> Story {
    let one = Story::default().told(1, "a", 1, None).proposed(1, 1, "a").assigned(1, "a", 1, true);
    let one = one.sure(1, 30).deed(1, What::Took(line())).delivered(1, 1, 0, 5).commit(1, "a", 1, 5);
    let two = one.deed(1, What::Dropped(line())).told(2, "b", 2, None).proposed(2, 2, "b").assigned(2, "b", 2, true);
    let two = two.deed(2, What::Asked { line: line(), answer: Some(Some(5)) });
    two.sure(2, 60).deed(2, What::Took(line())).delivered(2, 2, 5, 8).commit(2, "b", 2, 8)
}

#[test]
fn a_good_story_passes() {
    let mut story = handed_over();
    story.0.ends.insert(line(), 8);
    story.passes();
}

#[test]
fn each_wrong_is_named() {
    handed_over().commit(1, "a", 1, 9).fails_as("stale commit");
    handed_over().commit(3, "nobody", 2, 9).fails_as("stale commit");
    handed_over().commit(3, "", -1, 9).fails_as("outsider");
    handed_over().commit(1, "b", 2, 3).fails_as("moved back");
    handed_over().assigned(2, "b", 2, false).fails_as("made up");
    handed_over().deed(2, What::Asked { line: line(), answer: Some(Some(5)) }).fails_as("committed offset");
    handed_over().deed(2, What::Asked { line: line(), answer: Some(Some(77)) }).fails_as("committed offset");
    handed_over().delivered(2, 2, 7, 9).fails_as("twice");
    handed_over().delivered(3, 2, 5, 8).fails_as("twice");
    handed_over().deed(3, What::Sure(Duration::from_secs(90))).deed(3, What::Took(line())).fails_as("two owners");
    let mut unread = handed_over();
    unread.0.ends.insert(line(), 9);
    unread.fails_as("unread");
}

#[test]
fn an_instance_that_never_heard_its_member_id_is_who_comes_for_it() {
    let proposed = |instances: &[(&str, &str)]| {
        let assignments = BTreeMap::from([(Arc::from("i-lost"), BTreeSet::from([line()]))]);
        let instances = instances.iter().map(|(member, instance)| (Arc::from(*member), Arc::from(*instance))).collect();
        let one =
            Story::default().told(1, "leader", 1, None).deed(1, What::Proposed { epoch: 1, assignments, instances });
        one.told(2, "i-again", 1, Some("i")).assigned(2, "i-again", 1, true)
    };
    proposed(&[("i-lost", "i")]).passes();
    proposed(&[("i-lost", "j")]).fails_as("made up");
}

#[test]
fn an_older_epoch_is_good_for_what_was_held_since() {
    let first = || Story::default().told(1, "a", 1, None).sure(1, 60).deed(1, What::Took(line()));
    first().told(1, "a", 2, None).commit(1, "a", 1, 5).passes();
    let lost = first().told(1, "a", 2, None).deed(1, What::Dropped(line()));
    let lost = lost.told(2, "b", 2, None).sure(2, 60).deed(2, What::Took(line()));
    lost.commit(1, "a", 1, 5).fails_as("stale commit");
}

#[test]
fn a_place_that_was_taken_is_lost() {
    let joined = || {
        let one = Story::default().told(1, "a", 1, Some("i")).proposed(1, 1, "a").assigned(1, "a", 1, true);
        one.told(2, "b", 1, Some("i"))
    };
    let taken = || joined().assigned(2, "b", 1, true);
    let beat = || What::Beat { name: name("a", 1), is_accepted: true };
    // A coordinator that was taken over may say so for a while.
    taken().deed(1, beat()).passes();
    let later = |story: Story| (0..4).fold(story, |story, _| story.deed(2, What::Died));
    later(taken()).deed(1, beat()).fails_as("not fenced");
    // Who has joined and was given nothing may have joined a coordinator that is gone.
    later(joined()).deed(1, beat()).passes();
    taken().commit(1, "a", 1, 3).fails_as("not fenced");
}

#[test]
fn an_answer_that_came_late_takes_no_place() {
    let told = |member: &str| What::Told { name: name(member, 1), instance: Some("i".into()) };
    let assigned = |member: &str| What::Assigned { name: name(member, 1), lines: [line()].into() };
    // Of one generation, and `a` was told who it is before `b` asked.
    let one = Story::default().told(1, "a", 1, Some("i")).proposed(1, 1, "a");
    let taken = || one.clone().told(2, "b", 1, Some("i")).assigned(2, "b", 1, true).late(2, 1, assigned("a"));
    taken().commit(2, "b", 1, 3).passes();
    taken().commit(1, "a", 1, 3).fails_as("not fenced");
    // Both asked at the same time: then only generations tell who came first.
    let both = Story::default().told(2, "b", 1, Some("i")).late(0, 1, told("a")).proposed(1, 1, "a");
    let both = both.assigned(1, "a", 1, true).proposed(1, 2, "a").assigned(2, "b", 2, true);
    let later = (0..4).fold(both, |story, _| story.deed(2, What::Died));
    let beat = |member, epoch| What::Beat { name: name(member, epoch), is_accepted: true };
    later.clone().deed(2, beat("b", 2)).passes();
    later.deed(1, beat("a", 1)).fails_as("not fenced");
}

#[test]
fn who_is_displaced_is_not_sure_and_a_stranger_displaces_nobody() {
    let owner = || Story::default().deed(1, What::Claims("i".into())).sure(1, 90).deed(1, What::Took(line()));
    let given_away = |story: Story| story.sure(3, 90).deed(3, What::Took(line()));
    given_away(owner().deed(2, What::Claims("i".into()))).passes();
    given_away(owner().deed(2, What::Claims("j".into()))).fails_as("two owners");
}

#[test]
fn who_is_silent_for_longer_than_its_session_is_not_sure() {
    let story = Story::default().sure(1, 4).deed(1, What::Took(line()));
    let waited = (0..5).fold(story, |story, _| story.deed(3, What::Died));
    waited.sure(2, 90).deed(2, What::Took(line())).passes();
}
