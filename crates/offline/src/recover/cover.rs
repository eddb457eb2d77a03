//! Which of several places a partition's records are taken from: a pure choice.
//!
//! Places overlap: what was merged still lies where it was before, and an object of which the log does not speak may hold
//! what another one holds as well. Wherever an offset lies, its record is the same; only log compaction leaves some out, and
//! then it matters which places go together. Those that the log knows do, as long as they are all there and nothing lies
//! behind them. Else the youngest count, be it one that the lost end of the log refused: jobs take turns at a partition, so
//! it knows all that those before it did.

use std::cmp::Reverse;

use kafscale_state::Place;

use crate::tile::Tile;

/// What was published of a segment, or found in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kfs {
    /// Bytes of the whole file.
    pub len: u32,
    /// CRC-32C of the whole file; none where only its bytes could tell.
    pub crc: Option<u32>,
    /// Records in it.
    pub records: u32,
}

/// A place where records of a partition lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The place.
    pub tile: Tile,
    /// The log says so; else the object alone does.
    pub is_known: bool,
    /// The log knows the object, and refers to it no more or never did: it counts where there is nothing else.
    pub is_past: bool,
    /// Of a segment.
    pub kfs: Option<Kfs>,
}

/// Records that are taken from one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The place.
    pub candidate: Candidate,
    /// The first offset that it is to give.
    pub from: i64,
    /// One past the last one.
    pub until: i64,
}

/// What a partition is put together from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cover {
    /// In the order of offsets.
    pub slices: Vec<Slice>,
    /// Offsets that lie nowhere.
    pub lost: Vec<(i64, i64)>,
}

impl Slice {
    /// Whether the tile is used as it lies: nothing is cut off but what lies below the first offset of all.
    pub fn is_whole(&self, is_first: bool) -> bool {
        (self.from == self.candidate.tile.first || is_first) && self.until == self.candidate.tile.end
    }
}

/// What comes first of places that hold the same offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefer {
    /// What is known of, then what reaches furthest, then what needs no rewriting.
    Known,
    /// What was made last. Of a compacted partition an older place may hold a value whose tombstone is in no younger one any
    /// more: beside those it would be there again.
    Youngest,
}

/// What the log knows of a compacted partition, if that is all there and nothing lies behind it: then no other object can
/// know better. `gaps` are offsets that were left for lost records.
pub fn as_known(start: i64, known_end: i64, candidates: &[Candidate], gaps: &[(i64, i64)]) -> Option<Cover> {
    if candidates.iter().any(|candidate| candidate.tile.end > known_end) {
        return None;
    }
    let known = candidates.iter().filter(|candidate| candidate.is_known).cloned().collect();
    let cover = cover(start, Some(known_end), known, Prefer::Known);
    let is_left = |(from, to): &(i64, i64)| gaps.iter().any(|gap| gap.0 <= *from && *to <= gap.1);
    cover.lost.iter().all(is_left).then_some(cover)
}

/// Covers `start..end` as far as candidates go; without an `end` as far as there are any.
pub fn cover(start: i64, end: Option<i64>, mut candidates: Vec<Candidate>, prefer: Prefer) -> Cover {
    candidates.sort_by_key(|candidate| candidate.tile.first);
    let made = |candidate: &Candidate| match prefer {
        Prefer::Known => (true, 0, 0),
        Prefer::Youngest => {
            let (session, number) = age(candidate.tile.place);
            (!candidate.is_past, session, number)
        }
    };
    let limit = end.unwrap_or(i64::MAX);
    let (mut cover, mut at, mut next) = (Cover::default(), start, 0);
    let mut open: Vec<Candidate> = Vec::new();
    while at < limit {
        while next < candidates.len() && candidates[next].tile.first <= at {
            open.push(candidates[next].clone());
            next += 1;
        }
        open.retain(|candidate| candidate.tile.end > at);
        let best = open.iter().min_by_key(|candidate| {
            let tile = &candidate.tile;
            let is_cut = tile.first != at && !cover.slices.is_empty();
            let age = age(tile.place);
            (
                Reverse(made(candidate)),
                candidate.is_past,
                is_cut,
                !candidate.is_known,
                -tile.end,
                level(tile.place),
                Reverse(age),
            )
        });
        let Some(best) = best else {
            // Nothing is here: on to the next place, or to the end.
            let to = candidates.get(next).map_or(end.unwrap_or(at), |candidate| candidate.tile.first.min(limit));
            if to <= at {
                break;
            }
            cover.lost.push((at, to));
            at = to;
            continue;
        };
        let mut within = candidates[next..].iter().take_while(|candidate| candidate.tile.first < best.tile.end);
        let younger = within.find(|candidate| made(candidate) > made(best));
        let until = younger.map_or(best.tile.end, |younger| younger.tile.first).min(limit);
        cover.slices.push(Slice { candidate: best.clone(), from: at, until });
        at = until;
    }
    cover
}

/// Segments need nothing, merged objects little, what flushes wrote is rewritten.
fn level(place: Place) -> u8 {
    match place {
        Place::Segment { .. } | Place::SegmentIndex { .. } => 0,
        Place::Merged(_) => 1,
        Place::LogFrame { .. } | Place::Data { .. } => 2,
    }
}

