//! Stores that somebody has hurt: each hurt is found, named, and no other one.

use bytes::Bytes;
use kafscale_log::{data, frame, lone::names};
use kafscale_offline::{
    Error, Known, Until,
    backup::backup,
    fsck::{self, Depth, Severity},
};
use kafscale_records::Batch;
use kafscale_store::{ReadRange, Store};

use crate::places::{MINUTE, Place, consume, lived, spoiled, story};

/// Findings that are no notes: severity, kind, and the object's name.
async fn found(place: &Place, depth: Depth) -> Vec<(Severity, &'static str, String)> {
    let report = fsck::check(&place.bucket(), depth, &|_, _| ()).await.expect("it can be checked");
    let worth = report.findings.into_iter().filter(|finding| finding.severity > Severity::Note);
    worth.map(|finding| (finding.severity, finding.kind, finding.name)).collect()
}

async fn named(place: &Place, prefix: &str, end: &str) -> String {
    let names = place.names(&place.data, prefix).await;
    names.into_iter().rfind(|name| name.ends_with(end)).expect("there is one")
}

async fn bytes(place: &Place, name: &str) -> Bytes {
    place.data.get(name, ReadRange::All).await.expect("it is there")
}

async fn write(place: &Place, name: &str, bytes: impl Into<Bytes>) {
    place.data.replace(name, bytes.into().into()).await.expect("memory");
}

fn flipped(bytes: &Bytes, at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn every_hurt_of_a_segment_is_named() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        lived(&mut place).await;
        place.kill();
        let kfs = named(&place, "default/orders/", ".kfs").await;
        let other = named(&place, "default/events/", ".kfs").await;
        let (good, alien) = (bytes(&place, &kfs).await, bytes(&place, &other).await);
        let last = good.len() - 1;
        for (bad, kind) in [
            (flipped(&good, 0), "header"),
            (flipped(&good, 15), "header"),
            (flipped(&good, 5), "header"),
            (flipped(&good, 100), "batch"),
            (flipped(&good, last), "header"),
            (flipped(&good, last - 13), "checksum"),
            (flipped(&good, last - 6), "checksum"),
            (flipped(&good, 24), "checksum"),
            (good[..last].to_vec(), "truncated"),
            (good[..10].to_vec(), "truncated"),
            ([&good[..], b"x"].concat(), "truncated"),
            (alien.to_vec(), "truncated"),
        ] {
            write(&place, &kfs, bad).await;
            assert_eq!(found(&place, Depth::Whole).await, [(Severity::Damage, kind, kfs.clone())]);
        }
        place.data.delete(std::slice::from_ref(&kfs)).await.expect("memory");
        for depth in [Depth::Quick, Depth::Whole] {
            assert_eq!(found(&place, depth).await, [(Severity::Damage, "missing", kfs.clone())]);
        }
        write(&place, &kfs, good).await;
        assert_eq!(found(&place, Depth::Whole).await, []);
    });
}

#[test]
fn indexes_are_mended() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        lived(&mut place).await;
        place.kill();
        let index = named(&place, "default/orders/", ".index").await;
        let good = bytes(&place, &index).await;
        for bad in [None, Some(flipped(&good, 23)), Some(flipped(&good, 27)), Some(good[..20].to_vec())] {
            let kind = if bad.is_some() { "index-wrong" } else { "index-missing" };
            match bad {
                Some(bad) => write(&place, &index, bad).await,
                None => place.data.delete(std::slice::from_ref(&index)).await.expect("memory"),
            }
            assert_eq!(found(&place, Depth::Whole).await, [(Severity::Flaw, kind, index.clone())]);
            let bucket = place.bucket();
            let report = fsck::check(&bucket, Depth::Whole, &|_, _| ()).await.expect("it can be checked");
            let mended = fsck::repair(&bucket, &report).await.expect("it can be mended");
            assert_eq!(mended, std::slice::from_ref(&index));
            assert_eq!(bytes(&place, &index).await, good, "as it was");
            assert_eq!(found(&place, Depth::Whole).await, []);
        }
    });
}

