use std::sync::atomic::Ordering;

use kafscale_runtime::Runtime as _;
use kafscale_state::Handle;
use kafscale_store::Body;

use super::*;
use crate::{
    cluster::Part,
    read::{
        Extent, LoadError,
        mailbox::Mailbox,
        testing::{FaultyStore, World},
    },
};

const CLUSTER: Cluster = Cluster { id: 7, generation: 1 };

/// A world whose reads go to a mirror first.
struct Mirrored {
    world: World,
    copies: Arc<FaultyStore>,
}

impl Mirrored {
    fn new(marker: Option<Cluster>) -> Self {
        let mut copies = None;
        let world = World::build(1 << 20, |clock| {
            let store = copies.insert(FaultyStore::on(clock));
            let (store, runtime) = (Arc::clone(store) as Arc<dyn Store>, Arc::clone(clock) as Runtime);
            Some(Arc::new(Mirror::new(store, runtime, CLUSTER.id)))
        });
        let mirrored = Self { world, copies: copies.expect("made above") };
        if let Some(marker) = marker {
            mirrored.copy_as("cluster.json", marker.encode(Part::Whole));
        }
        mirrored
    }

    fn copy_as(&self, name: &str, bytes: Bytes) {
        self.world.clock.run(self.copies.inner.replace(name, Body::from(bytes))).expect("memory");
    }

    /// Replicates everything that was written so far.
    fn replicate(&self) {
        for row in self.world.clock.run(self.world.store.inner.list("", "", 1_000)).expect("memory") {
            let bytes = self.world.clock.run(self.world.store.inner.get(&row.name, ReadRange::All)).expect("memory");
            self.copy_as(&row.name, bytes);
        }
    }

    fn load(&self, partition: Handle, extent: Extent) -> Result<(), LoadError> {
        let mailbox = Arc::new(Mailbox::default());
        self.world.reader.loader().load(partition, extent, &mailbox);
        self.world.reader.loader().start();
        self.world.clock.run(async {
            mailbox.rung().await;
            let (_, loaded) = mailbox.take().into_iter().next().expect("one was asked for");
            loaded.map(drop)
        })
    }

    fn counts(&self) -> MirrorCounts {
        self.world.reader.mirror().expect("it has one").counts()
    }

    fn wait(&self, seconds: u64) {
        self.world.clock.run(self.world.clock.sleep(Duration::from_secs(seconds)));
    }
}

#[test]
fn what_the_mirror_has_costs_the_primary_nothing() {
    let mirrored = Mirrored::new(Some(CLUSTER));
    let extents = [mirrored.world.write_one(1, 100), mirrored.world.write_one(1, 100)];
    mirrored.replicate();
    for extent in extents {
        assert_eq!(mirrored.load(1, extent), Ok(()));
    }
    assert_eq!(mirrored.world.store.get_count(), 0);
    assert_eq!(mirrored.copies.get_count(), 3, "the marker once, and both");
    assert_eq!(mirrored.counts(), MirrorCounts { hits: 2, ..MirrorCounts::default() });
}

#[test]
fn what_it_does_not_have_yet_comes_from_the_primary_and_tells_its_lag() {
    let mirrored = Mirrored::new(Some(CLUSTER));
    let mirror = Arc::clone(mirrored.world.reader.mirror().expect("it has one"));
    let extents: Vec<Extent> = (0..3).map(|_| mirrored.world.write_one(1, 100)).collect();
    mirror.written(extents[0].object);
    mirrored.wait(40);
    mirror.written(extents[1].object);
    mirrored.wait(20);
    assert_eq!(mirrored.load(1, extents[0]), Ok(()));
    assert_eq!(mirrored.counts(), MirrorCounts { misses: 1, lag_ms: 60_000, ..MirrorCounts::default() });
    mirrored.replicate();
    assert_eq!(mirrored.load(1, extents[1]), Ok(()));
    assert_eq!(mirrored.counts(), MirrorCounts { hits: 1, misses: 1, lag_ms: 20_000, ..MirrorCounts::default() });
    assert_eq!(mirrored.load(1, extents[2]), Ok(()), "an object of unknown age says nothing of the lag");
    assert_eq!(mirrored.counts().lag_ms, 20_000);
}

