//! The store's calls as steps on a file system, blocking.

use std::{
    collections::BTreeSet,
    fmt::Display,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use crate::{Body, CreateError, DeleteError, Listed, ReadError, ReadRange, ReplaceError, name};

use super::{
    OpenDirectoryError,
    durable::{Durable, parent},
    fs::{Fs, LockGuard},
    layout,
    listing::{self, Query},
};

pub(crate) struct Tree {
    fs: Arc<dyn Fs>,
    root: PathBuf,
    durable: Durable,
    next_temporary: AtomicU64,
    _lock: Box<dyn LockGuard>,
}

impl Tree {
    pub(crate) fn open(fs: Arc<dyn Fs>, root: &Path) -> Result<Self, OpenDirectoryError> {
        let failed = |source| OpenDirectoryError::Io { path: root.display().to_string(), source };
        make_root(&*fs, root).map_err(failed)?;
        let lock = fs.lock(&root.join(layout::LOCK)).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => OpenDirectoryError::InUse(root.display().to_string()),
            _ => failed(error),
        })?;
        sweep(&*fs, &root.join(layout::TEMPORARY)).map_err(failed)?;
        let durable = Durable::new(fs.clone(), root).map_err(failed)?;
        Ok(Self { fs, root: root.to_owned(), durable, next_temporary: AtomicU64::new(0), _lock: lock })
    }

    pub(crate) fn create(&self, name: &str, body: &Body) -> Result<(), CreateError> {
        name::check(name).map_err(Fault::refused)?;
        let path = self.path(name);
        let written = self.with_temporary(body, |temporary| {
            let named = self.durable.name(&path, || self.fs.link(temporary, &path));
            match named {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Err(self.why_taken(name, &path))),
                Err(error) => Err(error),
                Ok(flushed) => Ok(flushed.map_err(|error| CreateError::Unknown(error.to_string()))),
            }
        });
        written.map_err(|error| Fault::of(name, &error))?
    }

    fn why_taken(&self, name: &str, path: &Path) -> CreateError {
        match self.fs.read(path, 0, 0) {
            Err(error) if error.kind() == ErrorKind::IsADirectory => {
                CreateError::Refused(format!("{name} is a folder of other objects"))
            }
            _ => CreateError::AlreadyExists,
        }
    }

    pub(crate) fn replace(&self, name: &str, body: &Body) -> Result<(), ReplaceError> {
        name::check(name).map_err(Fault::refused)?;
        let path = self.path(name);
        let written = self.with_temporary(body, |temporary| {
            let named = self.durable.name(&path, || self.fs.rename(temporary, &path))?;
            Ok(named.map_err(|error| ReplaceError::Unknown(error.to_string())))
        });
        written.map_err(|error| Fault::of(name, &error))?
    }

    /// Writes and flushes `body` under a temporary name, lets `act` name it, and removes the temporary name. An error of
    /// `act` itself means that nothing changed.
    fn with_temporary<T>(&self, body: &Body, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
        self.durable.check()?;
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root.join(layout::TEMPORARY).join(number.to_string());
        let mut file = self.fs.create_new(&temporary)?;
        let result = file.write(body.segments()).and_then(|()| file.sync()).and_then(|()| act(&temporary));
        // After a rename it is gone; after a failure the next start tries again.
        let _ = self.fs.remove_file(&temporary);
        result
    }

    pub(crate) fn get(&self, name: &str, range: ReadRange) -> Result<Bytes, ReadError> {
        name::check(name).map_err(Fault::refused)?;
        let path = self.path(name);
        let (start, len) = match range {
            ReadRange::All => (0, u64::MAX),
            ReadRange::At { start, len } => (start, len),
        };
        let read = self.fs.read(&path, start, len).and_then(|bytes| self.durable.show(&path).map(|()| bytes));
        read.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
                ReadError::NotFound(format!("no object {name}"))
            }
            _ => Fault::of(name, &error).into(),
        })
    }

    pub(crate) fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<Listed>, ReadError> {
        let listed = listing::list(&*self.fs, &self.root, &Query { prefix, after, limit }, &|folder| {
            self.durable.settle_existing(folder)
        });
        let listed = listed.and_then(|listed| {
            listed.iter().try_for_each(|row| self.durable.show(&self.path(&row.name)))?;
            Ok(listed)
        });
        listed.map_err(|error| Fault::of(prefix, &error).into())
    }

    pub(crate) fn delete(&self, names: &[String]) -> Result<(), DeleteError> {
        for name in names {
            name::check(name).map_err(Fault::refused)?;
        }
        self.durable.check().map_err(|error| Fault::of("objects", &error))?;
        let mut folders = BTreeSet::new();
        let mut failed = None;
        for name in names {
            let path = self.path(name);
            match self.fs.remove_file(&path) {
                // An absent name may have been removed just now by a call that has not flushed yet.
                Ok(()) => drop(folders.insert(parent(&path).to_owned())),
                Err(error) if is_absence(&error) => drop(folders.insert(parent(&path).to_owned())),
                Err(error) => drop(failed.get_or_insert(Fault::of(name, &error))),
            }
        }
        for folder in &folders {
            if let Err(error) = self.durable.flush(folder)
                && !is_absence(&error)
            {
                failed.get_or_insert(Fault::of(&folder.display().to_string(), &error));
            }
            if folder.file_name().and_then(|name| name.to_str()).and_then(layout::number_folder).is_some() {
                self.durable.remove_if_empty(folder);
            }
        }
        failed.map_or(Ok(()), |fault| Err(fault.into()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(layout::path_of(name))
    }
}

/// Makes the root and what is missing above it, and flushes each name that leads to it: an earlier process may have made
/// them and been killed. Folders that were there all along may be closed to us, so only the flush of a new one must work.
fn make_root(fs: &dyn Fs, root: &Path) -> io::Result<()> {
    let above = root.parent().filter(|parent| !parent.as_os_str().is_empty());
    let made = match fs.make_dir(root) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) if error.kind() == ErrorKind::NotFound && above.is_some() => {
            above.map_or(Ok(()), |above| make_root(fs, above))?;
            fs.make_dir(root)?;
            true
        }
        Err(error) => return Err(error),
    };
    for ancestor in root.ancestors().skip(1).filter(|ancestor| !ancestor.as_os_str().is_empty()) {
        let flushed = fs.sync_dir(ancestor);
        if made && Some(ancestor) == above {
            flushed?;
        }
    }
    Ok(())
}

