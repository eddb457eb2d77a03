//! The few calls of a file system that the directory store makes.
//!
//! They are a seam so that tests and the simulation can take the power away between any two of them: [`Disk`] is the
//! operating system's file system, `CrashFs` one in memory that forgets at a crash whatever was not flushed. All calls
//! block. Paths are whole paths, under the root that the store was opened with.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Read, Seek, SeekFrom, Write},
    path::Path,
};

use bytes::Bytes;

/// A file system. Errors are those of `std::fs`; the store tells them apart by their kind.
pub trait Fs: Send + Sync + 'static {
    /// Creates an empty file; `AlreadyExists` if there is anything of that name.
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;

    /// Gives a file a second name, atomically; `AlreadyExists` if there is anything of that name.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Moves a file over whatever file has the name, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes one name of a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes a folder; `AlreadyExists` if there is anything of that name.
    fn make_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Flushes the names in a folder: which there are, and what they lead to. If the flush itself fails (and not already
    /// the opening), the error carries [`FlushFailed`].
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Reads up to `len` bytes from `start`, fewer at the end; `IsADirectory` for a folder.
    fn read(&self, path: &Path, start: u64, len: u64) -> io::Result<Bytes>;

    /// What a folder holds, in any order.
    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;

    /// Length of a file.
    fn size(&self, path: &Path) -> io::Result<u64>;

    /// Takes the advisory lock of this file, made if absent, until the guard is dropped; `WouldBlock` if it is taken.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
}

/// A file that was just created.
pub trait NewFile {
    /// Appends these segments.
    fn write(&mut self, segments: &[Bytes]) -> io::Result<()>;

    /// Flushes the content and the length.
    fn sync(&mut self) -> io::Result<()>;
}

/// Holds a lock until it is dropped.
pub trait LockGuard: Send + Sync {}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name; names that are not UTF-8 are left out of a listing.
    pub name: String,
    /// Whether it is a folder.
    pub is_dir: bool,
}

/// The operating system tried to flush and failed: it may have thrown the change away.
#[derive(Debug, thiserror::Error)]
#[error("the flush failed: {0}")]
pub struct FlushFailed(io::Error);

impl FlushFailed {
    /// An error of the same kind that carries the mark.
    pub fn wrap(error: io::Error) -> io::Error {
        io::Error::new(error.kind(), Self(error))
    }

    pub(crate) fn is_cause_of(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Fs for Disk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(OpenOptions::new().write(true).create_new(true).open(path)?))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all().map_err(FlushFailed::wrap)
    }

    fn read(&self, path: &Path, start: u64, len: u64) -> io::Result<Bytes> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let len = metadata.len().saturating_sub(start).min(len);
        let mut bytes = Vec::with_capacity(usize::try_from(len).map_err(|_| io::ErrorKind::OutOfMemory)?);
        if len > 0 {
            if start > 0 {
                file.seek(SeekFrom::Start(start))?;
            }
            file.take(len).read_to_end(&mut bytes)?;
        }
        Ok(bytes.into())
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, is_dir: entry.file_type()?.is_dir() });
            }
        }
        Ok(entries)
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.len())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            fs::TryLockError::Error(error) => error,
        })?;
        Ok(Box::new(file))
    }
}

impl LockGuard for File {}

impl NewFile for File {
    fn write(&mut self, segments: &[Bytes]) -> io::Result<()> {
        // More than the operating system takes in one call would be an error there.
        const AT_ONCE: usize = 512;
        for some in segments.chunks(AT_ONCE) {
            let mut slices: Vec<_> =
                some.iter().filter(|s| !s.is_empty()).map(|segment| IoSlice::new(segment)).collect();
            let mut rest = slices.as_mut_slice();
            while !rest.is_empty() {
                match self.write_vectored(rest) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => IoSlice::advance_slices(&mut rest, written),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        // Content and length are all that a reader needs; times may be lost.
        self.sync_data()
    }
}
