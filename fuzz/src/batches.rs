//! What the target for record batches does with its input. The tests of `kafscale-records` include this file and run it over
//! `seeds/`.

use kafscale_records::Batch;

/// Bytes that a decompressed batch may have here.
const OPENED_BYTES_MAX: usize = 1 << 20;

/// Judges the bytes as a client's batch, and opens them even when the checksum is wrong: a fuzzer seldom guesses one.
pub fn batch(input: &[u8]) {
    let _ = Batch::validate(input);
    let Ok(batch) = Batch::parse(input) else { return };
    let Ok(opened) = batch.open(OPENED_BYTES_MAX) else { return };
    // A bad record ends the walk.
    for record in opened.records() {
        if record.is_err() {
            break;
        }
    }
}
