//! What the members of a `consumer` group say that they read, and what they are given: the one embedded protocol that the
//! coordinator looks into. Kafka's `ConsumerProtocolSubscription` and `ConsumerProtocolAssignment`.
//!
//! ```text
//! subscription   version i16, topics [string], user data, from 1 owned [topic, [partition i32]], from 2 generation i32,
//!                from 3 rack nullable string
//! assignment     version i16, [topic, [partition i32]], user data
//! ```

use std::collections::{BTreeMap, BTreeSet};

use kafscale_state::{State, group::Partitions};

/// The protocol type of consumers.
pub const CONSUMER: &str = "consumer";

/// Partitions by the name of their topic.
type Named<'a> = Vec<(&'a str, Vec<i32>)>;

/// The topics in a consumer's subscription, in any version of it; none if the bytes are no subscription. What follows them
/// is not looked at.
pub fn topics(metadata: &[u8]) -> Option<BTreeSet<&str>> {
    let mut reader = Reader(metadata);
    match reader.i16()? {
        ..0 => None,
        _ => reader.texts().map(|topics| topics.into_iter().collect()),
    }
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Its version; assignments are given in the same.
    pub version: i16,
    /// The topics that the member wants.
    pub topics: BTreeSet<&'a str>,
    /// What it owns; nothing for one that gives everything up before it joins.
    pub owned: Named<'a>,
    /// Where it says that it is.
    pub rack_id: Option<&'a str>,
}

impl<'a> Subscription<'a> {
    /// Reads one; none if the bytes are none.
    pub fn read(metadata: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(metadata);
        let version = reader.i16().filter(|version| *version >= 0)?;
        let topics = reader.texts()?.into_iter().collect();
        reader.user_data()?;
        let owned = if version >= 1 { reader.partitions()? } else { Vec::new() };
        if version >= 2 {
            reader.i32()?;
        }
        let rack_id = if version >= 3 { reader.optional_text()? } else { None };
        Some(Self { version, topics, owned, rack_id })
    }
}

/// An assignment that a leader made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// What the member was given.
    pub partitions: Named<'a>,
    /// Words of an assignor to its members, which mean nothing to us.
    pub user_data: &'a [u8],
}

impl<'a> Assignment<'a> {
    /// Reads one; none if the bytes are none.
    pub fn read(assignment: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(assignment);
        reader.i16().filter(|version| *version >= 0)?;
        Some(Self { partitions: reader.partitions()?, user_data: reader.user_data()? })
    }
}

/// These partitions as an assignment.
pub fn write_assignment(version: i16, partitions: &Partitions, state: &State) -> Vec<u8> {
    let mut topics: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for found in partitions.iter().filter_map(|handle| state.partition(*handle)) {
        topics.entry(found.topic().name()).or_default().push(found.index());
    }
    let count = |len: usize| u32::try_from(len).expect("there are fewer partitions").to_be_bytes();
    let mut bytes = [&version.to_be_bytes()[..], &count(topics.len())].concat();
    for (topic, indexes) in &topics {
        let len = u16::try_from(topic.len()).expect("names of topics are short");
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(topic.as_bytes());
        bytes.extend_from_slice(&count(indexes.len()));
        indexes.iter().for_each(|index| bytes.extend_from_slice(&index.to_be_bytes()));
    }
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes
}

/// Those of these partitions that exist.
pub fn existing(named: &Named<'_>, state: &State) -> Partitions {
    let mut partitions = Partitions::new();
    for (topic, indexes) in named {
        if let Some(topic) = state.topic(topic) {
            let indexes = indexes.iter().filter_map(|index| u32::try_from(*index).ok());
            partitions.extend(indexes.filter_map(|index| topic.handle(index)));
        }
    }
    partitions
}

/// Reads what a member wrote. Nothing is allocated that the bytes do not hold.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.i16()? {
            ..0 => Some(None),
            len => std::str::from_utf8(self.take(usize::try_from(len).ok()?)?).ok().map(Some),
        }
    }

    fn text(&mut self) -> Option<&'a str> {
        self.optional_text()?
    }

    fn texts(&mut self) -> Option<Vec<&'a str>> {
        let count = u32::try_from(self.i32()?).ok()?;
        (0..count).map(|_| self.text()).collect()
    }

    fn user_data(&mut self) -> Option<&'a [u8]> {
        match self.i32()? {
            ..0 => Some(&[]),
            len => self.take(usize::try_from(len).ok()?),
        }
    }

    fn partitions(&mut self) -> Option<Named<'a>> {
        let count = u32::try_from(self.i32()?).ok()?;
        let topic = |reader: &mut Self| {
            let topic = reader.text()?;
            let count = u32::try_from(reader.i32()?).ok()?;
            let indexes = (0..count).map(|_| reader.i32()).collect::<Option<_>>()?;
            Some((topic, indexes))
        };
        (0..count).map(|_| topic(self)).collect()
    }
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

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn a_subscription_is_read_by_its_version() {
        let topics = [&[0, 0, 0, 1][..], &text("t"), &[0, 0, 0, 1, 9]].concat();
        let owned = [&[0, 0, 0, 1][..], &text("t"), &[0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7]].concat();
        let rest = [&[0, 0, 0, 5][..], &text("rack")].concat();
        let expected =
            Subscription { version: 3, topics: ["t"].into(), owned: vec![("t", vec![1, 7])], rack_id: Some("rack") };
        let bytes = [&[0, 3][..], &topics, &owned, &rest].concat();
        assert_eq!(Subscription::read(&bytes), Some(expected.clone()));
        for len in 0..bytes.len() {
            assert_eq!(Subscription::read(&bytes[..len]), None, "{len}");
        }
        let later = [&[0, 9][..], &topics, &owned, &rest, &[1, 2]].concat();
        assert_eq!(Subscription::read(&later), Some(Subscription { version: 9, ..expected.clone() }));
        let first = Subscription { version: 0, owned: vec![], rack_id: None, ..expected };
        assert_eq!(Subscription::read(&[&[0, 0][..], &topics].concat()), Some(first));
        assert_eq!(Subscription::read(&[&[0, 1, 0x7f, 0xff, 0xff, 0xff][..], &[0; 64]].concat()), None);
    }

    #[test]
    fn an_assignment_says_whether_an_assignor_speaks_to_its_members() {
        let partitions = [&[0, 1, 0, 0, 0, 1][..], &text("t"), &[0, 0, 0, 1, 0, 0, 0, 7]].concat();
        let read = |end: &[u8]| {
            let bytes = [&partitions[..], end].concat();
            Assignment::read(&bytes).map(|read| (read.partitions.len(), read.user_data.len()))
        };
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff]), Some((1, 0)));
        assert_eq!(read(&[0, 0, 0, 2, 1, 2]), Some((1, 2)));
        assert_eq!((read(&[]), read(&[0, 0, 0, 2, 1])), (None, None));
    }
}
