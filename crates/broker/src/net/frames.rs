//! Reads length-prefixed request frames from a socket, under the memory budget.
//!
//! Every step can be cancelled and taken up again: what has arrived stays in the reader. An idle connection holds no
//! buffer.

use bytes::{Buf, BytesMut};
use kafscale_protocol::ApiKey;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::tcp::ReadHalf,
};

use super::{Budget, Reservation, budget::Class};

/// Bytes are reserved and read in steps that begin with this and double, so that an announced length alone takes no memory:
/// a thousand connections that sent a byte each hold 8 MiB.
const STEP: usize = 8 << 10;
/// What a socket is asked for beyond the frame in hand.
const READ_AHEAD: usize = 8 << 10;
/// Requests up to this length, Produce excepted, may draw on all of the budget's reserve.
const CONTROL_BYTES_MAX: usize = 64 << 10;
/// Requests up to this length, Produce excepted, may draw on half of it: a Fetch that names some 30,000 partitions.
const LARGE_CONTROL_BYTES_MAX: usize = 1 << 20;
/// Requests beyond this length share one half of the common part of the budget. Clients with their defaults send Produce
/// requests of a little more than 1 MiB at most.
const DATA_BYTES_MAX: usize = 2 << 20;

/// One request frame without its length prefix.
#[derive(Debug)]
pub struct RequestFrame {
    /// Header and body.
    pub bytes: BytesMut,
    /// Its share of the budget.
    pub reservation: Reservation,
}

/// Why a connection's input ended.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer closed between two frames.
    #[error("closed by the client")]
    Closed,
    /// The peer closed within a frame.
    #[error("closed by the client within a request of {0} bytes")]
    Truncated(usize),
    /// The length prefix is negative or beyond `socket.request.max.bytes`.
    #[error("request of {length} bytes refused: the limit is {limit}{}", other_protocol(*length))]
    BadLength {
        /// As announced.
        length: i32,
        /// The setting.
        limit: usize,
    },
    /// The socket failed.
    #[error("socket failed: {0}")]
    Io(#[from] std::io::Error),
}

/// What else speaks so: what should be a length is the begin of something else.
fn other_protocol(length: i32) -> &'static str {
    match &length.to_be_bytes() {
        b"GET " | b"POST" | b"HEAD" | b"PUT " => "; this is HTTP, and the port is for Kafka clients",
        [0x16, 0x03, ..] => "; this is TLS, which this port does not speak",
        _ => "",
    }
}

/// What a socket must offer: bytes, and a way to wait for them without a buffer.
pub trait Source: AsyncRead + Unpin {
    /// Completes when a read would give something.
    fn readable(&self) -> impl Future<Output = std::io::Result<()>> + Send;
}

impl Source for ReadHalf<'_> {
    async fn readable(&self) -> std::io::Result<()> {
        ReadHalf::readable(self).await
    }
}

/// The reading side of a connection.
pub struct Reader<S> {
    source: S,
    budget: Budget,
    length_max: usize,
    buffer: BytesMut,
    frame: Option<Partial>,
    received: u64,
    stretch: u64,
    waits_for_memory: bool,
}

/// How a connection stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Set if the peer owes the rest of a frame: a number that changes when a frame ends, and when the reader took time of its
    /// own for it.
    pub owed: Option<u64>,
    /// Bytes that the connection has brought so far.
    pub received: u64,
}

fn class_of(length: usize, key: Option<i16>) -> Class {
    #[cfg(feature = "planted-bugs")]
    if crate::planted::is(crate::planted::Bug::NoReserve) {
        return Class::Data;
    }
    if length > DATA_BYTES_MAX {
        Class::LargeData
    } else if key == Some(ApiKey::Produce.code()) || length > LARGE_CONTROL_BYTES_MAX {
        Class::Data
    } else if length > CONTROL_BYTES_MAX {
        Class::LargeControl
    } else {
        Class::Control
    }
}

struct Partial {
    length: usize,
    reservation: Reservation,
}

impl<S: Source> Reader<S> {
    /// A reader of frames up to `length_max` bytes.
    pub fn new(source: S, budget: Budget, length_max: usize) -> Self {
        Self {
            source,
            budget,
            length_max,
            buffer: BytesMut::new(),
            frame: None,
            received: 0,
            stretch: 0,
            waits_for_memory: false,
        }
    }

    /// How the connection stands. While memory is short it is not read, so it owes nothing.
    pub fn standing(&self) -> Standing {
        let is_owed = !self.is_between_frames() && !self.waits_for_memory;
        Standing { owed: is_owed.then_some(self.stretch), received: self.received }
    }

    /// Whether any connection waits for memory.
    pub fn is_memory_short(&self) -> bool {
        self.budget.is_short()
    }

