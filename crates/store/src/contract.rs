//! The contract of an object store, in prose and types.

use std::time::Duration;

use bytes::Bytes;
use kafscale_runtime::{BoxFuture, Instant};

use crate::{Body, PaceFigures};

/// An object store under one root (a directory, or a bucket and prefix).
///
/// Names are relative to the root: ASCII letters, digits, `.`, `-`, `_` and `/`, no empty, `.` or `..` component, at most
/// [`NAME_BYTES_MAX`](crate::NAME_BYTES_MAX) bytes, 200 of them in one component. No name is a folder of another (`a` and
/// `a/b`): a directory could not hold both.
///
/// What must always hold:
/// 1. `create` is atomic and write-once: of any number of creates of one absent name at most one succeeds, and a reader
///    sees either nothing or all of its bytes.
/// 2. After `Ok` from `create`, `replace` or `delete` the effect is durable (on a directory: file and parent were fsynced)
///    and visible to every later `get` and `list`.
/// 3. An error that is not `Unknown` means that the call changed nothing and never will. `Unknown` means that it may have
///    taken effect, or may still do so later.
/// 4. One call is one attempt: nothing is repeated inside (but by [`Hedged`](crate::Hedged), which repeats reads).
/// 5. What `get` and `list` show and what `AlreadyExists` speaks of is durable too. So a writer that reads its own bytes
///    back after an unknown outcome may count them as written.
/// 6. Dropping the future of a call leaves its outcome unknown.
pub trait Store: Send + Sync + 'static {
    /// Writes `body` under `name` if there is no object of that name.
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>>;

    /// Writes `body` under `name` whatever is there. For the few names that may change (`cluster.json`, `floor`), and for those
    /// whose bytes are the same whoever writes them, and how often: repeating such a write is safe.
    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>>;

    /// Reads a range of an object. A range that reaches beyond the end is cut there; one that starts at or beyond the end
    /// gives no bytes (not an error).
    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>>;

    /// Up to `limit` objects whose name starts with `prefix` and is greater than `after` (both whole names relative to the
    /// root; `after` may be empty), in ascending order of bytes. Fewer than `limit` means that there are no more.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>>;

    /// Deletes these objects; names without an object are fine.
    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>>;

    /// The store's own clock as its latest answer gave it (S3: the `Date` header), if it has one.
    fn date(&self) -> Option<StoreDate>;

    /// How often the store has asked to be asked less (S3: 503 and 429), and until when it wants to be left alone.
    fn throttled(&self) -> Throttled {
        Throttled::default()
    }

    /// As whom it is asked, for people: a key's id, a role, a file, who gives the keys. Never a secret; nothing where nobody
    /// has to prove who they are.
    fn identity(&self) -> Option<&str> {
        None
    }

    /// How many requests may be sent a second now, where anybody watches that.
    fn pace(&self) -> Option<PaceFigures> {
        None
    }

    /// What callers may assume of this store.
    fn facts(&self) -> Facts;
}

/// Which bytes of an object to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadRange {
    /// The whole object.
    All,
    /// `len` bytes from byte `start`.
    At {
        /// First byte.
        start: u64,
        /// How many bytes at most.
        len: u64,
    },
}

/// One row of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Name relative to the root.
    pub name: String,
    /// Length in bytes.
    pub size: u64,
}

/// A reading of the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreDate {
    /// Unix time in milliseconds (S3 tells whole seconds).
    pub unix_ms: i64,
    /// When the answer that carried it arrived, on the local monotonic clock.
    pub seen_at: Instant,
}

/// What a store has said about being asked too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Throttled {
    /// How often it complained.
    pub times: u64,
    /// Until when it wants to be left alone, if the last complaint said so (`Retry-After`).
    pub until: Option<Instant>,
}

/// What callers may assume of a store: it decides pacing, never correctness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whether each request is billed. Unknown endpoints count as billed.
    pub requests_cost_money: bool,
    /// Whether a slow create may be repeated under its name before the first attempt ended (not on R2, GCS, B2).
    pub may_hedge: bool,
    /// Whether this process alone can write here (a locked directory, memory): then a barrier needs no request.
    pub exclusive: bool,
    /// Whether create-if-absent is vouched for, by the provider's documents or by us. Where it is not, the store is asked
    /// before a log depends on it ([`probe::Trial`](crate::probe::Trial)).
    pub create_is_known: bool,
    /// Days for which an object is billed however early it is deleted.
    pub storage_days_min: u32,
    /// A hash of where it is (host, bucket, prefix), so that what was found out about one store is not believed of another
    /// that holds a copy of it; 0 where nobody asks.
    pub place: u64,
    /// A PUT's usual latency, to begin with; callers measure on.
    pub put_latency_hint: Duration,
}

/// Why a create did not report success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// An object of that name exists: somebody's, or our own from an earlier attempt. Some stores also say so when two
    /// writers collided and neither won (S3's 409), so the object may be absent: read back before believing.
    #[error("an object of this name exists already")]
    AlreadyExists,
    /// It may have taken effect, now or later.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Not applied; a later attempt may succeed (503, 429, no connection).
    #[error("store unavailable: {reason}")]
    Unavailable {
        /// What the store said.
        reason: String,
        /// How long the store asked to wait (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// Not applied; repeating it without a change of keys, permissions, bucket or disk space will not help.
    #[error("refused by the store: {0}")]
    Refused(String),
}

/// Why a replace did not report success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// It may have taken effect, now or later.
    #[error("outcome unknown: {0}")]
    Unknown(String),
    /// Not applied; a later attempt may succeed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// Not applied; repeating it will not help.
    #[error("refused by the store: {0}")]
    Refused(String),
}

/// Why a get or list gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No object of that name (or no such bucket: the text says which).
    #[error("not found: {0}")]
    NotFound(String),
    /// A later attempt may succeed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// Repeating it will not help.
    #[error("refused by the store: {0}")]
    Refused(String),
}

/// Why a delete did not report success: some of the names may be gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// A later attempt may succeed.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// Repeating it will not help.
    #[error("refused by the store: {0}")]
    Refused(String),
}
