#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    kafscale_fuzz::segments::segments(input);
});
