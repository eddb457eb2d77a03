//! What the target for record batches does with its input. The tests of `kafscale-records` include this file and run it over
//! `seeds/`.

use kafscale_records::{Batch, BatchError, check, search};

/// Bytes that a decompressed batch may have here.
const OPENED_BYTES_MAX: usize = 1 << 20;

/// Judges the bytes as a client's batch, and searches and opens them even when the checksum is wrong: a fuzzer seldom guesses
/// one.
pub fn batch(input: &[u8]) {
    let _ = Batch::validate(input);
    let Ok(batch) = Batch::parse(input) else { return };
    let _ = search::max_timestamp(&batch, 0, OPENED_BYTES_MAX as u64);
    let _ = search::first_at_or_after(&batch, batch.header().max_timestamp, 0, OPENED_BYTES_MAX as u64);
    let Ok(opened) = batch.open(OPENED_BYTES_MAX) else { return };
    // A bad record ends the walk. What a broker takes in is what can be read.
    let is_readable = opened.records().all(|record| record.is_ok());
    let checked = check(&batch, 3, OPENED_BYTES_MAX as u64);
    assert!(checked.is_ok() == is_readable || matches!(checked, Err(BatchError::TooLarge { .. })), "{checked:?}");
}
