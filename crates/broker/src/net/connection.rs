//! One connection: frames in, answers out, in order.
//!
//! Requests are handed to the session as they arrive and worked on while earlier ones wait; at most
//! `requests_per_connection_max` at once. Answers leave in the order of the requests; those that are ready together leave
//! in one vectored write. A half frame without a byte for [`HALF_FRAME_LIMIT`] or slower than [`SLOW_FRAME_RATE`] for
//! [`SLOW_FRAME_PATIENCE`], a peer that reads nothing for [`WRITE_STALL_LIMIT`] and one that is idle for [`IDLE_LIMIT`] are
//! closed; nobody else notices.

use std::{io::IoSlice, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, StreamExt, stream::FuturesOrdered};
use kafscale_runtime::{BoxFuture, Handle, timeout};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::frames::{FrameError, HalfFrame, Reader, RequestFrame, Source};
use crate::api::{Answer, Session};

/// A half frame must grow within this time.
pub const HALF_FRAME_LIMIT: Duration = Duration::from_secs(10);
/// Bytes a second at which a half frame must arrive, since it holds memory that all share: a line of 1 Mbit/s. Clients give
/// a request up after 30 s by default, so that a frame of more than 4 MiB that is slower has lost its reader anyway; the
/// largest one, 100 MiB, may take 14 minutes.
pub const SLOW_FRAME_RATE: u64 = 128 << 10;
/// How long a half frame may fall short of [`SLOW_FRAME_RATE`]. What came faster before does not count: memory that was
/// filled at once cannot be held by a trickle.
pub const SLOW_FRAME_PATIENCE: Duration = Duration::from_secs(30);
/// A peer must take some of its answers within this time.
pub const WRITE_STALL_LIMIT: Duration = Duration::from_secs(30);
/// A connection without requests is closed after this time (`connections.max.idle.ms`).
pub const IDLE_LIMIT: Duration = Duration::from_secs(600);
/// Parts of answers that leave in one vectored write.
const PARTS_PER_WRITE: usize = 64;
/// Bytes that are gathered for one write: more wait for their turn unmade.
const BYTES_PER_WRITE: usize = 256 << 10;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// Its input ended.
    #[error(transparent)]
    Input(#[from] FrameError),
    /// A request that cannot be answered.
    #[error("request refused: {0}")]
    Refused(String),
    /// Half a frame and then silence.
    #[error("half a request and then silence for {HALF_FRAME_LIMIT:?}")]
    HalfFrame,
    /// A frame that does not get on.
    #[error("half a request that grew by less than {SLOW_FRAME_RATE} bytes a second for {SLOW_FRAME_PATIENCE:?}")]
    SlowFrame,
    /// Answers are not read.
    #[error("answers were not read for {WRITE_STALL_LIMIT:?}")]
    WriteStall,
    /// Nothing to do.
    #[error("idle for {IDLE_LIMIT:?}")]
    Idle,
    /// The broker drains.
    #[error("the broker is shutting down")]
    Drained,
    /// The socket failed.
    #[error("socket failed: {0}")]
    Io(#[from] std::io::Error),
}

impl End {
    /// What the metric calls it, if it was the broker who closed because of something that the peer did or left undone.
    fn fault(&self) -> Option<&'static str> {
        match self {
            Self::Input(FrameError::BadLength { .. }) => Some("bad_length"),
            Self::Refused(_) => Some("refused"),
            Self::HalfFrame => Some("half_frame"),
            Self::SlowFrame => Some("slow_frame"),
            Self::WriteStall => Some("write_stall"),
            Self::Idle => Some("idle"),
            Self::Input(_) | Self::Drained | Self::Io(_) => None,
        }
    }
}

/// Serves one socket until it ends, see [`serve`].
pub(super) async fn serve_socket(
    mut stream: TcpStream,
    session: Arc<Session>,
    runtime: Handle,
    drain: BoxFuture<'static, ()>,
) -> End {
    let (read, write) = stream.split();
    serve(read, write, session, runtime, drain).await
}

/// Serves one connection until it ends. `drain` completes when no further request shall be read.
pub async fn serve<R: Source, W: AsyncWrite + Unpin>(
    read: R,
    write: W,
    session: Arc<Session>,
    runtime: Handle,
    drain: BoxFuture<'static, ()>,
) -> End {
    let broker = Arc::clone(session.broker());
    let settings = broker.settings();
    let connection = Connection {
        reader: Reader::new(read, broker.request_budget().clone(), settings.request_bytes_max),
        write,
        session,
        runtime,
        pending: FuturesOrdered::new(),
    };
    let end = connection.run(settings.requests_per_connection_max, drain).await;
    if let Some(fault) = end.fault() {
        broker.metrics().connection_closed(fault);
    }
    end
}

type Pending = BoxFuture<'static, Answer>;

struct Connection<R, W> {
    reader: Reader<R>,
    write: W,
    session: Arc<Session>,
    runtime: Handle,
    pending: FuturesOrdered<Pending>,
}

enum Event {
    Frame(Result<RequestFrame, FrameError>),
    Answer(Answer),
    Drain,
    Tick,
}

