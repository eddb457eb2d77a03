//! Compressing: records as Java's client does it, and whole batches anew where a topic wants another codec than their producer.

use std::io::{self, Read, Write};

use flate2::write::GzEncoder;
use zstd::zstd_safe::CParameter;

use crate::{Batch, BatchError, Codec, HEADER_LEN, check::walk, codec::contexts, edit, places::Places};

/// Input bytes of one Xerial block.
const XERIAL_BLOCK: usize = 32 * 1024;
/// What Xerial's framing begins with: its magic and two version words.
const XERIAL_HEADER: [u8; 16] = *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
/// A window of 1 MiB: batches are hardly larger, and high levels would take hundreds of MiB for theirs.
const ZSTD_WINDOW_LOG: u32 = 20;

/// How records are to be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// By what.
    pub codec: Codec,
    /// How hard gzip and Zstandard try; none for their own choice. The others have one level.
    pub level: Option<i32>,
}

impl Compression {
    /// Writes to `output` what `feed` writes, compressed.
    fn encode(self, mut output: impl Write, feed: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match self.codec {
            Codec::None => feed(&mut output),
            Codec::Gzip => {
                let level = self.level.and_then(|level| u32::try_from(level).ok());
                let mut encoder = GzEncoder::new(output, level.map(flate2::Compression::new).unwrap_or_default());
                feed(&mut encoder)?;
                encoder.finish().map(drop)
            }
            Codec::Snappy => {
                output.write_all(&XERIAL_HEADER)?;
                let mut encoder = Xerial { output, block: Vec::with_capacity(XERIAL_BLOCK) };
                feed(&mut encoder)?;
                encoder.flush()
            }
            Codec::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(output);
                feed(&mut encoder)?;
                encoder.finish().map(drop).map_err(io::Error::other)
            }
            Codec::Zstd => {
                let mut context = contexts::compressing()?;
                let mut encoder = zstd::stream::write::Encoder::with_context(output, &mut context);
                encoder.set_parameter(CParameter::CompressionLevel(self.level.unwrap_or(0)))?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                feed(&mut encoder)?;
                encoder.finish().map(drop)
            }
        }
    }
}

impl Codec {
    /// Compresses as Java's client does (snappy in Xerial framing).
    pub fn compress(self, input: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        let compression = Compression { codec: self, level: None };
        compression.encode(&mut output, |encoder| encoder.write_all(input)).expect("writing to memory cannot fail");
        output
    }
}

/// The batch with its records compressed so, and what [`check`](crate::check) says of it, in one pass. They are read as a
/// stream of at most `opened_max` bytes; the batch that comes of it has at most `batch_max`.
pub fn recompress(
    batch: &Batch<'_>,
    to: Compression,
    keyless_most: usize,
    opened_max: u64,
    batch_max: usize,
) -> Result<(Vec<u8>, Vec<u32>), BatchError> {
    let from = batch.header().attributes.codec()?;
    let batch_max = batch_max.min(i32::MAX as usize);
    let reader = from.reader(batch.payload(), opened_max).map_err(|_| BatchError::Corrupt { codec: from })?;
    let mut output = Bounded { bytes: batch.bytes()[..HEADER_LEN].to_vec(), limit: batch_max, is_full: false };
    let mut keyless = Ok(Vec::new());
    let encoded = to.encode(&mut output, |encoder| {
        let copied = Box::new(Copied { reader, copy: encoder });
        keyless = walk(Places::over(batch, from, copied, opened_max), keyless_most);
        keyless.as_ref().map(drop).map_err(|_| io::ErrorKind::InvalidData.into())
    });
    let too_large = BatchError::TooLarge { limit: batch_max as u64 };
    if output.is_full {
        return Err(too_large);
    }
    let keyless = keyless?;
    encoded.map_err(|_| too_large)?;
    edit::set_payload(&mut output.bytes, to.codec);
    Ok((output.bytes, keyless))
}

/// A reader of which a copy is made as it is read.
struct Copied<'a> {
    reader: Box<dyn Read + 'a>,
    copy: &'a mut dyn Write,
}

impl Read for Copied<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(out)?;
        self.copy.write_all(&out[..read])?;
        Ok(read)
    }
}

/// Takes so many bytes and no more.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    is_full: bool,
}

