//! Whether a batch holds what its header says: what a broker asks before it takes one in, since no reader gets past one that
//! does not.

use crate::{Batch, BatchError, Codec, places::Places};

/// Walks all records of a batch, decompressed into at most `limit` bytes: as many as the header says, each whole and at an
/// offset within the batch, and nothing behind them. The indexes of the first `keyless_most` that have no key.
///
/// Records are neither copied nor kept: compressed ones are streamed.
pub fn check(batch: &Batch<'_>, keyless_most: usize, limit: u64) -> Result<Vec<u32>, BatchError> {
    let mut keyless = Vec::new();
    let mut note = |index: u32, has_key: bool| {
        if !has_key && keyless.len() < keyless_most {
            keyless.push(index);
        }
    };
    if batch.header().attributes.codec()? == Codec::None {
        let opened = batch.open(batch.payload().len())?;
        for (index, record) in (0..).zip(opened.records()) {
            note(index, record?.key.is_some());
        }
        return Ok(keyless);
    }
    let mut places = Places::new(batch, limit)?;
    let mut index = 0;
    while let Some(passed) = places.next()? {
        note(index, passed.has_key);
        index += 1;
    }
    places.end()?;
    Ok(keyless)
}

#[cfg(test)]
mod tests;
