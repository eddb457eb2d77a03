//! Barriers, and what of a store shows only when one asks it again.

use super::*;

#[test]
fn a_barrier_after_a_long_sleep_does_not_believe_a_trimmed_name() {
    story(|runtime, store, zombie| async move {
        let successor = open(&store, &runtime).await;
        for n in 0..10 {
            successor.append(&format!("b{n}")).await;
        }
        runtime.sleep(HOUR * 2).await;
        // Our own last frame is kept because its data is referred to, so that only the floor can tell.
        successor.log.trim(19, Arc::new(|position| position <= 4)).await.unwrap();
        assert!(matches!(zombie.log.barrier().await, Err(BarrierError::Fenced(_))));
    });
}

#[test]
fn a_barrier_is_one_read_shared_by_all_who_came_before_it_began() {
    story(|runtime, store, open| async move {
        open.append("a").await;
        store.forget_calls();
        let began = runtime.now();
        let first = join_all((0..10).map(|_| open.log.barrier()));
        let late = async {
            runtime.sleep(MS * 5).await;
            let answers = join_all((0..10).map(|_| open.log.barrier())).await;
            (answers, runtime.now())
        };
        let (first, (late, late_at)) = join(first, late).await;
        assert!(first.into_iter().chain(late).all(|answer| answer == Ok(5)));
        // 0-10 ms the first caller's, 10-20 ms that of all who came meanwhile.
        assert_eq!(late_at - began, MS * 20);
        assert_eq!(store.calls(Op::Get, &name(6)).len(), 2);
        assert_eq!(store.calls(Op::Get, &name(5)).len(), 1, "its own last position is read once");
    });
}

#[test]
fn a_caller_that_gives_up_leaves_the_barrier_to_the_others() {
    story(|runtime, store, open| async move {
        store.script(Op::Get, &name(5), 1, Answer::Hang);
        let impatient = kafscale_runtime::timeout(&*runtime, MS * 50, open.log.barrier());
        let (impatient, patient) = join(impatient, open.log.barrier()).await;
        assert!(impatient.is_err());
        assert_eq!(patient, Ok(4));
    });
}

#[test]
fn our_own_append_under_way_is_no_stranger_to_the_barrier() {
    story(|_, store, open| async move {
        store.script(Op::Get, &name(5), 1, Answer::After(MS * 100));
        let (barrier, append) = join(open.log.barrier(), open.log.append(draft("a"))).await;
        assert_eq!((barrier, append), (Ok(5), Ok(5)));
    });
}

#[test]
fn a_barrier_sees_a_successor_that_has_acknowledged_nothing_yet() {
    story(|runtime, store, old| async move {
        old.append("a").await;
        let _new = open(&store, &runtime).await;
        let error = old.log.barrier().await.unwrap_err();
        assert!(error.to_string().contains("taken over this store: session 2 stands at position 6"), "{error}");
        assert!(is_fenced(&old.log.append(draft("late")).await));
    });
}

#[test]
fn a_store_that_overwrites_or_loses_a_create_is_named() {
    for lost in [true, false] {
        story(move |runtime, store, open| async move {
            open.append("a").await;
            if lost {
                store.remove(&name(5));
            } else {
                let other = TestStore::new(&runtime);
                let stranger = super_open(&other, &runtime).await;
                stranger.append("b").await;
                store.put(&name(5), other.object(&name(5)).unwrap());
            }
            let error = open.log.barrier().await.unwrap_err();
            assert!(matches!(error, BarrierError::Fenced(_)));
            assert!(error.to_string().contains("the store lost or overwrote a confirmed create"), "{error}");
        });
    }
}

#[test]
fn a_bucket_that_was_deleted_takes_nothing_more_also_when_it_is_made_anew() {
    story(|runtime, store, open| async move {
        open.append("a").await;
        store.script(Op::Create, &name(6), 1, Answer::Refused);
        for position in 1..=5 {
            store.remove(&name(position));
        }
        assert!(is_fenced(&open.log.append(draft("b")).await));
        let reason = open.log.wait_fenced().await;
        assert!(reason.contains("position 5 of the log is gone"), "{reason}");
        runtime.sleep(HOUR).await;
        assert_eq!(store.object(&name(6)), None, "a log without a beginning is not gone on with");
    });
}

#[test]
fn a_refusal_that_passes_is_waited_for() {
    story(|_, store, open| async move {
        open.append("a").await;
        store.script(Op::Create, &name(6), 5, Answer::Refused);
        assert_eq!(open.append("b").await, 6);
        assert_eq!(open.log.barrier().await, Ok(6));
    });
}

async fn super_open(store: &Arc<TestStore>, runtime: &Handle) -> Opening {
    open_from(store, runtime, Resume::default()).await.unwrap()
}

#[test]
fn a_barrier_that_gets_no_answer_says_so_and_the_next_may_succeed() {
    story(|_, store, open| async move {
        store.script(Op::Get, "log/", usize::MAX, Answer::Unavailable(None));
        assert!(matches!(open.log.barrier().await, Err(BarrierError::Unavailable(_))));
        store.clear_script();
        assert_eq!(open.log.barrier().await, Ok(4));
    });
}

#[test]
fn on_a_store_of_our_own_barriers_and_long_sleeps_cost_nothing() {
    story(|runtime, store, open| async move {
        store.set_facts(|facts| facts.exclusive = true);
        runtime.sleep(HOUR).await;
        assert_eq!(open.append("a").await, 5);
        assert_eq!(open.log.barrier().await, Ok(5));
        assert_eq!(store.calls(Op::Get, "").len(), 0);
    });
}

#[test]
fn a_barrier_beside_appends_proves_nothing_about_them() {
    story(|runtime, store, zombie| async move {
        let successor = open(&store, &runtime).await;
        assert_eq!(successor.opened.tail, 8);
        runtime.sleep(HOUR * 2).await;
        // Its creates are slow, and the barrier finds nothing behind them: the successor has not gone on.
        store.script(Op::Create, "log/", 4, Answer::After(MS * 1_000));
        let appends = join_all((0..4).map(|n| zombie.log.append(draft(&format!("late {n}")))));
        let barrier_then_trim = async {
            runtime.sleep(MS).await;
            assert_eq!(zombie.log.barrier().await, Ok(4));
            successor.log.trim(9, no_one()).await.unwrap();
        };
        let (appends, ()) = join(appends, barrier_then_trim).await;
        assert!(appends.iter().all(is_fenced), "{appends:?}");
    });
}

#[test]
fn a_session_that_keeps_appending_never_reads_the_floor() {
    story(|runtime, store, open| async move {
        for _ in 0..10 {
            runtime.sleep(MS * 50_000).await;
            open.append("a").await;
        }
        assert_eq!(store.calls(Op::Get, names::FLOOR).len(), 0);
        runtime.sleep(MS * 61_000).await;
        open.append("b").await;
        assert_eq!(store.calls(Op::Get, names::FLOOR).len(), 1);
    });
}
