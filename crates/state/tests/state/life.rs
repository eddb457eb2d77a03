//! What becomes of data in stories: merging, segments, deletion; and the rules of each told one by one.

use kafscale_state::entry::{
    Cleaned, CleanedTo, Commit, Entry, Merged, ObjectRef, ObjectsDeleted, RecordsDeleted, SegmentClaimed,
    SegmentPublished, Swap, SwapExtent, TopicDeleted,
};
use kafscale_state::verdict::{Refused, SwapRefused, Verdict};
use kafscale_state::{self as state, Clean, Handle, Limits, Place, invariants};

use crate::common::{World, extent, plain};
use crate::model::{Story, Tile};
use crate::ops::LifeOp;

/// Bytes around the batches of a segment, and before them.
const SEGMENT_OVERHEAD: u32 = 48;
const SEGMENT_HEADER: u32 = 32;
const HOUR_MS: i64 = 3_600_000;

impl Story {
    pub fn life(&mut self, op: &LifeOp) {
        match *op {
            LifeOp::Merge { topic, partition, from, count, split, stale } => {
                self.merge((topic, partition), from, count, split, stale);
            }
            LifeOp::Claim { topic, partition, count } => self.claim(topic, partition, count),
            LifeOp::Publish { topic, partition } => self.publish(topic, partition),
            LifeOp::Delete => self.delete_dead(),
        }
    }

    fn merge(&mut self, (topic, index): (usize, u32), from: usize, count: usize, split: usize, stale: bool) {
        let position = self.state.position() + 1;
        let Some(topic) = &mut self.topics[topic] else { return };
        let handle = topic.first + index;
        let model = &mut topic.partitions[index as usize];
        let dead = model.tiles.iter().filter(|tile| tile.end <= model.start).count();
        let from = dead + from;
        let until = (from + count).min(model.tiles.len());
        if from >= until {
            return;
        }
        let (first, end) = (model.tiles[from].base, model.tiles[until - 1].end);
        let sources = self.state.partition(handle).and_then(|view| view.sources(first, end));
        let is_segment = |tile: &Tile| matches!(tile.place, Place::Segment { .. });
        let strands_a_segment = is_segment(&model.tiles[from]) && model.tiles.get(until).is_some_and(is_segment);
        assert_eq!(sources.is_none(), strands_a_segment, "{first}..{end} of {:?}", model.tiles);
        let object = state::Merged { store: 0, level: 1, session: 1, number: position, nonce: 7 };
        let ends = if split > 1 && end - first > 1 { vec![first + 1, end] } else { vec![end] };
        let extents: Vec<_> = ends.iter().map(|end| SwapExtent { end: *end, bytes: 5, max_timestamp: 9 }).collect();
        let sources = sources.unwrap_or(0) ^ u64::from(stale);
        let swap = Swap { partition: handle, first, sources, position: 3, extents };
        // Extents in place of a segment would come to lie before a claim that stands behind it.
        let precedes = is_segment(&model.tiles[from]);
        let claimed =
            model.claim.is_some_and(|(_, claim_first, claim_end)| precedes || (claim_first < end && first < claim_end));
        // A void claim may still stand for a few frames.
        let claimed = claimed && self.state.partition(handle).is_some_and(|view| view.claim().is_some());
        let expected = match () {
            () if stale || strands_a_segment => Err(SwapRefused::SourcesChanged),
            () if claimed => Err(SwapRefused::Claimed),
            () => Ok(()),
        };
        if expected.is_ok() {
            let (place, mut base, mut at) = (Place::Merged(object), first, 3);
            let tiles = ends.iter().map(|end| {
                let tile = Tile { base, end: *end, place, position: at, len: 5, time_ms: 9 };
                (base, at) = (*end, at + 5);
                tile
            });
            let tiles: Vec<_> = tiles.collect();
            model.tiles.splice(from..until, tiles);
        }
        let entry = Entry::Merged(Merged { object, swaps: vec![swap.clone()] });
        assert_eq!(self.frame(std::slice::from_ref(&entry)).verdicts, [Verdict::Merged(vec![expected])]);
        assert_eq!(self.frame(&[entry]).verdicts, [Verdict::Refused(Refused::ObjectCommitted)]);
        // Nor does it help to call the object otherwise.
        if expected.is_ok() {
            let object = state::Merged { nonce: 8, ..object };
            let again = self.frame(&[Entry::Merged(Merged { object, swaps: vec![swap] })]);
            assert_eq!(again.verdicts, [Verdict::Merged(vec![Err(SwapRefused::SourcesChanged)])]);
        }
    }

