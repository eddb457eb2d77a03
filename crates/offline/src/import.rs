//! Segments that something else has written, in the published layout, as topics of a cluster.
//!
//! Every segment is read, in pieces, and checked before anything is written; then the cluster's state is rebuilt with the new
//! topics in it, as a recovery does, and the segments are copied to where theirs lie, those longer than a full one of ours as
//! several. A partition begins where its first segment does; offsets may be missing inside of segments and, if that is
//! allowed, between them. The index is made anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use kafscale_records::batches;
use kafscale_segment::{
    index, kfs,
    names::{self, File},
};
use kafscale_state::{Place, rebuild::TopicSeed, topic::DEFAULT_NAMESPACE};

use crate::{
    Bucket, Error, Side, Until,
    fsck::{Names, Progress},
    known::whole,
    records::unreadable,
    recover::{
        self, Evidence, Found, Kfs, Plan,
        candidates::{all_names, find},
        cover::Candidate,
        evidence::gather,
    },
    segment,
    tile::Tile,
};

/// The longest index that is read.
const INDEX_LEN_MAX: u64 = 512 << 20;

/// What to take in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Only these topics; all if there are none.
    pub topics: Vec<String>,
    /// The first component of the segments' names.
    pub namespace: String,
    /// Segments may be missing between others.
    pub gaps: bool,
    /// Indexes that disagree with their segments do not matter.
    pub ignore_indexes: bool,
    /// Nor do batches that hold something else than records, though consumers do not get past them.
    pub ignore_unreadable: bool,
}

/// What was found, and what comes of it.
pub struct Import {
    /// What will be there.
    pub plan: Plan,
    /// Topics that are new.
    pub topics: BTreeSet<String>,
    /// Segments, and bytes of them.
    pub segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong: the object, and why. Nothing is imported then.
    pub wrong: Vec<(String, String)>,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// One segment's file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    name: String,
    size: u64,
    base_offset: u64,
}

/// Topics by name, partitions by index, segments in order.
type Rows = BTreeMap<String, BTreeMap<u32, Vec<Row>>>;

/// Reads and checks everything, and changes nothing. `progress` hears of bytes.
pub async fn plan(from: &Bucket, to: &Bucket, wish: &Wish, progress: Progress<'_>) -> Result<Import, Error> {
    let source = all_names(from).await?;
    let rows = rows(&source, wish)?;
    let (mut evidence, mut found) = target(to).await?;
    let total = rows.values().flat_map(|topic| topic.values().flatten()).map(|row| row.size).sum();
    let mut import = Import {
        plan: Plan::of(Evidence::none(0), Found::default(), recover::Wish { until: Until::Tail, gap: 0 }, None),
        topics: BTreeSet::new(),
        segments: 0,
        bytes: 0,
        wrong: Vec::new(),
        notes: Vec::new(),
    };
    for (topic, partitions) in &rows {
        let count = partitions.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
        let first = evidence.state.next_handle();
        let seed = TopicSeed {
            namespace: DEFAULT_NAMESPACE.to_owned(),
            name: topic.clone(),
            id: to.runtime().random_u128().max(1),
            settings: Default::default(),
            handles: (first..first.saturating_add(count.min(100_001))).collect(),
        };
        let position = evidence.state.position();
        if let Err(error) = evidence.state.adopt(seed, position) {
            import.wrong.push((topic.clone(), error.to_string()));
            continue;
        }
        import.topics.insert(topic.clone());
        for (partition, segments) in partitions {
            let handle = first + partition;
            let label = format!("{topic} [{partition}]");
            let mut end: Option<i64> = None;
            for row in segments {
                match check(from, &source, row, handle, wish).await {
                    Ok((tile, kfs)) => {
                        import.follow(&label, row, &tile, &mut end, wish.gaps);
                        let candidate = Candidate { tile, is_known: false, is_past: false, kfs: Some(kfs) };
                        found.of.entry(handle).or_default().push(candidate);
                    }
                    Err(Error::Damaged { name, reason }) => import.wrong.push((name, reason)),
                    Err(Error::Missing(name)) => import.wrong.push((name, "it is missing".to_owned())),
                    Err(error) => return Err(error),
                }
                import.segments += 1;
                import.bytes += row.size;
                progress(import.bytes, total);
            }
        }
    }
    let wish = recover::Wish { until: Until::Tail, gap: 0 };
    let tail = crate::frames::logged(to, evidence.cluster.generation, 0).await?.last().copied();
    import.plan = Plan::of(evidence, found, wish, tail).elsewhere(&import.topics);
    Ok(import)
}

impl Import {
    /// Notes where a segment begins that follows another one.
    fn follow(&mut self, label: &str, row: &Row, tile: &Tile, end: &mut Option<i64>, gaps: bool) {
        let before = end.replace(tile.end);
        match before {
            None if tile.first > 0 => self.notes.push(format!("{label} begins at offset {}", tile.first)),
            Some(before) if tile.first < before => {
                let reason =
                    format!("it begins at offset {}, and the one before it ends at {}", tile.first, before - 1);
                self.wrong.push((row.name.clone(), reason));
            }
            Some(before) if tile.first > before => {
                let missing = format!("offsets {before} to {} are missing before it", tile.first - 1);
                match gaps {
                    true => self.notes.push(format!("{label}: {missing}")),
                    false => {
                        self.wrong.push((row.name.clone(), format!("{missing}: a segment is missing; see --gaps")))
                    }
                }
            }
            _ => {}
        }
    }
}

