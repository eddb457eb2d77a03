//! Making one merged object: read, lay out, write, propose. Log compaction brings what is laid out already.

use bytes::Bytes;
use kafscale_records::batches;
use kafscale_segment::{merged as format, names};
use kafscale_state::{
    Handle, Merged, Place, Verdict,
    entry::{self, Entry, Swap, SwapExtent},
    verdict::SwapRefused,
};
use kafscale_store::{Body, ReadRange};

use super::{Context, Undone, pace::Pace, plan::Part, source};
use crate::{
    read::{Content, Extent, LoadError},
    replica::merged_id,
};

/// What became of an object.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Partitions that it holds, and whether their records are read from there now.
    pub swaps: Vec<(Handle, Result<(), SwapRefused>)>,
    /// Partitions that were left out, since their records are gone or damaged.
    pub unread: Vec<(Handle, LoadError)>,
    /// Its length.
    pub bytes: u64,
}

/// One partition's part, as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Which partition.
    pub partition: Handle,
    /// The first offset that is replaced.
    pub first: i64,
    /// What was read, as the entry must name it.
    pub sources: u64,
    /// What takes its place: one extent at least.
    pub extents: Vec<FilledExtent>,
}

/// One extent of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilledExtent {
    /// Batches with their offsets, one at least.
    pub bytes: Bytes,
    /// One past the last offset that it stands for.
    pub end: i64,
    /// The greatest of the batches' max timestamps.
    pub max_timestamp: i64,
    /// Some of it was in memory: somebody may still be reading there.
    pub is_warm: bool,
}

impl Filled {
    /// Bytes of its batches.
    pub fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.bytes.len() as u64).sum()
    }
}

/// The bytes of an object in the making.
struct Layout {
    pieces: Vec<Bytes>,
    at: u64,
    swaps: Vec<Swap>,
    /// New extents of what was in memory before.
    warm: Vec<(Extent, Bytes)>,
}

/// Merges these parts into one object of this level.
pub async fn merge(context: &Context, pace: &mut Pace, level: u8, parts: &[Part]) -> Result<Outcome, Undone> {
    let number = context.begin_object();
    let outcome = merge_as(context, pace, level, number, parts).await;
    context.end_object(number, outcome.as_ref().err());
    outcome
}

async fn merge_as(
    context: &Context,
    pace: &mut Pace,
    level: u8,
    number: u64,
    parts: &[Part],
) -> Result<Outcome, Undone> {
    let extents: Vec<Extent> = parts.iter().flat_map(|part| part.extents.iter().copied()).collect();
    let mut read = source::read(context, pace, &extents).await?.into_iter();
    let mut unread = Vec::new();
    let (session, nonce) = (context.log.session(), context.runtime.random_u64());
    let object = Merged { store: 0, level, session, number, nonce };
    #[cfg(feature = "planted-bugs")]
    let object = match crate::planted::is(crate::planted::Bug::NameWithoutId) {
        true => Merged { session: 0, nonce: 0, ..object },
        false => object,
    };
    let (header, mut layout) = Layout::begin(context, &object);
    for part in parts {
        // All of them first, so that the next part begins with its own.
        let contents: Vec<_> = read.by_ref().take(part.extents.len()).collect();
        match contents.into_iter().collect::<Result<Vec<_>, _>>() {
            Ok(contents) => layout.add(Place::Merged(object), part, &contents)?,
            Err(error) => unread.push((part.partition, error)),
        }
    }
    let outcome = match layout.swaps.is_empty() {
        true => Outcome::default(),
        false => store(context, pace, object, &header, layout).await?,
    };
    Ok(Outcome { unread, ..outcome })
}

/// Writes one object of what was made of records.
pub async fn write(context: &Context, pace: &mut Pace, level: u8, filled: &[Filled]) -> Result<Outcome, Undone> {
    let number = context.begin_object();
    let (session, nonce) = (context.log.session(), context.runtime.random_u64());
    let object = Merged { store: 0, level, session, number, nonce };
    let (header, mut layout) = Layout::begin(context, &object);
    let laid = filled.iter().try_for_each(|part| layout.add_filled(Place::Merged(object), part));
    let outcome = match laid {
        Ok(()) => store(context, pace, object, &header, layout).await,
        Err(error) => Err(error),
    };
    context.end_object(number, outcome.as_ref().err());
    outcome
}

