//! A read path over a made-up replica and a store that can be told to misbehave, on a clock that only moves when nothing
//! else does.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use kafscale_log::BarrierError;
use kafscale_records::{BatchBuilder, Codec, batches};
use kafscale_runtime::{BoxFuture, Instant, Runtime};
use kafscale_state::{Handle, Place};
use kafscale_store::{
    Body, CreateError, DeleteError, Facts, Listed, MemoryStore, ReadError, ReadRange, ReplaceError, Store, StoreDate,
};
use parking_lot::Mutex;

use super::{Cache, Extent, Mirror, Offsets, Reader, View, Waiters};

/// Bytes that reads under way pass over the line by turns.
const LINE_PIECE: u64 = 64 << 10;
/// Bytes before the records of an object.
const HEAD: usize = 100;

/// A batch of so many records with these timestamps, each with a value of `value_len` bytes.
pub fn batch(timestamps: &[i64], value_len: usize) -> Bytes {
    let value = vec![7; value_len];
    let build = |builder: BatchBuilder, time: &i64| builder.record(*time, None, Some(&value));
    timestamps.iter().fold(BatchBuilder::new(Codec::None), build).build()
}

/// The records of an answer as (base offset, last offset) of each batch.
pub fn ranges(records: &[Bytes]) -> Vec<(i64, i64)> {
    let row = records.iter().flat_map(|bytes| batches(bytes));
    let range = row.map(|batch| *batch.expect("only whole batches are sent").header());
    range.map(|header| (header.base_offset, header.last_offset())).collect()
}

/// See the module.
pub struct World {
    pub clock: Arc<Clock>,
    pub view: Arc<FakeView>,
    pub store: Arc<FaultyStore>,
    pub cache: Arc<Cache>,
    pub waiters: Arc<Waiters>,
    pub reader: Reader,
    next_object: AtomicU64,
}

impl World {
    pub fn new() -> Self {
        Self::with_cache(64 << 20)
    }

    pub fn with_cache(bytes: u64) -> Self {
        Self::build(bytes, |_| None)
    }

    /// One that may have a mirror, made on its clock.
    pub fn build(bytes: u64, mirror: impl FnOnce(&Arc<Clock>) -> Option<Arc<Mirror>>) -> Self {
        let clock = Arc::new(Clock::default());
        let view = Arc::new(FakeView::default());
        let store = FaultyStore::on(&clock);
        let mirror = mirror(&clock);
        let cache = Arc::new(Cache::new(bytes));
        let waiters = Arc::new(Waiters::default());
        let reader = Reader::new(
            Arc::clone(&clock) as Arc<dyn Runtime>,
            Arc::clone(&view) as Arc<dyn View>,
            Arc::clone(&store) as Arc<dyn Store>,
            mirror,
            Arc::clone(&cache),
            Arc::clone(&waiters),
        );
        Self { clock, view, store, cache, waiters, reader, next_object: AtomicU64::new(1) }
    }

    /// Stores one object with these partitions' batches, and tells the replica. Returns the extents.
    pub fn write(&self, parts: &[(Handle, &[Bytes])]) -> Vec<Extent> {
        let extents = self.write_unseen(parts);
        for ((partition, _), extent) in parts.iter().zip(&extents) {
            self.view.append(*partition, *extent);
        }
        extents
    }

    /// Stores one object; the replica hears of it later.
    pub fn write_unseen(&self, parts: &[(Handle, &[Bytes])]) -> Vec<Extent> {
        let object = Place::LogFrame { position: self.next_object.fetch_add(1, Ordering::Relaxed) };
        let mut body = vec![0xee; HEAD];
        let mut extents: Vec<(Handle, Extent)> = Vec::new();
        for (partition, pieces) in parts {
            let start = body.len() as u64;
            let end_of = |handle: &Handle| extents.iter().rev().find(|(other, _)| other == handle);
            let base_offset = end_of(partition).map_or(self.view.end(*partition), |(_, extent)| extent.end_offset);
            let headers = pieces.iter().map(|piece| *batches(piece).next().expect("one").expect("whole").header());
            let (mut records, mut max_timestamp) = (0, i64::MIN);
            for header in headers {
                records += i64::from(header.record_count);
                max_timestamp = max_timestamp.max(header.max_timestamp);
            }
            body.extend(pieces.iter().flatten());
            let len = (body.len() as u64 - start) as u32;
            let end_offset = base_offset + records;
            extents
                .push((*partition, Extent { object, start, len, base_offset, end_offset, max_timestamp, version: 0 }));
        }
        let name = name(object);
        let created = self.store.inner.create(&name, Body::from(Bytes::from(body)));
        self.clock.run(created).expect("a new name");
        extents.into_iter().map(|(_, extent)| extent).collect()
    }

