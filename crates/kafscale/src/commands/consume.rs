//! `kafscale consume`: prints records, by assignment or as a member of a group.

use clap::{Arg, ArgMatches, Command, builder::PossibleValuesParser};

use super::arguments::{number, one, parsed, positional_many, switch, usage};
use crate::{
    client::{flags, offsets},
    consume::{self, Form, Plan, Point},
    exit::Failure,
    text::{escape::unescape, template, template::Template},
};

/// The command.
pub fn command() -> Command {
    let command = Command::new("consume")
        .about("Print records of topics")
        .after_help(format!(
            "Where to begin (--from) and to end (--to): beginning, end, an OFFSET, -N (the last N records of each \
            partition), a date (2026-11-23T10:00:00Z), @MILLISECONDS, or -SPAN (-1h).\n\
            Without --follow and --to it ends where the partitions end when it starts.\n\n\
            Formats (-f), as kcat's: {}\n\n\
            A group's offsets are committed after its records were written to stdout; Ctrl-C ends with a commit.\n\n\
            Examples:\n  \
            kafscale consume orders\n  \
            kafscale consume orders -f '%p %o %k=%s\\n' --from -10\n  \
            kafscale consume orders -o json --follow --group audit",
            template::HELP
        ))
        .arg(positional_many("topic", "TOPIC", "Topics to read").required(true))
        .args(form_flags())
        .arg(one("partition", "LIST", "Only these partitions, such as 0,2-4").short('p').allow_hyphen_values(true))
        .arg(one("from", "POINT", "Where to begin; with a group, where it has no offset").allow_hyphen_values(true))
        .arg(one("to", "POINT", "Where to end").allow_hyphen_values(true).conflicts_with("group"))
        .arg(switch("follow", "Go on with what is written from now on").conflicts_with("to"))
        .arg(one("count", "N", "End after so many records").short('c'))
        .arg(one("group", "GROUP", "Read as a member of this group, and commit").short('g').conflicts_with("partition"))
        .arg(switch("no-commit", "Do not commit the group's offsets").requires("group"))
        .arg(switch("committed", "Pass over records of open and aborted transactions"));
    flags::add_to(command)
}

/// Reads the flags and prints.
pub fn run(matches: &ArgMatches) -> Result<(), Failure> {
    let mut properties = flags::read(matches)?;
    if let Some(group) = matches.get_one::<String>("group") {
        properties.set("group.id", group)?;
    } else if properties.is_given("group.id") {
        // A file for all tools may name a group; here only the flag joins one.
        properties.set("group.id", "")?;
    }
    if matches.get_flag("committed") {
        properties.set("isolation.level", "read_committed")?;
    }
    let from = parsed(matches, "from", Point::parse)?;
    if properties.some("group.id").is_some() {
        match from {
            None => properties.prefer("auto.offset.reset", "earliest"),
            Some(Point::Beginning) => properties.set("auto.offset.reset", "earliest")?,
            Some(Point::End) => properties.set("auto.offset.reset", "latest")?,
            Some(_) => {
                let advice = "use `kafscale groups reset-offsets` for others";
                return Err(usage(format!("--from: a group begins at its offsets, or at beginning or end; {advice}")));
            }
        }
        properties.set("enable.auto.commit", "false")?;
    }
    let plan = Plan {
        topics: super::arguments::joined(matches, "topic"),
        partitions: matches.get_one::<String>("partition").map(|list| offsets::parse_partitions(list)).transpose()?,
        from: from.unwrap_or(Point::Beginning),
        to: match parsed(matches, "to", Point::parse)? {
            None if matches.get_flag("follow") => None,
            None => Some(Point::End),
            to => to,
        },
        count: number(matches, "count")?,
        commit: !matches.get_flag("no-commit"),
        form: form(matches)?,
    };
    consume::run(properties, plan)
}

/// How records are printed, as flags.
pub(super) fn form_flags() -> [Arg; 4] {
    let output = "What is printed of each record: raw, hex and base64 print its value, json all of it";
    [
        one("output", "FORMAT", output)
            .short('o')
            .value_parser(PossibleValuesParser::new(["raw", "json", "hex", "base64"]))
            .default_value("raw"),
        one("format", "FORMAT", "A format like kcat's instead of the value").short('f'),
        one("delimiter", "TEXT", "What is printed behind a record").short('D').default_value("\\n"),
        one("key-delimiter", "TEXT", "Print the key and this before the value").short('K'),
    ]
}

/// The form that these flags ask for.
pub(super) fn form(matches: &ArgMatches) -> Result<Form, Failure> {
    let delimiter = parsed(matches, "delimiter", unescape)?.expect("it has a default");
    let between = parsed(matches, "key-delimiter", unescape)?;
    let template = match parsed(matches, "format", Template::parse)? {
        Some(template) => template,
        None => Template::of_delimiters(between.as_deref(), &delimiter),
    };
    Ok(match matches.get_one::<String>("output").map(String::as_str) {
        Some("json") => Form::Json,
        Some("hex") => Form::Hex(template),
        Some("base64") => Form::Base64(template),
        _ => Form::Raw(template),
    })
}
