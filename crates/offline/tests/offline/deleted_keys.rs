//! Compacted topics whose log is gone: a key that was deleted stays so, whichever older objects still have its value.

use std::sync::Arc;

use kafscale_broker::Broker;
use kafscale_offline::recover;
use kafscale_records::{BatchBuilder, Codec};
use kafscale_segment::{
    merged,
    names::{MERGED, MergedId, merged as merged_name},
};
use kafscale_state::{
    Merged, Verdict,
    entry::{self, Entry, Swap, SwapExtent},
    verdict::SwapRefused,
};
use kafscale_store::{Body, ReadRange, Store};

use crate::{
    common::{Client, NOW_MS},
    places::{MINUTE, Place, Records, consume, story},
    recovery::WISH,
};

#[test]
fn a_deleted_key_stays_deleted_where_its_tombstone_is_gone() {
    story(move |world| async move {
        let mut place = Place::new(&world, false);
        let broker = place.start().await;
        let client = Client::connect(&broker);
        let settings =
            [("cleanup.policy", "compact"), ("delete.retention.ms", "1000"), ("min.cleanable.dirty.ratio", "0.01")];
        client.create_topic("table", 1, &settings).await;
        let say = |key: &'static str, value: Option<&'static str>| {
            let bytes = BatchBuilder::new(Codec::None).record(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes));
            client.produce("table", 0, bytes.build())
        };
        say("deleted", Some("value")).await.offset();
        say("kept", Some("value")).await.offset();
        world.sleep(3 * MINUTE).await;
        broker.snapshotter().take().await.expect("memory");
        let merged_then = place.names(&place.data, MERGED).await;
        say("deleted", None).await.offset();
        // Twice and more, so that the tombstone is seen, merged, cleaned and let go.
        for _ in 0..4 {
            world.sleep(3 * MINUTE).await;
            say("other", Some("value")).await.offset();
        }
        world.sleep(3 * MINUTE).await;
        let keys = |records: &Records| records[&("table".to_owned(), 0)].len();
        assert_eq!(keys(&consume(&broker).await), 2, "kept and other");
        let now = place.names(&place.data, MERGED).await;
        assert!(merged_then.iter().any(|name| now.contains(name)), "an object with the deleted value is still there");
        place.kill();
        place.delete(place.log(), "log/").await;
        let plan = recover::plan(&place.bucket(), WISH).await.expect("there is enough");
        recover::execute(&place.bucket(), plan, &|_, _| ()).await.expect("it is done");
        let broker = place.start().await;
        assert_eq!(keys(&consume(&broker).await), 2, "the deleted key is not back");
        place.is_sound().await;
    });
}

/// Settings of a topic that is compacted whenever there is something to compact.
pub const CLEANED: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("delete.retention.ms", "1000"), ("min.cleanable.dirty.ratio", "0.01")];

/// A table of which `deleted` is gone, tombstone and all; the bytes of an object that still has its value are given.
async fn table(place: &mut Place) -> (Arc<Broker>, Client, Vec<u8>) {
    let broker = place.start().await;
    let client = Client::connect(&broker);
    client.create_topic("table", 1, &CLEANED).await;
    write(&client, "deleted", Some("value")).await;
    write(&client, "kept", Some("value")).await;
    place.world.sleep(3 * MINUTE).await;
    let names = place.names(&place.data, MERGED).await;
    let old = place.data.get(&names[0], ReadRange::All).await.expect("it is there").to_vec();
    write(&client, "deleted", None).await;
    for _ in 0..4 {
        place.world.sleep(3 * MINUTE).await;
        write(&client, "other", Some("value")).await;
    }
    place.world.sleep(3 * MINUTE).await;
    assert_eq!(keys(&consume(&broker).await), 2, "kept and other");
    (broker, client, old)
}

pub async fn write(client: &Client, key: &str, value: Option<&str>) {
    let record = BatchBuilder::new(Codec::None).record(NOW_MS, Some(key.as_bytes()), value.map(str::as_bytes));
    client.produce("table", 0, record.build()).await.offset();
}

fn keys(records: &Records) -> usize {
    records[&("table".to_owned(), 0)].len()
}

/// The same records in an object of another name.
fn renamed(cluster: u128, old: &[u8], id: &MergedId) -> (Vec<u8>, merged::Part) {
    let tail_len = merged::tail_len(&old[old.len() - merged::FOOTER_LEN..]).expect("a footer");
    let tail_at = old.len() - usize::try_from(tail_len).expect("it is short");
    let (_, parts) = merged::parse_tail(&old[..merged::HEADER_LEN], &old[tail_at..]).expect("it is whole");
    let header = merged::Header { cluster, id: *id };
    let bytes = [&header.encode()[..], &old[merged::HEADER_LEN..tail_at], &merged::tail(&header, &parts)[..]].concat();
    (bytes, parts[0].clone())
}

async fn recover_table(place: &mut Place) -> usize {
    let plan = recover::plan(&place.bucket(), WISH).await.expect("there is enough");
    recover::execute(&place.bucket(), plan, &|_, _| ()).await.expect("it is done");
    place.is_sound().await;
    let broker = place.start().await;
    keys(&consume(&broker).await)
}

const LATE: MergedId = MergedId { level: 2, session: 1, number: 900, nonce: 1 };

#[test]
fn an_object_that_never_counted_does_not_bring_a_deleted_key_back() {
    for is_log_there in [true, false] {
        story(move |world| async move {
            let mut place = Place::new(&world, false);
            let (broker, _client, old) = table(&mut place).await;
            let cluster = broker.cluster().id;
            broker.snapshotter().take().await.expect("memory");
            place.kill();
            let (bytes, _) = renamed(cluster, &old, &LATE);
            let body = Body::from(bytes::Bytes::from(bytes));
            place.data.create(&merged_name(cluster, &LATE), body).await.expect("it is free");
            if !is_log_there {
                place.delete(place.log(), "log/").await;
            }
            assert_eq!(recover_table(&mut place).await, 2);
        });
    }
}

#[test]
fn an_object_that_the_log_refused_does_not_bring_a_deleted_key_back() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, client, old) = table(&mut place).await;
        let cluster = broker.cluster().id;
        let (bytes, part) = renamed(cluster, &old, &LATE);
        let body = Body::from(bytes::Bytes::from(bytes));
        place.data.create(&merged_name(cluster, &LATE), body).await.expect("it is free");
        let MergedId { level, session, number, nonce } = LATE;
        let extents = part.extents.iter().map(|extent| SwapExtent {
            end: extent.end,
            bytes: extent.bytes,
            max_timestamp: extent.max_timestamp,
        });
        let swap = Swap {
            partition: part.handle,
            first: part.first,
            sources: 7,
            position: part.position,
            extents: extents.collect(),
        };
        let object = Merged { store: 0, level, session, number, nonce };
        let entry = Entry::Merged(entry::Merged { object, swaps: vec![swap] });
        let verdict = broker.writer().submit(None, entry, true).await.expect("it is applied");
        assert_eq!(verdict, Verdict::Merged(vec![Err(SwapRefused::SourcesChanged)]));
        broker.snapshotter().take().await.expect("memory");
        // There is more than the snapshot knows, so objects have to be asked.
        write(&client, "other", Some("newer")).await;
        world.sleep(3 * MINUTE).await;
        place.kill();
        place.delete(place.log(), "log/").await;
        assert_eq!(recover_table(&mut place).await, 2);
    });
}