impl Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if part.len() > self.limit.saturating_sub(self.bytes.len()) {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes Xerial's framing: blocks of bare snappy, each behind its length.
struct Xerial<W> {
    output: W,
    block: Vec<u8>,
}

impl<W: Write> Write for Xerial<W> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let taken = part.len().min(XERIAL_BLOCK - self.block.len());
        self.block.extend_from_slice(&part[..taken]);
        if self.block.len() == XERIAL_BLOCK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let packed = snap::raw::Encoder::new().compress_vec(&self.block).map_err(io::Error::other)?;
        self.output.write_all(&(packed.len() as u32).to_be_bytes())?;
        self.output.write_all(&packed)?;
        self.block.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchBuilder, check};

    const OPENED_MAX: u64 = 1 << 20;

    fn batch(codec: Codec) -> bytes::Bytes {
        let mut builder = BatchBuilder::new(codec).base_offset(5).producer(7, 1, 20);
        for number in 0..2_000_i64 {
            let value = format!("value {}", number % 13);
            builder = builder.record(number, Some(&number.to_be_bytes()), Some(value.as_bytes()));
        }
        builder.build()
    }

    fn recompressed(from: Codec, codec: Codec, level: Option<i32>) -> Vec<u8> {
        let bytes = batch(from);
        let batch = Batch::validate(&bytes).expect("it is valid");
        recompress(&batch, Compression { codec, level }, 9, OPENED_MAX, 1 << 20).expect("there is room").0
    }

    #[test]
    fn a_batch_is_the_same_but_for_its_codec() {
        for (from, to) in Codec::ALL.into_iter().flat_map(|from| Codec::ALL.map(|to| (from, to))) {
            // This builder makes of the same records what a producer with the other codec sends.
            assert_eq!(recompressed(from, to, None), batch(to), "{from} to {to}");
        }
    }

    #[test]
    fn levels_are_heard() {
        for (codec, low, high) in [(Codec::Gzip, 1, 9), (Codec::Zstd, -5, 19)] {
            let [low, high] = [low, high].map(|level| recompressed(Codec::None, codec, Some(level)));
            assert!(low.len() > high.len(), "{codec}: {} and {}", low.len(), high.len());
            assert!(Batch::validate(&low).is_ok() && Batch::validate(&high).is_ok());
        }
    }

    #[test]
    fn neither_bombs_nor_growth_go_beyond_their_limits() {
        let bomb = BatchBuilder::new(Codec::Zstd).record(0, None, Some(&vec![0; 4 << 20])).build();
        let bomb = Batch::validate(&bomb).expect("it is valid");
        let to = |codec| Compression { codec, level: None };
        let opened = recompress(&bomb, to(Codec::Gzip), 0, OPENED_MAX, 1 << 20);
        assert_eq!(opened, Err(BatchError::TooLarge { limit: OPENED_MAX }));
        let grown = recompress(&bomb, to(Codec::None), 0, 8 << 20, 10_000);
        assert_eq!(grown, Err(BatchError::TooLarge { limit: 10_000 }));
    }

    #[test]
    fn what_is_compressed_anew_is_checked_in_the_same_pass() {
        for (from, to) in Codec::ALL.into_iter().flat_map(|from| Codec::ALL.map(|to| (from, to))) {
            let plain = batch(Codec::None);
            let judge = |count: i32, keyless_most| {
                let bytes = BatchBuilder::claiming(count, from, &from.compress(&plain[HEADER_LEN..]));
                let batch = Batch::validate(&bytes).expect("the header is in order");
                let compression = Compression { codec: to, level: None };
                let recompressed = recompress(&batch, compression, keyless_most, OPENED_MAX, 1 << 20);
                (recompressed.map(|(_, keyless)| keyless), check(&batch, keyless_most, OPENED_MAX))
            };
            for (count, is_whole) in [(1_999, false), (2_000, true), (2_001, false)] {
                let (recompressed, checked) = judge(count, 0);
                assert_eq!(recompressed.is_ok(), is_whole, "{from} to {to}: {count} records");
                assert_eq!(checked.is_ok(), is_whole, "{from}: {count} records");
            }
        }
        let keyless = BatchBuilder::new(Codec::Lz4).record(0, Some(b"k"), None).record(0, None, None).build();
        let keyless = Batch::validate(&keyless).expect("it is valid");
        let to = Compression { codec: Codec::Zstd, level: None };
        assert_eq!(recompress(&keyless, to, 9, OPENED_MAX, 1 << 20).expect("whole").1, [1]);
    }

    #[test]
    fn what_cannot_be_opened_is_corrupt() {
        let mut bytes = batch(Codec::Gzip).to_vec();
        bytes.truncate(bytes.len() - 20);
        edit::set_payload(&mut bytes, Codec::Gzip);
        let batch = Batch::validate(&bytes).expect("nobody looked inside");
        let refused = recompress(&batch, Compression { codec: Codec::Lz4, level: None }, 0, OPENED_MAX, 1 << 20);
        assert_eq!(refused, Err(BatchError::Corrupt { codec: Codec::Gzip }));
    }
}
