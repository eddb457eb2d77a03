//! Brokers as clients see them, and connections to them.
//!
//! The broker's end of a connection is the broker's own network code, [`net::serve`], over [wires](super::wire) in place of
//! a socket. A connection ends when the broker's process dies, when the broker closes it, or when the client lets go; what
//! was on its way then may be lost to whoever waited for it. Some clients write in pieces, some leave in the middle of a
//! request, some without a word, and some are slow to read.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use kafscale_broker::{
    Broker, ConnectionId,
    net::{self, End},
};
use kafscale_protocol::{Body, RequestBody, encode_request, read_response_header};
use kafscale_runtime::{Runtime, timeout};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::watch,
};

use super::wire::{Habits, ReadEnd, WriteEnd, wire};
use crate::{executor::Node, rng::Rng};

/// How long a client waits for an answer before it gives the connection up (Kafka's `request.timeout.ms`).
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that a socket's buffers hold, from narrow to wide.
const WINDOWS: [usize; 3] = [4 << 10, 64 << 10, 256 << 10];

/// What a slow reader takes at a time.
const SIP: usize = 2 << 10;

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
    draining: watch::Sender<bool>,
}

impl Running {
    /// Reads no further request, answers what was read and closes, as `serve` does when it is told to end.
    pub async fn drain(self) {
        self.draining.send_replace(true);
        self.broker.drain().await;
    }

