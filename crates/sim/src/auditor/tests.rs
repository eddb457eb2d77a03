//! Each rule: a small history that breaks it and nothing else, and one that looks like it and is fine.

use super::*;
use crate::history::{Line, OpId};

struct Story {
    history: History,
    line: Line,
}

impl Story {
    fn new() -> Self {
        Self { history: History::default(), line: Line { name: "t-0".into(), first: 0 } }
    }

    fn begin(&self, client: u64, values: &[Value], promise: Promise) -> OpId {
        let id = self.history.append(client, &self.line, values.to_vec(), promise);
        self.history.attempt(id);
        id
    }

    fn append(&self, client: u64, values: &[Value], answer: Appended) {
        let id = self.begin(client, values, Promise::ExactlyOnce);
        self.history.appended(id, answer);
    }

    fn read(&self, from: Place, values: &[Value], is_final: bool) {
        let id = self.history.read(9, &self.line, from, is_final);
        let values = values.iter().zip(from..).map(|(value, at)| (at, Some(*value))).collect();
        self.history.found(id, Found::Values(values));
    }

    fn end(&self, told: Place) {
        let id = self.history.ask_end(9, &self.line);
        self.history.told_end(id, Some(told));
    }

    /// The first words of what is wrong.
    fn wrong(&self) -> Vec<String> {
        let wrong = audit(&self.history).err().unwrap_or_default();
        let kind = |text: &String| text.split(": ").nth(1).expect("line: kind: text").to_owned();
        let mut kinds: Vec<String> = wrong.iter().map(kind).collect();
        kinds.dedup();
        kinds
    }
}

#[test]
fn what_is_old_enough_may_go_and_nothing_else() {
    let story = |age_ms, told: &[(Place, i64)]| {
        let story = Story::new();
        story.history.expires(&story.line, age_ms);
        for (value, at) in [(1, 0), (2, 1), (3, 2)] {
            story.append(1, &[value], Appended::At(at));
            story.history.dated(&story.line, at, 100 * (1 + at as i64));
        }
        let id = story.history.read(9, &story.line, 0, false);
        story.history.found(id, Found::OutOfRange);
        told.iter().for_each(|(start, now_ms)| story.history.started(&story.line, *start, *now_ms));
        story.read(2, &[3], true);
        story.wrong()
    };
    assert_eq!(story(50, &[(1, 151), (2, 251)]), [""; 0]);
    assert_eq!(story(50, &[(1, 150), (2, 251)]), ["early"]);
    assert_eq!(story(50, &[(2, 250)]), ["early"]);
    // Nobody was told that the second one went.
    assert_eq!(story(50, &[(1, 151)]), ["lost"]);
}

#[test]
fn a_good_history_passes_and_is_counted() {
    let story = Story::new();
    story.append(1, &[1, 2], Appended::At(0));
    story.end(2);
    story.append(1, &[3], Appended::Unknown);
    story.append(1, &[4], Appended::At(3));
    story.append(1, &[5], Appended::Refused);
    story.read(1, &[2, 3], false);
    story.read(0, &[1, 2, 3, 4], true);
    let tally = audit(&story.history).expect("nothing is wrong");
    let expected = Tally {
        acknowledged: 2,
        acknowledged_after_retry: 0,
        unknown: 1,
        unknown_but_there: 1,
        refused: 1,
        values_read: 2,
        ends: 1,
        times: 0,
    };
    assert_eq!(tally, expected);
}

#[test]
fn an_acknowledged_value_that_is_not_there_is_lost() {
    let story = Story::new();
    story.append(1, &[1], Appended::At(0));
    story.append(1, &[2], Appended::At(1));
    story.read(0, &[1], true);
    assert_eq!(story.wrong(), ["lost"]);
}

#[test]
fn a_place_with_two_values_is_inconsistent() {
    let story = Story::new();
    story.append(1, &[1], Appended::Unknown);
    story.append(2, &[2], Appended::Unknown);
    story.read(0, &[1], false);
    story.read(0, &[2], true);
    assert_eq!(story.wrong(), ["inconsistent", "lost"]);
}

#[test]
fn duplicates_are_allowed_as_far_as_promised() {
    let story = Story::new();
    let id = story.begin(1, &[1], Promise::AtLeastOnce);
    story.history.attempt(id);
    story.history.appended(id, Appended::At(1));
    story.read(0, &[1, 1], true);
    assert_eq!(story.wrong(), [""; 0]);
    let story = Story::new();
    story.append(1, &[1], Appended::At(1));
    story.read(0, &[1, 1], true);
    assert_eq!(story.wrong(), ["duplicate"]);
}

#[test]
fn nobodys_values_and_refused_values_are_phantoms() {
    let story = Story::new();
    story.read(0, &[7], true);
    assert_eq!(story.wrong(), ["phantom"]);
    let story = Story::new();
    story.append(1, &[1], Appended::Refused);
    story.read(0, &[1], true);
    assert_eq!(story.wrong(), ["phantom"]);
}

