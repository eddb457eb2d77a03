//! A data object: the records of one flush, where the log lives in another store than they do.
//!
//! It is stored before the frame that commits it, under a name that only its writer uses, and its bytes never differ: so a
//! plain PUT is enough, and one whose outcome is unknown is repeated. The *section* says whose the records are; the frame's
//! commit says the same. Header and section stand at the end once more, so that a bucket can be read without its log. The
//! section means nothing here, as the entries of a frame.
//!
//! All integers are big-endian. Object: header, records, section, the header again.
//!
//! | Offset | Size | Content |
//! |---|---|---|
//! | 0 | 4 | ASCII `KSDO` |
//! | 4 | 2 | format version = 1 |
//! | 6 | 2 | reserved, 0 |
//! | 8 | 16 | cluster id |
//! | 24 | 8 | generation |
//! | 32 | 8 | session |
//! | 40 | 8 | number of the object within the session |
//! | 48 | 16 | incarnation: random per process; with the number it is the write id |
//! | 64 | 8 | cluster time, Unix milliseconds (int64) |
//! | 72 | 8 | length of the records |
//! | 80 | 4 | length of the section |
//! | 84 | 16 | XXH3-128 of the section |
//! | 100 | 4 | CRC-32C of bytes 0..100 |
//! | 104 | | records, section, header |

use bytes::{BufMut, Bytes, BytesMut};
use kafscale_store::Body;

use crate::frame::{ENTRIES_LEN_MAX, PAYLOAD_LEN_MAX, crc32c};

/// Length of an encoded header in bytes: the records begin here.
pub const HEADER_LEN: usize = 104;

/// What the names of all data objects begin with.
pub const PREFIX: &str = "data/";

const MAGIC: [u8; 4] = *b"KSDO";
const VERSION: u16 = 1;
const CRC_AT: usize = 100;

/// Names one data object for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DataId {
    /// The cluster that it belongs to.
    pub cluster_id: u128,
    /// The session that wrote it.
    pub session: u64,
    /// Its number within the session. The first one is random: a session's number is given out again when a log is brought
    /// back from a copy, and the names of its objects are not.
    pub number: u64,
}

/// A data object's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Which object.
    pub id: DataId,
    /// The life of the log that commits it.
    pub generation: u64,
    /// Random per process.
    pub incarnation: u128,
    /// When it was made, Unix milliseconds of the cluster's time.
    pub cluster_time_ms: i64,
    /// Length of the records in bytes.
    pub records_len: u64,
    /// Length of the section in bytes.
    pub section_len: u32,
    /// XXH3-128 of the section.
    pub section_hash: u128,
}

/// Why bytes are not the data object that was looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer bytes than a header has.
    #[error("{len} bytes are too few for the header of a data object")]
    HeaderTruncated {
        /// How many there were.
        len: usize,
    },
    /// It does not begin as one.
    #[error("this is not a data object: wrong magic")]
    Magic,
    /// A later release wrote it.
    #[error("written by a newer version: data object format {version}, known up to {VERSION}")]
    NewerVersion {
        /// The version that it names.
        version: u16,
    },
    /// The header is damaged.
    #[error("wrong checksum of the data object's header")]
    Checksum,
    /// The header's checksum is right, but a field has a value that this version never writes.
    #[error("the data object's header has an impossible {field}")]
    Field {
        /// Which one.
        field: &'static str,
    },
    /// It was written under another name.
    #[error("this is data object {} of session {} of cluster {:032x}", .found.number, .found.session, .found.cluster_id)]
    Misplaced {
        /// What the header says.
        found: DataId,
    },
    /// The section is damaged or cut.
    #[error("wrong hash of the data object's section")]
    SectionHash,
}

impl DataId {
    /// The object's name in the store.
    pub fn name(&self) -> String {
        format!("{}{:020}", prefix(self.cluster_id, self.session), self.number)
    }

