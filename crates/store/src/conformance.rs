//! The contract as a test that every store must pass, also every real server.
//!
//! [`run`] works below one prefix of its own, so that it may share a store with others, and leaves nothing behind if it
//! passes. It panics with the sentence of the contract that was broken.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::future::join_all;

use kafscale_runtime::TokioRuntime;

use crate::{Body, CreateError, Listed, Racer, ReadError, ReadRange, Store};

/// Runs every check below `prefix` (a name; nothing may be there yet).
pub async fn run(store: &dyn Store, prefix: &str) {
    let suite = Suite { store, prefix };
    suite.create_is_write_once().await;
    suite.racing_creates_have_one_winner().await;
    suite.bytes_come_back_as_they_were().await;
    suite.ranges_are_cut_at_the_end().await;
    suite.absent_objects_are_not_found().await;
    suite.listings_are_ordered_and_resume().await;
    suite.numbers_list_in_order().await;
    suite.replace_is_visible_at_once().await;
    suite.delete_is_idempotent_and_visible_at_once().await;
    suite.odd_names_work().await;
    suite.bad_names_are_refused().await;
    suite.nothing_is_left().await;
}

struct Suite<'a> {
    store: &'a dyn Store,
    prefix: &'a str,
}

fn body(text: &str) -> Body {
    Bytes::copy_from_slice(text.as_bytes()).into()
}

