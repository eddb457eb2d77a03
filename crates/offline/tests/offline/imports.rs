//! Segments that others have written, whole and hurt.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use kafscale_offline::{
    Bucket, Error,
    fsck::{self, Depth, Severity},
    import::{Import, Wish, plan},
    recover::execute_between,
};
use kafscale_records::{BatchBuilder, Codec, edit::set_base_offset};
use kafscale_runtime::BoxFuture;
use kafscale_segment::{
    kfs,
    names::{File, segment},
};
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, MemoryStore, ReadError, ReadRange, ReplaceError, Store, StoreDate,
};

use crate::{
    common::{NOW_MS, batch},
    places::{Place, consume, filled, lived, spoiled, story},
};

const WISH: Wish =
    Wish { topics: Vec::new(), namespace: String::new(), gaps: false, ignore_indexes: false, ignore_unreadable: false };

fn wish() -> Wish {
    Wish { namespace: "default".to_owned(), ..WISH }
}

/// A segment with batches of three records each at these offsets, and its index.
fn written(first: i64, offsets: &[i64], end: i64) -> (Bytes, Bytes) {
    let mut writer = kfs::Writer::new(first, end, 5);
    for offset in offsets {
        let mut bytes = batch(3).build().to_vec();
        set_base_offset(&mut bytes, *offset);
        writer.push(bytes.into()).expect("in order");
    }
    let written = writer.finish().expect("it is one");
    (written.pieces.concat().into(), written.index)
}

struct Old {
    place: Place,
}

impl Old {
    async fn put(&self, partition: u32, base_offset: u64, file: File, bytes: &[u8]) -> String {
        let name = segment("default", "old", partition, base_offset, file);
        self.place.data.replace(&name, Bytes::copy_from_slice(bytes).into()).await.expect("memory");
        name
    }

    /// Partition 0 begins above 0 and leaves offsets out; partition 2 has no index; there is no partition 1.
    async fn fill(&self) -> (Bytes, Bytes) {
        let (one, index) = written(100, &[100, 103, 110], 120);
        self.put(0, 100, File::Kfs, &one).await;
        self.put(0, 100, File::Index, &index).await;
        let (two, _) = written(120, &[120, 123], 126);
        self.put(0, 120, File::Kfs, &two).await;
        let (three, _) = written(0, &[0], 3);
        self.put(2, 0, File::Kfs, &three).await;
        (one, index)
    }

    async fn plan(&self, to: &Place, wish: Wish) -> Result<Import, Error> {
        plan(&self.place.bucket(), &to.bucket(), &wish, &|_, _| ()).await
    }

    async fn wrong(&self, to: &Place) -> Vec<(String, String)> {
        self.plan(to, wish()).await.expect("it can be read").wrong
    }
}

fn offsets(row: &[(i64, Vec<u8>)]) -> Vec<i64> {
    row.iter().map(|(offset, _)| *offset).collect()
}

#[test]
fn segments_become_a_topic_of_an_empty_store_or_beside_others() {
    for (apart, is_empty) in [(false, true), (true, true), (false, false), (true, false)] {
        story(move |world| async move {
            let old = Old { place: Place::new(&world, false) };
            old.fill().await;
            let mut to = Place::new(&world, apart);
            let mut before = Default::default();
            if !is_empty {
                let (broker, _) = lived(&mut to).await;
                before = filled(consume(&broker).await);
                to.kill();
            }
            let import = old.plan(&to, wish()).await.expect("it can be read");
            assert_eq!((import.wrong, import.segments), (Vec::new(), 3));
            assert_eq!(import.notes, ["old [0] begins at offset 100"]);
            execute_between(&old.place.bucket(), &to.bucket(), import.plan, &|_, _| ()).await.expect("it is done");
            to.is_sound().await;
            let broker = to.start().await;
            let mut records = filled(consume(&broker).await);
            let zero = records.remove(&("old".to_owned(), 0)).expect("it is there");
            assert_eq!(offsets(&zero), [100, 101, 102, 103, 104, 105, 110, 111, 112, 120, 121, 122, 123, 124, 125]);
            let two = records.remove(&("old".to_owned(), 2)).expect("it is there");
            assert_eq!(offsets(&two), [0, 1, 2]);
            assert_eq!(records, before);
            let client = crate::common::Client::connect(&broker);
            assert_eq!(client.produce("old", 0, batch(1).build()).await.offset(), 126);
            assert_eq!(client.produce("old", 1, batch(1).build()).await.offset(), 0);
        });
    }
}

/// A store that notes the longest read of a segment, and the longest object that is written.
struct Longest {
    inner: Arc<MemoryStore>,
    read: AtomicU64,
    written: AtomicU64,
}

