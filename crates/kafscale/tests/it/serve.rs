//! `kafscale serve` as supervisors see it: the ready line, HTTP, signals, exit codes.

use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use crate::harness::{Serve, kafscale};

#[test]
fn it_says_when_it_is_ready_and_ends_with_0_on_a_signal() {
    for signal in ["-TERM", "-INT"] {
        let directory = tempfile::tempdir().unwrap();
        let serve = Serve::start(&directory.path().join("data"), &[]).ready();
        let address = serve.address();
        assert!(!address.ends_with(":0"), "the real port is told: {address}");
        let idle = TcpStream::connect(address).unwrap();
        serve.signal(signal);
        let (status, said) = serve.end();
        assert_eq!(status.code(), Some(0), "an idle connection does not hold a drain up:\n{said}");
        drop(idle);
    }
}

#[test]
fn it_says_where_it_listens_where_the_data_is_and_what_to_try() {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &["--latency", "fast"]).ready();
    let address = serve.address();
    serve.signal("-TERM");
    let (_, said) = serve.end();
    for expected in [
        &format!("clients   {address} (listening on {address})"),
        directory.path().to_str().unwrap(),
        "latency=fast",
        &format!("kcat -P -b {address} "),
        &format!("kcat -C -e -b {address} "),
        &format!("kafka-console-producer.sh --bootstrap-server {address} "),
        &format!("kafka-console-consumer.sh --bootstrap-server {address} "),
        &format!("bench e2e --bootstrap-server {address} "),
    ] {
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
}

#[test]
fn a_peer_that_sends_no_requests_is_closed_with_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &[]).ready();
    let honest = TcpStream::connect(serve.address()).unwrap();
    let mut peer = TcpStream::connect(serve.address()).unwrap();
    peer.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // A reset is as closed as an end.
    let _ = peer.read_to_end(&mut Vec::new());
    let serve = serve.says("connection closed");
    serve.signal("-TERM");
    let (_, said) = serve.end();
    let name = peer.local_addr().unwrap().to_string();
    let lines: Vec<_> = said.lines().filter(|line| line.contains(&name)).collect();
    assert!(matches!(&lines[..], [line] if line.contains("WARN") && line.contains("bytes refused")), "{said}");
    drop(honest);
}

#[test]
fn http_tells_health_and_metrics() {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &[]).ready();
    assert!(serve.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(serve.get("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = serve.get("/metrics");
    assert!(metrics.contains("kafscale_log_position ") && metrics.ends_with("# EOF\n"), "{metrics}");
}

#[test]
fn a_broker_that_still_starts_is_alive_and_not_ready_and_ends_with_0_on_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let silent_store = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let variables = [
        ("AWS_ENDPOINT_URL", format!("http://{}", silent_store.local_addr().unwrap())),
        ("AWS_ACCESS_KEY_ID", "key".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let serve = Serve::start_with(directory.path(), &["--store", "s3://bucket"], &variables).says("starting");
    assert!(serve.get("/healthz").starts_with("HTTP/1.1 200"));
    let answer = serve.get("/readyz");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("starting"), "{answer}");
    serve.signal("-TERM");
    let (status, said) = serve.end();
    assert_eq!(status.code(), Some(0), "{said}");
}

#[test]
fn every_metric_is_documented() {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &[]).ready();
    let address = serve.address();
    let bench = ["bench", "produce", "--records", "10", "--partitions", "1", "--bootstrap-server", &address];
    let bench = kafscale(&bench, &[]).output().unwrap();
    assert!(bench.status.success(), "{bench:?}");
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/running.md")).unwrap();
    let metrics = serve.get("/metrics");
    let mut names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).peekable();
    assert!(names.peek().is_some(), "{metrics}");
    for name in names {
        assert!(page.contains(&format!("`{name}")), "{name} is not in docs/running.md");
    }
    let readings = metrics.lines().filter_map(|line| line.strip_prefix("kafscale_reading{name=\"")?.split('"').next());
    for name in readings {
        assert!(page.contains(&format!("`{name}`")), "the reading {name} is not in docs/running.md");
    }
    assert!(metrics.contains("kafscale_produced_batches_total "), "{metrics}");
    assert!(metrics.contains("kafscale_reading{name=\"log_tail\"} "), "{metrics}");
}

#[test]
fn a_second_broker_on_the_same_directory_is_refused_with_3() {
    let directory = tempfile::tempdir().unwrap();
    let first = Serve::start(directory.path(), &[]).ready();
    let (status, said) = Serve::start(directory.path(), &[]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("in use by another process"), "{said}");
    first.signal("-TERM");
    assert_eq!(first.end().0.code(), Some(0));
    Serve::start(directory.path(), &[]).ready();
}

#[test]
fn a_store_that_cannot_be_opened_ends_with_3() {
    let directory = tempfile::tempdir().unwrap();
    let (status, said) = Serve::start(directory.path(), &["--store", "s3://bucket"]).end();
    assert_eq!(status.code(), Some(3), "{said}");
    assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(Serve::start(&file.join("data"), &[]).end().0.code(), Some(3));
}

#[test]
fn a_store_of_a_newer_version_ends_with_6_and_a_damaged_one_with_5() {
    let directory = tempfile::tempdir().unwrap();
    let marker = directory.path().join("cluster.json");
    std::fs::write(&marker, "{\"format\": 9999}").unwrap();
    let (status, said) = Serve::start(directory.path(), &[]).end();
    assert_eq!(status.code(), Some(6), "{said}");
    std::fs::write(&marker, "not a marker").unwrap();
    let (status, said) = Serve::start(directory.path(), &[]).end();
    assert_eq!(status.code(), Some(5), "{said}");
}

#[test]
fn stderr_is_one_json_object_a_line_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &["--log-format", "json"]).ready();
    let refused = Serve::start(directory.path(), &["--log-format", "json"]).end();
    serve.signal("-TERM");
    let (status, said) = serve.end();
    assert_eq!((status.code(), refused.0.code()), (Some(0), Some(3)), "{said}");
    for line in said.lines().chain(refused.1.lines()) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(line["fields"]["message"].is_string() && line["level"].is_string(), "{line}");
    }
}

/// Only a bucket can show it: a directory is locked and memory is not shared.
#[test]
#[ignore = "needs an S3 server: tests/servers/seaweedfs.sh -- cargo test -- --include-ignored"]
fn a_broker_that_was_taken_over_ends_with_4() {
    let bucket = std::env::var("KAFSCALE_TEST_S3_BUCKET").expect("tests/servers/seaweedfs.sh sets it");
    let variables: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect();
    let store = format!("s3://{bucket}/taken-over-{}", std::process::id());
    let directory = tempfile::tempdir().unwrap();
    let start = || Serve::start_with(directory.path(), &["--store", &store], &variables).ready();
    let first = start();
    let address = first.address();
    let _second = start();
    // A broker without clients asks the store nothing, so somebody must want something from the first.
    let bench = ["bench", "produce", "--records", "1", "--bootstrap-server", &address];
    let mut bench = kafscale(&bench, &[]).spawn().unwrap();
    let (status, said) = first.end();
    bench.kill().unwrap();
    bench.wait().unwrap();
    assert_eq!(status.code(), Some(4), "{said}");
    assert!(said.contains("another broker has taken over"), "{said}");
}

#[test]
fn a_port_that_is_taken_ends_with_12() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = kafscale(&["serve", "--listen", &address, "--data"], &[]).arg(directory.path()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(12), "{said}");
    assert!(said.contains(&format!("cannot listen on {address} (--listen)")), "{said}");
}