#[test]
fn merged_objects_and_frames_are_looked_through() {
    for apart in [false, true] {
        story(move |world| async move {
            let mut place = Place::new(&world, apart);
            let (broker, mut load) = lived(&mut place).await;
            load.produce(2).await;
            world.sleep(2 * MINUTE).await;
            load.produce(1).await;
            drop(broker);
            place.kill();
            let flush = if apart { "data/" } else { "log/" };
            let flush = named(&place, flush, "").await;
            let names = place.names(&place.data, "merged/").await;
            let merged = names.last().expect("there is one").clone();
            let good = bytes(&place, &merged).await;
            for (bad, severity, kind) in [
                (flipped(&good, 1), Severity::Damage, "header"),
                (flipped(&good, 45), Severity::Damage, "header"),
                (flipped(&good, 120), Severity::Damage, "batch"),
                (good[..90].to_vec(), Severity::Damage, "truncated"),
                (flipped(&good, good.len() - 30), Severity::Flaw, "section"),
            ] {
                write(&place, &merged, bad).await;
                assert_eq!(found(&place, Depth::Whole).await, [(severity, kind, merged.clone())]);
            }
            write(&place, &merged, good).await;

            let good = bytes(&place, &flush).await;
            let tail = if apart { 150 } else { good.len() - 20 };
            write(&place, &flush, flipped(&good, tail)).await;
            assert_eq!(found(&place, Depth::Whole).await, [(Severity::Damage, "batch", flush.clone())]);
            assert_eq!(found(&place, Depth::Quick).await, [], "a quick look does not see it");
            let batch = match apart {
                true => data::HEADER_LEN,
                false => frame::decode_header(&good).expect("it is a frame").head_len() as usize,
            };
            let len = Batch::parse(&good[batch..]).expect("a batch begins there").bytes().len();
            let bad = [&good[..batch], &spoiled(&good[batch..batch + len]), &good[batch + len..]].concat();
            write(&place, &flush, bad).await;
            assert_eq!(found(&place, Depth::Whole).await, [(Severity::Damage, "unreadable", flush.clone())]);
            write(&place, &flush, good).await;
            assert_eq!(found(&place, Depth::Whole).await, []);
        });
    }
}

#[test]
fn what_a_broker_needs_no_more_is_looked_through_as_well() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        let (broker, mut load) = lived(&mut place).await;
        for _ in 0..3 {
            load.produce(1).await;
            broker.snapshotter().take().await.expect("memory");
            world.sleep(70 * MINUTE).await;
        }
        place.kill();
        for (prefix, kind, severity) in [("archive/", "archive", Severity::Flaw), ("floor", "floor", Severity::Damage)]
        {
            let name = named(&place, prefix, "").await;
            let good = bytes(&place, &name).await;
            for at in [0, good.len() / 2, good.len() - 1] {
                write(&place, &name, flipped(&good, at)).await;
                assert_eq!(found(&place, Depth::Whole).await, [(severity, kind, name.clone())]);
            }
            write(&place, &name, good).await;
        }
        assert_eq!(found(&place, Depth::Whole).await, []);
    });
}

/// What stands before the damage is known, checked and read; no backup takes it for the whole.
#[test]
fn a_damaged_end_of_the_log_hides_nothing_before_it() {
    for apart in [false, true] {
        story(move |world| async move {
            let mut place = Place::new(&world, apart);
            let (broker, mut load) = lived(&mut place).await;
            broker.snapshotter().take().await.expect("memory");
            load.produce(1).await;
            let (before, position) = (consume(&broker).await, broker.replica().applied());
            load.produce(1).await;
            let last = broker.replica().applied();
            place.kill();
            let frame = names::frame(1, position + 1);
            let good = place.log().get(&frame, ReadRange::All).await.expect("it is there");
            let bad = flipped(&good, 20);
            place.log().replace(&frame, Bytes::from(bad).into()).await.expect("memory");
            let known = Known::open(&place.bucket(), Until::Tail).await.expect("what can be read is known");
            let cut = known.cut.expect("the damage is told");
            assert_eq!((cut.position, cut.last, &cut.name), (position + 1, last, &frame));
            assert!(cut.damage.is_some());
            assert_eq!(place.cat().await, before);
            let merged = named(&place, "merged/", "").await;
            for depth in [Depth::Quick, Depth::Whole] {
                assert_eq!(found(&place, depth).await, [(Severity::Damage, "log-damaged", frame.clone())]);
            }
            place.data.delete(std::slice::from_ref(&merged)).await.expect("memory");
            let missing = (Severity::Damage, "missing", merged);
            assert!(found(&place, Depth::Quick).await.contains(&missing), "what is known is checked as ever");
            let copy = Place::new(&world, false);
            let refused = backup(&place.bucket(), &copy.bucket().plain(), &|_, _| ()).await.expect_err("it is cut");
            assert!(matches!(&refused, Error::Damaged { name, .. } if *name == frame), "{refused}");
            assert!(refused.to_string().contains("`kafscale recover` comes first"), "{refused}");
            assert!(copy.names(&copy.data, "").await.is_empty(), "nothing is copied");
        });
    }
}

#[test]
fn what_the_log_lost_is_told() {
    story(|world| async move {
        let mut place = Place::new(&world, false);
        lived(&mut place).await;
        place.kill();
        let frames = place.names(&place.data, "log/").await;
        let lost = frames[frames.len() - 8].clone();
        place.data.delete(std::slice::from_ref(&lost)).await.expect("memory");
        let found = found(&place, Depth::Quick).await;
        assert!(found.contains(&(Severity::Damage, "log-lost", lost)), "{found:?}");
    });
}
