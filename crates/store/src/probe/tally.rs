//! What the questions leave behind: names that are to be deleted, and how long answers took.
//!
//! Most latencies come from what is asked anyway. A write or read of a small object counts if it succeeded and began after
//! some answer had come: before that a request may have waited for its connection, which a broker opens once and keeps.

use std::time::Duration;

use kafscale_runtime::{Handle, Instant};
use parking_lot::Mutex;

use super::Percentiles;

/// Objects up to this many bytes are small: there a request's latency is the store's, not the line's.
const SMALL_MAX: u64 = 64 << 10;

/// Which figure a request belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sample {
    Put,
    Get,
    /// None.
    Neither,
}

impl Sample {
    /// That of a write of so many bytes.
    pub(super) fn of_put(len: u64) -> Self {
        if len <= SMALL_MAX { Self::Put } else { Self::Neither }
    }

    /// That of a read that gave so many bytes.
    pub(super) fn of_get(len: usize) -> Self {
        if len as u64 <= SMALL_MAX { Self::Get } else { Self::Neither }
    }
}

/// Of one probe.
#[derive(Default)]
pub(super) struct Tally(Mutex<State>);

#[derive(Default)]
struct State {
    written: Vec<String>,
    answered_at: Option<Instant>,
    puts: Vec<Duration>,
    gets: Vec<Duration>,
}

impl Tally {
    /// Something may be written under this name from now on, whether or not that is confirmed.
    pub(super) fn writes(&self, name: &str) {
        let written = &mut self.0.lock().written;
        if !written.iter().any(|known| known == name) {
            written.push(name.to_owned());
        }
    }

    /// All that may be written.
    pub(super) fn written(&self) -> Vec<String> {
        self.0.lock().written.clone()
    }

    /// Makes a request and keeps how long it took, if it succeeds and counts.
    pub(super) async fn timed<T, E>(
        &self,
        runtime: &Handle,
        sample: impl FnOnce(&T) -> Sample,
        request: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = runtime.now();
        let answer = request.await;
        if let Ok(of) = &answer {
            let now = runtime.now();
            let mut state = self.0.lock();
            let first = *state.answered_at.get_or_insert(now);
            if first <= began {
                match sample(of) {
                    Sample::Put => state.puts.push(now.saturating_sub(began)),
                    Sample::Get => state.gets.push(now.saturating_sub(began)),
                    Sample::Neither => {}
                }
            }
        }
        answer
    }

    /// Of the writes and of the reads; nothing where there are none of a kind.
    pub(super) fn percentiles(&self) -> Option<(Percentiles, Percentiles)> {
        let state = self.0.lock();
        Some((Percentiles::of(state.puts.clone())?, Percentiles::of(state.gets.clone())?))
    }
}
