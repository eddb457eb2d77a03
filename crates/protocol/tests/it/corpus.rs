//! The fuzz targets over the golden messages, as an ordinary test.

use crate::seeds::seeds;

#[path = "../../../../fuzz/src/wire.rs"]
pub mod wire;

/// The golden messages of one direction as the fuzz targets take them.
fn inputs(request: bool) -> impl Iterator<Item = Vec<u8>> {
    seeds().iter().filter(move |seed| seed.request == request).map(|seed| {
        let facts = seed.api.facts();
        let head = [seed.api.code(), seed.version - facts.min].map(|byte| u8::try_from(byte).unwrap());
        [&head, seed.body.as_slice()].concat()
    })
}

#[test]
fn requests() {
    for input in inputs(true) {
        assert_eq!(wire::request(&input), Some(Ok(())));
    }
}

#[test]
fn responses() {
    for input in inputs(false) {
        assert_eq!(wire::response(&input), Some(Ok(())));
    }
}
