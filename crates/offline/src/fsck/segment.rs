//! One segment against what was published of it: its bytes, its records, its index.

use kafscale_records::batches;
use kafscale_segment::{index, kfs};
use kafscale_state::SegmentView;

use super::{
    Depth, Finding, Names, Reference, Severity,
    object::{Unreadable, read_through},
};
use crate::{Bucket, Error, Side, chunks::index_name, tile::Tile};

/// The longest index that is read.
const INDEX_LEN_MAX: u64 = 512 << 20;

/// What a segment adds up to.
#[derive(Default)]
struct Sum {
    /// The checksum of the whole file.
    crc: kfs::Checksum,
    /// That of its batches.
    body: kfs::Checksum,
    records: u64,
    /// Base offset and first byte of each batch.
    places: Vec<(i64, u64)>,
    unreadable: Unreadable,
}

/// Looks at a segment of which the header was looked at.
pub(super) async fn check(
    bucket: &Bucket,
    names: &Names,
    (name, of): (&str, &str),
    reference: &Reference,
    published: SegmentView,
    depth: Depth,
) -> Result<Vec<Finding>, Error> {
    let damage = |kind, detail: String| Finding::new(Severity::Damage, kind, name, of, detail);
    let size = names.get(name).copied().unwrap_or_default();
    if size != u64::from(published.len) {
        return Ok(vec![damage("truncated", format!("{size} bytes, {} were published", published.len))]);
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
    let footer_at = size - kfs::FOOTER_LEN as u64;
    let footer = bucket.get(Side::Data, name, footer_at, kfs::FOOTER_LEN as u64).await?.unwrap_or_default();
    let sum = match add_up(bucket, &tile, &footer).await {
        Ok(sum) => sum,
        Err(Error::Damaged { reason, .. }) => return Ok(vec![damage("batch", reason)]),
        Err(Error::Missing(_)) => return Ok(vec![damage("missing", "it went while it was read".to_owned())]),
        Err(error) => return Err(error),
    };
    if let Some((kind, detail)) = differs(&sum, &footer, published) {
        return Ok(vec![damage(kind, detail)]);
    }
    if has_index {
        let bytes = bucket.get_small(Side::Data, &index, INDEX_LEN_MAX).await?.unwrap_or_default();
        found.extend(disagrees(&bytes, &sum.places).map(|detail| flaw("index-wrong", &detail)));
    }
    found.extend(sum.unreadable.finding(name, of));
    Ok(found)
}

async fn add_up(bucket: &Bucket, tile: &Tile, footer: &[u8]) -> Result<Sum, Error> {
    let (mut sum, mut at) = (Sum::default(), tile.start);
    let front = bucket.get(Side::Data, &tile.name, 0, tile.start).await?.unwrap_or_default();
    sum.crc.update(&front);
    read_through(bucket, tile, |bytes| {
        sum.crc.update(bytes);
        sum.body.update(bytes);
        sum.unreadable.look(bytes);
        for batch in batches(bytes).flatten() {
            sum.places.push((batch.header().base_offset, at));
            sum.records += u64::from(batch.header().record_count.unsigned_abs());
            at += batch.bytes().len() as u64;
        }
    })
    .await?;
    sum.crc.update(footer);
    Ok(sum)
}

/// Where a segment is not the one that was published.
fn differs(sum: &Sum, footer: &[u8], published: SegmentView) -> Option<(&'static str, String)> {
    let (crc, body) = (sum.crc.finish(), sum.body.finish());
    match kfs::Footer::parse(footer) {
        Err(error) => Some(("header", error.to_string())),
        Ok(footer) if footer.crc != body => {
            Some(("checksum", format!("its checksum is {:08x}, its batches have {body:08x}", footer.crc)))
        }
        Ok(_) if crc != published.crc => {
            Some(("checksum", format!("the file has checksum {crc:08x}, {:08x} was published", published.crc)))
        }
        Ok(_) if sum.records != u64::from(published.records) => {
            Some(("records", format!("{} records, {} were published", sum.records, published.records)))
        }
        Ok(_) => None,
    }
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
