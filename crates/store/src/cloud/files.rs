//! Small files with secrets, which somebody else may exchange at any time.

use std::{io::Read, path::Path};

/// No key and no token is longer.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The text of a file without white space at its ends. The error names the file and not its content.
pub(crate) fn read_secret(path: &Path) -> Result<String, String> {
    let fault = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
    let file = std::fs::File::open(path).map_err(|error| fault(&error))?;
    let mut text = String::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| fault(&error.kind()))?;
    match text.trim() {
        "" => Err(fault(&"it is empty")),
        _ if text.len() as u64 > SECRET_BYTES_MAX => Err(fault(&"it is too long")),
        trimmed => Ok(trimmed.to_owned()),
    }
}

/// Reads files that belong together until two readings agree: between two of them a Secret may be exchanged.
pub(crate) fn read_stable<T: PartialEq>(read: impl Fn() -> Result<T, String>) -> Result<T, String> {
    let mut last = read()?;
    for _ in 0..8 {
        let again = read()?;
        if again == last {
            return Ok(again);
        }
        last = again;
    }
    Err("the files change too often".to_owned())
}
