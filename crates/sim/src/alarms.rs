//! What product code logs as ERROR while a story is told. ERROR means that a person must look, so one that the story does
//! not expect fails it.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use tracing::{Level, subscriber::DefaultGuard};

/// Collects ERROR lines of this thread until it is dropped.
pub(crate) struct Alarms {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Alarms {
    pub fn listen() -> Self {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::ERROR)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .without_time()
            .finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The first line that holds none of the `expected` words.
    pub fn unexpected(&self, expected: &[&str]) -> Option<String> {
        let bytes = self.lines.0.lock();
        let text = String::from_utf8_lossy(&bytes);
        text.lines().find(|line| !expected.iter().any(|words| line.contains(words))).map(str::to_owned)
    }
}
