//! Partitions that answer a fetch with an error, again and again.
//!
//! The client library asks again by itself, each time after a longer pause, and tells of it only as an event of its log. So
//! that is where this listens: whoever reads wants to know why nothing comes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use krafka::error::{ErrorCode, KrafkaError};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, filter::Targets, layer::Context, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    client::{failure, offsets::Partition},
    exit::{Exit, Failure},
};

/// So many equal answers are no accident any more.
pub const TOLD_AFTER: u32 = 3;
/// Who wants an end gives up after so many; by the library's pauses that is some six seconds.
pub const GIVEN_UP_AFTER: u32 = 7;

/// How the library begins the event; the partition and the code follow.
const EVENT: &str = "Fetch error for ";
/// How the library tells of a batch that it cannot decode.
const UNDECODABLE: &str = "undecodable record batch at ";

/// Equal answers of one partition in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What it answers.
    pub code: ErrorCode,
    /// How often.
    pub times: u32,
}

/// What every partition answers that answers with an error.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<Mutex<BTreeMap<Partition, Refusal>>>);

impl Refusals {
    /// Listens to the client library from now on.
    pub fn listen() -> Self {
        let refusals = Self::default();
        let library = Targets::new().with_target("krafka::consumer", Level::WARN);
        // A process that logs already has its own way to tell.
        _ = tracing_subscriber::registry().with(refusals.clone().with_filter(library)).try_init();
        refusals
    }

    /// Those that are worth a word.
    pub fn standing(&self) -> Vec<(Partition, Refusal)> {
        let all = self.all();
        all.iter().filter(|(_, refusal)| refusal.times >= TOLD_AFTER).map(|(at, one)| (at.clone(), *one)).collect()
    }

    /// A partition gave records.
    pub fn forget(&self, at: &Partition) {
        self.all().remove(at);
    }

    fn note(&self, message: &str) {
        let Some((at, code)) = read(message) else { return };
        let mut all = self.all();
        let refusal = all.entry(at).or_insert(Refusal { code, times: 0 });
        refusal.times = if refusal.code == code { refusal.times + 1 } else { 1 };
        refusal.code = code;
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<Partition, Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Subscriber> Layer<S> for Refusals {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        event.record(&mut Message(self));
    }
}

/// Hands over the text of an event.
struct Message<'a>(&'a Refusals);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.note(&format!("{value:?}"));
        }
    }
}

/// Partition and code of an event: `Fetch error for TOPIC-PARTITION: CODE`.
fn read(message: &str) -> Option<(Partition, ErrorCode)> {
    let (place, name) = message.strip_prefix(EVENT)?.rsplit_once(": ")?;
    let (topic, partition) = place.rsplit_once('-')?;
    let code = (-1..=i16::from(u8::MAX)).map(ErrorCode::from_i16).find(|code| format!("{code:?}") == name)?;
    Some(((topic.to_owned(), partition.parse().ok()?), code))
}

/// What is wrong, and where.
pub fn told(at: &Partition, offset: Option<i64>, refusal: Refusal) -> Failure {
    let offset = offset.map_or_else(String::new, |offset| format!(" at offset {offset}"));
    let what = format!("{} [{}]{offset} gives no records, {} times in a row", at.0, at.1, refusal.times);
    failure(KrafkaError::broker(refusal.code, ""), &what)
}

/// The failure if this is a batch that cannot be decoded. It comes again as it is, whatever the library holds of trying again.
pub fn undecodable(error: &KrafkaError) -> Option<Failure> {
    let KrafkaError::Protocol { message, .. } = error else { return None };
    let told = message.strip_prefix(UNDECODABLE)?;
    let place = told.split_once(';').map_or(told, |(place, _)| place);
    let reason = told.rsplit_once("Underlying error: ").map_or("", |(_, reason)| reason);
    let text = format!(
        "cannot read on: the batch of records at {place} is damaged: {reason}\n\
         With --partition and a --from behind it the rest can be read."
    );
    Some(Failure::new(Exit::DataLoss, anyhow::anyhow!(text)))
}

#[cfg(test)]
mod tests {
    use krafka::error::ProtocolErrorKind;

    use super::*;

    #[test]
    fn equal_answers_are_counted_until_records_come() {
        let refusals = Refusals::default();
        let at = ("a-b".to_owned(), 3);
        let times = |code: &str, times: u32| {
            (0..times).for_each(|_| refusals.note(&format!("Fetch error for a-b-3: {code}")));
            refusals.standing()
        };
        assert_eq!(times("KafkaStorageException", TOLD_AFTER - 1), []);
        let code = ErrorCode::KafkaStorageException;
        assert_eq!(times("KafkaStorageException", 1), [(at.clone(), Refusal { code, times: TOLD_AFTER })]);
        assert_eq!(times("TopicAuthorizationFailed", 1), []);
        assert_eq!(times("TopicAuthorizationFailed", 2)[0].1.times, 3);
        refusals.note("Fetch error for nothing");
        refusals.note("Fetch error for a-b-3: NoSuchCode");
        assert_eq!(refusals.standing().len(), 1);
        refusals.forget(&at);
        assert_eq!(refusals.standing(), []);
    }

    #[test]
    fn a_batch_that_cannot_be_decoded_is_final_of_whatever_kind_it_is() {
        let text = "undecodable record batch at t-0 offset 7; the partition cannot advance past it and so on. \
                    Underlying error: compression error: bad frame";
        for kind in [ProtocolErrorKind::Malformed, ProtocolErrorKind::TruncatedFrame, ProtocolErrorKind::CrcMismatch] {
            let failure = undecodable(&KrafkaError::protocol_kind(kind, text)).unwrap();
            assert_eq!(failure.exit, Exit::DataLoss);
            let told = failure.to_string();
            assert!(told.contains("at t-0 offset 7 is damaged: compression error: bad frame\n"), "{told}");
        }
        assert!(undecodable(&KrafkaError::protocol_kind(ProtocolErrorKind::Malformed, "other")).is_none());
    }
}
