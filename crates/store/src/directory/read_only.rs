//! A directory that is only looked at: no lock, no sweep, no flush, so it may be read beside the process that has it.
//!
//! What such a reader sees may not be on the disk yet. It acknowledges nothing to anybody, so that does no harm.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use kafscale_runtime::BoxFuture;

use super::{
    Disk, Fs, OpenDirectoryError, layout,
    listing::{self, Query},
};
use crate::{
    Body, CreateError, DeleteError, Facts, Listed, ReadError, ReadRange, ReplaceError, Store, StoreDate, name,
};

const READ_ONLY: &str = "the store was opened to be read only";

/// See the module.
pub struct ReadOnlyDirectory {
    root: PathBuf,
}

impl ReadOnlyDirectory {
    /// Looks at a directory that exists.
    pub fn open(root: &Path) -> Result<Self, OpenDirectoryError> {
        let failed = |source| OpenDirectoryError::Io { path: root.display().to_string(), source };
        let root = std::path::absolute(root).map_err(failed)?;
        Disk.list_dir(&root).map_err(failed)?;
        Ok(Self { root })
    }
}

async fn blocking<T: Send + 'static>(
    what: String,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ReadError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| ReadError::Unavailable("the process is shutting down".to_owned()))?;
    done.map_err(|error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            ReadError::NotFound(format!("no object {what}"))
        }
        ErrorKind::PermissionDenied => ReadError::Refused(format!("{what}: {error}")),
        _ => ReadError::Unavailable(format!("{what}: {error}")),
    })
}

impl Store for ReadOnlyDirectory {
    fn create<'a>(&'a self, _: &'a str, _: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async { Err(CreateError::Refused(READ_ONLY.to_owned())) })
    }

    fn replace<'a>(&'a self, _: &'a str, _: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async { Err(ReplaceError::Refused(READ_ONLY.to_owned())) })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move {
            name::check(name).map_err(|error| ReadError::Refused(error.to_string()))?;
            let path = self.root.join(layout::path_of(name));
            let (start, len) = match range {
                ReadRange::All => (0, u64::MAX),
                ReadRange::At { start, len } => (start, len),
            };
            blocking(name.to_owned(), move || Disk.read(&path, start, len)).await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        Box::pin(async move {
            let (root, prefix, after) = (self.root.clone(), prefix.to_owned(), after.to_owned());
            blocking(prefix.clone(), move || {
                listing::list(&Disk, &root, &Query { prefix: &prefix, after: &after, limit }, &|_| Ok(()))
            })
            .await
        })
    }

    fn delete<'a>(&'a self, _: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async { Err(DeleteError::Refused(READ_ONLY.to_owned())) })
    }

    fn date(&self) -> Option<StoreDate> {
        None
    }

    fn facts(&self) -> Facts {
        Facts {
            requests_cost_money: false,
            may_hedge: false,
            exclusive: false,
            create_is_known: true,
            storage_days_min: 0,
            place: 0,
            put_latency_hint: Duration::from_millis(2),
        }
    }
}

/// Lets reads through to another store, and nothing else.
pub struct ReadOnly(pub Arc<dyn Store>);

impl Store for ReadOnly {
    fn create<'a>(&'a self, _: &'a str, _: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        Box::pin(async { Err(CreateError::Refused(READ_ONLY.to_owned())) })
    }

    fn replace<'a>(&'a self, _: &'a str, _: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        Box::pin(async { Err(ReplaceError::Refused(READ_ONLY.to_owned())) })
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        self.0.get(name, range)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        self.0.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, _: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        Box::pin(async { Err(DeleteError::Refused(READ_ONLY.to_owned())) })
    }

    fn date(&self) -> Option<StoreDate> {
        self.0.date()
    }

    fn facts(&self) -> Facts {
        self.0.facts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DirectoryStore;

    #[tokio::test]
    async fn it_reads_beside_the_process_that_has_the_directory() {
        let directory = tempfile::tempdir().expect("a directory");
        let owner = DirectoryStore::open(directory.path()).expect("it is free");
        let name = "log/00000000000000000001/00000000000000000007";
        owner.create(name, Bytes::from_static(b"frame").into()).await.expect("it is new");

        let reader = ReadOnlyDirectory::open(directory.path()).expect("nobody is asked");
        assert_eq!(reader.get(name, ReadRange::At { start: 1, len: 3 }).await, Ok(Bytes::from_static(b"ram")));
        let listed = reader.list("log/", "", 10).await.expect("it is readable");
        assert_eq!(listed, [Listed { name: name.to_owned(), size: 5 }]);
        assert!(matches!(reader.get("log/none", ReadRange::All).await, Err(ReadError::NotFound(_))));
        assert!(matches!(reader.get("../x", ReadRange::All).await, Err(ReadError::Refused(_))));
        let refused = reader.create("floor", Bytes::new().into()).await;
        assert!(matches!(refused, Err(CreateError::Refused(_))));
        assert!(matches!(reader.delete(&[name.to_owned()]).await, Err(DeleteError::Refused(_))));
        assert!(ReadOnlyDirectory::open(&directory.path().join("none")).is_err());
    }
}
