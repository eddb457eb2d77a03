//! `kafscale produce`: records from standard input or files.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context;
use bytes::Bytes;
use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser};
use indicatif::ProgressBar;
use krafka::{
    Headers, Record,
    error::KrafkaError,
    interceptor::{InterceptorResult, ProducerInterceptor, RecordContext},
    producer::{Producer, RecordMetadata},
};
use tokio::sync::mpsc;

use super::arguments::{at_least, many, number, one, pairs, parsed, positional_many, switch, usage};
use crate::{
    client::{self, AbsentTopic, Properties, failure, failure_of, flags, offsets},
    exit::Failure,
    logging,
    text::{
        count::counted,
        escape::unescape,
        record::{self, Content},
        time,
    },
};

/// A record of more bytes than this is a wrong delimiter.
const RECORD_BYTES_MAX: usize = 100 << 20;
/// Records that were read and not yet handed to the client.
const READ_AHEAD: usize = 1024;

/// The command.
pub fn command() -> Command {
    let command = Command::new("produce")
        .about("Write records from standard input or from files")
        .after_help(
            "Without --key-delimiter and --format json a record is its value: all bytes up to a delimiter.\n\
            With --format json each record is an object as `consume -o json` prints it.\n\n\
            Examples:\n  \
            echo hello | kafscale produce greetings\n  \
            kafscale produce orders --key-delimiter : --acks 1 --compression zstd < orders.txt\n  \
            kafscale consume a -o json | kafscale produce b --format json",
        )
        .arg(Arg::new("topic").value_name("TOPIC").required(true).help("Topic to write to"))
        .arg(positional_many("file", "FILE", "Files to read; standard input if none is given"))
        .arg(
            one("format", "FORMAT", "What a record looks like")
                .value_parser(PossibleValuesParser::new(["raw", "json", "hex", "base64"]))
                .default_value("raw"),
        )
        .arg(one("delimiter", "TEXT", "What ends a record").short('D').default_value("\\n"))
        .arg(one("key-delimiter", "TEXT", "What ends the key and begins the value").short('K'))
        .arg(switch("whole", "Each file is one record").conflicts_with("format"))
        .arg(one("key", "TEXT", "Key of all records").short('k').conflicts_with("key-delimiter"))
        .arg(many("header", "KEY=VALUE", "Header of all records; may be given several times").short('H'))
        .arg(one("partition", "N", "Partition; chosen by the key if not given").short('p'))
        .arg(one("timestamp", "TIME", "Timestamp of all records: a date or milliseconds; now if not given"))
        .arg(switch("null", "An empty key is a null key, and an empty value a null value (a tombstone)").short('Z'))
        .arg(one("count", "N", "End after so many records").short('c'))
        .arg(
            one("acks", "ACKS", "Short for --set acks=ACKS").value_parser(PossibleValuesParser::new(["0", "1", "all"])),
        )
        .arg(
            one("compression", "CODEC", "Short for --set compression.type=CODEC")
                .short('z')
                .value_parser(PossibleValuesParser::new(["none", "gzip", "snappy", "lz4", "zstd"])),
        )
        .arg(switch("no-create", "Fail if the topic is not there, where the Kafka would create it"));
    flags::add_to(command)
}

/// How input becomes records.
struct Shape {
    topic: String,
    format: String,
    delimiter: Vec<u8>,
    key_delimiter: Option<Vec<u8>>,
    whole: bool,
    null: bool,
    key: Option<Bytes>,
    headers: Headers,
    partition: Option<i32>,
    timestamp: Option<i64>,
}

