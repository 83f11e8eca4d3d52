//! One fetch session (KIP-227): the partitions that a client reads, with the offset that it wants of each and what it was told last. A
//! pure machine. Kafka's `FetchSession` and `FetchContext`.
//!
//! [`Session::begin`] takes a request in, [`Session::partitions`] is what it asks for, [`Session::in_turn`] and [`Session::tell`] make its
//! answer. Only the request that began last may go on: [`Session::is_current`].

use std::collections::HashMap;
use std::sync::Arc;

use kafka_protocol::ResponseError;

use super::wanted::{find_partition, TopicKey, Wanted};
use super::Size;
use crate::catalog::Topics;
use crate::log::partition::{Bounds, Partition};
use crate::log::waiters::REGISTRATION_BYTES;

/// The epoch of a request that begins a session, and closes the one it names.
pub const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request without a session, which closes the one it names.
pub const FINAL_EPOCH: i32 = -1;

/// Bytes of memory that a session takes for a partition, while a request waits for it.
const PARTITION_BYTES: usize = size_of::<Cached>() + 2 * size_of::<(i32, usize)>() + REGISTRATION_BYTES;
/// Bytes of memory that a session takes for a topic, beside its name.
const TOPIC_BYTES: usize = 2 * (size_of::<TopicKey>() + size_of::<HashMap<i32, usize>>());

/// A partition in a session.
#[derive(Debug)]
pub struct Cached {
    /// What the client wants of it.
    pub wanted: Wanted,
    /// The high watermark that the client was told last; -1 if none, or an error after it.
    high_watermark: i64,
    /// The log start that the client was told last, likewise.
    log_start_offset: i64,
    /// Partitions are answered in this order; one that had records goes behind all others, so that each has its turn.
    turn: u64,
}

impl Cached {
    /// Whether the client is to be told these bounds: they are not those that it was told last.
    pub fn is_news(&self, bounds: &Bounds) -> bool {
        (self.high_watermark, self.log_start_offset) != (bounds.high_watermark, bounds.log_start_offset)
    }

    fn remember(&mut self, told: Outcome) {
        // After an error the client has to hear of the partition again, also at bounds that it knew before.
        self.high_watermark = if told.is_error { -1 } else { told.high_watermark };
        self.log_start_offset = told.log_start_offset;
    }
}

/// What a partition has to say in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// As in the answer: -1 with an error.
    pub high_watermark: i64,
    /// As in the answer: -1 with an error.
    pub log_start_offset: i64,
    /// Whether it has an error.
    pub is_error: bool,
    /// Whether it has records.
    pub has_records: bool,
}

/// A session between two requests, or with one that is being answered.
#[derive(Debug)]
pub struct Session {
    /// The epoch that the next request has to name.
    epoch: i32,
    by_id: bool,
    partitions: Vec<Cached>,
    /// Where each partition is in the list.
    places: HashMap<TopicKey, HashMap<i32, usize>>,
    names_bytes: usize,
    next_turn: u64,
    /// The version of the catalog in which the partitions were looked up.
    topics_version: u64,
    closed: bool,
}

/// The epoch after `epoch`: 1 after the largest.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

/// What a session of so many partitions and topics takes, whose names together have so many bytes.
pub fn size(partitions: usize, topics: usize, names_bytes: usize) -> Size {
    Size {
        partitions,
        bytes: size_of::<Session>() + partitions * PARTITION_BYTES + topics * TOPIC_BYTES + names_bytes,
    }
}

impl Session {
    /// A session after the answer to its first request, whose partitions it has in the order of the answer; of one that is named twice the
    /// last counts. `by_id`: whether topics are named by id. `topics_version` is that of the catalog in which they were looked up.
    pub fn new(by_id: bool, topics_version: u64, answered: impl IntoIterator<Item = (Wanted, Outcome)>) -> Self {
        let mut session = Session {
            epoch: next_epoch(INITIAL_EPOCH),
            by_id,
            partitions: Vec::new(),
            places: HashMap::new(),
            names_bytes: 0,
            next_turn: 0,
            topics_version,
            closed: false,
        };
        for (wanted, outcome) in answered {
            let place = session.put(&wanted);
            session.partitions[place].remember(outcome);
        }
        session
    }

    /// Takes in a request: partitions that it adds or asks for at another offset, and partitions that it forgets. `topics` is what the
    /// request's partitions were looked up in. Returns the epoch that is the request's own for [`Session::is_current`], or `None` if no
    /// partition is left: then the session is to be closed, and the request answered without it.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND (70) once it is closed; INVALID_FETCH_SESSION_EPOCH (71) for another epoch than the next;
    /// FETCH_SESSION_TOPIC_ID_ERROR (106) if the request names topics otherwise than the session. Nothing is changed then.
    pub fn begin(
        &mut self,
        epoch: i32,
        by_id: bool,
        wanted: &[Wanted],
        forgotten: &[(TopicKey, Vec<i32>)],
        topics: &Topics,
    ) -> Result<Option<i32>, ResponseError> {
        if self.closed {
            return Err(ResponseError::FetchSessionIdNotFound);
        }
        if epoch != self.epoch {
            return Err(ResponseError::InvalidFetchSessionEpoch);
        }
        if by_id != self.by_id {
            return Err(ResponseError::FetchSessionTopicIdError);
        }
        for partition in wanted {
            self.put(partition);
        }
        for (topic, partitions) in forgotten {
            for partition in partitions {
                self.forget(topic, *partition);
            }
        }
        if self.partitions.is_empty() {
            return Ok(None);
        }
        self.look_up(topics);
        self.epoch = next_epoch(epoch);
        Ok(Some(self.epoch))
    }

