//! Points in partitions as people name them.

use crate::{
    client::{
        Session,
        offsets::{self, Offsets, Partition},
    },
    exit::Failure,
    logging,
    text::time,
};

/// A point in every partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The first record that is there.
    Beginning,
    /// Behind the last record.
    End,
    /// This offset.
    Offset(i64),
    /// So many records before the end.
    Last(i64),
    /// The first record from this time on, in milliseconds since 1970.
    Time(i64),
}

impl Point {
    /// Reads `beginning`, `end`, `42`, `-10`, `-1h`, `@1795428000000` or a date.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "beginning" | "earliest" | "start" => return Ok(Self::Beginning),
            "end" | "latest" => return Ok(Self::End),
            _ => {}
        }
        if let Ok(number) = text.parse::<i64>() {
            return Ok(if number < 0 { Self::Last(number.saturating_neg()) } else { Self::Offset(number) });
        }
        if let Some(span) = text.strip_prefix('-') {
            let span = i64::try_from(time::parse_span(span)?.as_millis()).map_err(|_| format!("{text}: too long"))?;
            return Ok(Self::Time((time::now_ms() - span).max(0)));
        }
        let date = time::parse_ms(text.strip_prefix('@').unwrap_or(text));
        date.map(Self::Time).map_err(|_| {
            format!("{text}: expected beginning, end, an offset, -N, -SPAN (-1h), a date, or @MILLISECONDS")
        })
    }

    /// The offset that this is in each partition. One that is not there becomes the nearest that is.
    pub async fn resolve(self, session: &Session, of: &[Partition]) -> Result<Offsets, Failure> {
        let (starts, ends) = super::bounds(session, of).await?;
        let times = match self {
            Self::Time(ms) => offsets::at_time(session, of, ms).await?,
            _ => Offsets::new(),
        };
        let resolve = |at: &Partition| {
            let (start, end) = (starts[at], ends[at]);
            let wanted = match self {
                Self::Beginning => start,
                Self::End => end,
                Self::Offset(offset) => offset,
                Self::Last(count) => return (at.clone(), end.saturating_sub(count).max(start)),
                Self::Time(_) => times[at],
            };
            let there = wanted.clamp(start, end);
            if there != wanted && self == Self::Offset(wanted) {
                let text = format!("{} [{}] has offsets {start} to {end}: taking {there} for {wanted}", at.0, at.1);
                logging::say("WARN", &text);
            }
            (at.clone(), there)
        };
        Ok(of.iter().map(resolve).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read() {
        for (text, point) in [
            ("beginning", Point::Beginning),
            ("latest", Point::End),
            ("0", Point::Offset(0)),
            ("-10", Point::Last(10)),
            ("@1000", Point::Time(1000)),
            ("1970-01-01T00:00:02Z", Point::Time(2000)),
        ] {
            assert_eq!(Point::parse(text), Ok(point), "{text}");
        }
        let Ok(Point::Time(ms)) = Point::parse("-1h") else { panic!("a span before now") };
        assert!((time::now_ms() - ms - 3_600_000).abs() < 60_000);
        for text in ["", "soon", "-soon", "@x"] {
            assert!(Point::parse(text).is_err(), "{text}");
        }
    }
}
