//! The listening sockets: binding them, and accepting connections under all circumstances.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::task::Poll;

use socket2::{Domain, Protocol as SocketProtocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::stopped;
use super::connections::{Caps, Refusal, Ticket};
use super::{connection, Peer, Protocol, Service};
use crate::limits;

/// Sockets that listen. Connections wait in the kernel until [`super::serve`] accepts them.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<std::net::TcpListener>,
}

impl Listeners {
    /// Binds `port` of each address: a host name, an IPv4 or IPv6 address, or `*` for all of both families.
    ///
    /// # Errors
    /// A name cannot be resolved; an address cannot be bound, which the message names. Only one thing is passed over with a
    /// warning: an address of a family that this machine does not have, if the same name has another that could be bound.
    pub fn bind(addresses: &[String], port: u16) -> io::Result<Listeners> {
        let mut sockets: Vec<std::net::TcpListener> = Vec::new();
        for name in addresses {
            let mut bound = false;
            let mut missing = None;
            for address in resolve(name, port)? {
                if port != 0
                    && sockets
                        .iter()
                        .any(|socket| socket.local_addr().is_ok_and(|taken| taken == address))
                {
                    bound = true;
                    continue;
                }
                match listen(address) {
                    Ok(socket) => {
                        sockets.push(socket);
                        bound = true;
                    }
                    Err(error) if family_is_missing(&error) => {
                        missing = Some(named(error, format!("could not listen on \"{name}\" ({address})")));
                    }
                    Err(error) => return Err(named(error, format!("could not listen on \"{name}\" ({address})"))),
                }
            }
            match missing {
                Some(error) if !bound => return Err(error),
                Some(error) => tracing::warn!("{error}"),
                None => {}
            }
        }
        if sockets.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "there is no address to listen on",
            ));
        }
        Ok(Listeners { sockets })
    }

    /// The addresses that were bound.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn local_addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(std::net::TcpListener::local_addr).collect()
    }

    /// Hands them to the runtime of the caller.
    pub(super) fn into_async(self) -> io::Result<Vec<TcpListener>> {
        self.sockets.into_iter().map(TcpListener::from_std).collect()
    }
}

fn resolve(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if name == "*" {
        return Ok(vec![
            (IpAddr::from(Ipv4Addr::UNSPECIFIED), port).into(),
            (IpAddr::from(Ipv6Addr::UNSPECIFIED), port).into(),
        ]);
    }
    let unknown = |error| named(error, format!("could not resolve listen address \"{name}\""));
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in (name, port).to_socket_addrs().map_err(unknown)? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(SocketProtocol::TCP))?;
    if address.is_ipv6() {
        // The IPv4 wildcard has a socket of its own.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Whether an address cannot be bound because the machine lacks it or its family, as opposed to being in use or forbidden.
fn family_is_missing(error: &io::Error) -> bool {
    // The standard library has no kind for EAFNOSUPPORT; its text on Linux is stable.
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.kind() == io::ErrorKind::Unsupported
        || error.to_string().contains("Address family not supported")
}

fn named(error: io::Error, what: String) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// Accepts connections until `shutdown`, then closes the listener and waits for its connections to end.
pub(super) async fn run<P: Protocol>(
    service: Service<P>,
    listener: TcpListener,
    threads: Threads,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut acceptor = Acceptor {
        service,
        threads,
        reserve: reserve(),
        tasks: JoinSet::new(),
        shutdown: shutdown.clone(),
    };
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            Some(ended) = acceptor.tasks.join_next(), if !acceptor.tasks.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!("a connection ended by {error}");
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, client)) => acceptor.accepted(stream, client),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => acceptor.exhausted(&listener, &error).await,
            },
        }
    }
    drop(listener);
    while acceptor.tasks.join_next().await.is_some() {}
}

/// The runtimes that connections are spread over, in turn. Clones share the turn.
///
/// A connection stays on its runtime. Each is best given one thread: a runtime of several wakes a second one at nearly each event, to
/// find out that there is nothing to do for it.
#[derive(Debug, Clone)]
pub struct Threads {
    runtimes: Arc<[Handle]>,
    turn: Arc<AtomicUsize>,
}

