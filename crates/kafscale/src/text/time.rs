//! Points in time and spans as people write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970 from a number of them, or from a date as in ISO 8601: `2026-11-23`, `2026-11-23T10:00:00`,
/// `2026-11-23T10:00:00.250Z`, `2026-11-23T10:00:00+01:00`. Without a zone it is UTC, as Kafka's own tools take it.
pub fn parse_ms(text: &str) -> Result<i64, String> {
    let expected = || format!("{text}: expected a date such as 2026-11-23T10:00:00Z, or milliseconds since 1970");
    if let Ok(ms) = text.parse::<i64>() {
        return if ms >= 0 { Ok(ms) } else { Err(expected()) };
    }
    let (date_time, offset_ms) = split_zone(text).ok_or_else(expected)?;
    let date_time =
        if date_time.len() == "2026-11-23".len() { format!("{date_time}T00:00:00") } else { date_time.to_owned() };
    let time = humantime::parse_rfc3339_weak(&date_time).map_err(|_| expected())?;
    let since = time.duration_since(UNIX_EPOCH).map_err(|_| expected())?;
    let ms = i64::try_from(since.as_millis()).map_err(|_| expected())? - offset_ms;
    if ms >= 0 { Ok(ms) } else { Err(expected()) }
}

/// Cuts a zone off the end: `Z`, `+01:00`, `+0100`. The second value is what it is ahead of UTC, in milliseconds.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(utc) = text.strip_suffix('Z') {
        return Some((utc, 0));
    }
    let Some(at) = text.rfind(['+', '-']).filter(|at| *at > "2026-11-23".len()) else { return Some((text, 0)) };
    let digits: String = text[at + 1..].chars().filter(|c| *c != ':').collect();
    let (hours, minutes) = (digits.get(..2)?.parse::<i64>().ok()?, digits.get(2..)?.parse::<i64>().ok()?);
    let ahead = (digits.len() == 4 && hours <= 18 && minutes < 60).then_some((hours * 60 + minutes) * 60_000)?;
    Some((&text[..at], if text.as_bytes()[at] == b'-' { -ahead } else { ahead }))
}

/// A span: `90s`, `1h 30m`, or as ISO 8601 writes it, `P1DT2H30M`.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let expected = || format!("{text}: expected a time with its unit, such as 90s, 1h 30m or PT1H30M");
    match text.strip_prefix(['P', 'p']) {
        Some(iso) => iso_span(iso).ok_or_else(expected),
        None => humantime::parse_duration(text).map_err(|_| expected()),
    }
}

fn iso_span(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut number = String::new();
    let mut in_time = false;
    let mut parts = 0;
    for c in text.to_ascii_uppercase().chars() {
        let unit = match c {
            'T' if !in_time && number.is_empty() => {
                in_time = true;
                continue;
            }
            '0'..='9' | '.' => {
                number.push(c);
                continue;
            }
            'W' if !in_time => 604_800.0,
            'D' if !in_time => 86_400.0,
            'H' if in_time => 3_600.0,
            'M' if in_time => 60.0,
            'S' if in_time => 1.0,
            _ => return None,
        };
        seconds += std::mem::take(&mut number).parse::<f64>().ok()? * unit;
        parts += 1;
    }
    (parts > 0 && number.is_empty()).then_some(())?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Milliseconds since 1970 as `2026-11-23T10:00:00.250Z`; what is out of range stays a number.
pub fn show_ms(ms: i64) -> String {
    let since = u64::try_from(ms).ok().and_then(|ms| UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
    // The formatter knows years up to 9999.
    match since.filter(|_| ms < 253_402_300_800_000) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string(),
        None => ms.to_string(),
    }
}

/// Now, in milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_their_zone() {
        let ten = 1_795_428_000_000;
        for text in [
            "1795428000000",
            "2026-11-23T10:00:00",
            "2026-11-23T10:00:00Z",
            "2026-11-23 10:00:00.000Z",
            "2026-11-23T11:30:00+01:30",
            "2026-11-23T05:00:00.000-0500",
        ] {
            assert_eq!(parse_ms(text), Ok(ten), "{text}");
        }
        assert_eq!(parse_ms("2026-11-23"), Ok(ten - 10 * 3_600_000));
        assert_eq!(show_ms(ten), "2026-11-23T10:00:00.000Z");
        for text in ["", "soon", "-5", "2026-13-01", "2026-11-23T10:00:00+99:00", "2026-11-23T10"] {
            assert!(parse_ms(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_that_no_calendar_has_stay_numbers() {
        assert_eq!(show_ms(-1), "-1");
        assert_eq!(show_ms(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn spans_are_read_in_both_forms() {
        for text in ["5400s", "1h 30m", "PT1H30M", "PT5400S", "pt90m"] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(5400)), "{text}");
        }
        assert_eq!(parse_span("P1DT0.5S"), Ok(Duration::from_millis(86_400_500)));
        for text in ["", "5", "P", "PT", "P5", "PT1", "P1H", "PT1D", "-PT1H", "PT1e9H"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
