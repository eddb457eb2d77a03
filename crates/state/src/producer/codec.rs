//! A producer's state in a snapshot.

use super::{HALF, ProducerState, WINDOW_RUNS};
use crate::codec::{Malformed, Reader, Writer};
use crate::limits::{RUN_RECORDS_MAX, U48_MAX};

impl ProducerState {
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.varint(self.last_position);
        writer.zigzag(self.last_time_ms);
        writer.varint(self.epoch as u64);
        writer.varint(self.next_sequence as u64);
        writer.varint(u64::from(self.written));
        writer.u8(self.runs);
        for run in self.window() {
            writer.varint(run.base_offset as u64);
            writer.varint(u64::from(run.records));
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let last_position = reader.varint("producer position")?;
        let last_time_ms = reader.zigzag("producer time")?;
        let epoch = reader.number("producer epoch")?;
        let next_sequence: i32 = reader.number("producer sequence")?;
        let written = reader.number("producer records")?;
        let runs = reader.u8("producer runs")?;
        if !(1..=WINDOW_RUNS).contains(&usize::from(runs)) || written > HALF {
            return Err(Malformed("producer runs"));
        }
        let mut state = Self {
            last_position,
            last_time_ms,
            records: [0; WINDOW_RUNS],
            offsets_low: [0; WINDOW_RUNS],
            offsets_high: [0; WINDOW_RUNS],
            epoch,
            next_sequence,
            written,
            runs,
        };
        for run in 0..usize::from(runs) {
            let base_offset = reader.varint("run offset")?;
            let records = reader.number("run records")?;
            if base_offset > U48_MAX || !(1..=RUN_RECORDS_MAX).contains(&records) {
                return Err(Malformed("run"));
            }
            state.records[run] = records;
            state.offsets_low[run] = base_offset as u32;
            state.offsets_high[run] = (base_offset >> 32) as u16;
        }
        Ok(state)
    }
}
