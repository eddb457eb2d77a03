//! Segments, their indexes, and merged objects.

use kafscale_segment::{index, kfs, merged};

/// Reads any bytes as each of the formats; what is a segment must be one again when its batches are written anew.
pub fn segments(bytes: &[u8]) {
    let _ = index::parse(bytes);
    let _ = merged::parse_tail(bytes, bytes);
    let Ok(segment) = kfs::parse(&bytes.to_vec().into()) else { return };
    let end = segment.footer.last_offset.saturating_add(1);
    let mut writer = kfs::Writer::new(segment.header.base_offset, end, segment.header.created_ms);
    if writer.push(segment.batches.clone()).is_ok() {
        let written = writer.finish().expect("it had a batch");
        let again = kfs::parse(&written.pieces.concat().into()).expect("it was written here");
        assert_eq!(again.batches, segment.batches);
        assert!(index::parse(&written.index).is_ok());
    }
}
