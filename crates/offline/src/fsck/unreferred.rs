//! Names in the store that nothing refers to.
//!
//! None of them is deleted here: a broker that runs may be about to refer to it, and one that starts looks for what is
//! garbage by the log's word and its own clock.

use std::collections::BTreeMap;

use kafscale_broker::{cluster::MARKER, snapshot as snapshots};
use kafscale_log::{data, lone::names as log_names};
use kafscale_segment::names::{self, File, merged_id};
use kafscale_state::{Handle, Merged, Place, topic::path_namespace};

use super::{Finding, Names, Reference, Severity};
use crate::{Known, backup::MANIFEST};

/// What all names that are not referred to are.
pub(super) fn find(known: &Known, names: &Names, wanted: &BTreeMap<String, Reference>) -> Vec<Finding> {
    let paths = paths(known);
    let mut found = Vec::new();
    for name in names.keys().filter(|name| !wanted.contains_key(*name)) {
        if let Some((severity, kind, detail)) = judge(known, &paths, name, names) {
            found.push(Finding::new(severity, kind, name, "", detail));
        }
    }
    found
}

/// The paths of topics' segments, and the handles of their partitions.
fn paths(known: &Known) -> BTreeMap<String, Vec<Handle>> {
    let path = |topic: &kafscale_state::Topic| {
        let namespace = path_namespace(topic.namespace())?;
        Some((names::topic(namespace, topic.name()), topic.handles().collect()))
    };
    known.state.topics().filter_map(path).collect()
}

type Judged = Option<(Severity, &'static str, &'static str)>;

fn judge(known: &Known, paths: &BTreeMap<String, Vec<Handle>>, name: &str, names: &Names) -> Judged {
    let (state, cluster) = (&known.state, known.cluster);
    let note = |kind, detail| Some((Severity::Note, kind, detail));
    if [MARKER, log_names::FLOOR, MANIFEST].contains(&name) {
        return None;
    }
    if let Some((generation, _)) = snapshots::parse_name(name) {
        let earlier = generation != cluster.generation;
        return if earlier { note("earlier-life", "a snapshot of another life of the log") } else { None };
    }
    if let Some(position) = log_names::frame_position(cluster.generation, name) {
        // Below the snapshot they wait for the trimmer; behind the state they are being written.
        let is_dead = position <= known.snapshot && !state.is_kept(position);
        return if is_dead { note("trimmable", "a frame that the next trim deletes") } else { None };
    }
    if name.starts_with("log/") {
        return note("earlier-life", "a frame of another life of the log");
    }
    if log_names::archive_bounds(cluster.generation, name).is_some() {
        return None;
    }
    if name.starts_with(log_names::ARCHIVES) {
        return note("earlier-life", "an archive of another life of the log");
    }
    let unknown_object = |place: Place, session: u64| match state.knows(place) {
        true => note("dead", "nothing refers to it any more; a broker deletes it"),
        false if session > state.session() || !state.is_session_over(session) => {
            note("unsettled", "nothing refers to it, or not yet: the session that wrote it is the last one")
        }
        false => note("orphan", "nothing ever referred to it; a broker deletes it after a day"),
    };
    if let Some(id) = data::DataId::parse(name).filter(|id| id.cluster_id == cluster.id) {
        return unknown_object(Place::Data { store: 0, session: id.session, number: id.number }, id.session);
    }
    if let Some(names::MergedId { level, session, number, nonce }) = merged_id(cluster.id, name) {
        return unknown_object(Place::Merged(Merged { store: 0, level, session, number, nonce }), session);
    }
    let Some((rest, handles)) = of_topic(paths, name) else {
        return match is_grave(known, name) {
            true => note("dead", "a segment of a deleted topic; a broker deletes it"),
            false => note("unknown", "no name that is known here"),
        };
    };
    segment(known, rest, handles, name, names)
}

fn of_topic<'a>(paths: &'a BTreeMap<String, Vec<Handle>>, name: &'a str) -> Option<(&'a str, &'a [Handle])> {
    let (index, _) = name.match_indices('/').nth(1)?;
    let (path, rest) = name.split_at(index + 1);
    Some((rest, paths.get(path)?))
}

fn is_grave(known: &Known, name: &str) -> bool {
    let mut graves = known.state.graves();
    graves.any(|(_, grave)| {
        let namespace = path_namespace(&grave.namespace);
        namespace.is_some_and(|namespace| name.starts_with(&names::topic(namespace, &grave.name)))
    })
}

/// A file below a topic's path that is no published segment.
fn segment(known: &Known, rest: &str, handles: &[Handle], name: &str, names: &Names) -> Judged {
    let Some((index, base_offset, file)) = names::segment_of(rest) else {
        return Some((Severity::Note, "unknown", "no name of a segment"));
    };
    let handle = handles.get(index as usize).copied();
    let view = handle.and_then(|handle| known.state.partition(handle));
    let (Some(handle), Some(view)) = (handle, view) else {
        return Some((Severity::Flaw, "alien-segment", "its topic has no such partition"));
    };
    let is_published = view.segments().any(|segment| segment.base_offset == base_offset as i64);
    let kfs = || name.strip_suffix("index").map(|stem| format!("{stem}kfs"));
    if file == File::Index && is_published {
        return None;
    }
    if view.claim().is_some_and(|claim| claim.first == base_offset) {
        return Some((Severity::Note, "unsettled", "a segment that is being written"));
    }
    if known.state.knows(Place::Segment { partition: handle, base_offset }) {
        return Some((Severity::Note, "dead", "nothing refers to it any more; a broker deletes it"));
    }
    let alone = file == File::Index && kfs().is_some_and(|kfs| !names.contains_key(&kfs));
    Some(match alone {
        true => (Severity::Flaw, "alien-segment", "an index without its segment, which no log speaks of"),
        false => (Severity::Flaw, "alien-segment", "no log speaks of it, and its name can not be given out"),
    })
}
