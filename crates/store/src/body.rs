//! The bytes of an object as a list of shared segments, so that nothing is copied between socket and store.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// An object's content. Cloning shares the segments.
#[derive(Debug, Clone, Default)]
pub struct Body {
    segments: Arc<[Bytes]>,
    len: u64,
}

impl Body {
    /// A body of these segments, in this order.
    pub fn new(segments: Vec<Bytes>) -> Self {
        let len = segments.iter().map(|segment| segment.len() as u64).sum();
        Self { segments: segments.into(), len }
    }

    /// The segments, in order.
    pub fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is not one byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All bytes in one piece; copies unless there is one segment.
    pub fn to_bytes(&self) -> Bytes {
        if let [only] = &*self.segments {
            return only.clone();
        }
        let mut joined = BytesMut::with_capacity(usize::try_from(self.len).expect("a body is in memory"));
        for segment in &*self.segments {
            joined.extend_from_slice(segment);
        }
        joined.freeze()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new(vec![bytes])
    }
}
