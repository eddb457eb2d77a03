//! Whether the clients with data in the buffer are likely to send more in a moment.
//!
//! A client's window is not in the protocol, only learnable: a connection is *quiet* when its outstanding requests equal
//! the most that were seen from it in the last minute, or when it has been silent for 5 ms. A connection that was answered
//! in the last 5 ms and has not sent again is about to, so it is waited for too. All of it in O(log connections).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kafscale_runtime::Instant;

use crate::ConnectionId;

/// After so long without a request a connection counts as quiet.
pub const SILENCE: Duration = Duration::from_millis(5);
/// Half of the time for which the most outstanding requests are remembered.
const HALF_MEMORY: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct Connection {
    outstanding: usize,
    /// The most outstanding at once in this half minute and in the one before.
    peak: usize,
    peak_before: usize,
    peak_since: Instant,
    last_sent: Instant,
    in_buffer: bool,
}

impl Connection {
    fn note_peak(&mut self, now: Instant) {
        if now.saturating_sub(self.peak_since) >= HALF_MEMORY {
            let stale = now.saturating_sub(self.peak_since) >= 2 * HALF_MEMORY;
            self.peak_before = if stale { 0 } else { self.peak };
            self.peak = 0;
            self.peak_since = now;
        }
        self.peak = self.peak.max(self.outstanding);
    }

    fn may_send_more(&self) -> bool {
        self.in_buffer && self.outstanding < self.peak.max(self.peak_before)
    }
}

/// What is known of all connections that write.
#[derive(Debug, Default)]
pub struct Quiet {
    connections: BTreeMap<ConnectionId, Connection>,
    /// Connections with data in the buffer and room in their window, by when they last sent.
    unquiet: BTreeSet<(Instant, ConnectionId)>,
    /// Connections that were answered and have not sent since, by when.
    answered: BTreeSet<(Instant, ConnectionId)>,
    answered_at: BTreeMap<ConnectionId, Instant>,
    in_buffer: Vec<ConnectionId>,
}

impl Quiet {
    /// A request with content for the buffer arrived.
    pub fn sent(&mut self, id: ConnectionId, now: Instant) {
        if let Some(at) = self.answered_at.remove(&id) {
            self.answered.remove(&(at, id));
        }
        let connection = self.connections.entry(id).or_default();
        self.unquiet.remove(&(connection.last_sent, id));
        connection.outstanding += 1;
        connection.note_peak(now);
        connection.last_sent = now;
        if !connection.in_buffer {
            connection.in_buffer = true;
            self.in_buffer.push(id);
        }
        if connection.may_send_more() {
            self.unquiet.insert((now, id));
        }
    }

    /// One of its requests was answered.
    pub fn answered(&mut self, id: ConnectionId, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.outstanding = connection.outstanding.saturating_sub(1);
        if connection.may_send_more() {
            self.unquiet.insert((connection.last_sent, id));
        }
        if let Some(before) = self.answered_at.insert(id, now) {
            self.answered.remove(&(before, id));
        }
        self.answered.insert((now, id));
    }

    /// It was closed.
    pub fn closed(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.remove(&id) {
            self.unquiet.remove(&(connection.last_sent, id));
        }
        if let Some(at) = self.answered_at.remove(&id) {
            self.answered.remove(&(at, id));
        }
    }

    /// The buffer was closed into an object.
    pub fn flushed(&mut self) {
        for id in self.in_buffer.drain(..) {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.in_buffer = false;
            }
        }
        self.unquiet.clear();
    }

    /// When all will be quiet if nothing more arrives; in the past if they are.
    pub fn quiet_at(&mut self, now: Instant) -> Instant {
        while let Some(&(at, id)) = self.answered.first() {
            if at + SILENCE > now {
                break;
            }
            self.answered.remove(&(at, id));
            self.answered_at.remove(&id);
        }
        let newest = |set: &BTreeSet<(Instant, ConnectionId)>| set.last().map(|&(at, _)| at + SILENCE);
        newest(&self.unquiet).max(newest(&self.answered)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn id(n: u64) -> ConnectionId {
        ConnectionId(n)
    }

    #[test]
    fn a_client_with_one_request_at_a_time_is_quiet_at_once() {
        let mut quiet = Quiet::default();
        quiet.sent(id(1), 10 * MS);
        assert!(quiet.quiet_at(10 * MS) <= 10 * MS);
    }

    #[test]
    fn a_client_that_has_had_five_outstanding_is_waited_for_until_it_has_them_again() {
        let mut quiet = Quiet::default();
        for _ in 0..5 {
            quiet.sent(id(1), 10 * MS);
        }
        quiet.flushed();
        for _ in 0..5 {
            quiet.answered(id(1), 100 * MS);
        }
        for _ in 0..4 {
            quiet.sent(id(1), 101 * MS);
        }
        assert_eq!(quiet.quiet_at(101 * MS), 106 * MS);
        quiet.sent(id(1), 102 * MS);
        assert!(quiet.quiet_at(102 * MS) <= 102 * MS);
    }

    #[test]
    fn a_client_just_answered_is_expected_to_send_again() {
        let mut quiet = Quiet::default();
        quiet.sent(id(1), 10 * MS);
        quiet.flushed();
        quiet.answered(id(1), 70 * MS);
        quiet.sent(id(2), 71 * MS);
        assert_eq!(quiet.quiet_at(71 * MS), 75 * MS);
        quiet.sent(id(1), 72 * MS);
        assert!(quiet.quiet_at(72 * MS) <= 72 * MS);
    }

    #[test]
    fn the_most_outstanding_is_forgotten_after_a_minute() {
        let mut quiet = Quiet::default();
        quiet.sent(id(1), Duration::ZERO);
        quiet.sent(id(1), Duration::ZERO);
        quiet.flushed();
        quiet.answered(id(1), MS);
        quiet.answered(id(1), MS);
        let later = Duration::from_secs(61);
        quiet.sent(id(1), later);
        assert!(quiet.quiet_at(later) <= later);
    }

    #[test]
    fn a_closed_connection_is_not_waited_for() {
        let mut quiet = Quiet::default();
        quiet.sent(id(1), 10 * MS);
        quiet.flushed();
        quiet.answered(id(1), 70 * MS);
        quiet.closed(id(1));
        assert!(quiet.quiet_at(70 * MS) <= 70 * MS);
        assert!(quiet.connections.is_empty() && quiet.answered.is_empty());
    }
}
