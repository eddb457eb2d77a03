//! The client commands against a broker of our own. That they do the same against Apache Kafka is shown by
//! `tests/clients/cli`, which runs the same commands against both.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Serve, kafscale};

/// A broker, and commands that reach it through the variable.
struct Client {
    serve: Serve,
    _directory: TempDir,
}

impl Client {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let serve = Serve::start(directory.path(), &[]).ready();
        Self { serve, _directory: directory }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        kafscale(arguments, &[("KAFSCALE_BOOTSTRAP", &self.serve.address())])
    }

    fn output(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut command = self.command(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = piped.spawn().unwrap();
        // A command that does not read may have ended already.
        let _ = process.stdin.take().unwrap().write_all(stdin.as_bytes());
        process.wait_with_output().unwrap()
    }

    /// What a command that succeeds prints.
    fn run(&self, arguments: &[&str], stdin: &str) -> String {
        let output = self.output(arguments, stdin);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[arguments, &["-o", "json"]].concat(), "")).unwrap()
    }

    /// What a command says that ends with this code.
    fn refused(&self, arguments: &[&str], code: i32) -> String {
        let output = self.output(arguments, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

#[test]
fn topics_come_and_go() {
    let client = Client::new();
    let created = client.json(&["topics", "create", "orders", "-p", "3", "-c", "retention.ms=3600000"]);
    assert_eq!(created, json!([{ "topic": "orders", "outcome": "created" }]));
    assert!(client.refused(&["topics", "create", "orders"], 10).contains("TOPIC_ALREADY_EXISTS"));
    assert!(client.run(&["topics", "create", "orders", "--if-not-exists"], "").contains("exists already"));

    let listed = client.json(&["topics", "list", "ord*"]);
    assert_eq!((&listed[0]["topic"], &listed[0]["partitions"]), (&json!("orders"), &json!(3)));
    let described = &client.json(&["topics", "describe", "orders"])[0];
    assert_eq!(described["configs"], json!({ "retention.ms": "3600000" }));
    assert_eq!(described["partitions"][2]["latest"], 0);
    let settings = client.json(&["configs", "describe", "topic", "orders", "retention.ms"]);
    assert_eq!((&settings[0]["value"], &settings[0]["source"]), (&json!("3600000"), &json!("topic")));

    assert_eq!(client.run(&["topics", "list", "none*"], ""), "");
    client.run(&["topics", "delete", "orders"], "");
    let text = client.refused(&["topics", "describe", "orders"], 9);
    assert!(text.contains("UNKNOWN_TOPIC_OR_PARTITION") && text.contains("topics list"), "{text}");
    assert!(client.run(&["topics", "delete", "orders", "--if-exists"], "").contains("was not there"));
}

#[test]
fn what_is_produced_is_consumed() {
    let client = Client::new();
    client.run(&["topics", "create", "t", "-p", "2"], "");
    client.run(&["produce", "t", "-p", "0", "-K", ":", "-H", "h=1", "--timestamp", "1000"], "a:one\nb:two\nthree\n");
    client.run(&["produce", "t", "-p", "1", "--format", "hex", "-z", "lz4", "--timestamp", "2000"], "00ff\n");
    let consume = |more: &[&str]| client.run(&[&["consume", "t", "-f", r"%p/%o %T %k=%s %h\n"], more].concat(), "");
    let first = ["0/0 1000 a=one h=1\n", "0/1 1000 b=two h=1\n", "0/2 1000 =three h=1\n"];
    assert_eq!(consume(&["-p", "0"]), first.concat());
    assert_eq!(consume(&["-p", "0", "--from", "1", "--to", "2"]), first[1]);
    assert_eq!(consume(&["-p", "0", "--from", "-1"]), first[2]);
    assert_eq!(consume(&["-p", "0", "--from", "@1001"]), "");
    assert_eq!(consume(&["-p", "0", "-c", "1"]), first[0]);
    assert_eq!(client.run(&["consume", "t", "-p", "1", "-o", "hex"], ""), "00ff\n");

    let everything = client.run(&["consume", "t", "-o", "json"], "");
    client.run(&["topics", "create", "copy", "-p", "2"], "");
    client.run(&["produce", "copy", "--format", "json"], &everything);
    let mut copied: Vec<String> =
        client.run(&["consume", "copy", "-o", "json"], "").lines().map(str::to_owned).collect();
    let mut expected: Vec<String> =
        everything.lines().map(|line| line.replace(r#""topic":"t""#, r#""topic":"copy""#)).collect();
    copied.sort();
    expected.sort();
    assert_eq!(copied, expected);
}

#[test]
fn a_follower_sees_what_is_written_and_its_reader_may_go_away() {
    let client = Client::new();
    client.run(&["topics", "create", "t"], "");
    let mut command = client.command(&["consume", "t", "--follow"]);
    let mut follower = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    client.run(&["produce", "t"], "one\n");
    let mut lines = BufReader::new(follower.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "one\n");
    drop(lines);
    client.run(&["produce", "t"], "two\n");
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn ctrl_c_ends_a_follower_cleanly() {
    let client = Client::new();
    client.run(&["produce", "t"], "one\n");
    let mut command = client.command(&["consume", "t", "--follow"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(follower.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let sent = Command::new("kill").args(["-INT", &follower.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(follower.wait().unwrap().code(), Some(0));
}

#[test]
fn the_cluster_is_described_and_watched() {
    let client = Client::new();
    client.run(&["produce", "t"], "one\ntwo\n");
    let cluster = client.json(&["cluster", "describe", "--api-versions"]);
    assert_eq!(cluster["brokers"].as_array().unwrap().len(), 1);
    let apis = cluster["api_versions"].as_array().unwrap();
    assert!(apis.iter().any(|api| api["api"] == "Fetch" && api["max"].as_i64() > Some(10)), "{apis:?}");
    let top = client.json(&["top", "--once", "--interval", "100ms"]);
    assert_eq!((&top["topics"][0]["topic"], &top["topics"][0]["records"]), (&json!("t"), &json!(2)));
    assert!(client.refused(&["top"], 2).contains("--once"), "stdout is no terminal here");
}

#[test]
fn errors_say_what_to_try_next() {
    let client = Client::new();
    assert!(client.refused(&["consume", "absent"], 9).contains("topics list"));
    client.run(&["topics", "create", "t"], "");
    assert!(client.refused(&["consume", "t", "-p", "7"], 9).contains("no partition 7"));
    assert!(client.refused(&["topics", "list", "-X", "linger.msec=1"], 2).contains("linger.ms"));
    let quick = ["-X", "request.timeout.ms=1000", "-b", "127.0.0.1:1"];
    assert!(client.refused(&[&["topics", "list"], &quick[..]].concat(), 7).contains("--bootstrap-server"));
}

#[test]
fn completions_and_manuals_know_the_commands() {
    let output = |arguments: &[&str]| String::from_utf8(kafscale(arguments, &[]).output().unwrap().stdout).unwrap();
    for shell in ["bash", "zsh", "fish"] {
        assert!(output(&["completions", shell]).contains("reset-offsets"), "{shell}");
    }
    let directory = tempfile::tempdir().unwrap();
    output(&["man", "--dir", directory.path().to_str().unwrap()]);
    let page = std::fs::read_to_string(directory.path().join("kafscale-consume.1")).unwrap();
    assert!(page.contains("follow"), "{page}");
}

#[test]
fn what_is_not_there_cannot_be_deleted_from_a_group() {
    let client = Client::new();
    client.run(&["topics", "create", "x", "-p", "2"], "");
    client.run(&["topics", "create", "without-commits"], "");
    client.run(&["produce", "x", "-p", "0"], "one\n");
    client.run(&["groups", "reset-offsets", "g", "--topic", "x:0", "--to-earliest", "--execute"], "");
    let delete = |group: &str, topics: &[&str]| {
        let topics: Vec<&str> = topics.iter().flat_map(|topic| ["--topic", topic]).collect();
        client.refused(&[&["groups", "delete-offsets", group], &topics[..]].concat(), 9)
    };
    let text = delete("nosuchgroup", &["x"]);
    assert!(text.contains("nosuchgroup: GROUP_ID_NOT_FOUND") && text.contains("groups list"), "{text}");
    assert!(delete("g", &["nope"]).contains("no committed offset of nope"));
    assert!(delete("g", &["without-commits"]).contains("no committed offset of without-commits"));
    assert!(delete("g", &["x:0-1"]).contains("no committed offset of x [1]; nothing was deleted"));
    assert_eq!(client.json(&["groups", "describe", "g"])[0]["offsets"][0]["committed"], 0);
    client.run(&["groups", "delete-offsets", "g", "--topic", "x"], "");
    client.refused(&["groups", "delete-offsets", "g", "--topic", "x"], 9);
}

#[test]
fn no_error_moves_the_cursor_of_a_terminal() {
    let client = Client::new();
    let name = "x\u{1b}[31my";
    // The first is refused here; the second by the broker, whose message repeats the name.
    for (arguments, code) in [(["topics", "create"], 2), (["groups", "describe"], 9)] {
        let text = client.refused(&[&arguments[..], &[name]].concat(), code);
        assert!(text.contains("x\\x1b[31my") && !text.contains('\u{1b}'), "{text:?}");
    }
}
