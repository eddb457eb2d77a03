//! The tools for a store without a broker, on directories that real brokers have written.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use serde_json::{Value, json};

use crate::harness::{Serve, kafscale};

fn run(arguments: &[&str]) -> Output {
    kafscale(arguments, &[]).output().expect("the binary runs")
}

fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn refused(arguments: &[&str], code: i32) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_slice(&run(&[arguments, &["-o", "json"]].concat()).stdout).unwrap()
}

fn produce(serve: &Serve, topic: &str, lines: &str) {
    let mut command = kafscale(&["produce", topic], &[("KAFSCALE_BOOTSTRAP", &serve.address())]);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    process.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(process.wait().unwrap().success());
}

fn consume(serve: &Serve, topic: &str) -> String {
    let output =
        kafscale(&["consume", topic, "-f", "%p %o %s\\n"], &[("KAFSCALE_BOOTSTRAP", &serve.address())]).output();
    String::from_utf8(output.unwrap().stdout).unwrap()
}

/// A path inside a directory, as text.
fn within(directory: &Path, name: &str) -> String {
    directory.join(name).to_str().unwrap().to_owned()
}

const FORMAT: [&str; 2] = ["-f", "%p %o %s\\n"];

#[test]
fn a_store_is_read_checked_recovered_copied_and_restored() {
    let directory = tempfile::tempdir().unwrap();
    let (data, copy, made) = ("data", "copy", "made").into_paths(directory.path());
    let serve = Serve::start(Path::new(&data), &[]).ready();
    produce(&serve, "orders", "one\ntwo\nthree\n");
    produce(&serve, "events", "begun\n");

    // Beside the broker.
    let cat = |data: &str| stdout(&[&["cat", "orders", "--data", data][..], &FORMAT].concat());
    assert_eq!(cat(&data), "0 0 one\n0 1 two\n0 2 three\n");
    assert_eq!(stdout(&["cat", "orders", "--data", &data, "--from", "-1"]), "three\n");
    assert_eq!(stdout(&["cat", "orders", "--data", &data, "--from", "1", "-c", "1"]), "two\n");
    assert!(refused(&["cat", "none", "--data", &data], 9).contains("there is no topic none"));
    assert!(stdout(&["fsck", "--data", &data]).contains("0 damages, 0 flaws"));
    let copied = json_of(&["backup", "--data", &data, "--to", &format!("file:{copy}")]);
    assert!(copied["objects"].as_u64() > Some(3), "{copied}");
    assert!(refused(&["recover", "--data", &data, "--yes"], 3).contains("in use by another process"));
    let marker =
        stdout(&["cat", "--data", &data, "--object", "log/00000000000000000001/00000000000000000001", "--describe"]);
    assert!(marker.contains("frame of the log") && marker.contains("Sequencer"), "{marker}");
    let told = stdout(&["cat", "--data", &data, "--object", "cluster.json", "--describe"]);
    assert!(told.contains("marker of a cluster") && told.contains("generation: 1"), "{told}");
    assert!(refused(&["cat", "--data", &data, "--object", "none"], 9).contains("there is no object none"));
    serve.signal("-KILL");
    serve.end();

    // A copy can be read and checked, and is never served.
    let there = format!("file:{copy}");
    assert_eq!(stdout(&[&["cat", "orders", "--store", &there][..], &FORMAT].concat()), cat(&data));
    assert!(stdout(&["fsck", "--store", &there]).contains("0 damages, 0 flaws"));
    refused(&["serve", "--store", &there, "--listen", "127.0.0.1:0", "--http", "none"], 5);
    let planned = stdout(&["restore", "--from", &there, "--data", &made]);
    assert!(planned.contains("nothing was written"), "{planned}");
    stdout(&["restore", "--from", &there, "--data", &made, "--yes"]);
    assert!(refused(&["restore", "--from", &there, "--data", &made, "--yes"], 10).contains("not empty"));
    assert_eq!(cat(&made), cat(&data));

    // The log goes: what only its frames held goes with it, and is told.
    let names = frames(&data);
    std::fs::remove_file(&names[names.len() - 2]).unwrap();
    refused(&["serve", "--data", &data, "--listen", "127.0.0.1:0", "--http", "none"], 5);
    let report = json_of(&["fsck", "--data", &data, "--quick"]);
    assert_eq!(report["findings"][0]["kind"], "log-lost", "{report}");
    assert!(refused(&["fsck", "--data", &data], 5).contains("lost or damaged"));
    let plan = json_of(&["recover", "--data", &data]);
    assert_eq!((&plan["done"], &plan["next_generation"]), (&json!(false), &json!(2)));
    stdout(&["recover", "--data", &data, "--yes"]);
    assert!(stdout(&["fsck", "--data", &data]).contains("0 damages, 0 flaws"));

    let serve = Serve::start(Path::new(&made), &[]).ready();
    assert_eq!(consume(&serve, "orders"), "0 0 one\n0 1 two\n0 2 three\n");
    produce(&serve, "orders", "four\n");
    assert!(consume(&serve, "orders").ends_with("0 3 four\n"));
    drop(serve);
    let serve = Serve::start(Path::new(&data), &[]).ready();
    produce(&serve, "orders", "after\n");
    assert!(consume(&serve, "orders").ends_with(" after\n"));
}