#[test]
fn short_and_damaged_copies_are_read_again_from_the_primary() {
    let mirrored = Mirrored::new(Some(CLUSTER));
    let extents = [mirrored.world.write_one(1, 100), mirrored.world.write_one(1, 100)];
    mirrored.replicate();
    *mirrored.copies.flipped.lock() = Some(("object-1".to_owned(), extents[0].end() - 1));
    assert_eq!(mirrored.load(1, extents[0]), Ok(()));
    assert_eq!((mirrored.counts().wrong, mirrored.world.store.get_count()), (1, 1));
    mirrored.wait(2);
    mirrored.copy_as("object-2", Bytes::from_static(b"short"));
    assert_eq!(mirrored.load(1, extents[1]), Ok(()));
    assert_eq!((mirrored.counts().wrong, mirrored.counts().hits, mirrored.world.store.get_count()), (2, 0, 2));
}

#[test]
fn a_mirror_that_is_down_is_left_alone_and_comes_back_by_itself() {
    let mirrored = Mirrored::new(Some(CLUSTER));
    let extents: Vec<Extent> = (0..12).map(|_| mirrored.world.write_one(1, 100)).collect();
    mirrored.replicate();
    assert_eq!(mirrored.load(1, extents[0]), Ok(()));
    for name in 2..=9 {
        mirrored.copies.hung.lock().insert(format!("object-{name}"));
    }
    let began = mirrored.world.clock.now();
    for extent in &extents[1..6] {
        assert_eq!(mirrored.load(1, *extent), Ok(()));
    }
    assert!(mirrored.world.clock.now() - began < Duration::from_secs(2), "one wait and then none");
    assert_eq!((mirrored.counts().failures, mirrored.counts().skipped), (1, 4));
    for extent in &extents[6..8] {
        mirrored.wait(4);
        assert_eq!(mirrored.load(1, *extent), Ok(()));
    }
    assert_eq!(mirrored.counts().failures, 3, "tried again now and then");
    mirrored.wait(60);
    assert_eq!(mirrored.load(1, extents[11]), Ok(()));
    assert_eq!(mirrored.counts().hits, 2);
    mirrored.copies.failures.store(1, Ordering::Relaxed);
    assert_eq!(mirrored.load(1, extents[10]), Ok(()), "an error is as good as no answer");
    assert_eq!(mirrored.counts().failures, 4);
}

#[test]
fn a_mirror_of_another_cluster_is_never_read() {
    for marker in [None, Some(Cluster { id: 8, generation: 1 })] {
        let mirrored = Mirrored::new(marker);
        let extent = mirrored.world.write_one(1, 100);
        mirrored.copy_as("object-1", Bytes::from_static(b"of another cluster"));
        assert_eq!(mirrored.load(1, extent), Ok(()));
        assert_eq!(mirrored.counts(), MirrorCounts { skipped: 1, ..MirrorCounts::default() });
        let read: Vec<String> = mirrored.copies.gets.lock().iter().map(|(name, ..)| name.clone()).collect();
        assert_eq!(read, ["cluster.json"]);
    }
}

#[test]
fn a_mirror_does_not_hide_that_the_primary_is_down() {
    let mirrored = Mirrored::new(Some(CLUSTER));
    let extent = mirrored.world.write_one(1, 100);
    mirrored.world.store.failures.store(u64::MAX, Ordering::Relaxed);
    assert!(matches!(mirrored.load(1, extent), Err(LoadError::Unavailable(_))));
    mirrored.replicate();
    mirrored.wait(3);
    assert_eq!(mirrored.load(1, extent), Ok(()), "but what it has is served");
}
