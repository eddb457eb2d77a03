//! Groups in a snapshot, a slot per part.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{Malformed, Reader, Writer};
use crate::entry::{read_content, write_content};
use crate::group::{Committed, Group, Slot, slot_of};
use crate::{SLOTS, State};

pub(super) fn encode_head(state: &State, writer: &mut Writer) {
    writer.varint(state.groups.revision);
    writer.count(state.groups.unswept);
}

pub(super) fn decode_head(state: &mut State, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    state.groups.revision = reader.varint("revision")?;
    state.groups.unswept = reader.number("unswept slots")?;
    if state.groups.unswept > SLOTS {
        return Err(Malformed("unswept slots"));
    }
    Ok(())
}

pub(super) fn encode(slot: &Slot, writer: &mut Writer) {
    for (id, group) in slot {
        writer.string(id);
        writer.varint(group.revision);
        writer.zigzag(group.saved_ms);
        write_content(&group.content, writer);
        writer.count(group.offsets.len());
        for (handle, committed) in &group.offsets {
            writer.varint(u64::from(*handle));
            writer.zigzag(committed.offset);
            writer.zigzag(i64::from(committed.leader_epoch));
            writer.string(&committed.metadata);
            writer.zigzag(committed.committed_ms);
            writer.optional_zigzag(committed.expires_ms);
        }
    }
}

pub(super) fn decode(state: &mut State, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    while reader.remaining() > 0 {
        let id = reader.string("group id")?;
        let mut group = Group {
            revision: reader.varint("revision")?,
            saved_ms: reader.zigzag("time")?,
            content: read_content(reader)?,
            offsets: BTreeMap::new(),
        };
        for _ in 0..reader.count(6, "offsets")? {
            let handle = reader.number("handle")?;
            let committed = Committed {
                offset: reader.zigzag("offset")?,
                leader_epoch: reader.signed("leader epoch")?,
                metadata: reader.string("metadata")?.into(),
                committed_ms: reader.zigzag("time")?,
                expires_ms: reader.optional_zigzag("expiry")?,
            };
            group.offsets.insert(handle, committed);
        }
        let groups = &mut state.groups;
        let slot = &mut groups.slots[slot_of(&id)];
        let ordered = slot.last_key_value().is_none_or(|(last, _)| *last < id);
        if !ordered || group.revision > groups.revision {
            return Err(Malformed("group"));
        }
        groups.weight = groups.weight.saturating_add(group.weight(&id));
        Arc::make_mut(slot).insert(id, Arc::new(group));
    }
    Ok(())
}