    /// Writes one batch of one record to a partition.
    pub fn write_one(&self, partition: Handle, value_len: usize) -> Extent {
        self.write(&[(partition, &[batch(&[0], value_len)])])[0]
    }
}

fn name(object: Place) -> String {
    let Place::LogFrame { position } = object else { panic!("only frames are written here") };
    format!("object-{position}")
}

#[derive(Debug, Clone, Default)]
struct FakePartition {
    log_start: i64,
    end: i64,
    extents: Vec<Extent>,
}

/// What the replica will have heard once a barrier is over.
type Unheard = Box<dyn FnOnce(&FakeView) + Send>;

/// A replica whose partitions are set by hand.
#[derive(Default)]
pub struct FakeView {
    partitions: Mutex<BTreeMap<Handle, FakePartition>>,
    unheard: Mutex<Vec<Unheard>>,
    pub barriers: AtomicU64,
    pub is_cut_off: AtomicBool,
}

impl FakeView {
    pub fn create(&self, partition: Handle) {
        self.partitions.lock().entry(partition).or_default();
    }

    pub fn append(&self, partition: Handle, extent: Extent) {
        let mut partitions = self.partitions.lock();
        let partition = partitions.entry(partition).or_default();
        partition.end = extent.end_offset;
        partition.extents.push(extent);
    }

    pub fn end(&self, partition: Handle) -> i64 {
        self.partitions.lock().get(&partition).map_or(0, |partition| partition.end)
    }

    pub fn set_log_start(&self, partition: Handle, log_start: i64) {
        self.partitions.lock().get_mut(&partition).expect("exists").log_start = log_start;
    }

    /// Puts an extent of the partition elsewhere, as a merge does.
    pub fn replace(&self, partition: Handle, extent: Extent) {
        let mut partitions = self.partitions.lock();
        let extents = &mut partitions.get_mut(&partition).expect("exists").extents;
        *extents.iter_mut().find(|old| old.base_offset == extent.base_offset).expect("exists") = extent;
    }

    pub fn at_next_barrier(&self, change: impl FnOnce(&Self) + Send + 'static) {
        self.unheard.lock().push(Box::new(change));
    }
}

impl View for FakeView {
    fn offsets(&self, partition: Handle) -> Option<Offsets> {
        let partitions = self.partitions.lock();
        let partition = partitions.get(&partition)?;
        let end = partition.end;
        Some(Offsets { log_start: partition.log_start, last_stable: end, high_watermark: end })
    }

    fn extents(&self, partition: Handle, offset: i64, visit: &mut dyn FnMut(Extent) -> bool) {
        let partitions = self.partitions.lock();
        let Some(partition) = partitions.get(&partition) else { return };
        let offset = offset.max(partition.log_start);
        for extent in partition.extents.iter().filter(|extent| extent.end_offset > offset) {
            if !visit(*extent) {
                return;
            }
        }
    }

    fn barrier(&self) -> BoxFuture<'_, Result<(), BarrierError>> {
        Box::pin(async move {
            self.barriers.fetch_add(1, Ordering::Relaxed);
            if self.is_cut_off.load(Ordering::Relaxed) {
                return Err(BarrierError::Unavailable("cut off".to_owned()));
            }
            let unheard = std::mem::take(&mut *self.unheard.lock());
            unheard.into_iter().for_each(|change| change(self));
            Ok(())
        })
    }

    fn name(&self, object: Place) -> Option<String> {
        Some(name(object))
    }
}

/// A memory store whose reads can be made to fail.
#[derive(Default)]
pub struct FaultyStore {
    pub inner: MemoryStore,
    clock: Arc<Clock>,
    /// Every read: name, first byte, length.
    pub gets: Mutex<Vec<(String, u64, u64)>>,
    /// How many of the next reads get no useful answer.
    pub failures: AtomicU64,
    /// Objects whose reads never end.
    pub hung: Mutex<BTreeSet<String>>,
    /// Time that each read takes before its first byte, in milliseconds.
    pub latency_ms: AtomicU64,
    /// Bytes a second that all reads together bring; 0 for no bound.
    pub line_bytes_per_s: AtomicU64,
    /// When the line has brought what was asked of it so far.
    line_free_at: Mutex<Instant>,
    /// A byte that is changed in whatever is read of this object.
    pub flipped: Mutex<Option<(String, u64)>>,
    /// Bytes behind this one are cut off whatever is read.
    pub cut_at: Mutex<Option<u64>>,
    /// The last byte of what so many reads bring is changed on its way.
    pub hurt: AtomicU64,
}

impl FaultyStore {
    /// An empty one.
    pub fn on(clock: &Arc<Clock>) -> Arc<Self> {
        Arc::new(Self { clock: Arc::clone(clock), ..Self::default() })
    }

    pub fn get_count(&self) -> usize {
        self.gets.lock().len()
    }

