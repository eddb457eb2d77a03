//! Brokers as clients see them, and connections to them.
//!
//! A connection is what the broker's own network code makes of a socket: frames go in as they arrive and are worked on
//! side by side, answers leave in order. Both ways take time. It ends when the broker's process dies, when the broker
//! closes it, or when the client lets go; what was on its way then is lost to whoever waited for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream::FuturesOrdered};
use kafscale_broker::{Broker, ConnectionId, api::Answer};
use kafscale_protocol::{Body, RequestBody, encode_request, read_response_header};
use kafscale_runtime::{Instant, Runtime, timeout};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::executor::Node;

/// How long a client waits for an answer before it gives the connection up (Kafka's `request.timeout.ms`).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Frames that may lie in a socket's buffers.
const SOCKET_FRAMES: usize = 64;

/// The brokers that clients may find. Cloning gives another handle.
#[derive(Clone, Default)]
pub struct Brokers(Arc<Mutex<Vec<Running>>>);

/// A broker's process.
#[derive(Clone)]
pub struct Running {
    /// Where it runs.
    pub node: Node,
    /// The broker.
    pub broker: Arc<Broker>,
    connections: Arc<AtomicU64>,
}

impl Brokers {
    /// A broker is ready. When it is over its process ends, as `serve` does.
    pub fn add(&self, node: &Node, broker: Arc<Broker>) {
        let (watched, exit) = (Arc::clone(&broker), node.clone());
        drop(node.call("main", async move {
            let ended = watched.ended().await;
            exit.world().note(&format!("{} is over: {ended:?}", exit.name()));
            exit.world().mark("broker ended by itself");
            exit.kill();
        }));
        self.0.lock().push(Running { node: node.clone(), broker, connections: Arc::default() });
    }

    /// Those that live, the newest last.
    pub fn alive(&self) -> Vec<Running> {
        self.0.lock().iter().filter(|running| running.node.is_alive()).cloned().collect()
    }

    /// Connects `client` to the newest broker, now and then to an older one that still lives.
    pub async fn connect(&self, client: &Node) -> Link {
        loop {
            client.sleep(Duration::from_micros(client.random_u64() % 2_000)).await;
            let alive = self.alive();
            let older = !client.random_u64().is_multiple_of(8);
            let choice = if older { alive.last() } else { alive.get(usize_below(client, alive.len())) };
            match choice {
                Some(running) => return Link::open(client, running),
                None => client.sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

fn usize_below(node: &Node, bound: usize) -> usize {
    usize::try_from(node.random_u64() % bound.max(1) as u64).expect("below a length")
}

/// A connection was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

/// A client's end of a connection.
pub struct Link {
    client: Node,
    requests: mpsc::Sender<(Instant, Bytes)>,
    answers: mpsc::Receiver<(Instant, Bytes)>,
    expected: VecDeque<i32>,
    correlation: i32,
    /// Permille of requests after which the connection breaks before the answer.
    fragile: u64,
}

impl Link {
    fn open(client: &Node, running: &Running) -> Self {
        let (requests, inbox) = mpsc::channel(SOCKET_FRAMES);
        let (outbox, answers) = mpsc::channel(SOCKET_FRAMES);
        let id = ConnectionId(running.connections.fetch_add(1, Relaxed));
        drop(running.node.call("connection", serve(running.clone(), id, inbox, outbox)));
        let expected = VecDeque::new();
        Self { client: client.clone(), requests, answers, expected, correlation: 0, fragile: 0 }
    }

    /// Lets the connection break after so many permille of the requests.
    pub fn fragile(mut self, permille: u64) -> Self {
        self.fragile = permille;
        self
    }

    /// Sends a request; its answer comes in its turn.
    pub async fn send<'a, R: RequestBody<'a>>(&mut self, version: i16, request: &R) -> Result<(), Lost> {
        self.correlation += 1;
        let frame = encode_request(version, self.correlation, Some("simulated"), request).expect("our own request");
        let arrives_at = self.client.now() + delay(&self.client);
        let frame = frame.to_bytes().slice(4..);
        self.requests.send((arrives_at, frame)).await.map_err(|_| Lost)?;
        self.expected.push_back(self.correlation);
        if self.client.random_u64() % 1000 < self.fragile {
            self.client.world().mark("connection broke");
            return Err(Lost);
        }
        Ok(())
    }

    /// The frame that answers the oldest request without an answer.
    pub async fn receive(&mut self) -> Result<Bytes, Lost> {
        let answer = timeout(&self.client, REQUEST_TIMEOUT, self.answers.recv()).await;
        let Ok(Some((arrives_at, frame))) = answer else {
            if answer.is_err() {
                self.client.world().mark("request timed out");
            }
            return Err(Lost);
        };
        self.client.sleep(arrives_at.saturating_sub(self.client.now())).await;
        Ok(frame)
    }

    /// Sends a request and waits for its answer, which `read` looks at.
    pub async fn ask<'a, R: RequestBody<'a>>(&mut self, version: i16, request: &R) -> Result<Bytes, Lost> {
        self.send(version, request).await?;
        self.receive().await
    }

    /// The body of the answer to the oldest request, which was of `version`.
    pub fn read<'a, R: Body<'a>>(&mut self, version: i16, frame: &'a [u8]) -> R {
        let (correlation, body) = read_response_header(R::API, version, frame).expect("a response header");
        assert_eq!(Some(correlation), self.expected.pop_front(), "answers come in the order of the requests");
        R::read(version, body).expect("a response of the version that was asked for")
    }
}

fn delay(node: &Node) -> Duration {
    Duration::from_micros(100 + node.random_u64() % 1_500)
}

/// The broker's end, on the broker's node.
async fn serve(
    running: Running,
    id: ConnectionId,
    mut inbox: mpsc::Receiver<(Instant, Bytes)>,
    outbox: mpsc::Sender<(Instant, Bytes)>,
) {
    let node = &running.node;
    let session = running.broker.session(id, "/127.0.0.1");
    let mut pending = FuturesOrdered::new();
    let mut open = true;
    while open || !pending.is_empty() {
        let frame = tokio::select! {
            biased;
            Some(answer) = pending.next() => {
                let parts = match answer {
                    Answer::Respond { parts, .. } => parts,
                    Answer::Silent => continue,
                    Answer::Close(reason) => {
                        node.world().note(&format!("closed: {reason}"));
                        node.world().mark("connection closed by the broker");
                        return;
                    }
                };
                let bytes = Bytes::from(parts.concat()).slice(4..);
                if outbox.send((node.now() + delay(node), bytes)).await.is_err() {
                    return;
                }
                continue;
            }
            frame = inbox.recv(), if open && pending.len() < SOCKET_FRAMES => frame,
        };
        match frame {
            Some((arrives_at, frame)) => {
                node.sleep(arrives_at.saturating_sub(node.now())).await;
                pending.push_back(session.on_frame(BytesMut::from(&frame[..])));
            }
            None => open = false,
        }
    }
}