    /// The object of this name, if it is one.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(PREFIX)?.split('/');
        let (cluster, session, number) = (parts.next()?, parts.next()?, parts.next()?);
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let plain = cluster.len() == 32 && hex(cluster) && digits(session) && digits(number);
        if !plain || session.len() != 20 || number.len() != 20 || parts.next().is_some() {
            return None;
        }
        let cluster_id = u128::from_str_radix(cluster, 16).ok()?;
        Some(Self { cluster_id, session: session.parse().ok()?, number: number.parse().ok()? })
    }
}

/// What the names of all data objects of a session begin with.
pub fn prefix(cluster_id: u128, session: u64) -> String {
    format!("{PREFIX}{cluster_id:032x}/{session:020}/")
}

/// XXH3-128 of a section.
pub fn section_hash(section: &[u8]) -> u128 {
    xxhash_rust::xxh3::xxh3_128(section)
}

impl Header {
    /// First byte of the section in the object.
    pub fn section_at(&self) -> u64 {
        HEADER_LEN as u64 + self.records_len
    }

    /// Length of the whole object.
    pub fn object_len(&self) -> u64 {
        self.section_at() + u64::from(self.section_len) + HEADER_LEN as u64
    }

    /// Checks that this is the header of the object that belongs to `id`.
    pub fn check(&self, id: &DataId) -> Result<(), DecodeError> {
        if self.id == *id { Ok(()) } else { Err(DecodeError::Misplaced { found: self.id }) }
    }

    /// Checks that these bytes, read from [`section_at`](Self::section_at), are the section.
    pub fn check_section(&self, section: &[u8]) -> Result<(), DecodeError> {
        let is_it = section.len() == self.section_len as usize && section_hash(section) == self.section_hash;
        if is_it { Ok(()) } else { Err(DecodeError::SectionHash) }
    }

    fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN);
        out.put_slice(&MAGIC);
        out.put_u16(VERSION);
        out.put_u16(0);
        out.put_u128(self.id.cluster_id);
        out.put_u64(self.generation);
        out.put_u64(self.id.session);
        out.put_u64(self.id.number);
        out.put_u128(self.incarnation);
        out.put_i64(self.cluster_time_ms);
        out.put_u64(self.records_len);
        out.put_u32(self.section_len);
        out.put_u128(self.section_hash);
        let crc = crc32c(&out);
        out.put_u32(crc);
        debug_assert_eq!(out.len(), HEADER_LEN);
        out.freeze()
    }
}

/// The object of this header. Lengths and hash are taken from `records` and `section` and set in the header; the records'
/// segments are shared, not copied.
pub fn encode(header: &mut Header, records: &Body, section: Bytes) -> Body {
    assert!(records.len() <= PAYLOAD_LEN_MAX && section.len() <= ENTRIES_LEN_MAX, "a flush is bounded");
    header.records_len = records.len();
    header.section_len = u32::try_from(section.len()).expect("bounded above");
    header.section_hash = section_hash(&section);
    let head = header.encode();
    let mut segments = Vec::with_capacity(3 + records.segments().len());
    segments.push(head.clone());
    segments.extend(records.segments().iter().filter(|segment| !segment.is_empty()).cloned());
    segments.push(section);
    segments.push(head);
    Body::new(segments)
}

