//! Producer ids: taken from blocks that the log gives out.

use kafscale_state::{
    Verdict,
    entry::{Entry, PidBlock},
};
use tokio::sync::Mutex;

use super::{EntryError, Writer};
use crate::ConnectionId;

/// Ids in a block: enough for a rush of clients, few enough to throw away at each start.
const BLOCK: u32 = 1_000;

/// This broker's part of the producer ids.
#[derive(Default)]
pub struct ProducerIds {
    rest: Mutex<std::ops::Range<i64>>,
}

impl ProducerIds {
    /// An id that was never given before. Those who come while a block is fetched wait for the same one.
    pub async fn next(&self, writer: &Writer, connection: ConnectionId) -> Result<i64, EntryError> {
        let mut rest = self.rest.lock().await;
        if let Some(id) = rest.next() {
            return Ok(id);
        }
        let entry = Entry::PidBlock(PidBlock { count: BLOCK });
        let Verdict::PidBlock { first } = writer.submit(Some(connection), entry, false).await? else {
            return Err(EntryError::Stopped);
        };
        *rest = first + 1..first + i64::from(BLOCK);
        Ok(first)
    }
}
