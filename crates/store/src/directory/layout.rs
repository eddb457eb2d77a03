//! Where an object's file lies under the root.
//!
//! A name is its path, but for one rule: files whose name is 20 digits (log positions, object numbers) are kept 1,000 to a
//! folder, because folders with millions of files are slow everywhere. `log/0…01/0…0012345` lies in
//! `log/0…01/0…0012000+/0…0012345`. Only disks see this. What belongs to the store itself also has a `+` in its name,
//! which no object name may contain, so that the two never meet.

use std::path::PathBuf;

/// The lock file, in the root.
pub(crate) const LOCK: &str = "+lock";

/// Folder of files that are being written, in the root.
pub(crate) const TEMPORARY: &str = "+tmp";

const NUMBER_DIGITS: usize = 20;
const FOLDER_DIGITS: usize = 17;
const FOLDER_SUFFIX: &str = "000+";

/// Path of an object's file relative to the root.
pub(crate) fn path_of(name: &str) -> PathBuf {
    let (parent, last) = name.rsplit_once('/').unwrap_or(("", name));
    let mut path = PathBuf::from(parent);
    if is_number(last) {
        path.push(format!("{}{FOLDER_SUFFIX}", &last[..FOLDER_DIGITS]));
    }
    path.push(last);
    path
}

/// The digits that all names in this folder begin with, if it is one that keeps numbers.
pub(crate) fn number_folder(entry: &str) -> Option<&str> {
    let stem = entry.strip_suffix(FOLDER_SUFFIX)?;
    (stem.len() == FOLDER_DIGITS && stem.bytes().all(|byte| byte.is_ascii_digit())).then_some(stem)
}

/// Whether a final component is kept in a number folder.
pub(crate) fn is_number(component: &str) -> bool {
    component.len() == NUMBER_DIGITS && component.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lie_a_thousand_to_a_folder() {
        assert_eq!(
            path_of("log/00000000000000000001/00000000000000012345"),
            PathBuf::from("log/00000000000000000001/00000000000000012000+/00000000000000012345")
        );
        assert_eq!(path_of("00000000000000000999"), PathBuf::from("00000000000000000000+/00000000000000000999"));
        assert_eq!(path_of("snapshot/1-2"), PathBuf::from("snapshot/1-2"));
        assert_eq!(path_of("a/0000000000000001234"), PathBuf::from("a/0000000000000001234"), "19 digits");
    }

    #[test]
    fn number_folders_are_told_from_others() {
        assert_eq!(number_folder("00000000000000012000+"), Some("00000000000000012"));
        assert_eq!(number_folder("00000000000000012000"), None);
        assert_eq!(number_folder("0000000000000001x000+"), None);
        assert_eq!(number_folder(TEMPORARY), None);
    }
}
