//! The connections that exist: admission under the caps, who is the longest idle, and what each is doing at this moment.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicU8, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::close::CloseReason;
use super::Peer;
use crate::limits;

/// All connections of a broker. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    registry: Arc<Mutex<Registry>>,
}

#[derive(Debug, Default)]
struct Registry {
    last_id: u64,
    by_id: HashMap<u64, Arc<Entry>>,
    by_address: HashMap<IpAddr, usize>,
}

/// What is known of a connection, at one moment.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// Number of the connection, unique while the broker runs, ascending.
    pub id: u64,
    /// Address and port of the client.
    pub client: SocketAddr,
    /// Address and port the client reached.
    pub local: SocketAddr,
    /// When it was accepted.
    pub since: SystemTime,
    /// Requests received whole.
    pub requests: u64,
    /// Requests whose reply is not written yet.
    pub unanswered: usize,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes sent.
    pub bytes_out: u64,
    /// Time since bytes were last received or sent.
    pub idle: Duration,
}

/// How many connections may exist.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caps {
    /// In all.
    pub(super) total: usize,
    /// Of one client address.
    pub(super) per_address: usize,
}

/// Why a connection is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many as may be, and none of them is idle.
    Full,
    /// This client address has as many as it may have.
    FullForAddress,
}

/// The place of a connection among the others; gives it back on drop.
#[derive(Debug)]
pub(super) struct Ticket {
    connections: Connections,
    entry: Arc<Entry>,
}

/// What the reader of a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Works, or waits for its turn: nothing that the client could hasten by sending.
    Busy,
    /// Waits for the first byte of a request.
    Between,
    /// Waits for more bytes of a request that has begun.
    Partial,
    /// Waits for the receive budget.
    Budget,
}

/// The live facts of a connection: written by its reader and writer, read by the sweep, by evictions and by views.
#[derive(Debug)]
pub(super) struct Entry {
    id: u64,
    peer: Peer,
    since: SystemTime,
    begun: Instant,
    phase: AtomicU8,
    requests: AtomicU64,
    unanswered: AtomicUsize,
    held: AtomicUsize,
    unsent: AtomicUsize,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    input: Progress,
    output: Progress,
    closing: Mutex<Option<CloseReason>>,
    close: Notify,
}

/// When one direction last moved, in milliseconds since the connection began.
#[derive(Debug, Default)]
struct Progress {
    moved_ms: AtomicU64,
    step_ms: AtomicU64,
    step_at_bytes: AtomicU64,
}

impl Progress {
    fn restart(&self, now_ms: u64, bytes: u64) {
        self.moved_ms.store(now_ms, Relaxed);
        self.step_ms.store(now_ms, Relaxed);
        self.step_at_bytes.store(bytes, Relaxed);
    }

    fn moved(&self, now_ms: u64, bytes: u64) {
        if bytes.saturating_sub(self.step_at_bytes.load(Relaxed)) >= limits::PROGRESS_BYTES {
            self.restart(now_ms, bytes);
        } else {
            self.moved_ms.store(now_ms, Relaxed);
        }
    }
}

impl Connections {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().by_id.len()
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Vec<ConnectionInfo> {
        let mut list: Vec<_> = self.entries().iter().map(|entry| entry.info()).collect();
        list.sort_unstable_by_key(|info| info.id);
        list
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.lock().by_id.values().cloned().collect()
    }

    /// A place for a new connection. At the cap of its address there is none, unless the cap in all is reached as well and one of this
    /// address is the next to go: who refuses it then would keep an idle one instead. At the cap in all, the longest idle one is closed to make it; where none is idle, the one that has
    /// let a request or a reply stand still for longest, if that is [`limits::STALL_UNDER_PRESSURE`].
    pub(super) fn admit(&self, peer: Peer, caps: Caps) -> Result<Ticket, Refusal> {
        let mut registry = self.lock();
        let address = peer.client.ip().to_canonical();
        let of_address = registry.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= caps.per_address {
            let full = registry.by_id.len() >= caps.total;
            if !full || registry.next_to_go().is_none_or(|(victim, _)| victim.address() != address) {
                return Err(Refusal::FullForAddress);
            }
        }
        while registry.by_id.len() >= caps.total {
            registry.evict().ok_or(Refusal::Full)?;
        }
        registry.last_id += 1;
        let entry = Arc::new(Entry::new(registry.last_id, peer));
        registry.by_id.insert(entry.id, Arc::clone(&entry));
        *registry.by_address.entry(address).or_default() += 1;
        Ok(Ticket {
            connections: self.clone(),
            entry,
        })
    }

    /// Closes the longest idle connection, or the longest stalled; `false` if there is none.
    pub(super) fn evict(&self) -> bool {
        self.lock().evict().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        // No code that may panic runs under this lock in the middle of a change.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    fn evict(&mut self) -> Option<()> {
        let (victim, reason) = self.next_to_go()?;
        victim.close(reason);
        let id = victim.id;
        self.remove(id);
        Some(())
    }

