//! Which fetch sessions there are and which of them make room for new ones. A pure machine: time and random numbers are given to it.
//! Kafka's `FetchSessionCacheShard`, with a bound on bytes beside the one on sessions.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::Size;
use crate::limits::{FETCH_SESSIONS_BYTES, FETCH_SESSION_BYTES, FETCH_SESSION_EVICTION};

/// Sessions of whatever kind, by id.
#[derive(Debug)]
pub struct SessionCache<S> {
    sessions: HashMap<i32, Entry<S>>,
    by_last_use: BTreeSet<(Instant, i32)>,
    /// (partitions, id) of those that a larger new one may replace.
    replaceable: BTreeSet<(usize, i32)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry<S> {
    session: S,
    size: Size,
    created: Instant,
    last_use: Instant,
}

/// What [`SessionCache::create`] did.
#[derive(Debug)]
pub struct Created<S> {
    /// The id of the new session; `None` if there is no room for it.
    pub id: Option<i32>,
    /// Sessions that made room.
    pub evicted: Vec<S>,
}

impl<S> Default for SessionCache<S> {
    fn default() -> Self {
        SessionCache {
            sessions: HashMap::new(),
            by_last_use: BTreeSet::new(),
            replaceable: BTreeSet::new(),
            bytes: 0,
        }
    }
}

impl<S> SessionCache<S> {
    /// The session of this id; `None`: FETCH_SESSION_ID_NOT_FOUND (70).
    pub fn get(&self, id: i32) -> Option<&S> {
        self.sessions.get(&id).map(|entry| &entry.session)
    }

    /// Adds a session if there are fewer than `slots` and their bytes allow it, or others make room: the least recently used one if
    /// that is longer ago than [`FETCH_SESSION_EVICTION`]; else the one with the fewest partitions among those that are older than
    /// that, if it has fewer than the new one. `draw` gives random numbers for the id.
    pub fn create(
        &mut self,
        now: Instant,
        slots: usize,
        size: Size,
        session: impl FnOnce() -> S,
        draw: impl FnMut() -> i32,
    ) -> Created<S> {
        let mut evicted = Vec::new();
        if slots == 0 || size.bytes > FETCH_SESSION_BYTES {
            return Created { id: None, evicted };
        }
        while self.sessions.len() >= slots || self.bytes + size.bytes > FETCH_SESSIONS_BYTES {
            match self.evictable(now, size).and_then(|id| self.remove(id)) {
                Some(session) => evicted.push(session),
                None => return Created { id: None, evicted },
            }
        }
        let id = self.free_id(draw);
        self.bytes += size.bytes;
        self.by_last_use.insert((now, id));
        let entry = Entry {
            session: session(),
            size,
            created: now,
            last_use: now,
        };
        self.sessions.insert(id, entry);
        Created { id: Some(id), evicted }
    }

    /// A session was used and has this size now. One that has become too large, for itself or for all together, is removed and returned.
    pub fn touch(&mut self, now: Instant, id: i32, size: Size) -> Option<S> {
        let entry = self.sessions.get_mut(&id)?;
        self.by_last_use.remove(&(entry.last_use, id));
        self.replaceable.remove(&(entry.size.partitions, id));
        self.bytes = self.bytes - entry.size.bytes + size.bytes;
        let grew = size.bytes > entry.size.bytes;
        entry.size = size;
        entry.last_use = now;
        self.by_last_use.insert((now, id));
        if now.duration_since(entry.created) > FETCH_SESSION_EVICTION {
            self.replaceable.insert((size.partitions, id));
        }
        if grew && (size.bytes > FETCH_SESSION_BYTES || self.bytes > FETCH_SESSIONS_BYTES) {
            return self.remove(id);
        }
        None
    }

    /// Removes a session.
    pub fn remove(&mut self, id: i32) -> Option<S> {
        let entry = self.sessions.remove(&id)?;
        self.by_last_use.remove(&(entry.last_use, id));
        self.replaceable.remove(&(entry.size.partitions, id));
        self.bytes -= entry.size.bytes;
        Some(entry.session)
    }

    fn evictable(&self, now: Instant, size: Size) -> Option<i32> {
        let (last_use, stale) = self.by_last_use.first()?;
        if now.duration_since(*last_use) > FETCH_SESSION_EVICTION {
            return Some(*stale);
        }
        let (partitions, smallest) = self.replaceable.first()?;
        (*partitions < size.partitions).then_some(*smallest)
    }

    /// Positive, and not that of another session.
    fn free_id(&self, mut draw: impl FnMut() -> i32) -> i32 {
        loop {
            let id = draw() & i32::MAX;
            if id != 0 && !self.sessions.contains_key(&id) {
                return id;
            }
        }
    }
}
