//! The wires between clients and brokers: streams in memory that behave like sockets.
//!
//! Bytes take time, stay in order, arrive in pieces that have nothing to do with frames, and a writer waits when so many
//! are on their way or unread as a window holds. What is on its way is an event of the world: it arrives whoever has died
//! meanwhile. An end that goes away says so behind its last byte, unless it [vanishes](WriteEnd::vanish), as a machine does
//! that loses its network; then the other end must notice by itself.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use kafscale_broker::net::Source;
use kafscale_runtime::Instant;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{executor::World, rng::Rng};

/// Pieces that one write falls into at most.
const PIECES_MAX: u64 = 5;

/// How one wire behaves.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Bytes on their way or unread at most.
    pub window: usize,
    /// Whether writes fall into pieces that arrive one after the other.
    pub in_pieces: bool,
}

/// One direction of a connection: what is written to the one end is read from the other.
pub fn wire(world: &World, rng: Rng, habits: Habits) -> (WriteEnd, ReadEnd) {
    let state = State {
        rng,
        on_its_way: VecDeque::new(),
        arrived: BytesMut::new(),
        last_arrival: Duration::ZERO,
        is_ended: false,
        is_refused: false,
        reader: None,
        writer: None,
    };
    let wire = Arc::new(Wire { world: world.clone(), habits, state: Mutex::new(state) });
    (WriteEnd { wire: Arc::clone(&wire), is_silent: false }, ReadEnd { wire, is_silent: false })
}

