//! The numbers in OpenTelemetry's `MetricsData`, as clients push them: a reader of the few protobuf fields that count.
//!
//! ```text
//! MetricsData.resource_metrics=1 . scope_metrics=2 . metrics=2 { name=1, gauge=5, sum=7 }
//! gauge, sum { data_points=1 { as_double=4, as_int=6 }, aggregation_temporality=2, is_monotonic=3 }
//! ```
//!
//! Nothing is recursive and nothing is allocated but the points, which are bounded.

/// Points of one push; more are an error.
const POINTS_MAX: usize = 10_000;
/// The longest name of a metric in bytes.
const NAME_BYTES_MAX: usize = 128;
/// OpenTelemetry's number of "since the last push".
const DELTA: u64 = 1;

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value as it is now.
    Gauge,
    /// What has come since the last push; never negative.
    Delta,
    /// A sum since some start, or one that can fall.
    Total,
}

/// A number of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The metric's name.
    pub name: String,
    /// What the value is.
    pub kind: Kind,
    /// The value; finite.
    pub value: f64,
}

/// The bytes are no `MetricsData`, or too many points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

type Read<T> = Result<T, Malformed>;

/// All points of gauges and sums whose names have the form that Kafka gives them.
pub fn points(metrics_data: &[u8]) -> Read<Vec<Point>> {
    let mut found = Vec::new();
    for resource in messages(metrics_data, 1) {
        for scope in messages(resource?, 2) {
            for metric in messages(scope?, 2) {
                read_metric(metric?, &mut found)?;
            }
        }
    }
    Ok(found)
}

fn read_metric(metric: &[u8], found: &mut Vec<Point>) -> Read<()> {
    let mut name = None;
    let mut data = None;
    for field in fields(metric) {
        match field? {
            (1, Value::Bytes(bytes)) => name = std::str::from_utf8(bytes).ok(),
            (5, Value::Bytes(bytes)) => data = Some((true, bytes)),
            (7, Value::Bytes(bytes)) => data = Some((false, bytes)),
            _ => {}
        }
    }
    let (Some(name), Some((is_gauge, data))) = (name.filter(|name| is_name(name)), data) else { return Ok(()) };
    let mut temporality = 0;
    let mut is_monotonic = false;
    let mut values = Vec::new();
    for field in fields(data) {
        match field? {
            (1, Value::Bytes(point)) if found.len() + values.len() < POINTS_MAX => values.extend(read_value(point)?),
            (1, Value::Bytes(_)) => return Err(Malformed),
            (2, Value::Varint(number)) => temporality = number,
            (3, Value::Varint(number)) => is_monotonic = number != 0,
            _ => {}
        }
    }
    let kind = match (is_gauge, temporality == DELTA && is_monotonic) {
        (true, _) => Kind::Gauge,
        (false, true) => Kind::Delta,
        (false, false) => Kind::Total,
    };
    let fits = |value: &f64| value.is_finite() && (kind != Kind::Delta || *value >= 0.0);
    found.extend(values.into_iter().filter(fits).map(|value| Point { name: name.to_owned(), kind, value }));
    Ok(())
}

fn read_value(point: &[u8]) -> Read<Option<f64>> {
    let mut value = None;
    for field in fields(point) {
        match field? {
            (4, Value::Fixed64(bits)) => value = Some(f64::from_bits(bits)),
            (6, Value::Fixed64(bits)) => value = Some(bits as i64 as f64),
            _ => {}
        }
    }
    Ok(value)
}

fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(legal)
}

/// The values of one message field.
fn messages(message: &[u8], number: u64) -> impl Iterator<Item = Read<&[u8]>> {
    fields(message).filter_map(move |field| match field {
        Err(error) => Some(Err(error)),
        Ok((found, Value::Bytes(bytes))) if found == number => Some(Ok(bytes)),
        Ok(_) => None,
    })
}

/// A field's value as it is written.
enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// The fields of a message with their numbers. Ends after the last one, or with the first error.
fn fields(message: &[u8]) -> impl Iterator<Item = Read<(u64, Value<'_>)>> {
    let mut rest = Some(message);
    std::iter::from_fn(move || {
        let mut bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        let field = read_field(&mut bytes);
        if field.is_some() {
            rest = Some(bytes);
        }
        Some(field.ok_or(Malformed))
    })
}

fn read_field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Value::Varint(varint(rest)?),
        1 => Value::Fixed64(u64::from_le_bytes(take(rest, 8)?.try_into().ok()?)),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Value::Fixed32)?,
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count)?;
    *rest = after;
    Some(taken)
}
