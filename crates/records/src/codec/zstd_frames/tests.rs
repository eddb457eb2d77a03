use std::io::Write;

use proptest::prelude::*;
use zstd::{stream::write::Encoder, zstd_safe::CParameter};

use super::*;
use crate::Codec;

/// What a context takes that decodes frames of one block.
const SMALL: usize = 1 << 20;

/// Reads all there is, and says what the library held for it.
fn read(input: &[u8], limit: u64) -> io::Result<(Vec<u8>, usize)> {
    let mut frames = ZstdFrames { context: Lent::fresh(), ..ZstdFrames::new(input, limit)? };
    let mut output = Vec::new();
    (&mut frames).take(limit).read_to_end(&mut output)?;
    Ok((output, frames.context.sizeof()))
}

/// As a streaming compressor does it that is not told the size.
fn stream(level: i32, input: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), level).expect("a level");
    encoder.write_all(input).expect("memory");
    encoder.finish().expect("memory")
}

/// The same, told the size or with the longest window.
fn stream_with(level: i32, parameter: Option<CParameter>, input: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), level).expect("a level");
    match parameter {
        Some(parameter) => encoder.set_parameter(parameter).expect("known"),
        None => encoder.set_pledged_src_size(Some(input.len() as u64)).expect("nothing is written yet"),
    }
    encoder.write_all(input).expect("memory");
    encoder.finish().expect("memory")
}

/// Bytes that only a far match can compress: noise, again and again.
fn far(noise: usize, times: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let noise: Vec<u8> = (0..noise).map(next).collect();
    noise.repeat(times)
}

/// A frame with a window of 128 MiB and so many blocks of one byte, many times.
fn bomb(blocks: u32) -> Vec<u8> {
    let mut frame = [&MAGIC[..], &[0, 17 << 3]].concat();
    for left in (0..blocks).rev() {
        let header = u32::from(left == 0) | RLE << 1 | (BLOCK_MAX as u32) << 3;
        frame.extend([&header.to_le_bytes()[..3], &[7]].concat());
    }
    frame
}

#[test]
fn what_every_level_announces_for_a_small_batch_takes_little_memory() {
    let input = far(700, 20);
    for level in 1..=22 {
        for packed in [stream(level, &input), stream_with(level, None, &input)] {
            let (output, memory) = read(&packed, 1 << 30).expect("a compressor wrote it");
            assert_eq!(output, input);
            assert!(memory < SMALL, "level {level}: {memory} bytes");
        }
    }
    let announced = Frame::parse(&stream(22, &input)).expect("whole").window;
    assert_eq!(announced, 128 << 20, "otherwise this test shows nothing");
}

#[test]
fn matches_that_reach_far_back_are_found() {
    for (noise, times) in [(100_000, 3), (600_000, 3), (2_500_000, 2)] {
        let input = far(noise, times);
        let long = Some(CParameter::EnableLongDistanceMatching(true));
        for packed in
            [stream(3, &input), stream_with(3, long, &input), stream(22, &input), stream_with(22, None, &input)]
        {
            let (output, memory) = read(&packed, 1 << 30).expect("a compressor wrote it");
            assert!(output == input, "{noise} times {times}");
            assert!(memory < 3 * input.len() + SMALL, "{memory} bytes for {}", input.len());
        }
        let packed = stream_with(3, long, &input);
        assert!(packed.len() < noise * 5 / 4, "no far match was made: {} bytes of {noise}", packed.len());
    }
}

#[test]
fn a_claim_takes_no_more_memory_than_what_is_behind_it() {
    for (blocks, least) in [(1, 0), (8, 1 << 20), (64, 8 << 20)] {
        let (output, memory) = read(&bomb(blocks), 1 << 30).expect("well formed");
        assert_eq!(output.len() as u64, u64::from(blocks) * BLOCK_MAX);
        assert!((least..least + SMALL).contains(&memory), "{blocks} blocks: {memory} bytes");
    }
    let (output, memory) = read(&bomb(100_000), 1 << 20).expect("well formed");
    assert_eq!(output.len(), 1 << 20);
    assert!(memory < 4 << 20, "the caller reads no more than a megabyte, {memory} bytes are held");
}

#[test]
fn a_stated_size_takes_no_more_memory_than_the_caller_reads() {
    let input = vec![7; 20 << 20];
    for packed in [stream_with(3, None, &input), stream_with(22, None, &input)] {
        let (output, memory) = read(&packed, 100_000).expect("a compressor wrote it");
        assert_eq!(output, input[..100_000]);
        assert!(memory < SMALL, "{memory} bytes");
    }
    assert!(Frame::parse(&stream_with(22, None, &input)).expect("whole").is_single_segment());
}

#[test]
fn a_frame_that_states_more_than_its_blocks_can_hold_is_refused() {
    let honest = stream_with(3, None, &[7; 70_000]);
    let stated_at = (0..honest.len()).position(|at| honest[at..].starts_with(&70_000_u32.to_le_bytes()));
    let stated_at = stated_at.expect("four bytes state the content");
    for claim in [300_000_u32, u32::MAX] {
        let mut liar = honest.clone();
        liar[stated_at..stated_at + 4].copy_from_slice(&claim.to_le_bytes());
        assert_eq!(read(&liar, 1 << 30).map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
    }
}

#[test]
fn rows_of_frames_are_read_and_cut_ones_are_not() {
    let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"any"].concat();
    let two = stream_with(19, None, b"two");
    let row = [&stream(22, b"one, ")[..], &skipped, &stream(1, b""), &two].concat();
    assert_eq!(read(&row, 100).expect("whole").0, b"one, two");
    for cut in (1..row.len()).rev() {
        match read(&row[..cut], 100) {
            Ok((output, _)) => assert!(b"one, ".starts_with(&output[..]), "cut to {cut}"),
            // The last frame states its size, which then is more than its blocks can hold.
            Err(_) if cut > row.len() - two.len() => {}
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut to {cut}"),
        }
    }
    assert!(read(b"\x28\xb5\x2f\xfc none", 100).is_err());
    assert_eq!(read(b"", 100).expect("nothing").0, b"");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What the library reads with the announced windows is read with the smaller ones too.
    #[test]
    fn nothing_that_the_library_reads_is_refused_or_changed(
        level in 1..20, len in 0_usize..400_000, told in any::<bool>(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let input = far(len / 3 + 1, 3);
        let mut packed = if told { stream_with(level, None, &input) } else { stream(level, &input) };
        for (at, byte) in edits {
            let at = at.index(packed.len().min(40));
            packed[at] = byte;
        }
        let theirs = zstd::stream::decode_all(&packed[..]);
        let ours = read(&packed, 1 << 30);
        if let Ok(theirs) = theirs {
            prop_assert!(ours.expect("the library reads it").0 == theirs);
            let reused = Codec::Zstd.decompress(&packed, 1 << 30);
            prop_assert!(reused.expect("a context that was used before reads it as well") == theirs);
        }
    }
}
