//! Reads zstd frames in no more memory than they can need.
//!
//! A frame announces a window, and the library allocates that much before the first byte comes out. What is announced says
//! nothing about the need: a compressor that is not told the size announces what its level may use, 2 MiB by default
//! and 128 MiB at the highest, for a batch of twenty bytes too, and a hostile one announces what it likes. But a match
//! cannot reach back further than the frame's own output; the blocks bound that, and their sizes stand in plain sight. So
//! where less would do, the library is shown a smaller window. What decodes with the announced one decodes with this one.
//!
//! (RFC 8878, sections 3.1.1 and 3.1.1.2, has the layout of frames and blocks.)

use std::io::{self, Read};

use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, get_error_name};

use super::{
    contexts::{self, Lent},
    invalid,
};

const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();
/// Magic, descriptor and the window's byte: what is shown to the library in another form.
const HEAD_LEN: usize = 6;
/// Set in the descriptor where the content is the window and has no byte of its own.
const SINGLE_SEGMENT: u8 = 0x20;
/// What a block may hold at most. Smaller windows are not worth the exactness.
const BLOCK_MAX: u64 = 128 << 10;
const BLOCK_HEADER_LEN: usize = 3;
/// Kinds of blocks whose header states what they hold: bytes as they are, and one byte many times.
const RAW: u32 = 0;
const RLE: u32 = 1;

/// The decompressed bytes of a row of frames.
pub(super) struct ZstdFrames<'a> {
    /// Input that the library has not taken.
    rest: &'a [u8],
    /// The beginning of the frame in another form, as far as the library has not taken it.
    head: Head,
    context: Lent<DCtx<'static>>,
    is_within_frame: bool,
    limit: u64,
}

impl<'a> ZstdFrames<'a> {
    /// `limit` is what the caller will read at most.
    pub fn new(input: &'a [u8], limit: u64) -> io::Result<Self> {
        let context = contexts::decompressing()?;
        Ok(Self { rest: input, head: Head::default(), context, is_within_frame: false, limit })
    }

    fn begin_frame(&mut self) -> io::Result<()> {
        self.is_within_frame = true;
        // What is no whole header is the library's to refuse, or to skip.
        let Some(frame) = Frame::parse(self.rest) else { return Ok(()) };
        if let Some(window) = frame.smaller_window(self.limit)? {
            let mut bytes = [0; HEAD_LEN];
            bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
            bytes[MAGIC.len()..].copy_from_slice(&[frame.descriptor & !SINGLE_SEGMENT, window]);
            self.head = Head { bytes, left: HEAD_LEN };
            self.rest = &self.rest[if frame.is_single_segment() { HEAD_LEN - 1 } else { HEAD_LEN }..];
        }
        Ok(())
    }

    /// Lets the library go one step. Whether it took or gave anything.
    fn step(&mut self, output: &mut OutBuffer<'_, [u8]>) -> io::Result<bool> {
        let from_head = self.head.left > 0;
        let mut input = InBuffer::around(if from_head { self.head.rest() } else { self.rest });
        let given = output.pos();
        let hint = self.context.decompress_stream(output, &mut input);
        let taken = input.pos();
        if from_head {
            self.head.left -= taken;
        } else {
            self.rest = &self.rest[taken..];
        }
        let hint = hint.map_err(|code| io::Error::new(io::ErrorKind::InvalidData, get_error_name(code)))?;
        self.is_within_frame = hint != 0;
        Ok(taken > 0 || output.pos() > given || !self.is_within_frame)
    }
}

impl Read for ZstdFrames<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut output = OutBuffer::around(out);
        while output.pos() == 0 && output.capacity() > 0 {
            if !self.is_within_frame {
                if self.rest.is_empty() {
                    break;
                }
                self.begin_frame()?;
            }
            if !self.step(&mut output)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(output.pos())
    }
}

/// The first bytes of a frame, with the last `left` of them still to be shown.
#[derive(Default)]
struct Head {
    bytes: [u8; HEAD_LEN],
    left: usize,
}

impl Head {
    fn rest(&self) -> &[u8] {
        &self.bytes[HEAD_LEN - self.left..]
    }
}

/// What the header of a frame says.
#[derive(Debug, PartialEq, Eq)]
struct Frame<'a> {
    descriptor: u8,
    /// Announced, in bytes.
    window: u64,
    /// Stated content in bytes.
    content: Option<u64>,
    /// The blocks and what follows them.
    blocks: &'a [u8],
}

impl<'a> Frame<'a> {
    /// None for what does not begin with a whole header of a frame with data.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (&descriptor, mut rest) = bytes.strip_prefix(&MAGIC)?.split_first()?;
        let mut take = |len: usize| {
            let (field, after) = rest.split_at_checked(len)?;
            rest = after;
            Some(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        };
        let is_single_segment = descriptor & SINGLE_SEGMENT != 0;
        let window = if is_single_segment { None } else { Some(window_of(take(1)?)) };
        let dictionary_len = [0, 1, 2, 4][usize::from(descriptor & 3)];
        take(dictionary_len)?;
        let content = match descriptor >> 6 {
            0 if is_single_segment => Some(take(1)?),
            0 => None,
            1 => Some(take(2)? + 256),
            2 => Some(take(4)?),
            _ => Some(take(8)?),
        };
        Some(Self { descriptor, window: window.or(content)?, content, blocks: rest })
    }

    fn is_single_segment(&self) -> bool {
        self.descriptor & SINGLE_SEGMENT != 0
    }

    /// The byte of a window that is smaller than the announced one and does as well for the first `limit` bytes.
    fn smaller_window(&self, limit: u64) -> io::Result<Option<u8>> {
        // The block in which the limit lies is decoded whole.
        let reach = limit.saturating_add(BLOCK_MAX);
        let held = bytes_held(self.blocks, self.window.min(reach).max(self.content.unwrap_or(0)));
        if self.content.is_some_and(|content| content > held) {
            return Err(invalid("a zstd frame claims more than its blocks can hold"));
        }
        let need = held.min(reach).max(BLOCK_MAX).next_power_of_two();
        Ok((self.window > need).then(|| ((need.ilog2() - 10) << 3) as u8))
    }
}

/// Bytes of a window from its exponent and eighths.
fn window_of(byte: u64) -> u64 {
    let base = 1 << (10 + (byte >> 3));
    base + base / 8 * (byte & 7)
}

/// More than a row of blocks can decompress to, as far as it matters whether that is `enough`.
fn bytes_held(mut blocks: &[u8], enough: u64) -> u64 {
    let mut held = 0;
    while held < enough
        && let Some((header, rest)) = blocks.split_first_chunk::<BLOCK_HEADER_LEN>()
    {
        let header = u32::from_le_bytes([header[0], header[1], header[2], 0]);
        let (is_last, kind, size) = (header & 1 != 0, header >> 1 & 3, (header >> 3) as usize);
        held += if kind == RAW || kind == RLE { (size as u64).min(BLOCK_MAX) } else { BLOCK_MAX };
        let stored = if kind == RLE { 1 } else { size };
        blocks = rest.get(stored..).unwrap_or_default();
        if is_last {
            break;
        }
    }
    held
}

#[cfg(test)]
mod tests;
