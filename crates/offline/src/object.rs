//! What one object says of itself, whatever kind it is.
//!
//! Batches of flushes do not carry their offsets: of a frame or a data object alone they are counted from 0 in each
//! partition's part.

use bytes::Bytes;
use kafscale_broker::{cluster::MARKER, snapshot as snapshots};
use kafscale_log::{
    data::{self, DataId},
    frame,
    lone::{archive, floor},
};
use kafscale_segment::{index, kfs, merged};
use kafscale_state::{
    DATA_RECORDS_AT, Place,
    entry::{self, Commit, Entry},
};

use crate::{Bucket, Error, Side, backup::MANIFEST, tile::Tile};

/// The longest section, or head of a frame, that is read.
const SECTION_LEN_MAX: u64 = 64 << 20;
/// The longest marker or manifest.
const TEXT_LEN_MAX: u64 = 16 << 20;
/// The longest object that is read whole: an index, an archive.
const WHOLE_LEN_MAX: u64 = 512 << 20;

/// Records in an object, and whose they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Topic and partition, where the object tells.
    pub of: Option<(String, u32)>,
    /// The partition's number in the state, where the object tells.
    pub handle: Option<u32>,
    /// Where they lie.
    pub tile: Tile,
}

/// What an object is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its kind in a few words.
    pub kind: &'static str,
    /// What its header says, as pairs of name and value.
    pub facts: Vec<(&'static str, String)>,
    /// Records in it, in the order of their bytes.
    pub parts: Vec<Part>,
    /// The entries of the log in it, in words.
    pub entries: Vec<String>,
}

/// Reads what an object tells. `size` is its length; without it it is not known whether there is more.
pub async fn tell(bucket: &Bucket, side: Side, name: &str) -> Result<Told, Error> {
    let found = bucket.get(side, name, 0, 256).await?;
    let front = found.ok_or_else(|| Error::NotFound(format!("there is no object {name} in the store")))?;
    if name == MARKER || name == MANIFEST {
        return text_told(bucket, side, name).await;
    }
    match front.get(..4) {
        Some(b"KSLF") => frame_told(bucket, side, name, &front).await,
        Some(b"KSDO") => data_told(bucket, side, name, &front).await,
        Some(b"KSMO") => merged_told(bucket, side, name, &front).await,
        Some(b"KAFS") => segment_told(bucket, side, name, &front).await,
        Some(b"IDX\0") => index_told(bucket, side, name).await,
        Some(b"KSLA") => archive_told(bucket, side, name).await,
        Some(b"KSLT") => {
            let floor::Floor { generation, position } = floor::decode(&front).map_err(damaged(name))?;
            let facts = vec![("generation", generation.to_string()), ("position", position.to_string())];
            Ok(Told { kind: "floor of the log", facts, parts: Vec::new(), entries: Vec::new() })
        }
        Some(b"KSSN") => {
            let facts = snapshots::parse_name(name).map_or_else(Vec::new, |(generation, position)| {
                vec![("generation", generation.to_string()), ("position", position.to_string())]
            });
            Ok(Told { kind: "snapshot of the state", facts, parts: Vec::new(), entries: Vec::new() })
        }
        _ => Err(Error::damaged(name, "it is none of the kinds of objects that are known")),
    }
}

/// A marker or a manifest: one JSON object.
async fn text_told(bucket: &Bucket, side: Side, name: &str) -> Result<Told, Error> {
    let bytes = bucket.get_small(side, name, TEXT_LEN_MAX).await?.unwrap_or_default();
    let text: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes).map_err(damaged(name))?;
    let (kind, entries) = match name {
        MARKER => ("marker of a cluster", text),
        _ => ("manifest of a backup", text),
    };
    let entries = entries.iter().map(|(field, value)| format!("{field}: {value}")).collect();
    Ok(Told { kind, facts: Vec::new(), parts: Vec::new(), entries })
}

fn damaged<E: ToString>(name: &str) -> impl Fn(E) -> Error + '_ {
    move |error| Error::damaged(name, error)
}

async fn frame_told(bucket: &Bucket, side: Side, name: &str, front: &Bytes) -> Result<Told, Error> {
    let header = frame::decode_header(front).map_err(damaged(name))?;
    let head = bucket.get(side, name, frame::HEADER_LEN as u64, u64::from(header.entries_len)).await?;
    let frame = header.with_entries(head.unwrap_or_default()).map_err(damaged(name))?;
    let entries = entry::decode(&frame.entries).map_err(damaged(name))?;
    let mut told = Told {
        kind: "frame of the log",
        facts: vec![
            ("cluster", format!("{:032x}", header.cluster_id)),
            ("generation", header.generation.to_string()),
            ("position", header.position.to_string()),
            ("session", header.session.to_string()),
            ("time", header.cluster_time_ms.to_string()),
            ("payload bytes", header.payload_len.to_string()),
        ],
        parts: Vec::new(),
        entries: entries.iter().map(in_words).collect(),
    };
    let commit = entries.iter().find_map(|entry| match entry {
        Entry::Commit(commit) if commit.object == entry::ObjectRef::ThisFrame => Some(commit),
        _ => None,
    });
    if let Some(commit) = commit {
        let place = Place::LogFrame { position: header.position };
        told.parts = committed(commit, side, name, place, header.head_len());
    }
    Ok(told)
}

