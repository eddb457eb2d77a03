//! A line at which writes wait for each other, so that they meet in the store.
//!
//! Requests that are merely sent at the same time often miss each other: each is signed, gets its connection and sends its
//! body in a time of its own, and a short one is done before the next arrives. So over HTTP each sends all but its last byte,
//! waits here for the others, and then for what all have sent to arrive; the last bytes go out together. A server that looks
//! for an object when it has the head of a request has looked for all of them before it can write one; a server that waits
//! for the whole body gets the ends of all within microseconds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use kafscale_runtime::{Handle, timeout};
use tokio::sync::watch;

/// Who has not come to the line by then runs alone. A connection may take as long.
const LATE: Duration = Duration::from_secs(5);

/// How long what all have sent may take to arrive: a body of 64 KiB takes three round trips on a new connection, so this is
/// enough where one takes 33 ms. Where it is not, the last bytes wait behind what is on its way.
const ARRIVAL: Duration = Duration::from_millis(100);

/// One of the writers that wait for each other. One that is dropped holds nobody up.
pub struct Racer {
    runtime: Handle,
    /// How many are not at the line yet.
    missing: Arc<watch::Sender<u32>>,
    is_there: AtomicBool,
}

impl Racer {
    /// So many racers for one line.
    pub fn line_up(runtime: &Handle, racers: u32) -> Vec<Arc<Self>> {
        let missing = Arc::new(watch::Sender::new(racers));
        let racer = |_| Self { runtime: runtime.clone(), missing: missing.clone(), is_there: AtomicBool::new(false) };
        (0..racers).map(racer).map(Arc::new).collect()
    }

    /// Waits for the others.
    pub(crate) async fn wait(&self) {
        self.arrive();
        let mut missing = self.missing.subscribe();
        let all = async { drop(missing.wait_for(|missing| *missing == 0).await) };
        let _ = timeout(&*self.runtime, LATE, all).await;
        self.runtime.sleep(ARRIVAL).await;
    }

    fn arrive(&self) {
        if !self.is_there.swap(true, Relaxed) {
            self.missing.send_modify(|missing| *missing -= 1);
        }
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.arrive();
    }
}

impl std::fmt::Debug for Racer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Racer")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join;
    use kafscale_sim::executor::World;

    use super::*;

    /// How many milliseconds after its begin a racer may go that is at the line at once, and when another is that comes
    /// after this many, or is dropped.
    fn go(other_after_ms: u64, is_dropped: bool) -> (u128, u128) {
        let world = World::new(1);
        let runtime = world.node("racers").runtime();
        let story = async move {
            let began = runtime.now();
            let since = || runtime.now().saturating_sub(began).as_millis();
            let [first, other] = <[_; 2]>::try_from(Racer::line_up(&runtime, 2)).expect("two");
            let first = async {
                first.wait().await;
                since()
            };
            let other = async {
                runtime.sleep(Duration::from_millis(other_after_ms)).await;
                if !is_dropped {
                    other.wait().await;
                }
                drop(other);
                since()
            };
            join(first, other).await
        };
        world.run(Duration::from_secs(60), story).expect("the story ends")
    }

    #[test]
    fn racers_wait_for_each_other_but_not_for_one_that_is_late_or_gone() {
        assert_eq!(go(1_000, false), (1_100, 1_100));
        assert_eq!(go(1_000, true), (1_100, 1_000));
        assert_eq!(go(8_000, false), (5_100, 8_100));
    }
}