#[test]
fn time_decides_the_order_of_what_did_not_overlap() {
    let story = Story::new();
    story.append(1, &[1], Appended::At(1));
    story.append(2, &[2], Appended::At(0));
    story.read(0, &[2, 1], true);
    assert_eq!(story.wrong(), ["order"]);
    let story = Story::new();
    let (a, b) = (story.begin(1, &[1], Promise::ExactlyOnce), story.begin(2, &[2], Promise::ExactlyOnce));
    story.history.appended(a, Appended::At(1));
    story.history.appended(b, Appended::At(0));
    story.read(0, &[2, 1], true);
    assert_eq!(story.wrong(), [""; 0]);
}

#[test]
fn a_client_keeps_its_own_order() {
    let story = Story::new();
    let (a, b) = (story.begin(1, &[1], Promise::ExactlyOnce), story.begin(1, &[2], Promise::ExactlyOnce));
    story.history.appended(a, Appended::At(1));
    story.history.appended(b, Appended::At(0));
    story.read(0, &[2, 1], true);
    assert_eq!(story.wrong(), ["order"]);
}

#[test]
fn reads_have_no_gaps() {
    let story = Story::new();
    story.append(1, &[1, 2, 3], Appended::At(0));
    let id = story.history.read(9, &story.line, 0, false);
    story.history.found(id, Found::Values(vec![(0, Some(1)), (2, Some(3))]));
    story.read(0, &[1, 2, 3], true);
    assert_eq!(story.wrong(), ["gap"]);
}

#[test]
fn ends_and_absences_are_not_older_than_the_request() {
    let story = Story::new();
    story.append(1, &[1, 2], Appended::At(0));
    story.end(1);
    story.read(0, &[1, 2], true);
    assert_eq!(story.wrong(), ["stale"]);
    let story = Story::new();
    story.append(1, &[1, 2], Appended::At(0));
    let id = story.history.read(9, &story.line, 2, false);
    story.history.found(id, Found::OutOfRange);
    story.read(0, &[1, 2], true);
    assert_eq!(story.wrong(), ["stale"]);
    let story = Story::new();
    story.end(5);
    assert_eq!(story.wrong(), ["phantom"]);
}

#[test]
fn who_waits_for_ever_is_stuck() {
    let story = Story::new();
    story.begin(1, &[1], Promise::ExactlyOnce);
    assert_eq!(story.wrong(), ["stuck"]);
}

#[test]
fn a_deleted_line_may_end_anywhere_but_takes_nothing_more() {
    let story = Story::new();
    story.append(1, &[1], Appended::At(0));
    story.history.deleted(&story.line);
    story.append(1, &[2], Appended::Refused);
    assert_eq!(story.wrong(), [""; 0]);
    story.append(1, &[3], Appended::At(1));
    assert_eq!(story.wrong(), ["ghost"]);
}

#[test]
fn what_was_acknowledged_somewhere_is_somewhere() {
    let story = Story::new();
    story.append(1, &[1], Appended::Somewhere);
    story.read(0, &[1], true);
    assert_eq!(story.wrong(), [""; 0]);
    let story = Story::new();
    story.append(1, &[1], Appended::Somewhere);
    assert_eq!(story.wrong(), ["lost"]);
}

/// Places 0 to 3 with the times 10, 30, 20, 30, acknowledged; then a question.
fn asked_for_time(at_or_after: Option<i64>, answer: Dated) -> Vec<String> {
    let story = Story::new();
    story.append(1, &[1, 2, 3, 4], Appended::At(0));
    story.read(0, &[1, 2, 3, 4], true);
    [10, 30, 20, 30].into_iter().zip(0..).for_each(|(time, at)| story.history.dated(&story.line, at, time));
    let id = story.history.ask_time(9, &story.line, at_or_after);
    story.history.told_time(id, answer);
    story.wrong()
}

#[test]
fn a_time_gives_the_first_place_that_fits() {
    assert!(asked_for_time(Some(15), Dated::At(1, 30)).is_empty());
    assert!(asked_for_time(Some(31), Dated::Nowhere).is_empty());
    assert!(asked_for_time(None, Dated::At(1, 30)).is_empty());
    assert!(asked_for_time(None, Dated::Unknown).is_empty());
    assert_eq!(asked_for_time(Some(15), Dated::At(0, 30)), ["time"], "not its time");
    assert_eq!(asked_for_time(Some(15), Dated::At(0, 10)), ["time"], "too early");
    assert_eq!(asked_for_time(Some(15), Dated::At(2, 20)), ["time"], "not the first");
    assert_eq!(asked_for_time(None, Dated::At(3, 30)), ["time"], "not the first of the greatest");
    assert_eq!(asked_for_time(None, Dated::At(2, 20)), ["time"], "not the greatest");
    assert_eq!(asked_for_time(Some(15), Dated::Nowhere), ["stale"]);
    assert_eq!(asked_for_time(None, Dated::Nowhere), ["stale"]);
}

#[test]
fn what_needs_no_answer_stands_once_and_in_order() {
    for (finally, wrong) in
        [(vec![1, 2], vec![]), (vec![2], vec![]), (vec![2, 1], vec!["order"]), (vec![1, 1], vec!["duplicate"])]
    {
        let story = Story::new();
        for value in [1, 2] {
            let id = story.begin(1, &[value], Promise::AtMostOnce);
            story.history.appended(id, Appended::Unknown);
        }
        story.read(0, &finally, true);
        assert_eq!(story.wrong(), wrong, "{finally:?}");
    }
}
