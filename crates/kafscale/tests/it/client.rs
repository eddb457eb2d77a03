//! The client commands against a broker of our own. That they do the same against Apache Kafka is shown by
//! `tests/clients/cli`, which runs the same commands against both.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
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
        self.refused_with(arguments, "", code)
    }

    fn refused_with(&self, arguments: &[&str], stdin: &str, code: i32) -> String {
        let output = self.output(arguments, stdin);
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
fn a_second_ctrl_c_does_not_wait_for_the_commit() {
    let client = Client::new();
    client.run(&["produce", "t"], "one\n");
    let mut command = client.command(&["consume", "t", "--follow", "-g", "g"]);
    let mut follower = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(follower.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    // A broker that does not answer keeps the commit waiting.
    client.serve.signal("-STOP");
    let exit = loop {
        if let Some(exit) = follower.try_wait().unwrap() {
            break exit;
        }
        // It may have ended just now.
        let _ = Command::new("kill").args(["-INT", &follower.id().to_string()]).status().unwrap();
    };
    assert_eq!(exit.code(), Some(130));
}

#[test]
fn the_cluster_is_described_and_watched() {
    let client = Client::new();
    client.run(&["produce", "t"], "one\ntwo\n");
    let cluster = client.json(&["cluster", "describe", "--api-versions"]);
    assert_eq!(cluster["brokers"].as_array().unwrap().len(), 1);
    let apis = cluster["api_versions"].as_array().unwrap();
    assert!(apis.iter().any(|api| api["api"] == "Fetch" && api["max"].as_i64() > Some(10)), "{apis:?}");
    let summary = client.run(&["top", "--once", "--interval", "100ms"], "");
    assert!(summary.contains(": 1 broker, 1 topic, 1 partition, 0 groups, "), "{summary}");
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

#[test]
fn an_absent_topic_is_told_at_once() {
    let client = Client::new();
    // The library's own patience is longer than anybody's.
    let produce = ["produce", "absent", "--no-create", "-X", "max.block.ms=86400000"];
    let text = client.refused_with(&produce, "one\n", 9);
    assert!(text.contains("absent: UNKNOWN_TOPIC_OR_PARTITION") && text.contains("topics list"), "{text}");
    assert_eq!(client.run(&["topics", "list"], ""), "", "it was not created");
    assert!(client.refused(&["bench", "consume", "--topic", "absent"], 9).contains("absent"));
}

#[test]
fn a_group_with_members_is_not_reset_and_a_dry_run_says_so() {
    let client = Client::new();
    client.run(&["produce", "t"], "one\n");
    let mut command = client.command(&["consume", "t", "-g", "g", "--follow"]);
    let mut member = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(member.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let reset = ["groups", "reset-offsets", "g", "--topic", "t", "--to-earliest"];
    for more in [&[][..], &["--execute"]] {
        let text = client.refused(&[&reset[..], more].concat(), 10);
        assert!(text.contains("it has 1 member and is Stable"), "{text}");
    }
    let sent = Command::new("kill").args(["-INT", &member.id().to_string()]).status().unwrap();
    assert!(sent.success() && member.wait().unwrap().success());
    client.run(&[&reset[..], &["--execute"]].concat(), "");
}

#[test]
fn records_that_are_refused_are_counted_with_advice() {
    let client = Client::new();
    client.run(&["topics", "create", "compacted", "-c", "cleanup.policy=compact"], "");
    let text = client.refused_with(&["produce", "compacted"], "hello\n", 10);
    assert!(text.contains("1 record was not written: INVALID_RECORD"), "{text}");
    assert!(text.contains("need keys") && text.contains("--key-delimiter"), "{text}");
    client.run(&["topics", "create", "small", "-c", "max.message.bytes=100"], "");
    let text = client.refused_with(&["produce", "small"], &"x".repeat(1000), 10);
    assert!(text.contains("MESSAGE_TOO_LARGE") && text.contains("max.message.bytes: `kafscale"), "{text}");
    let text = client.refused_with(&["produce", "small"], &"x".repeat(2_000_000), 2);
    assert!(text.contains("-X max.request.size=BYTES") && text.contains("max.message.bytes"), "{text}");
}

#[test]
fn what_nobody_knows_by_that_name_is_no_empty_answer() {
    let client = Client::new();
    client.run(&["topics", "create", "t"], "");
    assert!(client.refused(&["groups", "list", "--state", "bogus"], 2).contains("PreparingRebalance"));
    assert!(client.refused(&["groups", "list", "--type", "bogus"], 2).contains("classic"));
    client.run(&["groups", "list", "--state", "stable", "--type", "Classic"], "");
    for configs in [["configs", "describe"], ["configs", "unset"]] {
        let text = client.refused(&[&configs[..], &["topic", "t", "retention.ms", "nosuchkey"]].concat(), 9);
        assert!(text.contains("topic t has no setting nosuchkey\n"), "{text}");
    }
    assert!(client.run(&["configs", "unset", "topic", "t", "retention.ms"], "").contains("unset"));
}

#[test]
fn settings_are_told_in_the_words_of_the_command_line() {
    let client = Client::new();
    client.run(&["topics", "create", "t"], "");
    let text = client.refused(&["configs", "set", "client-metrics", "cm", "interval.ms=soon"], 10);
    assert!(text.contains("cannot change client-metrics cm: INVALID_CONFIG"), "{text}");
    let describe = ["configs", "describe", "topic", "t", "--all"];
    assert!(!client.run(&describe, "").contains("MEANING"));
    assert!(client.run(&[&describe[..], &["--documentation"]].concat(), "").contains("MEANING"));
}

#[test]
fn wrong_values_are_told_what_was_expected() {
    let client = Client::new();
    assert!(client.refused(&["produce", "t", "-p", "-1"], 2).contains("--partition -1: expected at least 0"));
    assert!(client.refused(&["topics", "create", "t", "-p", "-2"], 2).contains("--partitions -2: expected at least 1"));
    assert!(client.refused(&["consume", "t", "-p", "-1"], 2).contains("expected partitions such as"));
    let reset = ["groups", "reset-offsets", "g", "--topic", "t", "--to-offset", "-5"];
    assert!(client.refused(&reset, 2).contains("--to-offset -5: expected at least 0"));
    let text = client.refused_with(&["produce", "t", "--format", "json"], "{\"headers\":[1]}\n", 2);
    assert!(text.contains("expected a list of {\"key\""), "{text}");
}

#[test]
fn records_that_cannot_be_read_are_named_and_end_with_5() {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &[]).ready();
    let client = Client { serve, _directory: directory };
    client.run(&["produce", "t"], "swordfish\n");
    client.serve.signal("-TERM");
    let Client { serve, _directory: directory } = client;
    serve.end();
    // What was written just now is held in memory, so another process reads it.
    let client = Client { serve: Serve::start(directory.path(), &[]).ready(), _directory: directory };
    damage(client._directory.path(), b"swordfish");
    let text = client.refused(&["consume", "t"], 5);
    assert!(text.contains("t [0] at offset 0 gives no records, 7 times in a row: KAFKA_STORAGE_ERROR"), "{text}");
    assert!(text.starts_with("asking again: t [0] at offset 0"), "{text}");
}

/// Changes one bit of these bytes wherever a file has them.
fn damage(directory: &Path, bytes: &[u8]) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage(&path, bytes);
            continue;
        }
        let mut content = std::fs::read(&path).unwrap();
        if let Some(at) = content.windows(bytes.len()).position(|window| window == bytes) {
            content[at] ^= 1;
            std::fs::write(&path, content).unwrap();
        }
    }
}