    /// Whether the connection has brought nothing since the last whole frame.
    pub fn is_between_frames(&self) -> bool {
        self.frame.is_none() && self.buffer.is_empty()
    }

    /// The next frame.
    pub async fn next(&mut self) -> Result<RequestFrame, FrameError> {
        if self.frame.is_none() {
            let (length, class) = self.head().await?;
            self.frame = Some(Partial { length, reservation: self.budget.begin(class) });
        }
        let frame = self.body().await?;
        self.stretch += 1;
        Ok(frame)
    }

    /// A frame's length, and from the API key behind it what it may draw on. The key stays in the buffer.
    async fn head(&mut self) -> Result<(usize, Class), FrameError> {
        loop {
            if let Some((prefix, rest)) = self.buffer.split_first_chunk() {
                let length = self.checked(i32::from_be_bytes(*prefix))?;
                // A request without a key is refused later, when it is whole.
                let key = rest.first_chunk().map(|key| i16::from_be_bytes(*key));
                if key.is_some() || length < size_of::<i16>() {
                    self.buffer.advance(size_of::<i32>());
                    return Ok((length, class_of(length, key)));
                }
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
                self.source.readable().await?;
            }
            self.buffer.reserve(READ_AHEAD);
            match self.source.read_buf(&mut self.buffer).await? {
                0 if self.buffer.is_empty() => return Err(FrameError::Closed),
                0 => return Err(FrameError::Truncated(size_of::<i32>())),
                read => self.received += read as u64,
            }
        }
    }

    fn checked(&self, length: i32) -> Result<usize, FrameError> {
        match usize::try_from(length) {
            Ok(valid) if valid <= self.length_max => Ok(valid),
            _ => Err(FrameError::BadLength { length, limit: self.length_max }),
        }
    }

    async fn body(&mut self) -> Result<RequestFrame, FrameError> {
        let partial = self.frame.as_mut().expect("the caller has begun a frame");
        loop {
            let reserved = usize::try_from(partial.reservation.bytes()).expect("no more than a frame");
            if reserved < partial.length && reserved <= self.buffer.len() {
                let step = (partial.length - reserved).min(STEP.max(reserved));
                if !partial.reservation.try_grow(step as u64) {
                    self.waits_for_memory = true;
                    partial.reservation.grow(step as u64).await;
                }
                self.stretch += u64::from(std::mem::take(&mut self.waits_for_memory));
                continue;
            }
            if self.buffer.len() >= partial.length {
                break;
            }
            // Untouched pages of a large buffer take no memory: what is resident follows the reservation.
            let missing = partial.length - self.buffer.len();
            self.buffer.reserve(missing + READ_AHEAD.min(missing));
            let wanted = (reserved - self.buffer.len()).max(1);
            let read = (&mut self.source).take(wanted as u64 + READ_AHEAD as u64).read_buf(&mut self.buffer).await?;
            if read == 0 {
                return Err(FrameError::Truncated(partial.length));
            }
            self.received += read as u64;
        }
        let mut partial = self.frame.take().expect("begun above");
        partial.reservation.complete();
        Ok(RequestFrame { bytes: self.take(partial.length), reservation: partial.reservation })
    }

