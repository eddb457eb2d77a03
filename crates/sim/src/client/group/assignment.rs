//! What members of a classic group tell each other in bytes that the coordinator only carries, and the leader's assignor.
//!
//! ```text
//! subscription  version i16, topics [string], user data, owned [topic, partitions], generation i32
//! assignment    version i16, [topic, partitions], user data
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// A partition by the name of its topic.
pub type Place = (Arc<str>, i32);

/// The first version with a generation.
const VERSION: i16 = 2;
const NO_USER_DATA: i32 = -1;

/// What a member wants and has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscription {
    pub topics: Vec<Arc<str>>,
    pub owned: BTreeSet<Place>,
    /// In which it was given what it owns.
    pub generation: i32,
}

impl Subscription {
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = VERSION.to_be_bytes().to_vec();
        bytes.extend(count(self.topics.len()));
        self.topics.iter().for_each(|topic| text(&mut bytes, topic));
        bytes.extend(NO_USER_DATA.to_be_bytes());
        places(&mut bytes, &self.owned);
        bytes.extend(self.generation.to_be_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Reader(bytes.get(2..)?);
        let topics = (0..rest.i32()?).map(|_| rest.text()).collect::<Option<_>>()?;
        rest.i32()?;
        Some(Self { topics, owned: rest.places()?, generation: rest.i32()? })
    }
}

pub fn encode(given: &BTreeSet<Place>) -> Vec<u8> {
    let mut bytes = VERSION.to_be_bytes().to_vec();
    places(&mut bytes, given);
    bytes.extend(NO_USER_DATA.to_be_bytes());
    bytes
}

/// An assignment; an empty one is no partitions.
pub fn decode(bytes: &[u8]) -> Option<BTreeSet<Place>> {
    if bytes.is_empty() {
        return Some(BTreeSet::new());
    }
    Reader(bytes.get(2..)?).places()
}

/// Gives each partition to a member. With `cooperative` nobody is given what another still owns: that one gives it up first,
/// and the next generation gives it away.
pub fn assign(
    members: &BTreeMap<Arc<str>, Subscription>,
    partitions: &BTreeSet<Place>,
    cooperative: bool,
) -> BTreeMap<Arc<str>, BTreeSet<Place>> {
    let mut owners: BTreeMap<&Place, (i32, &Arc<str>)> = BTreeMap::new();
    for (id, member) in members.iter().filter(|_| cooperative) {
        for place in &member.owned {
            let owner = owners.entry(place).or_insert((member.generation, id));
            // Who was given it later has it now.
            if member.generation > owner.0 {
                *owner = (member.generation, id);
            }
        }
    }
    let quota = partitions.len().div_ceil(members.len().max(1));
    let mut given: BTreeMap<Arc<str>, BTreeSet<Place>> =
        members.keys().map(|id| (Arc::clone(id), BTreeSet::new())).collect();
    let mut left = Vec::new();
    for place in partitions {
        let keeper = owners.get(place).and_then(|(_, id)| given.get_mut(*id)).filter(|kept| kept.len() < quota);
        match keeper {
            Some(kept) => drop(kept.insert(place.clone())),
            None => left.push(place),
        }
    }
    for place in left.into_iter().filter(|place| !owners.contains_key(place)) {
        if let Some(least) = given.values_mut().min_by_key(|kept| kept.len()) {
            least.insert(place.clone());
        }
    }
    given
}

fn count(len: usize) -> [u8; 4] {
    i32::try_from(len).expect("few").to_be_bytes()
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(i16::try_from(text.len()).expect("short").to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn places(bytes: &mut Vec<u8>, places: &BTreeSet<Place>) {
    bytes.extend(count(places.len()));
    for (topic, index) in places {
        text(bytes, topic);
        bytes.extend(count(1));
        bytes.extend(index.to_be_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let len = self.take(2)?.try_into().ok().map(u16::from_be_bytes)?;
        std::str::from_utf8(self.take(usize::from(len))?).ok().map(Arc::from)
    }

    fn places(&mut self) -> Option<BTreeSet<Place>> {
        let mut places = BTreeSet::new();
        for _ in 0..self.i32()? {
            let topic = self.text()?;
            for _ in 0..self.i32()? {
                places.insert((Arc::clone(&topic), self.i32()?));
            }
        }
        Some(places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(index: i32) -> Place {
        ("t".into(), index)
    }

    #[test]
    fn bytes_come_back_as_they_went() {
        let owned: BTreeSet<Place> = [place(0), place(3)].into();
        let subscription = Subscription { topics: vec!["t".into(), "u".into()], owned: owned.clone(), generation: 7 };
        assert_eq!(Subscription::decode(&subscription.encode()), Some(subscription));
        assert_eq!(decode(&encode(&owned)), Some(owned));
        assert_eq!(decode(&[0, 1, 0]), None);
    }

    #[test]
    fn a_cooperative_leader_waits_until_a_partition_is_given_up() {
        let partitions: BTreeSet<Place> = (0..4).map(place).collect();
        let owner = Subscription { owned: partitions.clone(), generation: 1, ..Subscription::default() };
        let members = BTreeMap::from([(Arc::from("a"), owner), (Arc::from("b"), Subscription::default())]);
        let given = assign(&members, &partitions, true);
        assert_eq!((given["a"].len(), given["b"].len()), (2, 0));
        let given = assign(&members, &partitions, false);
        assert_eq!((given["a"].len(), given["b"].len()), (2, 2));
    }
}