    fn claim(&mut self, topic: usize, index: u32, count: usize) {
        let position = self.state.position() + 1;
        let (now_ms, name) = (self.now_ms, format!("topic-{topic}"));
        let Some(topic) = &mut self.topics[topic] else { return };
        let handle = topic.first + index;
        let model = &mut topic.partitions[index as usize];
        let view = self.state.partition(handle).expect("it exists");
        let is_readable_extent = |tile: &&Tile| tile.end > model.start && !matches!(tile.place, Place::Segment { .. });
        let tiles: Vec<Tile> = model.tiles.iter().filter(is_readable_extent).take(count).copied().collect();
        let (Some(first), Some(last)) = (tiles.first(), tiles.last()) else { return };
        let (first, end) = (first.base, last.end);
        let expected = match () {
            () if view.claim().is_some() => Verdict::Refused(Refused::ClaimedAlready),
            // What lies below the start is still being freed.
            () if view.extents_start() < first => Verdict::Refused(Refused::InvalidClaim),
            // A segment of that name was replaced by a merged object and is not yet gone from the store.
            () if self.state.dead_segments().any(|(of, base, _)| (of, base) == (handle, first as u64)) => {
                Verdict::Refused(Refused::InvalidClaim)
            }
            () if self.state.graves().any(|(_, grave)| grave.name == name) => Verdict::Refused(Refused::PathInUse),
            () => {
                model.claim = Some((position, first, end));
                Verdict::Done
            }
        };
        let claim = SegmentClaimed { partition: handle, first, end, created_ms: now_ms, algorithm: 1 };
        assert_eq!(self.frame(&[Entry::SegmentClaimed(claim)]).verdicts, [expected], "{claim:?}");
    }

    fn publish(&mut self, topic: usize, index: u32) {
        let Some(topic) = &mut self.topics[topic] else { return };
        let handle = topic.first + index;
        let model = &mut topic.partitions[index as usize];
        let Some((claim, first, end)) = model.claim.take() else { return };
        let is_whole = self.state.partition(handle).is_some_and(|view| view.claim().is_some());
        let bytes = SEGMENT_OVERHEAD + 11;
        let published =
            SegmentPublished { partition: handle, claim, bytes, crc: 3, records: 1, max_timestamp: self.now_ms };
        let from = model.tiles.iter().position(|tile| tile.base == first).expect("it was written");
        let until = model.tiles.iter().position(|tile| tile.end == end).expect("it was written") + 1;
        let expected = match is_whole {
            false => {
                assert!(model.tiles[from].end <= model.start, "a claim is void without a reason");
                Verdict::Refused(Refused::ClaimUnknown)
            }
            true => {
                let place = Place::Segment { partition: handle, base_offset: first as u64 };
                let time_ms = self.now_ms;
                let segment = Tile { base: first, end, place, position: SEGMENT_HEADER, len: 11, time_ms };
                model.tiles.splice(from..until, [segment]);
                Verdict::Done
            }
        };
        let unknown = Verdict::Refused(Refused::ClaimUnknown);
        let entry = Entry::SegmentPublished(published);
        assert_eq!(self.frame(&[entry.clone(), entry]).verdicts, [expected, unknown]);
    }

    fn delete_dead(&mut self) {
        let live = self.topics.iter().flatten().flat_map(|topic| &topic.partitions).flat_map(|model| &model.tiles);
        let live = live.filter_map(|tile| self.state.object_at(tile.place));
        let dead = self.state.dead_objects().map(|(id, _)| id);
        let objects = dead.chain(live.take(2)).collect();
        let segments = self.state.dead_segments().map(|(handle, base, _)| (handle, base)).collect();
        let graves = self.state.graves().map(|(number, _)| number).collect();
        let young = self.state.graves().filter(|(_, grave)| self.now_ms - grave.time_ms < HOUR_MS).count();
        let entry = Entry::ObjectsDeleted(ObjectsDeleted { objects, segments, graves });
        assert_eq!(self.frame(&[entry]).verdicts, [Verdict::Done]);
        assert!(self.state.graves().count() >= young);
    }
}

