//! The bytes of an object as a list of shared segments, so that nothing is copied between socket and store.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::Racer;

/// An object's content. Cloning shares the segments.
#[derive(Debug, Clone, Default)]
pub struct Body {
    segments: Arc<[Bytes]>,
    len: u64,
    sending: Sending,
}

/// How a store over HTTP sends a body; others write it as any.
#[derive(Debug, Clone, Default)]
pub(crate) enum Sending {
    #[default]
    Plainly,
    /// Its last byte goes together with those of the other racers.
    Racing(Arc<Racer>),
    /// Its last byte is another than the one that was signed.
    Damaged,
}

impl Body {
    /// A body of these segments, in this order.
    pub fn new(segments: Vec<Bytes>) -> Self {
        let len = segments.iter().map(|segment| segment.len() as u64).sum();
        Self { segments: segments.into(), len, sending: Sending::Plainly }
    }

    /// The same, whose end arrives together with those of the other racers where it is sent over HTTP.
    pub fn raced_by(self, racer: Arc<Racer>) -> Self {
        Self { sending: Sending::Racing(racer), ..self }
    }

    /// The same, which loses a bit on its way where it is sent over HTTP, as a broken line would do it.
    pub fn damaged_on_its_way(self) -> Self {
        Self { sending: Sending::Damaged, ..self }
    }

    pub(crate) fn sending(&self) -> &Sending {
        &self.sending
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

    /// `len` bytes from byte `start`, cut at the end; copies only what lies across segments.
    pub fn slice(&self, start: u64, len: u64) -> Bytes {
        let end = start.saturating_add(len).min(self.len);
        let mut pieces = Vec::new();
        let mut base = 0;
        for segment in &*self.segments {
            let next = base + segment.len() as u64;
            let (from, to) = (start.max(base), end.min(next));
            if from < to {
                let within = |at: u64| usize::try_from(at - base).expect("a segment is in memory");
                pieces.push(segment.slice(within(from)..within(to)));
            }
            base = next;
        }
        Self::new(pieces).to_bytes()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new(vec![bytes])
    }
}
