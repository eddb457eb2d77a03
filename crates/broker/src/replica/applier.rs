//! Applies the frames of the log, one after the other, and tells everybody concerned.
//!
//! The order within one frame matters: the state first, then our own batches into the cache, then the answers of our own
//! frame, then whoever waits for partitions that grew. So a consumer that is woken finds the data in memory.

use std::sync::{Arc, OnceLock};

use kafscale_log::{
    Frame, Frames, Log, Position, Progress,
    frame::{HEADER_LEN, Kind},
    lone::{Lone, Opened},
};
use kafscale_state::{ApplyError, DATA_RECORDS_AT, FrameFacts, Place, Verdict};

use super::{Readers, Replica};
use crate::{metrics::Metrics, write::Writer};

/// Why no more frames are applied.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The log has ended: this session was fenced, or the log was closed.
    #[error("the log has ended")]
    LogEnded,
    /// A frame that this build cannot apply.
    #[error("frame {position} cannot be applied: {error}")]
    Unapplicable {
        /// Where it stands.
        position: Position,
        /// What is wrong with it.
        error: ApplyError,
    },
    /// The replica that wrote a frame had another digest than this one.
    #[error("digest mismatch at position {position}: this replica or its writer is wrong")]
    Diverged {
        /// Where the digests differ.
        position: Position,
    },
}

/// What exists only once the log is open: until then no frame of our own can arrive.
pub struct Own {
    /// The log, to be told of the progress.
    pub lone: Arc<Lone>,
    /// The write path, whose flights land here.
    pub writer: Writer,
    /// This session, and where the opening ended: its frames behind that are the writer's.
    pub opened: Opened,
}

/// See the module.
pub struct Applier {
    /// The state.
    pub replica: Arc<Replica>,
    /// The read path.
    pub readers: Arc<dyn Readers>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Set once the log is open.
    pub own: Arc<OnceLock<Own>>,
}

impl Applier {
    /// Applies frames until they end.
    pub async fn run(self, mut frames: Frames) -> Stopped {
        let mut stopped = Stopped::LogEnded;
        while let Some(frame) = frames.recv().await {
            if let Err(error) = self.apply(&frame) {
                stopped = error;
                break;
            }
        }
        self.replica.close();
        stopped
    }

    fn apply(&self, frame: &Frame) -> Result<(), Stopped> {
        let header = &frame.header;
        let payload_at = HEADER_LEN + frame.entries.len();
        let facts = FrameFacts {
            position: header.position,
            session: header.session,
            cluster_time_ms: header.cluster_time_ms,
            payload_at: u32::try_from(payload_at).expect("the log bounds entries to 64 MiB"),
        };
        let (mut applied, progress) = {
            let mut state = self.replica.state.write();
            let expected = header.progress;
            if expected.position == state.position() && expected.position > 0 && expected.digest != state.digest() {
                return Err(Stopped::Diverged { position: expected.position });
            }
            let applied = state
                .apply(facts, &frame.entries)
                .map_err(|error| Stopped::Unapplicable { position: header.position, error })?;
            (applied, Progress { position: state.position(), digest: state.digest() })
        };
        self.metrics.applied(header.position, frame.entries.len());
        if let Some(own) = self.own.get() {
            own.lone.applied(progress);
            let is_ours = header.session == own.opened.session && header.position > own.opened.tail;
            if is_ours && header.kind == Kind::Entries {
                self.land(own, frame, std::mem::take(&mut applied.verdicts));
            }
        }
        self.replica.applied.modify(|applied| applied.position = header.position);
        self.readers.applied(&applied);
        Ok(())
    }

    fn land(&self, own: &Own, frame: &Frame, verdicts: Vec<Verdict>) {
        let Some(flight) = own.writer.landed() else {
            assert!(own.writer.is_stopped(), "every frame of this session is a flight of its writer");
            return;
        };
        let (object, records_at) = match flight.number {
            None => (Place::LogFrame { position: frame.header.position }, frame.header.head_len()),
            Some(number) => {
                let place = Place::Data { store: 0, session: own.opened.session, number };
                (place, u64::from(DATA_RECORDS_AT))
            }
        };
        if let Some(Verdict::Commit(commit)) = verdicts.last() {
            for written in flight.written(commit) {
                self.readers.written(object, records_at, written);
            }
        }
        flight.settle(verdicts);
    }
}
