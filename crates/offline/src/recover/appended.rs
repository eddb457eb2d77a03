//! Data objects whose frames are lost: nothing says which offsets their records got, so they follow what is known, in the order
//! in which they were written.
//!
//! What merged objects and segments hold behind what is known is among them: those batches have their offsets, and are passed
//! over here. So is what a producer wrote twice, since its first frame had failed.

use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

use kafscale_log::data::{self, DataId};
use kafscale_records::{Header, batches};
use kafscale_state::{
    Handle, Place,
    entry::{Commit, Extent},
    producer::{Claim, Facts, Judgement, ProducerState, WindowRun, judge},
};

use super::{
    candidates::Found,
    cover::cover,
    evidence::{Evidence, adopt_unnamed},
};
use crate::{Bucket, Error, Side, chunks::Chunks, fsck::Names, object::section, tile::Tile};

/// Takes them in.
pub(super) async fn data_objects(
    bucket: &Bucket,
    evidence: &mut Evidence,
    all: &Names,
    found: &mut Found,
) -> Result<(), Error> {
    let cluster = evidence.cluster;
    let prefix = format!("{}{:032x}/", data::PREFIX, cluster.id);
    let ids = all.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
    let ids: Vec<DataId> = ids.filter_map(|(name, _)| DataId::parse(name)).collect();
    let place = |id: &DataId| Place::Data { store: 0, session: id.session, number: id.number };
    let (mut last_known, of_state) = (BTreeMap::new(), evidence.state.session());
    for id in &ids {
        evidence.session = evidence.session.max(id.session);
        if evidence.state.knows(place(id)) {
            last_known.insert(id.session, id.number);
        }
    }
    let mut writer = Appender::default();
    for id in ids {
        // A session commits in the order of its numbers, and one that was over then commits nothing more.
        let is_past = id.session < of_state || last_known.get(&id.session).is_some_and(|last| id.number <= *last);
        if is_past || evidence.state.knows(place(&id)) {
            continue;
        }
        let name = id.name();
        match read_section(bucket, &name, &id).await {
            Ok((header, commit)) if header.generation == cluster.generation => {
                writer.append(bucket, evidence, found, (&name, place(&id)), &commit).await?;
            }
            Ok(_) => {}
            Err(error) => found.unreadable(error)?,
        }
    }
    Ok(())
}

async fn read_section(bucket: &Bucket, name: &str, id: &DataId) -> Result<(data::Header, Commit), Error> {
    let front = bucket.get(Side::Data, name, 0, data::HEADER_LEN as u64).await?;
    let front = front.ok_or_else(|| Error::Missing(name.to_owned()))?;
    let header = data::decode_header(&front).map_err(|error| Error::damaged(name, error))?;
    header.check(id).map_err(|error| Error::damaged(name, error))?;
    let commit = section(bucket, Side::Data, name, &header).await?;
    Ok((header, commit))
}

/// What tells one batch from others wherever it lies: its offset is not among it.
type Fingerprint = (u32, i32, i32);

/// Gives offsets to records whose frames are lost.
#[derive(Default)]
struct Appender {
    /// Where each partition's next record goes.
    ends: BTreeMap<Handle, i64>,
    /// Batches that other objects hold behind what is known, in order.
    seen: BTreeMap<Handle, VecDeque<Fingerprint>>,
    producers: BTreeMap<(Handle, i64), ProducerState>,
}

impl Appender {
    async fn append(
        &mut self,
        bucket: &Bucket,
        evidence: &mut Evidence,
        found: &mut Found,
        (name, place): (&str, Place),
        commit: &Commit,
    ) -> Result<(), Error> {
        let mut at = u64::from(kafscale_state::DATA_RECORDS_AT);
        for extent in &commit.extents {
            let handle = extent.partition;
            let start = at;
            at += extent.runs.iter().map(|run| u64::from(run.bytes)).sum::<u64>();
            if evidence.state.partition(handle).is_none() {
                if handle < evidence.unknown_from {
                    continue;
                }
                adopt_unnamed(&mut evidence.state, evidence.cluster.id, handle)?;
            }
            if let Entry::Vacant(vacant) = self.ends.entry(handle) {
                let (end, seen) = behind(bucket, evidence, found, handle).await?;
                vacant.insert(end);
                self.seen.insert(handle, seen);
            }
            self.runs(bucket, evidence, found, (name, place, start), commit, extent).await?;
        }
        Ok(())
    }

