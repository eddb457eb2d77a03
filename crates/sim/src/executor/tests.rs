use kafscale_runtime::Runtime;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn the_clock_jumps_and_a_killed_node_never_runs_again() {
    let world = World::new(7);
    let inner = world.clone();
    let (beats, killed_at) = world
        .run(SECOND * 100, async move {
            let beats = Arc::new(Mutex::new(0));
            let node = inner.node("n");
            let (runtime, counter) = (node.runtime(), Arc::clone(&beats));
            drop(node.call("beat", async move {
                loop {
                    runtime.sleep(SECOND).await;
                    *counter.lock() += 1;
                }
            }));
            inner.sleep(Duration::from_millis(5_500)).await;
            node.kill();
            let at = *beats.lock();
            inner.sleep(SECOND * 20).await;
            assert!(node.call("late", async {}).await.is_none());
            (*beats.lock(), at)
        })
        .expect("ends");
    assert_eq!((beats, killed_at), (5, 5));
}

#[test]
fn a_paused_node_holds_still_and_goes_on_later() {
    let world = World::new(7);
    let inner = world.clone();
    let waited = world.run(SECOND * 100, async move {
        let node = inner.node("n");
        let runtime = node.runtime();
        let call = node.call("nap", async move {
            runtime.sleep(SECOND).await;
            runtime.now()
        });
        inner.sleep(SECOND / 2).await;
        node.pause();
        inner.sleep(SECOND * 9 - SECOND / 2).await;
        node.resume();
        call.await.expect("alive")
    });
    assert_eq!(waited.expect("ends").as_secs(), 9);
}

#[test]
fn waiting_for_ever_and_for_too_long_are_told_apart() {
    let world = World::new(1);
    let stuck = world.run(SECOND, std::future::pending::<()>());
    assert!(matches!(stuck, Err(Halt::Stuck { .. })), "{stuck:?}");
    let world = World::new(1);
    let inner = world.clone();
    let overran = world.run(SECOND, async move { inner.sleep(SECOND * 5).await });
    assert!(matches!(overran, Err(Halt::Overran { .. })), "{overran:?}");
}

#[test]
fn seeds_decide_the_order_and_only_they() {
    let order = |seed: u64| {
        let world = World::new(seed);
        let inner = world.clone();
        let order = world.run(SECOND, async move {
            let seen = Arc::new(Mutex::new(Vec::new()));
            for index in 0..6 {
                let seen = Arc::clone(&seen);
                drop(inner.node("n").call("t", async move { seen.lock().push(index) }));
            }
            inner.sleep(Duration::from_millis(100)).await;
            std::mem::take(&mut *seen.lock())
        });
        (order.expect("ends"), world.trace())
    };
    assert_eq!(order(3), order(3));
    assert!((0..10).any(|seed| order(seed).0 != order(seed + 1).0));
}

#[test]
fn wall_clocks_differ_per_node() {
    let world = World::new(1);
    let (a, b) = (world.node("a"), world.node("b"));
    b.set_wall_offset_ms(-5_000);
    assert_eq!(a.wall_clock_ms() - b.wall_clock_ms(), 5_000);
}
