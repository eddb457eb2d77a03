//! The work of `kafscale cat`: records straight from the store.

use bytes::Bytes;
use kafscale_offline::{Bucket, Error, Known, Side, Until, object, records, tile, tile::Tile};
use kafscale_records::{Header, Record};
use kafscale_state::State;
use krafka::{TimestampType, consumer::ConsumerRecord};
use serde_json::json;

use super::failure;
use crate::{
    consume::{Form, Point, Printer},
    exit::{Exit, Failure},
    logging, output,
    text::time,
};

/// The end of what is not whole.
const PARTIAL: &str = "what is shown is not all that there was: `kafscale fsck` names what is lost or damaged, and \
                       `kafscale recover` tells what can be brought back";

/// What to print of a topic.
pub struct Plan {
    /// Its name.
    pub topic: String,
    /// Its namespace; empty for the usual one.
    pub namespace: String,
    /// Only these partitions.
    pub partitions: Option<Vec<i32>>,
    /// Where to begin.
    pub from: Point,
    /// Where to end.
    pub to: Point,
    /// How many records at most.
    pub count: Option<u64>,
    /// How a record is printed.
    pub form: Form,
}

/// Prints records of a topic, partition by partition. What is lost or damaged is told and passed over; then it fails in the end.
pub async fn topic(bucket: &Bucket, plan: Plan) -> Result<(), Failure> {
    let known = Known::open(bucket, Until::Tail).await.map_err(failure)?;
    warn_of(&known);
    let (state, cluster) = (&known.state, known.cluster);
    let Some(found) = state.topic_in(&plan.namespace, &plan.topic) else { return Err(no_topic(&known, &plan.topic)) };
    let mut target = Target::new(&plan.topic, &plan.form, plan.count);
    for index in chosen(&plan, found.partition_count())? {
        let Some(handle) = found.handle(index) else { continue };
        let (start, end) = bounds(state, handle);
        let tiles = tile::tiles(state, cluster, handle, start);
        let tiles: Result<Vec<Tile>, String> = tiles.into_iter().collect();
        let tiles = tiles.map_err(|reason| failure(Error::damaged(&plan.topic, reason)))?;
        let from = resolve(bucket, plan.from, &tiles, start, end).await?;
        let to = resolve(bucket, plan.to, &tiles, start, end).await?;
        target.partition = index;
        for tile in tiles.iter().filter(|tile| tile.end > from && tile.first < to) {
            target.tile(bucket, tile, from, to).await?;
            if target.is_done() {
                break;
            }
        }
        if target.is_done() {
            break;
        }
    }
    target.printer.flush()?;
    match known.cut.is_some() || target.is_partial {
        true => Err(Failure::new(Exit::DataLoss, anyhow::anyhow!(PARTIAL))),
        false => Ok(()),
    }
}

fn warn_of(known: &Known) {
    for (name, reason) in &known.unreadable {
        logging::say("WARN", &format!("{name} cannot be read: {reason}"));
    }
    if let Some(cut) = &known.cut {
        let text = format!("{cut}; what was written there is not shown, and what was moved there is not found");
        logging::say("WARN", &text);
    }
}

fn no_topic(known: &Known, topic: &str) -> Failure {
    match &known.cut {
        None => failure(Error::NotFound(format!("there is no topic {topic}"))),
        Some(_) => Failure::new(Exit::DataLoss, anyhow::anyhow!("there is no topic {topic} in what can be read")),
    }
}

fn chosen(plan: &Plan, count: u32) -> Result<Vec<u32>, Failure> {
    let Some(wanted) = &plan.partitions else { return Ok((0..count).collect()) };
    let is_there = |index: &i32| u32::try_from(*index).ok().filter(|index| *index < count);
    let absent = |index: &i32| failure(Error::NotFound(format!("topic {} has no partition {index}", plan.topic)));
    wanted.iter().map(|index| is_there(index).ok_or_else(|| absent(index))).collect()
}

fn bounds(state: &State, handle: u32) -> (i64, i64) {
    state.partition(handle).map_or((0, 0), |view| (view.log_start_offset(), view.high_watermark()))
}

async fn resolve(bucket: &Bucket, point: Point, tiles: &[Tile], start: i64, end: i64) -> Result<i64, Failure> {
    Ok(match point {
        Point::Beginning => start,
        Point::End => end,
        Point::Offset(offset) => offset.clamp(start, end),
        Point::Last(count) => end.saturating_sub(count).max(start),
        Point::Time(ms) => records::at_time(bucket, tiles, ms).await.map_err(failure)?.unwrap_or(end),
    })
}

/// Where records go.
struct Target<'a> {
    topic: &'a str,
    partition: u32,
    printer: Printer,
    left: u64,
    /// One past the last offset that was shown of the partition.
    next: i64,
    /// Something could not be read.
    is_partial: bool,
    /// Nobody reads any more, or stdout failed.
    ended: Option<Result<(), Failure>>,
}

impl<'a> Target<'a> {
    fn new(topic: &'a str, form: &Form, count: Option<u64>) -> Self {
        let (printer, left) = (Printer::new(form), count.unwrap_or(u64::MAX));
        Self { topic, partition: 0, printer, left, next: 0, is_partial: false, ended: None }
    }

    fn is_done(&self) -> bool {
        self.left == 0 || self.ended.is_some()
    }