async fn store(
    context: &Context,
    pace: &mut Pace,
    object: Merged,
    header: &format::Header,
    mut layout: Layout,
) -> Result<Outcome, Undone> {
    let tail = format::tail(header, &sections(context, &layout.swaps));
    layout.pieces.push(tail.clone());
    let body = Body::new(layout.pieces);
    let name = names::merged(context.cluster.id, &header.id);
    pace.take(body.len()).await;
    if !context.create(&name, &body).await? && !is_ours(context, &name, &body, &tail).await? {
        return Err(Undone::OtherBytes(name));
    }
    let partitions: Vec<Handle> = layout.swaps.iter().map(|swap| swap.partition).collect();
    let entry = Entry::Merged(entry::Merged { object, swaps: layout.swaps });
    // In memory before anybody is told to look there.
    for (extent, bytes) in &layout.warm {
        match Content::new(extent, std::slice::from_ref(bytes), false) {
            Ok(content) => context.cache.insert(extent.key(), content.into()),
            Err(error) => return Err(Undone::Unfit(error.to_string())),
        }
    }
    let outcomes = match context.writer.submit(None, entry, true).await? {
        Verdict::Merged(outcomes) => outcomes,
        other => return Err(Undone::Unfit(format!("apply answers a merged object with {other:?}"))),
    };
    let swaps = partitions.into_iter().zip(outcomes).collect();
    Ok(Outcome { swaps, unread: Vec::new(), bytes: body.len() })
}

/// The name is nobody else's, so what stands there is ours if it ends as ours does.
async fn is_ours(context: &Context, name: &str, body: &Body, tail: &Bytes) -> Result<bool, Undone> {
    #[cfg(feature = "planted-bugs")]
    if crate::planted::is(crate::planted::Bug::NameWithoutId) {
        return Ok(true);
    }
    let (start, len) = (body.len() - tail.len() as u64, tail.len() as u64 + 1);
    let found = context.get(name, ReadRange::At { start, len }, len).await?;
    Ok(found.ok_or_else(|| Undone::absent(name))? == *tail)
}

impl Layout {
    fn begin(context: &Context, object: &Merged) -> (format::Header, Self) {
        let header = format::Header { cluster: context.cluster.id, id: merged_id(object) };
        let front = header.encode();
        (header, Self { at: front.len() as u64, pieces: vec![front], swaps: Vec::new(), warm: Vec::new() })
    }

    /// Lays out what has its extents already.
    fn add_filled(&mut self, place: Place, part: &Filled) -> Result<(), Undone> {
        let unfit = |_| Undone::Unfit("a partition's part does not fit into an object".to_owned());
        let position = u32::try_from(self.at).map_err(unfit)?;
        let Filled { partition, first, sources, .. } = *part;
        let mut swap = Swap { partition, first, sources, position, extents: Vec::new() };
        let mut base_offset = first;
        for FilledExtent { bytes, end, max_timestamp, is_warm } in &part.extents {
            let (pieces, bytes) = (vec![bytes.clone()], bytes.len());
            let (max_timestamp, is_warm) = (*max_timestamp, *is_warm);
            let open = Open { pieces, bytes, end: *end, max_timestamp, is_warm };
            self.close(place, &mut swap, &mut base_offset, open, *end)?;
        }
        self.swaps.push(swap);
        Ok(())
    }

    /// Lays out one partition's batches in extents of bounded length.
    fn add(&mut self, place: Place, part: &Part, contents: &[source::Read]) -> Result<(), Undone> {
        let unfit = || Undone::Unfit("a partition's part does not fit into an object".to_owned());
        let position = u32::try_from(self.at).map_err(|_| unfit())?;
        let mut swap =
            Swap { partition: part.partition, first: part.first, sources: part.sources, position, extents: Vec::new() };
        let mut base_offset = part.first;
        let mut open = Open::default();
        let last = contents.len().saturating_sub(1);
        for (index, source::Read { content, was_cached }) in contents.iter().enumerate() {
            for row in kept(content.bytes(), part.log_start, index == last) {
                let bytes = open.bytes + row.bytes.len();
                if !open.pieces.is_empty() && format::is_full(base_offset, bytes, row.next_offset) {
                    let end = open.end;
                    self.close(place, &mut swap, &mut base_offset, std::mem::take(&mut open), end)?;
                }
                open.end = row.next_offset;
                open.max_timestamp = open.max_timestamp.max(row.max_timestamp);
                open.bytes += row.bytes.len();
                open.is_warm |= *was_cached;
                open.pieces.push(row.bytes);
            }
        }
        if open.pieces.is_empty() {
            return Err(unfit());
        }
        self.close(place, &mut swap, &mut base_offset, open, part.end())?;
        self.swaps.push(swap);
        Ok(())
    }

    fn close(
        &mut self,
        place: Place,
        swap: &mut Swap,
        base_offset: &mut i64,
        open: Open,
        end: i64,
    ) -> Result<(), Undone> {
        let bytes = u32::try_from(open.bytes).map_err(|_| Undone::Unfit("an extent is too long".to_owned()))?;
        let max_timestamp = open.max_timestamp;
        swap.extents.push(SwapExtent { end, bytes, max_timestamp });
        if open.is_warm {
            let (start, base_offset, end_offset) = (self.at, *base_offset, end);
            let extent =
                Extent { object: place, start, len: bytes, base_offset, end_offset, max_timestamp, version: 0 };
            self.warm.push((extent, Bytes::from(open.pieces.concat())));
        }
        self.at += open.bytes as u64;
        self.pieces.extend(open.pieces);
        *base_offset = end;
        Ok(())
    }
}

