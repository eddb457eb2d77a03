//! Trimming on a store that fails in every way.

use super::*;

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
