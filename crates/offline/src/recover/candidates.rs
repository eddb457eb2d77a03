//! Where records may be taken from: what the log speaks of and is there, and objects of which it does not, that say
//! themselves whose records they hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use kafscale_segment::{
    merged,
    names::{self, File, merged_id},
};
use kafscale_state::{
    Handle, Merged, Place, State,
    rebuild::TopicSeed,
    topic::{DEFAULT_NAMESPACE, DEFAULT_PATH_NAMESPACE, is_name, path_namespace},
};

use super::{
    appended,
    cover::{Candidate, Kfs},
    evidence::Evidence,
};
use crate::{
    Bucket, Error, Side,
    fsck::Names,
    object::{merged_parts, merged_tiles, segment_tile},
    tile::{Tile, tiles},
};

/// Partitions of one topic, as the state allows.
const PARTITIONS_MAX: u32 = 100_000;

/// Offsets stay below this, with room for gaps.
const OFFSET_MAX: i64 = 1 << 47;

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Places by partition.
    pub of: BTreeMap<Handle, Vec<Candidate>>,
    /// Objects that the log speaks of and that are not there, or shorter than it says.
    pub missing: BTreeSet<String>,
    /// Files under the paths of partitions, by base offset.
    pub files: BTreeSet<(Handle, u64)>,
    /// Objects that cannot be read, and why.
    pub unreadable: Vec<(String, String)>,
    /// There are records behind the end that the log knew.
    pub is_beyond: bool,
}

impl Found {
    /// Takes a place in, unless what an object says of it cannot be.
    pub fn add(&mut self, handle: Handle, tile: Tile, is_known: bool, kfs: Option<Kfs>) {
        self.take(handle, Candidate { tile, is_known, is_past: false, kfs });
    }

    fn take(&mut self, handle: Handle, candidate: Candidate) {
        let tile = &candidate.tile;
        let possible = 0 <= tile.first && tile.first < tile.end && tile.end <= OFFSET_MAX && tile.len > 0;
        if !possible {
            let reason = format!("it says that it holds offsets {} to {}", tile.first, tile.end);
            return self.unreadable.push((candidate.tile.name, reason));
        }
        self.of.entry(handle).or_default().push(candidate);
    }

    /// Notes an object that is damaged; one that went meanwhile is none.
    pub fn unreadable(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Damaged { name, reason } => self.unreadable.push((name, reason)),
            Error::Missing(_) => {}
            error => return Err(error),
        }
        Ok(())
    }
}

/// Everything that a store has, by name.
pub async fn all_names(bucket: &Bucket) -> Result<Names, Error> {
    let mut found = Names::new();
    for side in bucket.sides() {
        found.extend(bucket.list(*side, "").await?.into_iter().map(|row| (row.name, row.size)));
    }
    Ok(found)
}

/// Looks at all names. With `beyond` topics that the state does not know are taken into it, and records behind its end.
pub async fn find(bucket: &Bucket, evidence: &mut Evidence, all: &Names, beyond: bool) -> Result<Found, Error> {
    let mut found = Found::default();
    let used = known(evidence, all, &mut found);
    merged_objects(bucket, evidence, all, &used, &mut found, beyond).await?;
    found.is_beyond = beyond && is_beyond(evidence, &found);
    segments(bucket, evidence, all, &mut found, beyond).await?;
    if !beyond {
        return Ok(found);
    }
    found.is_beyond = is_beyond(evidence, &found);
    appended::data_objects(bucket, evidence, all, &mut found).await?;
    Ok(found)
}

/// What was rewritten lies before the end of the log, unless that end is lost.
fn is_beyond(evidence: &Evidence, found: &Found) -> bool {
    found.of.iter().any(|(handle, candidates)| {
        let end = evidence.state.partition(*handle).map_or(0, |view| view.high_watermark());
        candidates.iter().any(|candidate| candidate.tile.end > end)
    })
}

