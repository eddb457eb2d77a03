//! Control characters: written visibly where a person reads, and read from the command line.

use std::{borrow::Cow, fmt::Write};

/// The text with its control characters written as `\n`, `\x1b` or `\u{9b}`, and so with the invisible marks that turn
/// the direction of text. What another party named cannot move a terminal's cursor or hide what stands beside it.
pub fn safe(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) { Cow::Owned(escaped(text, |_| false)) } else { Cow::Borrowed(text) }
}

/// Like [`safe`], but line ends and tabs stay: for the values of records on a terminal.
pub fn safe_lines(text: &str) -> Cow<'_, str> {
    let kept = |c: char| c == '\n' || c == '\t';
    if text.chars().any(|c| is_unsafe(c) && !kept(c)) { Cow::Owned(escaped(text, kept)) } else { Cow::Borrowed(text) }
}

fn escaped(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            c if !is_unsafe(c) || kept(c) => plain.push(c),
            '\n' => plain.push_str("\\n"),
            '\t' => plain.push_str("\\t"),
            '\r' => plain.push_str("\\r"),
            c if c.is_ascii() => write!(plain, "\\x{:02x}", u32::from(c)).expect("writing to a string"),
            c => write!(plain, "\\u{{{:x}}}", u32::from(c)).expect("writing to a string"),
        }
    }
    plain
}

/// Control characters of ASCII and Latin-1, line and paragraph separators, and marks of direction.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Reads `\n`, `\t`, `\r`, `\0`, `\\` and `\xNN`; everything else stands for itself.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('n') => bytes.push(b'\n'),
            Some('t') => bytes.push(b'\t'),
            Some('r') => bytes.push(b'\r'),
            Some('0') => bytes.push(0),
            Some('\\') => bytes.push(b'\\'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                let byte = u8::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 2);
                bytes.push(byte.ok_or_else(|| format!("\\x{digits}: expected two hexadecimal digits"))?);
            }
            other => {
                return Err(format!(
                    "\\{}: expected \\n, \\t, \\r, \\0, \\\\ or \\xNN",
                    other.map_or(String::new(), String::from)
                ));
            }
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_moves_the_terminal() {
        assert_eq!(safe("plain-Ünicode_1"), "plain-Ünicode_1");
        assert_eq!(safe("a\x1b[2J\nb\u{9b}c\u{202e}"), "a\\x1b[2J\\nb\\u{9b}c\\u{202e}");
        assert_eq!(safe_lines("a\tb\nc\x07"), "a\tb\nc\\x07");
    }

    #[test]
    fn escapes_are_read() {
        assert_eq!(unescape(r"a\tb\n\x00\\é").unwrap(), "a\tb\n\0\\é".as_bytes());
        for wrong in [r"\q", r"\x1", r"\xzz", "\\"] {
            assert!(unescape(wrong).is_err(), "{wrong}");
        }
    }
}
