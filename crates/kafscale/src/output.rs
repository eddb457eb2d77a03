//! What every command shares when it prints: `-o table|json`, and tables. Data goes to stdout, talk to stderr.
//!
//! A reader that goes away (`| head`) is no error. What a table shows comes from other parties, so its control characters
//! are made visible; JSON escapes them by itself.

use std::io::{ErrorKind, Write};

use anyhow::Context;
use clap::{Arg, ArgMatches, builder::PossibleValuesParser};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};
use serde::Serialize;

use crate::{exit::Failure, text::escape::safe};

/// The form of a command's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    Table,
    /// One JSON value for programs.
    Json,
}

/// The flag `-o`.
pub fn flag() -> Arg {
    Arg::new("output")
        .short('o')
        .long("output")
        .value_name("FORMAT")
        .value_parser(PossibleValuesParser::new(["table", "json"]))
        .default_value("table")
        .help("Form of the output on stdout")
}

impl Format {
    /// What `-o` asked for.
    pub fn of(matches: &ArgMatches) -> Self {
        match matches.get_one::<String>("output").map(String::as_str) {
            Some("json") => Self::Json,
            _ => Self::Table,
        }
    }
}

/// Something that is a row of a table and an object of JSON.
pub trait Row: Serialize {
    /// The headings of its columns.
    const HEADINGS: &'static [&'static str];
    /// Its cells, one per heading.
    fn cells(&self) -> Vec<String>;
}

/// Prints rows as a table, or as a list of objects. A table without rows is nothing.
pub fn rows<R: Row>(format: Format, rows: &[R]) -> Result<(), Failure> {
    match format {
        Format::Table if rows.is_empty() => Ok(()),
        Format::Table => bytes(table(R::HEADINGS, rows.iter().map(Row::cells).collect()).as_bytes()),
        Format::Json => json(&rows),
    }
}

/// Prints a value as JSON.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).context("cannot write JSON")?;
    bytes(format!("{text}\n").as_bytes())
}

/// Prints a line of text, made safe; a line break at its start stays.
pub fn line(text: &str) -> Result<(), Failure> {
    let (gap, text) = text.strip_prefix('\n').map_or(("", text), |rest| ("\n", rest));
    bytes(format!("{gap}{}\n", safe(text)).as_bytes())
}

/// Prints bytes as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => Ok(outcome.context("cannot write to stdout")?),
    }
}

/// Rows under headings, in aligned columns. An empty last column takes no room.
pub fn table(headings: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(headings);
    table.add_rows(rows.iter().map(|row| row.iter().map(|cell| safe(cell).into_owned()).collect::<Vec<_>>()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_are_safe() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["long\x1b[2J\n".into(), String::new()]];
        assert_eq!(table(&["NAME", "N"], rows), "NAME           N\na              1\nlong\\x1b[2J\\n\n");
    }

    #[test]
    fn wide_characters_take_their_room() {
        let rows = vec![vec!["日本".into(), "1".into()], vec!["abcd".into(), "2".into()]];
        assert_eq!(table(&["N", "M"], rows), "N     M\n日本  1\nabcd  2\n");
    }
}
