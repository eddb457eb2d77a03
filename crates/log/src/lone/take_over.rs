//! Opening the log: replay what stands there, then take over at its tail.
//!
//! **The tail** is the first missing position h. If any object beyond h calls h settled, an object that existed is gone: the
//! start is refused with [`OpenError::Lost`] and nothing is changed.
//!
//! **Nothing is written before all that was read is applied** and the floor is understood: a store of a newer version, or a
//! damaged one, is left as it is.
//!
//! **The take-over** is one burst of parallel creates: the frame with the new session's entries at p, and empty fills in
//! every other position from h to p+3. At first p = h; if another's frame turns out to stand at p (a predecessor is still
//! writing, or another process is starting), everything is read again up to the new tail and p is 8 ahead of it, then 16.
//! A predecessor that is seen to write gets no first try at its tail, which would never stand still.
//!
//! *Why nothing of a predecessor can appear above p+3.* It creates q only when every position up to q-4 is definite for it,
//! that is, carries its own write id. Position p carries ours, so p never becomes definite for it, and q <= p+3. The burst
//! settles all of these, so from p+4 on every name is either free or our own. What a predecessor had put into p+1..p+3 stays
//! there and is delivered in order, but it is void: `apply` passes over lower sessions than the last one that took over.
//! What it had put below p counts. It may have acknowledged that, unless one of our fills stands below it; then its outcome
//! is unknown to everybody, and it may count as well. Only another process that is itself starting may put a burst above p+3; whoever meets the other's frame is fenced.
//!
//! *Sessions.* Two processes that start at once may choose the same number. The one whose take-over frame stands later finds
//! a frame of its own number by another process before it, and takes over again with a higher one; `apply` must not accept
//! a take-over whose session is not greater than the last.
//!
//! *A burst that was cut short* by a crash leaves frames ahead of missing positions. They call only the positions below h
//! settled, so they are no sign of a loss; the next take-over goes beyond them and fills what is missing.

use bytes::Bytes;
use futures_util::future::{join_all, join3};
use kafscale_runtime::{BoxFuture, Instant};
use kafscale_store::Body;
use tokio::sync::mpsc;

use super::{
    OpenError, WINDOW,
    core::{Core, Patience},
    create::Landed,
    replay::{Beyond, Reader, fetch, list_beyond, look_beyond},
};
use crate::{
    Frame, Position,
    frame::{Header, Kind, encode},
    planted::{self, Bug},
};

/// How far ahead of the tail a take-over tries after it lost a race.
const AHEAD: Position = 8;

/// Opens a log: see the module.
pub(super) struct TakeOver<'a> {
    pub core: &'a Core,
    pub frames: &'a mpsc::Sender<Frame>,
    pub entries: &'a (dyn Fn(u64) -> Bytes + Send + Sync),
    pub applied: &'a (dyn Fn(Position) -> BoxFuture<'static, bool> + Send + Sync),
    /// The greatest session seen.
    pub session: u64,
    /// The greatest cluster time seen.
    pub cluster_time_ms: i64,
    /// The first position that is not yet delivered.
    pub next: Position,
    pub replayed: u64,
    pub round_trips: u32,
}

/// A take-over that succeeded.
pub(super) struct Taken {
    /// The new session.
    pub session: u64,
    /// Where its first frame stands.
    pub position: Position,
    /// Every position up to here is definite.
    pub tail: Position,
    /// The last position that carries our write id.
    pub last_own: Header,
    /// Nobody else had finished a take-over then.
    pub proven_at: Instant,
}