fn merged(number: u64, swaps: Vec<Swap>) -> Entry {
    Entry::Merged(Merged { object: state::Merged { store: 0, level: 1, session: 1, number, nonce: 9 }, swaps })
}

/// A swap of everything that the partition has.
fn swap_all(world: &World, partition: Handle, position: u32) -> Swap {
    let view = world.state.partition(partition).expect("it exists");
    let (first, end) = (view.log_start_offset(), view.high_watermark());
    let sources = view.sources(first, end).expect("all tiles");
    let extents = vec![SwapExtent { end, bytes: view.bytes() as u32, max_timestamp: 5_000 }];
    Swap { partition, first, sources, position, extents }
}

fn places(world: &World, partition: Handle) -> Vec<(i64, i64, u8)> {
    let view = world.state.partition(partition).expect("it exists");
    view.extents_from(0).map(|extent| (extent.base_offset, extent.end_offset, extent.place.level())).collect()
}

fn dead(world: &World) -> Vec<(Place, u64, bool)> {
    world.state.dead_objects().map(|(_, dead)| (dead.place, dead.since, dead.replaced)).collect()
}

fn frame(position: u64) -> Place {
    Place::LogFrame { position }
}

#[test]
fn a_merged_object_takes_the_place_of_what_was_read() {
    let mut world = World::new();
    let (a, b) = (world.topic("a", 1, 1), world.topic("b", 2, 1));
    for _ in 0..2 {
        world.commit(vec![], vec![extent(a, vec![plain(2)]), extent(b, vec![plain(1)])]);
    }
    let of_a = swap_all(&world, a, 0);
    let of_b = swap_all(&world, b, 40);
    // Written in between: what was read is still there, and what came after it stays where it is.
    world.commit(vec![], vec![extent(a, vec![plain(1)])]);
    assert_eq!(world.say(merged(1, vec![of_a, of_b])), Verdict::Merged(vec![Ok(()), Ok(())]));
    assert_eq!((places(&world, a), places(&world, b)), (vec![(0, 4, 1), (4, 5, 0)], vec![(0, 2, 1)]));
    assert_eq!(world.state.backlog().used, 3);
    assert_eq!(dead(&world), [(frame(3), 6, true), (frame(4), 6, true)]);
    assert!(!world.state.is_live(3) && world.state.is_kept(3) && world.state.is_live(5) && !world.state.is_kept(1));
}

#[test]
fn a_swap_of_what_is_there_no_longer_is_refused_alone_and_leaves_its_object_dead() {
    refused_alone();
}

pub fn refused_alone() {
    let mut world = World::new();
    let (a, b) = (world.topic("a", 1, 1), world.topic("b", 2, 1));
    world.commit(vec![], vec![extent(a, vec![plain(2)]), extent(b, vec![plain(1)])]);
    let (of_a, of_b) = (swap_all(&world, a, 0), swap_all(&world, b, 20));
    assert_eq!(world.say(merged(1, vec![of_a.clone()])), Verdict::Merged(vec![Ok(())]));
    let changed = Err(SwapRefused::SourcesChanged);
    assert_eq!(world.say(merged(2, vec![of_a.clone(), of_b])), Verdict::Merged(vec![changed, Ok(())]));
    assert_eq!(world.say(merged(3, vec![of_a.clone()])), Verdict::Merged(vec![changed]));
    let nobodys = state::Merged { store: 0, level: 1, session: 1, number: 3, nonce: 9 };
    assert_eq!(dead(&world), [(Place::Merged(nobodys), 6, false), (frame(3), 5, true)]);
    assert_eq!(world.say(merged(3, vec![of_a])), Verdict::Refused(Refused::ObjectCommitted));
    // Once it is gone the state has forgotten it.
    let objects = world.state.dead_objects().map(|(id, _)| id).collect();
    world.say(Entry::ObjectsDeleted(ObjectsDeleted { objects, ..Default::default() }));
    assert!(dead(&world).is_empty() && !world.state.knows(Place::Merged(nobodys)) && !world.state.is_kept(3));
}

