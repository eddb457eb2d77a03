//! A local directory as an object store: what `Ok` says is on the disk.
//!
//! ```text
//! create   +tmp/7  write, flush --link--> log/…/0…042  --flush its folder-->  Ok   (then +tmp/7 is removed)
//! replace  +tmp/8  write, flush -rename-> floor        --flush its folder-->  Ok
//! ```
//!
//! What must hold, and which flush makes it so:
//! - *A name leads to all of its bytes.* The content is flushed before it gets its name: a name is never on the disk
//!   without its content.
//! - *`Ok` survives a power cut.* The folder that holds the name is flushed after the name was given; a folder made on the
//!   way is flushed into its parent before anything in it counts ([`durable`]). These two flushes are all that a create
//!   costs: the second name in `+tmp` is removed unflushed, and leftovers are swept at the next start.
//! - *What was seen stays.* A name that is visible but whose folder is not flushed yet (a create under way or given up by
//!   its caller, or one of a predecessor that was killed) is flushed before a read or a listing shows it.
//! - *One process.* An advisory lock on `+lock` is held for the life of the store, so nobody else creates here.
//!
//! The calls block; [`Blocking`] says where they run. A call whose future is dropped runs to its end all the same.

mod durable;
mod fs;
mod layout;
mod listing;
mod read_only;
mod tree;

#[cfg(feature = "testing")]
mod crash_fs;
#[cfg(test)]
mod tests;

use std::{io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use kafscale_runtime::BoxFuture;

use crate::{Body, CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate};

#[cfg(feature = "testing")]
pub use crash_fs::{CrashFs, Survives};
pub use fs::{DirEntry, Disk, FlushFailed, Fs, LockGuard, NewFile};
pub use read_only::{ReadOnly, ReadOnlyDirectory};
use tree::Tree;

/// A directory that is locked and used as a store.
pub struct DirectoryStore {
    tree: Arc<Tree>,
    blocking: Blocking,
}

/// Where the calls of the file system run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// On tokio's threads for blocking work, one hop per call of the store.
    Threads,
    /// In the caller, which must not mind: the simulation.
    Inline,
}

/// Why a directory cannot be used as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenDirectoryError {
    /// Another process has it, or this one for the second time.
    #[error("the directory {0} is in use by another process (its file '+lock' is locked)")]
    InUse(String),
    /// The file system said no.
    #[error("cannot use the directory {path}: {source}")]
    Io {
        /// Which directory.
        path: String,
        /// What the file system said.
        source: io::Error,
    },
}

impl DirectoryStore {
    /// Makes the directory if it is absent, locks it, and removes what an earlier process left half written.
    pub fn open(root: &Path) -> Result<Self, OpenDirectoryError> {
        let root = std::path::absolute(root)
            .map_err(|source| OpenDirectoryError::Io { path: root.display().to_string(), source })?;
        Self::open_on(Arc::new(Disk), &root, Blocking::Threads)
    }

    /// The same on a given file system; `root` is an absolute path.
    pub fn open_on(fs: Arc<dyn Fs>, root: &Path, blocking: Blocking) -> Result<Self, OpenDirectoryError> {
        Ok(Self { tree: Arc::new(Tree::open(fs, root)?), blocking })
    }

    /// Runs `work`; `None` if the process is going down and it did not run to its end.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Tree) -> T + Send + 'static) -> Option<T> {
        match self.blocking {
            Blocking::Inline => Some(work(&self.tree)),
            Blocking::Threads => {
                let tree = self.tree.clone();
                tokio::task::spawn_blocking(move || work(&tree)).await.ok()
            }
        }
    }
}

const GOING_DOWN: &str = "the process is shutting down";

impl Store for DirectoryStore {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async move {
            let name = name.to_owned();
            let result = self.run(move |tree| tree.create(&name, &body)).await;
            result.unwrap_or_else(|| Err(CreateError::Unknown(GOING_DOWN.to_owned())))
        })
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async move {
            let name = name.to_owned();
            let result = self.run(move |tree| tree.replace(&name, &body)).await;
            result.unwrap_or_else(|| Err(ReplaceError::Unknown(GOING_DOWN.to_owned())))
        })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move {
            let name = name.to_owned();
            let result = self.run(move |tree| tree.get(&name, range)).await;
            result.unwrap_or_else(|| Err(ReadError::Unavailable(GOING_DOWN.to_owned())))
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(async move {
            let (prefix, after) = (prefix.to_owned(), after.to_owned());
            let result = self.run(move |tree| tree.list(&prefix, &after, limit)).await;
            result.unwrap_or_else(|| Err(ReadError::Unavailable(GOING_DOWN.to_owned())))
        })
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async move {
            let names = names.to_vec();
            let result = self.run(move |tree| tree.delete(&names)).await;
            result.unwrap_or_else(|| Err(DeleteError::Unavailable(GOING_DOWN.to_owned())))
        })
    }

    fn date(&self) -> Option<StoreDate> {
        None
    }

    fn facts(&self) -> Facts {
        Facts {
            requests_cost_money: false,
            may_hedge: false,
            exclusive: true,
            create_is_known: true,
            storage_days_min: 0,
            place: 0,
            put_latency_hint: Duration::from_millis(2),
        }
    }
}
