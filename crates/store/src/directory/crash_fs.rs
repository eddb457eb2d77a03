//! A file system in memory that loses power.
//!
//! Every file has two contents and every folder two sets of names: what a running process sees, and what was flushed. A
//! reboot keeps the flushed side and, as [`Survives`] says, nothing, all or a random part of the rest: unflushed names come
//! or go one by one, unflushed content is cut or holed. That is more than most real file systems do to their users, and
//! what the standards allow.
//!
//! Power fails at a chosen step (a step is a call that changes or flushes something): that call may take half effect, it
//! and all later ones fail, and handles from before the [`reboot`](CrashFs::reboot) stay dead.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::fs::{DirEntry, FlushFailed, Fs, LockGuard, NewFile};

/// A handle for one life of the machine, between two reboots. Clones share the disk.
#[derive(Debug, Clone)]
pub struct CrashFs {
    machine: Arc<Mutex<Machine>>,
    life: u64,
}

/// What a reboot keeps of the changes that were not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// Nothing.
    OnlyFlushed,
    /// All of it.
    Everything,
    /// A part that this seed decides.
    Some(u64),
}

#[derive(Debug)]
struct Machine {
    nodes: BTreeMap<u64, Node>,
    next_node: u64,
    life: u64,
    steps: u64,
    power_fails_at: Option<u64>,
    failing: Option<io::ErrorKind>,
    failing_flushes: Option<io::ErrorKind>,
    locked: BTreeSet<u64>,
}

#[derive(Debug)]
enum Node {
    File { content: Vec<u8>, flushed: Vec<u8> },
    Dir { names: BTreeMap<String, u64>, flushed: BTreeMap<String, u64> },
}

const ROOT: u64 = 0;

impl Default for CrashFs {
    fn default() -> Self {
        Self::new()
    }
}

impl CrashFs {
    /// An empty disk; its only folder is `/`.
    pub fn new() -> Self {
        let root = Node::Dir { names: BTreeMap::new(), flushed: BTreeMap::new() };
        let machine = Machine {
            nodes: BTreeMap::from([(ROOT, root)]),
            next_node: 1,
            life: 0,
            steps: 0,
            power_fails_at: None,
            failing: None,
            failing_flushes: None,
            locked: BTreeSet::new(),
        };
        Self { machine: Arc::new(Mutex::new(machine)), life: 0 }
    }

    /// Steps taken in all lives.
    pub fn steps(&self) -> u64 {
        self.machine.lock().steps
    }

    /// Lets the power fail in step number `step` (the first step ever is 1).
    pub fn fail_power_at(&self, step: u64) {
        self.machine.lock().power_fails_at = Some(step);
    }

    /// Lets every step fail with this error, without effect, until it is set to `None`.
    pub fn fail_steps(&self, error: Option<io::ErrorKind>) {
        self.machine.lock().failing = error;
    }

    /// Lets every flush of a folder fail with this error, without effect, until it is set to `None`.
    pub fn fail_folder_flushes(&self, error: Option<io::ErrorKind>) {
        self.machine.lock().failing_flushes = error;
    }

    /// Cuts the power if it is still on, and starts the machine again.
    pub fn reboot(&self, survives: Survives) -> Self {
        let mut machine = self.machine.lock();
        let mut coins = Coins(match survives {
            Survives::Some(seed) => seed,
            _ => 0,
        });
        for node in machine.nodes.values_mut() {
            node.settle(survives, &mut coins);
        }
        machine.locked.clear();
        machine.power_fails_at = None;
        machine.failing = None;
        machine.failing_flushes = None;
        machine.life += 1;
        Self { machine: self.machine.clone(), life: machine.life }
    }

    /// Number of files on the disk, with all that belongs to the store itself.
    pub fn files(&self) -> usize {
        let machine = self.machine.lock();
        let count = |node: &Node| match node {
            Node::File { .. } => 0,
            Node::Dir { names, .. } => {
                names.values().filter(|id| matches!(machine.nodes.get(id), Some(Node::File { .. }))).count()
            }
        };
        machine.nodes.values().map(count).sum()
    }

