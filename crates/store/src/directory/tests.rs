use std::{collections::BTreeMap, io::ErrorKind, path::Path, sync::Arc};

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{Body, CreateError, DirectoryStore, MemoryStore, ReadError, ReadRange, ReplaceError, Store, conformance};

use super::{Blocking, CrashFs, OpenDirectoryError, Survives};

const ROOT: &str = "/srv/kafscale/data";

fn open(fs: &CrashFs) -> Result<DirectoryStore, OpenDirectoryError> {
    DirectoryStore::open_on(Arc::new(fs.clone()), Path::new(ROOT), Blocking::Inline)
}

fn number(position: u64) -> String {
    format!("log/{:020}/{position:020}", 1)
}

fn body(text: &str) -> Body {
    let (head, tail) = text.split_at(text.len() / 2);
    Body::new(vec![Bytes::copy_from_slice(head.as_bytes()), Bytes::copy_from_slice(tail.as_bytes())])
}

async fn read(store: &DirectoryStore, name: &str) -> Option<String> {
    match store.get(name, ReadRange::All).await {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Err(ReadError::NotFound(_)) => None,
        Err(error) => panic!("{name}: {error}"),
    }
}

#[tokio::test]
async fn a_directory_in_memory_conforms() {
    conformance::run(&open(&CrashFs::new()).unwrap(), "suite").await;
}

#[tokio::test]
async fn a_directory_on_disk_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(&folder.path().join("not/there/yet")).unwrap();
    conformance::run(&store, "suite").await;
}

/// What a process did before the power failed: for each name the contents it may have now (`None`: absent).
#[derive(Default)]
struct History {
    allowed: BTreeMap<String, Vec<Option<String>>>,
}

impl History {
    /// Writes until the power fails: names over a folder's border, a few beside, one that changes, a deletion.
    async fn write(&mut self, store: &DirectoryStore) -> Result<(), ()> {
        for position in 998..1_003 {
            self.create(store, &number(position)).await?;
        }
        self.create(store, "data/c/1").await?;
        self.replace(store, "first").await?;
        self.replace(store, "second").await?;
        self.delete(store, vec![number(998), number(999), "data/c/1".to_owned()]).await?;
        self.create(store, "data/c/2").await?;
        self.create(store, &number(1)).await
    }

    fn begin(&mut self, name: &str, then: Option<String>) {
        self.allowed.entry(name.to_owned()).or_insert_with(|| vec![None]).push(then);
    }

    fn acknowledge(&mut self, name: &str) {
        let contents = self.allowed.get_mut(name).unwrap();
        contents.drain(..contents.len() - 1);
    }

    async fn create(&mut self, store: &DirectoryStore, name: &str) -> Result<(), ()> {
        let text = format!("what is in {name}");
        self.begin(name, Some(text.clone()));
        store.create(name, body(&text)).await.map_err(drop)?;
        self.acknowledge(name);
        Ok(())
    }

    async fn replace(&mut self, store: &DirectoryStore, text: &str) -> Result<(), ()> {
        self.begin("floor", Some(text.to_owned()));
        store.replace("floor", body(text)).await.map_err(drop)?;
        self.acknowledge("floor");
        Ok(())
    }

    async fn delete(&mut self, store: &DirectoryStore, names: Vec<String>) -> Result<(), ()> {
        names.iter().for_each(|name| self.begin(name, None));
        store.delete(&names).await.map_err(drop)?;
        names.iter().for_each(|name| self.acknowledge(name));
        Ok(())
    }

