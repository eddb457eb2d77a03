//! Opening the log of a lone broker: what is replayed, who takes over, and when the start is refused.

mod support;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::join;
use kafscale_log::{
    AppendError, BarrierError, Log, Position, Progress,
    frame::{self, DecodeError, Header, Kind, WriteId},
    lone::{OpenError, Resume, floor, names},
};
use kafscale_store::Body;
use support::*;

fn name(position: Position) -> String {
    names::frame(GENERATION, position)
}

/// A frame as some other process would have written it.
fn foreign(position: Position, session: u64, settled: Position, entries: &str) -> Bytes {
    let mut header = Header {
        kind: if entries.is_empty() { Kind::Fill } else { Kind::Entries },
        cluster_id: CLUSTER,
        generation: GENERATION,
        position,
        session,
        write_id: WriteId { incarnation: 0xf0, sequence: position },
        cluster_time_ms: 0,
        settled,
        progress: Progress::default(),
        entries_len: 0,
        payload_len: 0,
        entries_hash: 0,
    };
    frame::encode(&mut header, &Bytes::copy_from_slice(entries.as_bytes()), &Body::default()).unwrap().to_bytes()
}

/// A bucket with frames of session 1 at 1..=last, as a writer without a window would have left them.
fn bucket_with(runtime: &kafscale_runtime::Handle, last: Position) -> Arc<TestStore> {
    let store = TestStore::new(runtime);
    for position in 1..=last {
        store.put(&name(position), foreign(position, 1, position, &format!("old {position}")));
    }
    store
}

fn story<T: Send + 'static, F>(tell: impl FnOnce(kafscale_runtime::Handle) -> F) -> T
where
    F: Future<Output = T> + Send + 'static,
{
    let world = World::new();
    world.run(tell(world.runtime()))
}

#[test]
fn an_empty_bucket_opens_in_three_round_trips() {
    story(|runtime| async move {
        let store = TestStore::new(&runtime);
        let began = runtime.now();
        let open = open(&store, &runtime).await;
        assert_eq!((open.opened.session, open.opened.position, open.opened.tail), (1, 1, 4));
        assert_eq!(open.opened.round_trips, 3);
        assert_eq!(runtime.now() - began, Duration::from_millis(30));
        assert_eq!(open.append("a").await, 5);
        assert_eq!(open.frames.story(), ["session 1", "-", "-", "-", "a"]);
    });
}

#[test]
fn a_restart_replays_the_same_frames_and_goes_on_behind_them() {
    story(|runtime| async move {
        let store = TestStore::new(&runtime);
        let first = open(&store, &runtime).await;
        for n in 0..100 {
            first.append(&format!("a{n}")).await;
        }
        let seen = first.frames.story();
        drop(first);
        let second = open(&store, &runtime).await;
        assert_eq!(second.opened.session, 2);
        assert_eq!(second.frames.story()[..seen.len()], seen);
        assert_eq!(second.append("b").await, 109);
        assert_eq!(second.frames.positions(), (1..=109).collect::<Vec<_>>());
    });
}

#[test]
fn frames_arrive_while_the_log_opens_through_a_small_channel() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 500);
        let began = runtime.now();
        let open = open(&store, &runtime).await;
        assert_eq!(open.opened.replayed, 504);
        assert_eq!(open.frames.positions(), (1..=504).collect::<Vec<_>>());
        // 4 reads at first, twice as many with every round trip, 64 at most: 4+8+16+32+64*7 covers it.
        assert!(open.opened.round_trips <= 16, "{} round trips", open.opened.round_trips);
        assert_eq!(runtime.now() - began, Duration::from_millis(10) * open.opened.round_trips);
    });
}

#[test]
fn replay_begins_after_the_snapshot() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 5);
        let resume = Resume { progress: Progress { position: 3, digest: 9 }, session: 8, cluster_time_ms: 0 };
        let open = open_from(&store, &runtime, resume).await.unwrap();
        assert_eq!(open.frames.story(), ["old 4", "old 5", "session 9", "-", "-", "-"]);
        assert_eq!(open.frames.all()[2].header.progress, resume.progress);
    });
}

#[test]
fn long_entries_take_a_second_read() {
    // The first read takes 64 KiB, and 144 bytes of them are the header.
    for (len, reads) in [(65_392, 1), (65_393, 2), (200_000, 2)] {
        story(move |runtime| async move {
            let store = TestStore::new(&runtime);
            let long = "x".repeat(len);
            store.put(&name(1), foreign(1, 1, 1, &long));
            let open = open(&store, &runtime).await;
            assert_eq!(open.frames.story()[0], long);
            assert_eq!(store.calls(Op::Get, &name(1)).len(), reads, "{len} bytes");
        });
    }
}

#[test]
fn a_lost_object_refuses_the_start_and_changes_nothing() {
    story(|runtime| async move {
        for lost in [3, 9, 16] {
            let store = bucket_with(&runtime, 20);
            store.remove(&name(lost));
            let before = store.names();
            let error = open_from(&store, &runtime, Resume::default()).await.err();
            assert_eq!(error, Some(OpenError::Lost { position: lost }));
            assert_eq!(store.names(), before);
            assert!(error.unwrap().to_string().contains("kafscale recover"));
        }
    });
}

