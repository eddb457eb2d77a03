//! One connection: frames in, answers out, in order.
//!
//! Requests are handed to the session as they arrive and worked on while earlier ones wait; at most
//! `requests_per_connection_max` at once. Answers leave in the order of the requests; those that are ready together leave
//! in one vectored write. A half frame that does not get on or a connection without requests (see `watch`) and a peer that
//! reads nothing for [`WRITE_STALL_LIMIT`] are closed; nobody else notices.

use std::{io::IoSlice, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use futures_util::{FutureExt, StreamExt, stream::FuturesOrdered};
use kafscale_runtime::{BoxFuture, Handle, timeout};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    frames::{FrameError, Reader, RequestFrame, Source},
    watch::{IDLE_LIMIT, SLOW_FRAME_RATE, Watch},
};
use crate::api::{Answer, Session};

/// A peer must take some of its answers within this time.
pub const WRITE_STALL_LIMIT: Duration = Duration::from_secs(30);
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
    #[error("half a request and then silence")]
    HalfFrame,
    /// A frame that does not get on.
    #[error("half a request that grew by less than {SLOW_FRAME_RATE} bytes a second")]
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
        let mut watch = Watch::begin(self.runtime.now());
        let mut tick = self.runtime.sleep(Watch::next_look(false));
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
                    let is_idle = self.pending.is_empty() && self.reader.is_between_frames();
                    tick = self.runtime.sleep(Watch::next_look(is_idle));
                    // While as many requests wait as may, nothing is read: that silence is ours.
                    let is_read = self.pending.len() < pending_max;
                    let mut standing = self.reader.standing();
                    standing.owed = standing.owed.filter(|_| is_read);
                    #[cfg(feature = "planted-bugs")]
                    if crate::planted::is(crate::planted::Bug::HalfFramesKept) {
                        standing.owed = None;
                    }
                    watch.look(standing, is_idle, self.reader.is_memory_short(), self.runtime.now())
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
