//! What a store, or a giver of keys, says in XML, and how it is shown.
//!
//! It is outside input: it goes into logs and on terminals as one line of printable characters, and never all of it.

/// Characters of a store's own words that are shown.
const SHOWN_MAX: usize = 300;
/// Bytes of an entity, from `&` to `;`. The longest code point is `&#x10FFFF;`, or `&#1114111;`.
const ENTITY_BYTES_MAX: usize = 12;

/// What stands in the first `<tag>`, as it is written there.
pub(crate) fn element<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{tag}>"))?;
    let (inner, _) = rest.split_once(&format!("</{tag}>"))?;
    Some(inner.trim())
}

/// The text of the first `<tag>`.
pub(crate) fn text_of(text: &str, tag: &str) -> Option<String> {
    element(text, tag).map(decoded)
}

/// The text of the first `<tag>` for people; empty if there is none.
pub(crate) fn shown(text: &str, tag: &str) -> String {
    line(&text_of(text, tag).unwrap_or_default()).chars().take(SHOWN_MAX).collect()
}

/// A text from outside as one line, however long.
pub(crate) fn line(text: &str) -> String {
    let spaced = text.chars().map(|char| if matches!(char, '\n' | '\t') { ' ' } else { char });
    spaced.filter(|char| is_printable(*char)).collect()
}

/// With the five predefined entities, and those of single characters, as what they stand for. What is none stays.
fn decoded(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let (char, len) = entity(rest).unwrap_or(('&', 1));
        plain.push(char);
        rest = &rest[len..];
    }
    plain.push_str(rest);
    plain
}

/// The character of the entity that a text begins with, and the entity's length.
fn entity(text: &str) -> Option<(char, usize)> {
    let end = text.bytes().take(ENTITY_BYTES_MAX).position(|byte| byte == b';')?;
    let char = match &text[1..end] {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        number => {
            let number = number.strip_prefix('#')?;
            let (digits, radix) = number.strip_prefix(['x', 'X']).map_or((number, 10), |digits| (digits, 16));
            // The parser would take a sign.
            let all = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            char::from_u32(u32::from_str_radix(digits, radix).ok().filter(|_| all)?)?
        }
    };
    Some((char, end + 1))
}

/// Whether it shows as itself: no control character, and none that turns, hides or breaks a line.
fn is_printable(char: char) -> bool {
    let unseen = matches!(char,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !char.is_control() && !unseen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        shown(&format!("<Error><Message>{text}</Message></Error>"), "Message")
    }

    #[test]
    fn entities_are_what_they_stand_for() {
        assert_eq!(message("&quot;a&quot; isn&#x27;t &lt;b&gt; &amp; c&apos;s"), "\"a\" isn't <b> & c's");
        assert_eq!(message("&#233;&#xE9;&#x1F980;"), "éé🦀");
        assert_eq!(message("&amp;quot;"), "&quot;", "once");
        assert_eq!(text_of("<Prefix>a&amp;b</Prefix>", "Prefix").as_deref(), Some("a&b"));
    }

    #[test]
    fn what_is_no_entity_stays() {
        for text in
            ["&", "a & b;", "&;", "&#;", "&#x;", "&#+65;", "&#xD800;", "&#x110000;", "&nbsp;", "&#000000000000065;"]
        {
            assert_eq!(message(text), text);
        }
    }

    #[test]
    fn nothing_gets_into_a_log_but_one_line_that_can_be_read() {
        let said = message("a&#10;b\nc&#x1b;[31m&#13;&#0;&#x202e;d&#x2028;e\r");
        assert_eq!(said, "a b c[31mde");
        assert_eq!(message(&"&quot;".repeat(1_000)), "\"".repeat(SHOWN_MAX));
        assert_eq!(message(""), "");
        assert_eq!(shown("<Message>cut", "Message"), "");
    }
}