/// What the log speaks of. Returns the objects.
fn known(evidence: &Evidence, all: &Names, found: &mut Found) -> BTreeSet<Place> {
    let (state, cluster) = (&evidence.state, evidence.cluster);
    let mut used = BTreeSet::new();
    for handle in state.topics().flat_map(|topic| topic.handles()) {
        let Some(view) = state.partition(handle) else { continue };
        let published: BTreeMap<i64, Kfs> = view
            .segments()
            .map(|segment| {
                let kfs = Kfs { len: segment.len, crc: Some(segment.crc), records: segment.records };
                (segment.base_offset, kfs)
            })
            .collect();
        let gaps: Vec<(i64, i64)> =
            evidence.gaps.iter().filter(|(of, ..)| *of == handle).map(|(_, from, to)| (*from, *to)).collect();
        for tile in tiles(state, cluster, handle, 0) {
            let mut tile = match tile {
                Ok(tile) => tile,
                Err(reason) => {
                    found.unreadable.push((format!("{} [{}]", view.topic().name(), view.index()), reason));
                    continue;
                }
            };
            used.insert(tile.place);
            // What was left for lost records lies nowhere.
            if let Some((from, _)) = gaps.iter().find(|(from, to)| tile.first < *from && *to <= tile.end) {
                tile.end = *from;
            }
            let kfs = match tile.place {
                Place::Segment { .. } => published.get(&tile.first).copied(),
                _ => None,
            };
            let size = all.get(&tile.name).copied().unwrap_or(0);
            let is_there = size >= tile.bytes_end() && kfs.is_none_or(|kfs| size == u64::from(kfs.len));
            match is_there {
                true => found.add(handle, tile, true, kfs),
                false => drop(found.missing.insert(tile.name)),
            }
        }
    }
    used
}

/// Merged objects of which the log does not speak, or not any more.
async fn merged_objects(
    bucket: &Bucket,
    evidence: &mut Evidence,
    all: &Names,
    used: &BTreeSet<Place>,
    found: &mut Found,
    beyond: bool,
) -> Result<(), Error> {
    let cluster = evidence.cluster.id;
    let prefix = names::merged_of(cluster);
    let mut objects = Vec::new();
    for (name, _) in all.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix)) {
        let Some(names::MergedId { level, session, number, nonce }) = merged_id(cluster, name) else { continue };
        evidence.session = evidence.session.max(session);
        if used.contains(&Place::Merged(Merged { store: 0, level, session, number, nonce })) {
            continue;
        }
        let front = bucket.get(Side::Data, name, 0, merged::HEADER_LEN as u64).await?.unwrap_or_default();
        match merged_parts(bucket, Side::Data, name, &front).await {
            Ok((header, parts)) if header.cluster == cluster => objects.push((name, header, parts)),
            Ok((header, _)) => {
                found.unreadable.push((name.clone(), format!("it belongs to cluster {:032x}", header.cluster)));
            }
            Err(error) => found.unreadable(error)?,
        }
    }
    if beyond {
        adopt_topics(evidence, objects.iter().flat_map(|(_, _, parts)| parts))?;
    }
    for (name, header, parts) in &objects {
        for part in parts {
            let topic = evidence.state.topic_by_id(part.topic_id);
            let Some(handle) = topic.and_then(|topic| topic.handle(part.partition)) else { continue };
            let size = all.get(*name).copied().unwrap_or(0);
            for told in merged_tiles(Side::Data, name, header, std::slice::from_ref(part)) {
                let is_past = evidence.state.knows(told.tile.place);
                match told.tile.bytes_end() <= size {
                    true => found.take(handle, Candidate { tile: told.tile, is_known: false, is_past, kfs: None }),
                    false => found.unreadable.push(((*name).clone(), format!("it has {size} bytes"))),
                }
            }
        }
    }
    Ok(())
}