impl Shape {
    fn of(matches: &ArgMatches) -> Result<Self, Failure> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let delimiter = parsed(matches, "delimiter", unescape)?.expect("it has a default");
        let key_delimiter = parsed(matches, "key-delimiter", unescape)?;
        if delimiter.is_empty() || key_delimiter.as_ref().is_some_and(Vec::is_empty) {
            return Err(usage("a delimiter must not be empty"));
        }
        let headers = pairs(matches, "header")?.into_iter().map(|(key, value)| (key, Some(value.into()))).collect();
        Ok(Self {
            topic: text("topic").expect("it is required"),
            format: text("format").expect("it has a default"),
            delimiter,
            key_delimiter,
            whole: matches.get_flag("whole"),
            null: matches.get_flag("null"),
            key: text("key").map(Bytes::from),
            headers,
            partition: at_least(matches, "partition", 0)?,
            timestamp: parsed(matches, "timestamp", time::parse_ms)?,
        })
    }

    /// A record from the bytes between two delimiters.
    fn record(&self, bytes: &[u8]) -> Result<Record, String> {
        let mut content = if self.format == "json" { record::from_json(bytes)? } else { self.content(bytes)? };
        content.headers.extend(self.headers.iter().cloned());
        let mut record = Record::new(&*self.topic, Bytes::new());
        record.value = content.value.filter(|value| !(self.null && value.is_empty()));
        record.key = content.key.or_else(|| self.key.clone()).filter(|key| !(self.null && key.is_empty()));
        record.partition = self.partition.or(content.partition);
        record.timestamp = self.timestamp.or(content.timestamp);
        record.headers = content.headers;
        Ok(record)
    }

    fn content(&self, bytes: &[u8]) -> Result<Content, String> {
        let plain = |bytes: &[u8]| match &*self.format {
            "hex" => record::from_hex(bytes),
            "base64" => record::from_base64(bytes),
            _ => Ok(Bytes::copy_from_slice(bytes)),
        };
        let Some(between) = &self.key_delimiter else {
            return Ok(Content { value: Some(plain(bytes)?), ..Content::default() });
        };
        match bytes.windows(between.len()).position(|window| window == &**between) {
            Some(at) => Ok(Content {
                key: Some(plain(&bytes[..at])?),
                value: Some(plain(&bytes[at + between.len()..])?),
                ..Content::default()
            }),
            // Without a delimiter there is no key, as with kcat.
            None => Ok(Content { value: Some(plain(bytes)?), ..Content::default() }),
        }
    }
}

/// Writes everything, and says how much that was.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let shape = Shape::of(matches)?;
    let mut properties = flags::read(matches)?;
    for (flag, property) in [("acks", "acks"), ("compression", "compression.type")] {
        if let Some(value) = matches.get_one::<String>(flag) {
            properties.set(property, value)?;
        }
    }
    let files: Vec<PathBuf> = matches.get_many::<String>("file").into_iter().flatten().map(PathBuf::from).collect();
    let most = number(matches, "count")?.unwrap_or(u64::MAX);
    let absent = if matches.get_flag("no-create") { AbsentTopic::Leave } else { AbsentTopic::Create };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the client")?;
    let done = runtime.block_on(produce(shape, properties, files, most, absent));
    // The thread that reads standard input may be waiting for it.
    runtime.shutdown_background();
    done
}

/// Counts what became of the records.
#[derive(Debug, Default)]
struct Outcomes {
    written: AtomicU64,
    failed: AtomicU64,
    first: Mutex<Option<KrafkaError>>,
}

impl Outcomes {
    fn first(&self) -> Option<KrafkaError> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ProducerInterceptor for Outcomes {
    fn on_acknowledgement(
        &self,
        _: &str,
        _: i32,
        result: Result<&RecordMetadata, &KrafkaError>,
        _: &Headers,
        _: &mut RecordContext,
    ) -> InterceptorResult {
        match result {
            Ok(_) => _ = self.written.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
            }
        }
        Ok(())
    }
}

