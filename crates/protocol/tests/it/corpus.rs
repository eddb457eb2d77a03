//! The fuzz targets over their seeds, as an ordinary test.

use std::fs;
use std::path::Path;

use kafscale_protocol::ApiKey;

#[path = "../../../../fuzz/src/wire.rs"]
pub mod wire;

/// The inputs under `fuzz/seeds/`: valid messages, and whatever a fuzzer once found.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

#[test]
fn requests() {
    let read = inputs("requests").into_iter().filter(|(_, input)| wire::request(input) == Some(Ok(()))).count();
    assert!(read >= 2 * ApiKey::ALL.len(), "two valid seeds of each API, but only {read} were read");
}

#[test]
fn responses() {
    let read = inputs("responses").into_iter().filter(|(_, input)| wire::response(input) == Some(Ok(()))).count();
    assert!(read >= 2 * ApiKey::ALL.len(), "two valid seeds of each API, but only {read} were read");
}