#[test]
fn a_missing_position_that_nobody_calls_settled_is_a_crash_and_not_a_loss() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 5);
        // Four creates were in flight behind 5; those of 6 and 8 never landed.
        store.put(&name(7), foreign(7, 1, 6, "void 7"));
        store.put(&name(9), foreign(9, 1, 6, "void 9"));
        let open = open(&store, &runtime).await;
        assert_eq!((open.opened.position, open.opened.tail), (6, 9));
        assert_eq!(open.frames.story()[5..], ["session 2", "void 7", "-", "void 9"]);
        assert_eq!(open.append("a").await, 10);
    });
}

#[test]
fn an_object_beyond_the_window_that_calls_the_hole_settled_is_a_loss_even_alone() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 5);
        store.put(&name(10), foreign(10, 1, 7, "ten"));
        let error = open_from(&store, &runtime, Resume::default()).await.err();
        assert_eq!(error, Some(OpenError::Lost { position: 6 }));
    });
}

#[test]
fn a_take_over_that_was_cut_short_is_completed() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 5);
        // It had found its tail at 6, tried 8 ahead, and crashed when three of its twelve creates had landed.
        store.put(&name(8), foreign(8, 2, 6, ""));
        store.put(&name(14), foreign(14, 2, 6, "session 2"));
        store.put(&name(17), foreign(17, 2, 6, ""));
        let open = open(&store, &runtime).await;
        assert_eq!((open.opened.session, open.opened.position, open.opened.tail), (3, 18, 21));
        assert_eq!(open.frames.positions(), (1..=21).collect::<Vec<_>>());
        assert_eq!(open.frames.story()[13], "session 2");
        assert_eq!(open.append("a").await, 22);
    });
}

#[test]
fn damage_above_the_snapshot_refuses_the_start() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 5);
        let mut bytes = store.object(&name(4)).unwrap().to_vec();
        bytes[100] ^= 1;
        store.put(&name(4), bytes.into());
        let error = open_from(&store, &runtime, Resume::default()).await.err();
        assert_eq!(error, Some(OpenError::Corrupt { position: 4, source: DecodeError::Checksum }));

        let resume = Resume { progress: Progress { position: 4, digest: 0 }, ..Resume::default() };
        assert_eq!(open_from(&store, &runtime, resume).await.unwrap().opened.position, 6);
    });
}

#[test]
fn frames_of_another_cluster_or_a_newer_version_refuse_the_start() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 2);
        let alien = foreign(3, 1, 3, "three").to_vec();
        let mut newer = alien.clone();
        newer[5] = 2;
        store.put(&name(3), newer.into());
        let error = open_from(&store, &runtime, Resume::default()).await.err().unwrap();
        assert!(error.to_string().contains("written by a newer version"), "{error}");
        store.put(&name(3), foreign(4, 1, 3, "moved"));
        let error = open_from(&store, &runtime, Resume::default()).await.err();
        let source = DecodeError::Position { expected: 3, found: 4 };
        assert_eq!(error, Some(OpenError::Corrupt { position: 3, source }));
    });
}

#[test]
fn a_snapshot_below_the_floor_is_too_old() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 20);
        (1..=12).for_each(|position| store.remove(&name(position)));
        store.put(names::FLOOR, floor::encode(floor::Floor { generation: GENERATION, position: 13 }));
        let error = open_from(&store, &runtime, Resume::default()).await.err();
        assert_eq!(error, Some(OpenError::Trimmed { floor: 13, position: 1 }));

        // The same when nothing is left that could call the hole settled.
        (13..=20).for_each(|position| store.remove(&name(position)));
        let error = open_from(&store, &runtime, Resume::default()).await.err();
        assert_eq!(error, Some(OpenError::Trimmed { floor: 13, position: 1 }));
    });
}

#[test]
fn an_idle_predecessor_is_fenced_by_its_next_append_and_acknowledges_nothing() {
    story(|runtime| async move {
        let store = TestStore::new(&runtime);
        let old = open(&store, &runtime).await;
        old.append("a").await;
        let new = open(&store, &runtime).await;
        assert_eq!(new.opened.position, 6);
        let refused = old.log.append(draft("late")).await;
        assert!(matches!(refused, Err(AppendError::Fenced(_))), "{refused:?}");
        assert!(matches!(old.log.append(draft("later")).await, Err(AppendError::Fenced(_))));
        assert!(matches!(old.log.barrier().await, Err(BarrierError::Fenced(_))));
        assert!(old.log.wait_fenced().await.contains("taken over this store: session 2 "));
        assert_eq!(new.append("b").await, 10);
        assert!(old.frames.ended());
        assert!(!store.names().iter().any(|name| name.contains("late")));
    });
}

