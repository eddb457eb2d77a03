//! The listening socket: accepts, limits and drains connections.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kafscale_runtime::{BoxFuture, Handle, timeout};
use socket2::SockRef;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    connection::{self, End},
    frames::FrameError,
};
use crate::{Broker, ConnectionId};

/// After a failed accept (no file descriptors left) the next try waits this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running listener.
pub struct Listener {
    address: SocketAddr,
    drain: watch::Sender<bool>,
    open: Arc<AtomicUsize>,
    all_closed: watch::Receiver<usize>,
    runtime: Handle,
}

impl Listener {
    /// The address that it listens on, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops accepting and reading, waits until what was read is answered, at most `limit`. Returns how many connections
    /// were cut.
    pub async fn drain(mut self, limit: Duration) -> usize {
        self.drain.send_replace(true);
        let closed = self.all_closed.wait_for(|_| self.open.load(Ordering::SeqCst) == 0);
        let _ = timeout(&*self.runtime, limit, closed).await;
        self.open.load(Ordering::SeqCst)
    }
}

/// Serves `broker` on a bound socket.
pub fn listen(socket: TcpListener, broker: Arc<Broker>, runtime: Handle) -> std::io::Result<Listener> {
    let address = socket.local_addr()?;
    let (drain, drained) = watch::channel(false);
    let (closed, all_closed) = watch::channel(0);
    let open = Arc::new(AtomicUsize::new(0));
    let settings = broker.settings();
    let accept = Accept {
        socket,
        connections_max: settings.connections_max,
        broker,
        runtime: Arc::clone(&runtime),
        drained,
        closed,
        open: Arc::clone(&open),
        next_id: 0,
    };
    runtime.spawn("listener", Box::pin(accept.run()));
    Ok(Listener { address, drain, open, all_closed, runtime })
}

struct Accept {
    socket: TcpListener,
    connections_max: usize,
    broker: Arc<Broker>,
    runtime: Handle,
    drained: watch::Receiver<bool>,
    closed: watch::Sender<usize>,
    open: Arc<AtomicUsize>,
    next_id: u64,
}

impl Accept {
    async fn run(mut self) {
        let mut drained = self.drained.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = drained.wait_for(|drained| *drained) => break,
                accepted = self.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.begin(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    self.runtime.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        self.closed.send_modify(|closed| *closed += 1);
    }

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        if self.open.load(Ordering::SeqCst) >= self.connections_max {
            tracing::warn!(%peer, limit = self.connections_max, "connection refused: too many are open");
            self.broker.metrics().connection_closed("too_many");
            return;
        }
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%peer, %error, "socket options were not accepted");
        }
        self.next_id += 1;
        let session = self.broker.session(ConnectionId(self.next_id), &format!("/{}", peer.ip()));
        self.open.fetch_add(1, Ordering::SeqCst);
        self.broker.metrics().connections.inc();
        let mut drained = self.drained.clone();
        let drain: BoxFuture<'static, ()> = Box::pin(async move {
            let _ = drained.wait_for(|drained| *drained).await;
        });
        let served = connection::serve_socket(stream, session, Arc::clone(&self.runtime), drain);
        let guard =
            Open { open: Arc::clone(&self.open), closed: self.closed.clone(), broker: Arc::clone(&self.broker) };
        self.runtime.spawn(
            "connection",
            Box::pin(async move {
                let end = served.await;
                drop(guard);
                match end {
                    End::Input(FrameError::Closed | FrameError::Io(_)) | End::Io(_) | End::Drained | End::Idle => {
                        tracing::debug!(%peer, reason = %end, "connection ended");
                    }
                    _ => tracing::warn!(%peer, reason = %end, "connection closed"),
                }
            }),
        );
    }
}

/// Small answers must not wait for more; dead peers must be noticed.
fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_keepalive(true)
}

struct Open {
    open: Arc<AtomicUsize>,
    closed: watch::Sender<usize>,
    broker: Arc<Broker>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
        self.broker.metrics().connections.dec();
        self.closed.send_modify(|closed| *closed += 1);
    }
}