impl Longest {
    fn new(inner: &Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), read: AtomicU64::new(0), written: AtomicU64::new(0) })
    }
}

impl Store for Longest {
    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        self.written.fetch_max(body.len(), Ordering::Relaxed);
        self.inner.create(name, body)
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        self.written.fetch_max(body.len(), Ordering::Relaxed);
        self.inner.replace(name, body)
    }

    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move {
            let bytes = self.inner.get(name, range).await?;
            self.read.fetch_max(bytes.len() as u64, Ordering::Relaxed);
            Ok(bytes)
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, ReadError>> {
        self.inner.list(prefix, after, limit)
    }

    fn delete<'a>(&'a self, names: &'a [String]) -> BoxFuture<'a, Result<(), DeleteError>> {
        self.inner.delete(names)
    }

    fn date(&self) -> Option<StoreDate> {
        self.inner.date()
    }

    fn facts(&self) -> Facts {
        self.inner.facts()
    }
}

/// A segment of many MiB is never in memory at once: not while it is checked, and not while it is written.
#[test]
fn a_long_segment_is_read_in_pieces_and_becomes_several() {
    const MIB: u64 = 1 << 20;
    const FULL: u64 = 5 * MIB;
    story(|world| async move {
        let old = Old { place: Place::new(&world, false) };
        let value = vec![7; 100 << 10];
        let mut writer = kfs::Writer::new(100, 100 + 2 * 199 + 1, 5);
        for at in 0..200 {
            // Every other offset is missing.
            let batch = BatchBuilder::new(Codec::None).record(NOW_MS, None, Some(&value)).build();
            let mut bytes = batch.to_vec();
            set_base_offset(&mut bytes, 100 + 2 * at);
            writer.push(bytes.into()).expect("in order");
        }
        let written = writer.finish().expect("it is one");
        let len = u64::from(written.len);
        assert!(len > 19 * MIB);
        old.put(0, 100, File::Kfs, &written.pieces.concat()).await;
        old.put(0, 100, File::Index, &written.index).await;
        let mut to = Place::new(&world, false);
        let (source, target) = (Longest::new(&old.place.data), Longest::new(&to.data));
        let bucket = |store: &Arc<Longest>| {
            let store: Arc<dyn Store> = Arc::<Longest>::clone(store);
            Bucket::new(store, world.node("tool").runtime())
        };
        let import = plan(&bucket(&source), &bucket(&target), &wish(), &|_, _| ()).await.expect("it can be read");
        assert_eq!((import.wrong, import.bytes), (Vec::new(), len));
        let plan = import.plan.segments_of(FULL);
        execute_between(&bucket(&source), &bucket(&target), plan, &|_, _| ()).await.expect("it is done");
        let (read, made) = (source.read.load(Ordering::Relaxed), target.written.load(Ordering::Relaxed));
        assert!(read <= 4 * MIB, "one piece at a time, not {read} bytes");
        assert!((4 * MIB..=FULL).contains(&made), "one full segment at a time, not {made} bytes");
        to.is_sound().await;
        let names = to.names(&to.data, "default/old/0/").await;
        assert_eq!(names.len(), 8, "four segments and their indexes: {names:?}");
        let records = consume(&to.start().await).await.remove(&("old".to_owned(), 0)).expect("it is there");
        assert_eq!(offsets(&records), (0..200).map(|at| 100 + 2 * at).collect::<Vec<_>>());
        assert!(records.iter().all(|(_, read)| *read == value));

        // One that is hurt is noticed before anything is written.
        let mut hurt = written.pieces.concat();
        let last = hurt.len() - 1_000;
        hurt[last] ^= 1;
        old.put(0, 100, File::Kfs, &hurt).await;
        let wrong = old.wrong(&Place::new(&world, false)).await;
        assert!(wrong.len() == 1 && wrong[0].1.contains("checksum"), "{wrong:?}");
    });
}

