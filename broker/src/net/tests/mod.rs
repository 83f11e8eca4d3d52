//! Drives connections with raw frames against a protocol whose requests say what is to become of them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::*;

mod caps;
mod frames;
mod order;
mod pieces;
mod pressure;
mod stop;

const PATIENCE: Duration = Duration::from_secs(20);

/// A protocol in which the first byte of a request is its execution (`E`ager or in `T`urn) and the second its fate: `e`cho, `h`old
/// until the gate opens and echo, `n`othing, `c`lose, `p`anic at start, `P`anic later, `b`ig reply of as many KiB as the next four
/// bytes say. `h` keeps the charge of the request.
struct Script {
    started: Mutex<Vec<Started>>,
    gate: watch::Sender<bool>,
    unfinished: Arc<AtomicUsize>,
    replies: Budget,
    connections: Connections,
}

/// A request, and how many bytes its connection had sent when it was started, if it was the only one.
struct Started {
    frame: Bytes,
    bytes_out: u64,
}

struct Unfinished(Arc<AtomicUsize>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Protocol for Script {
    fn execution(&self, head: &Bytes) -> Execution {
        assert!(head.len() <= HEAD_BYTES);
        if head[0] == b'E' {
            Execution::Eager
        } else {
            Execution::InTurn
        }
    }

    fn start(self: Arc<Self>, _peer: &Peer, frame: Bytes, charge: Charge) -> PendingReply {
        let bytes_out = if self.connections.count() == 1 {
            self.connections.list()[0].bytes_out
        } else {
            0
        };
        self.started.lock().expect("lock").push(Started {
            frame: frame.clone(),
            bytes_out,
        });
        self.unfinished.fetch_add(1, Ordering::SeqCst);
        let unfinished = Unfinished(Arc::clone(&self.unfinished));
        let fate = frame.get(1).copied();
        assert!(fate != Some(b'p'), "told to panic at start");
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            let _unfinished = unfinished;
            match fate {
                Some(b'h') => {
                    gate.wait_for(|open| *open).await.expect("the gate stays");
                    drop(charge);
                    echo(frame)
                }
                Some(b'n') => Reply::Nothing,
                Some(b'c') => Reply::Close("told to close".to_owned()),
                Some(b'P') => panic!("told to panic later"),
                Some(b'b') if frame.len() == 6 => {
                    let size = u32::from_be_bytes(frame[2..6].try_into().expect("four bytes")) as usize * 1024;
                    let charge = self.replies.acquire(size).await;
                    Reply::Frame {
                        chunks: vec![Bytes::from(vec![7; size])],
                        charge: Some(charge),
                    }
                }
                _ => echo(frame),
            }
        })
    }
}

/// The frame, in slices, some of them empty.
fn echo(frame: Bytes) -> Reply {
    let middle = frame.len() / 2;
    Reply::Frame {
        chunks: vec![Bytes::new(), frame.slice(..middle), frame.slice(middle..)],
        charge: None,
    }
}

fn small_settings() -> Settings {
    Settings {
        listen_addresses: vec!["127.0.0.1".to_owned()],
        port: 0,
        ..Settings::default()
    }
}

/// A served script.
struct Broker {
    service: Service<Script>,
    script: Arc<Script>,
    address: SocketAddr,
    shutdown: watch::Sender<bool>,
    served: JoinHandle<io::Result<()>>,
    _settings: watch::Sender<Arc<Settings>>,
}

impl Broker {
    fn start(settings: Settings) -> Broker {
        let connections = Connections::default();
        let replies = Budget::new(settings.queued_max_response_bytes);
        let script = Arc::new(Script {
            started: Mutex::default(),
            gate: watch::Sender::new(false),
            unfinished: Arc::default(),
            replies: replies.clone(),
            connections: connections.clone(),
        });
        let listeners = Listeners::bind(&settings.listen_addresses, settings.port).expect("bind");
        let address = listeners.local_addresses().expect("addresses")[0];
        let (settings, settings_of_service) = watch::channel(Arc::new(settings));
        let service = Service::new(Arc::clone(&script), replies, settings_of_service, connections);
        let (shutdown, stop) = watch::channel(false);
        let threads = Threads::new(Handle::current(), []);
        let served = tokio::spawn(serve(service.clone(), listeners, threads, stop));
        Broker {
            service,
            script,
            address,
            shutdown,
            served,
            _settings: settings,
        }
    }

    async fn connect(&self) -> Client<TcpStream> {
        Client(TcpStream::connect(self.address).await.expect("connect"))
    }

    /// A client without a socket, for tests under a paused clock; the stream holds `buffer` bytes per direction.
    fn connect_in_memory(&self, buffer: usize) -> Client<DuplexStream> {
        let (client, server) = tokio::io::duplex(buffer);
        let service = self.service.clone();
        let stop = self.shutdown.subscribe();
        let peer = Peer {
            client: ([127, 0, 0, 1], 1).into(),
            local: self.address,
        };
        tokio::spawn(async move { service.serve_stream(server, peer, stop).await });
        Client(client)
    }

    fn open_gate(&self) {
        self.script.gate.send_replace(true);
    }

    fn started(&self) -> Vec<Bytes> {
        self.script
            .started
            .lock()
            .expect("lock")
            .iter()
            .map(|started| started.frame.clone())
            .collect()
    }

    fn count(&self) -> usize {
        self.service.connections().count()
    }

    fn bytes_in(&self) -> u64 {
        self.service.connections().list().iter().map(|info| info.bytes_in).sum()
    }

    /// Nothing is held for requests that are over.
    async fn at_rest(&self) {
        let requests = self.service.requests();
        until("all charges returned", || requests.free() == requests.total()).await;
        until("all requests ended", || self.script.unfinished.load(Ordering::SeqCst) == 0).await;
    }
}

struct Client<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn send(&mut self, frame: impl AsRef<[u8]>) {
        self.0.write_all(&framed(frame.as_ref())).await.expect("send");
    }

    async fn send_raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("send");
    }

    async fn receive(&mut self) -> Vec<u8> {
        tokio::time::timeout(PATIENCE, self.try_receive())
            .await
            .expect("a reply in time")
            .expect("a reply")
    }

    async fn try_receive(&mut self) -> io::Result<Vec<u8>> {
        let length = self.0.read_u32().await?;
        let mut frame = vec![0; length as usize];
        self.0.read_exact(&mut frame).await?;
        Ok(frame)
    }

    async fn ask(&mut self, frame: impl AsRef<[u8]>) -> Vec<u8> {
        self.send(frame).await;
        self.receive().await
    }

    /// Nothing more comes: the other side closed.
    async fn closed(&mut self) {
        let rest = tokio::time::timeout(PATIENCE, self.0.read_u8())
            .await
            .expect("closed in time");
        assert!(rest.is_err(), "a byte came instead of the end");
    }
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).expect("small");
    [&length.to_be_bytes()[..], frame].concat()
}

fn big(execution: char, kib: u32) -> Vec<u8> {
    [&[execution as u8, b'b'][..], &kib.to_be_bytes()].concat()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::task::yield_now().await;
    }
}