#[test]
fn swaps_that_contradict_themselves_are_refused() {
    let mut world = World::new();
    let a = world.topic("a", 1, 1);
    world.commit(vec![], vec![extent(a, vec![plain(2)])]);
    let good = swap_all(&world, a, 0);
    let with = |extents: Vec<SwapExtent>| Swap { extents, ..good.clone() };
    let (e, end) = (good.extents[0], good.end());
    let refused = [
        (with(vec![]), SwapRefused::Invalid),
        (with(vec![SwapExtent { bytes: 0, ..e }]), SwapRefused::Invalid),
        (with(vec![e, e]), SwapRefused::Invalid),
        (with(vec![SwapExtent { end: end + 1, ..e }]), SwapRefused::SourcesChanged),
        (with(vec![SwapExtent { end: 1, ..e }]), SwapRefused::SourcesChanged),
        (Swap { first: -1, ..good.clone() }, SwapRefused::Invalid),
        (Swap { first: 1, ..good.clone() }, SwapRefused::SourcesChanged),
        (Swap { position: u32::MAX, ..good.clone() }, SwapRefused::Invalid),
        (Swap { partition: 77, ..good.clone() }, SwapRefused::UnknownTopicOrPartition),
    ];
    for (number, (swap, why)) in (1..).zip(refused) {
        assert_eq!(world.say(merged(number, vec![swap.clone()])), Verdict::Merged(vec![Err(why)]), "{swap:?}");
    }
    for level in [0, u8::MAX] {
        let object = state::Merged { store: 0, level, session: 1, number: 100, nonce: 9 };
        let entry = Entry::Merged(Merged { object, swaps: vec![good.clone()] });
        assert_eq!(world.say(entry), Verdict::Refused(Refused::InvalidObject));
    }
}

#[test]
fn the_backlog_does_not_grow_beyond_its_cap_by_merging() {
    let mut world = World::with_limits(Limits { extents: 2, ..Limits::default() });
    let a = world.topic("a", 1, 1);
    world.commit(vec![], vec![extent(a, vec![plain(4)])]);
    let whole = swap_all(&world, a, 0);
    let three = (1..4).map(|end| SwapExtent { end: if end == 3 { 4 } else { end }, bytes: 1, max_timestamp: 0 });
    let swap = Swap { extents: three.collect(), ..whole };
    assert_eq!(world.say(merged(1, vec![swap])), Verdict::Merged(vec![Err(SwapRefused::BacklogFull)]));
}

fn claim(world: &mut World, partition: Handle, first: i64, end: i64) -> Verdict {
    world.say(Entry::SegmentClaimed(SegmentClaimed { partition, first, end, created_ms: 5, algorithm: 1 }))
}

fn publish(world: &mut World, partition: Handle, claim: u64) -> Verdict {
    let (bytes, crc, records, max_timestamp) = (100, 7, 3, 5_000);
    world.say(Entry::SegmentPublished(SegmentPublished { partition, claim, bytes, crc, records, max_timestamp }))
}

#[test]
fn a_segment_is_claimed_published_and_read_across() {
    let mut world = World::new();
    let a = world.topic("a", 1, 1);
    for _ in 0..3 {
        world.commit(vec![], vec![extent(a, vec![plain(2)])]);
    }
    for (first, end) in [(2, 4), (0, 3), (0, 0), (-1, 2), (0, 8)] {
        assert_eq!(claim(&mut world, a, first, end), Verdict::Refused(Refused::InvalidClaim), "{first}..{end}");
    }
    assert_eq!(claim(&mut world, a, 0, 4), Verdict::Done);
    let number = world.state.position();
    assert_eq!(claim(&mut world, a, 0, 2), Verdict::Refused(Refused::ClaimedAlready));
    let other = swap_all(&world, a, 0);
    assert_eq!(world.say(merged(1, vec![other])), Verdict::Merged(vec![Err(SwapRefused::Claimed)]));
    assert_eq!(publish(&mut world, a, number + 1), Verdict::Refused(Refused::ClaimUnknown));
    assert_eq!(publish(&mut world, a, number), Verdict::Done);
    assert_eq!(publish(&mut world, a, number), Verdict::Refused(Refused::ClaimUnknown));
    assert_eq!(places(&world, a), [(0, 4, u8::MAX), (4, 6, 0)]);
    let view = world.state.partition(a).expect("it exists");
    assert_eq!((view.segment_count(), view.extent_count(), view.extents_start(), view.bytes()), (1, 1, 4, 52 + 20));
    assert_eq!(view.extents_from(5).map(|extent| extent.base_offset).collect::<Vec<_>>(), [4]);
    assert_eq!(view.extents_from(3).map(|extent| extent.base_offset).collect::<Vec<_>>(), [0, 4]);
    assert_eq!(view.unsegmented().count(), 1);
    assert_eq!(view.segments().next().map(|segment| (segment.end_offset, segment.crc, segment.len)), Some((4, 7, 100)));
    // Cleaning by key may move a segment's records into a merged object again.
    let all = swap_all(&world, a, 0);
    let applied = world.frame(&[merged(2, vec![all])]);
    assert_eq!((applied.verdicts, applied.unsegmented), (vec![Verdict::Merged(vec![Ok(())])], vec![a]));
    assert_eq!(places(&world, a), [(0, 6, 1)]);
    let again = swap_all(&world, a, 0);
    assert_eq!(world.frame(&[merged(3, vec![again])]).unsegmented, [], "they were in no segment");
    let dead: Vec<_> = world.state.dead_segments().map(|(handle, base, dead)| (handle, base, dead.replaced)).collect();
    assert_eq!(dead, [(a, 0, true)]);
    assert_eq!(claim(&mut world, a, 0, 6), Verdict::Refused(Refused::InvalidClaim), "its name is not free yet");
}

