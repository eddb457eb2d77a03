//! The fuzz target over its seeds, as an ordinary test.

use std::{fs, path::Path};

use kafscale_records::Batch;

#[path = "../../../fuzz/src/batches.rs"]
mod batches;

#[test]
fn batches_of_the_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/batches");
    let mut valid = 0;
    for entry in fs::read_dir(folder).expect("the seeds are part of the repository") {
        let input = fs::read(entry.expect("a readable folder").path()).expect("a readable seed");
        batches::batch(&input);
        valid += usize::from(Batch::validate(&input).is_ok());
    }
    assert!(valid >= 5, "one valid seed of each codec, but only {valid} were valid");
}
