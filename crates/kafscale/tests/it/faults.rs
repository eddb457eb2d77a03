//! Faults of the store as a supervisor sees them: what is said, and the exit code.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
};

use bytes::Bytes;
use kafscale_log::frame;
use kafscale_state::entry::{self, Entry};
use kafscale_store::Body;

use crate::{
    bucket::{self, Silence, Ways},
    harness::{Serve, kafscale},
};

#[test]
fn a_bucket_that_is_absent_or_refuses_the_keys_ends_with_3_and_is_named() {
    for (status, code) in [(404, "NoSuchBucket"), (403, "InvalidAccessKeyId"), (403, "SignatureDoesNotMatch")] {
        let directory = tempfile::tempdir().unwrap();
        let variables = bucket::start(Some((status, code)));
        let serve = Serve::start_with(directory.path(), &["--store", "s3://bucket/prefix"], &variables);
        let (exit, said) = serve.end();
        assert_eq!(exit.code(), Some(3), "{said}");
        assert!(said.contains(code), "{said}");
    }
}

#[test]
fn a_bucket_that_ignores_conditions_ends_with_3_and_another_place_for_the_log_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let ways = Ways { ignores_conditions: true, ..Ways::default() };
    let variables = bucket::start_as(ways, Arc::default());
    let serve = Serve::start_with(directory.path(), &["--store", "s3://bucket/prefix"], &variables);
    let (exit, said) = serve.end();
    assert_eq!(exit.code(), Some(3), "{said}");
    assert!(said.contains("the condition is not kept") && said.contains("--log"), "{said}");
    // And so it works.
    let log = format!("file:{}", directory.path().join("log").display());
    let arguments = ["--store", "s3://bucket/prefix", "--log", &log];
    let serve = Serve::start_with(directory.path(), &arguments, &variables).ready();
    let bench = ["bench", "produce", "--records", "10", "--bootstrap-server", &serve.address()];
    assert!(kafscale(&bench, &[]).status().unwrap().success());
}

#[test]
fn an_endpoint_of_the_other_scheme_is_named_as_that_by_serve_and_by_the_probe() {
    let alert = b"\x15\x03\x03\x00\x02\x02\x46";
    let plain = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    for (scheme, answer, words) in [
        ("https", &plain[..], "the endpoint speaks plain http: its address must begin with http:"),
        ("http", &alert[..], "the endpoint speaks TLS: its address must begin with https:"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let variables = bucket::at(&format!("{scheme}://{}", bucket::blunt(answer)));
        let arguments = ["--store", "s3://bucket/prefix"];
        Serve::start_with(directory.path(), &arguments, &variables).says(words);
        let mut probe = kafscale(&["storage", "probe"], &[]);
        let probed = probe.args(arguments).envs(variables).output().unwrap();
        let said = String::from_utf8(probed.stdout).unwrap();
        assert!(said.contains(words), "{said}");
        assert_eq!(probed.status.code(), Some(3));
    }
}

#[test]
fn a_probe_of_a_bucket_that_holds_a_cluster_leaves_its_result_there() {
    let directory = tempfile::tempdir().unwrap();
    let variables = bucket::start(None);
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let probe = || {
        let probed = kafscale(&["storage", "probe", "--store", "s3://bucket/prefix"], &variables).output().unwrap();
        String::from_utf8(probed.stdout).unwrap()
    };
    let first = probe();
    assert!(!first.contains("cluster.json"), "there is no cluster");
    assert!(first.contains("too few for a p99") && first.contains("behind the slowest of these writes"), "{first}");
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>();
    let serve = Serve::start_with(directory.path(), &["--store", "s3://bucket/prefix"], &owned).ready();
    serve.signal("-TERM");
    serve.end();
    let said = probe();
    assert!(said.contains("the result is in cluster.json"), "{said}");
    // This bucket deletes nothing, which the next start knows.
    let serve = Serve::start_with(directory.path(), &["--store", "s3://bucket/prefix"], &owned).ready();
    serve.signal("-TERM");
    let (_, said) = serve.end();
    assert!(said.contains("an earlier probe of the store: many objects are deleted at once"), "{said}");
}

#[test]
fn a_probe_asks_the_bucket_of_the_log_and_reads_the_replica() {
    let directory = tempfile::tempdir().unwrap();
    let store = format!("file:{}", directory.path().display());
    // It deletes nothing, so no log may live there.
    let variables = bucket::start(None);
    let closed = bucket::start(Some((403, "InvalidAccessKeyId")));
    let probe = |arguments: &[&str]| {
        let mut probe = kafscale(&["storage", "probe", "-o", "json", "--store", &store], &[]);
        let probed = probe.args(arguments).envs(variables.clone()).output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&probed.stdout).unwrap();
        (probed.status.code(), json, String::from_utf8(probed.stderr).unwrap())
    };
    let (code, json, said) = probe(&["--log", "s3://bucket/log"]);
    assert_eq!((code, &json["fit_for_log"], &json["log"]["fit_for_log"]), (Some(3), &true.into(), &false.into()));
    assert_eq!(json["log"]["store"], "s3://bucket/log");
    assert!(said.contains("the store of the log, s3://bucket/log: "), "{said}");
    // Before the first start there is no cluster of which a copy could be there.
    let copy = ["--read-replica", "s3://bucket/copy"];
    let (code, json, said) = probe(&copy);
    assert_eq!((code, &json["read_replica"]["is_readable"]), (Some(0), &false.into()), "{said}");
    assert!(json.get("log").is_none());
    let (code, _, said) = probe(&[copy[0], copy[1], "--read-replica-endpoint-url", &closed[0].1]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("the read replica s3://bucket/copy: ") && said.contains("InvalidAccessKeyId"), "{said}");
}