#[test]
fn a_busy_predecessor_is_taken_over_and_nothing_acknowledged_is_missing() {
    story(|runtime| async move {
        let store = TestStore::new(&runtime);
        let old = open(&store, &runtime).await;
        let writer = async {
            let mut acknowledged = Vec::new();
            let mut pending = std::collections::VecDeque::new();
            for n in 0.. {
                pending.push_back((n, old.log.append(draft(&format!("a{n}")))));
                if pending.len() < old.log.window() {
                    continue;
                }
                let (n, outcome) = pending.pop_front().unwrap();
                match outcome.await {
                    Ok(_) => acknowledged.push(format!("a{n}")),
                    Err(_) => break,
                }
            }
            acknowledged
        };
        let successor = async {
            runtime.sleep(Duration::from_millis(105)).await;
            open(&store, &runtime).await
        };
        let (acknowledged, new) = join(writer, successor).await;
        assert!(acknowledged.len() > 20, "the predecessor was busy: {}", acknowledged.len());
        let story = new.frames.story();
        let before = &story[..usize::try_from(new.opened.position).unwrap()];
        let kept: Vec<_> = before.iter().filter(|text| text.starts_with('a')).cloned().collect();
        assert_eq!(kept[..acknowledged.len()], acknowledged);
        assert_eq!(new.frames.positions(), (1..=new.opened.tail).collect::<Vec<_>>());
    });
}

#[test]
fn of_many_that_start_at_once_each_acknowledged_append_counts() {
    story(|runtime| async move {
        let store = TestStore::new(&runtime);
        let start = |n: u64| {
            let (store, runtime) = (store.clone(), runtime.clone());
            async move {
                runtime.sleep(Duration::from_millis(3 * n)).await;
                let open = open(&store, &runtime).await;
                let outcome = open.log.append(draft(&format!("by {n}"))).await;
                (open, outcome)
            }
        };
        let started = futures_util::future::join_all((0..4).map(start)).await;
        let last = open(&store, &runtime).await;
        let mut sessions: Vec<_> = started.iter().map(|(open, _)| open.opened.session).collect();
        sessions.dedup();
        assert_eq!(sessions.len(), 4, "each has a session of its own: {sessions:?}");
        // What apply would make of the log: frames of lower sessions than the last accepted take-over are void.
        let mut session = 0;
        let mut counts = Vec::new();
        for frame in last.frames.all() {
            let text = String::from_utf8(frame.entries.to_vec()).unwrap();
            if text.starts_with("session") && frame.header.session > session {
                session = frame.header.session;
            } else if frame.header.session >= session {
                counts.push((frame.header.position, text));
            }
        }
        for (n, (_, outcome)) in started.iter().enumerate() {
            if let Ok(position) = outcome {
                assert!(counts.contains(&(*position, format!("by {n}"))), "{n} at {position}: {counts:?}");
            }
        }
        assert!(started.iter().any(|(_, outcome)| outcome.is_ok()));
    });
}

#[test]
fn faults_of_the_store_delay_the_start_and_do_not_end_it() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 10);
        store.script(Op::Get, "log/", 7, Answer::Unavailable(None));
        store.script(Op::List, "log/", 2, Answer::Hang);
        store.script(Op::Create, &name(11), 1, Answer::AppliedUnknown);
        store.script(Op::Create, &name(12), 1, Answer::AppliedHang);
        store.script(Op::Create, &name(13), 2, Answer::Conflict);
        store.script(Op::Get, names::FLOOR, 1, Answer::Hang);
        let open = open(&store, &runtime).await;
        assert_eq!((open.opened.position, open.opened.tail), (11, 14));
        assert_eq!(open.frames.story()[10..], ["session 2", "-", "-", "-"]);
    });
}

#[test]
fn a_store_that_refuses_or_stays_away_ends_the_start_with_its_reason() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 2);
        store.script(Op::Create, "log/", 1, Answer::Refused);
        let error = open_from(&store, &runtime, Resume::default()).await.err();
        assert_eq!(error, Some(OpenError::Refused("403".into())));
        store.script(Op::Get, "log/", usize::MAX, Answer::Unavailable(None));
        let error = open_from(&store, &runtime, Resume::default()).await.err();
        assert_eq!(error, Some(OpenError::Unavailable("503".into())));
    });
}

#[test]
fn two_that_start_at_once_never_share_a_session() {
    story(|runtime| async move {
        let store = bucket_with(&runtime, 5);
        store.put(&name(10), foreign(10, 1, 6, ""));
        // Another process takes over at 8 with the number that we choose too, after we looked and before we write at 11.
        let (other, clock) = (store.clone(), runtime.clone());
        let land = async move {
            while other.calls(Op::Create, &name(11)).is_empty() {
                clock.sleep(Duration::from_millis(1)).await;
            }
            other.put(&name(8), foreign(8, 2, 6, "session 2"));
        };
        runtime.spawn("other", Box::pin(land));
        let open = open(&store, &runtime).await;
        let takers = open.frames.all().into_iter().filter(|frame| frame.entries.starts_with(b"session"));
        let takers: Vec<_> = takers.map(|frame| (frame.header.position, frame.header.session)).collect();
        assert_eq!(takers[..2], [(8, 2), (11, 2)], "both chose the same number");
        assert_eq!(open.opened.session, 3);
        assert_eq!(takers[2], (open.opened.position, 3));
    });
}