/// An entry, without the bulk that a commit has.
fn in_words(entry: &Entry) -> String {
    match entry {
        Entry::Commit(commit) => format!("Commit of {} extents", commit.extents.len()),
        Entry::Merged(merged) => format!("Merged of {} partitions", merged.swaps.len()),
        other => format!("{other:?}"),
    }
}

async fn data_told(bucket: &Bucket, side: Side, name: &str, front: &Bytes) -> Result<Told, Error> {
    let header = data::decode_header(front).map_err(damaged(name))?;
    let (commit, DataId { session, number, .. }) = (section(bucket, side, name, &header).await?, header.id);
    let place = Place::Data { store: 0, session, number };
    Ok(Told {
        kind: "data object",
        facts: vec![
            ("cluster", format!("{:032x}", header.id.cluster_id)),
            ("generation", header.generation.to_string()),
            ("session", session.to_string()),
            ("number", number.to_string()),
            ("time", header.cluster_time_ms.to_string()),
            ("record bytes", header.records_len.to_string()),
        ],
        parts: committed(&commit, side, name, place, u64::from(DATA_RECORDS_AT)),
        entries: vec![in_words(&Entry::Commit(commit))],
    })
}

/// The section of a data object: whose its records are.
pub async fn section(bucket: &Bucket, side: Side, name: &str, header: &data::Header) -> Result<Commit, Error> {
    let bytes = bucket.get(side, name, header.section_at(), u64::from(header.section_len)).await?;
    let bytes = bytes.unwrap_or_default();
    header.check_section(&bytes).map_err(damaged(name))?;
    match entry::decode(&bytes).map_err(damaged(name))?.pop() {
        Some(Entry::Commit(commit)) => Ok(commit),
        _ => Err(Error::damaged(name, "its section is no commit")),
    }
}

/// The parts of a commit, whose records begin at `at` in the object.
fn committed(commit: &Commit, side: Side, name: &str, place: Place, mut at: u64) -> Vec<Part> {
    let part = |extent: &entry::Extent| {
        let len = extent.runs.iter().map(|run| u64::from(run.bytes)).sum();
        let records = extent.runs.iter().map(|run| i64::from(run.records)).sum();
        let (start, max_timestamp) = (at, extent.max_timestamp);
        at += len;
        let tile = Tile { place, side, name: name.to_owned(), start, len, first: 0, end: records, max_timestamp };
        Part { of: None, handle: Some(extent.partition), tile }
    };
    commit.extents.iter().map(part).collect()
}

async fn merged_told(bucket: &Bucket, side: Side, name: &str, front: &Bytes) -> Result<Told, Error> {
    let (header, parts) = merged_parts(bucket, side, name, front).await?;
    let id = header.id;
    Ok(Told {
        kind: "merged object",
        facts: vec![
            ("cluster", format!("{:032x}", header.cluster)),
            ("level", id.level.to_string()),
            ("session", id.session.to_string()),
            ("number", id.number.to_string()),
        ],
        parts: merged_tiles(side, name, &header, &parts).collect(),
        entries: Vec::new(),
    })
}

/// Header and parts of a merged object, of which the front is known.
pub async fn merged_parts(
    bucket: &Bucket,
    side: Side,
    name: &str,
    front: &[u8],
) -> Result<(merged::Header, Vec<merged::Part>), Error> {
    let size = size_of(bucket, side, name).await?;
    let footer_len = merged::FOOTER_LEN as u64;
    let footer = bucket.get(side, name, size.saturating_sub(footer_len), footer_len).await?.unwrap_or_default();
    let tail_len = merged::tail_len(&footer).map_err(damaged(name))?;
    if tail_len > SECTION_LEN_MAX || tail_len > size {
        return Err(Error::damaged(name, format!("a section of {tail_len} bytes")));
    }
    let tail = bucket.get(side, name, size - tail_len, tail_len).await?.unwrap_or_default();
    merged::parse_tail(front, &tail).map_err(damaged(name))
}

