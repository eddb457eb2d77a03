//! The five compression types of records.
//!
//! Reading takes what Java and librdkafka write: snappy bare or in Xerial framing, one LZ4 frame, gzip members, zstd frames.
//! Readers stream, so that what they hold does not depend on what the input claims: zstd's window is what the frame can
//! really need, an LZ4 block has at most 8 MiB, and only snappy blocks come whole, which cannot grow to more than about 22
//! times their input.

pub(crate) mod contexts;
mod zstd_frames;

use std::{
    fmt,
    io::{self, BufRead, Read},
};

use flate2::bufread::MultiGzDecoder;

use self::zstd_frames::ZstdFrames;
use crate::BatchError;

/// How the records of a batch are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Codec {
    /// Not at all.
    #[default]
    None = 0,
    /// gzip.
    Gzip = 1,
    /// Snappy, bare or in Xerial framing.
    Snappy = 2,
    /// LZ4 frame.
    Lz4 = 3,
    /// Zstandard.
    Zstd = 4,
}

/// What every LZ4 frame begins with. (The legacy framing, which has another, was never Kafka's.)
const LZ4_MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// What Xerial's framing begins with, followed by two version words.
const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
const XERIAL_VERSIONS: usize = 8;
/// More than a snappy block can grow per byte of input: its densest copy makes 64 bytes of 3.
const SNAPPY_GROWTH_MAX: usize = 22;

impl Codec {
    /// All of them, in the order of their ids.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec with this wire id.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// Its wire id.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// Decompresses into at most `limit` bytes.
    pub fn decompress(self, input: &[u8], limit: usize) -> Result<Vec<u8>, BatchError> {
        let cap = limit as u64;
        let corrupt = |_| BatchError::Corrupt { codec: self };
        let mut output = Vec::new();
        let reader = self.reader(input, cap).map_err(corrupt)?;
        reader.take(cap.saturating_add(1)).read_to_end(&mut output).map_err(corrupt)?;
        if output.len() > limit {
            return Err(BatchError::TooLarge { limit: cap });
        }
        Ok(output)
    }

    /// The decompressed bytes as a stream, of which the caller reads no more than `limit`.
    pub(crate) fn reader(self, input: &[u8], limit: u64) -> io::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Snappy => match input.strip_prefix(&XERIAL_MAGIC) {
                Some(framed) => Box::new(Xerial::new(framed)?),
                None => Box::new(io::Cursor::new(snappy_block(input)?)),
            },
            Self::Lz4 if !input.starts_with(&LZ4_MAGIC) => return Err(invalid("not an LZ4 frame")),
            Self::Lz4 => Box::new(OneFrame { reader: lz4_flex::frame::FrameDecoder::new(input), done: false }),
            Self::Zstd => Box::new(ZstdFrames::new(input, limit)?),
        })
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn snappy_block(input: &[u8]) -> io::Result<Vec<u8>> {
    if snap::raw::decompress_len(input)? > input.len().saturating_mul(SNAPPY_GROWTH_MAX) {
        return Err(invalid("a snappy block claims more than its bytes can hold"));
    }
    Ok(snap::raw::Decoder::new().decompress_vec(input)?)
}

/// Reads Xerial's framing: blocks of bare snappy, each behind its length.
struct Xerial<'a> {
    rest: &'a [u8],
    block: io::Cursor<Vec<u8>>,
}

impl<'a> Xerial<'a> {
    fn new(framed: &'a [u8]) -> io::Result<Self> {
        let rest = framed.get(XERIAL_VERSIONS..).ok_or_else(|| invalid("cut in the Xerial header"))?;
        Ok(Self { rest, block: io::Cursor::default() })
    }
}

impl Read for Xerial<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.block.fill_buf()?.is_empty() {
            let Some((length, rest)) = self.rest.split_first_chunk() else {
                return if self.rest.is_empty() { Ok(0) } else { Err(invalid("cut in a Xerial block length")) };
            };
            let length = u32::from_be_bytes(*length) as usize;
            let (block, rest) = rest.split_at_checked(length).ok_or_else(|| invalid("cut in a Xerial block"))?;
            self.rest = rest;
            self.block = io::Cursor::new(snappy_block(block)?);
        }
        self.block.read(out)
    }
}

/// Ends for good when its reader has ended once: a batch holds one LZ4 frame, and what follows it is not looked at.
struct OneFrame<R> {
    reader: R,
    done: bool,
}

impl<R: Read> Read for OneFrame<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.done || out.is_empty() {
            return Ok(0);
        }
        let read = self.reader.read(out)?;
        self.done = read == 0;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn every_codec_gives_back_what_it_took_within_the_limit() {
        let input: Vec<u8> = (0..100_000u32).flat_map(|n| (n / 7).to_be_bytes()).collect();
        for codec in Codec::ALL {
            let packed = codec.compress(&input);
            assert_eq!(codec.decompress(&packed, input.len()).as_ref(), Ok(&input), "{codec}");
            let limit = input.len() - 1;
            assert_eq!(codec.decompress(&packed, limit), Err(BatchError::TooLarge { limit: limit as u64 }), "{codec}");
            assert_eq!(Codec::from_id(codec.id()), Some(codec));
        }
        assert_eq!(Codec::from_id(5), None);
    }

    #[test]
    fn bare_snappy_is_read_as_well() {
        let packed = snap::raw::Encoder::new().compress_vec(b"as librdkafka writes it").expect("small");
        assert_eq!(Codec::Snappy.decompress(&packed, 100).as_deref(), Ok(&b"as librdkafka writes it"[..]));
    }

    #[test]
    fn a_snappy_block_that_claims_gigabytes_is_refused_before_it_is_allocated() {
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert_eq!(Codec::Snappy.decompress(&claim, usize::MAX), Err(BatchError::Corrupt { codec: Codec::Snappy }));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = Codec::Zstd.compress(&vec![0; 8 << 20]);
        assert!(bomb.len() < 2048, "{}", bomb.len());
        assert_eq!(Codec::Zstd.decompress(&bomb, 4096), Err(BatchError::TooLarge { limit: 4096 }));
    }

    #[test]
    fn an_lz4_block_chain_is_read_too() {
        let info = lz4_flex::frame::FrameInfo::new().block_mode(lz4_flex::frame::BlockMode::Linked);
        let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
        let input: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        encoder.write_all(&input).expect("memory");
        let packed = encoder.finish().expect("memory");
        assert_eq!(Codec::Lz4.decompress(&packed, input.len()).as_ref(), Ok(&input));
    }
}
