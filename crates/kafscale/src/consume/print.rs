//! Records on stdout.

use std::io::{BufWriter, ErrorKind, IsTerminal, Stdout, Write};

use anyhow::Context;
use krafka::consumer::ConsumerRecord;
use serde_json::json;

use crate::{
    exit::Failure,
    text::{
        escape::safe_lines,
        record::{bytes_to_json, headers_to_json, to_base64, to_hex},
        template::{Template, timestamp_type},
    },
};

/// How a record is printed.
#[derive(Debug, Clone)]
pub enum Form {
    /// Its bytes; on a terminal, control characters are made visible.
    Raw(Template),
    /// Its bytes in hexadecimal.
    Hex(Template),
    /// Its bytes in base64.
    Base64(Template),
    /// One JSON object a line.
    Json,
}

/// Prints records.
pub struct Printer {
    form: Form,
    terminal: bool,
    out: BufWriter<Stdout>,
    bytes: Vec<u8>,
}

impl Printer {
    /// A printer to stdout.
    pub fn new(form: &Form) -> Self {
        let stdout = std::io::stdout();
        Self { form: form.clone(), terminal: stdout.is_terminal(), out: BufWriter::new(stdout), bytes: Vec::new() }
    }

    /// Prints one; false where nobody reads any more.
    pub fn print(&mut self, record: &ConsumerRecord) -> Result<bool, Failure> {
        self.bytes.clear();
        render(&self.form, self.terminal, record, &mut self.bytes);
        goes_on(self.out.write_all(&self.bytes))
    }

    /// Hands over what is buffered; false where nobody reads any more.
    pub fn flush(&mut self) -> Result<bool, Failure> {
        goes_on(self.out.flush())
    }
}

fn goes_on(outcome: std::io::Result<()>) -> Result<bool, Failure> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        outcome => Ok(outcome.context("cannot write to stdout").map(|()| true)?),
    }
}

fn render(form: &Form, terminal: bool, record: &ConsumerRecord, out: &mut Vec<u8>) {
    match form {
        Form::Raw(template) if terminal => template.write(record, visible, out),
        Form::Raw(template) => template.write(record, |bytes, out| out.extend_from_slice(bytes), out),
        Form::Hex(template) => {
            template.write(record, |bytes, out| out.extend_from_slice(to_hex(bytes).as_bytes()), out)
        }
        Form::Base64(template) => {
            template.write(record, |bytes, out| out.extend_from_slice(to_base64(bytes).as_bytes()), out);
        }
        Form::Json => {
            let object = json!({
                "topic": &*record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp": record.timestamp,
                "timestamp_type": timestamp_type(record),
                "key": bytes_to_json(record.key.as_deref()),
                "value": bytes_to_json(record.value.as_deref()),
                "headers": headers_to_json(&record.headers),
            });
            out.extend_from_slice(object.to_string().as_bytes());
            out.push(b'\n');
        }
    }
}

fn visible(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(safe_lines(&String::from_utf8_lossy(bytes)).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(form: &Form, terminal: bool) -> String {
        let record = ConsumerRecord::new("t", 1, 7, None, Some(vec![0x1b, b'[', 0xff].into()));
        let mut out = Vec::new();
        render(form, terminal, &record, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        let template = Template::of_delimiters(None, b"\n");
        assert_eq!(rendered(&Form::Raw(template.clone()), true), "\\x1b[\u{fffd}\n");
        assert!(rendered(&Form::Raw(template.clone()), false).starts_with('\x1b'));
        assert_eq!(rendered(&Form::Hex(template), true), "1b5bff\n");
    }

    #[test]
    fn json_is_one_line_with_everything() {
        let value: serde_json::Value = serde_json::from_str(&rendered(&Form::Json, true)).unwrap();
        assert_eq!((&value["offset"], &value["key"]), (&7.into(), &serde_json::Value::Null));
        assert_eq!(value["value"], json!({ "base64": "G1v/" }));
    }
}
