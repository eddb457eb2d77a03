//! What rewritten objects are called in the store.
//!
//! | Name | Object |
//! |---|---|
//! | `merged/<cluster>/<session>/<number>-<level>-<nonce>` | a merged object; the random part makes it unique |
//! | `<namespace>/<topic>/<partition>/segment-<base offset>.kfs` | a segment: its name is given out by the log |
//! | the same with `.index` | its index |
//!
//! Numbers are padded to 20 digits, so that names sort as numbers do.

use std::fmt;

/// What the names of all merged objects begin with.
pub const MERGED: &str = "merged/";

/// What tells one merged object from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MergedId {
    /// Its level.
    pub level: u8,
    /// Session that wrote it.
    pub session: u64,
    /// Its number within the session.
    pub number: u64,
    /// Random.
    pub nonce: u64,
}

/// What the names of all merged objects of a cluster begin with.
pub fn merged_of(cluster: u128) -> String {
    format!("{MERGED}{cluster:032x}/")
}

/// The name of a merged object.
pub fn merged(cluster: u128, id: &MergedId) -> String {
    let MergedId { level, session, number, nonce } = id;
    format!("{}{session:020}/{number:020}-{level:03}-{nonce:016x}", merged_of(cluster))
}

/// Which merged object of a cluster has this name.
pub fn merged_id(cluster: u128, name: &str) -> Option<MergedId> {
    let (session, rest) = name.strip_prefix(&merged_of(cluster))?.split_once('/')?;
    let mut parts = rest.split('-');
    let id = MergedId {
        session: session.parse().ok()?,
        number: parts.next()?.parse().ok()?,
        level: parts.next()?.parse().ok()?,
        nonce: u64::from_str_radix(parts.next()?, 16).ok()?,
    };
    // Only what this module writes is taken for its own.
    (merged(cluster, &id) == name).then_some(id)
}

/// A file of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    /// The batches.
    Kfs,
    /// Where they lie.
    Index,
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kfs => "kfs",
            Self::Index => "index",
        })
    }
}

/// What the names of a topic's segments begin with.
pub fn topic(namespace: &str, topic: &str) -> String {
    format!("{namespace}/{topic}/")
}

/// The name of a segment's file.
pub fn segment(namespace: &str, topic: &str, partition: u32, base_offset: u64, file: File) -> String {
    format!("{namespace}/{topic}/{partition}/segment-{base_offset:020}.{file}")
}

/// Partition, base offset and kind of a file, from its name behind [`topic`].
pub fn segment_of(rest: &str) -> Option<(u32, u64, File)> {
    let (partition, file) = rest.split_once('/')?;
    let (base_offset, kind) = file.strip_prefix("segment-")?.split_once('.')?;
    let kind = match kind {
        "kfs" => File::Kfs,
        "index" => File::Index,
        _ => return None,
    };
    let digits = base_offset.len() == 20 && base_offset.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = partition.parse().ok().filter(|number: &u32| number.to_string() == partition)?;
    digits.then(|| base_offset.parse().ok()).flatten().map(|base_offset| (number, base_offset, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_golden_and_read_back() {
        let id = MergedId { level: 1, session: 3, number: 42, nonce: 0xabc };
        let name = merged(7, &id);
        let expected =
            "merged/00000000000000000000000000000007/00000000000000000003/00000000000000000042-001-0000000000000abc";
        assert_eq!(name, expected);
        assert_eq!(merged_id(7, &name), Some(id));
        assert_eq!(merged_id(8, &name), None);
        assert_eq!(merged_id(7, &name.replace("-001-", "-1-")), None);
        let name = segment("default", "orders", 3, 1_000, File::Kfs);
        assert_eq!(name, "default/orders/3/segment-00000000000000001000.kfs");
        let rest = name.strip_prefix(&topic("default", "orders")).expect("it begins so");
        assert_eq!(segment_of(rest), Some((3, 1_000, File::Kfs)));
        for alien in
            ["03/segment-00000000000000001000.kfs", "3/segment-1000.kfs", "3/segment-00000000000000001000.x", "3"]
        {
            assert_eq!(segment_of(alien), None, "{alien}");
        }
    }
}