/// Makes the folder of temporary files, or empties it.
fn sweep(fs: &dyn Fs, temporary: &Path) -> io::Result<()> {
    match fs.make_dir(temporary) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        other => return other,
    }
    fs.list_dir(temporary)?.iter().try_for_each(|left| fs.remove_file(&temporary.join(&left.name)))
}

fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// A call that changed nothing.
enum Fault {
    Unavailable(String),
    Refused(String),
}

impl Fault {
    fn refused(why: impl Display) -> Self {
        Self::Refused(why.to_string())
    }

    /// What waiting cannot cure is refused: permissions, a read-only or unsuitable file system. All else may pass: a full
    /// disk, too many open files, an I/O error (a repeat writes to a fresh file).
    fn of(what: &str, error: &io::Error) -> Self {
        let text = format!("{what}: {error}");
        match error.kind() {
            ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidFilename
            | ErrorKind::InvalidInput
            | ErrorKind::CrossesDevices
            | ErrorKind::Unsupported => Self::Refused(text),
            _ => Self::Unavailable(text),
        }
    }
}

impl From<Fault> for CreateError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable(reason) => Self::Unavailable { reason, retry_after: None },
            Fault::Refused(why) => Self::Refused(why),
        }
    }
}

impl From<Fault> for ReplaceError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable(why) => Self::Unavailable(why),
            Fault::Refused(why) => Self::Refused(why),
        }
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable(why) => Self::Unavailable(why),
            Fault::Refused(why) => Self::Refused(why),
        }
    }
}

impl From<Fault> for DeleteError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unavailable(why) => Self::Unavailable(why),
            Fault::Refused(why) => Self::Refused(why),
        }
    }
}
