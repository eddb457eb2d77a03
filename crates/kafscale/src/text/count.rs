//! Numbers with their nouns.

use std::fmt::Display;

/// `1 record`, `2 records`.
pub fn counted(count: impl Display + PartialEq + From<u8>, noun: &str) -> String {
    let plural = if count == 1.into() { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        assert_eq!([0_usize, 1, 2].map(|count| counted(count, "broker")), ["0 brokers", "1 broker", "2 brokers"]);
    }
}
