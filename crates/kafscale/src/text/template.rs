//! Formats of records in the manner of kcat: `%t [%p] %o: %k=%s\n`.

use krafka::{TimestampType, consumer::ConsumerRecord};

use super::{escape::unescape, time};

/// What may stand in a format, for help.
pub const HELP: &str = "\
%t topic, %p partition, %o offset, %T timestamp in milliseconds, %D timestamp as a date, %k key, %s value, %K and %S \
their lengths (-1 for null), %h headers as k=v,..., %% a percent sign; \\n \\t \\r \\0 \\xNN as usual";

/// A format that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Field(char),
}

impl Template {
    /// Reads a format.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            push_text(&mut parts, &rest[..at])?;
            let field = rest[at + 1..].chars().next().ok_or("a lone % at the end")?;
            match field {
                '%' => push_bytes(&mut parts, b"%"),
                't' | 'p' | 'o' | 'T' | 'D' | 'k' | 's' | 'K' | 'S' | 'h' => parts.push(Part::Field(field)),
                other => return Err(format!("%{other} is unknown; known are {HELP}")),
            }
            rest = &rest[at + 1 + field.len_utf8()..];
        }
        push_text(&mut parts, rest)?;
        Ok(Self(parts))
    }

    /// A format of value, key before it if `key_delimiter` is given, and a delimiter behind.
    pub fn of_delimiters(key_delimiter: Option<&[u8]>, delimiter: &[u8]) -> Self {
        let mut parts = Vec::new();
        if let Some(between) = key_delimiter {
            parts.extend([Part::Field('k'), Part::Text(between.to_vec())]);
        }
        parts.extend([Part::Field('s'), Part::Text(delimiter.to_vec())]);
        Self(parts)
    }

    /// Writes a record. `show` turns the bytes of keys, values and headers into what is written.
    pub fn write(&self, record: &ConsumerRecord, show: impl Fn(&[u8], &mut Vec<u8>), out: &mut Vec<u8>) {
        for part in &self.0 {
            let field = match part {
                Part::Text(text) => {
                    out.extend_from_slice(text);
                    continue;
                }
                Part::Field(field) => field,
            };
            let length = |bytes: Option<&bytes::Bytes>| bytes.map_or("-1".to_owned(), |bytes| bytes.len().to_string());
            let text = match field {
                't' => record.topic.to_string(),
                'p' => record.partition.to_string(),
                'o' => record.offset.to_string(),
                'T' => record.timestamp.to_string(),
                'D' => time::show_ms(record.timestamp),
                'K' => length(record.key.as_ref()),
                'S' => length(record.value.as_ref()),
                'k' => {
                    show(record.key.as_deref().unwrap_or_default(), out);
                    continue;
                }
                's' => {
                    show(record.value.as_deref().unwrap_or_default(), out);
                    continue;
                }
                _ => {
                    write_headers(record, &show, out);
                    continue;
                }
            };
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn write_headers(record: &ConsumerRecord, show: &impl Fn(&[u8], &mut Vec<u8>), out: &mut Vec<u8>) {
    for (index, (key, value)) in record.headers.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        show(key.as_bytes(), out);
        out.push(b'=');
        show(value.as_deref().unwrap_or(b"NULL"), out);
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), String> {
    push_bytes(parts, &unescape(text)?);
    Ok(())
}

fn push_bytes(parts: &mut Vec<Part>, bytes: &[u8]) {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.extend_from_slice(bytes),
        _ if bytes.is_empty() => {}
        _ => parts.push(Part::Text(bytes.to_vec())),
    }
}

/// The kind of a record's timestamp in a word.
pub fn timestamp_type(record: &ConsumerRecord) -> &'static str {
    match record.timestamp_type {
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "log-append",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ConsumerRecord {
        let mut record = ConsumerRecord::new("t", 2, 41, Some("key".into()), None);
        record.timestamp = 1000;
        record.headers = vec![("a".into(), Some("1".into())), ("b".into(), None)];
        record
    }

    fn written(format: &str) -> String {
        let mut out = Vec::new();
        let plain = |bytes: &[u8], out: &mut Vec<u8>| out.extend_from_slice(bytes);
        Template::parse(format).unwrap().write(&record(), plain, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_field_is_written() {
        assert_eq!(
            written(r"%t [%p] %o %T %D|%k|%s|%K %S %h %%\n"),
            "t [2] 41 1000 1970-01-01T00:00:01.000Z|key||3 -1 a=1,b=NULL %\n"
        );
        assert_eq!(written(r"\x41%%s"), "A%s");
    }

    #[test]
    fn what_is_unknown_is_refused() {
        for wrong in ["%q", "%", r"\q"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }
}
