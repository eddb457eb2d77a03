//! The TOML file: a flat list of keys, each a setting's name.

use std::{collections::BTreeMap, path::Path};

use super::{catalogue::DEFINITIONS, define::Definition, nearest, resolve::Error};

/// A settings file is a page of text; what is larger is a mistake (such as naming a data file).
const BYTES_MAX: u64 = 1 << 20;

/// Reads the file into key and text.
pub fn read(path: &Path) -> Result<BTreeMap<String, String>, Error> {
    let fail = |reason: String| Error::File { file: path.display().to_string(), reason };
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > BYTES_MAX {
        return Err(fail(format!("{size} bytes are too many for settings")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    parse(path, &text)
}

/// Takes the text of a file apart. Values may be strings, whole numbers or booleans.
pub fn parse(path: &Path, text: &str) -> Result<BTreeMap<String, String>, Error> {
    let file = path.display().to_string();
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // Not the line itself: a secret may stand there.
        let line =
            error.span().and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
        Error::File { file: file.clone(), reason: format!("line {line}: {}", error.message()) }
    })?;
    let known: Vec<String> = DEFINITIONS.iter().map(Definition::name).collect();
    let mut keys = BTreeMap::new();
    for (name, value) in table {
        if !known.contains(&name) && value.is_table() {
            let reason = format!("[{name}]: there are no sections; every setting is a key of its own at the top");
            return Err(Error::File { file, reason });
        }
        if !known.contains(&name) {
            let nearest = nearest::of(&name, known.iter());
            return Err(Error::UnknownKey { file, name, nearest });
        }
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            _ => {
                let reason = format!("{name} must be a string, a whole number or a boolean");
                return Err(Error::File { file, reason });
            }
        };
        keys.insert(name, text);
    }
    Ok(keys)
}