async fn produce(
    shape: Shape,
    properties: Properties,
    files: Vec<PathBuf>,
    most: u64,
    absent: AbsentTopic,
) -> Result<(), Failure> {
    let what = format!("cannot write to topic {}", shape.topic);
    let kafka = client::connect(&properties, absent).await?;
    let outcomes = Arc::new(Outcomes::default());
    let producer = client::producer(&kafka, &properties)?.interceptor(Arc::clone(&outcomes)).build().await;
    let producer = producer.map_err(failure_of("cannot start a producer"))?;
    // An error of the topic is told before anything is read. The producer waits for a topic that is not there, and one that
    // shall not be created will not come.
    if absent == AbsentTopic::Leave {
        offsets::partitions(&client::admin(&kafka, &properties)?, std::slice::from_ref(&shape.topic)).await?;
    }
    producer.partitions_for(&shape.topic).await.map_err(failure_of(&what))?;

    let (records, mut read) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || read_all(&shape, &files, most, &records));
    let bar = ProgressBar::new_spinner();
    let sent = send_all(&producer, &mut read, &outcomes, &bar).await;
    // All that was taken is answered before the end, an interrupted one too.
    producer.close().await.map_err(failure_of(&what))?;
    bar.finish_and_clear();
    let (written, failed) = (outcomes.written.load(Ordering::Relaxed), outcomes.failed.load(Ordering::Relaxed));
    logging::say("INFO", &format!("{} written", counted(written, "record")));
    if let Some(error) = outcomes.first() {
        let were = if failed == 1 { "was" } else { "were" };
        return Err(failure(error, &format!("{} {were} not written", counted(failed, "record"))));
    }
    sent
}

async fn send_all(
    producer: &Producer,
    read: &mut mpsc::Receiver<Result<Record, Failure>>,
    outcomes: &Outcomes,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        let record = tokio::select! {
            biased;
            _ = &mut interrupted => return Ok(()),
            record = read.recv() => record,
        };
        let Some(record) = record else { return Ok(()) };
        // Both outcomes are told to `Outcomes`; after the first failure no more is sent.
        drop(producer.enqueue(record?).await);
        bar.set_message(format!("{} records written", outcomes.written.load(Ordering::Relaxed)));
        if outcomes.failed.load(Ordering::Relaxed) > 0 {
            return Ok(());
        }
    }
}

/// Reads files, or standard input, until the end, an error, or nobody wants more.
fn read_all(shape: &Shape, files: &[PathBuf], most: u64, records: &mpsc::Sender<Result<Record, Failure>>) {
    let mut left = most;
    let mut each = |name: &Path, input: &mut dyn BufRead| {
        if shape.whole {
            read_whole(shape, name, input, records)
        } else {
            read_split(shape, name, input, &mut left, records)
        }
    };
    let outcome = if files.is_empty() {
        each(Path::new("standard input"), &mut std::io::stdin().lock())
    } else {
        files.iter().try_for_each(|path| {
            let file = File::open(path).map_err(|error| usage(format!("{}: {error}", path.display())))?;
            each(path, &mut BufReader::new(file))
        })
    };
    if let Err(failure) = outcome {
        // Where the receiver is gone the command has ended already.
        _ = records.blocking_send(Err(failure));
    }
}

fn read_whole(
    shape: &Shape,
    name: &Path,
    input: &mut dyn BufRead,
    records: &mpsc::Sender<Result<Record, Failure>>,
) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let limit = RECORD_BYTES_MAX as u64 + 1;
    input.take(limit).read_to_end(&mut bytes).map_err(|error| usage(format!("{}: {error}", name.display())))?;
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(usage(format!("{}: more than {RECORD_BYTES_MAX} bytes", name.display())));
    }
    let record = shape.record(&bytes).map_err(|reason| usage(format!("{}: {reason}", name.display())))?;
    _ = records.blocking_send(Ok(record));
    Ok(())
}

fn read_split(
    shape: &Shape,
    name: &Path,
    input: &mut dyn BufRead,
    left: &mut u64,
    records: &mpsc::Sender<Result<Record, Failure>>,
) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    let mut number = 0_u64;
    while *left > 0 {
        number += 1;
        let wrong = |reason: String| usage(format!("{}, record {number}: {reason}", name.display()));
        let more = next_record(input, &shape.delimiter, &mut bytes).map_err(|error| wrong(error.to_string()))?;
        // A delimiter at the very end begins no record; and between JSON objects there may be empty lines.
        let blank = shape.format == "json" && bytes.trim_ascii().is_empty();
        if !more && bytes.is_empty() {
            break;
        }
        if !blank {
            let record = shape.record(&bytes).map_err(wrong)?;
            if records.blocking_send(Ok(record)).is_err() {
                break;
            }
            *left -= 1;
        }
        if !more {
            break;
        }
    }
    Ok(())
}

