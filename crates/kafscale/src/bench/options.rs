//! The flags of `kafscale bench` and their values.

use std::time::Duration;

use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser};

use crate::{
    client::{self, Properties},
    exit::{Exit, Failure},
    output,
    settings::value::{Size, Value},
};

/// What all three kinds of run are told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The topic to write or read.
    pub topic: String,
    /// How much to do.
    pub limit: Limit,
    /// Where the Kafka is, and the clients' properties.
    pub properties: Properties,
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
/// Where a run differs from the clients' defaults: a batch never waits for a timer, so that what is measured is the
/// broker; while one is under way the next fills up to what a broker takes at most by default; a reader takes all it got.
const PREFERRED: &[(&str, &str)] = &[
    ("client.id", "kafscale-bench"),
    ("linger.ms", "0"),
    ("batch.size", "1000000"),
    ("buffer.memory", "67108864"),
    ("max.request.size", "104857600"),
    ("max.poll.records", "2147483647"),
];
/// A record of e2e carries its run and its time.
pub const STAMP_BYTES: usize = 16;

/// Adds the flags of every kind.
pub fn common(command: Command) -> Command {
    client::flags::add_to(command)
        .arg(text("topic", "NAME", "Topic to write or read").default_value("bench"))
        .arg(text("records", "N", "End after so many records"))
        .arg(text("duration", "TIME", "End after this time, such as 30s"))
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
    Arg::new(name).long(name).value_name(placeholder).help(help).allow_negative_numbers(true)
}

/// Reads what every kind is told. `shorts` are flags that stand for a property.
pub fn read(matches: &ArgMatches, shorts: &[(&str, &str)]) -> Result<Options, Failure> {
    let mut properties = client::flags::read(matches)?;
    for (flag, property) in shorts {
        if let Some(value) = matches.get_one::<String>(flag) {
            properties.set(property, value)?;
        }
    }
    for (name, value) in PREFERRED {
        properties.prefer(name, value);
    }
    let limit = Limit { records: value(matches, "records")?, duration: value(matches, "duration")? };
    if limit.records == Some(0) || limit.duration == Some(Duration::ZERO) {
        return Err(usage("--records and --duration: a run of nothing measures nothing"));
    }
    let required = |name| matches.get_one::<String>(name).expect("it has a default").clone();
    Ok(Options { topic: required("topic"), limit, properties })
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

/// A record must fit the memory for records that wait, with its batch.
const RECORD_SIZE_MAX: usize = 64_000_000;
/// Each producer has a thread and a connection of its own.
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
    fn shorts_and_properties_reach_the_client() {
        let (options, load) = parsed(&["--set", "linger.ms=7", "--acks", "1", "--record-size", "64B"]).unwrap();
        assert_eq!(["acks", "linger.ms"].map(|name| options.properties.text(name)), ["1", "7"]);
        assert_eq!((load.record_size, load.producers, load.rate), (64, 1, None));
        assert_eq!(options.limit.duration, Some(DURATION_DEFAULT));
    }

    #[test]
    fn what_cannot_be_run_is_a_usage_error() {
        for arguments in [
            ["--record-size", "15"],
            ["--producers", "0"],
            ["--records", "many"],
            ["--records", "0"],
            ["--records", "-1"],
            ["--duration", "0s"],
            ["--set", "acks"],
            ["--rate", "0"],
            ["--duration", "10"],
        ] {
            assert_eq!(parsed(&arguments).unwrap_err().exit, Exit::Usage, "{arguments:?}");
        }
    }
}