    fn next_to_go(&self) -> Option<(&Entry, CloseReason)> {
        let idle = self.by_id.values().filter(|entry| entry.is_idle());
        if let Some(longest) = idle.max_by_key(|entry| entry.idle_for()) {
            return Some((longest, CloseReason::Evicted));
        }
        let stalled = self.by_id.values().filter_map(|entry| Some((entry.stalled_for()?, entry)));
        let (duration, longest) = stalled.max_by_key(|(duration, _)| *duration)?;
        (duration >= limits::STALL_UNDER_PRESSURE).then_some((longest, CloseReason::Displaced))
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.by_id.remove(&id) else {
            return;
        };
        let address = entry.address();
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Ticket {
    pub(super) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connections.lock().remove(self.entry.id);
    }
}

impl Entry {
    fn new(id: u64, peer: Peer) -> Self {
        Entry {
            id,
            peer,
            since: SystemTime::now(),
            begun: Instant::now(),
            phase: AtomicU8::new(Phase::Between as u8),
            requests: AtomicU64::new(0),
            unanswered: AtomicUsize::new(0),
            held: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            input: Progress::default(),
            output: Progress::default(),
            closing: Mutex::new(None),
            close: Notify::new(),
        }
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The client's address, by which connections are counted.
    fn address(&self) -> IpAddr {
        self.peer.client.ip().to_canonical()
    }

    /// Closes the connection as soon as its task runs; the first reason counts.
    pub(super) fn close(&self, reason: CloseReason) {
        let mut closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner);
        if closing.is_none() {
            *closing = Some(reason);
            self.close.notify_one();
        }
    }

    /// Waits for [`Entry::close`].
    pub(super) async fn closed(&self) -> CloseReason {
        loop {
            self.close.notified().await;
            if let Some(reason) = self.closing.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return reason;
            }
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
    }

    /// Bytes of the receive budget that the frame being received holds. A new one begins a new measure of progress.
    pub(super) fn set_held(&self, bytes: usize) {
        self.held.store(bytes, Relaxed);
    }

    /// What came before was not the client's to hasten: from now on it is.
    pub(super) fn restart_input(&self) {
        self.input.restart(self.now_ms(), self.bytes_in.load(Relaxed));
    }

    pub(super) fn received(&self, bytes: usize) {
        let total = self.bytes_in.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        self.input.moved(self.now_ms(), total);
    }

    pub(super) fn request_started(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.unanswered.fetch_add(1, Relaxed);
    }

    pub(super) fn requests_answered(&self, count: usize) {
        self.output.moved(self.now_ms(), self.bytes_out.load(Relaxed));
        self.unanswered.fetch_sub(count, Relaxed);
    }

    /// A write of this many bytes begins.
    pub(super) fn sending(&self, bytes: usize) {
        self.output.restart(self.now_ms(), self.bytes_out.load(Relaxed));
        self.unsent.store(bytes, Relaxed);
    }

    pub(super) fn sent(&self, bytes: usize) {
        let total = self.bytes_out.fetch_add(bytes as u64, Relaxed) + bytes as u64;
        self.unsent.fetch_sub(bytes, Relaxed);
        self.output.moved(self.now_ms(), total);
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent.load(Relaxed)
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// Whether it owes nothing and is owed nothing.
    fn is_idle(&self) -> bool {
        self.is(Phase::Between) && self.unanswered.load(Relaxed) == 0 && self.unsent() == 0
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Relaxed) == phase as u8
    }

    fn idle_for(&self) -> Duration {
        self.since_ms(self.input.moved_ms.load(Relaxed).max(self.output.moved_ms.load(Relaxed)))
    }

    /// The reason to close it, if the client has let `limit` pass without doing what it should.
    pub(super) fn overdue(&self, limit: Duration) -> Option<CloseReason> {
        if self.unsent() > 0 && self.since_ms(self.output.moved_ms.load(Relaxed)) >= limit {
            return Some(CloseReason::ReplyStalled);
        }
        if self.is(Phase::Partial) && self.since_ms(self.input.moved_ms.load(Relaxed)) >= limit {
            return Some(CloseReason::FrameStalled);
        }
        (self.is_idle() && self.idle_for() >= limit).then_some(CloseReason::Idle)
    }

    /// How long a frame that holds a part of the receive budget has been without progress that is the client's to make.
    pub(super) fn frame_stalled_for(&self) -> Option<Duration> {
        (self.is(Phase::Partial) && self.held() > 0).then(|| self.since_ms(self.input.step_ms.load(Relaxed)))
    }

    /// How long it has been without progress that is the client's to make, in a request that it began or a reply that it is sent.
    fn stalled_for(&self) -> Option<Duration> {
        let input = self
            .is(Phase::Partial)
            .then(|| self.since_ms(self.input.step_ms.load(Relaxed)));
        input.max(self.reply_stalled_for())
    }

    /// How long replies have been waiting for a client that does not read them.
    pub(super) fn reply_stalled_for(&self) -> Option<Duration> {
        (self.unsent() > 0).then(|| self.since_ms(self.output.step_ms.load(Relaxed)))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn since_ms(&self, then_ms: u64) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(then_ms))
    }

    pub(super) fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            id: self.id,
            client: self.peer.client,
            local: self.peer.local,
            since: self.since,
            requests: self.requests.load(Relaxed),
            unanswered: self.unanswered.load(Relaxed),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            idle: self.idle_for(),
        }
    }
}