    /// Serves one connection on the broker's node.
    fn serve(&self, read: ReadEnd, write: WriteEnd) {
        let session = self.broker.session(ConnectionId(self.connections.fetch_add(1, Relaxed)), "/127.0.0.1");
        let (world, mut draining) = (self.node.world().clone(), self.draining.subscribe());
        let drain = Box::pin(async move {
            let _ = draining.wait_for(|draining| *draining).await;
        });
        let served = net::serve(read, write, session, self.node.runtime(), drain);
        drop(self.node.call("connection", async move {
            let end = served.await;
            world.note(&format!("connection ended: {end}"));
            match end {
                End::Refused(_) => world.mark("connection closed by the broker"),
                End::HalfFrame | End::SlowFrame => world.mark("half frame closed"),
                End::WriteStall => world.mark("answers not read"),
                End::Idle => world.mark("idle connection closed"),
                End::Drained => world.mark("connection drained"),
                End::Input(_) | End::Io(_) => {}
            }
        }));
    }
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
        let draining = watch::Sender::new(false);
        self.0.lock().push(Running { node: node.clone(), broker, connections: Arc::default(), draining });
    }

    /// Those that live, the newest last.
    pub fn alive(&self) -> Vec<Running> {
        self.0.lock().iter().filter(|running| running.node.is_alive()).cloned().collect()
    }

    /// Connects `client` to the newest broker, now and then to an older one that still lives.
    pub async fn connect(&self, client: &Node) -> Link {
        loop {
            client.sleep(Duration::from_micros(client.random_u64() % 2_000)).await;
            // One that drains accepts nobody.
            let mut alive = self.alive();
            alive.retain(|running| !*running.draining.borrow());
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
    rng: Rng,
    /// None once it was lost.
    ends: Option<(ReadEnd, WriteEnd)>,
    expected: VecDeque<i32>,
    correlation: i32,
    /// Permille of requests with which the connection breaks before the answer.
    fragile: u64,
    /// Whether answers are read in sips.
    is_slow: bool,
}

impl Link {
    fn open(client: &Node, running: &Running) -> Self {
        let mut rng = Rng::new(client.random_u64());
        let mut habits = || Habits { window: *rng.pick(&WINDOWS), in_pieces: rng.chance(300) };
        let (there, back) = (habits(), habits());
        let is_slow = rng.chance(50);
        let (write, requests) = wire(client.world(), rng.fork(1), there);
        let (answers, read) = wire(client.world(), rng.fork(2), back);
        running.serve(requests, answers);
        let (client, ends, expected) = (client.clone(), Some((read, write)), VecDeque::new());
        Self { client, rng, ends, expected, correlation: 0, fragile: 0, is_slow }
    }

    /// Lets the connection break with so many permille of the requests.
    pub fn fragile(mut self, permille: u64) -> Self {
        self.fragile = permille;
        self
    }

    /// Sends a request; its answer comes in its turn.
    pub async fn send<'a, R: RequestBody<'a>>(&mut self, version: i16, request: &R) -> Result<(), Lost> {
        self.send_unanswered(version, request).await?;
        self.expected.push_back(self.correlation);
        Ok(())
    }

    /// Sends a request that has no answer.
    pub async fn send_unanswered<'a, R: RequestBody<'a>>(&mut self, version: i16, request: &R) -> Result<(), Lost> {
        self.correlation += 1;
        let frame = encode_request(version, self.correlation, Some("simulated"), request).expect("our own request");
        let frame = frame.to_bytes();
        if self.rng.chance(self.fragile) {
            return self.break_with(&frame).await;
        }
        self.write(&frame).await
    }

    /// Sends bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Lost> {
        let (_, write) = self.ends.as_mut().ok_or(Lost)?;
        let written = timeout(&self.client, REQUEST_TIMEOUT, write.write_all(bytes)).await;
        self.lost_unless(matches!(written, Ok(Ok(()))))
    }

    /// Sends a frame, or a part of it, and goes.
    async fn break_with(&mut self, frame: &[u8]) -> Result<(), Lost> {
        let world = self.client.world().clone();
        world.mark("connection broke");
        let is_half = self.rng.chance(400);
        let length = self.rng.below(frame.len() as u64);
        let length = if is_half { usize::try_from(length).expect("no more than a frame") } else { frame.len() };
        self.write(&frame[..length]).await?;
        if is_half {
            world.mark("half frame sent");
        }
        let (read, write) = self.ends.take().ok_or(Lost)?;
        match self.rng.below(4) {
            0 => {
                world.mark("peer vanished");
                read.vanish();
                write.vanish();
            }
            1 => write.cut(),
            _ => {}
        }
        Err(Lost)
    }

    /// The frame that answers the oldest request without an answer.
    pub async fn receive(&mut self) -> Result<Bytes, Lost> {
        let (read, _) = self.ends.as_mut().ok_or(Lost)?;
        let frame = read_frame(&self.client, &mut self.rng, read, self.is_slow);
        let answer = timeout(&self.client, REQUEST_TIMEOUT, frame).await;
        if answer.is_err() {
            self.client.world().mark("request timed out");
        }
        let frame = answer.ok().and_then(Result::ok);
        self.lost_unless(frame.is_some())?;
        frame.ok_or(Lost)
    }

    /// Waits until the broker closes; false if it has not within `limit`, or says something.
    pub async fn is_closed_within(&mut self, limit: Duration) -> bool {
        let Some((read, _)) = self.ends.as_mut() else { return true };
        matches!(timeout(&self.client, limit, read.read_u8()).await, Ok(Err(_)))
    }

    /// Goes without a word; whatever was begun stays as it is.
    pub fn vanish(mut self) {
        if let Some((read, write)) = self.ends.take() {
            read.vanish();
            write.vanish();
        }
    }

    fn lost_unless(&mut self, is_good: bool) -> Result<(), Lost> {
        if is_good {
            return Ok(());
        }
        self.ends = None;
        Err(Lost)
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

async fn read_frame(client: &Node, rng: &mut Rng, read: &mut ReadEnd, is_slow: bool) -> io::Result<Bytes> {
    let length = usize::try_from(read.read_i32().await?).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut frame = vec![0; length];
    let sip = if is_slow { SIP } else { length.max(1) };
    for part in frame.chunks_mut(sip) {
        read.read_exact(part).await?;
        if is_slow {
            client.sleep(Duration::from_millis(rng.below(100))).await;
        }
    }
    Ok(frame.into())
}
