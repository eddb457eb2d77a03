//! The flags of `kafscale bench` and their values.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser};

use crate::{
    exit::{Exit, Failure},
    output,
    settings::value::{Size, Value},
};

/// What all three kinds of run are told.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the Kafka is.
    pub bootstrap: String,
    /// The topic to write or read.
    pub topic: String,
    /// How much to do.
    pub limit: Limit,
    /// Properties of librdkafka that were asked for, in order.
    pub properties: Vec<(String, String)>,
}

/// When a run ends: at the first of these that is reached.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Records, over all producers.
    pub records: Option<u64>,
    /// Time.
    pub duration: Option<Duration>,
}

/// What the producing kinds are told besides.
#[derive(Debug, Clone)]
pub struct Load {
    /// Bytes of a record's value.
    pub record_size: usize,
    /// Records a second over all producers; none means as fast as the client may.
    pub rate: Option<f64>,
    /// Creates the topic with so many partitions.
    pub partitions: Option<u32>,
    /// Clients at the same time.
    pub producers: u32,
}

/// A producing run without a limit ends after this time.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);
/// A record of e2e carries its run and its time.
pub const STAMP_BYTES: usize = 16;

/// Adds the flags of every kind.
pub fn common(command: Command) -> Command {
    command
        .arg(text("bootstrap-server", "HOST:PORT", "Kafka to connect to").default_value("127.0.0.1:9092"))
        .arg(text("topic", "NAME", "Topic to write or read").default_value("bench"))
        .arg(text("records", "N", "End after so many records"))
        .arg(text("duration", "TIME", "End after this time, such as 30s"))
        .arg(
            text("set", "KEY=VALUE", "Set a property of the client (librdkafka); may be given several times")
                .action(ArgAction::Append),
        )
        .arg(output::flag())
}

/// Adds the flags of the kinds that produce.
pub fn producing(command: Command) -> Command {
    let compressions = PossibleValuesParser::new(["none", "gzip", "snappy", "lz4", "zstd"]);
    common(command)
        .arg(text("record-size", "SIZE", "Bytes of a record's value, which is random").default_value("1KiB"))
        .arg(text("rate", "RATE", "Open loop: records a second (1000) or bytes a second (10MiB) over all producers"))
        .arg(text("partitions", "N", "Create the topic with so many partitions if it is absent"))
        .arg(text("producers", "N", "Producers, each with its own connection").default_value("1"))
        .arg(
            text("acks", "ACKS", "Short for --set acks=ACKS")
                .value_parser(PossibleValuesParser::new(["0", "1", "all"])),
        )
        .arg(text("compression", "CODEC", "Short for --set compression.type=CODEC").value_parser(compressions))
}

fn text(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(placeholder).help(help)
}

/// Reads what every kind is told. `shorts` are flags that stand for a property.
pub fn read(matches: &ArgMatches, shorts: &[(&str, &str)]) -> Result<Options, Failure> {
    let mut properties = Vec::new();
    for (flag, property) in shorts {
        if let Some(value) = matches.get_one::<String>(flag) {
            properties.push(((*property).to_owned(), value.clone()));
        }
    }
    for pair in matches.get_many::<String>("set").into_iter().flatten() {
        let (key, value) = pair.split_once('=').ok_or_else(|| usage(format!("--set {pair}: expected KEY=VALUE")))?;
        properties.push((key.to_owned(), value.to_owned()));
    }
    let limit = Limit { records: value(matches, "records")?, duration: value(matches, "duration")? };
    let required = |name| matches.get_one::<String>(name).expect("it has a default").clone();
    Ok(Options { bootstrap: required("bootstrap-server"), topic: required("topic"), limit, properties })
}

/// Reads everything for a producing kind whose records need `stamp` bytes.
pub fn read_producing(matches: &ArgMatches, stamp: usize) -> Result<(Options, Load), Failure> {
    let mut options = read(matches, &[("acks", "acks"), ("compression", "compression.type")])?;
    if options.limit.records.is_none() && options.limit.duration.is_none() {
        options.limit.duration = Some(DURATION_DEFAULT);
    }
    let size: Size = value(matches, "record-size")?.expect("it has a default");
    let record_size = usize::try_from(size.bytes()).map_err(|_| usage("--record-size: too large"))?;
    if !(stamp..=RECORD_SIZE_MAX).contains(&record_size) {
        return Err(usage(format!("--record-size: expected {stamp} to {RECORD_SIZE_MAX} bytes")));
    }
    let rate = match matches.get_one::<String>("rate") {
        Some(text) => Some(records_per_s(text, record_size).map_err(|reason| usage(format!("--rate: {reason}")))?),
        None => None,
    };
    let producers = value(matches, "producers")?.expect("it has a default");
    if !(1..=PRODUCERS_MAX).contains(&producers) {
        return Err(usage(format!("--producers: expected 1 to {PRODUCERS_MAX}")));
    }
    Ok((options, Load { record_size, rate, partitions: value(matches, "partitions")?, producers }))
}

/// librdkafka takes no larger message.
const RECORD_SIZE_MAX: usize = 1_000_000_000;
/// Each producer is a client with several threads.
const PRODUCERS_MAX: u32 = 1_000;

/// Records a second from `1000` (records) or `10MiB` (bytes).
fn records_per_s(text: &str, record_size: usize) -> Result<f64, String> {
    let rate = match text.parse::<f64>() {
        Ok(records) => records,
        Err(_) => {
            let bytes = Size::parse(text).map_err(|_| "expected records (1000) or bytes (10MiB) a second")?;
            bytes.bytes() as f64 / record_size.max(1) as f64
        }
    };
    if rate.is_finite() && rate > 0.0 { Ok(rate) } else { Err("expected more than nothing".into()) }
}

fn value<T: Value>(matches: &ArgMatches, name: &str) -> Result<Option<T>, Failure> {
    let parse = |text: &String| T::parse(text).map_err(|reason| usage(format!("--{name} {text}: {reason}")));
    matches.get_one::<String>(name).map(parse).transpose()
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Exit::Usage, anyhow::anyhow!(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_records_or_bytes() {
        assert_eq!(records_per_s("1000", 64), Ok(1000.0));
        assert_eq!(records_per_s("0.5", 64), Ok(0.5));
        assert_eq!(records_per_s("1MiB", 1024), Ok(1024.0));
        for text in ["0", "-1", "NaN", "inf", "fast", "0B"] {
            assert!(records_per_s(text, 64).is_err(), "{text}");
        }
    }

    fn parsed(arguments: &[&str]) -> Result<(Options, Load), Failure> {
        let command = producing(Command::new("produce"));
        read_producing(&command.get_matches_from([&["produce"], arguments].concat()), STAMP_BYTES)
    }

    #[test]
    fn shorts_and_properties_reach_the_client_in_order() {
        let (options, load) = parsed(&["--set", "linger.ms=0", "--acks", "1", "--record-size", "64B"]).unwrap();
        let properties: Vec<_> = options.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(properties, ["acks=1", "linger.ms=0"]);
        assert_eq!((load.record_size, load.producers, load.rate), (64, 1, None));
        assert_eq!(options.limit.duration, Some(DURATION_DEFAULT));
    }

    #[test]
    fn what_cannot_be_run_is_a_usage_error() {
        for arguments in [
            ["--record-size", "15"],
            ["--producers", "0"],
            ["--records", "many"],
            ["--set", "acks"],
            ["--rate", "0"],
            ["--duration", "10"],
        ] {
            assert_eq!(parsed(&arguments).unwrap_err().exit, Exit::Usage, "{arguments:?}");
        }
    }
}