    async fn check(&self, fs: &CrashFs, when: &str) {
        let store = open(fs).unwrap();
        let mut there = Vec::new();
        for (name, allowed) in &self.allowed {
            let now = read(&store, name).await;
            assert!(allowed.contains(&now), "{when}: {name} is {now:?}, not one of {allowed:?}");
            there.extend(now.map(|_| name.clone()));
        }
        let listed: Vec<_> = store.list("", "", 100).await.unwrap().into_iter().map(|row| row.name).collect();
        assert_eq!(listed, there, "{when}: the listing shows what can be read");
        assert_eq!(fs.files(), there.len() + 1, "{when}: nothing but the objects and the lock is left");
        store.create("after", body("the crash")).await.unwrap();
        drop(store);
        let store = open(&fs.reboot(Survives::OnlyFlushed)).unwrap();
        for name in there.iter().map(String::as_str).chain(["after"]) {
            assert!(read(&store, name).await.is_some(), "{when}: {name} was seen and is gone after the next crash");
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_at_any_step() {
    let ways = [Survives::OnlyFlushed, Survives::Everything].into_iter().chain((0..6).map(Survives::Some));
    for survives in ways {
        let mut step = 1;
        loop {
            let fs = CrashFs::new();
            fs.fail_power_at(step);
            let mut history = History::default();
            let finished = match open(&fs) {
                Ok(store) => history.write(&store).await.is_ok(),
                Err(_) => false,
            };
            history.check(&fs.reboot(survives), &format!("power cut in step {step}, {survives:?} survives")).await;
            if finished {
                break;
            }
            step += 1;
        }
        assert!(step > 60, "the power was cut in each of the {step} steps");
    }
}

#[tokio::test]
async fn a_name_that_was_seen_is_flushed_before() {
    for seen_by_successor in [false, true] {
        for listed in [false, true] {
            let fs = CrashFs::new();
            let mut store = open(&fs).unwrap();
            store.create(&number(1), body("one")).await.unwrap();
            fs.fail_folder_flushes(Some(ErrorKind::StorageFull));
            let unknown = store.create(&number(2), body("two")).await;
            assert!(matches!(unknown, Err(CreateError::Unknown(_))), "{unknown:?}");
            fs.fail_folder_flushes(None);
            if seen_by_successor {
                drop(store);
                store = open(&fs).unwrap();
            }
            if listed {
                assert_eq!(store.list("log/", "", 10).await.unwrap().len(), 2);
            } else {
                assert_eq!(read(&store, &number(2)).await.as_deref(), Some("two"));
            }
            drop(store);
            let store = open(&fs.reboot(Survives::OnlyFlushed)).unwrap();
            assert_eq!(read(&store, &number(2)).await.as_deref(), Some("two"), "{seen_by_successor} {listed}");
        }
    }
}

#[tokio::test]
async fn a_name_that_is_called_taken_is_flushed_before() {
    let fs = CrashFs::new();
    let store = open(&fs).unwrap();
    store.create(&number(1), body("one")).await.unwrap();
    fs.fail_folder_flushes(Some(ErrorKind::StorageFull));
    assert!(matches!(store.create(&number(2), body("two")).await, Err(CreateError::Unknown(_))));
    assert!(matches!(store.create(&number(2), body("two")).await, Err(CreateError::Unavailable { .. })));
    fs.fail_folder_flushes(None);
    assert_eq!(store.create(&number(2), body("two")).await, Err(CreateError::AlreadyExists));
    let store = open(&fs.reboot(Survives::OnlyFlushed)).unwrap();
    assert_eq!(read(&store, &number(2)).await.as_deref(), Some("two"));
}

#[tokio::test]
async fn after_a_failed_flush_nothing_more_is_written() {
    let fs = CrashFs::new();
    let store = open(&fs).unwrap();
    store.create("a", body("a")).await.unwrap();
    fs.fail_folder_flushes(Some(ErrorKind::Other));
    assert!(matches!(store.create("b", body("b")).await, Err(CreateError::Unknown(_))));
    fs.fail_folder_flushes(None);
    assert!(matches!(store.create("c", body("c")).await, Err(CreateError::Refused(_))));
    assert!(matches!(store.replace("c", body("c")).await, Err(ReplaceError::Refused(_))));
    assert_eq!(read(&store, "a").await.as_deref(), Some("a"), "reading goes on");
    drop(store);
    open(&fs).unwrap().create("c", body("c")).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_passing_and_leaves_nothing() {
    let fs = CrashFs::new();
    let store = open(&fs).unwrap();
    store.create(&number(1), body("one")).await.unwrap();
    let files = fs.files();
    fs.fail_steps(Some(ErrorKind::StorageFull));
    for name in [number(2), number(1_000)] {
        let full = store.create(&name, body("two")).await;
        assert!(matches!(full, Err(CreateError::Unavailable { retry_after: None, .. })), "{full:?}");
    }
    assert!(matches!(store.replace("floor", body("x")).await, Err(ReplaceError::Unavailable(_))));
    fs.fail_steps(None);
    assert_eq!(fs.files(), files);
    for name in [number(2), number(1_000)] {
        store.create(&name, body("two")).await.unwrap();
    }
}

#[tokio::test]
async fn missing_permission_is_refused() {
    let fs = CrashFs::new();
    let store = open(&fs).unwrap();
    fs.fail_steps(Some(ErrorKind::PermissionDenied));
    assert!(matches!(store.create("a", body("a")).await, Err(CreateError::Refused(_))));
}

#[tokio::test]
async fn a_second_opener_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let second = DirectoryStore::open(folder.path()).err().unwrap();
    assert!(matches!(second, OpenDirectoryError::InUse(_)) && second.to_string().contains("in use"), "{second}");
    drop(store);
    DirectoryStore::open(folder.path()).unwrap();
}

#[tokio::test]
async fn a_file_in_place_of_the_directory_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, "x").unwrap();
    assert!(matches!(DirectoryStore::open(&path), Err(OpenDirectoryError::Io { .. })));
}

#[tokio::test]
async fn leftovers_are_swept_and_foreign_files_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    store.create(&number(5), body("five")).await.unwrap();
    drop(store);
    std::fs::write(folder.path().join("+tmp/7"), "half").unwrap();
    std::fs::write(folder.path().join("not an object"), "x").unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("+tmp")).unwrap().count(), 0);
    assert!(folder.path().join("not an object").exists());
    assert_eq!(store.list("", "", 10).await.unwrap().len(), 1);
    let path = format!("log/{:020}/{:020}+/{:020}", 1, 0, 5);
    assert_eq!(std::fs::read(folder.path().join(path)).unwrap(), b"five");
}

