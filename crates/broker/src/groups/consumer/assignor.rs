//! The assignors of KIP-848: who shall have which partition.
//!
//! Pure functions of subscriptions and of the assignment before: balanced first, then sticky; racks are ignored, as in
//! Apache Kafka 4. What they give goes into the log, so they may change without a new feature level.

mod range;
#[cfg(test)]
mod tests;
mod uniform;

use kafscale_state::{Handle, group::Partitions};

/// An assignor by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Assignor {
    /// Every member gets as many partitions as any other, give or take one.
    #[default]
    Uniform,
    /// Every member gets as many partitions of each topic, and the same indexes of topics of one size.
    Range,
}

/// A member, as assignors see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscriber {
    /// Its topics: indexes into the list of all topics, ascending.
    pub topics: Vec<usize>,
    /// What it was to have before. Two members never have the same.
    pub before: Partitions,
}

/// A topic is its partitions, in the order of their indexes.
pub type Topic = Vec<Handle>;

impl Assignor {
    /// All of them, the default first.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// As clients call it in `group.remote.assignor`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// By that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|assignor| assignor.name() == name)
    }

    /// Gives every partition of a topic that has subscribers to one of them; the answer is in the order of members.
    pub fn assign(self, members: &[Subscriber], topics: &[Topic]) -> Vec<Partitions> {
        match self {
            Self::Uniform => uniform::assign(members, topics),
            Self::Range => range::assign(members, topics),
        }
    }
}

/// The members of each topic, in their order.
fn subscribers(members: &[Subscriber], topics: usize) -> Vec<Vec<usize>> {
    let mut subscribers = vec![Vec::new(); topics];
    for (index, member) in members.iter().enumerate() {
        for topic in &member.topics {
            subscribers[*topic].push(index);
        }
    }
    subscribers
}
