//! The backlog rule: what a broker does as the room for extents fills up, so that memory stays bounded and producers notice
//! early. From half of the room on flushes grow rarer and larger, from three quarters on producers are asked to wait; the
//! state refuses what does not fit at all. They are asked to wait as well while the store does badly.

use std::time::Duration;

use kafscale_state::Backlog;
use kafscale_store::Condition;

use crate::write::{FLUSH_INTERVAL, FLUSH_INTERVAL_MAX};

/// The longest that a producer is asked to wait.
const THROTTLE_MAX_MS: u64 = 1_000;

/// The flush timer when this share of the room is used.
pub fn flush_interval(used: f64) -> Duration {
    let doublings = match used {
        _ if used < 0.5 => 0,
        _ if used < 0.6 => 1,
        _ if used < 0.7 => 2,
        _ => 3,
    };
    (FLUSH_INTERVAL * (1 << doublings)).min(FLUSH_INTERVAL_MAX)
}

/// How long producers are asked to wait: nothing up to three quarters of the room, a second when it is full.
pub fn throttle_ms(backlog: Backlog) -> i32 {
    let over = (backlog.used * 4).saturating_sub(backlog.cap * 3);
    let wait = over.saturating_mul(THROTTLE_MAX_MS) / backlog.cap.max(1);
    i32::try_from(wait.min(THROTTLE_MAX_MS)).expect("it is small")
}

/// How long producers are asked to wait by the condition of the store.
pub fn throttle_for(condition: Condition) -> i32 {
    match condition {
        Condition::Healthy => 0,
        Condition::Degraded => 100,
        Condition::Unavailable => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flushes_grow_rarer_from_half_of_the_room_on() {
        let ms = |used| flush_interval(used).as_millis();
        assert_eq!([0.0, 0.49, 0.5, 0.65, 0.75, 1.0].map(ms), [250, 250, 500, 1_000, 2_000, 2_000]);
    }

    #[test]
    fn producers_are_asked_to_wait_from_three_quarters_on() {
        let wait = |used| throttle_ms(Backlog { used, cap: 1_000, frees: false });
        assert_eq!([0, 750, 800, 900, 1_000, 5_000].map(wait), [0, 0, 200, 600, 1_000, 1_000]);
        assert_eq!(throttle_ms(Backlog { used: 0, cap: 0, frees: false }), 0);
    }
}
