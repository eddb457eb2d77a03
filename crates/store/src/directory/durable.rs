//! Which names are on the disk for certain, and the flushes that make them so.
//!
//! Two sets of this process's knowledge:
//! - *settled* folders: their own name, all folders above, and whatever they held when we first met them are on the disk.
//!   So each folder costs one flush more at its first use, also the ones that a killed predecessor made or filled.
//! - *pending* files: they were given their name, or are about to be, and their folder was not flushed since. A reader that
//!   meets one flushes the folder itself before it believes in the name.
//!
//! After a failed flush the operating system may have thrown the change away and may call the next flush a success. So
//! after one (a full disk excepted, where nothing is thrown away) this store takes no more writes until it is opened anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Mutex, RwLock, RwLockWriteGuard};

use super::fs::{FlushFailed, Fs};

pub(crate) struct Durable {
    fs: Arc<dyn Fs>,
    settled: RwLock<BTreeSet<PathBuf>>,
    /// How many writers work on each name.
    pending: Mutex<BTreeMap<PathBuf, usize>>,
    flush_failed: AtomicBool,
}

impl Durable {
    /// Begins with a flush of `root`, which must exist.
    pub(crate) fn new(fs: Arc<dyn Fs>, root: &Path) -> io::Result<Self> {
        fs.sync_dir(root)?;
        Ok(Self {
            fs,
            settled: RwLock::new(BTreeSet::from([root.to_owned()])),
            pending: Mutex::default(),
            flush_failed: AtomicBool::new(false),
        })
    }

    /// Fails once a flush has failed.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.flush_failed.load(Ordering::Relaxed) {
            let why = "an earlier flush failed, so what is on the disk is uncertain: check the disk and start again";
            return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, why));
        }
        Ok(())
    }

    /// Runs `act` while `folder` exists, is settled, and stays.
    pub(crate) fn within<T>(&self, folder: &Path, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let settled = self.settled.read();
        if settled.contains(folder) {
            return act();
        }
        drop(settled);
        let mut settled = self.settled.write();
        self.settle(&mut settled, folder, true)?;
        let _stays = RwLockWriteGuard::downgrade(settled);
        act()
    }

    /// Settles a folder that is about to be read; `NotFound` if it is absent.
    pub(crate) fn settle_existing(&self, folder: &Path) -> io::Result<()> {
        if self.settled.read().contains(folder) {
            return Ok(());
        }
        self.settle(&mut self.settled.write(), folder, false)
    }

    fn settle(&self, settled: &mut BTreeSet<PathBuf>, folder: &Path, make: bool) -> io::Result<()> {
        if settled.contains(folder) {
            return Ok(());
        }
        let parent = folder.parent().expect("the root is settled from the beginning and every folder lies below it");
        self.settle(settled, parent, make)?;
        let made = make
            && match self.fs.make_dir(folder) {
                Ok(()) => true,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
                Err(error) => return Err(error),
            };
        if !made && self.fs.read(folder, 0, 0).is_ok() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        self.flush(parent)?;
        if !made {
            self.flush(folder)?;
        }
        settled.insert(folder.to_owned());
        Ok(())
    }

    /// Removes a folder if it is empty, unless somebody is about to use it.
    pub(crate) fn remove_if_empty(&self, folder: &Path) {
        let mut settled = self.settled.write();
        if self.fs.remove_dir(folder).is_ok() {
            settled.remove(folder);
        }
    }

    /// Gives a name by `act` and flushes its folder. The outer error means that the name was not given; the inner one that
    /// it was and the flush failed.
    pub(crate) fn name(&self, path: &Path, act: impl FnOnce() -> io::Result<()>) -> io::Result<io::Result<()>> {
        let folder = parent(path);
        *self.pending.lock().entry(path.to_owned()).or_default() += 1;
        let named = self.within(folder, act);
        // Also when the name is taken: by whom we do not know, and that it is taken must be true after a crash as well.
        let flushed = match &named {
            Ok(()) => self.flush_named(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.flush(folder),
            Err(_) => Ok(()),
        };
        if flushed.is_ok() {
            let mut pending = self.pending.lock();
            if let Some(writers) = pending.get_mut(path) {
                *writers -= 1;
                if *writers == 0 {
                    pending.remove(path);
                }
            }
        }
        match named {
            Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => flushed.and(Err(taken)),
            Err(error) => Err(error),
            Ok(()) => Ok(flushed),
        }
    }

    /// Makes sure that a name which was just seen is on the disk.
    pub(crate) fn show(&self, path: &Path) -> io::Result<()> {
        let folder = parent(path);
        self.settle_existing(folder)?;
        if self.pending.lock().contains_key(path) {
            self.flush(folder)?;
        }
        Ok(())
    }

    /// Flushes the names in a folder.
    pub(crate) fn flush(&self, folder: &Path) -> io::Result<()> {
        let flushed = self.fs.sync_dir(folder);
        if let Err(error) = &flushed
            && FlushFailed::is_cause_of(error)
            && !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        {
            self.flush_failed.store(true, Ordering::Relaxed);
        }
        flushed
    }

    fn flush_named(&self, folder: &Path) -> io::Result<()> {
        #[cfg(feature = "planted-bugs")]
        if crate::planted::NO_PARENT_FLUSH.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.flush(folder)
    }
}

/// The folder of an object's file.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().expect("objects lie below the root")
}