    /// Takes a frame out of the buffer. It never shares memory with what follows: either would keep the other's alive
    /// beyond its reservation.
    fn take(&mut self, length: usize) -> BytesMut {
        if length <= READ_AHEAD {
            let frame = BytesMut::from(&self.buffer[..length]);
            self.buffer.advance(length);
            return frame;
        }
        let rest = BytesMut::from(&self.buffer[length..]);
        self.buffer.truncate(length);
        std::mem::replace(&mut self.buffer, rest)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// A source that gives its bytes in pieces of `step`.
    struct Pieces(Vec<u8>, usize);

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            let step = self.1.min(self.0.len()).min(buffer.remaining());
            buffer.put_slice(&self.0[..step]);
            self.0.drain(..step);
            std::task::Poll::Ready(Ok(()))
        }
    }

    impl Source for Pieces {
        async fn readable(&self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn reader(bytes: Vec<u8>, step: usize) -> Reader<Pieces> {
        Reader::new(Pieces(bytes, step), Budget::with_reserve(1 << 20, 1 << 18, 0), 1 << 18)
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut bytes = i32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    #[tokio::test]
    async fn frames_arrive_whole_however_the_bytes_are_cut() {
        let bodies = [vec![], vec![7; 3], vec![8; 200_000], vec![9; 70_000]];
        let stream: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        for step in [1, 3, 1000, 1 << 20] {
            let mut reader = reader(stream.clone(), step);
            for body in &bodies {
                assert_eq!(reader.next().await.unwrap().bytes, body[..]);
            }
            assert!(matches!(reader.next().await, Err(FrameError::Closed)));
        }
    }

    #[tokio::test]
    async fn lengths_out_of_bounds_and_half_frames_are_refused() {
        for length in [-1, i32::MIN, (1 << 18) + 1, i32::MAX] {
            let mut reader = reader(length.to_be_bytes().to_vec(), 4);
            assert!(matches!(reader.next().await, Err(FrameError::BadLength { .. })), "{length}");
        }
        for (sent, told) in [(b"GET / HTTP/1.1\r\n".to_vec(), "HTTP"), (vec![0x16, 3, 1, 2, 0, 1], "TLS")] {
            let refused = reader(sent, 4).next().await.expect_err("it is no length").to_string();
            assert!(refused.contains(told), "{refused}");
        }
        assert!(matches!(reader(vec![0, 0], 4).next().await, Err(FrameError::Truncated(4))));
        assert!(matches!(reader(framed(&[1; 9])[..8].to_vec(), 4).next().await, Err(FrameError::Truncated(9))));
    }

    #[tokio::test]
    async fn a_frame_and_the_begin_of_the_next_share_no_memory() {
        for length in [100, 200_000] {
            let mut bytes = framed(&vec![7; length]);
            bytes.extend_from_slice(&[0, 0, 0]);
            let mut reader = reader(bytes, 1 << 20);
            let frame = reader.next().await.unwrap();
            assert_eq!(reader.buffer.len(), 3);
            assert!(reader.buffer.capacity() < 4 * READ_AHEAD, "{} bytes behind it", reader.buffer.capacity());
            assert!(
                reader.buffer.as_ptr_range().start < frame.bytes.as_ptr_range().start
                    || reader.buffer.as_ptr_range().start > frame.bytes.as_ptr_range().end
            );
        }
    }

    #[tokio::test]
    async fn whoever_waits_for_memory_owes_nothing() {
        let mut reader = reader(framed(&vec![7; 200_000])[..100_000].to_vec(), 1 << 20);
        let mut older = reader.budget.begin(Class::Data);
        older.grow(700_000).await;
        assert!(reader.next().now_or_never().is_none());
        assert_eq!(reader.standing().owed, None);
        drop(older);
        assert!(matches!(reader.next().await, Err(FrameError::Truncated(200_000))));
        assert!(reader.standing().owed.is_some());
    }

    #[tokio::test]
    async fn an_announced_length_reserves_no_more_than_a_step() {
        let mut bytes = (1i32 << 18).to_be_bytes().to_vec();
        bytes.push(1);
        let mut reader = reader(bytes, 5);
        let budget = reader.budget.clone();
        assert!(matches!(reader.next().await, Err(FrameError::Truncated(_))));
        assert!(budget.used() <= STEP as u64);
        drop(reader);
        assert_eq!(budget.used(), 0);
    }
    #[tokio::test]
    async fn small_requests_that_are_not_produce_are_read_while_memory_is_short() {
        let budget = Budget::with_reserve(1 << 20, 1 << 18, 1 << 16);
        let mut older = budget.begin(Class::Data);
        older.grow(budget.limit() - (1 << 16)).await;
        let reader = |body: &[u8]| Reader::new(Pieces(framed(body), 1 << 20), budget.clone(), 1 << 18);
        let (produce, metadata) = ([0, 0, 0, 9], [0, 3, 0, 9]);
        assert!(reader(&produce).next().now_or_never().is_none());
        let mut small = reader(&metadata);
        assert_eq!(small.next().now_or_never().expect("read").unwrap().bytes, metadata[..]);
        let large = [&metadata[..], &vec![0; CONTROL_BYTES_MAX]].concat();
        assert!(reader(&large).next().now_or_never().is_none(), "it has half of the reserve");
    }

    #[tokio::test]
    async fn larger_requests_that_are_not_produce_are_read_while_memory_is_short() {
        let budget = Budget::with_reserve(8 << 20, 2 << 20, 4 << 20);
        let mut older = budget.begin(Class::Data);
        older.grow(budget.limit() - (4 << 20)).await;
        let reader = |key: u8, length: usize| {
            let body = [&[0, key, 0, 9][..], &vec![0; length - 4]].concat();
            Reader::new(Pieces(framed(&body), 1 << 20), budget.clone(), 2 << 20)
        };
        assert!(reader(0, LARGE_CONTROL_BYTES_MAX).next().now_or_never().is_none(), "produce");
        assert!(reader(1, LARGE_CONTROL_BYTES_MAX).next().now_or_never().expect("read").is_ok(), "fetch");
        assert!(reader(1, LARGE_CONTROL_BYTES_MAX + 1).next().now_or_never().is_none(), "a longer fetch");
    }
}
