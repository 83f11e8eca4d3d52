//! A TCP proxy between clients and a broker that cuts connections on purpose: in the middle of a request, after a request whose reply
//! then never comes, or in the middle of a reply. A broker behind it must advertise the proxy's port.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Where the kinds of cut are counted.
#[derive(Debug, Default)]
struct Cuts {
    in_request: AtomicU64,
    reply_lost: AtomicU64,
    in_reply: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    /// Every how many frames one is cut, about; 0: none.
    every: AtomicU64,
    chance: Mutex<u64>,
    cuts: Cuts,
    closed: AtomicBool,
}

/// See the module's head. Stops to accept when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on `port` of loopback for clients of the broker at `upstream`, and cuts about one frame of `every`, a different one for
    /// each `seed`.
    pub fn start(port: u16, upstream: &str, every: u64, seed: u64) -> Proxy {
        let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).unwrap_or_else(|e| panic!("proxy: {e}"));
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            every: AtomicU64::new(every),
            chance: Mutex::new(seed),
            cuts: Cuts::default(),
            closed: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.closed.load(Ordering::Relaxed) {
                    return;
                }
                serve(client, &accepting);
            }
        });
        Proxy { port, shared }
    }

    /// `host:port` for clients.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Cuts nothing from now on.
    pub fn calm(&self) {
        self.shared.every.store(0, Ordering::Relaxed);
    }

    /// How many requests were cut, how many replies never came, how many replies were cut.
    pub fn cuts(&self) -> [u64; 3] {
        let cuts = &self.shared.cuts;
        [&cuts.in_request, &cuts.reply_lost, &cuts.in_reply].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Shared {
    /// A number below `bound`: splitmix64.
    fn random(&self, bound: u64) -> u64 {
        let mut state = self.chance.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }

    fn is_to_cut(&self) -> bool {
        let every = self.every.load(Ordering::Relaxed);
        every > 0 && self.random(every) == 0
    }

    /// How many bytes of a request go on.
    fn fate_of_request(&self, size: usize) -> usize {
        if !self.is_to_cut() {
            return size;
        }
        self.cuts.in_request.fetch_add(1, Ordering::Relaxed);
        self.random(size as u64) as usize
    }

    /// How many bytes of a reply go on.
    fn fate_of_reply(&self, size: usize) -> usize {
        if !self.is_to_cut() {
            return size;
        }
        if self.random(2) == 0 {
            self.cuts.reply_lost.fetch_add(1, Ordering::Relaxed);
            return 0;
        }
        self.cuts.in_reply.fetch_add(1, Ordering::Relaxed);
        self.random(size as u64) as usize
    }
}

/// Two threads that end with the connection.
fn serve(client: TcpStream, shared: &Arc<Shared>) {
    let Ok(broker) = TcpStream::connect(&shared.upstream) else {
        return;
    };
    let ends = || Some((client.try_clone().ok()?, broker.try_clone().ok()?));
    let (Some(requests), Some((client, broker))) = (ends(), ends()) else {
        return;
    };
    let there = shared.clone();
    std::thread::spawn(move || relay(requests.0, requests.1, |size| there.fate_of_request(size)));
    let back = shared.clone();
    std::thread::spawn(move || relay(broker, client, |size| back.fate_of_reply(size)));
}

/// Passes frames on until one does not go on whole, then closes both sides.
fn relay(mut from: TcpStream, mut to: TcpStream, fate: impl Fn(usize) -> usize) {
    let mut frame = Vec::new();
    while let Some(size) = read_frame(&mut from, &mut frame) {
        let passed = fate(size);
        if to.write_all(&frame[..passed]).is_err() || passed < size {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// The next frame with its length; its size.
fn read_frame(from: &mut TcpStream, frame: &mut Vec<u8>) -> Option<usize> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    frame.clear();
    frame.extend_from_slice(&length);
    frame.resize(4 + u32::from_be_bytes(length) as usize, 0);
    from.read_exact(&mut frame[4..]).ok()?;
    Some(frame.len())
}