#[test]
fn what_is_clean_only_grows_and_is_dated_by_the_frame() {
    let mut world = World::new();
    let a = world.topic("a", 1, 1);
    world.commit(vec![], vec![extent(a, vec![plain(5)])]);
    let clean = |world: &mut World, partition, to, horizon_ms| {
        let partitions = vec![CleanedTo { partition, to, horizon_ms }];
        assert_eq!(world.say(Entry::Cleaned(Cleaned { partitions })), Verdict::Done);
        world.state.partition(a).and_then(|view| view.clean())
    };
    assert_eq!(clean(&mut world, 9, 1, None), None, "another partition");
    assert_eq!(clean(&mut world, a, -1, None), None);
    assert_eq!(clean(&mut world, a, 6, None), None, "there is no such offset yet");
    world.now_ms += 7;
    let first = Some(Clean { to: 3, time_ms: world.now_ms, horizon_ms: Some(9) });
    assert_eq!(clean(&mut world, a, 3, Some(9)), first);
    world.now_ms += 7;
    assert_eq!(clean(&mut world, a, 2, None), first, "an older pass says nothing new");
    let again = Some(Clean { to: 3, time_ms: world.now_ms, horizon_ms: None });
    assert_eq!(clean(&mut world, a, 3, None), again, "its tombstones are gone");
    assert_eq!(clean(&mut world, a, 5, Some(1)).map(|clean| clean.to), Some(5));
}

#[test]
fn a_claim_whose_records_are_gone_is_void_and_its_place_is_garbage() {
    let mut world = World::new();
    let a = world.topic("a", 1, 1);
    for _ in 0..2 {
        world.commit(vec![], vec![extent(a, vec![plain(2)])]);
    }
    assert_eq!(claim(&mut world, a, 0, 4), Verdict::Done);
    let number = world.state.position();
    let delete =
        |world: &mut World, start| world.say(Entry::RecordsDeleted(RecordsDeleted { starts: vec![(a, start)] }));
    delete(&mut world, 1);
    assert!(world.state.partition(a).is_some_and(|view| view.claim().is_some()), "its first extent is still there");
    delete(&mut world, 2);
    assert_eq!(world.state.dead_segments().map(|(_, base, _)| base).collect::<Vec<_>>(), [0]);
    assert_eq!(publish(&mut world, a, number), Verdict::Refused(Refused::ClaimUnknown));
    assert_eq!(claim(&mut world, a, 2, 4), Verdict::Done);
}

