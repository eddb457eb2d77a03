//! The names of everything that the store log keeps, all in one place.
//!
//! | Name | Content | Written |
//! |---|---|---|
//! | `log/<generation>/<position>` | a frame: header, entries, payload | created once |
//! | `floor` | below it the log is trimmed | replaced, only grows |
//! | `archive/<generation>-<from>-<to>` | headers and entries of the trimmed frames `from..to` | created once |
//!
//! Numbers are padded to 20 digits, so that names sort as numbers do.

use crate::Position;

/// The name of the floor object.
pub const FLOOR: &str = "floor";

/// What the names of all archives begin with.
pub const ARCHIVES: &str = "archive/";

/// The name of the frame at `position`.
pub fn frame(generation: u64, position: Position) -> String {
    format!("log/{generation:020}/{position:020}")
}

/// What the names of all frames of a generation begin with.
pub fn frames(generation: u64) -> String {
    format!("log/{generation:020}/")
}

/// The position in the name of a frame.
pub fn frame_position(generation: u64, name: &str) -> Option<Position> {
    number(name.strip_prefix(&frames(generation))?)
}

/// The name of the archive of the frames `from..to`.
pub fn archive(generation: u64, from: Position, to: Position) -> String {
    format!("{ARCHIVES}{generation:020}-{from:020}-{to:020}")
}

/// What the names of all archives of a generation begin with.
pub fn archives(generation: u64) -> String {
    format!("{ARCHIVES}{generation:020}-")
}

/// The bounds `from..to` in the name of an archive.
pub fn archive_bounds(generation: u64, name: &str) -> Option<(Position, Position)> {
    let (from, to) = name.strip_prefix(&archives(generation))?.split_once('-')?;
    Some((number(from)?, number(to)?))
}

fn number(digits: &str) -> Option<u64> {
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_golden_and_read_back() {
        assert_eq!(frame(3, 42), "log/00000000000000000003/00000000000000000042");
        assert_eq!(archive(3, 1, 42), "archive/00000000000000000003-00000000000000000001-00000000000000000042");
        assert_eq!(frame_position(3, &frame(3, u64::MAX)), Some(u64::MAX));
        assert_eq!(archive_bounds(3, &archive(3, 1, 42)), Some((1, 42)));
    }

    #[test]
    fn alien_names_have_no_position() {
        assert_eq!(frame_position(4, &frame(3, 42)), None);
        assert_eq!(frame_position(3, "log/00000000000000000003/42"), None);
        assert_eq!(frame_position(3, "log/00000000000000000003/99999999999999999999"), None);
        assert_eq!(archive_bounds(3, "archive/00000000000000000003-1-2"), None);
    }
}
