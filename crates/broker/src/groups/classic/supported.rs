//! How many members support each protocol, so that what all of them support is known without asking every one: each of a
//! thousand members that join asks for it.

use std::collections::{BTreeMap, BTreeSet};

use super::Protocols;

/// Members by protocol.
#[derive(Debug, Default)]
pub struct Supported(BTreeMap<String, usize>);

impl Supported {
    /// A member supports these.
    pub fn add(&mut self, protocols: &Protocols) {
        for name in names(protocols) {
            *self.0.entry(name.to_owned()).or_default() += 1;
        }
    }

    /// A member that supports these is gone.
    pub fn remove(&mut self, protocols: &Protocols) {
        for name in names(protocols) {
            if let Some(count) = self.0.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(name);
                }
            }
        }
    }

    /// How many members support it.
    pub fn by(&self, name: &str) -> usize {
        self.0.get(name).copied().unwrap_or(0)
    }
}

/// A member counts once, however often it names a protocol.
fn names(protocols: &Protocols) -> BTreeSet<&str> {
    protocols.iter().map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn members_are_counted_once_for_each_protocol() {
        let protocols = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Bytes::new())).collect();
        let mut supported = Supported::default();
        supported.add(&protocols(&["range", "sticky", "range"]));
        supported.add(&protocols(&["range"]));
        assert_eq!(["range", "sticky", "other"].map(|name| supported.by(name)), [2, 1, 0]);
        supported.remove(&protocols(&["range", "sticky", "range"]));
        assert_eq!(["range", "sticky"].map(|name| supported.by(name)), [1, 0]);
    }
}