/// An extent in the making.
struct Open {
    pieces: Vec<Bytes>,
    bytes: usize,
    end: i64,
    max_timestamp: i64,
    is_warm: bool,
}

impl Default for Open {
    fn default() -> Self {
        Self { pieces: Vec::new(), bytes: 0, end: 0, max_timestamp: i64::MIN, is_warm: false }
    }
}

/// Adjacent batches.
struct Row {
    bytes: Bytes,
    next_offset: i64,
    max_timestamp: i64,
}

/// The batches that are not deleted, in rows of at most an extent's length; of the last content one is always kept, so that
/// something stands for the offsets.
fn kept(bytes: &Bytes, log_start: i64, is_last: bool) -> Vec<Row> {
    let (mut rows, mut at, mut from, mut base): (Vec<Row>, usize, usize, i64) = (Vec::new(), 0, 0, 0);
    for batch in batches(bytes).flatten() {
        let (header, end) = (batch.header(), at + batch.bytes().len());
        let must = is_last && end == bytes.len() && rows.is_empty();
        if header.next_offset() > log_start || must {
            let next_offset = header.next_offset();
            match rows.last_mut().filter(|_| !format::is_full(base, end - from, next_offset)) {
                Some(row) => {
                    row.bytes = bytes.slice(from..end);
                    row.next_offset = next_offset;
                    row.max_timestamp = row.max_timestamp.max(header.max_timestamp);
                }
                None => {
                    (from, base) = (at, header.base_offset);
                    let max_timestamp = header.max_timestamp;
                    rows.push(Row { bytes: bytes.slice(at..end), next_offset, max_timestamp });
                }
            }
        }
        at = end;
    }
    rows
}

/// What the object says of itself.
fn sections(context: &Context, swaps: &[Swap]) -> Vec<format::Part> {
    context.replica.read(|state| {
        let part = |swap: &Swap| {
            let view = state.partition(swap.partition)?;
            let extents = swap.extents.iter().map(|extent| format::Extent {
                end: extent.end,
                bytes: extent.bytes,
                max_timestamp: extent.max_timestamp,
            });
            Some(format::Part {
                topic_id: view.topic().id(),
                namespace: view.topic().namespace().to_owned(),
                topic: view.topic().name().to_owned(),
                partition: view.index(),
                handle: swap.partition,
                first: swap.first,
                position: swap.position,
                extents: extents.collect(),
            })
        };
        swaps.iter().filter_map(part).collect()
    })
}

impl Context {
    fn begin_object(&self) -> u64 {
        let mut settled = self.settled.lock();
        let number = settled.next;
        settled.next += 1;
        settled.open.insert(number);
        number
    }

    /// Nothing will come to refer to the object any more, unless the outcome of its entry is unknown.
    fn end_object(&self, number: u64, error: Option<&Undone>) {
        let mut settled = self.settled.lock();
        settled.is_stuck |= matches!(error, Some(Undone::Entry(_)));
        settled.open.remove(&number);
        if !settled.is_stuck {
            settled.below = settled.open.first().copied().unwrap_or(settled.next);
        }
    }
}

#[cfg(test)]
mod tests {
    use kafscale_records::{BatchBuilder, Codec, edit};

    use super::*;

    /// A batch whose header says that it has so many records: what it holds is not looked at here.
    fn of_many(base_offset: i64, records: i32) -> Vec<u8> {
        let mut bytes = BatchBuilder::new(Codec::None).record(0, None, Some(b"v")).build().to_vec();
        edit::set_base_offset(&mut bytes, base_offset);
        bytes[23..27].copy_from_slice(&(records - 1).to_be_bytes());
        bytes[57..61].copy_from_slice(&records.to_be_bytes());
        bytes
    }

    #[test]
    fn rows_have_no_more_records_than_a_segment_counts() {
        let many = 1 << 30;
        let rows = |counts: &[i32]| {
            let (mut bytes, mut next) = (Vec::new(), 0);
            for count in counts {
                bytes.extend(of_many(next, *count));
                next += i64::from(*count);
            }
            let rows = kept(&bytes.into(), 0, true);
            rows.iter().map(|row| row.next_offset).collect::<Vec<_>>()
        };
        let end = 1 << 30;
        assert_eq!(rows(&[1, 1, 1]), [3]);
        assert_eq!(rows(&[many, many - 1, 1, 5]), [2 * end - 1, 2 * end + 5]);
        assert_eq!(rows(&[i32::MAX, i32::MAX]), [i64::from(i32::MAX), 2 * i64::from(i32::MAX)]);
    }
}
