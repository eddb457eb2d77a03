//! What the members of a `consumer` group say that they read: the one metadata that the coordinator looks into.

use std::collections::BTreeSet;

/// The protocol type of consumers.
pub const CONSUMER: &str = "consumer";

/// The topics in a consumer's subscription, in any version of it; none if the bytes are no subscription.
///
/// ```text
/// version i16, topics [string with i16 length] with i32 count, and what came later
/// ```
pub fn topics(metadata: &[u8]) -> Option<BTreeSet<&str>> {
    let (version, mut rest) = metadata.split_first_chunk::<2>()?;
    if i16::from_be_bytes(*version) < 0 {
        return None;
    }
    let count = u32::from_be_bytes(*take(&mut rest)?);
    let mut topics = BTreeSet::new();
    for _ in 0..count {
        let len = usize::from(u16::from_be_bytes(*take(&mut rest)?));
        let (name, after) = rest.split_at_checked(len)?;
        rest = after;
        topics.insert(std::str::from_utf8(name).ok()?);
    }
    Some(topics)
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_found_whatever_follows_and_nonsense_is_none() {
        let metadata = [&[0, 1, 0, 0, 0, 2, 0, 1, b'a', 0, 2, b'b', b'c'][..], &[9; 7]].concat();
        assert_eq!(topics(&metadata), Some(["a", "bc"].into()));
        assert_eq!(topics(&[0, 0, 0, 0, 0, 0]), Some(BTreeSet::new()));
        for len in 0..13 {
            assert_eq!(topics(&metadata[..len]), None, "{len}");
        }
        assert_eq!(topics(&[0xff, 0xff, 0, 0, 0, 0]), None);
        assert_eq!(topics(&[0, 0, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
