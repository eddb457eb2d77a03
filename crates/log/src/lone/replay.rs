//! Reading the frames that stand in the log, in order, with many reads under way at once; and looking beyond a missing one.

use std::future::Future;

use bytes::{Bytes, BytesMut};
use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt, join_all},
    stream::FuturesOrdered,
};
use kafscale_store::{Listed, ReadRange};

use super::{
    OpenError,
    core::{Core, Patience},
    names,
};
use crate::{
    Frame, Position,
    frame::{HEADER_LEN, decode_header},
};

/// What the first read of an object takes: header and entries of nearly every frame.
const FIRST_READ: u64 = 64 << 10;
/// How many reads are under way when nothing is known about the log's length.
const AHEAD_MIN: usize = 4;
/// The most reads under way.
const AHEAD_MAX: usize = 64;
/// Objects per page of a listing beyond a missing position.
const PAGE: usize = 64;

/// Reads frames upwards from a position. The number of reads under way grows with every frame that was there, so that a
/// short log costs few reads and a long one few round trips.
pub(super) struct Reader<'a> {
    core: &'a Core,
    patience: Patience,
    next: Position,
    issued: Position,
    ahead: usize,
    /// Round trips, one after the other, that the newest result took.
    depth: u32,
    reads: FuturesOrdered<BoxFuture<'a, Read>>,
}

/// The round trips up to this read, and what it gave.
type Read = (u32, Result<Option<Frame>, OpenError>);

impl<'a> Reader<'a> {
    pub fn new(core: &'a Core, from: Position, patience: Patience) -> Self {
        Self { core, patience, next: from, issued: from, ahead: AHEAD_MIN, depth: 0, reads: FuturesOrdered::new() }
    }

    /// The position that the next call of [`Reader::next`] reads.
    pub fn position(&self) -> Position {
        self.next
    }

    /// Round trips so far, counting only those that waited for each other.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The next frame; nothing if there is no object. After that or an error a reader is of no more use.
    pub async fn next(&mut self) -> Result<Option<Frame>, OpenError> {
        while self.reads.len() < self.ahead {
            let (core, position, depth, patience) = (self.core, self.issued, self.depth, self.patience);
            let read = async move {
                let mut rounds = depth;
                let frame = fetch(core, position, patience, &mut rounds).await;
                (rounds, frame)
            };
            self.reads.push_back(read.boxed());
            self.issued += 1;
        }
        let (rounds, frame) = self.reads.next().await.expect("a read was issued above");
        self.depth = self.depth.max(rounds);
        let frame = frame?;
        if frame.is_some() {
            self.next += 1;
            self.ahead = (self.ahead + 1).min(AHEAD_MAX);
        }
        Ok(frame)
    }
}

/// Header and entries of the frame at `position`; nothing if there is no object. Adds its round trips to `rounds`.
pub(super) async fn fetch(
    core: &Core,
    position: Position,
    patience: Patience,
    rounds: &mut u32,
) -> Result<Option<Frame>, OpenError> {
    let corrupt = |source| OpenError::Corrupt { position, source };
    let name = core.frame_name(position);
    *rounds += 1;
    let Some(front) = core.get(&name, ReadRange::At { start: 0, len: FIRST_READ }, patience).await? else {
        return Ok(None);
    };
    let header = decode_header(&front).map_err(corrupt)?;
    header.check_place(&core.place(position)).map_err(corrupt)?;
    let mut entries = front.slice(HEADER_LEN..);
    if header.head_len() > FIRST_READ {
        *rounds += 1;
        let rest = ReadRange::At { start: FIRST_READ, len: header.head_len() - FIRST_READ };
        let Some(rest) = core.get(&name, rest, patience).await? else { return Ok(None) };
        entries = join(&entries, &rest);
    }
    header.with_entries(entries).map(Some).map_err(corrupt)
}

fn join(front: &Bytes, rest: &Bytes) -> Bytes {
    let mut joined = BytesMut::with_capacity(front.len() + rest.len());
    joined.extend_from_slice(front);
    joined.extend_from_slice(rest);
    joined.freeze()
}

/// What stands beyond a missing position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Beyond {
    /// The last object.
    pub last: Option<Position>,
    /// The greatest session in the objects' headers.
    pub session: u64,
    /// The greatest position below which an object calls everything settled: beyond the missing one, if that was there once
    /// (or is there by now).
    pub settled: Position,
}

/// The first page of what stands beyond `hole`.
pub(super) fn list_beyond<'a>(
    core: &'a Core,
    hole: Position,
    patience: Patience,
) -> impl Future<Output = Result<Vec<Listed>, OpenError>> + 'a {
    let (prefix, after) = (names::frames(core.generation), core.frame_name(hole));
    async move { Ok(core.list(&prefix, &after, PAGE, patience).await?) }
}

/// Judges a missing position by the headers of everything beyond it.
///
/// A writer creates q only when every position up to q-4 is definite, and says so in the header: `settled` is above q-4. So
/// an object at `hole + 4` or beyond always calls the hole settled, with one exception: the frames of a take-over that did
/// not finish, which may stand up to 11 positions ahead of a tail that they call by its name. Hence the headers decide.
pub(super) async fn look_beyond(
    core: &Core,
    hole: Position,
    patience: Patience,
    rounds: &mut u32,
) -> Result<Beyond, OpenError> {
    let mut beyond = Beyond::default();
    let mut after = hole;
    loop {
        *rounds += 1;
        let page = list_beyond(core, after, patience).await?;
        let positions: Vec<_> =
            page.iter().filter_map(|row| names::frame_position(core.generation, &row.name)).collect();
        if let Some(last) = positions.last() {
            *rounds += 1;
            after = *last;
            beyond.last = Some(*last);
        }
        let headers = join_all(positions.iter().map(|position| core.get_header(*position, patience))).await;
        for (position, header) in positions.iter().zip(headers) {
            let position = *position;
            let header = header?.ok_or(OpenError::Lost { position })?;
            let header = header.map_err(|source| OpenError::Corrupt { position, source })?;
            beyond.session = beyond.session.max(header.session);
            beyond.settled = beyond.settled.max(header.settled);
        }
        if beyond.settled > hole {
            return Ok(beyond);
        }
        if page.len() < PAGE || positions.is_empty() {
            return Ok(beyond);
        }
    }
}
