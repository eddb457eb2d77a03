//! `GroupSaved`: a classic group finished a rebalance or lost its last member; a KIP-848 group took another step.

use super::{Body, Kind};
use crate::codec::{Malformed, Reader, Writer};
use crate::group::{Classic, Content, Member};

mod consumer;

/// The entry. It says all of the group but its offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSaved {
    /// The group's id.
    pub group: String,
    /// The revision that the writer knows of it; 0 if it knows none that was ever saved. Refused if it is another.
    pub expected: u64,
    /// What it is from now on.
    pub content: Content,
}

impl Body for GroupSaved {
    const KIND: Kind = Kind::GroupSaved;
    /// 2 knows members of a KIP-848 group that speak the classic protocol.
    const VERSION_MAX: u8 = 2;

    fn version(&self) -> u8 {
        if self.content.is_mixed() { 2 } else { 1 }
    }

    fn encode(&self, writer: &mut Writer) {
        writer.string(&self.group);
        writer.varint(self.expected);
        write_content(&self.content, writer);
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            group: reader.string("group id")?,
            expected: reader.varint("revision")?,
            content: read_content(reader)?,
        })
    }
}

/// As entry and snapshot hold it.
pub(crate) fn write_content(content: &Content, writer: &mut Writer) {
    match content {
        Content::Classic(classic) => {
            writer.u8(0);
            write_classic(classic, writer);
        }
        Content::Consumer(consumer) => {
            let mixed = content.is_mixed();
            writer.u8(if mixed { 2 } else { 1 });
            consumer::write(consumer, mixed, writer);
        }
    }
}

pub(crate) fn read_content(reader: &mut Reader<'_>) -> Result<Content, Malformed> {
    match reader.u8("type of group")? {
        0 => read_classic(reader).map(Content::Classic),
        1 => consumer::read(false, reader).map(Content::Consumer),
        2 => consumer::read(true, reader).map(Content::Consumer),
        _ => Err(Malformed("type of group")),
    }
}

fn write_classic(classic: &Classic, writer: &mut Writer) {
    writer.string(&classic.protocol_type);
    writer.zigzag(i64::from(classic.generation));
    writer.optional_string(classic.protocol.as_deref());
    writer.optional_string(classic.leader.as_deref());
    writer.count(classic.members.len());
    for member in &classic.members {
        writer.string(&member.id);
        writer.optional_string(member.instance_id.as_deref());
        writer.string(&member.client_id);
        writer.string(&member.client_host);
        writer.zigzag(i64::from(member.session_timeout_ms));
        writer.zigzag(i64::from(member.rebalance_timeout_ms));
        writer.blob(&member.metadata);
        writer.blob(&member.assignment);
    }
}

fn read_classic(reader: &mut Reader<'_>) -> Result<Classic, Malformed> {
    let mut classic = Classic {
        protocol_type: reader.string("protocol type")?,
        generation: reader.signed("generation")?,
        protocol: reader.optional_string("protocol")?,
        leader: reader.optional_string("leader")?,
        members: Vec::new(),
    };
    for _ in 0..reader.count(8, "members")? {
        classic.members.push(Member {
            id: reader.string("member id")?,
            instance_id: reader.optional_string("instance id")?,
            client_id: reader.string("client id")?,
            client_host: reader.string("client host")?,
            session_timeout_ms: reader.signed("session timeout")?,
            rebalance_timeout_ms: reader.signed("rebalance timeout")?,
            metadata: reader.blob("metadata")?.to_vec(),
            assignment: reader.blob("assignment")?.to_vec(),
        });
    }
    Ok(classic)
}
