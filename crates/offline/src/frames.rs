//! The frames that are left of a log: in the log itself, and those that were trimmed in archives.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use kafscale_broker::cluster::Cluster;
use kafscale_log::{
    Frame, Position,
    frame::{self, HEADER_LEN, Header, Place, decode_header},
    lone::{archive, names},
};

use crate::{Bucket, Error, Side};

/// What the first read of a frame takes: header and entries of nearly every one.
const FIRST_READ: u64 = 64 << 10;
/// Frames read side by side.
const AT_ONCE: usize = 16;
/// The longest archive that is read.
pub const ARCHIVE_LEN_MAX: u64 = 256 << 20;

/// Where a frame can be had from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Log,
    Archive(usize),
}

/// See the module. It yields what stands behind a position, in order; holes show as positions that do not follow.
pub struct Frames<'a> {
    bucket: &'a Bucket,
    cluster: Cluster,
    sources: BTreeMap<Position, Source>,
    archives: Vec<String>,
    open: Option<(usize, Vec<Frame>)>,
    ready: std::collections::VecDeque<(Position, Result<Frame, Error>)>,
}

impl<'a> Frames<'a> {
    /// What is there behind `after`. The log itself is listed before the archives: a frame moves from one to the other.
    pub async fn behind(bucket: &'a Bucket, cluster: Cluster, after: Position) -> Result<Self, Error> {
        let generation = cluster.generation;
        let mut sources = BTreeMap::new();
        for position in logged(bucket, generation, after).await? {
            sources.insert(position, Source::Log);
        }
        let mut archives = Vec::new();
        for row in bucket.list(Side::Log, &names::archives(generation)).await? {
            let Some((from, to)) = names::archive_bounds(generation, &row.name) else { continue };
            if to <= after || to <= from || to - from > row.size / HEADER_LEN as u64 {
                continue;
            }
            for position in from.max(after + 1)..to {
                sources.entry(position).or_insert(Source::Archive(archives.len()));
            }
            archives.push(row.name);
        }
        Ok(Self { bucket, cluster, sources, archives, open: None, ready: Default::default() })
    }

    /// The positions that are there and were not yet given.
    pub fn positions(&self) -> impl DoubleEndedIterator<Item = Position> + '_ {
        self.sources.keys().copied()
    }

    /// The next frame there is, or why it cannot be read.
    pub async fn next(&mut self) -> Result<Option<(Position, Result<Frame, Error>)>, Error> {
        if let Some(next) = self.ready.pop_front() {
            return Ok(Some(next));
        }
        let Some((position, source)) = self.sources.pop_first() else { return Ok(None) };
        if let Source::Archive(index) = source {
            return Ok(Some((position, self.archived(index, position).await)));
        }
        let mut batch = vec![position];
        while batch.len() < AT_ONCE
            && let Some(next) = self.sources.first_entry().filter(|next| *next.get() == Source::Log)
        {
            batch.push(*next.key());
            next.remove();
        }
        let mut reads = Vec::with_capacity(batch.len());
        for position in &batch {
            reads.push(read(self.bucket, self.cluster, *position).boxed());
        }
        let read = join_all(reads).await;
        self.ready.extend(batch.into_iter().zip(read));
        Ok(self.ready.pop_front())
    }

    async fn archived(&mut self, index: usize, position: Position) -> Result<Frame, Error> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != index) {
            let name = &self.archives[index];
            let bytes = self.bucket.get_small(Side::Log, name, ARCHIVE_LEN_MAX).await?;
            let bytes = bytes.ok_or_else(|| Error::Missing(name.clone()))?;
            let frames = archive::decode(&bytes, self.cluster.id).map_err(|error| match error {
                archive::ArchiveError::NewerVersion(_) => {
                    Error::Newer { name: name.clone(), reason: error.to_string() }
                }
                error => Error::damaged(name, error),
            })?;
            self.open = Some((index, frames));
        }
        let frames = self.open.as_ref().map_or(&[][..], |(_, frames)| frames);
        let found = frames.iter().find(|frame| frame.header.position == position);
        found.cloned().ok_or_else(|| Error::damaged(&self.archives[index], "it does not hold what its name says"))
    }
}

/// The positions behind `after` that the log itself has.
pub async fn logged(bucket: &Bucket, generation: u64, after: Position) -> Result<Vec<Position>, Error> {
    let (prefix, mut found) = (names::frames(generation), Vec::new());
    let mut last = if after == 0 { String::new() } else { names::frame(generation, after) };
    loop {
        let page = bucket.page(Side::Log, &prefix, &last, 1_000).await?;
        found.extend(page.iter().filter_map(|row| names::frame_position(generation, &row.name)));
        match page.last() {
            Some(row) if page.len() == 1_000 && row.name > last => last.clone_from(&row.name),
            _ => return Ok(found),
        }
    }
}

/// Header and entries of the frame at `position` in the log.
pub async fn read(bucket: &Bucket, cluster: Cluster, position: Position) -> Result<Frame, Error> {
    let name = names::frame(cluster.generation, position);
    let wrong = |error: frame::DecodeError| match error {
        frame::DecodeError::NewerVersion { .. } => Error::Newer { name: name.clone(), reason: error.to_string() },
        error => Error::damaged(&name, error),
    };
    let missing = || Error::Missing(name.clone());
    let front = bucket.get(Side::Log, &name, 0, FIRST_READ).await?.ok_or_else(missing)?;
    let header = decode_header(&front).map_err(wrong)?;
    header.check_place(&place(cluster, position)).map_err(wrong)?;
    let mut entries = front.slice(HEADER_LEN..);
    if header.head_len() > FIRST_READ {
        let rest = bucket.get(Side::Log, &name, FIRST_READ, header.head_len() - FIRST_READ).await?;
        entries = Bytes::from([entries, rest.ok_or_else(missing)?].concat());
    }
    header.with_entries(entries).map_err(wrong)
}

/// The header of the frame at `position` in the log; none if there is no such object.
pub async fn header(bucket: &Bucket, cluster: Cluster, position: Position) -> Result<Option<Header>, Error> {
    let name = names::frame(cluster.generation, position);
    let Some(front) = bucket.get(Side::Log, &name, 0, HEADER_LEN as u64).await? else { return Ok(None) };
    let header = decode_header(&front).map_err(|error| Error::damaged(&name, error))?;
    header.check_place(&place(cluster, position)).map_err(|error| Error::damaged(&name, error))?;
    Ok(Some(header))
}

fn place(cluster: Cluster, position: Position) -> Place {
    Place { cluster_id: cluster.id, generation: cluster.generation, position }
}
