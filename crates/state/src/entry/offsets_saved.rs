//! `OffsetsSaved`: committed offsets of one group come, go or expire.

use super::{Body, Kind};
use crate::Handle;
use crate::codec::{Malformed, Reader, Writer};

/// The entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetsSaved {
    /// The group's id. A group that does not exist begins with its first offset.
    pub group: String,
    /// By what right.
    pub by: Committer,
    /// What becomes of the offset of which partition.
    pub offsets: Vec<(Handle, OffsetChange)>,
}

/// By what right offsets change; the tags are persisted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committer {
    /// A member (tag 0), under the generation or member epoch that it must have.
    Member {
        /// Its id.
        id: String,
        /// Generation of a classic group: the saved one, or a later one that was never saved. Or its own epoch.
        epoch: i32,
    },
    /// A client that is no member (tag 1): refused while the group has some.
    Outsider,
    /// An operator, or the coordinator itself (tag 2).
    Operator,
}

/// What becomes of one offset; the tags are persisted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffsetChange {
    /// It is committed (tag 0).
    Commit {
        /// The next record to read.
        offset: i64,
        /// Leader epoch of the last record read; -1 for none.
        leader_epoch: i32,
        /// Whatever the client remembers with it.
        metadata: String,
        /// When it expires, where the client chose that, Unix milliseconds.
        expires_ms: Option<i64>,
    },
    /// It is forgotten (tag 1).
    Delete,
    /// It is forgotten if it expired by itself, or if it and the group are as they are since this time (tag 2).
    Expire {
        /// Cluster time, Unix milliseconds.
        since_ms: i64,
    },
}

impl Body for OffsetsSaved {
    const KIND: Kind = Kind::OffsetsSaved;

    fn encode(&self, writer: &mut Writer) {
        writer.string(&self.group);
        match &self.by {
            Committer::Member { id, epoch } => {
                writer.u8(0);
                writer.string(id);
                writer.zigzag(i64::from(*epoch));
            }
            Committer::Outsider => writer.u8(1),
            Committer::Operator => writer.u8(2),
        }
        writer.count(self.offsets.len());
        for (handle, change) in &self.offsets {
            writer.varint(u64::from(*handle));
            match change {
                OffsetChange::Commit { offset, leader_epoch, metadata, expires_ms } => {
                    writer.u8(0);
                    writer.zigzag(*offset);
                    writer.zigzag(i64::from(*leader_epoch));
                    writer.string(metadata);
                    writer.optional_zigzag(*expires_ms);
                }
                OffsetChange::Delete => writer.u8(1),
                OffsetChange::Expire { since_ms } => {
                    writer.u8(2);
                    writer.zigzag(*since_ms);
                }
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let group = reader.string("group id")?;
        let by = match reader.u8("committer")? {
            0 => Committer::Member { id: reader.string("member id")?, epoch: reader.signed("generation")? },
            1 => Committer::Outsider,
            2 => Committer::Operator,
            _ => return Err(Malformed("committer")),
        };
        let mut offsets = Vec::new();
        for _ in 0..reader.count(2, "offsets")? {
            let handle = reader.number("handle")?;
            let change = match reader.u8("change of an offset")? {
                0 => OffsetChange::Commit {
                    offset: reader.zigzag("offset")?,
                    leader_epoch: reader.signed("leader epoch")?,
                    metadata: reader.string("metadata")?,
                    expires_ms: reader.optional_zigzag("expiry")?,
                },
                1 => OffsetChange::Delete,
                2 => OffsetChange::Expire { since_ms: reader.zigzag("time")? },
                _ => return Err(Malformed("change of an offset")),
            };
            offsets.push((handle, change));
        }
        Ok(Self { group, by, offsets })
    }
}