    fn take(&mut self, header: &Header, record: &Record<'_>) -> bool {
        if self.is_done() {
            return false;
        }
        let printed = self.printer.print(&shown(self.topic, self.partition, header, record));
        match printed {
            Ok(true) => (self.left, self.next) = (self.left - 1, record.offset + 1),
            Ok(false) => self.ended = Some(Ok(())),
            Err(failure) => self.ended = Some(Err(failure)),
        }
        !self.is_done()
    }

    /// Shows one tile's records in `from..to`. One that is gone, or from its damage on, is told and passed over.
    async fn tile(&mut self, bucket: &Bucket, tile: &Tile, from: i64, to: i64) -> Result<(), Failure> {
        let (from, to) = (from.max(tile.first), to.min(tile.end));
        self.next = from;
        let tiles = std::slice::from_ref(tile);
        let visited = records::visit(bucket, tiles, from, to, &mut |header, record| self.take(header, record)).await;
        match visited {
            Err(error @ (Error::Damaged { .. } | Error::Missing(_))) => {
                self.settle(Ok(true))?;
                let (topic, partition, next) = (self.topic, self.partition, self.next);
                let text = format!("{error}; not shown of {topic} [{partition}]: offsets {next} to {}", to - 1);
                logging::say("WARN", &text);
                self.is_partial = true;
                Ok(())
            }
            visited => self.settle(visited),
        }
    }

    /// What was printed stays, whatever comes then.
    fn settle(&mut self, visited: Result<bool, Error>) -> Result<(), Failure> {
        if let Some(Err(failure)) = self.ended.take_if(|ended| ended.is_err()) {
            return Err(failure);
        }
        if let Err(error) = visited {
            self.printer.flush()?;
            return Err(failure(error));
        }
        Ok(())
    }
}

fn shown(topic: &str, partition: u32, header: &Header, record: &Record<'_>) -> ConsumerRecord {
    let bytes = |field: Option<&[u8]>| field.map(Bytes::copy_from_slice);
    let (index, key, value) = (i32::try_from(partition).unwrap_or(i32::MAX), bytes(record.key), bytes(record.value));
    let mut shown = ConsumerRecord::new(topic, index, record.offset, key, value);
    shown.timestamp = record.timestamp;
    shown.timestamp_type = match header.attributes.timestamp_type() {
        kafscale_records::TimestampType::CreateTime => TimestampType::CreateTime,
        kafscale_records::TimestampType::LogAppendTime => TimestampType::LogAppendTime,
    };
    let header_of = |header: kafscale_records::RecordHeader<'_>| {
        (String::from_utf8_lossy(header.key).as_ref().into(), bytes(header.value))
    };
    shown.headers = record.headers.map(header_of).collect();
    shown
}

/// Prints the records of one object.
pub async fn object(bucket: &Bucket, side: Side, name: &str, form: &Form, count: Option<u64>) -> Result<(), Failure> {
    let told = object::tell(bucket, side, name).await.map_err(failure)?;
    if told.parts.is_empty() {
        let text = format!("{name} is {}, without records: --describe tells what it says", article(told.kind));
        return Err(failure(Error::NotFound(text)));
    }
    for part in &told.parts {
        let (topic, partition) = part.of.clone().unwrap_or_else(|| {
            let handle = part.handle.unwrap_or_default();
            (format!("partition-{handle}"), 0)
        });
        let mut target = Target::new(&topic, form, count);
        target.partition = partition;
        let tiles = std::slice::from_ref(&part.tile);
        let (from, to) = (part.tile.first, part.tile.end);
        let visited = records::visit(bucket, tiles, from, to, &mut |header, record| target.take(header, record)).await;
        target.settle(visited)?;
        if !target.printer.flush()? || target.is_done() {
            break;
        }
    }
    Ok(())
}

fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o']);
    format!("{} {kind}", if an { "an" } else { "a" })
}

/// Prints what one object says of itself.
pub async fn describe(bucket: &Bucket, side: Side, name: &str, json: bool) -> Result<(), Failure> {
    let told = object::tell(bucket, side, name).await.map_err(failure)?;
    if json {
        let facts: serde_json::Map<_, _> =
            told.facts.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let parts = told.parts.iter().map(|part| {
            json!({
                "topic": part.of.as_ref().map(|(topic, _)| topic),
                "partition": part.of.as_ref().map(|(_, partition)| partition),
                "handle": part.handle,
                "first_offset": part.tile.first,
                "end_offset": part.tile.end,
                "position": part.tile.start,
                "bytes": part.tile.len,
            })
        });
        let parts: Vec<_> = parts.collect();
        return output::json(
            &json!({ "name": name, "kind": told.kind, "facts": facts, "parts": parts, "entries": told.entries }),
        );
    }
    output::line(&format!("{name}: {}", told.kind))?;
    for (fact, value) in &told.facts {
        let value = match (*fact, value.parse()) {
            ("time" | "created", Ok(ms)) => format!("{value} ({})", time::show_ms(ms)),
            _ => value.clone(),
        };
        output::line(&format!("  {fact}: {value}"))?;
    }
    for part in &told.parts {
        let of = part.of.as_ref().map_or_else(
            || format!("partition number {}", part.handle.unwrap_or_default()),
            |(topic, partition)| format!("{topic} [{partition}]"),
        );
        let Tile { first, end, start, len, .. } = &part.tile;
        output::line(&format!("  {of}: offsets {first} to {}, {len} bytes from byte {start}", end - 1))?;
    }
    told.entries.iter().try_for_each(|entry| output::line(&format!("  {entry}")))
}