/// Reads up to the next delimiter, which is cut off; false where the input ended instead.
fn next_record(input: &mut dyn BufRead, delimiter: &[u8], bytes: &mut Vec<u8>) -> std::io::Result<bool> {
    bytes.clear();
    let last = *delimiter.last().expect("a delimiter is not empty");
    loop {
        let room = (RECORD_BYTES_MAX + 1).saturating_sub(bytes.len()) as u64;
        let read = (&mut *input).take(room).read_until(last, bytes)?;
        if bytes.ends_with(delimiter) {
            bytes.truncate(bytes.len() - delimiter.len());
            return Ok(true);
        }
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(std::io::Error::other(format!("no delimiter within {RECORD_BYTES_MAX} bytes")));
        }
        if read == 0 {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(arguments: &[&str]) -> Shape {
        Shape::of(&command().get_matches_from([&["produce", "t"], arguments].concat())).unwrap()
    }

    /// Keys and values of the records in an input.
    fn records(arguments: &[&str], input: &str) -> Vec<(Option<String>, Option<String>)> {
        let shape = shape(arguments);
        let (send, mut receive) = mpsc::channel(100);
        let mut left = number(&command().get_matches_from([&["produce", "t"], arguments].concat()), "count").unwrap();
        read_split(&shape, Path::new("x"), &mut input.as_bytes(), left.get_or_insert(u64::MAX), &send).unwrap();
        drop(send);
        let text = |bytes: Option<Bytes>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        std::iter::from_fn(|| receive.blocking_recv())
            .map(|record| record.unwrap())
            .map(|r| (text(r.key), text(r.value)))
            .collect()
    }

    fn pair(key: &str, value: &str) -> (Option<String>, Option<String>) {
        (Some(key.to_owned()), Some(value.to_owned()))
    }

    fn value(value: &str) -> (Option<String>, Option<String>) {
        (None, Some(value.to_owned()))
    }

    #[test]
    fn lines_are_values_and_the_last_one_needs_no_end() {
        assert_eq!(records(&[], "a\n\nb"), [value("a"), value(""), value("b")]);
        assert_eq!(records(&[], "a\n"), [value("a")]);
        assert_eq!(records(&["-c", "1"], "a\nb\n"), [value("a")]);
        assert_eq!(records(&["-D", ";;"], "a;b;;c"), [value("a;b"), value("c")]);
    }

    #[test]
    fn keys_are_cut_off() {
        assert_eq!(records(&["-K", ":"], "k:v:w\nx\n"), [pair("k", "v:w"), value("x")]);
        assert_eq!(records(&["-k", "all"], "v\n"), [pair("all", "v")]);
        assert_eq!(records(&["-K", ":", "-Z"], ":\nk:\n"), [(None, None), (Some("k".into()), None)]);
    }

    #[test]
    fn other_forms_are_read() {
        assert_eq!(records(&["--format", "hex"], "6162\n"), [value("ab")]);
        assert_eq!(records(&["--format", "json"], "{\"key\":\"k\",\"value\":\"v\"}\n\n"), [pair("k", "v")]);
        let shape = shape(&["--format", "json", "-H", "a=1", "-p", "3", "--timestamp", "5"]);
        let record = shape.record(br#"{"value": null, "headers": [{"key": "b"}]}"#).unwrap();
        assert_eq!((record.partition, record.timestamp, record.value.is_none()), (Some(3), Some(5), true));
        assert_eq!(record.headers, [("b".to_owned(), None), ("a".to_owned(), Some("1".into()))]);
        assert!(shape.record(b"[]").is_err());
    }
}