impl Threads {
    /// Spreads over `first` and `others`.
    pub fn new(first: Handle, others: impl IntoIterator<Item = Handle>) -> Self {
        Threads {
            runtimes: std::iter::once(first).chain(others).collect(),
            turn: Arc::default(),
        }
    }

    fn next(&self) -> &Handle {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        &self.runtimes[turn % self.runtimes.len()]
    }
}

struct Acceptor<P: Protocol> {
    service: Service<P>,
    threads: Threads,
    /// A descriptor to give up when there are no others.
    reserve: Option<File>,
    tasks: JoinSet<()>,
    shutdown: watch::Receiver<bool>,
}

impl<P: Protocol> Acceptor<P> {
    fn accepted(&mut self, stream: TcpStream, client: SocketAddr) {
        let Ok(local) = stream.local_addr() else {
            return;
        };
        // The runtime that accepted it lets it go: another may have it.
        let Ok(stream) = stream.into_std() else {
            return;
        };
        if let Some(ticket) = self.service.admit(Peer { client, local }) {
            let connection = client_connection(self.service.clone(), ticket, stream, self.shutdown.clone());
            self.tasks.spawn_on(connection, self.threads.next());
        }
    }

    /// There was no descriptor (or memory) for the next connection. Left in the kernel's queue it would wake the listener for ever,
    /// so it is taken out with the reserve's descriptor; it is served if the longest idle one, or any other, gives one back.
    async fn exhausted(&mut self, listener: &TcpListener, error: &io::Error) {
        self.reserve = None;
        match poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
            // The error was about a connection that did not wait.
            Poll::Pending => self.reserve = reserve(),
            Poll::Ready(Ok((stream, client))) => {
                self.service.log().exhausted(error);
                if !self.restored() && self.service.connections().evict() {
                    let _ = tokio::time::timeout(limits::ACCEPT_PAUSE, self.tasks.join_next()).await;
                }
                if self.restored() {
                    self.accepted(stream, client);
                } else {
                    self.service
                        .log()
                        .refused(&client, "no descriptors, and no idle connection to take one from");
                    drop(stream);
                    self.reserve = reserve();
                }
            }
            Poll::Ready(Err(error)) => {
                self.service.log().exhausted(&error);
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
                self.reserve = reserve();
            }
        }
    }

    /// Whether there is a reserve, or can be again.
    fn restored(&mut self) -> bool {
        self.reserve = self.reserve.take().or_else(reserve);
        self.reserve.is_some()
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted, WouldBlock};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted | WouldBlock
    )
}

async fn client_connection<P: Protocol>(
    service: Service<P>,
    ticket: Ticket,
    stream: std::net::TcpStream,
    shutdown: watch::Receiver<bool>,
) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return service.log().exhausted(&error),
    };
    // A socket that refuses an option still carries requests.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(limits::KEEPALIVE_TIME));
    let (read, write) = stream.into_split();
    connection::run(&service, ticket, read, write, shutdown).await;
}

impl<P: Protocol> Service<P> {
    /// A place for a client, or a line in the log.
    pub(super) fn admit(&self, peer: Peer) -> Option<Ticket> {
        let settings = self.settings();
        let caps = Caps {
            total: settings.max_connections,
            per_address: settings.max_connections_per_address,
        };
        let client = peer.client;
        match self.connections().admit(peer, caps) {
            Ok(ticket) => Some(ticket),
            Err(Refusal::Full) => {
                self.log().refused(&client, "too many connections, none of them idle");
                None
            }
            Err(Refusal::FullForAddress) => {
                self.log().refused(&client, "too many connections of this address");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: connections go to each runtime in turn, whichever clone of the list is asked.
    #[test]
    fn runtimes_have_their_turn() {
        let runtimes: Vec<_> = (0..3)
            .map(|_| tokio::runtime::Builder::new_current_thread().build().expect("runtime"))
            .collect();
        let handle = |index: usize| runtimes[index].handle().clone();
        let threads = Threads::new(handle(0), [handle(1), handle(2)]);
        let other = threads.clone();
        let turns: Vec<_> = (0..4)
            .map(|turn| {
                if turn % 2 == 0 {
                    threads.next().id()
                } else {
                    other.next().id()
                }
            })
            .collect();
        assert_eq!(turns, [0, 1, 2, 0].map(|index| handle(index).id()));
    }
}
