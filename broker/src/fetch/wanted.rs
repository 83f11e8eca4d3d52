//! What a Fetch asks for.

use std::sync::Arc;

use kafka_protocol::ResponseError;
use uuid::Uuid;

use crate::catalog::{Topic, Topics};
use crate::log::partition::Partition;

/// How a Fetch names a topic: by name below version 13, by id from then on (KIP-516).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// By name.
    Name(Arc<str>),
    /// By id.
    Id(Uuid),
}

impl TopicKey {
    /// The topic.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION (3) for a name, UNKNOWN_TOPIC_ID (100) for an id.
    pub fn find<'t>(&self, topics: &'t Topics) -> Result<&'t Arc<Topic>, ResponseError> {
        match self {
            TopicKey::Name(name) => topics.by_name(name).ok_or(ResponseError::UnknownTopicOrPartition),
            TopicKey::Id(id) => topics.by_id(id).ok_or(ResponseError::UnknownTopicId),
        }
    }

    /// Bytes of its name, 0 for an id.
    pub fn name_bytes(&self) -> usize {
        match self {
            TopicKey::Name(name) => name.len(),
            TopicKey::Id(_) => 0,
        }
    }
}

/// One partition as a Fetch asks for it, found or not.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Its topic.
    pub topic: TopicKey,
    /// Its number in the topic.
    pub partition: i32,
    /// First offset wanted.
    pub fetch_offset: i64,
    /// Bytes of records wanted at most, as sent.
    pub partition_max_bytes: i32,
    /// Leader epoch that the client knows, -1 for none (KIP-320).
    pub current_leader_epoch: i32,
    /// The partition, or why there is none.
    pub found: Result<Arc<Partition>, ResponseError>,
}

impl Wanted {
    /// Bytes of records wanted at most; negative limits count as 0.
    pub fn max_bytes(&self) -> usize {
        usize::try_from(self.partition_max_bytes).unwrap_or(0)
    }
}

/// The partition of this number in what a topic's key led to.
///
/// # Errors
/// The topic's, and UNKNOWN_TOPIC_OR_PARTITION (3).
pub fn find_partition(topic: Result<&Arc<Topic>, ResponseError>, partition: i32) -> Result<Arc<Partition>, ResponseError> {
    topic?
        .partition(partition)
        .cloned()
        .ok_or(ResponseError::UnknownTopicOrPartition)
}
