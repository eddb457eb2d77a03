//! Files of properties in Java's form, as Kafka's own tools read them.

use std::path::Path;

use super::properties::{Properties, usage};
use crate::exit::Failure;

/// More than this is no file of properties.
const BYTES_MAX: u64 = 1 << 20;

/// Reads a file into `properties`. Names that we do not know are returned: a file may serve other tools too.
pub fn read(path: &Path, properties: &mut Properties) -> Result<Vec<String>, Failure> {
    let refused = |reason: String| usage(format!("{}: {reason}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| refused(error.to_string()))?.len();
    if length > BYTES_MAX {
        return Err(refused(format!("larger than {BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    let mut unknown = Vec::new();
    for (name, value) in pairs(&text).map_err(refused)? {
        if Properties::known(&name).is_some() {
            properties.set(&name, value)?;
        } else {
            unknown.push(name);
        }
    }
    Ok(unknown)
}

/// The pairs of a text: `name=value`, `name: value` or `name value`; `#` and `!` begin comments, a backslash at the end of a
/// line joins it with the next, and `\n \t \r \f \uXXXX \X` are escapes.
fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let mut logical = line.trim_start().to_owned();
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        while ends_in_escape(&logical) {
            logical.pop();
            logical.push_str(lines.next().unwrap_or_default().trim_start());
        }
        let (name, value) = split(&logical);
        pairs.push((unescape(name)?, unescape(value)?));
    }
    Ok(pairs)
}

fn ends_in_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Cuts at the first separator that is not escaped: blanks with at most one `=` or `:` among them.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let separates = !escaped && (c == '=' || c == ':' || c.is_ascii_whitespace());
        escaped = c == '\\' && !escaped;
        separates
    });
    let Some(end) = end else { return (line, "") };
    let rest = line[end..].trim_start();
    (&line[..end], rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn unescape(text: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match rest.next() {
            Some('n') => plain.push('\n'),
            Some('t') => plain.push('\t'),
            Some('r') => plain.push('\r'),
            Some('f') => plain.push('\u{c}'),
            Some('u') => {
                let digits: String = rest.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                plain.push(code.ok_or_else(|| format!("\\u{digits} is no character"))?);
            }
            Some(other) => plain.push(other),
            None => {}
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn javas_forms_are_read() {
        let text = "# comment\n! comment\n\n  a=1\nb: 2\nc 3\nd\ne = x=y \\\n   z\nf\\ g=\\u0041\\tb\\\\\n";
        let expected = [("a", "1"), ("b", "2"), ("c", "3"), ("d", ""), ("e", "x=y z"), ("f g", "A\tb\\")]
            .map(|(n, v)| (n.into(), v.into()));
        assert_eq!(pairs(text).unwrap(), expected);
        assert!(pairs("a=\\uzzzz").is_err());
    }

    #[test]
    fn unknown_names_of_a_file_are_told_and_not_fatal() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.properties");
        std::fs::write(&path, "acks=1\nkey.serializer=x\n").unwrap();
        let mut properties = Properties::default();
        assert_eq!(read(&path, &mut properties).unwrap(), ["key.serializer"]);
        assert_eq!(properties.text("acks"), "1");
        assert!(read(&directory.path().join("absent"), &mut properties).is_err());
    }
}
