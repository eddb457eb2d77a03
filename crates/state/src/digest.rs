//! The digest: XXH3-128 chained over position and verdicts. Equal position, equal digest, or one of two replicas is wrong.

use xxhash_rust::xxh3::Xxh3;

use crate::Position;
use crate::codec::Writer;
use crate::verdict::Verdict;

/// The digest after a frame.
pub(crate) fn chain(previous: u128, position: Position, verdicts: &[Verdict]) -> u128 {
    let mut writer = Writer::default();
    writer.u128(previous);
    writer.varint(position);
    writer.count(verdicts.len());
    verdicts.iter().for_each(|verdict| verdict.encode(&mut writer));
    let mut hash = Xxh3::new();
    hash.update(&writer.bytes);
    hash.digest128()
}
