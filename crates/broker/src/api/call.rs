//! One request on its way through a handler, and what comes of it.

use bytes::Bytes;
use kafscale_protocol::{ApiKey, DecodeError, EncodeError, RequestBody, RequestHeader, ResponseBody, encode_response};
use tokio::sync::OwnedMutexGuard;

use super::NAMED_MAX;

/// What is kept until an answer has been written: a connection has one Fetch's worth of data in memory at most.
pub type Hold = Option<OwnedMutexGuard<()>>;

/// What becomes of a request.
#[derive(Debug)]
pub enum Answer {
    /// These bytes leave.
    Respond {
        /// The frame with its length.
        parts: Vec<Bytes>,
        /// Dropped when they have left.
        hold: Hold,
    },
    /// Nothing leaves (`acks=0`).
    Silent,
    /// The connection is closed.
    Close(String),
}

/// A request that gets no answer: the connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Its bytes are not a request.
    #[error("malformed request: {0}")]
    Malformed(#[from] DecodeError),
    /// The answer does not fit the version: our own mistake.
    #[error("answer cannot be encoded: {0}")]
    Unanswerable(#[from] EncodeError),
    /// Kafka closes the connection, too.
    #[error("{0}")]
    Closed(String),
}

impl Refusal {
    /// Refuses a request that names more than [`NAMED_MAX`] things.
    pub(super) fn unless_few(named: usize) -> Result<(), Self> {
        match named {
            ..=NAMED_MAX => Ok(()),
            _ => Err(Self::Closed(format!("the request names {named} things, more than {NAMED_MAX}"))),
        }
    }
}

/// A request: its header's facts and its frame, from which handlers decode.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which API.
    pub api: ApiKey,
    /// Which version of it.
    pub version: i16,
    /// Comes back in the answer.
    pub correlation_id: i32,
    /// As the client calls itself.
    pub client_id: Option<String>,
    frame: Bytes,
    body_at: usize,
}

impl Call {
    /// A call of a frame whose header has been read and whose API and version are served.
    pub fn new(api: ApiKey, header: &RequestHeader<'_>, frame: Bytes, body_at: usize) -> Self {
        Self {
            api,
            version: header.api_version,
            correlation_id: header.correlation_id,
            client_id: header.client_id.map(str::to_owned),
            frame,
            body_at,
        }
    }

    /// The same with its frame.
    pub fn with_frame(mut self, frame: Bytes) -> Self {
        self.frame = frame;
        self
    }

    /// The decoded request.
    pub fn request<'a, R: RequestBody<'a>>(&'a self) -> Result<R, Refusal> {
        debug_assert_eq!(R::API, self.api);
        Ok(R::read(self.version, &self.frame[self.body_at..])?)
    }

    /// The whole frame: slices of the decoded request can be shared through [`Bytes::slice_ref`].
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    /// An answer.
    pub fn respond<'a, R: ResponseBody<'a>>(&self, response: &R) -> Result<Answer, Refusal> {
        self.respond_holding(response, None)
    }

    /// An answer that keeps something until it has left.
    pub fn respond_holding<'a, R: ResponseBody<'a>>(&self, response: &R, hold: Hold) -> Result<Answer, Refusal> {
        let encoded = encode_response(self.version, self.correlation_id, response)?;
        Ok(Answer::Respond { parts: encoded.parts, hold })
    }
}