impl Suite<'_> {
    fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.prefix)
    }

    async fn create(&self, rest: &str, text: &str) {
        self.store.create(&self.name(rest), body(text)).await.expect("a create of an absent name succeeds");
    }

    async fn read(&self, rest: &str) -> Bytes {
        self.store.get(&self.name(rest), ReadRange::All).await.expect("what was written can be read")
    }

    async fn at(&self, rest: &str, start: u64, len: u64) -> Bytes {
        let read = self.store.get(&self.name(rest), ReadRange::At { start, len }).await;
        read.expect("any range of an object can be read")
    }

    async fn listed(&self, rest: &str, after: &str, limit: usize) -> Vec<Listed> {
        let after = if after.is_empty() { String::new() } else { self.name(after) };
        self.store.list(&self.name(rest), &after, limit).await.expect("a prefix can be listed")
    }

    async fn names(&self, rest: &str, after: &str, limit: usize) -> Vec<String> {
        let own = format!("{}/", self.prefix);
        let strip = |row: Listed| row.name.strip_prefix(&own).expect("a listing keeps to its prefix").to_owned();
        self.listed(rest, after, limit).await.into_iter().map(strip).collect()
    }

    async fn delete(&self, rest: &[&str]) {
        let names: Vec<_> = rest.iter().map(|rest| self.name(rest)).collect();
        self.store.delete(&names).await.expect("deleting works, whether or not the objects exist");
    }

    async fn create_is_write_once(&self) {
        self.create("once", "first").await;
        let second = self.store.create(&self.name("once"), body("second")).await;
        assert_eq!(second, Err(CreateError::AlreadyExists), "a second create of a name fails");
        assert_eq!(self.read("once").await, "first", "a failed create changes nothing");
        self.delete(&["once"]).await;
        self.create("once", "third").await;
        assert_eq!(self.read("once").await, "third", "a name is free again once its object is deleted");
        self.delete(&["once"]).await;
    }

    async fn racing_creates_have_one_winner(&self) {
        const WRITERS: usize = 16;
        for round in 0..4 {
            let rest = format!("race/{round}");
            let name = self.name(&rest);
            let bodies: Vec<_> = (0..WRITERS).map(|writer| format!("writer {writer}")).collect();
            let racers = Racer::line_up(&TokioRuntime::handle(), WRITERS as u32);
            let creates =
                bodies.iter().zip(racers).map(|(text, racer)| self.store.create(&name, body(text).raced_by(racer)));
            let results = join_all(creates).await;
            let winners: Vec<_> = (0..WRITERS).filter(|&writer| results[writer].is_ok()).collect();
            assert_eq!(winners.len(), 1, "exactly one of 16 racing creates succeeds: {results:?}");
            assert_eq!(self.read(&rest).await, bodies[winners[0]], "the bytes are the winner's");
            for (writer, result) in results.iter().enumerate().filter(|(writer, _)| *writer != winners[0]) {
                assert_eq!(result, &Err(CreateError::AlreadyExists), "writer {writer} lost");
            }
            self.delete(&[&rest]).await;
        }
    }

    async fn bytes_come_back_as_they_were(&self) {
        self.store.create(&self.name("empty"), Body::default()).await.expect("an empty object can be created");
        assert_eq!(self.read("empty").await, "", "an empty object is empty");
        assert_eq!(self.at("empty", 0, 10).await, "", "an empty object has no range");
        assert_eq!(self.listed("empty", "", 10).await, [Listed { name: self.name("empty"), size: 0 }]);

        // 9 MiB in 2,000 segments of unequal length, some of them empty.
        let whole: Bytes = (0..9 << 20).map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut segments = Vec::new();
        let mut rest = whole.clone();
        for index in 0..2_000 {
            segments.push(rest.split_to((index * 5).min(rest.len())));
        }
        segments.push(rest);
        let name = self.name("large");
        self.store.create(&name, Body::new(segments)).await.expect("a body of many segments can be written");
        assert!(self.read("large").await == whole, "a large body comes back as it was");
        assert_eq!(self.at("large", 8 << 20, 100).await, whole.slice(8 << 20..(8 << 20) + 100), "a range of it too");
        assert_eq!(self.listed("large", "", 10).await, [Listed { name, size: 9 << 20 }], "its length is listed");
        self.delete(&["empty", "large"]).await;
    }

    async fn ranges_are_cut_at_the_end(&self) {
        self.create("range", "0123456789").await;
        for (start, len, expected) in [
            (0, 10, "0123456789"),
            (0, 1, "0"),
            (3, 4, "3456"),
            (9, 1, "9"),
            (9, 100, "9"),
            (0, 100, "0123456789"),
            (10, 1, ""),
            (1_000_000, 10, ""),
            (4, 0, ""),
            (0, u64::MAX, "0123456789"),
            (u64::MAX, u64::MAX, ""),
        ] {
            assert_eq!(self.at("range", start, len).await, expected, "{len} bytes from {start}");
        }
        self.delete(&["range"]).await;
    }

    async fn absent_objects_are_not_found(&self) {
        self.create("folder/object", "x").await;
        for rest in ["absent", "folder", "folder/absent", "folder/object-not", "no/such/folder"] {
            for range in [ReadRange::All, ReadRange::At { start: 0, len: 1 }, ReadRange::At { start: 5, len: 0 }] {
                let read = self.store.get(&self.name(rest), range).await;
                assert!(matches!(read, Err(ReadError::NotFound(_))), "{rest} {range:?} is not found: {read:?}");
            }
        }
        self.delete(&["folder/object"]).await;
    }

    async fn listings_are_ordered_and_resume(&self) {
        let mut all = ["l/a", "l/a-b", "l/a.b/c", "l/a.b/d", "l/ab", "l/b/1/x", "l/b/2", "l/b_", "l/c"];
        for rest in all.iter().rev() {
            self.create(rest, "x").await;
            assert!(
                self.names("l/", "", 100).await.contains(&(*rest).to_owned()),
                "a created object is listed at once"
            );
        }
        all.sort_unstable();
        assert_eq!(self.names("l/", "", 100).await, all, "a listing is in ascending order of bytes");
        assert_eq!(self.names("l/b", "", 100).await, ["l/b/1/x", "l/b/2", "l/b_"], "a prefix may end anywhere");
        assert_eq!(self.names("l/a.b/", "", 100).await, ["l/a.b/c", "l/a.b/d"], "or at a folder");
        assert_eq!(self.names("l/nothing", "", 100).await, [""; 0], "nothing is listed as nothing");
        assert_eq!(self.names("l/", "", 4).await, all[..4], "a limit is kept");
        for (index, rest) in all.iter().enumerate() {
            assert_eq!(self.names("l/", rest, 100).await, all[index + 1..], "a listing resumes after {rest}");
            assert_eq!(self.names("l/", rest, 1).await, all[index + 1..].iter().copied().take(1).collect::<Vec<_>>());
        }
        assert_eq!(self.names("l/", "l/a.b/cc", 1).await, ["l/a.b/d"], "it resumes after a name that is absent");
        assert_eq!(
            self.names("l/b", "l/a", 100).await,
            ["l/b/1/x", "l/b/2", "l/b_"],
            "after may lie before the prefix"
        );
        assert_eq!(self.names("l/b", "l/c", 100).await, [""; 0], "or behind it");
        self.delete(&all).await;
    }

    async fn numbers_list_in_order(&self) {
        let numbers = [0_u64, 1, 2, 999, 1_000, 1_001, 1_999, 2_000, 54_321, 9_999_999_999];
        let mut all: Vec<_> = numbers.iter().map(|number| format!("log/{:020}/{number:020}", 1)).collect();
        all.push(format!("log/{:020}/{:020}", 2, 7));
        // Neighbours that sort between numbers.
        all.push(format!("log/{:020}/{:020}-x", 1, 1_000));
        all.push(format!("log/{:020}/{:019}", 1, 0));
        for rest in all.iter().rev() {
            self.create(rest, "x").await;
        }
        all.sort_unstable();
        assert_eq!(self.names("log/", "", 100).await, all, "numbers are listed in order");
        for (index, rest) in all.iter().enumerate() {
            assert_eq!(self.names("log/", rest, 100).await, all[index + 1..], "and resume after {rest}");
            assert_eq!(self.names(rest, "", 1).await, all[index..=index], "and are found by their whole name");
        }
        let thousands = format!("log/{:020}/{}", 1, "000000000000000010");
        assert_eq!(self.names(&thousands, "", 100).await.len(), 3, "and by any part of it");
        self.delete(&all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    }

    async fn replace_is_visible_at_once(&self) {
        let name = self.name("floor");
        for text in ["one", "two, longer", ""] {
            self.store.replace(&name, body(text)).await.expect("a replace succeeds whatever is there");
            assert_eq!(self.read("floor").await, text, "and is read at once");
        }
        let create = self.store.create(&name, body("new")).await;
        assert_eq!(create, Err(CreateError::AlreadyExists), "a replaced object exists");
        self.delete(&["floor"]).await;
    }

    async fn delete_is_idempotent_and_visible_at_once(&self) {
        self.create("d/1", "x").await;
        self.create("d/2", "x").await;
        self.delete(&["d/1", "d/absent", "d/no/such/folder"]).await;
        self.delete(&["d/1"]).await;
        self.delete(&[]).await;
        let read = self.store.get(&self.name("d/1"), ReadRange::All).await;
        assert!(matches!(read, Err(ReadError::NotFound(_))), "a deleted object is gone: {read:?}");
        assert_eq!(self.names("d/", "", 100).await, ["d/2"], "a deleted object is not listed, the others are");
        // More than one request can name on S3.
        let many: Vec<_> = (0..1_100).map(|number| format!("d/none-{number}")).collect();
        self.delete(&many.iter().map(String::as_str).chain(["d/2"]).collect::<Vec<_>>()).await;
        assert_eq!(self.names("d/", "", 100).await, [""; 0], "many objects are deleted in one call");
    }

    async fn odd_names_work(&self) {
        let long = format!("odd/{}", "x".repeat(249));
        let names = ["odd/...", "odd/-", "odd/_", "odd/.hidden", "odd/A", "odd/a.b-c_d", "odd/x/y/z/1/2/3/4/5", &long];
        for rest in names {
            self.create(rest, rest).await;
            assert_eq!(self.read(rest).await, rest, "a name of allowed letters works");
        }
        let listed: BTreeSet<_> = self.names("odd/", "", 100).await.into_iter().collect();
        assert_eq!(listed, names.iter().map(|&name| name.to_owned()).collect(), "and is listed");
        self.delete(&names).await;
    }

    async fn bad_names_are_refused(&self) {
        let too_long = "x".repeat(250);
        for rest in ["../up", "a//b", "a/./b", "a/..", "", "a b", "a+b", "a%2Fb", "é", &too_long] {
            let name = self.name(rest);
            let create = self.store.create(&name, body("x")).await;
            assert!(matches!(create, Err(CreateError::Refused(_))), "{name:?} is refused: {create:?}");
            let get = self.store.get(&name, ReadRange::All).await;
            assert!(matches!(get, Err(ReadError::Refused(_))), "{name:?} is refused: {get:?}");
            assert!(self.store.replace(&name, body("x")).await.is_err(), "{name:?} is refused");
            assert!(self.store.delete(std::slice::from_ref(&name)).await.is_err(), "{name:?} is refused");
        }
        for prefix in ["../", "a/../../", "//"] {
            let listed = self.store.list(&self.name(prefix), "", 10).await;
            assert_eq!(listed, Ok(Vec::new()), "no object's name begins with {prefix}");
        }
    }

    async fn nothing_is_left(&self) {
        assert_eq!(self.names("", "", 100).await, [""; 0], "all that was created was deleted");
    }
}
