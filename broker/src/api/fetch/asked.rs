//! A Fetch request without the frame that it came in.

use std::sync::Arc;

use kafka_protocol::messages::fetch_request::{FetchRequest, FetchTopic};
use kafka_protocol::messages::TopicName;
use uuid::Uuid;

use super::TOPIC_IDS;
use crate::catalog::Topics;
use crate::fetch::wanted::{find_partition, TopicKey, Wanted};
use crate::limits::SMALL_FETCH_BYTES;
use crate::log::waiters::REGISTRATION_BYTES;

/// What a Fetch needs, without a part of its frame: a frame can be far larger than what it asks for.
pub struct Asked {
    /// Milliseconds to wait for `min_bytes`, as sent.
    pub max_wait_ms: i32,
    /// Bytes to wait for, as sent.
    pub min_bytes: i32,
    /// Bytes of records wanted at most, as sent.
    pub max_bytes: i32,
    /// As sent: 0 is read_uncommitted, 1 read_committed.
    pub isolation_level: i8,
    /// The session it names; 0 is none.
    pub session_id: i32,
    /// The epoch in that session; -1 below version 7, which has no sessions.
    pub session_epoch: i32,
    /// What it asks for, in its order.
    pub wanted: Vec<Wanted>,
    /// Partitions to take out of the session.
    pub forgotten: Vec<(TopicKey, Vec<i32>)>,
    /// The topics in which what it asks for was looked up.
    pub topics: Arc<Topics>,
}

impl Asked {
    /// What a request of this version asks for among these topics.
    pub fn of(version: i16, body: &FetchRequest, topics: Arc<Topics>) -> Self {
        let mut wanted = Vec::with_capacity(body.topics.iter().map(|topic| topic.partitions.len()).sum());
        for topic in &body.topics {
            wanted.extend(partitions(topic, key(version, &topic.topic, topic.topic_id), &topics));
        }
        let forgotten = body
            .forgotten_topics_data
            .iter()
            .map(|topic| (key(version, &topic.topic, topic.topic_id), topic.partitions.clone()))
            .collect();
        Asked {
            max_wait_ms: body.max_wait_ms,
            min_bytes: body.min_bytes,
            max_bytes: body.max_bytes,
            isolation_level: body.isolation_level,
            session_id: body.session_id,
            session_epoch: body.session_epoch,
            wanted,
            forgotten,
            topics,
        }
    }

    /// Bytes that it holds of the receive budget while it waits; 0 for a small one.
    pub fn bytes_kept(&self) -> usize {
        let mut bytes = self.wanted.len() * (size_of::<Wanted>() + REGISTRATION_BYTES);
        bytes += self
            .forgotten
            .iter()
            .map(|(_, partitions)| size_of_val(&**partitions))
            .sum::<usize>();
        let mut last = None;
        for topic in self
            .wanted
            .iter()
            .map(|wanted| &wanted.topic)
            .chain(self.forgotten.iter().map(|(topic, _)| topic))
        {
            if last.replace(topic) != Some(topic) {
                bytes += topic.name_bytes();
            }
        }
        if bytes <= SMALL_FETCH_BYTES {
            0
        } else {
            bytes
        }
    }
}

fn key(version: i16, name: &TopicName, id: Uuid) -> TopicKey {
    match version {
        TOPIC_IDS.. => TopicKey::Id(id),
        _ => TopicKey::Name((***name).into()),
    }
}

fn partitions<'a>(asked: &'a FetchTopic, topic: TopicKey, topics: &'a Topics) -> impl Iterator<Item = Wanted> + 'a {
    let found = topic.find(topics).map(Arc::clone);
    asked.partitions.iter().map(move |partition| Wanted {
        topic: topic.clone(),
        partition: partition.partition,
        fetch_offset: partition.fetch_offset,
        partition_max_bytes: partition.partition_max_bytes,
        current_leader_epoch: partition.current_leader_epoch,
        found: find_partition(found.as_ref().map_err(|error| *error), partition.partition),
    })
}