/// Of two merged objects the younger one has been cleaned more.
fn age(place: Place) -> (u64, u64) {
    match place {
        Place::Merged(object) => (object.session, object.number),
        _ => (0, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Side;

    fn at(place: Place, first: i64, end: i64, is_known: bool) -> Candidate {
        let (side, name) = (Side::Data, String::new());
        let tile = Tile { place, side, name, start: 0, len: 1, first, end, max_timestamp: 0 };
        Candidate { tile, is_known, is_past: false, kfs: None }
    }

    fn merged(number: u64) -> Place {
        Place::Merged(kafscale_state::Merged { store: 0, level: 1, session: 2, number, nonce: 9 })
    }

    const FRAME: Place = Place::LogFrame { position: 1 };
    const SEGMENT: Place = Place::Segment { partition: 0, base_offset: 0 };

    fn taken(cover: &Cover) -> Vec<(i64, i64)> {
        cover.slices.iter().map(|slice| (slice.from, slice.until)).collect()
    }

    #[test]
    fn what_is_known_is_taken_and_the_rest_fills_gaps() {
        let candidates = vec![at(FRAME, 0, 10, true), at(SEGMENT, 0, 30, false), at(FRAME, 20, 25, true)];
        let cover = cover(0, Some(30), candidates, Prefer::Known);
        assert_eq!(taken(&cover), [(0, 10), (10, 30)]);
        assert!(cover.lost.is_empty());
        assert!(cover.slices[0].is_whole(true) && !cover.slices[1].is_whole(false));
    }

    #[test]
    fn of_two_that_say_the_same_the_younger_counts() {
        let cover = cover(0, None, vec![at(merged(3), 0, 10, false), at(merged(7), 0, 10, false)], Prefer::Known);
        assert_eq!(cover.slices[0].candidate.tile.place, merged(7));
    }

    #[test]
    fn of_compacted_records_the_youngest_place_counts_wherever_it_begins() {
        let candidates = || vec![at(merged(3), 0, 30, true), at(FRAME, 40, 45, true), at(merged(7), 10, 20, false)];
        let of = |prefer| taken(&cover(0, None, candidates(), prefer));
        assert_eq!(of(Prefer::Known), [(0, 30), (40, 45)]);
        assert_eq!(of(Prefer::Youngest), [(0, 10), (10, 20), (20, 30), (40, 45)]);
        let older = vec![at(SEGMENT, 0, 10, true), at(merged(7), 0, 20, false), at(merged(5), 5, 30, true)];
        assert_eq!(taken(&cover(0, None, older, Prefer::Youngest)), [(0, 20), (20, 30)]);
    }

    #[test]
    fn what_the_log_refused_or_replaced_counts_where_nothing_else_is() {
        let past = |first, end| Candidate { is_past: true, ..at(merged(9), first, end, false) };
        let candidates = vec![past(0, 40), at(merged(3), 0, 10, true), at(FRAME, 10, 20, true)];
        for prefer in [Prefer::Known, Prefer::Youngest] {
            let cover = cover(0, None, candidates.clone(), prefer);
            assert_eq!(taken(&cover), [(0, 10), (10, 20), (20, 40)], "{prefer:?}");
            assert_eq!(cover.slices[0].candidate.tile.place, merged(3));
        }
    }

    #[test]
    fn what_is_known_suffices_if_all_of_it_is_there_and_nothing_lies_behind_it() {
        let known = [at(merged(3), 0, 10, true), at(FRAME, 10, 20, true), at(merged(7), 0, 10, false)];
        let cover = as_known(0, 20, &known, &[]).expect("it is all there");
        assert_eq!((taken(&cover), cover.slices[0].candidate.tile.place), (vec![(0, 10), (10, 20)], merged(3)));
        assert_eq!(as_known(0, 21, &known, &[]), None, "one is missing");
        assert!(as_known(0, 21, &known, &[(20, 21)]).is_some(), "which nobody knows");
        assert_eq!(
            as_known(0, 20, &[&known[..], &[at(merged(8), 15, 21, false)]].concat(), &[]),
            None,
            "there is more"
        );
        assert_eq!(as_known(0, 20, &known[1..], &[]), None, "the other one stands in for it");
    }

    #[test]
    fn gaps_are_told_and_the_end_is_kept() {
        let cover_of = |end| cover(5, end, vec![at(FRAME, 0, 10, true), at(SEGMENT, 20, 30, false)], Prefer::Known);
        assert_eq!(taken(&cover_of(Some(40))), [(5, 10), (20, 30)]);
        assert_eq!(cover_of(Some(40)).lost, [(10, 20), (30, 40)]);
        assert_eq!(cover_of(None).lost, [(10, 20)]);
        assert_eq!(taken(&cover_of(Some(25))), [(5, 10), (20, 25)]);
        assert_eq!(cover(3, Some(9), Vec::new(), Prefer::Known).lost, [(3, 9)]);
        assert_eq!(cover(9, Some(9), Vec::new(), Prefer::Known), Cover::default());
    }
}