#[test]
fn connections_that_the_bucket_closes_after_some_requests_are_no_failures() {
    let directory = tempfile::tempdir().unwrap();
    let ways = Ways { closes_after: Some(3), ..Ways::default() };
    let variables = bucket::start_as(ways, Arc::default());
    let start = || Serve::start_with(directory.path(), &["--store", "s3://bucket/prefix"], &variables).ready();
    let serve = start();
    for _ in 0..4 {
        let bench = ["bench", "produce", "--topic", "t", "--records", "10", "--bootstrap-server", &serve.address()];
        assert!(kafscale(&bench, &[]).status().unwrap().success());
    }
    serve.signal("-KILL");
    serve.end();
    let serve = start();
    let consume = ["consume", "t", "-f", "%o\n", "--bootstrap-server", &serve.address()];
    let read = kafscale(&consume, &[]).output().unwrap();
    assert_eq!(String::from_utf8(read.stdout).unwrap().lines().count(), 40);
}

#[test]
fn the_older_of_two_brokers_on_one_bucket_ends_with_4() {
    let directory = tempfile::tempdir().unwrap();
    let variables = bucket::start(None);
    let start = || Serve::start_with(directory.path(), &["--store", "s3://bucket/prefix"], &variables).ready();
    let older = start();
    let address = older.address();
    let newer = start();
    // A broker without clients asks the store nothing, so somebody must want something from the first.
    let bench = ["bench", "produce", "--records", "1", "--bootstrap-server", &address];
    let mut bench = kafscale(&bench, &[]).spawn().unwrap();
    let (exit, said) = older.end();
    bench.kill().unwrap();
    bench.wait().unwrap();
    assert_eq!(exit.code(), Some(4), "{said}");
    assert!(said.contains("another broker has taken over"), "{said}");
    let address = newer.address();
    let bench = ["bench", "produce", "--records", "1", "--bootstrap-server", &address];
    assert!(kafscale(&bench, &[]).status().unwrap().success(), "the newer one serves");
}

/// A broker that was told to end while a write hangs, and the client that waits for it.
fn draining(directory: &Path, arguments: &[&str]) -> (Serve, Child) {
    let silence = Arc::new(Silence::default());
    let variables = bucket::start_as(Ways::default(), Arc::clone(&silence));
    let arguments = [&["--store", "s3://bucket/prefix"], arguments].concat();
    // No question to the store is to meet the silence instead.
    let serve = Serve::start_with(directory, &arguments, &variables).ready().says("cluster.json has the result");
    silence.begin();
    let bench = ["bench", "produce", "--records", "1", "--bootstrap-server", &serve.address()];
    let client = kafscale(&bench, &[]).spawn().unwrap();
    silence.is_met();
    serve.signal("-TERM");
    (serve.says("draining"), client)
}

