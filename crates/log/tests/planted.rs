//! Bugs that are planted and must be seen. In a binary of their own, because a planted bug is in the whole process.

mod support;

use bytes::Bytes;
use kafscale_log::{
    AppendError, Log, Position, Progress,
    frame::{self, Header, Kind, WriteId},
    lone::{OpenError, Resume, names},
    planted::{Bug, plant},
};
use kafscale_store::Body;
use support::*;

fn foreign(position: Position) -> Bytes {
    let mut header = Header {
        kind: Kind::Entries,
        cluster_id: CLUSTER,
        generation: GENERATION,
        position,
        session: 1,
        write_id: WriteId { incarnation: 0xf0, sequence: position },
        cluster_time_ms: 0,
        settled: position,
        progress: Progress::default(),
        entries_len: 0,
        payload_len: 0,
        entries_hash: 0,
    };
    frame::encode(&mut header, &Bytes::from_static(b"foreign"), &Body::default()).unwrap().to_bytes()
}

/// Whether a lost object refuses the start.
fn a_loss_is_refused() -> bool {
    let world = World::new();
    let runtime = world.runtime();
    world.run(async move {
        let store = TestStore::new(&runtime);
        (1..=20).filter(|position| *position != 9).for_each(|position| {
            store.put(&names::frame(GENERATION, position), foreign(position));
        });
        let error = open_from(&store, &runtime, Resume::default()).await.err();
        error == Some(OpenError::Lost { position: 9 })
    })
}

/// Whether a predecessor is fenced, and nobody counts another's frame as its own.
fn a_predecessor_is_fenced() -> bool {
    let world = World::new();
    let runtime = world.runtime();
    world.run(async move {
        let store = TestStore::new(&runtime);
        let old = open(&store, &runtime).await;
        let new = open(&store, &runtime).await;
        new.append("new").await;
        matches!(old.log.append(draft("late")).await, Err(AppendError::Fenced(_)))
    })
}

#[test]
fn planted_bugs_are_seen() {
    assert!(a_loss_is_refused());
    assert!(a_predecessor_is_fenced());

    plant(Some(Bug::HoleTakenForTail));
    assert!(!a_loss_is_refused());

    plant(Some(Bug::CreateBelievedUnread));
    assert!(!a_predecessor_is_fenced());

    plant(None);
    assert!(a_loss_is_refused());
    assert!(a_predecessor_is_fenced());
}
