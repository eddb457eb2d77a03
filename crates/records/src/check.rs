//! Whether a batch holds what its header says: what a broker asks before it takes one in, since no reader gets past one that
//! does not.

use crate::{Batch, BatchError, Codec, places::Places};

/// Walks all records of a batch, decompressed into at most `limit` bytes: as many as the header says, each whole and at an
/// offset within the batch, and nothing behind them. The indexes of the first `keyless_most` that have no key.
///
/// Records are neither copied nor kept: compressed ones are streamed.
pub fn check(batch: &Batch<'_>, keyless_most: usize, limit: u64) -> Result<Vec<u32>, BatchError> {
    if batch.header().attributes.codec()? != Codec::None {
        return walk(Places::new(batch, limit)?, keyless_most);
    }
    let mut keyless = Vec::new();
    let opened = batch.open(batch.payload().len())?;
    for (index, record) in (0..).zip(opened.records()) {
        if record?.key.is_none() && keyless.len() < keyless_most {
            keyless.push(index);
        }
    }
    Ok(keyless)
}

/// The same over records as a stream.
pub(crate) fn walk(mut places: Places<'_>, keyless_most: usize) -> Result<Vec<u32>, BatchError> {
    let mut keyless = Vec::new();
    let mut index = 0;
    while let Some(passed) = places.next()? {
        if !passed.has_key && keyless.len() < keyless_most {
            keyless.push(index);
        }
        index += 1;
    }
    places.end()?;
    Ok(keyless)
}

#[cfg(test)]
mod tests;