#[test]
fn a_second_signal_ends_a_drain_at_once_and_says_what_that_means() {
    let directory = tempfile::tempdir().unwrap();
    let (serve, mut client) = draining(directory.path(), &["--drain-timeout", "1h"]);
    serve.signal("-INT");
    let (exit, said) = serve.end();
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(exit.code(), Some(1), "{said}");
    assert!(said.contains("SIGINT during the drain: ended at once"), "{said}");
}

#[test]
fn a_drain_that_overruns_its_time_ends_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let (serve, mut client) = draining(directory.path(), &["--drain-timeout", "100ms"]);
    let (exit, said) = serve.end();
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(exit.code(), Some(1), "{said}");
    assert!(said.contains("the drain did not end within 100ms"), "{said}");
}

/// A directory with a few records, and the files of its log in order.
fn written() -> (tempfile::TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &[]).ready();
    let bench = ["bench", "produce", "--records", "10", "--bootstrap-server", &serve.address()];
    assert!(kafscale(&bench, &[]).status().unwrap().success());
    serve.signal("-TERM");
    assert_eq!(serve.end().0.code(), Some(0));
    let log = files(directory.path()).into_keys().filter(|path| path.starts_with(directory.path().join("log")));
    let log = log.collect();
    (directory, log)
}

/// All files below a directory with their content, but for the store's own.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !path.to_str().unwrap().contains("/+") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_lost_log_object_ends_with_5_and_nothing_is_changed() {
    let (directory, log) = written();
    fs::remove_file(&log[2]).unwrap();
    let before = files(directory.path());
    let (exit, said) = Serve::start(directory.path(), &[]).end();
    assert_eq!(exit.code(), Some(5), "{said}");
    assert!(said.contains("the log lost position 3"), "{said}");
    assert_eq!(files(directory.path()), before);
}

#[test]
fn a_damaged_log_object_ends_with_5_and_nothing_is_changed() {
    let (directory, log) = written();
    let mut bytes = fs::read(&log[1]).unwrap();
    bytes[60] ^= 1;
    fs::write(&log[1], bytes).unwrap();
    let before = files(directory.path());
    let (exit, said) = Serve::start(directory.path(), &[]).end();
    assert_eq!(exit.code(), Some(5), "{said}");
    assert!(said.contains("unreadable at position 2"), "{said}");
    assert_eq!(files(directory.path()), before);
}

#[test]
fn a_frame_of_a_newer_format_ends_with_6() {
    let (directory, log) = written();
    let last = log.last().unwrap();
    let mut bytes = fs::read(last).unwrap();
    bytes[5] = 2;
    fs::write(last, bytes).unwrap();
    let (exit, said) = Serve::start(directory.path(), &[]).end();
    assert_eq!(exit.code(), Some(6), "{said}");
    assert!(said.contains("newer version"), "{said}");
}

#[test]
fn an_entry_of_a_kind_that_only_a_newer_version_knows_ends_with_6() {
    let (directory, log) = written();
    let last = log.last().unwrap();
    let mut header = frame::decode_header(&fs::read(last).unwrap()).unwrap();
    header.position += 1;
    header.settled = header.position;
    header.progress = Default::default();
    let mut entries = entry::encode(&[Entry::PidBlock(entry::PidBlock { count: 1 })]).to_vec();
    entries[0] = 200;
    let body = frame::encode(&mut header, &Bytes::from(entries), &Body::default()).unwrap();
    fs::write(last.with_file_name(format!("{:020}", header.position)), body.to_bytes()).unwrap();
    let (exit, said) = Serve::start(directory.path(), &[]).end();
    assert_eq!(exit.code(), Some(6), "{said}");
    assert!(said.contains("kind 200"), "{said}");
}