/// The segments that are wanted.
fn rows(source: &Names, wish: &Wish) -> Result<Rows, Error> {
    let mut rows = Rows::new();
    for (name, size) in source {
        let path = name.strip_prefix(&format!("{}/", wish.namespace)).and_then(|rest| rest.split_once('/'));
        let Some((topic, file)) = path else { continue };
        let is_wanted = wish.topics.is_empty() || wish.topics.iter().any(|wanted| wanted == topic);
        let Some((partition, base_offset, File::Kfs)) = names::segment_of(file).filter(|_| is_wanted) else { continue };
        let row = Row { name: name.clone(), size: *size, base_offset };
        rows.entry(topic.to_owned()).or_default().entry(partition).or_default().push(row);
    }
    if let Some(absent) = wish.topics.iter().find(|topic| !rows.contains_key(*topic)) {
        return Err(Error::NotFound(format!("there are no segments below {}/{absent}/", wish.namespace)));
    }
    match rows.is_empty() {
        true => Err(Error::NotFound(format!("there are no segments below {}/", wish.namespace))),
        false => Ok(rows),
    }
}

/// What the store to import into knows: nothing, or a log that is whole.
async fn target(to: &Bucket) -> Result<(Evidence, Found), Error> {
    let all = all_names(to).await?;
    // A bucket of the published layout has segments and nothing else.
    if all.keys().all(|name| recover::Path::of(name).is_some()) {
        return Ok((Evidence::none(to.runtime().random_u128()), Found::default()));
    }
    let mut evidence = gather(to, Until::Tail).await?;
    if !evidence.is_whole() || !evidence.unreadable.is_empty() {
        let reason = "the log of the store to import into is not whole: `kafscale recover` comes first";
        return Err(Error::Refused(reason.to_owned()));
    }
    let found = find(to, &mut evidence, &all, false).await?;
    Ok((evidence, found))
}

/// Reads a segment once, in pieces.
async fn check(from: &Bucket, source: &Names, row: &Row, partition: u32, wish: &Wish) -> Result<(Tile, Kfs), Error> {
    let damaged = |reason: String| Error::damaged(&row.name, reason);
    let index = crate::chunks::index_name(&row.name);
    let mut agreement = Ok(Agreement::default());
    if let Some(size) = source.get(&index).filter(|_| !wish.ignore_indexes) {
        let stored = whole(from, Side::Data, &index, *size, INDEX_LEN_MAX).await?;
        agreement = Agreement::with(&stored);
    }
    let mut unread = None;
    let mut visit = |at: u64, bytes: &Bytes| {
        unread = unread.take().or_else(|| unreadable(bytes).next());
        if let Ok(agreement) = &mut agreement {
            agreement.note(at, bytes);
        }
    };
    let checked = segment::look(from, Side::Data, &row.name, row.size, &mut visit).await?;
    let (first, last) = (checked.header.base_offset, checked.footer.last_offset);
    if u64::try_from(first) != Ok(row.base_offset) {
        return Err(damaged(format!("its header says that it begins at offset {first}: it was moved, or swapped")));
    }
    if let Some((header, error)) = unread.filter(|_| !wish.ignore_unreadable) {
        let offset = header.base_offset;
        return Err(damaged(format!(
            "consumers do not get past the batch at offset {offset}: {error}; see --ignore-unreadable"
        )));
    }
    agreement.and_then(Agreement::finish).map_err(|reason| Error::damaged(&index, reason))?;
    let len = u32::try_from(row.size).map_err(|_| damaged("it is too long".to_owned()))?;
    let tile = Tile {
        place: Place::Segment { partition, base_offset: row.base_offset },
        side: Side::Data,
        name: row.name.clone(),
        start: kfs::HEADER_LEN as u64,
        len: row.size - (kfs::HEADER_LEN + kfs::FOOTER_LEN) as u64,
        first,
        end: last + 1,
        max_timestamp: checked.sum.max_timestamp.unwrap_or(i64::MIN),
    };
    Ok((tile, Kfs { len, crc: Some(checked.crc), records: checked.header.records }))
}

/// Whether every entry of an index names a batch; both ascend.
#[derive(Default)]
struct Agreement {
    entries: VecDeque<index::Entry>,
    wrong: Option<index::Entry>,
}

impl Agreement {
    fn with(stored: &[u8]) -> Result<Self, String> {
        let entries = index::parse(stored).map_err(|error| error.to_string())?;
        Ok(Self { entries: entries.into(), wrong: None })
    }

    /// The next batches, and their first byte.
    fn note(&mut self, mut at: u64, bytes: &[u8]) {
        for batch in batches(bytes).flatten() {
            if let Some(entry) = self.entries.pop_front_if(|entry| u64::from(entry.position) <= at)
                && (u64::from(entry.position), entry.offset) != (at, batch.header().base_offset)
            {
                self.wrong.get_or_insert(entry);
            }
            at += batch.bytes().len() as u64;
        }
    }

    fn finish(mut self) -> Result<(), String> {
        match self.wrong.or_else(|| self.entries.pop_front()) {
            Some(wrong) => Err(format!("no batch at byte {} begins with offset {}", wrong.position, wrong.offset)),
            None => Ok(()),
        }
    }
}
