//! Why a batch is refused before it is sent to be appended.

use kafscale_protocol::ErrorCode;
use kafscale_records::BatchError;

/// Why a batch goes no further.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Kafka's code.
    pub code: ErrorCode,
    /// The same in words; may be empty.
    pub text: String,
    /// Which records of the batch are to blame, if not all, and what for.
    pub records: Vec<(u32, &'static str)>,
}

impl Rejected {
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), records: Vec::new() }
    }
}

impl From<BatchError> for Rejected {
    fn from(error: BatchError) -> Self {
        let code = match error {
            BatchError::Length { .. } | BatchError::UnknownMagic { .. } | BatchError::Crc { .. } => {
                ErrorCode::CorruptMessage
            }
            BatchError::Codec { .. } => ErrorCode::UnsupportedCompressionType,
            BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
            _ => ErrorCode::InvalidRecord,
        };
        Self::new(code, error.to_string())
    }
}