    fn running(&self) -> io::Result<parking_lot::MutexGuard<'_, Machine>> {
        let machine = self.machine.lock();
        let off = machine.power_fails_at.is_some_and(|at| machine.steps >= at);
        if off || machine.life != self.life { Err(power_failed()) } else { Ok(machine) }
    }

    /// Takes a step; the flag says whether the power fails in it.
    fn step(&self) -> io::Result<(parking_lot::MutexGuard<'_, Machine>, bool)> {
        let mut machine = self.running()?;
        if let Some(error) = machine.failing {
            return Err(error.into());
        }
        machine.steps += 1;
        let fails = machine.power_fails_at == Some(machine.steps);
        Ok((machine, fails))
    }

    /// A step that happens wholly, or, if the power fails in it, not at all.
    fn whole_step<T>(&self, act: impl FnOnce(&mut Machine) -> io::Result<T>) -> io::Result<T> {
        let (mut machine, fails) = self.step()?;
        if fails { Err(power_failed()) } else { act(&mut machine) }
    }
}

fn power_failed() -> io::Error {
    io::Error::other("the power is off")
}

impl Fs for CrashFs {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let node =
            self.whole_step(|machine| machine.add(path, Node::File { content: Vec::new(), flushed: Vec::new() }))?;
        Ok(Box::new(OpenFile { fs: self.clone(), node }))
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole_step(|machine| {
            let node = machine.find(from)?;
            machine.insert(to, node)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole_step(|machine| {
            let node = machine.find(from)?;
            if machine.find(to).is_ok_and(|there| matches!(machine.nodes[&there], Node::Dir { .. })) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let (folder, name) = machine.place(to)?;
            machine.names(folder)?.insert(name, node);
            machine.remove(from)
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.whole_step(|machine| {
            let node = machine.find(path)?;
            match machine.nodes[&node] {
                Node::Dir { .. } => Err(io::ErrorKind::IsADirectory.into()),
                Node::File { .. } => machine.remove(path),
            }
        })
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let dir = Node::Dir { names: BTreeMap::new(), flushed: BTreeMap::new() };
        self.whole_step(|machine| machine.add(path, dir).map(drop))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.whole_step(|machine| {
            let node = machine.find(path)?;
            if !machine.names(node)?.is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            machine.remove(path)
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let act = |machine: &mut Machine| {
            let node = machine.find(path)?;
            if let Some(error) = machine.failing_flushes {
                return Err(FlushFailed::wrap(error.into()));
            }
            match machine.nodes.get_mut(&node) {
                Some(Node::Dir { names, flushed }) => flushed.clone_from(names),
                _ => return Err(io::ErrorKind::NotADirectory.into()),
            }
            Ok(())
        };
        self.whole_step(act)
    }

    fn read(&self, path: &Path, start: u64, len: u64) -> io::Result<Bytes> {
        let machine = self.running()?;
        match &machine.nodes[&machine.find(path)?] {
            Node::Dir { .. } => Err(io::ErrorKind::IsADirectory.into()),
            Node::File { content, .. } => {
                let end = start.saturating_add(len).min(content.len() as u64) as usize;
                Ok(Bytes::copy_from_slice(content.get(start as usize..end).unwrap_or_default()))
            }
        }
    }

    fn list_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let machine = self.running()?;
        let Node::Dir { names, .. } = &machine.nodes[&machine.find(path)?] else {
            return Err(io::ErrorKind::NotADirectory.into());
        };
        let is_dir = |node| matches!(machine.nodes[node], Node::Dir { .. });
        Ok(names.iter().map(|(name, node)| DirEntry { name: name.clone(), is_dir: is_dir(node) }).collect())
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        self.read(path, 0, u64::MAX).map(|bytes| bytes.len() as u64)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        if self.running()?.find(path).is_err() {
            self.create_new(path)?;
        }
        let mut machine = self.running()?;
        let node = machine.find(path)?;
        if !machine.locked.insert(node) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Locked { fs: self.clone(), node }))
    }
}

struct OpenFile {
    fs: CrashFs,
    node: u64,
}

impl NewFile for OpenFile {
    fn write(&mut self, segments: &[Bytes]) -> io::Result<()> {
        let (mut machine, fails) = self.fs.step()?;
        let written = if fails { segments.len() / 2 } else { segments.len() };
        if let Some(Node::File { content, .. }) = machine.nodes.get_mut(&self.node) {
            segments[..written].iter().for_each(|segment| content.extend_from_slice(segment));
        }
        if fails { Err(power_failed()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.fs.whole_step(|machine| {
            if let Some(Node::File { content, flushed }) = machine.nodes.get_mut(&self.node) {
                flushed.clone_from(content);
            }
            Ok(())
        })
    }
}

struct Locked {
    fs: CrashFs,
    node: u64,
}

impl LockGuard for Locked {}

impl Drop for Locked {
    fn drop(&mut self) {
        let mut machine = self.fs.machine.lock();
        if machine.life == self.fs.life {
            machine.locked.remove(&self.node);
        }
    }
}

impl Machine {
    fn find(&self, path: &Path) -> io::Result<u64> {
        let mut node = ROOT;
        for component in components(path)? {
            let Node::Dir { names, .. } = &self.nodes[&node] else {
                return Err(io::ErrorKind::NotADirectory.into());
            };
            node = *names.get(component).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(node)
    }

    /// The folder that has, or would have, the last name of `path`, and that name.
    fn place(&self, path: &Path) -> io::Result<(u64, String)> {
        let (last, folder) = (path.file_name(), path.parent());
        let (Some(last), Some(folder)) = (last.and_then(|name| name.to_str()), folder) else {
            return Err(io::ErrorKind::AlreadyExists.into());
        };
        Ok((self.find(folder)?, last.to_owned()))
    }

    fn names(&mut self, folder: u64) -> io::Result<&mut BTreeMap<String, u64>> {
        match self.nodes.get_mut(&folder) {
            Some(Node::Dir { names, .. }) => Ok(names),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn insert(&mut self, path: &Path, node: u64) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        let names = self.names(folder)?;
        if names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        names.insert(name, node);
        Ok(())
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<u64> {
        let id = self.next_node;
        self.insert(path, id)?;
        self.nodes.insert(id, node);
        self.next_node += 1;
        Ok(id)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (folder, name) = self.place(path)?;
        self.names(folder)?.remove(&name);
        Ok(())
    }
}

impl Node {
    fn settle(&mut self, survives: Survives, coins: &mut Coins) {
        match (self, survives) {
            (Self::File { content, flushed }, Survives::OnlyFlushed) => content.clone_from(flushed),
            (Self::Dir { names, flushed }, Survives::OnlyFlushed) => names.clone_from(flushed),
            (Self::File { content, flushed }, Survives::Everything) => flushed.clone_from(content),
            (Self::Dir { names, flushed }, Survives::Everything) => flushed.clone_from(names),
            (Self::File { content, flushed }, Survives::Some(_)) => {
                if content != flushed {
                    content.truncate(coins.below(content.len() as u64 + 1) as usize);
                    let hole = coins.below(content.len() as u64 + 1) as usize;
                    content[hole..].fill(0);
                    flushed.clone_from(content);
                }
            }
            (Self::Dir { names, flushed }, Survives::Some(_)) => {
                let all: BTreeSet<_> = names.keys().chain(flushed.keys()).cloned().collect();
                for name in all {
                    let kept = if coins.below(2) == 0 { names.get(&name) } else { flushed.get(&name) };
                    match kept.copied() {
                        Some(node) => drop(flushed.insert(name, node)),
                        None => drop(flushed.remove(&name)),
                    }
                }
                names.clone_from(flushed);
            }
        }
    }
}

fn components(path: &Path) -> io::Result<Vec<&str>> {
    let relative = path.strip_prefix("/").map_err(|_| io::ErrorKind::InvalidInput)?;
    relative.iter().map(|component| component.to_str().ok_or(io::ErrorKind::InvalidInput.into())).collect()
}

/// A sequence of numbers that the seed fixes (splitmix64).
struct Coins(u64);

impl Coins {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}
