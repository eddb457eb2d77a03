//! `kafscale cat`: records straight from the store, without a broker.

use clap::{Arg, ArgMatches, Command};
use kafscale_offline::Side;

use super::{
    arguments::{number, one, parsed, switch, usage},
    consume::{form, form_flags},
};
use crate::{
    client::offsets,
    consume::Point,
    exit::Failure,
    offline::{self, cat},
    settings,
    text::template,
};

/// The command; it takes the flags of `serve`.
pub fn command() -> Command {
    let command = Command::new("cat")
        .about("Print records straight from the store, without a broker")
        .after_help(format!(
            "It takes the settings of `serve` (--data, --store, --log, credentials), changes nothing and may run beside a \
             broker; what that writes meanwhile is not shown.\n\
            What is lost or damaged hides nothing else: all that can still be read is printed, stderr names the rest, and the \
            exit code is 5.\n\
            Where to begin (--from) and to end (--to): beginning, end, an OFFSET, -N (the last N offsets of each partition), \
            a date (2026-11-23T10:00:00Z), @MILLISECONDS, or -SPAN (-1h).\n\n\
            Formats (-f), as kcat's: {}\n\n\
            One object (--object): a segment (.kfs), a merged object, a frame of the log, or a data object. Offsets of the \
            latter two are counted from 0 in each partition's part, since they were given later. --describe tells what any \
            object says of itself.\n\n\
            Examples:\n  \
            kafscale cat orders --store s3://my-bucket/kafka --from -10 -f '%p %o %k=%s\\n'\n  \
            kafscale cat --object default/orders/0/segment-00000000000000000000.kfs -o json\n  \
            kafscale cat --object floor --describe",
            template::HELP
        ))
        .arg(Arg::new("topic").value_name("TOPIC").help("Topic to read").required_unless_present("object"))
        .args(form_flags())
        .arg(one("partition", "LIST", "Only these partitions, such as 0,2-4").short('p'))
        .arg(one("from", "POINT", "Where to begin").allow_hyphen_values(true).default_value("beginning"))
        .arg(one("to", "POINT", "Where to end").allow_hyphen_values(true).default_value("end"))
        .arg(one("count", "N", "End after so many records").short('c'))
        .arg(one("namespace", "NAME", "Namespace of the topic").default_value(""))
        .arg(one("object", "NAME", "Read this object of the store instead of a topic").conflicts_with("topic"))
        .arg(switch("in-log", "The object lies in the store of --log").requires("object"))
        .arg(switch("describe", "Tell what the object says of itself").requires("object"));
    settings::flags::add_to(command)
}

/// Reads the flags and prints.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let settings = settings::from_process(matches)?.settings;
    let (form, count) = (form(matches)?, number(matches, "count")?);
    let bucket = offline::read_only(&settings)?;
    let text = |name| matches.get_one::<String>(name).cloned();
    if let Some(object) = text("object") {
        let side = if matches.get_flag("in-log") { Side::Log } else { Side::Data };
        if side == Side::Log && !bucket.is_apart() {
            return Err(usage("--in-log: there is no --log"));
        }
        let json = text("output").as_deref() == Some("json");
        return offline::block_on(async {
            match matches.get_flag("describe") {
                true => cat::describe(&bucket, side, &object, json).await,
                false => cat::object(&bucket, side, &object, &form, count).await,
            }
        });
    }
    let plan = cat::Plan {
        topic: text("topic").unwrap_or_default(),
        namespace: text("namespace").unwrap_or_default(),
        partitions: text("partition").map(|list| offsets::parse_partitions(&list)).transpose()?,
        from: parsed(matches, "from", Point::parse)?.unwrap_or(Point::Beginning),
        to: parsed(matches, "to", Point::parse)?.unwrap_or(Point::End),
        count,
        form,
    };
    offline::block_on(cat::topic(&bucket, plan))
}