#[test]
fn what_is_wrong_is_named_and_nothing_imported() {
    story(|world| async move {
        let (old, to) = (Old { place: Place::new(&world, false) }, Place::new(&world, false));
        let (one, index) = old.fill().await;
        assert_eq!(old.wrong(&to).await, []);
        let last = one.len() - 1;
        let flipped = |at: usize| {
            let mut bytes = one.to_vec();
            bytes[at] ^= 1;
            bytes
        };
        for (bad, words) in [
            (flipped(0), "not a segment"),
            (flipped(5), "version"),
            (flipped(15), "base offset is 101"),
            (flipped(19), "number of records"),
            (flipped(80), "checksum"),
            (flipped(last - 12), "checksum"),
            (flipped(last), "not a segment"),
            (one[..last].to_vec(), "not a segment"),
            (one[..20].to_vec(), "truncated"),
            (written(0, &[0], 3).0.to_vec(), "it was moved, or swapped"),
        ] {
            let name = old.put(0, 100, File::Kfs, &bad).await;
            let wrong = old.wrong(&to).await;
            assert!(wrong.len() == 1 && wrong[0].0 == name && wrong[0].1.contains(words), "{words}: {wrong:?}");
        }
        old.put(0, 100, File::Kfs, &one).await;

        let mut bad = index.to_vec();
        bad[23] ^= 1;
        let name = old.put(0, 100, File::Index, &bad).await;
        let wrong = old.wrong(&to).await;
        assert!(wrong.len() == 1 && wrong[0].0 == name, "{wrong:?}");
        let ignored = old.plan(&to, Wish { ignore_indexes: true, ..wish() }).await.expect("it can be read");
        assert_eq!(ignored.wrong, []);
        old.put(0, 100, File::Index, &index).await;

        let (far, _) = written(200, &[200], 203);
        let name = old.put(0, 200, File::Kfs, &far).await;
        let wrong = old.wrong(&to).await;
        assert!(wrong.len() == 1 && wrong[0].1.contains("126 to 199 are missing"), "{wrong:?}");
        let gaps = old.plan(&to, Wish { gaps: true, ..wish() }).await.expect("it can be read");
        assert_eq!((gaps.wrong, gaps.notes.len()), (Vec::new(), 2));
        old.place.data.delete(&[name]).await.expect("memory");

        let (over, _) = written(124, &[124], 127);
        let name = old.put(0, 124, File::Kfs, &over).await;
        let wrong = old.wrong(&to).await;
        assert!(wrong.len() == 1 && wrong[0].1.contains("the one before it ends at 125"), "{wrong:?}");
        old.place.data.delete(&[name]).await.expect("memory");

        let absent = old.plan(&to, Wish { topics: vec!["none".to_owned()], ..wish() }).await.err().expect("refused");
        assert!(absent.to_string().contains("default/none/"), "{absent}");
    });
}

#[test]
fn a_path_that_no_topic_can_have_is_refused() {
    story(|world| async move {
        let (old, to) = (Old { place: Place::new(&world, false) }, Place::new(&world, false));
        let (bytes, _) = written(0, &[0], 3);
        old.put(u32::MAX, 0, File::Kfs, &bytes).await;
        let wrong = old.wrong(&to).await;
        assert!(wrong.len() == 1 && wrong[0].1.contains("too many"), "{wrong:?}");
    });
}

/// Its checksums are right, so nobody but its readers would notice.
#[test]
fn a_batch_without_records_is_refused_or_taken_in_knowingly() {
    story(|world| async move {
        let (old, to) = (Old { place: Place::new(&world, false) }, Place::new(&world, false));
        let mut writer = kfs::Writer::new(0, 6, 5);
        writer.push(batch(3).build()).expect("in order");
        let mut bad = spoiled(&batch(3).build());
        set_base_offset(&mut bad, 3);
        writer.push(bad.into()).expect("its checksum is right");
        let written = writer.finish().expect("it is one");
        let name = old.put(0, 0, File::Kfs, &written.pieces.concat()).await;
        let wrong = old.wrong(&to).await;
        let words = "consumers do not get past the batch at offset 3";
        assert!(wrong.len() == 1 && wrong[0].0 == name && wrong[0].1.contains(words), "{wrong:?}");
        let import = old.plan(&to, Wish { ignore_unreadable: true, ..wish() }).await.expect("it can be read");
        assert_eq!(import.wrong, []);
        execute_between(&old.place.bucket(), &to.bucket(), import.plan, &|_, _| ()).await.expect("it is done");
        let report = fsck::check(&to.bucket(), Depth::Whole, &|_, _| ()).await.expect("it can be checked");
        let found: Vec<_> = report.findings.iter().filter(|finding| finding.severity > Severity::Note).collect();
        assert!(found.len() == 1 && found[0].kind == "unreadable" && found[0].detail.contains(words), "{found:?}");
    });
}

#[test]
fn a_topic_that_is_there_is_not_imported_over() {
    story(|world| async move {
        let old = Old { place: Place::new(&world, false) };
        old.fill().await;
        let mut to = Place::new(&world, false);
        let broker = to.start().await;
        crate::common::Client::connect(&broker).create_topic("old", 1, &[]).await;
        to.kill();
        let wrong = old.wrong(&to).await;
        assert!(wrong.len() == 1 && wrong[0].0 == "old", "{wrong:?}");
    });
}
