//! What Fetch requests ask for, the sessions in which they say it once (KIP-227), and how they wait. [`session`] is one session, [`cache`]
//! decides which there are; both are pure. [`FetchSessions`] is what the network threads share.

pub mod cache;
pub mod session;
#[cfg(test)]
mod tests;
pub mod wait;
pub mod wanted;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use kafka_protocol::ResponseError;
use tokio::sync::watch;
use uuid::Uuid;

use crate::catalog::Topics;
use crate::log::waiters::Waiter;
use crate::settings::Settings;
use cache::SessionCache;
use session::{Session, FINAL_EPOCH, INITIAL_EPOCH};
use wanted::{TopicKey, Wanted};

/// What a session takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Partitions.
    pub partitions: usize,
    /// Bytes of memory, about.
    pub bytes: usize,
}

/// All sessions of a broker. A session belongs to no connection.
pub struct FetchSessions {
    cache: Mutex<SessionCache<Arc<Shared>>>,
    settings: watch::Receiver<Arc<Settings>>,
}

/// A session, and the request of it that waits.
#[derive(Debug)]
pub struct Shared(Mutex<Inside>);

/// What is behind a session's lock.
#[derive(Debug)]
pub struct Inside {
    /// The session.
    pub session: Session,
    waiter: Weak<Waiter>,
}

/// The beginning of a request, as far as sessions go.
pub struct Opening<'a> {
    /// The session that it names; 0 is none.
    pub id: i32,
    /// 0: begin a session. -1: no session. Both close the one that is named. Else the next epoch of that session.
    pub epoch: i32,
    /// Whether it names topics by id.
    pub by_id: bool,
    /// What it asks for, looked up in `topics`.
    pub wanted: &'a [Wanted],
    /// What it does not ask for any more.
    pub forgotten: &'a [(TopicKey, Vec<i32>)],
    /// The topics now.
    pub topics: &'a Topics,
}

/// How a request is to be answered.
#[derive(Debug)]
pub enum Opened {
    /// With all that it asks for, with session id 0.
    Sessionless,
    /// With all that it asks for, and the id of a new session: [`FetchSessions::create`].
    Full,
    /// With what is new in a session.
    Incremental(Request),
}

/// A request of a session that is being answered.
#[derive(Debug)]
pub struct Request {
    /// The id of the session.
    pub id: i32,
    epoch: i32,
    shared: Arc<Shared>,
}

/// A request that is answered with an error for all of it and without partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The error.
    pub error: ResponseError,
    /// The session id of the answer: 0, or that of the session in which the request was overtaken by another.
    pub session_id: i32,
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        Refusal { error, session_id: 0 }
    }
}

impl Size {
    /// What a session of these partitions takes, about: more where some are named twice or topics not one after the other.
    pub fn of(wanted: &[Wanted]) -> Size {
        let (mut topics, mut names_bytes, mut last) = (0, 0, None);
        for wanted in wanted {
            if last.replace(&wanted.topic) != Some(&wanted.topic) {
                topics += 1;
                names_bytes += wanted.topic.name_bytes();
            }
        }
        session::size(wanted.len(), topics, names_bytes)
    }
}

impl FetchSessions {
    /// None yet; at most as many as the setting `fetch_sessions` says at each time.
    pub fn new(settings: watch::Receiver<Arc<Settings>>) -> Self {
        FetchSessions {
            cache: Mutex::default(),
            settings,
        }
    }

    /// Takes in the beginning of a request. A request of the same session that still waits is ended by it.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND (70), also for a session that has become too large; those of [`Session::begin`].
    pub fn open(&self, now: Instant, opening: &Opening) -> Result<Opened, Refusal> {
        let id = opening.id;
        if [INITIAL_EPOCH, FINAL_EPOCH].contains(&opening.epoch) {
            let named = self.cache().remove(id);
            close(named);
            return Ok(match opening.epoch {
                INITIAL_EPOCH => Opened::Full,
                _ => Opened::Sessionless,
            });
        }
        let found = self.cache().get(id).cloned();
        let shared = found.ok_or(ResponseError::FetchSessionIdNotFound)?;
        let mut inside = shared.lock();
        let Opening {
            epoch,
            by_id,
            wanted,
            forgotten,
            topics,
            ..
        } = *opening;
        let current = inside.session.begin(epoch, by_id, wanted, forgotten, topics)?;
        inside.end_wait();
        let size = inside.session.size();
        drop(inside);
        let Some(epoch) = current else {
            let empty = self.cache().remove(id);
            close(empty);
            return Ok(Opened::Sessionless);
        };
        if let Some(too_large) = self.cache().touch(now, id, size) {
            close([too_large]);
            return Err(ResponseError::FetchSessionIdNotFound.into());
        }
        Ok(Opened::Incremental(Request { id, epoch, shared }))
    }

    /// Makes a session of this size and keeps it, if there is room. Returns its id, or 0.
    pub fn create(&self, now: Instant, size: Size, session: impl FnOnce() -> Session) -> i32 {
        let slots = self.settings.borrow().fetch_sessions;
        let shared = || {
            let (session, waiter) = (session(), Weak::new());
            Arc::new(Shared(Mutex::new(Inside { session, waiter })))
        };
        let created = self.cache().create(now, slots, size, shared, random);
        close(created.evicted);
        created.id.unwrap_or(0)
    }

    fn cache(&self) -> MutexGuard<'_, SessionCache<Arc<Shared>>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Their memory is given back now, also where a request of theirs still waits.
fn close(sessions: impl IntoIterator<Item = Arc<Shared>>) {
    for session in sessions {
        let mut inside = session.lock();
        inside.session.close();
        inside.end_wait();
    }
}

fn random() -> i32 {
    // The low bits of a version 4 UUID are random.
    Uuid::new_v4().as_u128() as i32
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Lets a waiter be ended by the next request.
    pub fn set_waiter(&mut self, waiter: &Arc<Waiter>) {
        self.waiter = Arc::downgrade(waiter);
    }

    fn end_wait(&mut self) {
        if let Some(waiter) = std::mem::take(&mut self.waiter).upgrade() {
            waiter.end();
        }
    }
}

impl Request {
    /// The session, locked; not to be held across an await.
    ///
    /// # Errors
    /// INVALID_FETCH_SESSION_EPOCH (71) if another request of the session has begun, or it was closed, since this one began.
    pub fn lock(&self) -> Result<MutexGuard<'_, Inside>, Refusal> {
        let inside = self.shared.lock();
        match inside.session.is_current(self.epoch) {
            true => Ok(inside),
            false => Err(Refusal {
                error: ResponseError::InvalidFetchSessionEpoch,
                session_id: self.id,
            }),
        }
    }
}