    /// Whether no other request has begun since the one that got this epoch from [`Session::begin`], and the session is not closed.
    pub fn is_current(&self, epoch: i32) -> bool {
        !self.closed && self.epoch == epoch
    }

    /// All partitions, by their places, which stay the same until the next request begins.
    pub fn partitions(&self) -> &[Cached] {
        &self.partitions
    }

    /// Brings places into the order in which they are to be answered, each once: partitions that do not exist come last, as in Kafka.
    pub fn in_turn(&self, places: &mut Vec<u32>) {
        let partition = |place: u32| self.partitions.get(place as usize);
        places.retain(|place| partition(*place).is_some());
        places.sort_unstable_by_key(|place| partition(*place).map(|cached| (cached.wanted.found.is_err(), cached.turn)));
        places.dedup();
    }

    /// The client is told this of a partition, if the answer has to have it: records, an error, or bounds that it was not told before.
    /// Returns whether it has to.
    pub fn tell(&mut self, place: usize, outcome: Outcome) -> bool {
        let turn = self.next_turn;
        let Some(cached) = self.partitions.get_mut(place) else {
            return false;
        };
        let bounds = (outcome.high_watermark, outcome.log_start_offset);
        let is_news = outcome.is_error || outcome.has_records || (cached.high_watermark, cached.log_start_offset) != bounds;
        cached.remember(outcome);
        if outcome.has_records {
            cached.turn = turn;
            self.next_turn += 1;
        }
        is_news
    }

    /// What it takes.
    pub fn size(&self) -> Size {
        size(self.partitions.len(), self.places.len(), self.names_bytes)
    }

    /// Gives everything up; a request that is still being answered is not current any more.
    pub fn close(&mut self) {
        self.closed = true;
        self.partitions = Vec::new();
        self.places = HashMap::new();
    }

    fn put(&mut self, wanted: &Wanted) -> usize {
        // The key that is there already: every request has a copy of the name.
        let topic = match self.places.get_key_value(&wanted.topic) {
            Some((topic, _)) => topic.clone(),
            None => {
                self.names_bytes += wanted.topic.name_bytes();
                wanted.topic.clone()
            }
        };
        let next = self.partitions.len();
        let place = *self
            .places
            .entry(topic.clone())
            .or_default()
            .entry(wanted.partition)
            .or_insert(next);
        let mut wanted = Wanted { topic, ..wanted.clone() };
        if let Some(cached) = self.partitions.get_mut(place) {
            wanted.found = found_later(&cached.wanted.found, wanted.found);
            cached.wanted = wanted;
            return place;
        }
        self.partitions.push(Cached {
            wanted,
            high_watermark: -1,
            log_start_offset: -1,
            turn: self.next_turn,
        });
        self.next_turn += 1;
        place
    }

    fn forget(&mut self, topic: &TopicKey, partition: i32) {
        let Some(places) = self.places.get_mut(topic) else { return };
        let Some(place) = places.remove(&partition) else { return };
        if places.is_empty() {
            self.places.remove(topic);
            self.names_bytes -= topic.name_bytes();
        }
        self.partitions.swap_remove(place);
        let Some(moved) = self.partitions.get(place) else { return };
        if let Some(places) = self.places.get_mut(&moved.wanted.topic) {
            places.insert(moved.wanted.partition, place);
        }
    }

    /// Looks all partitions up again if topics have changed.
    fn look_up(&mut self, topics: &Topics) {
        if self.topics_version == topics.version() {
            return;
        }
        self.topics_version = topics.version();
        for (topic, places) in &self.places {
            let topic = topic.find(topics);
            for (partition, place) in places {
                let found = &mut self.partitions[*place].wanted.found;
                *found = found_later(found, find_partition(topic, *partition));
            }
        }
    }
}

type Found = Result<Arc<Partition>, ResponseError>;

/// What a look-up comes to after an earlier one. As in Kafka, a session in which a topic was found by its id knows its name from then on,
/// so that it is an unknown topic when it is deleted, and not an unknown id.
fn found_later(before: &Found, now: Found) -> Found {
    match (before, now) {
        (Ok(_) | Err(ResponseError::UnknownTopicOrPartition), Err(ResponseError::UnknownTopicId)) => {
            Err(ResponseError::UnknownTopicOrPartition)
        }
        (_, now) => now,
    }
}
