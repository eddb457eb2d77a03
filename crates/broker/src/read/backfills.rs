//! Cold readers on a virtual clock: how much of a line they fill, and what they leave to others.

use std::sync::{Arc, atomic::Ordering};
use std::time::Duration;

use kafscale_runtime::Runtime;
use kafscale_state::Handle;
use parking_lot::Mutex;

use super::fetch::{Ask, Limits};
use super::testing::{World, batch};

const MIB: u64 = 1 << 20;
const LINE: u64 = 100_000_000;
const LATENCY_MS: u64 = 50;
/// The limits of Java's consumer.
const LIMITS: Limits = Limits { bytes_max: 50 << 20, bytes_min: 1, wait_max: Duration::from_millis(500) };
const PARTITION_BYTES_MAX: usize = 1 << 20;
/// What a client does between two fetches.
const PAUSE: Duration = Duration::from_millis(2);

/// A store of partitions with so many bytes each, behind a line: in objects of their own, cut into pieces, or in shared ones.
fn world(partitions: u32, bytes: u64, extent_bytes: u64, is_shared: bool, cache_bytes: u64) -> World {
    let world = World::with_cache(cache_bytes);
    let batch_bytes = extent_bytes.min(256 << 10);
    let batches: Vec<_> = (0..extent_bytes / batch_bytes).map(|_| batch(&[0], batch_bytes as usize - 100)).collect();
    let extents = bytes / extent_bytes;
    if is_shared {
        let parts: Vec<_> = (1..=partitions).map(|partition| (partition, &*batches)).collect();
        (0..extents).for_each(|_| drop(world.write(&parts)));
    } else {
        for partition in 1..=partitions {
            let parts: Vec<_> = (0..extents).map(|_| (partition, &*batches)).collect();
            world.write(&parts);
        }
    }
    world.store.latency_ms.store(LATENCY_MS, Ordering::Relaxed);
    world.store.line_bytes_per_s.store(LINE, Ordering::Relaxed);
    world
}

/// Reads these partitions to their end; the bytes of all answers.
async fn read(world: Arc<World>, partitions: Vec<Handle>) -> u64 {
    let mut at: Vec<(Handle, i64)> = partitions.into_iter().map(|partition| (partition, 0)).collect();
    let mut received = 0;
    while !at.is_empty() {
        let asks: Vec<Ask> = at
            .iter()
            .map(|(partition, offset)| Ask { partition: *partition, offset: *offset, bytes_max: PARTITION_BYTES_MAX })
            .collect();
        let taken = world.reader.fetch(&asks, LIMITS).await;
        for ((_, offset), taken) in at.iter_mut().zip(&taken) {
            for bytes in taken.records.as_ref().expect("no error") {
                received += bytes.len() as u64;
                let last = kafscale_records::batches(bytes).last().expect("one").expect("whole");
                *offset = last.header().next_offset();
            }
        }
        // Java asks first for what it has not been given.
        at.rotate_left(1);
        at.retain(|(partition, offset)| *offset < world.view.end(*partition));
        world.clock.sleep(PAUSE).await;
    }
    received
}

/// Which part of the line all of them together fill, and which part of what was read was read in vain.
fn shares(world: World, readers: u32, partitions: u32) -> (f64, f64) {
    let world = Arc::new(world);
    let (started, received) = (world.clock.now(), Arc::new(Mutex::new((0, 0))));
    for reader in 0..readers {
        let (world, received) = (Arc::clone(&world), Arc::clone(&received));
        let own = (1..=partitions).filter(|partition| partition % readers == reader).collect();
        let task = Arc::clone(&world);
        world.clock.spawn(
            "reader",
            Box::pin(async move {
                let bytes = read(task, own).await;
                let mut received = received.lock();
                *received = (received.0 + bytes, received.1 + 1);
            }),
        );
    }
    while received.lock().1 < readers {
        world.clock.run(world.clock.sleep(Duration::from_millis(10)));
    }
    let took = (world.clock.now() - started).as_secs_f64();
    let received = received.lock().0 as f64;
    let loaded: u64 = world.store.gets.lock().iter().map(|(_, _, len)| len).sum();
    (received / took / LINE as f64, loaded as f64 / received - 1.0)
}

#[test]
fn cold_readers_fill_the_line_and_read_nothing_in_vain() {
    let (partitions, readers, cache_bytes) = (8, 2, 64 * MIB);
    // In what flushes wrote, small extents that are in memory lie between others: they are read again rather than asked around.
    let forms = [
        ("segments", MIB, false, 0.02),
        ("merged objects", 4 * MIB, true, 0.02),
        ("what flushes wrote", MIB / 8, true, 0.2),
    ];
    for (what, extent_bytes, is_shared, vain_max) in forms {
        let world = world(partitions, 16 * MIB, extent_bytes, is_shared, cache_bytes);
        let (line, vain) = shares(world, readers, partitions);
        assert!(line >= 0.8, "{what}: {line:.2} of the line");
        assert!(vain <= vain_max, "{what}: {vain:.2} of it read in vain");
    }
}
