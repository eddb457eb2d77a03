//! What whoever gives credentials must be to a store, told for each of them with a double of it: asked once for many
//! requests, asked again ahead of the end, not missed while it fails, and named when there is nothing to go on with.
//!
//! The doubles give `given-1`, `given-2` and so on, good for an hour, and the double of the store shows which was used.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;

use super::double::{Asked, Double, Shifted, reply, taken};
use crate::{CloudStore, CreateError, Store};

const MINUTE: Duration = Duration::from_secs(60);

/// One that gives credentials, and the store that wants them.
pub(crate) struct Story {
    pub clock: Arc<Shifted>,
    pub giver: Double,
    pub server: Double,
    number: Arc<AtomicU64>,
    down: Arc<AtomicBool>,
}

impl Story {
    /// `answer` gets a request to the giver and `given-N`.
    pub(crate) async fn begin(answer: impl Fn(&Asked, &str) -> String + Send + Sync + 'static) -> Self {
        let (number, down) = (Arc::new(AtomicU64::new(1)), Arc::<AtomicBool>::default());
        let (current, fails) = (number.clone(), down.clone());
        let giver = Double::start(None, move |asked| {
            if fails.load(Relaxed) {
                return reply("503 Service Unavailable", "", "");
            }
            answer(asked, &format!("given-{}", current.load(Relaxed)))
        })
        .await;
        let server = Double::start(None, |_| taken()).await;
        Self { clock: Shifted::new(), giver, server, number, down }
    }

    /// Both stories, each with a store of its own.
    pub(crate) async fn tell(&self, name: &str, store: impl Fn() -> CloudStore) {
        self.is_renewed_ahead(&store()).await;
        self.is_kept_while_it_fails(name, &store()).await;
    }

    async fn is_renewed_ahead(&self, store: &CloudStore) {
        create(store).await.unwrap();
        let once = self.giver.asked().len();
        create(store).await.unwrap();
        assert_eq!(self.giver.asked().len(), once, "one answer serves many requests");
        assert!(self.used("given-1"));
        self.number.store(2, Relaxed);
        self.clock.pass(46 * MINUTE);
        create(store).await.unwrap();
        assert!(self.used("given-1"), "nobody waits for the renewal");
        self.giver.until_asked(2 * once).await;
        while !self.used("given-2") {
            create(store).await.unwrap();
        }
        self.number.store(1, Relaxed);
    }

    async fn is_kept_while_it_fails(&self, name: &str, store: &CloudStore) {
        create(store).await.unwrap();
        let once = self.giver.asked().len();
        self.down.store(true, Relaxed);
        self.clock.pass(46 * MINUTE);
        create(store).await.expect("the old ones are good for some time yet");
        self.giver.until_asked(once + 1).await;
        create(store).await.expect("a failed renewal changes nothing");
        self.clock.pass(15 * MINUTE);
        let sent = self.server.asked().len();
        assert_eq!(unavailable(create(store).await), format!("no credentials from {name}: HTTP 503"));
        assert_eq!(self.server.asked().len(), sent, "the store is not asked without");
        self.down.store(false, Relaxed);
        self.clock.pass(MINUTE);
        create(store).await.expect("it recovers by itself");
        assert!(self.used("given-1"));
    }

    /// Whether the latest request to the store was made with this.
    fn used(&self, given: &str) -> bool {
        self.server.asked().last().expect("the store was asked").header("authorization").contains(given)
    }
}

pub(crate) async fn create(store: &CloudStore) -> Result<(), CreateError> {
    store.create("x", Bytes::from_static(b"body").into()).await
}

/// Why nothing was sent to the store.
pub(crate) fn unavailable(result: Result<(), CreateError>) -> String {
    match result {
        Err(CreateError::Unavailable { reason, .. }) => reason,
        other => panic!("nothing was applied: {other:?}"),
    }
}
