//! One object against what the log says of it.

use kafscale_log::{data, frame};
use kafscale_records::BatchError;
use kafscale_segment::{kfs, merged, names::merged_id};
use kafscale_state::Place;

use super::{Depth, Finding, Names, Reference, Severity, references::label, segment};
use crate::{Bucket, Error, Known, chunks::Chunks, object::merged_parts, records::unreadable, tile::Tile};

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
    if let (Some(published), Place::Segment { .. }) = (reference.segment, reference.place) {
        return segment::check(bucket, names, (name, &of), reference, published, depth).await;
    }
    if depth == Depth::Quick {
        return Ok(found);
    }
    if let Some(detail) = wrong_section(bucket, name, reference).await? {
        found.push(Finding::new(Severity::Flaw, "section", name, &of, detail));
    }
    for (handle, tile) in reference.tiles(name) {
        let of = label(&known.state, handle);
        let mut unreadable = Unreadable::default();
        match read_through(bucket, &tile, |bytes| unreadable.look(bytes)).await {
            Ok(()) => found.extend(unreadable.finding(name, &of)),
            Err(Error::Damaged { reason, .. }) => {
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

/// Batches that are as they were written, and hold something else than records.
#[derive(Default)]
pub(super) struct Unreadable {
    first: Option<(i64, BatchError)>,
    batches: u64,
}

impl Unreadable {
    /// The next batches.
    pub fn look(&mut self, bytes: &[u8]) {
        for (header, error) in unreadable(bytes) {
            self.first.get_or_insert((header.base_offset, error));
            self.batches += 1;
        }
    }

    /// What is to be said of them.
    pub fn finding(self, name: &str, of: &str) -> Option<Finding> {
        let (offset, error) = self.first?;
        let more = match self.batches - 1 {
            0 => String::new(),
            more => format!("; {more} batches more like it"),
        };
        let detail = format!("consumers do not get past the batch at offset {offset}: {error}{more}");
        Some(Finding::new(Severity::Damage, "unreadable", name, of, detail))
    }
}

/// Shows all batches of a tile, as far as they are whole.
pub(super) async fn read_through(bucket: &Bucket, tile: &Tile, mut visit: impl FnMut(&[u8])) -> Result<(), Error> {
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