/// Reads the header at the front of `bytes`: the first or the last [`HEADER_LEN`] bytes of an object.
pub fn decode_header(bytes: &[u8]) -> Result<Header, DecodeError> {
    let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
        return Err(DecodeError::HeaderTruncated { len: bytes.len() });
    };
    if bytes[..4] != MAGIC {
        return Err(DecodeError::Magic);
    }
    let version = u16::from_be_bytes(field(bytes, 4));
    if version > VERSION {
        return Err(DecodeError::NewerVersion { version });
    }
    if crc32c(&bytes[..CRC_AT]) != u32::from_be_bytes(field(bytes, CRC_AT)) {
        return Err(DecodeError::Checksum);
    }
    let header = Header {
        id: DataId {
            cluster_id: u128::from_be_bytes(field(bytes, 8)),
            session: u64::from_be_bytes(field(bytes, 32)),
            number: u64::from_be_bytes(field(bytes, 40)),
        },
        generation: u64::from_be_bytes(field(bytes, 24)),
        incarnation: u128::from_be_bytes(field(bytes, 48)),
        cluster_time_ms: i64::from_be_bytes(field(bytes, 64)),
        records_len: u64::from_be_bytes(field(bytes, 72)),
        section_len: u32::from_be_bytes(field(bytes, 80)),
        section_hash: u128::from_be_bytes(field(bytes, 84)),
    };
    let possible = [
        ("version", version == VERSION),
        ("reserved field", bytes[6..8] == [0, 0]),
        ("length of records", header.records_len <= PAYLOAD_LEN_MAX),
        ("length of section", header.section_len as usize <= ENTRIES_LEN_MAX),
    ];
    match possible.into_iter().find(|(_, holds)| !holds) {
        Some((field, _)) => Err(DecodeError::Field { field }),
        None => Ok(header),
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
    *bytes[at..].first_chunk().expect("the layout lies inside the header")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: DataId = DataId { cluster_id: 0xabc, session: 7, number: 300 };

    fn object() -> (Header, Vec<u8>) {
        let mut header = Header {
            id: ID,
            generation: 2,
            incarnation: 9,
            cluster_time_ms: -5,
            records_len: 0,
            section_len: 0,
            section_hash: 0,
        };
        let records = Body::new(vec![Bytes::from_static(b"rec"), Bytes::new(), Bytes::from_static(b"ords")]);
        let body = encode(&mut header, &records, Bytes::from_static(b"section"));
        (header, body.to_bytes().to_vec())
    }

    #[test]
    fn an_object_explains_itself_from_both_ends() {
        let (header, bytes) = object();
        assert_eq!(bytes.len() as u64, header.object_len());
        assert_eq!(decode_header(&bytes), Ok(header));
        assert_eq!(decode_header(&bytes[bytes.len() - HEADER_LEN..]), Ok(header));
        assert_eq!(&bytes[HEADER_LEN..HEADER_LEN + 7], b"records");
        let section = &bytes[header.section_at() as usize..][..header.section_len as usize];
        assert_eq!(header.check_section(section), Ok(()));
        assert_eq!(header.check_section(b"Section"), Err(DecodeError::SectionHash));
        assert_eq!(header.check(&ID), Ok(()));
        let other = DataId { number: 301, ..ID };
        assert_eq!(header.check(&other), Err(DecodeError::Misplaced { found: ID }));
    }

    #[test]
    fn the_header_is_persisted_like_this() {
        let (_, bytes) = object();
        let golden = concat!(
            "4b53444f00010000",
            "00000000000000000000000000000abc",
            "0000000000000002",
            "0000000000000007",
            "000000000000012c",
            "00000000000000000000000000000009",
            "fffffffffffffffb",
            "0000000000000007",
            "00000007",
        );
        let hex: String = bytes[..84].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, golden);
    }

    #[test]
    fn every_damaged_bit_of_a_header_is_noticed() {
        let (_, bytes) = object();
        for bit in 0..HEADER_LEN * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_header(&damaged).is_err(), "bit {bit}");
        }
        assert_eq!(decode_header(&bytes[..50]), Err(DecodeError::HeaderTruncated { len: 50 }));
    }

    #[test]
    fn names_are_golden_and_read_back() {
        let name = "data/00000000000000000000000000000abc/00000000000000000007/00000000000000000300";
        assert_eq!(ID.name(), name);
        assert_eq!(DataId::parse(name), Some(ID));
        assert!(name.starts_with(&prefix(0xabc, 7)));
        for alien in [
            "data/abc/7/300",
            "data/00000000000000000000000000000ABC/00000000000000000007/00000000000000000300",
            "data/00000000000000000000000000000abc/00000000000000000007/99999999999999999999",
            "data/00000000000000000000000000000abc/00000000000000000007/00000000000000000300/x",
            "log/00000000000000000007/00000000000000000300",
        ] {
            assert_eq!(DataId::parse(alien), None, "{alien}");
        }
    }
}
