//! The log in another store than the records, as a supervisor sees it: what is served, what is refused and with which code.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use crate::harness::{Serve, kafscale};

fn client(serve: &Serve, arguments: &[&str]) -> Command {
    kafscale(arguments, &[("KAFSCALE_BOOTSTRAP", &serve.address())])
}

fn produce(serve: &Serve, lines: &str) {
    let mut process = client(serve, &["produce", "t"]).stdin(Stdio::piped()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(process.wait().unwrap().success());
}

fn consumed(serve: &Serve) -> String {
    let Output { status, stdout, .. } = client(serve, &["consume", "t"]).output().unwrap();
    assert!(status.success());
    String::from_utf8(stdout).unwrap()
}

/// `file:` and the folder `name` in a directory.
fn file(directory: &Path, name: &str) -> String {
    format!("file:{}", directory.join(name).display())
}

fn refused(directory: &Path, arguments: &[&str], code: i32, words: &str) {
    let (exit, said) = Serve::start(&directory.join("unused"), arguments).end();
    assert_eq!(exit.code(), Some(code), "{arguments:?}: {said}");
    assert!(said.contains(words), "{arguments:?}: {said}");
}

#[test]
fn records_and_log_lie_apart_and_belong_together() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (data, log) = (file(directory, "data"), file(directory, "log"));
    let serve = Serve::start(&directory.join("unused"), &["--store", &data, "--log", &log]).ready();
    produce(&serve, "one\ntwo\n");
    assert_eq!(consumed(&serve), "one\ntwo\n");
    drop(serve);
    assert!(directory.join("data/data").exists() && !directory.join("data/log").exists());
    assert!(directory.join("log/log").exists() && !directory.join("log/data").exists());

    refused(directory, &["--store", &data], 3, "--log");
    refused(directory, &["--store", &log], 3, "--store");
    refused(directory, &["--store", &log, "--log", &data], 3, "mixed up");
    refused(directory, &["--store", &data, "--log", &file(directory, "elsewhere")], 5, "the store of the log is empty");
    refused(directory, &["--store", &file(directory, "elsewhere"), "--log", &log], 5, "has no data of its cluster");

    let serve = Serve::start(&directory.join("unused"), &["--store", &data, "--log", &log]).ready();
    produce(&serve, "three\n");
    assert_eq!(consumed(&serve), "one\ntwo\nthree\n", "killed, and nothing is lost");
    serve.signal("-TERM");
    let (_, said) = serve.end();
    assert!(said.contains(&format!("log       {log}")), "{said}");
}

#[test]
fn settings_that_cannot_be_meant_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let data = file(directory, "data");
    refused(directory, &["--store", &data, "--log", &data], 2, "another store");
    refused(directory, &["--store", &data, "--read-replica", &data], 2, "another store");
    refused(directory, &["--store", &data, "--log", "memory:"], 2, "must outlive the process");
    refused(directory, &["--store", &data, "--log-region", "here"], 2, "without log");
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| (name.to_owned(), "key".to_owned()));
    for arguments in [
        &["--store", "s3://bucket", "--store-profile", "b2"][..],
        &["--store", "s3://bucket/a", "--store-profile", "b2", "--log", "s3://bucket/b"][..],
    ] {
        let (exit, said) = Serve::start_with(&directory.join("unused"), arguments, &keys).end();
        assert_eq!(exit.code(), Some(3), "{said}");
        assert!(said.contains("cannot create an object only if it is absent") && said.contains("--log"), "{said}");
    }
}

#[test]
fn a_read_replica_that_is_empty_costs_nothing_but_a_look() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (data, replica) = (file(directory, "data"), file(directory, "replica"));
    let arguments = ["--store", &data, "--read-replica", &replica];
    let serve = Serve::start(&directory.join("unused"), &arguments).ready();
    produce(&serve, "one\n");
    drop(serve);
    let serve = Serve::start(&directory.join("unused"), &arguments).ready();
    assert_eq!(consumed(&serve), "one\n");
    let metrics = serve.get("/metrics");
    assert!(metrics.contains("kafscale_reading{name=\"read_replica_skipped\"} 1"), "{metrics}");
}

#[test]
fn a_benchmark_that_cannot_end_well_measures_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (store, picture) = (file(directory.path(), "data"), directory.path().join("absent/picture.svg"));
    let picture = picture.to_str().unwrap();
    for (arguments, code, words) in [
        (["--plot", picture, "--duration", "1s"], 1, "cannot write"),
        (["--total", "4MiB", "--duration", "0s"], 2, "--duration must be longer"),
    ] {
        let bench = [&["storage", "bench", "--store", &store][..], &arguments].concat();
        let Output { status, stdout, stderr } = kafscale(&bench, &[]).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!((status.code(), stdout.is_empty()), (Some(code), true), "{arguments:?}: {said}");
    }
}