impl TakeOver<'_> {
    pub async fn run(mut self) -> Result<(Taken, u32, u64), OpenError> {
        let mut known = self.replay_first().await?;
        let mut ahead = 0;
        loop {
            let beyond = match known.take() {
                Some(beyond) => beyond,
                None => self.judge_tail().await?,
            };
            if beyond.settled > self.next {
                // A predecessor is writing at this moment. No use in waiting for a tail that stands still.
                self.replay().await?;
                if self.next < beyond.settled {
                    return Err(self.lost(self.next).await);
                }
                ahead = ahead.max(AHEAD);
            }
            if !(self.applied)(self.next - 1).await {
                return Err(OpenError::Abandoned);
            }
            let (tail, proven_at) = (self.next, self.core.runtime.now());
            let leftovers = beyond.last.filter(|last| *last >= tail + WINDOW);
            let lead = leftovers.map_or(tail, |last| last + 1).max(tail + ahead);
            let session = self.session.max(beyond.session) + 1;
            if let Some(taken) = self.burst(lead, session, proven_at).await? {
                if !self.core.store.facts().exclusive {
                    self.check_floor(tail).await?;
                }
                return Ok((taken, self.round_trips, self.replayed));
            }
            tracing::warn!(position = lead, "another process is writing to the log: taking over further ahead");
            self.replay().await?;
            ahead = (ahead * 2).max(AHEAD);
        }
    }

    /// The first replay asks at once for what stands beyond, and for the floor: an empty log then costs one round trip.
    async fn replay_first(&mut self) -> Result<Option<Beyond>, OpenError> {
        let mut reader = Reader::new(self.core, self.next, self.patience());
        let start = self.next;
        let (listed, first, floor) =
            join3(list_beyond(self.core, start, self.patience()), reader.next(), self.core.floor(self.patience()))
                .await;
        floor?.map_err(OpenError::Floor)?;
        match first? {
            None if listed?.is_empty() => {
                self.round_trips += reader.depth();
                Ok(Some(Beyond::default()))
            }
            None => {
                self.round_trips += reader.depth();
                Ok(None)
            }
            Some(frame) => {
                self.deliver(frame).await?;
                self.drain(reader).await?;
                Ok(None)
            }
        }
    }

    async fn replay(&mut self) -> Result<(), OpenError> {
        let reader = Reader::new(self.core, self.next, self.patience());
        self.drain(reader).await
    }

    async fn drain(&mut self, mut reader: Reader<'_>) -> Result<(), OpenError> {
        while let Some(frame) = reader.next().await? {
            self.deliver(frame).await?;
        }
        debug_assert_eq!(reader.position(), self.next);
        self.round_trips += reader.depth();
        Ok(())
    }

    async fn deliver(&mut self, frame: Frame) -> Result<(), OpenError> {
        self.session = self.session.max(frame.header.session);
        self.cluster_time_ms = self.cluster_time_ms.max(frame.header.cluster_time_ms);
        self.next = frame.header.position + 1;
        self.replayed += 1;
        self.frames.send(frame).await.map_err(|_| OpenError::Abandoned)
    }

    /// What stands beyond the missing position, unless that proves a loss.
    async fn judge_tail(&mut self) -> Result<Beyond, OpenError> {
        let hole = self.next;
        if planted::is(Bug::HoleTakenForTail) {
            return Ok(Beyond::default());
        }
        let beyond = match look_beyond(self.core, hole, self.patience(), &mut self.round_trips).await {
            Err(OpenError::Lost { position }) => return Err(self.lost(position).await),
            beyond => beyond?,
        };
        if beyond.settled > hole {
            // A predecessor may have created it before we looked beyond it: look again.
            self.round_trips += 1;
            if self.core.get_header(hole, self.patience()).await?.is_none() {
                return Err(self.lost(hole).await);
            }
        }
        Ok(beyond)
    }

    /// The error for a position that existed and is missing: trimmed, if the floor says so.
    async fn lost(&mut self, position: Position) -> OpenError {
        self.check_floor(position).await.err().unwrap_or(OpenError::Lost { position })
    }

    /// Tries to take over at `lead`. Nothing if it was in vain.
    async fn burst(&mut self, lead: Position, session: u64, proven_at: Instant) -> Result<Option<Taken>, OpenError> {
        let settled = self.next;
        self.core.start_clock(self.cluster_time_ms);
        let drafts: Vec<_> =
            (settled..lead + WINDOW).map(|position| self.draft(position, lead, session, settled)).collect();
        let creates =
            drafts.iter().map(|(frame, body)| self.core.create(&frame.header, body.clone(), self.patience(), None));
        let landed = join_all(creates).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        self.round_trips += 1;
        let lead_at = usize::try_from(lead - settled).expect("a burst is short");
        if !matches!(landed[lead_at], Landed::Ours) {
            return Ok(None);
        }

        let mut valid = true;
        let mut last_own = drafts[lead_at].0.header;
        for ((draft, _), landed) in drafts.into_iter().zip(landed) {
            let position = draft.header.position;
            let frame = match landed {
                Landed::Ours => {
                    last_own = draft.header;
                    draft
                }
                Landed::Foreign(_) => {
                    let frame = fetch(self.core, position, self.patience(), &mut self.round_trips).await?;
                    let frame = frame.ok_or(OpenError::Lost { position })?;
                    valid &= position > lead || frame.header.session < session;
                    frame
                }
            };
            self.deliver(frame).await?;
        }
        let tail = lead + WINDOW - 1;
        Ok(valid.then_some(Taken { session, position: lead, tail, last_own, proven_at }))
    }

    fn draft(&self, position: Position, lead: Position, session: u64, settled: Position) -> (Frame, Body) {
        let (kind, entries) =
            if position == lead { (Kind::Entries, (self.entries)(session)) } else { (Kind::Fill, Bytes::new()) };
        let mut header = self.core.header(kind, position, session, settled);
        let body = encode(&mut header, &entries, &Body::default()).expect("a session's first entries are few");
        (Frame { header, entries }, body)
    }

    /// A name may be free because it was trimmed: then what we started from is too old.
    async fn check_floor(&mut self, position: Position) -> Result<(), OpenError> {
        self.round_trips += 1;
        let floor = self.core.floor(self.patience()).await?.map_err(OpenError::Floor)?;
        if floor > position { Err(OpenError::Trimmed { floor, position }) } else { Ok(()) }
    }

    fn patience(&self) -> Patience {
        Patience::For(self.core.settings.open_patience)
    }
}