    /// Lets bytes pass over the line, piece by piece, so that reads under way share it.
    async fn pass(&self, bytes: u64) {
        let rate = self.line_bytes_per_s.load(Ordering::Relaxed);
        let mut left = if rate == 0 { 0 } else { bytes };
        while left > 0 {
            let piece = left.min(LINE_PIECE);
            left -= piece;
            let passed = {
                let mut free_at = self.line_free_at.lock();
                *free_at = (*free_at).max(self.clock.now()) + Duration::from_nanos(piece * 1_000_000_000 / rate);
                *free_at
            };
            self.clock.sleep(passed - self.clock.now()).await;
        }
    }

    fn tampered(&self, name: &str, start: u64, bytes: &Bytes) -> Bytes {
        let mut bytes = bytes.to_vec();
        if let Some((flipped, at)) = &*self.flipped.lock()
            && flipped == name
            && let Some(byte) = at.checked_sub(start).and_then(|at| bytes.get_mut(at as usize))
        {
            *byte ^= 0x10;
        }
        if let Some(cut_at) = *self.cut_at.lock() {
            bytes.truncate(cut_at.saturating_sub(start) as usize);
        }
        let is_hurt = self.hurt.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if let (Ok(_), Some(last)) = (is_hurt, bytes.last_mut()) {
            *last ^= 0x10;
        }
        bytes.into()
    }
}

impl Store for FaultyStore {
    fn get<'a>(&'a self, name: &'a str, range: ReadRange) -> BoxFuture<'a, Result<Bytes, ReadError>> {
        Box::pin(async move {
            let ReadRange::At { start, len } = range else { panic!("extents are read by range") };
            self.gets.lock().push((name.to_owned(), start, len));
            if self.hung.lock().contains(name) {
                std::future::pending::<()>().await;
            }
            self.clock.sleep(Duration::from_millis(self.latency_ms.load(Ordering::Relaxed))).await;
            let fails = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            if fails.is_ok() {
                return Err(ReadError::Unavailable("503".to_owned()));
            }
            let bytes = self.inner.get(name, range).await?;
            self.pass(bytes.len() as u64).await;
            Ok(self.tampered(name, start, &bytes))
        })
    }

    fn create<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), CreateError>> {
        self.inner.create(name, body)
    }

    fn replace<'a>(&'a self, name: &'a str, body: Body) -> BoxFuture<'a, Result<(), ReplaceError>> {
        self.inner.replace(name, body)
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
        None
    }

    fn facts(&self) -> Facts {
        self.inner.facts()
    }
}

/// A virtual clock with its tasks and sleepers.
#[derive(Default)]
pub struct Clock {
    now: Mutex<Instant>,
    tasks: Mutex<Vec<BoxFuture<'static, ()>>>,
    sleepers: Arc<Mutex<BTreeMap<(Instant, u64), Waker>>>,
    next_sleeper: AtomicU64,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Clock {
    /// Runs `future` and all tasks beside it; when none can go on, time jumps to the next sleeper.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        loop {
            woken.0.store(false, Ordering::Relaxed);
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            self.poll_tasks(&mut context);
            if !woken.0.load(Ordering::Relaxed) {
                let next = self.sleepers.lock().pop_first();
                let ((at, _), sleeper) = next.expect("nobody can go on and nobody sleeps: a deadlock");
                let mut now = self.now.lock();
                *now = at.max(*now);
                sleeper.wake();
            }
        }
    }

    fn poll_tasks(&self, context: &mut Context<'_>) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.retain_mut(|task| Pin::new(task).poll(context).is_pending());
        let mut spawned = self.tasks.lock();
        if !spawned.is_empty() {
            context.waker().wake_by_ref();
        }
        tasks.append(&mut spawned);
        *spawned = tasks;
    }
}

impl Runtime for Clock {
    fn now(&self) -> Instant {
        *self.now.lock()
    }

    fn wall_clock_ms(&self) -> i64 {
        0
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let at = self.now() + duration;
        let key = (at, self.next_sleeper.fetch_add(1, Ordering::Relaxed));
        Box::pin(Sleep { key, is_done: duration.is_zero(), sleepers: Arc::clone(&self.sleepers), is_queued: false })
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        self.tasks.lock().push(task);
    }

    fn random_u64(&self) -> u64 {
        4
    }
}

struct Sleep {
    key: (Instant, u64),
    is_done: bool,
    is_queued: bool,
    sleepers: Arc<Mutex<BTreeMap<(Instant, u64), Waker>>>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let sleepers = Arc::clone(&self.sleepers);
        let mut sleepers = sleepers.lock();
        if self.is_done || (self.is_queued && !sleepers.contains_key(&self.key)) {
            return Poll::Ready(());
        }
        self.is_queued = true;
        sleepers.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.sleepers.lock().remove(&self.key);
    }
}
