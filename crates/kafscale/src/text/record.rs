//! Records as JSON, the same to write and to read: what `consume -o json` prints, `produce --format json` takes.
//!
//! A key, value or header that is UTF-8 is a string; other bytes are `{"base64": "..."}`; null is null.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// What headers of another form are told.
const HEADERS: &str = "headers: expected a list of {\"key\": ..., \"value\": ...}";

/// The parts of a record that both directions share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// The partition, if it is given.
    pub partition: Option<i32>,
    /// Milliseconds since 1970, if given.
    pub timestamp: Option<i64>,
    /// The key; none is a null key.
    pub key: Option<Bytes>,
    /// The value; none is a null value (a tombstone).
    pub value: Option<Bytes>,
    /// Headers in order; keys may repeat.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Bytes as JSON.
pub fn bytes_to_json(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => Value::Null,
        Some((Ok(text), _)) => Value::String(text.to_owned()),
        Some((Err(_), bytes)) => json!({ "base64": BASE64.encode(bytes) }),
    }
}

/// Headers as JSON: a list of objects, because keys may repeat.
pub fn headers_to_json(headers: &[(String, Option<Bytes>)]) -> Value {
    headers.iter().map(|(key, value)| json!({ "key": key, "value": bytes_to_json(value.as_deref()) })).collect()
}

/// Reads one record. Fields that only reading gives (`topic`, `offset`, ...) are passed over; unknown ones are refused.
pub fn from_json(text: &[u8]) -> Result<Content, String> {
    let object: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| format!("no JSON object: {error}"))?;
    let mut content = Content::default();
    for (name, value) in object {
        match (name.as_str(), value) {
            ("topic" | "offset" | "timestamp_type", _) | ("partition" | "timestamp", Value::Null) => {}
            ("partition", value) => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                content.partition = Some(number.ok_or("partition: expected a whole number")?);
            }
            ("timestamp", value) => content.timestamp = Some(timestamp(&value)?),
            ("key", value) => content.key = bytes_from_json("key", value)?,
            ("value", value) => content.value = bytes_from_json("value", value)?,
            ("headers", Value::Array(headers)) => {
                content.headers = headers.into_iter().map(header).collect::<Result<_, _>>()?;
            }
            ("headers", _) => return Err(HEADERS.into()),
            (other, _) => return Err(format!("unknown field {other}")),
        }
    }
    Ok(content)
}

fn timestamp(value: &Value) -> Result<i64, String> {
    match value {
        Value::Number(number) => number.as_i64().ok_or_else(|| "timestamp: expected milliseconds since 1970".into()),
        Value::String(text) => super::time::parse_ms(text).map_err(|reason| format!("timestamp: {reason}")),
        _ => Err("timestamp: expected milliseconds since 1970 or a date".into()),
    }
}

fn header(value: Value) -> Result<(String, Option<Bytes>), String> {
    let Value::Object(mut fields) = value else { return Err(HEADERS.into()) };
    let Some(Value::String(key)) = fields.remove("key") else { return Err("headers: key: expected a string".into()) };
    let value = bytes_from_json("headers", fields.remove("value").unwrap_or(Value::Null))?;
    Ok((key, value))
}

/// JSON values other than strings are taken as their text, so that `{"value": {"a": 1}}` writes `{"a":1}`.
fn bytes_from_json(name: &str, value: Value) -> Result<Option<Bytes>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.into())),
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("base64") => {
            let text = fields["base64"].as_str().ok_or_else(|| format!("{name}: base64: expected a string"))?;
            BASE64.decode(text).map(|bytes| Some(bytes.into())).map_err(|error| format!("{name}: base64: {error}"))
        }
        other => Ok(Some(other.to_string().into())),
    }
}

/// Bytes from pairs of hexadecimal digits; blanks between them are passed over.
pub fn from_hex(text: &[u8]) -> Result<Bytes, String> {
    let digits: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let nibble = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| match *pair {
        [high, low] => Some(nibble(high)? << 4 | nibble(low)?),
        _ => None,
    };
    digits
        .chunks(2)
        .map(pair)
        .collect::<Option<Vec<u8>>>()
        .map(Bytes::from)
        .ok_or_else(|| "expected pairs of hexadecimal digits".into())
}

/// Bytes as pairs of hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

/// Bytes from base64.
pub fn from_base64(text: &[u8]) -> Result<Bytes, String> {
    BASE64.decode(text.trim_ascii()).map(Bytes::from).map_err(|error| format!("no base64: {error}"))
}

/// Bytes as base64.
pub fn to_base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let headers = vec![("a".to_owned(), Some(Bytes::from("1"))), ("a".to_owned(), None)];
        let printed = json!({
            "topic": "t", "partition": 3, "offset": 9, "timestamp": 17, "timestamp_type": "create",
            "key": bytes_to_json(Some(b"k")), "value": bytes_to_json(Some(&[0xff, 0])), "headers": headers_to_json(&headers),
        });
        let read = from_json(printed.to_string().as_bytes()).unwrap();
        let expected = Content {
            partition: Some(3),
            timestamp: Some(17),
            key: Some("k".into()),
            value: Some(vec![0xff, 0].into()),
            headers,
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn other_json_is_its_text_and_null_is_null() {
        let read = from_json(br#"{"key": null, "value": {"a": [1]}, "timestamp": "1970-01-01T00:00:01Z"}"#).unwrap();
        assert_eq!((read.key, read.value, read.timestamp), (None, Some(r#"{"a":[1]}"#.into()), Some(1000)));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in [
            "",
            "[]",
            "{\"valu\": 1}",
            "{\"partition\": \"x\"}",
            "{\"headers\": {}}",
            "{\"value\": {\"base64\": \"%\"}}",
        ] {
            assert!(from_json(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn hex_is_read_and_written() {
        assert_eq!(from_hex(b"00 fF10").unwrap(), &[0, 255, 16][..]);
        assert_eq!(to_hex(&[0, 255, 16]), "00ff10");
        assert!(from_hex(b"0").is_err() && from_hex(b"0g").is_err());
    }
}