/// What all merged objects say of themselves, as far as they can be read.
pub async fn told(bucket: &Bucket, cluster: u128) -> Result<Vec<merged::Part>, Error> {
    let mut all = Vec::new();
    for row in bucket.list(Side::Data, &names::merged_of(cluster)).await? {
        let front = bucket.get(Side::Data, &row.name, 0, merged::HEADER_LEN as u64).await?.unwrap_or_default();
        match merged_parts(bucket, Side::Data, &row.name, &front).await {
            Ok((header, parts)) if header.cluster == cluster => all.extend(parts),
            Ok(_) | Err(Error::Damaged { .. } | Error::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Takes in the topic of a partition of which only the number is known, if a merged object tells which one that is. Whether
/// the partition is known now.
pub fn adopt_told(evidence: &mut Evidence, told: &[merged::Part], handle: Handle) -> bool {
    let Some(part) = told.iter().find(|part| part.handle == handle) else { return false };
    let of_topic = told.iter().filter(|other| other.topic_id == part.topic_id);
    adopt_topics(evidence, of_topic).is_ok() && evidence.state.partition(handle).is_some()
}

/// Topics and partitions that only merged objects tell of. Those whose numbers are below what was unknown were deleted.
fn adopt_topics<'a>(evidence: &mut Evidence, parts: impl Iterator<Item = &'a merged::Part>) -> Result<(), Error> {
    let mut told: BTreeMap<u128, (&merged::Part, BTreeMap<u32, Handle>)> = BTreeMap::new();
    for part in parts {
        let known = evidence.state.topic_by_id(part.topic_id).and_then(|topic| topic.handle(part.partition)).is_some();
        if !known && part.handle >= evidence.unknown_from {
            let (_, partitions) = told.entry(part.topic_id).or_insert_with(|| (part, BTreeMap::new()));
            partitions.insert(part.partition, part.handle);
        }
    }
    for (id, (part, partitions)) in told {
        let last = partitions.last_key_value().map_or(0, |(index, _)| *index);
        let before = evidence.state.topic_by_id(id).map_or(0, kafscale_state::Topic::partition_count);
        let handles = numbers(&evidence.state, before..last.saturating_add(1), &partitions);
        let adopted = match evidence.state.topic_by_id(id) {
            Some(_) => evidence.state.adopt_partitions(id, &handles),
            None => {
                let taken = evidence.state.topic_in(&part.namespace, &part.topic).is_some();
                let name = if taken { beside(&part.topic, part.handle) } else { part.topic.clone() };
                let (namespace, settings, position) =
                    (part.namespace.clone(), Default::default(), evidence.state.position());
                evidence.state.adopt(TopicSeed { namespace, name, id, settings, handles }, position)
            }
        };
        adopted.map_err(|error| Error::Refused(error.to_string()))?;
    }
    Ok(())
}

/// What a topic is called whose name is another's.
fn beside(topic: &str, handle: Handle) -> String {
    let name = format!("recovered.{topic}");
    if is_name(&name) { name } else { format!("recovered.{handle}") }
}

/// Numbers for these partitions: those that are told, and beside them as they are given, one after the other. Where that cannot
/// be, all are new.
fn numbers(state: &State, indexes: Range<u32>, told: &BTreeMap<u32, Handle>) -> Vec<Handle> {
    let beside = |index: u32| match told.range(..=index).next_back() {
        Some((below, handle)) => handle.checked_add(index - below),
        None => told.range(index..).next().and_then(|(above, handle)| handle.checked_sub(above - index)),
    };
    let indexes = indexes.start..indexes.end.min(indexes.start.saturating_add(PARTITIONS_MAX));
    let numbers: Option<Vec<Handle>> = indexes.clone().map(beside).collect();
    let ascend = |numbers: &Vec<Handle>| numbers.windows(2).all(|pair| pair[0] < pair[1]);
    let are_free = |numbers: &Vec<Handle>| numbers.iter().all(|handle| state.partition(*handle).is_none());
    let numbers = numbers.filter(|numbers| ascend(numbers) && are_free(numbers));
    numbers.unwrap_or_else(|| {
        let first = state.next_handle().max(told.values().max().map_or(0, |last| last.saturating_add(1)));
        (0..indexes.len() as u32).map(|index| first.saturating_add(index)).collect()
    })
}

/// Segments under the paths of topics. One that is in nobody's path makes its topic.
async fn segments(
    bucket: &Bucket,
    evidence: &mut Evidence,
    all: &Names,
    found: &mut Found,
    beyond: bool,
) -> Result<(), Error> {
    let mut rows: Vec<(&String, u64, Path)> = Vec::new();
    for (name, size) in all {
        let Some(path) = Path::of(name).filter(|path| path.file == File::Kfs) else { continue };
        let is_grave =
            evidence.state.graves().any(|(_, grave)| grave.namespace == path.namespace && grave.name == path.topic);
        if !is_grave {
            rows.push((name, *size, path));
        }
    }
    let mut partitions: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for (_, _, path) in &rows {
        let count = partitions.entry((path.namespace, path.topic)).or_default();
        *count = (*count).max(path.partition.saturating_add(1));
    }
    for ((namespace, topic), count) in partitions {
        let known = evidence.state.topic_in(namespace, topic).map(|topic| (topic.id(), topic.partition_count()));
        let before = known.map_or(0, |(_, before)| before);
        // A log that is whole knows all its topics: what lies in other paths is somebody else's.
        if !beyond || count <= before || (evidence.is_whole() && !found.is_beyond) {
            continue;
        }
        let handles = numbers(&evidence.state, before..count, &BTreeMap::new());
        let position = evidence.state.position();
        let adopted = match known {
            Some((id, _)) => evidence.state.adopt_partitions(id, &handles),
            None => {
                let (namespace, name, id) = (namespace.to_owned(), topic.to_owned(), bucket.runtime().random_u128());
                let seed = TopicSeed { namespace, name, id, settings: Default::default(), handles };
                evidence.state.adopt(seed, position)
            }
        };
        if let Err(error) = adopted {
            found.unreadable.push((topic.to_owned(), error.to_string()));
        }
    }
    for (name, size, path) in rows {
        let topic = evidence.state.topic_in(path.namespace, path.topic);
        let Some(handle) = topic.and_then(|topic| topic.handle(path.partition)) else { continue };
        found.files.insert((handle, path.base_offset));
        let known = found.of.get(&handle).is_some_and(|all| all.iter().any(|candidate| candidate.tile.name == *name));
        if known || found.missing.contains(name) {
            continue;
        }
        match segment(bucket, name, size, handle, path.base_offset).await {
            Ok((tile, kfs)) => found.add(handle, tile, false, Some(kfs)),
            Err(error) => found.unreadable(error)?,
        }
    }
    Ok(())
}

/// A segment as its file tells it.
pub async fn segment(
    bucket: &Bucket,
    name: &str,
    size: u64,
    handle: Handle,
    base_offset: u64,
) -> Result<(Tile, Kfs), Error> {
    let len = kafscale_segment::kfs::HEADER_LEN as u64;
    let front = bucket.get(Side::Data, name, 0, len).await?.unwrap_or_default();
    let header = kafscale_segment::kfs::Header::parse(&front).map_err(|error| Error::damaged(name, error))?;
    let tile = segment_tile(bucket, Side::Data, name, size, &front, handle).await?;
    if tile.first != base_offset as i64 {
        return Err(Error::damaged(name, format!("it begins at offset {}", tile.first)));
    }
    let len = u32::try_from(size).map_err(|_| Error::damaged(name, "it is too long"))?;
    Ok((tile, Kfs { len, crc: None, records: header.records }))
}

/// The name of a segment's file, taken apart.
pub struct Path<'a> {
    /// As the state has it.
    pub namespace: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// Its index.
    pub partition: u32,
    /// In the name.
    pub base_offset: u64,
    /// Segment or index.
    pub file: File,
}

impl<'a> Path<'a> {
    /// Takes a name apart; none if it is no segment's.
    pub fn of(name: &'a str) -> Option<Self> {
        let (namespace, rest) = name.split_once('/')?;
        let (topic, file) = rest.split_once('/')?;
        let (partition, base_offset, file) = names::segment_of(file)?;
        let namespace = match namespace {
            DEFAULT_PATH_NAMESPACE => DEFAULT_NAMESPACE,
            other => path_namespace(other)?,
        };
        Some(Self { namespace, topic, partition, base_offset, file })
    }
}
