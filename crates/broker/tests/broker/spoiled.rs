//! Stores that a start finds otherwise than its predecessor left them: newer, damaged, or with something missing. It refuses with
//! a clear error and changes nothing, or goes by what is whole.

use bytes::Bytes;
use kafscale_broker::{StartError, snapshot};
use kafscale_log::{
    data,
    frame::{self, Kind},
    lone::{OpenError, floor, names},
};
use kafscale_state::entry::{self, Entry};
use kafscale_store::{Body, MemoryStore, ReadRange, Store};

use crate::{
    common::{Client, batch},
    faults::everything,
    scripted::{Process, story},
};

/// Adds a frame with these entries behind the last one, as a broker of the last session would.
async fn add_frame(memory: &MemoryStore, entries: &Bytes) {
    let last = memory.list("log/", "", 1_000).await.expect("memory").pop().expect("a log");
    let bytes = memory.get(&last.name, ReadRange::All).await.expect("memory");
    let mut header = frame::decode_header(&bytes).expect("a frame");
    header.position += 1;
    header.settled = header.position;
    header.write_id.sequence += 1;
    header.kind = Kind::Entries;
    header.progress = Default::default();
    let body = frame::encode(&mut header, entries, &Body::default()).expect("small");
    memory.create(&names::frame(header.generation, header.position), body).await.expect("free");
}

/// Everything in the store.
async fn contents(memory: &MemoryStore) -> Vec<(String, Bytes)> {
    let mut contents = Vec::new();
    for row in memory.list("", "", 1_000).await.expect("memory") {
        let bytes = memory.get(&row.name, ReadRange::All).await.expect("memory");
        contents.push((row.name, bytes));
    }
    contents
}

/// Changes two bytes of an object, as a newer version would have written them.
async fn set_number(memory: &MemoryStore, name: &str, at: usize, number: u16) {
    let mut bytes = memory.get(name, ReadRange::All).await.expect("memory").to_vec();
    bytes[at..at + 2].copy_from_slice(&number.to_be_bytes());
    memory.replace(name, Bytes::from(bytes).into()).await.expect("memory");
}

/// What a newer version may have left in a store.
#[derive(Debug, Clone)]
enum Newer {
    Marker,
    Floor,
    /// Two bytes of the newest snapshot.
    Snapshot(usize),
    /// The format of the last frame.
    Frame,
    Entries(Bytes),
}

impl Newer {
    async fn write(self, memory: &MemoryStore) {
        match self {
            Self::Marker => {
                memory.replace("cluster.json", Bytes::from_static(b"{\"format\": 9}").into()).await.expect("memory")
            }
            Self::Floor => {
                let floor = floor::encode(floor::Floor { generation: 1, position: 1 });
                memory.replace(names::FLOOR, floor.into()).await.expect("memory");
                set_number(memory, names::FLOOR, 4, 9).await;
            }
            Self::Snapshot(at) => {
                let newest = memory.list("snapshot/", "", 1_000).await.expect("memory").pop().expect("one was taken");
                set_number(memory, &newest.name, at, 9).await;
                // Else it would be a damaged one: the footer is length, XXH3-128 of what is before it, and four letters.
                let mut bytes = memory.get(&newest.name, ReadRange::All).await.expect("memory").to_vec();
                let footer = bytes.len() - 28;
                let hash = data::section_hash(&bytes[..footer]);
                bytes[footer + 8..footer + 24].copy_from_slice(&hash.to_be_bytes());
                memory.replace(&newest.name, Bytes::from(bytes).into()).await.expect("memory");
            }
            Self::Frame => {
                let last = memory.list("log/", "", 1_000).await.expect("memory").pop().expect("a log");
                set_number(memory, &last.name, 4, 9).await;
            }
            Self::Entries(entries) => add_frame(memory, &entries).await,
        }
    }
}

