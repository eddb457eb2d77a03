//! One connection: frames in, answers out, in order.
//!
//! Requests are handed to the session as they arrive and worked on while earlier ones wait; at most
//! `requests_per_connection_max` at once. Answers leave in the order of the requests; those that are ready together leave
//! in one vectored write. A half frame without a byte for [`HALF_FRAME_LIMIT`], a peer that reads nothing for
//! [`WRITE_STALL_LIMIT`] and one that is idle for [`IDLE_LIMIT`] are closed; nobody else notices.

use std::{io::IoSlice, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, StreamExt, stream::FuturesOrdered};
use kafscale_runtime::{BoxFuture, Handle, timeout};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, tcp::WriteHalf},
};

use super::{
    Budget,
    frames::{FrameError, Reader, RequestFrame},
};
use crate::api::{Answer, Session};

/// A half frame must grow within this time.
pub const HALF_FRAME_LIMIT: Duration = Duration::from_secs(10);
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

/// Serves one connection until it ends. `drain` completes when no further request shall be read.
pub async fn serve(
    mut stream: TcpStream,
    session: Arc<Session>,
    budget: Budget,
    runtime: Handle,
    drain: BoxFuture<'static, ()>,
) -> End {
    let limits = (session.settings().request_bytes_max, session.settings().requests_per_connection_max);
    let (read, write) = stream.split();
    let connection = Connection {
        reader: Reader::new(read, budget, limits.0),
        write,
        session,
        runtime,
        pending: FuturesOrdered::new(),
    };
    connection.run(limits.1, drain).await
}

type Pending = BoxFuture<'static, Answer>;

struct Connection<'a> {
    reader: Reader<tokio::net::tcp::ReadHalf<'a>>,
    write: WriteHalf<'a>,
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

impl Connection<'_> {
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
                    watch.check(self.reader.half_frame(), self.pending.len(), pending_max)
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

/// Notices silence by looking once every [`HALF_FRAME_LIMIT`], so that the hot path sets no timers.
#[derive(Default)]
struct Watch {
    half_frame: Option<u64>,
    idle_ticks: u32,
}

impl Watch {
    fn check(&mut self, half_frame: Option<u64>, pending: usize, pending_max: usize) -> Result<(), End> {
        // While as many requests wait as may, nothing is read: that silence is ours.
        let stalled = half_frame.is_some() && half_frame == self.half_frame && pending < pending_max;
        self.half_frame = half_frame;
        self.idle_ticks = if pending == 0 && half_frame.is_none() { self.idle_ticks + 1 } else { 0 };
        if stalled {
            return Err(End::HalfFrame);
        }
        if HALF_FRAME_LIMIT * self.idle_ticks >= IDLE_LIMIT {
            return Err(End::Idle);
        }
        Ok(())
    }
}