#[tokio::test]
async fn emptied_number_folders_go_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = DirectoryStore::open(folder.path()).unwrap();
    let path = folder.path().join(format!("log/{:020}/{:020}+", 1, 0));
    store.create(&number(1), body("one")).await.unwrap();
    assert!(path.exists());
    store.delete(&[number(1)]).await.unwrap();
    assert!(!path.exists(), "an empty folder costs every later listing");
    store.create(&number(1), body("two")).await.unwrap();
    assert_eq!(read(&store, &number(1)).await.as_deref(), Some("two"));
}

#[tokio::test]
async fn a_name_and_a_folder_do_not_mix() {
    let store = open(&CrashFs::new()).unwrap();
    store.create("a/b", body("x")).await.unwrap();
    assert!(matches!(store.create("a", body("x")).await, Err(CreateError::Refused(_))));
    assert!(matches!(store.create("a/b/c", body("x")).await, Err(CreateError::Refused(_))));
    assert!(matches!(store.replace("a", body("x")).await, Err(ReplaceError::Refused(_))));
    store.delete(&["a".to_owned(), "a/b/c".to_owned()]).await.unwrap();
    assert_eq!(read(&store, "a/b").await.as_deref(), Some("x"));
}

/// Names whose order on a disk is easily got wrong: folders beside files that begin alike, numbers and their neighbours.
fn any_name() -> impl Strategy<Value = String> {
    let numbers = [999, 1_000, 1_001, 12_000].map(|number| format!("{number:020}"));
    let beside = ["a", "a-", "a.b", "aa", "b", "B", "00000000000000001000-", "0000000000000000100"].map(str::to_owned);
    let component = select(numbers.into_iter().chain(beside).collect::<Vec<_>>());
    vec(component, 1..4).prop_map(|components| components.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_directory_lists_what_memory_lists(
        names in vec(any_name(), 0..40),
        queries in vec((any_name(), 0_usize..30, any_name(), 0_usize..30, 0_usize..10), 20),
    ) {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            let (directory, memory) = (open(&CrashFs::new()).unwrap(), MemoryStore::new());
            for name in names {
                // A name and a folder of the same name do not go together in a directory.
                if directory.create(&name, body("x")).await.is_ok() {
                    memory.create(&name, body("x")).await.unwrap();
                }
            }
            for (prefix, prefix_len, after, after_len, limit) in queries {
                let (prefix, after) = (&prefix[..prefix_len.min(prefix.len())], &after[..after_len.min(after.len())]);
                let listed = directory.list(prefix, after, limit).await.unwrap();
                prop_assert_eq!(listed, memory.list(prefix, after, limit).await.unwrap(), "{} {} {}", prefix, after, limit);
            }
            Ok(())
        })?;
    }
}
