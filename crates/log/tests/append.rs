//! Appending, barriers and trimming on a store that fails in every way.

mod support;

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{join, join_all},
};
use kafscale_log::{
    AppendError, BarrierError, Log, Position,
    frame::{self, ENTRIES_LEN_MAX, Place},
    lone::{self, Lone, Resume, archive, floor, names},
};
use kafscale_runtime::Handle;
use kafscale_store::{StoreDate, hedge::BURST};
use support::*;
use tokio::sync::mpsc;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

fn name(position: Position) -> String {
    names::frame(GENERATION, position)
}

/// A story that begins with an open log on an empty bucket: its frames end at 4.
fn story<F: Future<Output = ()> + Send + 'static>(
    tell: impl FnOnce(Handle, Arc<TestStore>, Opening) -> F + Send + 'static,
) {
    let world = World::new();
    let runtime = world.runtime();
    world.run(async move {
        let store = TestStore::new(&runtime);
        let open = open(&store, &runtime).await;
        store.forget_calls();
        tell(runtime, store, open).await;
    });
}

fn is_fenced<T>(outcome: &Result<T, AppendError>) -> bool {
    matches!(outcome, Err(AppendError::Fenced(_)))
}

#[test]
fn four_positions_are_in_flight_and_a_fifth_waits_for_the_first() {
    story(|runtime, store, open| async move {
        store.script(Op::Create, &name(5), 1, Answer::After(MS * 100));
        let began = runtime.now();
        let first: Vec<_> = (5..9).map(|n| open.log.append(draft(&format!("a{n}")))).collect();
        let over = open.log.append(draft("too many")).await;
        assert!(matches!(over, Err(AppendError::Refused(_))), "{over:?}");
        assert_eq!(join_all(first).await, [Ok(5), Ok(6), Ok(7), Ok(8)]);
        assert_eq!(runtime.now() - began, MS * 100, "later ones wait for the first and then count at once");
        assert_eq!(open.append("a9").await, 9);
        let started: Vec<_> = store.calls(Op::Create, "log/").iter().map(|call| call.at - began).collect();
        assert_eq!(started, [0, 0, 0, 0, 100].map(|ms| MS * ms));
        assert_eq!(open.frames.positions(), (1..=9).collect::<Vec<_>>());
    });
}