#[test]
fn a_deleted_topic_keeps_its_path_for_an_hour_and_until_it_is_empty() {
    let mut world = World::new();
    let a = world.topic("a", 1, 1);
    world.commit(vec![], vec![extent(a, vec![plain(2)])]);
    assert_eq!(claim(&mut world, a, 0, 2), Verdict::Done);
    let number = world.state.position();
    assert_eq!(publish(&mut world, a, number), Verdict::Done);
    world.say(Entry::TopicDeleted(TopicDeleted { id: 1 }));
    let (grave, name) = world.state.graves().map(|(grave, found)| (grave, found.name.clone())).next().expect("one");
    assert_eq!(name, "a");
    let again = world.topic("a", 2, 1);
    world.commit(vec![], vec![extent(again, vec![plain(2)])]);
    let in_use = Verdict::Refused(Refused::PathInUse);
    assert_eq!(claim(&mut world, again, 0, 2), in_use);
    let segments: Vec<_> = world.state.dead_segments().map(|(handle, base, _)| (handle, base)).collect();
    assert_eq!(segments, [(a, 0)]);
    let gone = |segments, graves| Entry::ObjectsDeleted(ObjectsDeleted { segments, graves, ..Default::default() });
    world.now_ms += HOUR_MS;
    world.say(gone(vec![], vec![grave]));
    assert_eq!(claim(&mut world, again, 0, 2), in_use, "there is a segment");
    world.say(gone(segments, vec![]));
    assert_eq!(claim(&mut world, again, 0, 2), in_use, "nobody has said that nothing is left");
    world.say(gone(vec![], vec![grave]));
    assert_eq!(claim(&mut world, again, 0, 2), Verdict::Done);
    // A topic without a path leaves no grave.
    world.topic("b", 3, 1);
    world.say(Entry::TopicDeleted(TopicDeleted { id: 3 }));
    assert_eq!(world.state.graves().count(), 0);
}

#[test]
fn namespaces_that_the_store_uses_otherwise_have_no_paths() {
    let mut world = World::new();
    for (id, namespace) in (1..).zip(["default", "log", "merged"]) {
        let mut created = crate::common::topic("a", id, 1);
        if let Entry::TopicCreated(created) = &mut created {
            created.namespace = namespace.into();
        }
        let Verdict::TopicCreated { handles } = world.say(created) else { panic!("not created") };
        world.commit(vec![], vec![extent(handles.first, vec![plain(2)])]);
        assert_eq!(claim(&mut world, handles.first, 0, 2), Verdict::Refused(Refused::InvalidName));
    }
}

#[test]
fn a_data_object_of_which_nothing_is_used_is_dead_at_once() {
    let mut world = World::new();
    let object = ObjectRef::Data { store: 0, session: 1, number: 4, section_hash: 0 };
    let commit = Entry::Commit(Commit { object, producers: vec![], extents: vec![extent(9, vec![plain(1)])] });
    world.frame(std::slice::from_ref(&commit));
    let place = Place::Data { store: 0, session: 1, number: 4 };
    assert_eq!(dead(&world), [(place, 1, false)]);
    assert_eq!(world.say(commit), Verdict::Refused(Refused::ObjectCommitted));
    invariants::check(&world.state).unwrap();
}

#[test]
fn deleted_records_and_topics_leave_their_objects_dead() {
    let mut world = World::new();
    let a = world.topic("a", 1, 1);
    for _ in 0..2 {
        world.commit(vec![], vec![extent(a, vec![plain(2)])]);
    }
    world.say(Entry::RecordsDeleted(RecordsDeleted { starts: vec![(a, 2)] }));
    assert_eq!(dead(&world), [(frame(2), 4, false)]);
    world.say(Entry::TopicDeleted(TopicDeleted { id: 1 }));
    assert_eq!(dead(&world), [(frame(2), 4, false), (frame(3), 5, false)]);
}

/// One of everything that the life of data leaves in a state.
pub fn everything() -> World {
    let mut world = World::new();
    let (a, gone) = (world.topic("a", 1, 1), world.topic("gone", 2, 1));
    for _ in 0..3 {
        world.commit(vec![], vec![extent(a, vec![plain(2)]), extent(gone, vec![plain(1)])]);
    }
    let swap = swap_all(&world, gone, 0);
    world.say(merged(1, vec![swap.clone()]));
    world.say(merged(2, vec![swap]));
    for (partition, end) in [(a, 2), (gone, 3)] {
        claim(&mut world, partition, 0, end);
        let number = world.state.position();
        publish(&mut world, partition, number);
    }
    world.say(Entry::TopicDeleted(TopicDeleted { id: 2 }));
    claim(&mut world, a, 2, 4);
    let object = ObjectRef::Data { store: 255, session: 1, number: 9, section_hash: 0 };
    world.say(Entry::Commit(Commit { object, producers: vec![], extents: vec![extent(a, vec![plain(1)])] }));
    let b = world.topic("b", 3, 1);
    world.commit(vec![], vec![extent(b, vec![plain(1)])]);
    let swap = swap_all(&world, b, 3);
    world.say(merged(3, vec![swap]));
    world
}
