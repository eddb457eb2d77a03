//! Regular expressions of subscriptions.
//!
//! Kafka matches with RE2J: no look-around, no back-references, and a name must match as a whole. Matching takes time
//! linear in name and expression; the size of a compiled expression is bounded, so that it cannot explode.

use regex::{Regex, RegexBuilder};

/// The longest expression, in bytes.
const SOURCE_BYTES_MAX: usize = 4 << 10;
/// What a compiled expression may take in memory, in bytes.
const COMPILED_BYTES_MAX: usize = 256 << 10;
/// How deep groups may be nested.
const NESTING_MAX: u32 = 50;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

/// It cannot be compiled, or is too large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression")]
pub struct Invalid;

impl Pattern {
    /// Compiles an expression in RE2's syntax.
    pub fn new(source: &str) -> Result<Self, Invalid> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(Invalid);
        }
        let source = unquote(source);
        // By itself first: what closes our group must not be part of it.
        compile(&source)?;
        compile(&format!(r"\A(?:{source})\z")).map(Self)
    }

    /// Whether it matches all of a name.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

fn compile(source: &str) -> Result<Regex, Invalid> {
    let mut builder = RegexBuilder::new(source);
    builder.size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).nest_limit(NESTING_MAX);
    builder.build().map_err(|_| Invalid)
}

/// RE2 takes what stands between `\Q` and `\E` literally; `regex` does not know them.
fn unquote(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        plain.push_str(before);
        if let Some(quoted) = escape.strip_prefix(r"\Q") {
            let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            plain.push_str(&regex::escape(literal));
            rest = after;
        } else {
            let mut chars = escape.char_indices().skip(2).map(|(at, _)| at);
            let (pair, after) = escape.split_at(chars.next().unwrap_or(escape.len()));
            plain.push_str(pair);
            rest = after;
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(source: &str, name: &str) -> bool {
        Pattern::new(source).expect(source).matches(name)
    }

    #[test]
    fn a_name_must_match_as_a_whole() {
        assert!(matches("orders", "orders"));
        assert!(!matches("orders", "orders-2"));
        assert!(!matches("rders", "orders"));
        assert!(matches("orders.*", "orders-2"));
        assert!(matches("a|bc", "bc") && !matches("a|bc", "ab"));
        assert!(matches("^orders$", "orders"));
        assert!(matches("(?i)ORDERS", "orders"));
    }

    #[test]
    fn what_is_quoted_is_literal() {
        assert!(matches(r"\Qa.b\E.*", "a.bc") && !matches(r"\Qa.b\E.*", "axbc"));
        assert!(matches(r"\Qa+b", "a+b"));
        assert!(matches(r"a\\\Qb\E", r"a\b"));
        assert!(matches(r"a\.b", "a.b") && !matches(r"a\.b", "axb"));
    }

    #[test]
    fn what_re2_does_not_know_is_refused() {
        for source in ["(", "a)(b", "(?=a)b", "(?!a)b", r"(a)\1", "*", "[", r"\", "(?x)a # b"] {
            assert_eq!(Pattern::new(source).err(), Some(Invalid), "{source}");
        }
    }

    #[test]
    fn an_expression_cannot_explode() {
        let nested = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        for source in ["(((a{100}){100}){100})", r"[\w\W]{1000}{1000}", &"a".repeat(5_000), &nested] {
            assert_eq!(Pattern::new(source).err(), Some(Invalid), "{source:.40}");
        }
        assert!(!matches("(a+)+b", &"a".repeat(249)));
    }
}