#[test]
fn whoever_is_handed_a_frame_finds_its_place_in_the_window_free() {
    /// A replica on another thread, as fast as can be: it appends at the very moment in which the frame arrives.
    struct AppendOnWake(Arc<Lone>, Mutex<Option<Result<Position, AppendError>>>);
    impl Wake for AppendOnWake {
        fn wake(self: Arc<Self>) {
            *self.1.lock().unwrap() = self.0.append(draft("next")).now_or_never();
        }
    }
    let world = World::new();
    let runtime = world.runtime();
    world.run(async move {
        let store = TestStore::new(&runtime);
        let (sender, mut frames) = mpsc::channel(16);
        let (log, opened) = lone::open(open_args(&store, &runtime, Resume::default(), sender)).await.unwrap();
        for _ in 0..opened.tail {
            frames.recv().await.unwrap();
        }
        let replica = Arc::new(AppendOnWake(Arc::clone(&log), Mutex::default()));
        let waker = Waker::from(Arc::clone(&replica));
        let mut next = pin!(frames.recv());
        assert!(next.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let window: Vec<_> = (0..4).map(|n| log.append(draft(&format!("a{n}")))).collect();
        assert!(join_all(window).await.iter().all(Result::is_ok));
        assert!(!matches!(&*replica.1.lock().unwrap(), Some(Err(_))), "{:?}", replica.1);
    });
}

#[test]
fn headers_say_what_was_settled_and_applied() {
    story(|_, store, open| async move {
        let progress = kafscale_log::Progress { position: 4, digest: 77 };
        open.log.applied(progress);
        join_all((0..4).map(|n| open.log.append(draft(&format!("a{n}"))))).await;
        for position in 5..9 {
            let place = Place { cluster_id: CLUSTER, generation: GENERATION, position };
            let frame = frame::decode(store.object(&name(position)).unwrap(), &place).unwrap();
            assert_eq!((frame.header.settled, frame.header.progress), (5, progress));
            let object = store.object(&name(position)).unwrap();
            assert!(object.ends_with(format!("payload of a{}", position - 5).as_bytes()));
        }
    });
}

#[test]
fn every_fault_of_a_create_is_repeated_until_it_is_definite() {
    let faults = [
        Answer::Unavailable(None),
        Answer::Unknown,
        Answer::AppliedUnknown,
        Answer::AppliedLater(MS * 30),
        Answer::AppliedLater(MS * 3000),
        Answer::Hang,
        Answer::AppliedHang,
        Answer::Refused,
        Answer::Conflict,
    ];
    for fault in faults {
        story(move |_, store, open| async move {
            store.script(Op::Create, &name(6), 3, fault);
            store.script(Op::Get, &name(6), 2, Answer::Unavailable(None));
            let all = join_all((5..9).map(|n| open.log.append(draft(&format!("a{n}"))))).await;
            assert_eq!(all, [Ok(5), Ok(6), Ok(7), Ok(8)], "{fault:?}");
            assert_eq!(open.frames.story()[4..], ["a5", "a6", "a7", "a8"], "{fault:?}");
            assert!(open.log.figures().repeats > 0 || open.log.figures().read_backs > 0, "{fault:?}");
        });
    }
}

#[test]
fn a_store_that_asks_to_wait_is_heard_up_to_five_seconds() {
    for (asked, waited) in [(3, 3), (100, 5)] {
        story(move |_, store, open| async move {
            store.script(Op::Create, &name(5), 1, Answer::Unavailable(Some(Duration::from_secs(asked))));
            open.append("a").await;
            let at: Vec<_> = store.calls(Op::Create, &name(5)).iter().map(|call| call.at).collect();
            assert_eq!(at[1] - at[0], Duration::from_secs(waited) + MS * 10);
        });
    }
}

#[test]
fn an_outage_is_outlasted_and_the_oldest_append_tells_how_long() {
    story(|runtime, store, open| async move {
        store.script(Op::Create, "log/", 60, Answer::Unavailable(None));
        let asked_at = runtime.now();
        let append = open.log.append(draft("a"));
        runtime.sleep(MS * 25_000).await;
        assert_eq!(open.log.figures().pending_since, Some(asked_at));
        assert_eq!(append.await, Ok(5));
        assert!(runtime.now() - asked_at > Duration::from_secs(50));
        assert_eq!(open.log.figures().pending_since, None);
    });
}

#[test]
fn a_foreign_frame_fences_all_that_is_pending() {
    story(|runtime, store, open| async move {
        store.script(Op::Create, &name(5), usize::MAX, Answer::Unavailable(None));
        store.put(&name(7), Bytes::from_static(b"not even a frame"));
        let began = runtime.now();
        let all = join_all((5..9).map(|n| open.log.append(draft(&format!("a{n}"))))).await;
        assert!(all.iter().all(is_fenced), "{all:?}");
        assert_eq!(runtime.now() - began, MS * 20, "at once, though an earlier one is still repeated");
        runtime.sleep(MS * 10_000).await;
        assert!(open.frames.ended());
        assert_eq!(open.frames.positions(), [1, 2, 3, 4]);
        let tries = store.calls(Op::Create, &name(5)).len();
        runtime.sleep(MS * 10_000).await;
        assert_eq!(store.calls(Op::Create, &name(5)).len(), tries, "a fenced engine writes nothing more");
    });
}

#[test]
fn dropped_appends_are_committed_in_their_order() {
    story(|_, _, open| async move {
        drop(open.log.append(draft("a")));
        drop(open.log.append(draft("b")));
        assert_eq!(open.append("c").await, 7);
        assert_eq!(open.frames.story()[4..], ["a", "b", "c"]);
    });
}

#[test]
fn a_dropped_log_finishes_what_is_pending_and_ends_its_frames() {
    story(|runtime, store, Opening { log, frames, .. }| async move {
        store.script(Op::Create, &name(5), 1, Answer::AppliedUnknown);
        let pending = log.append(draft("a"));
        drop(log);
        assert_eq!(pending.await, Ok(5));
        runtime.sleep(MS).await;
        assert!(frames.ended());
        assert_eq!(frames.story()[4..], ["a"]);
    });
}

#[test]
fn too_large_a_draft_is_refused_and_takes_no_position() {
    story(|_, _, open| async move {
        let entries = Bytes::from(vec![0; ENTRIES_LEN_MAX + 1]);
        let refused = open.log.append(kafscale_log::Draft { entries, ..Default::default() }).await;
        assert!(matches!(refused, Err(AppendError::Refused(_))));
        assert_eq!(open.append("a").await, 5);
    });
}

#[test]
fn a_slow_create_gets_a_second_one_beside_it_within_the_budget() {
    for may_hedge in [true, false] {
        story(move |runtime, store, open| async move {
            store.set_facts(|facts| facts.may_hedge = may_hedge);
            for _ in 0..100 {
                open.append("warm").await;
            }
            store.script(Op::Create, &name(105), 1, Answer::After(MS * 5000));
            let began = runtime.now();
            assert_eq!(open.append("slow").await, 105);
            // p95 is 10 ms, the floor 20 ms and up to a quarter more; the second one takes 10 ms.
            let expected = if may_hedge { MS * 30..=MS * 35 } else { MS * 5000..=MS * 5000 };
            assert!(expected.contains(&(runtime.now() - began)));
            assert_eq!(open.log.figures().hedges, u64::from(may_hedge));
            store.script(Op::Create, "log/", usize::MAX, Answer::After(MS * 100));
            for _ in 0..35 {
                open.append("all slow").await;
            }
            // 4 creates of the take-over, 136 appends: 7 hedges at most, and what was saved up.
            let hedges = open.log.figures().hedges;
            assert!(hedges <= 7 + u64::from(BURST), "{hedges}");
        });
    }
}

#[test]
fn both_of_a_hedged_pair_may_land_or_fail() {
    story(|_, store, open| async move {
        for _ in 0..100 {
            open.append("warm").await;
        }
        // The first is applied and hangs, the second meets it: the write id tells that it is ours.
        store.script(Op::Create, &name(105), 1, Answer::AppliedHang);
        assert_eq!(open.append("slow").await, 105);
        assert_eq!(open.log.figures().read_backs, 1);
        // One of them fails: the other decides.
        store.script(Op::Create, &name(106), 1, Answer::After(MS * 60));
        store.script(Op::Create, &name(106), 1, Answer::Unavailable(None));
        assert_eq!(open.append("slow").await, 106);
        assert_eq!(open.log.figures().repeats, 0);
    });
}

#[test]
fn a_create_on_a_trimmed_name_does_not_count() {
    // A zombie slept for hours; its successor took over, went on, and trimmed all that the zombie could have met.
    story(|runtime, store, zombie| async move {
        let successor = open(&store, &runtime).await;
        for n in 0..10 {
            successor.append(&format!("b{n}")).await;
        }
        runtime.sleep(HOUR * 2).await;
        successor.log.trim(19, Arc::new(|_| false)).await.unwrap();
        assert!(!store.names().contains(&name(5)));

        let late = zombie.log.append(draft("late")).await;
        assert!(is_fenced(&late), "{late:?}");
        assert!(store.names().contains(&name(5)), "the create itself succeeded");
        assert!(zombie.frames.ended());
        assert_eq!(zombie.frames.positions(), [1, 2, 3, 4]);
    });
}

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
fn a_create_that_took_longer_than_a_minute_counts_once_the_floor_was_read() {
    story(|_, store, open| async move {
        open.append("quick").await;
        assert_eq!(store.calls(Op::Get, names::FLOOR).len(), 0);
        store.script(Op::Create, &name(6), 1, Answer::AppliedLater(MS * 70_000));
        store.script(Op::Create, &name(6), 70, Answer::Unavailable(None));
        assert_eq!(open.append("slow").await, 6);
        assert_eq!(store.calls(Op::Get, names::FLOOR).len(), 1);
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
        assert!(error.to_string().contains("session 2 has taken over the log"), "{error}");
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
fn frames_carry_the_time_of_the_store() {
    story(|runtime, store, open| async move {
        let unix_ms = support::executor::EPOCH_MS + 60_000;
        store.set_date(StoreDate { unix_ms, seen_at: runtime.now() });
        runtime.sleep(MS * 500).await;
        open.append("a").await;
        assert_eq!(open.frames.all()[4].header.cluster_time_ms, unix_ms + 500);
        assert!(!open.log.clock_is_suspect());
        store.set_date(StoreDate { unix_ms: unix_ms * 2, seen_at: runtime.now() });
        open.append("b").await;
        assert_eq!(open.frames.all()[5].header.cluster_time_ms, unix_ms + 510);
        assert!(open.log.clock_is_suspect());
    });
}

/// The kept positions, the floor, and the bounds of the archives.
fn kept(store: &TestStore) -> (Vec<Position>, Option<Position>, Vec<(Position, Position)>) {
    let names_of = store.names();
    let frames = names_of.iter().filter_map(|name| names::frame_position(GENERATION, name)).collect();
    let floor = store.object(names::FLOOR).map(|bytes| floor::decode(&bytes).unwrap().position);
    let archives = names_of.iter().filter_map(|name| names::archive_bounds(GENERATION, name)).collect();
    (frames, floor, archives)
}

async fn ten(open: &Opening) {
    for n in 5..=10 {
        open.append(&format!("a{n}")).await;
    }
}

fn no_one() -> Arc<dyn Fn(Position) -> bool + Send + Sync> {
    Arc::new(|_| false)
}

#[test]
fn trimming_archives_then_deletes_what_nothing_refers_to() {
    story(|runtime, store, open| async move {
        ten(&open).await;
        open.log.trim(8, Arc::new(|position| position == 6)).await.unwrap();
        assert_eq!(kept(&store), (vec![6, 8, 9, 10], Some(8), vec![(1, 8)]));
        let bytes = store.object(&names::archive(GENERATION, 1, 8)).unwrap();
        let frames = archive::decode(&bytes, CLUSTER).unwrap();
        assert_eq!(frames.iter().map(|frame| frame.header.position).collect::<Vec<_>>(), (1..8).collect::<Vec<_>>());
        assert_eq!(frames[6].entries, Bytes::from_static(b"a7"));
        assert!(!bytes.windows(7).any(|window| window == b"payload"), "no record data in an archive");

        // What was kept goes once nothing refers to it any more.
        open.log.trim(8, no_one()).await.unwrap();
        assert_eq!(kept(&store), (vec![8, 9, 10], Some(8), vec![(1, 8)]));
        open.log.trim(10, no_one()).await.unwrap();
        assert_eq!(kept(&store), (vec![10], Some(10), vec![(1, 8), (8, 10)]));
        open.log.delete_archives(8).await.unwrap();
        assert_eq!(kept(&store).2, [(8, 10)]);

        let resume = Resume { progress: kafscale_log::Progress { position: 9, digest: 0 }, ..Resume::default() };
        let again = open_from(&store, &runtime, resume).await.unwrap();
        assert_eq!(again.frames.positions(), [10, 11, 12, 13, 14]);
    });
}

#[test]
fn a_trim_that_broke_off_anywhere_is_completed_by_the_next() {
    for (op, part) in [(Op::Create, "archive/"), (Op::Replace, "floor"), (Op::Delete, "log/"), (Op::List, "log/")] {
        story(move |_, store, open| async move {
            ten(&open).await;
            store.script(op, part, usize::MAX, if op == Op::Create { Answer::AppliedUnknown } else { Answer::Hang });
            if op == Op::Create {
                store.script(Op::Get, "archive/", usize::MAX, Answer::Hang);
            }
            let _ = open.log.trim(8, no_one()).await.unwrap_err();
            let whole = kept(&store);
            assert!(whole.0.len() == 10, "nothing is deleted before its time: {whole:?}");
            store.clear_script();
            open.log.trim(9, no_one()).await.unwrap();
            let (frames, floor, archives) = kept(&store);
            assert_eq!((frames, floor), (vec![9, 10], Some(9)), "{op:?}");
            assert_eq!(archives.last().map(|(_, to)| *to), Some(9));
            assert_eq!(open.append("on").await, 11);
        });
    }
}

#[test]
fn nothing_is_trimmed_beyond_the_tail_over_a_hole_or_by_a_fenced_session() {
    story(|runtime, store, old| async move {
        ten(&old).await;
        assert!(old.log.trim(12, no_one()).await.unwrap_err().to_string().contains("beyond the tail"));
        let third = store.object(&name(3)).unwrap();
        store.remove(&name(3));
        assert!(old.log.trim(8, no_one()).await.unwrap_err().to_string().contains("position 3"));
        assert_eq!(kept(&store).1, None);
        store.put(&name(3), third);
        let _new = open(&store, &runtime).await;
        assert!(old.log.trim(8, no_one()).await.unwrap_err().to_string().contains("fenced"));
        assert_eq!(kept(&store).1, None);
    });
}

#[test]
fn figures_count_what_happened() {
    story(|_, store, open| async move {
        store.script(Op::Create, &name(5), 1, Answer::AppliedUnknown);
        open.append("a").await;
        open.log.barrier().await.unwrap();
        let figures = Lone::figures(&open.log);
        assert_eq!((figures.creates, figures.repeats, figures.read_backs), (5, 1, 1));
        assert_eq!((figures.barriers, figures.barrier_reads), (1, 1));
        assert_eq!((figures.tail, figures.definite), (5, 5));
    });
}

#[test]
fn a_large_create_over_a_slow_line_is_given_its_time() {
    story(|runtime, store, open| async move {
        store.script(Op::Create, &name(5), 1, Answer::After(MS * 35_000));
        let began = runtime.now();
        let payload = Bytes::from(vec![0; 30 << 20]).into();
        let append = open.log.append(kafscale_log::Draft { entries: Bytes::from_static(b"big"), payload });
        assert_eq!(append.await, Ok(5));
        assert_eq!(runtime.now() - began, MS * 35_000);
        assert_eq!(open.log.figures().repeats, 0);
    });
}

#[test]
fn a_session_that_is_taken_over_while_it_archives_does_not_move_the_floor() {
    story(|runtime, store, old| async move {
        ten(&old).await;
        store.script(Op::Create, "archive/", 1, Answer::After(MS * 200));
        let (trimmed, _new) = join(old.log.trim(8, no_one()), open(&store, &runtime)).await;
        assert!(trimmed.unwrap_err().to_string().contains("fenced"));
        let (frames, floor, _) = kept(&store);
        assert_eq!((frames.len(), floor), (14, None));
    });
}

#[test]
fn deletes_that_come_late_ask_again_who_writes() {
    story(|runtime, store, old| async move {
        ten(&old).await;
        store.script(Op::Replace, "floor", 1, Answer::After(MS * 9_000));
        let take_over = async {
            runtime.sleep(MS * 5_000).await;
            let new = open(&store, &runtime).await;
            store.script(Op::List, "log/", 1, Answer::After(MS * 9_000));
            new
        };
        let (trimmed, _new) = join(old.log.trim(8, no_one()), take_over).await;
        assert!(trimmed.unwrap_err().to_string().contains("fenced"));
        assert_eq!(store.calls(Op::Delete, "").len(), 0);
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
