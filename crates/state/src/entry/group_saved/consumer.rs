//! KIP-848 groups as entry and snapshot hold them. A *mixed* one says of each member whether it speaks the classic protocol.

use std::sync::Arc;

use crate::codec::{Malformed, Reader, Writer};
use crate::group::{ClassicMetadata, Consumer, ConsumerMember, MemberState, Partitions, Pattern};

pub(super) fn write(group: &Consumer, mixed: bool, writer: &mut Writer) {
    writer.zigzag(i64::from(group.epoch));
    writer.zigzag(i64::from(group.assignment_epoch));
    writer.count(group.topics.len());
    for (id, partitions) in &group.topics {
        writer.u128(*id);
        writer.varint(u64::from(*partitions));
    }
    writer.count(group.patterns.len());
    for pattern in &group.patterns {
        writer.string(&pattern.source);
        write_names(&pattern.topics, writer);
    }
    writer.count(group.members.len());
    for member in &group.members {
        write_member(member, writer);
        if mixed {
            write_classic(member.classic.as_ref(), writer);
        }
    }
}

pub(super) fn read(mixed: bool, reader: &mut Reader<'_>) -> Result<Consumer, Malformed> {
    let mut group = Consumer {
        epoch: reader.signed("group epoch")?,
        assignment_epoch: reader.signed("assignment epoch")?,
        ..Consumer::default()
    };
    for _ in 0..reader.count(17, "topics")? {
        group.topics.push((reader.u128("topic id")?, reader.number("partitions")?));
    }
    for _ in 0..reader.count(2, "patterns")? {
        group.patterns.push(Pattern { source: reader.string("pattern")?, topics: read_names(reader)? });
    }
    for _ in 0..reader.count(15, "members")? {
        let member = read_member(reader)?;
        let classic = if mixed { read_classic(reader)? } else { None };
        group.members.push(Arc::new(ConsumerMember { classic, ..member }));
    }
    Ok(group)
}

fn write_member(member: &ConsumerMember, writer: &mut Writer) {
    writer.string(&member.id);
    writer.optional_string(member.instance_id.as_deref());
    writer.optional_string(member.rack_id.as_deref());
    writer.string(&member.client_id);
    writer.string(&member.client_host);
    writer.zigzag(i64::from(member.rebalance_timeout_ms));
    write_names(&member.topics, writer);
    writer.optional_string(member.pattern.as_deref());
    writer.optional_string(member.assignor.as_deref());
    writer.zigzag(i64::from(member.epoch));
    writer.zigzag(i64::from(member.previous_epoch));
    writer.u8(member.state as u8);
    for partitions in [&member.target, &member.assigned, &member.revoking] {
        write_partitions(partitions, writer);
    }
}

fn read_member(reader: &mut Reader<'_>) -> Result<ConsumerMember, Malformed> {
    Ok(ConsumerMember {
        id: reader.string("member id")?,
        instance_id: reader.optional_string("instance id")?,
        rack_id: reader.optional_string("rack id")?,
        client_id: reader.string("client id")?,
        client_host: reader.string("client host")?,
        rebalance_timeout_ms: reader.signed("rebalance timeout")?,
        topics: read_names(reader)?,
        pattern: reader.optional_string("pattern")?,
        assignor: reader.optional_string("assignor")?,
        epoch: reader.signed("member epoch")?,
        previous_epoch: reader.signed("member epoch")?,
        state: match reader.u8("state of a member")? {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => return Err(Malformed("state of a member")),
        },
        target: read_partitions(reader)?,
        assigned: read_partitions(reader)?,
        revoking: read_partitions(reader)?,
        classic: None,
    })
}

/// Whether it speaks the classic protocol, and what it said in that.
fn write_classic(classic: Option<&ClassicMetadata>, writer: &mut Writer) {
    writer.u8(u8::from(classic.is_some()));
    let Some(classic) = classic else { return };
    writer.zigzag(i64::from(classic.session_timeout_ms));
    writer.count(classic.protocols.len());
    for (name, metadata) in &classic.protocols {
        writer.string(name);
        writer.blob(metadata);
    }
}

fn read_classic(reader: &mut Reader<'_>) -> Result<Option<ClassicMetadata>, Malformed> {
    if !reader.flag("whether it is classic")? {
        return Ok(None);
    }
    let session_timeout_ms = reader.signed("session timeout")?;
    let protocols = (0..reader.count(2, "protocols")?)
        .map(|_| Ok((reader.string("protocol")?, reader.blob("metadata")?.to_vec())))
        .collect::<Result<_, Malformed>>()?;
    Ok(Some(ClassicMetadata { session_timeout_ms, protocols }))
}

fn write_names(names: &[String], writer: &mut Writer) {
    writer.count(names.len());
    for name in names {
        writer.string(name);
    }
}

fn read_names(reader: &mut Reader<'_>) -> Result<Vec<String>, Malformed> {
    (0..reader.count(1, "topics")?).map(|_| reader.string("topic")).collect()
}

/// The first handle, then each one's distance from the one before.
fn write_partitions(partitions: &Partitions, writer: &mut Writer) {
    writer.count(partitions.len());
    let mut last = 0;
    for handle in partitions {
        writer.varint(u64::from(handle - last));
        last = *handle;
    }
}

fn read_partitions(reader: &mut Reader<'_>) -> Result<Partitions, Malformed> {
    let mut partitions = Partitions::new();
    let mut last = 0_u32;
    for _ in 0..reader.count(1, "partitions")? {
        last = last.checked_add(reader.number("handle")?).ok_or(Malformed("handle"))?;
        if !partitions.insert(last) {
            return Err(Malformed("handle"));
        }
    }
    Ok(partitions)
}
