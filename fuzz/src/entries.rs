//! The entries of one frame of the log.

use kafscale_state::entry;

/// Reads any bytes as the entries of a frame; what was read must be written so that it reads the same again.
pub fn entries(frame: &[u8]) {
    let Ok(entries) = entry::decode(frame) else { return };
    assert_eq!(entry::decode(&entry::encode(&entries)), Ok(entries));
}
