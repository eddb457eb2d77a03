//! Named values that clients set and ask for, and the judge of them: whether a topic is there, a setting, an offset.
//!
//! The judge knows no more than when each question began and ended. A value that is told was set before, and was not
//! overwritten for certain before the question began. What was never answered may take effect at any later time.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

/// A value; none where nothing is set.
pub type Setting = Option<String>;

/// A value that somebody sets.
#[derive(Debug, Clone)]
pub struct Write<V> {
    /// When it was sent.
    pub start: u64,
    /// When it was acknowledged; never, for all that anybody knows, if it was not.
    pub end: u64,
    /// The value.
    pub value: V,
}

/// A value that somebody was told.
#[derive(Debug, Clone)]
pub struct Read<V> {
    /// When it was asked for.
    pub start: u64,
    /// When it was told.
    pub end: u64,
    /// The value.
    pub value: V,
}

/// What is wrong with a value that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Nobody had set it.
    #[error("nobody had set it")]
    Phantom,
    /// Another one had been acknowledged since.
    #[error("another was acknowledged since")]
    Lost,
}

/// Judges one answer. `initial` is the value before all writes.
pub fn judge<V: PartialEq>(read: &Read<V>, writes: &[Write<V>], initial: V) -> Result<(), Wrong> {
    let initial = Write { start: 0, end: 0, value: initial };
    let all = || writes.iter().chain([&initial]);
    let mut fits = all().filter(|write| write.start < read.end && write.value == read.value).peekable();
    fits.peek().ok_or(Wrong::Phantom)?;
    let is_overwritten = |write: &Write<V>| {
        all().any(|other| other.start > write.end && other.end < read.start && other.value != read.value)
    };
    if fits.all(is_overwritten) { Err(Wrong::Lost) } else { Ok(()) }
}

/// All registers of a run. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct Registers(Arc<Mutex<Log>>);

#[derive(Default)]
struct Log {
    tick: u64,
    registers: BTreeMap<String, Register>,
}

#[derive(Default)]
struct Register {
    writes: Vec<Write<Setting>>,
    reads: Vec<Read<Setting>>,
}

/// Names a write that is under way.
pub struct WriteId(String, usize);

/// Names a question that is under way.
pub struct ReadId(String, u64);

impl Registers {
    /// A value is sent.
    pub fn set(&self, key: &str, value: Setting) -> WriteId {
        let mut log = self.0.lock();
        log.tick += 1;
        let start = log.tick;
        let register = log.registers.entry(key.to_owned()).or_default();
        register.writes.push(Write { start, end: u64::MAX, value });
        WriteId(key.to_owned(), register.writes.len() - 1)
    }

    /// It was acknowledged.
    pub fn acknowledged(&self, id: &WriteId) {
        let mut log = self.0.lock();
        log.tick += 1;
        let end = log.tick;
        log.registers.get_mut(&id.0).expect("it was set").writes[id.1].end = end;
    }

    /// A value is asked for.
    pub fn ask(&self, key: &str) -> ReadId {
        let mut log = self.0.lock();
        log.tick += 1;
        ReadId(key.to_owned(), log.tick)
    }

    /// It is told.
    pub fn told(&self, id: ReadId, value: Setting) {
        let mut log = self.0.lock();
        log.tick += 1;
        let end = log.tick;
        log.registers.entry(id.0).or_default().reads.push(Read { start: id.1, end, value });
    }

    /// Everything that is wrong.
    pub fn audit(&self) -> Vec<String> {
        let log = self.0.lock();
        let mut wrong = Vec::new();
        for (key, register) in &log.registers {
            for read in &register.reads {
                if let Err(why) = judge(read, &register.writes, None) {
                    wrong.push(format!("{key} was told as {:?} at {}: {why}", read.value, read.start));
                }
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_acknowledged_value_holds_until_another_is_set() {
        let registers = Registers::default();
        let first = registers.set("x", Some("1".into()));
        registers.acknowledged(&first);
        let question = registers.ask("x");
        let _unknown = registers.set("x", Some("2".into()));
        registers.told(question, Some("2".into()));
        let question = registers.ask("x");
        registers.told(question, Some("1".into()));
        assert_eq!(registers.audit(), Vec::<String>::new());
        let question = registers.ask("x");
        registers.told(question, None);
        let question = registers.ask("x");
        registers.told(question, Some("3".into()));
        let wrong = registers.audit();
        assert!(
            wrong.len() == 2 && wrong[0].contains("acknowledged since") && wrong[1].contains("nobody"),
            "{wrong:?}"
        );
    }
}