/// The tiles that a merged object consists of.
pub fn merged_tiles<'a>(
    side: Side,
    name: &'a str,
    header: &merged::Header,
    parts: &'a [merged::Part],
) -> impl Iterator<Item = Part> + 'a {
    let kafscale_segment::names::MergedId { level, session, number, nonce } = header.id;
    let place = Place::Merged(kafscale_state::Merged { store: 0, level, session, number, nonce });
    parts.iter().flat_map(move |part| {
        let (mut first, mut at) = (part.first, u64::from(part.position));
        part.extents.iter().map(move |extent| {
            let (start, len) = (at, u64::from(extent.bytes));
            let tile = Tile {
                place,
                side,
                name: name.to_owned(),
                start,
                len,
                first,
                end: extent.end,
                max_timestamp: extent.max_timestamp,
            };
            (first, at) = (extent.end, at + len);
            Part { of: Some((part.topic.clone(), part.partition)), handle: Some(part.handle), tile }
        })
    })
}

/// The length of an object, from a listing.
pub async fn size_of(bucket: &Bucket, side: Side, name: &str) -> Result<u64, Error> {
    let found = bucket.page(side, name, "", 1).await?;
    let row = found.into_iter().find(|row| row.name == name);
    row.map(|row| row.size).ok_or_else(|| Error::Missing(name.to_owned()))
}

async fn segment_told(bucket: &Bucket, side: Side, name: &str, front: &Bytes) -> Result<Told, Error> {
    let header = kfs::Header::parse(front).map_err(damaged(name))?;
    let size = size_of(bucket, side, name).await?;
    let tile = segment_tile(bucket, side, name, size, front, 0).await?;
    let mut components = name.rsplit('/').skip(1);
    let of = components.next().and_then(|partition| partition.parse().ok()).zip(components.next());
    Ok(Told {
        kind: "segment",
        facts: vec![
            ("base offset", header.base_offset.to_string()),
            ("last offset", (tile.end - 1).to_string()),
            ("records", header.records.to_string()),
            ("created", header.created_ms.to_string()),
        ],
        parts: vec![Part { of: of.map(|(partition, topic)| (topic.to_owned(), partition)), handle: None, tile }],
        entries: Vec::new(),
    })
}

/// The tile that a segment is, from its header and footer.
pub async fn segment_tile(
    bucket: &Bucket,
    side: Side,
    name: &str,
    size: u64,
    front: &[u8],
    partition: u32,
) -> Result<Tile, Error> {
    let header = kfs::Header::parse(front).map_err(damaged(name))?;
    let overhead = (kfs::HEADER_LEN + kfs::FOOTER_LEN) as u64;
    if size <= overhead || size > kfs::LEN_MAX {
        return Err(Error::damaged(name, format!("a segment of {size} bytes")));
    }
    let footer_len = kfs::FOOTER_LEN as u64;
    let footer = bucket.get(side, name, size - footer_len, footer_len).await?.unwrap_or_default();
    let footer = kfs::Footer::parse(&footer).map_err(damaged(name))?;
    let (first, last) = (header.base_offset, footer.last_offset);
    let base_offset = u64::try_from(first).ok().filter(|_| last >= first && last < i64::MAX);
    let base_offset = base_offset.ok_or_else(|| Error::damaged(name, format!("offsets {first} to {last}")))?;
    Ok(Tile {
        place: Place::Segment { partition, base_offset },
        side,
        name: name.to_owned(),
        start: kfs::HEADER_LEN as u64,
        len: size - overhead,
        first,
        end: last + 1,
        max_timestamp: i64::MAX,
    })
}

async fn index_told(bucket: &Bucket, side: Side, name: &str) -> Result<Told, Error> {
    let bytes = bucket.get_small(side, name, WHOLE_LEN_MAX).await?.unwrap_or_default();
    let entries = index::parse(&bytes).map_err(damaged(name))?;
    Ok(Told {
        kind: "index of a segment",
        facts: vec![("entries", entries.len().to_string())],
        parts: Vec::new(),
        entries: entries.iter().map(|entry| format!("offset {} at byte {}", entry.offset, entry.position)).collect(),
    })
}

async fn archive_told(bucket: &Bucket, side: Side, name: &str) -> Result<Told, Error> {
    let bytes = bucket.get_small(side, name, WHOLE_LEN_MAX).await?.unwrap_or_default();
    // The cluster is in the first frame's header.
    let first = bytes.get(archive::ARCHIVE_HEADER_LEN..).unwrap_or_default();
    let cluster = frame::decode_header(first).map_err(damaged(name))?.cluster_id;
    let frames = archive::decode(&bytes, cluster).map_err(damaged(name))?;
    let (from, to) = (frames.first(), frames.last());
    let position = |frame: Option<&kafscale_log::Frame>| frame.map_or(0, |frame| frame.header.position).to_string();
    let mut entries = Vec::new();
    for frame in &frames {
        for entry in entry::decode(&frame.entries).map_err(damaged(name))? {
            entries.push(format!("{}: {}", frame.header.position, in_words(&entry)));
        }
    }
    Ok(Told {
        kind: "archive of trimmed frames",
        facts: vec![("cluster", format!("{cluster:032x}")), ("from", position(from)), ("to", position(to))],
        parts: Vec::new(),
        entries,
    })
}
