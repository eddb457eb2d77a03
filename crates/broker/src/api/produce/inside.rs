//! What is asked of a batch's records: one pass over them, compressed ones through their codec.

use kafscale_protocol::ErrorCode;
use kafscale_records::{Batch, check, recompress};

use super::Rejected;
use crate::{config::topic::TopicConfig, write::DECOMPRESSED_MAX};

/// Records that one answer tells of at most where a batch is refused for some of them.
const RECORD_ERRORS_MAX: usize = 100;

/// The records are what the header says: nobody would get past a batch that cannot be read. Compaction keeps the last record
/// of each key, so there every record needs one.
///
/// The batch as its topic wants it compressed, in at most `room` bytes, if that is not how it came. It may have grown.
pub fn look(batch: &Batch<'_>, config: &TopicConfig, room: usize) -> Result<Option<Vec<u8>>, Rejected> {
    let keyless_most = if config.compact { RECORD_ERRORS_MAX } else { 0 };
    let came = batch.header().attributes.codec();
    let (recompressed, keyless) = match config.compression.filter(|to| came != Ok(to.codec)) {
        None => (None, check(batch, keyless_most, DECOMPRESSED_MAX)?),
        Some(to) => {
            let room = config.batch_bytes_max.min(room);
            let (recompressed, keyless) = recompress(batch, to, keyless_most, DECOMPRESSED_MAX, room)?;
            (Some(recompressed), keyless)
        }
    };
    if keyless.is_empty() {
        return Ok(recompressed);
    }
    let text = "One or more records have been rejected due to record errors";
    let records =
        keyless.into_iter().map(|index| (index, "Compacted topic cannot accept message without key")).collect();
    Err(Rejected { records, ..Rejected::new(ErrorCode::InvalidRecord, text) })
}