    async fn runs(
        &mut self,
        bucket: &Bucket,
        evidence: &Evidence,
        found: &mut Found,
        (name, place, mut start): (&str, Place, u64),
        commit: &Commit,
        extent: &Extent,
    ) -> Result<(), Error> {
        let handle = extent.partition;
        for run in &extent.runs {
            let (at, len) = (start, u64::from(run.bytes));
            start += len;
            let first = self.ends.get(&handle).copied().unwrap_or(0);
            let producer = run.producer.and_then(|index| commit.producers.get(index as usize));
            if self.is_seen(bucket, name, at, handle).await? {
                continue;
            }
            if let Some(producer) = producer {
                let key = (handle, producer.id);
                let known = self.producers.get(&key).or_else(|| evidence.state.producer(handle, producer.id));
                let facts = Facts { now_ms: 0, expiration_ms: i64::MAX, may_be_forgotten: true };
                let claim = Claim { epoch: producer.epoch, base_sequence: run.base_sequence, records: run.records };
                // It was written again by another session after its first frame had failed.
                if matches!(judge(known, facts, claim), Judgement::Known(_)) {
                    continue;
                }
                let window = WindowRun { base_offset: first, base_sequence: run.base_sequence, records: run.records };
                self.producers.insert(key, ProducerState::first(producer.epoch, window, 0, 0));
            }
            let end = first + i64::from(run.records);
            let max_timestamp = extent.max_timestamp;
            let (side, name) = (Side::Data, name.to_owned());
            found.add(handle, Tile { place, side, name, start: at, len, first, end, max_timestamp }, false, None);
            self.ends.insert(handle, end);
        }
        Ok(())
    }

    /// Whether another object holds the batch that lies here.
    async fn is_seen(&mut self, bucket: &Bucket, name: &str, at: u64, handle: Handle) -> Result<bool, Error> {
        let Some(seen) = self.seen.get_mut(&handle).filter(|seen| !seen.is_empty()) else { return Ok(false) };
        let front = bucket.get(Side::Data, name, at, kafscale_records::HEADER_LEN as u64).await?.unwrap_or_default();
        let Ok(header) = Header::parse(&front) else { return Ok(false) };
        let Some(index) = seen.iter().position(|fingerprint| *fingerprint == of(&header)) else { return Ok(false) };
        seen.drain(..=index);
        Ok(true)
    }
}

fn of(header: &Header) -> Fingerprint {
    (header.crc, header.record_count, header.batch_length)
}

/// How far objects reach behind what is known of a partition, and the batches there.
async fn behind(
    bucket: &Bucket,
    evidence: &Evidence,
    found: &Found,
    handle: Handle,
) -> Result<(i64, VecDeque<Fingerprint>), Error> {
    let known = evidence.state.partition(handle).map_or(0, |view| view.high_watermark());
    let candidates = found.of.get(&handle).cloned().unwrap_or_default();
    let cover = cover(known, None, candidates, evidence.prefer(handle));
    let (mut seen, mut end) = (VecDeque::new(), known);
    for slice in &cover.slices {
        end = end.max(slice.until);
        let mut chunks = Chunks::lenient(bucket, &slice.candidate.tile);
        loop {
            match chunks.next().await {
                Ok(Some(bytes)) => {
                    let row = batches(&bytes).flatten().map(|batch| *batch.header());
                    seen.extend(row.filter(|header| header.base_offset >= slice.from).map(|header| of(&header)));
                }
                Ok(None) | Err(Error::Damaged { .. } | Error::Missing(_)) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok((end, seen))
}
