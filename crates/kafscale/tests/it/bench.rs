//! `kafscale bench` against a broker of our own.

use serde_json::Value;

use crate::harness::{Serve, kafscale};

/// Runs one bench to its end and reads its report.
fn bench(serve: &Serve, arguments: &[&str]) -> Value {
    let output = kafscale(&[&["bench"], arguments].concat(), &[])
        .args(["-o", "json", "--bootstrap-server", &serve.address()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_was_produced_is_consumed_after_a_restart_too() {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &[]).ready();
    let load = ["--records", "1000", "--record-size", "100B", "--partitions", "3", "--producers", "2"];
    let report = bench(&serve, &[&["produce", "--acks", "1", "--compression", "lz4"], &load[..]].concat());
    assert_eq!((&report["records"], &report["bytes"]), (&1000.into(), &100_000.into()), "{report}");
    assert_eq!((&report["partitions"], &report["failed"]), (&3.into(), &0.into()), "{report}");
    assert_eq!((&report["settings"]["acks"], &report["settings"]["compression.type"]), (&"1".into(), &"lz4".into()));
    assert!(report["latency_ms"]["p99.9"].as_f64() >= report["latency_ms"]["p50"].as_f64(), "{report}");
    serve.signal("-TERM");
    serve.end();

    let serve = Serve::start(directory.path(), &[]).ready();
    let report = bench(&serve, &["consume"]);
    assert_eq!((&report["records"], &report["bytes"]), (&1000.into(), &100_000.into()), "{report}");
    assert_eq!(report["errors"], serde_json::json!({}));
    assert_eq!(bench(&serve, &["consume", "--records", "10"])["records"], 10);
}

#[test]
fn e2e_sees_every_record_of_its_own_run() {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &[]).ready();
    let run = ["e2e", "--records", "200", "--rate", "2000", "--record-size", "16B", "--partitions", "2"];
    for _ in 0..2 {
        let report = bench(&serve, &run);
        assert_eq!((&report["records"], &report["missing"]), (&200.into(), &0.into()), "{report}");
    }
}

#[test]
fn a_run_that_loses_records_ends_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let serve = Serve::start(directory.path(), &[]).ready();
    let arguments = ["bench", "produce", "--records", "3", "--record-size", "2MB", "--bootstrap-server"];
    let output = kafscale(&arguments, &[]).arg(serve.address()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report = String::from_utf8(output.stdout).unwrap();
    assert!(report.contains("3 x MESSAGE_TOO_LARGE"), "{report}");
}
