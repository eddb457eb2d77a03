//! One object against what the log says of it.

use kafscale_log::{data, frame};
use kafscale_records::batches;
use kafscale_segment::{index, kfs, merged, names::merged_id};
use kafscale_state::{Place, SegmentView};

use super::{Depth, Finding, Names, Reference, Severity, references::label};
use crate::{
    Bucket, Error, Known, Side,
    chunks::{Chunks, index_name},
    object::merged_parts,
    tile::Tile,
};

/// The longest index that is read.
const INDEX_LEN_MAX: u64 = 512 << 20;

/// Looks at one object. An error is one of the store's; what is wrong with the object is a finding.
pub(super) async fn check(
    bucket: &Bucket,
    known: &Known,
    names: &Names,
    name: &str,
    reference: &Reference,
    depth: Depth,
) -> Result<Vec<Finding>, Error> {
    let of = match &reference.stretches[..] {
        [only] => label(&known.state, only.partition),
        many => format!("{} partitions", many.len()),
    };
    let damage = |kind, detail: String| Finding::new(Severity::Damage, kind, name, &of, detail);
    let Some(size) = names.get(name).copied() else {
        return Ok(vec![damage("missing", format!("{} bytes of records are referred to", reference.bytes()))]);
    };
    if size < reference.end() {
        let detail = format!("{size} bytes, records are referred to up to byte {}", reference.end());
        return Ok(vec![damage("truncated", detail)]);
    }
    if let Some(detail) = wrong_header(bucket, known, name, reference, size).await? {
        return Ok(vec![damage("header", detail)]);
    }
    let mut found = Vec::new();
    if let (Some(segment), Place::Segment { .. }) = (reference.segment, reference.place) {
        found.extend(wrong_segment(bucket, names, name, &of, reference, segment, depth).await?);
        return Ok(found);
    }
    if depth == Depth::Quick {
        return Ok(found);
    }
    if let Some(detail) = wrong_section(bucket, name, reference).await? {
        found.push(Finding::new(Severity::Flaw, "section", name, &of, detail));
    }
    for (handle, tile) in reference.tiles(name) {
        match read_through(bucket, &tile, |_| ()).await {
            Ok(()) => {}
            Err(Error::Damaged { reason, .. }) => {
                let of = label(&known.state, handle);
                let detail = format!("offsets {} to {}: {reason}", tile.first, tile.end - 1);
                found.push(Finding::new(Severity::Damage, "batch", name, &of, detail));
            }
            Err(Error::Missing(_)) => {
                found.push(damage("missing", "it went while it was read".to_owned()));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

async fn read_through(bucket: &Bucket, tile: &Tile, mut visit: impl FnMut(&[u8])) -> Result<(), Error> {
    let mut chunks = Chunks::of(bucket, tile);
    while let Some(bytes) = chunks.next().await? {
        visit(&bytes);
    }
    Ok(())
}

/// What is wrong with the front of an object: it must be the one that its name says.
async fn wrong_header(
    bucket: &Bucket,
    known: &Known,
    name: &str,
    reference: &Reference,
    size: u64,
) -> Result<Option<String>, Error> {
    let Some(front) = bucket.get(reference.side, name, 0, 256).await? else { return Ok(Some("it is gone".to_owned())) };
    let cluster = known.cluster;
    let checked: Result<u64, String> = match reference.place {
        Place::LogFrame { position } => {
            frame::decode_header(&front).map_err(|error| error.to_string()).and_then(|header| {
                let place = frame::Place { cluster_id: cluster.id, generation: cluster.generation, position };
                header.check_place(&place).map_err(|error| error.to_string())?;
                Ok(header.head_len() + header.payload_len)
            })
        }
        Place::Data { session, number, .. } => {
            data::decode_header(&front).map_err(|error| error.to_string()).and_then(|header| {
                let id = data::DataId { cluster_id: cluster.id, session, number };
                header.check(&id).map_err(|error| error.to_string())?;
                Ok(header.object_len())
            })
        }
        Place::Merged(_) => merged::Header::parse(&front).map_err(|error| error.to_string()).and_then(|header| {
            let is_it = header.cluster == cluster.id && merged_id(cluster.id, name) == Some(header.id);
            is_it.then_some(size).ok_or_else(|| format!("it is merged object {:?}", header.id))
        }),
        Place::Segment { base_offset, .. } => {
            kfs::Header::parse(&front).map_err(|error| error.to_string()).and_then(|header| {
                let is_it = header.base_offset == base_offset as i64;
                is_it.then_some(size).ok_or_else(|| format!("it begins at offset {}", header.base_offset))
            })
        }
        Place::SegmentIndex { .. } => Ok(size),
    };
    Ok(match checked {
        Ok(len) if len == size => None,
        Ok(len) => Some(format!("{size} bytes, its header says {len}")),
        Err(reason) => Some(reason),
    })
}

/// What is wrong with what a data object or a merged object says of itself: nobody needs it but who must do without the log.
async fn wrong_section(bucket: &Bucket, name: &str, reference: &Reference) -> Result<Option<String>, Error> {
    let Some(front) = bucket.get(reference.side, name, 0, 256).await? else { return Ok(None) };
    let checked = match reference.place {
        Place::Merged(_) => merged_parts(bucket, reference.side, name, &front).await.and_then(|(_, parts)| {
            let is_told = |handle| parts.iter().any(|part| part.handle == handle);
            match reference.stretches.iter().find(|stretch| !is_told(stretch.partition)) {
                Some(stretch) => {
                    Err(Error::damaged(name, format!("it does not tell of partition {}", stretch.partition)))
                }
                None => Ok(()),
            }
        }),
        Place::Data { .. } => match data::decode_header(&front) {
            Ok(header) => crate::object::section(bucket, reference.side, name, &header).await.map(drop),
            Err(error) => Err(Error::damaged(name, error)),
        },
        _ => Ok(()),
    };
    match checked {
        Ok(()) => Ok(None),
        Err(Error::Damaged { reason, .. } | Error::Missing(reason)) => Ok(Some(reason)),
        Err(error) => Err(error),
    }
}

/// A segment: its bytes, its index, and what was published of it.
async fn wrong_segment(
    bucket: &Bucket,
    names: &Names,
    name: &str,
    of: &str,
    reference: &Reference,
    segment: SegmentView,
    depth: Depth,
) -> Result<Vec<Finding>, Error> {
    let damage = |kind, detail: String| vec![Finding::new(Severity::Damage, kind, name, of, detail)];
    let size = names.get(name).copied().unwrap_or_default();
    if size != u64::from(segment.len) {
        return Ok(damage("truncated", format!("{size} bytes, {} were published", segment.len)));
    }
    let index = index_name(name);
    let has_index = names.contains_key(&index);
    let flaw = |kind, detail: &str| Finding::new(Severity::Flaw, kind, &index, of, detail);
    let mut found = Vec::new();
    if !has_index {
        found.push(flaw("index-missing", "readers of large segments are slow without it; --repair writes it"));
    }
    if depth == Depth::Quick {
        return Ok(found);
    }
    let Some((_, tile)) = reference.tiles(name).into_iter().next() else { return Ok(found) };
    let edge = |start: u64, len: usize| bucket.get(Side::Data, name, start, len as u64);
    let front = edge(0, kfs::HEADER_LEN).await?.unwrap_or_default();
    let footer = edge(size - kfs::FOOTER_LEN as u64, kfs::FOOTER_LEN).await?.unwrap_or_default();
    let (mut crc, mut body, mut records) = (kfs::Checksum::default(), kfs::Checksum::default(), 0u64);
    let (mut at, mut places) = (tile.start, Vec::new());
    crc.update(&front);
    let read = read_through(bucket, &tile, |bytes| {
        crc.update(bytes);
        body.update(bytes);
        for batch in batches(bytes).flatten() {
            places.push((batch.header().base_offset, at));
            records += u64::from(batch.header().record_count.unsigned_abs());
            at += batch.bytes().len() as u64;
        }
    })
    .await;
    crc.update(&footer);
    match read {
        Ok(()) => {}
        Err(Error::Damaged { reason, .. }) => return Ok(damage("batch", reason)),
        Err(Error::Missing(_)) => return Ok(damage("missing", "it went while it was read".to_owned())),
        Err(error) => return Err(error),
    }
    match kfs::Footer::parse(&footer) {
        Err(error) => return Ok(damage("header", error.to_string())),
        Ok(footer) if footer.crc != body.finish() => {
            let detail = format!("its checksum is {:08x}, its batches have {:08x}", footer.crc, body.finish());
            return Ok(damage("checksum", detail));
        }
        Ok(_) if crc.finish() != segment.crc => {
            let detail = format!("the file has checksum {:08x}, {:08x} was published", crc.finish(), segment.crc);
            return Ok(damage("checksum", detail));
        }
        Ok(_) if records != u64::from(segment.records) => {
            return Ok(damage("records", format!("{records} records, {} were published", segment.records)));
        }
        Ok(_) => {}
    }
    if has_index {
        let bytes = bucket.get_small(Side::Data, &index, INDEX_LEN_MAX).await?.unwrap_or_default();
        if let Some(detail) = disagrees(&bytes, &places) {
            found.push(flaw("index-wrong", &detail));
        }
    }
    Ok(found)
}

/// Where an index says something else than the batches of its segment. Which of them it names is its own choice.
fn disagrees(bytes: &[u8], places: &[(i64, u64)]) -> Option<String> {
    let entries = match index::parse(bytes) {
        Ok(entries) => entries,
        Err(error) => return Some(error.to_string()),
    };
    if entries.is_empty() {
        return Some("it has no entry".to_owned());
    }
    let is_there = |entry: &index::Entry| {
        let found = places.binary_search_by_key(&entry.offset, |(offset, _)| *offset);
        found.is_ok_and(|at| places[at].1 == u64::from(entry.position))
    };
    let wrong = entries.iter().find(|entry| !is_there(entry))?;
    Some(format!("no batch at byte {} begins with offset {}", wrong.position, wrong.offset))
}