/// The frames of a store's log, as files, in order.
fn frames(data: &str) -> Vec<PathBuf> {
    let frames = Path::new(data).join("log/00000000000000000001/00000000000000000000+");
    let mut names: Vec<_> = std::fs::read_dir(frames).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[test]
fn what_is_left_of_a_damaged_store_is_read_and_what_is_not_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let data = within(directory.path(), "data");
    let serve = Serve::start(Path::new(&data), &[]).ready();
    produce(&serve, "orders", "one\ntwo\n");
    let then = frames(&data).len();
    produce(&serve, "orders", "three\n");
    produce(&serve, "late", "four\n");
    serve.signal("-KILL");
    serve.end();
    let cat = |topic: &str| {
        let output = run(&[&["cat", topic, "--data", &data][..], &FORMAT].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let hurt = |frame: &Path, at: usize| {
        let mut bytes = std::fs::read(frame).unwrap();
        let at = if at == usize::MAX { bytes.len() - 1 } else { at };
        bytes[at] ^= 1;
        std::fs::write(frame, bytes).unwrap();
    };
    assert_eq!(cat("orders"), (Some(0), "0 0 one\n0 1 two\n0 2 three\n".to_owned(), String::new()));

    // The log ends in a frame that cannot be read: what stands before it is shown.
    let frames = frames(&data);
    hurt(&frames[then], 20);
    let (code, shown, told) = cat("orders");
    assert_eq!((code, shown.as_str()), (Some(5), "0 0 one\n0 1 two\n"), "{told}");
    let positions = format!("positions {} to {}", then + 1, frames.len());
    assert!(told.contains("is damaged") && told.contains(&positions) && told.contains("not all that there"), "{told}");
    let (code, shown, told) = cat("late");
    assert_eq!((code, shown.as_str()), (Some(5), ""), "{told}");
    assert!(told.contains("there is no topic late in what can be read"), "{told}");
    let report = json_of(&["fsck", "--data", &data]);
    assert_eq!((&report["findings"][0]["kind"], &report["partitions"]), (&json!("log-damaged"), &json!(1)), "{report}");
    let there = format!("file:{}", within(directory.path(), "copy"));
    assert!(refused(&["backup", "--data", &data, "--to", &there], 5).contains("`kafscale recover` comes first"));

    // Records that are damaged hide no others.
    hurt(&frames[then], 20);
    hurt(&frames[then - 1], usize::MAX);
    let (code, shown, told) = cat("orders");
    assert_eq!((code, shown.as_str()), (Some(5), "0 2 three\n"), "{told}");
    assert!(told.contains("not shown of orders [0]: offsets 0 to 1"), "{told}");
}

/// Names as paths below a directory.
trait IntoPaths {
    fn into_paths(self, below: &Path) -> (String, String, String);
}

impl IntoPaths for (&str, &str, &str) {
    fn into_paths(self, below: &Path) -> (String, String, String) {
        (within(below, self.0), within(below, self.1), within(below, self.2))
    }
}

#[test]
fn a_segment_that_others_wrote_is_imported() {
    let directory = tempfile::tempdir().unwrap();
    let (old, data, _) = ("old", "data", "").into_paths(directory.path());
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../segment/tests/golden");
    let place = Path::new(&old).join("default/orders/0");
    std::fs::create_dir_all(&place).unwrap();
    let kfs = std::fs::read_dir(&golden).unwrap().map(|entry| entry.unwrap().path());
    let kfs = kfs.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "kfs")).unwrap();
    let bytes = std::fs::read(&kfs).unwrap();
    let base_offset = i64::from_be_bytes(bytes[8..16].try_into().unwrap());
    let file = place.join(format!("segment-{base_offset:020}.kfs"));
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let from = format!("file:{old}");
    let wrong = run(&["import", "--from", &from, "--data", &data, "--yes"]);
    assert_eq!(wrong.status.code(), Some(5), "{wrong:?}");
    assert!(String::from_utf8_lossy(&wrong.stdout).contains("not a segment"), "{wrong:?}");
    std::fs::write(&file, &bytes).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    assert!(stdout(&["import", "--from", &from, "--data", &data]).contains("nothing was imported"));
    assert!(!Path::new(&data).exists(), "a look makes nothing");
    stdout(&["import", "--from", &from, "--data", &data, "--yes"]);
    assert!(stdout(&["fsck", "--data", &data]).contains("0 damages, 0 flaws"));
    let read = |place: &[&str]| stdout(&[&["cat"], place, &["-o", "json"]].concat());
    let values = |text: String| {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|record| (record["offset"].clone(), record["value"].clone())).collect::<Vec<_>>()
    };
    let object = format!("default/orders/0/segment-{base_offset:020}.kfs");
    let imported = values(read(&["orders", "--data", &data]));
    assert_eq!(imported, values(read(&["--object", &object, "--store", &from])));
    assert!(!imported.is_empty());
    let serve = Serve::start(Path::new(&data), &[]).ready();
    assert_eq!(consume(&serve, "orders").lines().count(), imported.len());
}
