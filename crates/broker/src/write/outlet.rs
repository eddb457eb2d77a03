//! Where a closed buffer goes: into one frame of the log, records and all, or into an object of its own and then the log.

use std::sync::Arc;

use kafscale_log::{AppendError, Log, Position};
use kafscale_runtime::BoxFuture;

use super::{
    buffer::Sealed,
    objects::{ObjectFigures, Objects},
};

/// See the module.
pub enum Outlet {
    /// Frame and records are one object.
    Frames(Arc<dyn Log>),
    /// The log lives in another store than the records.
    Objects(Objects),
}

impl Outlet {
    /// Flushes that may be on their way at once.
    pub fn window(&self) -> usize {
        match self {
            Self::Frames(log) => log.window(),
            Self::Objects(objects) => objects.window(),
        }
    }

    /// The number of the first data object; none where records lie in frames.
    pub fn first_object(&self) -> Option<u64> {
        match self {
            Self::Frames(_) => None,
            Self::Objects(objects) => Some(objects.first_number()),
        }
    }

    /// Appends a closed buffer. The order of calls is that of the log.
    pub fn append(&self, sealed: Sealed) -> BoxFuture<'static, Result<Position, AppendError>> {
        match self {
            Self::Frames(log) => log.append(sealed.into_frame()),
            Self::Objects(objects) => objects.append(sealed),
        }
    }

    /// Nothing more is written.
    pub fn stop(&self) {
        if let Self::Objects(objects) = self {
            objects.stop();
        }
    }

    /// What was counted of data objects.
    pub fn figures(&self) -> ObjectFigures {
        match self {
            Self::Frames(_) => ObjectFigures::default(),
            Self::Objects(objects) => objects.figures(),
        }
    }
}
