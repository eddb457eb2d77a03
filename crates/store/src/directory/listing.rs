//! Listing a directory tree in the order of object names, reading only the folders that can matter.
//!
//! A folder's entries are sorted under the key that its names begin with: a file under its name, a folder `x` under `x/`
//! (so `x-1` and `x.1` come before what is in `x`), a number folder under its first number. A number folder is opened when
//! its turn comes and its files join the entries that are left, so that the order is exact whatever else lies beside it.

use std::{collections::BTreeMap, io, path::Path};

use crate::{Listed, name};

use super::{fs::Fs, layout};

/// What is asked for.
pub(crate) struct Query<'a> {
    pub prefix: &'a str,
    pub after: &'a str,
    pub limit: usize,
}

/// Called with each folder before it is read.
pub(crate) type Visit<'a> = &'a dyn Fn(&Path) -> io::Result<()>;

enum Entry {
    File,
    Numbers(String),
    Folder(String),
}

/// Lists what is under `root`.
pub(crate) fn list(fs: &dyn Fs, root: &Path, query: &Query<'_>, visit: Visit<'_>) -> io::Result<Vec<Listed>> {
    let mut walk = Walk { fs, query, visit, found: Vec::new() };
    // The prefix names the folder to start in; one that no object can have finds nothing (and leaves the root no more
    // than an object's name could).
    match query.prefix.rsplit_once('/') {
        None => walk.folder(root, "")?,
        Some((folder, _)) if name::check(folder).is_ok() => walk.folder(&root.join(folder), &format!("{folder}/"))?,
        Some(_) => {}
    }
    Ok(walk.found)
}

struct Walk<'a> {
    fs: &'a dyn Fs,
    query: &'a Query<'a>,
    visit: Visit<'a>,
    found: Vec<Listed>,
}

impl Walk<'_> {
    fn full(&self) -> bool {
        self.found.len() >= self.query.limit
    }

    /// Lists the folder at `path`, whose objects' names begin with `base`.
    fn folder(&mut self, path: &Path, base: &str) -> io::Result<()> {
        if self.full() {
            return Ok(());
        }
        let mut entries = BTreeMap::new();
        for (entry, is_dir) in self.read(path)? {
            if is_dir && let Some(stem) = layout::number_folder(&entry) {
                if self.may_hold(&format!("{base}{stem}")) {
                    entries.insert(format!("{base}{stem}000"), Entry::Numbers(entry));
                }
            } else if name::is_component(&entry) {
                let key = if is_dir { format!("{base}{entry}/") } else { format!("{base}{entry}") };
                if is_dir && self.may_hold(&key) {
                    entries.insert(key, Entry::Folder(entry));
                } else if !is_dir && self.wanted(&key) {
                    entries.insert(key, Entry::File);
                }
            }
        }
        while !self.full()
            && let Some((key, entry)) = entries.pop_first()
        {
            match entry {
                Entry::File => self.file(path, base, key)?,
                Entry::Folder(entry) => self.folder(&path.join(entry), &key)?,
                Entry::Numbers(entry) => {
                    for (number, is_dir) in self.read(&path.join(entry))? {
                        let key = format!("{base}{number}");
                        if !is_dir && layout::is_number(&number) && self.wanted(&key) {
                            entries.insert(key, Entry::File);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, folder: &Path, base: &str, name: String) -> io::Result<()> {
        match self.fs.size(&folder.join(layout::path_of(&name[base.len()..]))) {
            Ok(size) => self.found.push(Listed { name, size }),
            // Deleted since its folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn read(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let missing =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
        match (self.visit)(path).and_then(|()| self.fs.list_dir(path)) {
            Ok(entries) => Ok(entries.into_iter().map(|entry| (entry.name, entry.is_dir)).collect()),
            Err(error) if missing(&error) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn wanted(&self, name: &str) -> bool {
        name.starts_with(self.query.prefix) && name > self.query.after
    }

    /// Whether a name that begins with `start`, and is longer, can be wanted.
    fn may_hold(&self, start: &str) -> bool {
        let Query { prefix, after, .. } = self.query;
        (start.starts_with(prefix) || prefix.starts_with(start)) && (start > *after || after.starts_with(start))
    }
}