impl<R: Source, W: AsyncWrite + Unpin> Connection<R, W> {
    async fn run(mut self, pending_max: usize, mut drain: BoxFuture<'static, ()>) -> End {
        let mut draining = false;
        let mut watch = Watch::default();
        let mut tick = self.runtime.sleep(HALF_FRAME_LIMIT);
        loop {
            let event = tokio::select! {
                biased;
                Some(answer) = self.pending.next() => Event::Answer(answer),
                () = &mut drain, if !draining => Event::Drain,
                frame = self.reader.next(), if !draining && self.pending.len() < pending_max => Event::Frame(frame),
                () = &mut tick => Event::Tick,
            };
            let step = match event {
                Event::Frame(frame) => frame.map_err(End::from).map(|frame| self.begin(frame)),
                Event::Answer(answer) => self.answer(answer).await,
                Event::Drain => {
                    draining = true;
                    Ok(())
                }
                Event::Tick => {
                    tick = self.runtime.sleep(HALF_FRAME_LIMIT);
                    // While as many requests wait as may, nothing is read: that silence is ours.
                    let is_read = self.pending.len() < pending_max;
                    let owed = self.reader.half_frame().filter(|_| is_read);
                    #[cfg(feature = "planted-bugs")]
                    let owed = owed.filter(|_| !crate::planted::is(crate::planted::Bug::HalfFramesKept));
                    watch.check(owed, self.pending.is_empty() && self.reader.is_between_frames())
                }
            };
            if let Err(end) = step {
                return end;
            }
            if draining && self.pending.is_empty() {
                return End::Drained;
            }
        }
    }

    fn begin(&mut self, frame: RequestFrame) {
        let RequestFrame { bytes, reservation } = frame;
        let answer = self.session.on_frame(bytes);
        self.pending.push_back(Box::pin(async move {
            let answer = answer.await;
            #[cfg(feature = "planted-bugs")]
            if crate::planted::is(crate::planted::Bug::MemoryKept) {
                std::mem::forget(reservation);
                return answer;
            }
            drop(reservation);
            answer
        }));
    }

    /// Writes an answer and those that are ready behind it.
    async fn answer(&mut self, first: Answer) -> Result<(), End> {
        let mut parts: Vec<Bytes> = Vec::new();
        let (mut held, mut bytes) = (Vec::new(), 0);
        let mut next = Some(first);
        let mut refused = None;
        while let Some(answer) = next.take() {
            match answer {
                Answer::Respond { parts: more, hold } => {
                    bytes += more.iter().map(Bytes::len).sum::<usize>();
                    parts.extend(more);
                    held.push(hold);
                }
                Answer::Silent => {}
                Answer::Close(reason) => refused = Some(End::Refused(reason)),
            }
            if refused.is_none() && parts.len() < PARTS_PER_WRITE && bytes < BYTES_PER_WRITE {
                next = self.pending.next().now_or_never().flatten();
            }
        }
        self.write_all(&mut parts).await?;
        drop(held);
        refused.map_or(Ok(()), Err)
    }

    async fn write_all(&mut self, parts: &mut [Bytes]) -> Result<(), End> {
        let mut done = 0;
        while done < parts.len() {
            let slices: Vec<IoSlice<'_>> =
                parts[done..].iter().take(PARTS_PER_WRITE).map(|part| IoSlice::new(part)).collect();
            let write = self.write.write_vectored(&slices);
            let mut written =
                timeout(&*self.runtime, WRITE_STALL_LIMIT, write).await.map_err(|_| End::WriteStall)??;
            drop(slices);
            while done < parts.len() && written >= parts[done].len() {
                written -= parts[done].len();
                parts[done] = Bytes::new();
                done += 1;
            }
            if written > 0 {
                parts[done].advance(written);
            } else if done < parts.len() && parts[done].is_empty() {
                done += 1;
            }
        }
        Ok(())
    }
}

/// Notices silence and slowness by looking once every [`HALF_FRAME_LIMIT`], so that the hot path sets no timers.
#[derive(Default)]
struct Watch {
    owed: Option<HalfFrame>,
    /// Bytes by which the half frame has fallen behind [`SLOW_FRAME_RATE`].
    behind: u64,
    idle_ticks: u32,
}

impl Watch {
    /// `owed` is the half frame that the peer owes.
    fn check(&mut self, owed: Option<HalfFrame>, is_idle: bool) -> Result<(), End> {
        let before = std::mem::replace(&mut self.owed, owed);
        self.idle_ticks = if is_idle { self.idle_ticks + 1 } else { 0 };
        if HALF_FRAME_LIMIT * self.idle_ticks >= IDLE_LIMIT {
            return Err(End::Idle);
        }
        match (before, owed) {
            (Some(before), Some(now)) if before.stretch == now.stretch => self.grown(now.received - before.received),
            _ => {
                self.behind = 0;
                Ok(())
            }
        }
    }

    /// A half frame that was owed all the time since the last look has brought so many bytes.
    fn grown(&mut self, bytes: u64) -> Result<(), End> {
        if bytes == 0 {
            return Err(End::HalfFrame);
        }
        self.behind = (self.behind + SLOW_FRAME_RATE * HALF_FRAME_LIMIT.as_secs()).saturating_sub(bytes);
        let is_slow = self.behind > SLOW_FRAME_RATE * (SLOW_FRAME_PATIENCE - HALF_FRAME_LIMIT).as_secs();
        if is_slow { Err(End::SlowFrame) } else { Ok(()) }
    }
}
