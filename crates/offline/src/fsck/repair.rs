//! Mending what can be mended: the index of a segment, whose bytes follow from the segment.
//!
//! Whoever else writes it, a broker that executes the claim again, writes the same. So this may run beside one.

use kafscale_records::batches;
use kafscale_segment::index;
use kafscale_store::Body;

use super::{Report, references::references};
use crate::{Bucket, Error, Known, Side, Until, chunks::Chunks};

/// Writes the indexes anew that a check found missing or wrong; their names.
pub async fn repair(bucket: &Bucket, report: &Report) -> Result<Vec<String>, Error> {
    let wrong = report.findings.iter().filter(|finding| matches!(finding.kind, "index-missing" | "index-wrong"));
    let wrong: Vec<&String> = wrong.map(|finding| &finding.name).collect();
    let mut mended = Vec::new();
    if wrong.is_empty() {
        return Ok(mended);
    }
    let known = Known::open(bucket, Until::Tail).await?;
    let wanted = references(&known.state, known.cluster);
    for name in wrong {
        let kfs = name.strip_suffix("index").map(|stem| format!("{stem}kfs"));
        let Some((kfs, reference)) = kfs.and_then(|kfs| wanted.get_key_value(&kfs)) else { continue };
        let (mut builder, mut made) = (index::Builder::default(), false);
        for (_, tile) in reference.tiles(kfs) {
            let (mut at, mut chunks) = (tile.start, Chunks::of(bucket, &tile));
            while let Some(bytes) = chunks.next().await? {
                for batch in batches(&bytes).flatten() {
                    let header = batch.header();
                    builder.note(header.base_offset, at, header.record_count.unsigned_abs());
                    at += batch.bytes().len() as u64;
                    made = true;
                }
            }
        }
        if made {
            bucket.replace(Side::Data, name, &Body::from(builder.finish())).await?;
            mended.push(name.clone());
        }
    }
    Ok(mended)
}
