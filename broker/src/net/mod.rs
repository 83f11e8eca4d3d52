//! Sockets: the listener, a connection's frames, byte budgets and ordered replies. Knows nothing of any API; what a frame means
//! is [`Protocol`]'s.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::settings::Settings;

mod budget;
mod close;
mod connection;
mod connections;
mod listener;
mod order;
mod reader;
mod sweep;
#[cfg(test)]
mod tests;
mod writer;

pub use budget::{Budget, Charge};
pub use connections::{ConnectionInfo, Connections};
pub use listener::{Listeners, Threads};

/// What a request may know of the connection it came by.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Address and port of the client.
    pub client: SocketAddr,
    /// Address and port the client reached, which is what Metadata advertises unless settings say otherwise.
    pub local: SocketAddr,
}

/// When a request may start, relative to those of the same connection that came before it (design I7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// As soon as it is read, if all unanswered requests before it are eager too: its effect is queued in arrival order by
    /// [`Protocol::start`] itself. Produce.
    Eager,
    /// When every earlier reply has been written to the socket.
    InTurn,
}

/// What a started request becomes.
pub enum Reply {
    /// A response, without the four bytes of its length: header and body, in order, as slices to write one after the other.
    Frame {
        /// The response's bytes.
        chunks: Vec<Bytes>,
        /// The part of the response budget that these bytes hold until they are written.
        charge: Option<Charge>,
    },
    /// No response is owed (acks=0).
    Nothing,
    /// The connection must be closed, for this reason; nothing is sent.
    Close(String),
}

/// The reply to come of a request that was started.
pub type PendingReply = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// How many of a frame's first bytes [`Protocol::execution`] is asked with: API key, version and correlation id.
pub const HEAD_BYTES: usize = 8;

/// The meaning of frames: implemented by `api::Dispatcher`.
pub trait Protocol: Send + Sync + 'static {
    /// How the request that begins with these bytes is to be ordered. They are the first [`HEAD_BYTES`] of the frame, or the whole
    /// frame if it is shorter: the rest may not be here yet. Must not fail.
    fn execution(&self, head: &Bytes) -> Execution;

    /// Starts the request in `frame` (without its length prefix). The synchronous part must be short: decode, validate, enqueue.
    /// `charge` is the frame's part of the receive budget; the request holds it as long as it holds the frame's bytes.
    fn start(self: Arc<Self>, peer: &Peer, frame: Bytes, charge: Charge) -> PendingReply;
}

/// What all connections of a broker share. Clones are the same service.
pub struct Service<P> {
    shared: Arc<Shared<P>>,
}

struct Shared<P> {
    protocol: Arc<P>,
    frames: budget::FrameBudget,
    replies: Budget,
    settings: watch::Receiver<Arc<Settings>>,
    connections: Connections,
    log: close::ConnectionLog,
}

impl<P> Clone for Service<P> {
    fn clone(&self) -> Self {
        Service {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<P: Protocol> Service<P> {
    /// Serves `protocol` under `settings`, of which the limits of connections and frames are read at each use; the receive budget
    /// is made from them here. `replies` is the budget that the charges of replies are taken from: while somebody waits for it,
    /// clients that do not read their replies are closed.
    pub fn new(protocol: Arc<P>, replies: Budget, settings: watch::Receiver<Arc<Settings>>, connections: Connections) -> Self {
        let frames = budget::FrameBudget::new(Budget::new(settings.borrow().queued_max_request_bytes));
        let log = close::ConnectionLog::default();
        Service {
            shared: Arc::new(Shared {
                protocol,
                frames,
                replies,
                settings,
                connections,
                log,
            }),
        }
    }

    /// Serves one client over any stream, as if it had been accepted: for tests that drive a protocol with raw frames. Ends with the
    /// connection; at once if the caps do not admit it. Limits of time are kept only while [`serve`] runs for the same service.
    pub async fn serve_stream<S>(&self, stream: S, peer: Peer, shutdown: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        if let Some(ticket) = self.admit(peer) {
            let (read, write) = tokio::io::split(stream);
            connection::run(self, ticket, read, write, shutdown).await;
        }
    }

    /// The budget of received requests.
    pub fn requests(&self) -> &Budget {
        self.frames().budget()
    }

    /// The connections that exist.
    pub fn connections(&self) -> &Connections {
        &self.shared.connections
    }

    fn protocol(&self) -> &Arc<P> {
        &self.shared.protocol
    }

    fn frames(&self) -> &budget::FrameBudget {
        &self.shared.frames
    }

    fn replies(&self) -> &Budget {
        &self.shared.replies
    }

    fn log(&self) -> &close::ConnectionLog {
        &self.shared.log
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.shared.settings.borrow())
    }
}

/// Accepts clients and serves them on `threads`, until `shutdown` becomes true or its sender is dropped; then closes the listeners and all connections
/// and returns when they are closed, at most [`crate::limits::SHUTDOWN_GRACE`] later if the protocol does not block. Dropping the
/// future closes everything at once.
///
/// # Errors
/// The sockets cannot be registered with the runtime.
pub async fn serve<P: Protocol>(
    service: Service<P>,
    listeners: Listeners,
    threads: Threads,
    shutdown: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut acceptors = JoinSet::new();
    for socket in listeners.into_async()? {
        acceptors.spawn(listener::run(service.clone(), socket, threads.clone(), shutdown.clone()));
    }
    let mut sweep = JoinSet::new();
    sweep.spawn(sweep::run(service));
    while acceptors.join_next().await.is_some() {}
    Ok(())
}
