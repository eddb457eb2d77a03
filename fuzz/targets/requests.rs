#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = kafscale_fuzz::wire::request(input);
});