#[test]
fn a_store_of_a_newer_version_is_not_opened_and_not_touched() {
    let known = entry::encode(&[Entry::PidBlock(entry::PidBlock { count: 1 })]);
    let level = entry::encode(&[Entry::FeatureLevel(entry::FeatureLevel { level: 900 })]);
    let changed = |at: usize, byte: u8| {
        let mut bytes = known.to_vec();
        bytes[at] = byte;
        Newer::Entries(bytes.into())
    };
    for (newer, theirs, ours) in [
        (Newer::Marker, "format 9", "knows 2"),
        (Newer::Floor, "format 9", "known up to 1"),
        (Newer::Snapshot(4), "format version 9", "knows 3"),
        (Newer::Snapshot(6), "feature level 9", "knows 1"),
        (Newer::Frame, "format 9", "known up to 1"),
        (changed(0, 200), "kind 200", "of feature level 1"),
        (changed(1, 9), "version 9", "does not know"),
        (Newer::Entries(level), "feature level to 900", "knows 1"),
    ] {
        story(move |world, memory| async move {
            let process = Process::new(&world, &memory);
            let broker = process.cluster.start().await;
            take_snapshot(&memory, &broker).await;
            Client::connect(&broker).create_topic("t", 1, &[]).await;
            drop(broker);
            process.node.kill();
            newer.clone().write(&memory).await;
            let before = contents(&memory).await;
            let error = Process::new(&world, &memory).try_start().await.err().expect("it is newer").to_string();
            assert!(error.contains("newer version"), "{newer:?}: {error}");
            assert!(error.contains(theirs) && error.contains(ours), "{newer:?}: {error}");
            assert_eq!(contents(&memory).await, before, "{newer:?}");
        });
    }
}

#[test]
fn the_snapshot_before_a_corrupted_one_serves() {
    story(|world, memory| async move {
        let first = Process::new(&world, &memory);
        let broker = first.cluster.start().await;
        let client = Client::connect(&broker);
        client.create_topic("t", 1, &[]).await;
        let mut names = Vec::new();
        for _ in 0..2 {
            client.produce("t", 0, batch(2).build()).await.offset();
            names.push(take_snapshot(&memory, &broker).await);
        }
        client.produce("t", 0, batch(2).build()).await.offset();
        let expected = everything(&client).await;
        drop((client, broker));
        first.node.kill();
        let [older, newest] = &names[..] else { unreachable!("two were taken") };
        damage(&memory, newest).await;
        let second = Process::new(&world, &memory);
        let client = Client::connect(&second.cluster.start().await);
        assert_eq!(everything(&client).await, expected);
        second.node.kill();

        damage(&memory, older).await;
        let before = memory.list("", "", 1_000).await.expect("memory");
        let error = Process::new(&world, &memory).try_start().await.err().expect("none is left");
        assert!(matches!(error, StartError::Snapshot(snapshot::Error::NoneReadable(2))), "{error}");
        assert_eq!(memory.list("", "", 1_000).await.expect("memory"), before, "nothing was touched");
    });
}

/// Stores a snapshot of a broker as its snapshotter would.
async fn take_snapshot(memory: &MemoryStore, broker: &kafscale_broker::Broker) -> String {
    let state = broker.replica().snapshot();
    let name = format!("snapshot/{:020}-{:020}", broker.cluster().generation, state.position());
    let body = Body::new(kafscale_state::snapshot::encode(&state).collect());
    memory.create(&name, body).await.expect("free");
    name
}

async fn damage(memory: &MemoryStore, name: &str) {
    let mut bytes = memory.get(name, ReadRange::All).await.expect("it is there").to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    memory.replace(name, Body::from(Bytes::from(bytes))).await.expect("memory");
}

#[test]
fn a_lost_log_object_refuses_the_start_and_nothing_is_deleted() {
    story(|world, memory| async move {
        let process = Process::new(&world, &memory);
        let client = Client::connect(&process.cluster.start().await);
        client.create_topic("t", 1, &[]).await;
        for _ in 0..10 {
            client.produce("t", 0, batch(1).build()).await.offset();
        }
        process.node.kill();
        let lost = names::frame(1, 7);
        let kept = memory.get(&lost, ReadRange::All).await.expect("it is there");
        memory.delete(std::slice::from_ref(&lost)).await.expect("memory");
        let before = memory.list("", "", 1_000).await.expect("memory");
        let error = Process::new(&world, &memory).try_start().await.err().expect("something is missing");
        assert!(matches!(error, StartError::Log(OpenError::Lost { position: 7 })), "{error}");
        assert_eq!(memory.list("", "", 1_000).await.expect("memory"), before);

        memory.create(&lost, Body::from(kept)).await.expect("free");
        let client = Client::connect(&Process::new(&world, &memory).cluster.start().await);
        assert_eq!(everything(&client).await.len(), 10, "put back, all is there");
    });
}