struct Wire {
    world: World,
    habits: Habits,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    on_its_way: VecDeque<Bytes>,
    arrived: BytesMut,
    last_arrival: Instant,
    /// The writing end is gone.
    is_ended: bool,
    /// The reading end is gone.
    is_refused: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Wire {
    fn poll_write(self: &Arc<Self>, context: &Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut state = self.state.lock();
        if state.is_refused {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let unread = state.arrived.len() + state.on_its_way.iter().map(Bytes::len).sum::<usize>();
        let mut room = self.habits.window.saturating_sub(unread);
        if room == 0 {
            state.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let mut bytes = BytesMut::new();
        for slice in slices {
            let taken = slice.len().min(room);
            bytes.extend_from_slice(&slice[..taken]);
            room -= taken;
        }
        let written = bytes.len();
        self.dispatch(&mut state, bytes.freeze());
        Poll::Ready(Ok(written))
    }

    /// Sends bytes on their way, whole or in pieces.
    fn dispatch(self: &Arc<Self>, state: &mut State, mut rest: Bytes) {
        let mut pieces = if self.habits.in_pieces { state.rng.within(1..=PIECES_MAX) } else { 1 };
        while !rest.is_empty() {
            let length = rest.len() as u64;
            let length = if pieces > 1 { state.rng.within(1..=length) } else { length };
            let piece = rest.split_to(usize::try_from(length).expect("no more than there is"));
            pieces = pieces.saturating_sub(1);
            let now = self.world.now();
            let arrival = (now + Duration::from_micros(state.rng.within(100..=1_600))).max(state.last_arrival);
            state.last_arrival = arrival;
            state.on_its_way.push_back(piece);
            let wire = Arc::clone(self);
            self.world.after(arrival - now, move || wire.arrive());
        }
    }

    /// The oldest piece arrives, if it was not lost.
    fn arrive(&self) {
        let mut state = self.state.lock();
        if let Some(piece) = state.on_its_way.pop_front()
            && !state.is_refused
        {
            state.arrived.extend_from_slice(&piece);
        }
        wake(&mut state.reader);
    }

    /// Ready when a read gives something: bytes or the end.
    fn poll_readable(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if !state.arrived.is_empty() || (state.is_ended && state.on_its_way.is_empty()) {
            return Poll::Ready(());
        }
        state.reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn take(&self, buffer: &mut ReadBuf<'_>) {
        let mut state = self.state.lock();
        let taken = state.arrived.len().min(buffer.remaining());
        buffer.put_slice(&state.arrived[..taken]);
        state.arrived.advance(taken);
        wake(&mut state.writer);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Where bytes go in.
pub struct WriteEnd {
    wire: Arc<Wire>,
    is_silent: bool,
}

impl WriteEnd {
    /// Some of what is on its way never arrives, and then comes the end.
    pub fn cut(self) {
        let mut state = self.wire.state.lock();
        let left = state.on_its_way.len() as u64;
        let kept = state.rng.below(left + 1);
        state.on_its_way.truncate(usize::try_from(kept).expect("no more than there is"));
    }

    /// Nothing will follow, and nobody is told.
    pub fn vanish(mut self) {
        self.is_silent = true;
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        if !self.is_silent {
            let mut state = self.wire.state.lock();
            state.is_ended = true;
            wake(&mut state.reader);
        }
    }
}

impl AsyncWrite for WriteEnd {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.wire.poll_write(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Where bytes come out.
pub struct ReadEnd {
    wire: Arc<Wire>,
    is_silent: bool,
}

impl ReadEnd {
    /// Nothing will be read, and nobody is told.
    pub fn vanish(mut self) {
        self.is_silent = true;
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        if !self.is_silent {
            let mut state = self.wire.state.lock();
            state.is_refused = true;
            wake(&mut state.writer);
        }
    }
}

impl AsyncRead for ReadEnd {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.wire.poll_readable(context));
        self.wire.take(buffer);
        Poll::Ready(Ok(()))
    }
}

impl Source for ReadEnd {
    async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.wire.poll_readable(context)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    /// What a reader gets of 10,000 bytes through a small window, when the writer ends so.
    fn read_all(seed: u64, in_pieces: bool, end: fn(WriteEnd)) -> Option<Vec<u8>> {
        let world = World::new(seed);
        let inner = world.clone();
        let story = async move {
            let (mut write, mut read) = wire(&inner, Rng::new(seed), Habits { window: 700, in_pieces });
            let node = inner.node("writer");
            drop(node.call("write", async move {
                let bytes: Vec<u8> = (0..10_000_u32).map(|at| at as u8).collect();
                write.write_all(&bytes).await.expect("it is read");
                end(write);
            }));
            let mut bytes = Vec::new();
            let mut whole = inner.node("reader").call("read", async move {
                read.read_to_end(&mut bytes).await.expect("no errors here");
                bytes
            });
            tokio::select! {
                biased;
                bytes = &mut whole => bytes,
                () = inner.sleep(Duration::from_secs(30)) => None,
            }
        };
        world.run(LIMIT, story).expect("ends")
    }

    #[test]
    fn bytes_stay_in_order_and_the_end_comes_behind_them() {
        let whole: Vec<u8> = (0..10_000_u32).map(|at| at as u8).collect();
        for seed in 0..20 {
            assert_eq!(read_all(seed, seed % 2 == 0, drop).as_ref(), Some(&whole), "seed {seed}");
        }
    }

    #[test]
    fn a_cut_loses_what_was_last_and_nothing_else_and_who_vanishes_ends_nothing() {
        let mut lost = 0;
        for seed in 0..20 {
            let bytes = read_all(seed, true, WriteEnd::cut).expect("ended");
            assert!(bytes.iter().zip(0_u32..).all(|(byte, at)| *byte == at as u8));
            lost += usize::from(bytes.len() < 10_000);
            assert_eq!(read_all(seed, true, WriteEnd::vanish), None);
        }
        assert!(lost > 0);
    }

    #[test]
    fn who_writes_to_nobody_is_told() {
        let world = World::new(1);
        let inner = world.clone();
        let story = async move {
            let (mut write, read) = wire(&inner, Rng::new(1), Habits { window: 10, in_pieces: false });
            drop(read);
            write.write_all(&[0; 20]).await.expect_err("nobody is there").kind()
        };
        assert_eq!(world.run(LIMIT, story), Ok(ErrorKind::BrokenPipe));
    }
}
