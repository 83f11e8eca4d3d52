//! Topics as the network threads see them. Written by the database thread only (`storage::runner`), from what is committed;
//! everything in it can be rebuilt from the tables.

pub mod alter;
pub mod assignment;
pub mod config_keys;
pub mod config_values;
pub mod configs;
pub mod create;
pub mod deletion;
pub mod names;
pub mod partitions;
#[cfg(test)]
pub(crate) mod sample;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use uuid::Uuid;

use crate::log::partition::Partition;
use crate::storage::engine::TopicNumber;
use configs::TopicConfigs;

/// A topic. Immutable: a change of configs or partitions makes a new value with the same [`Partition`]s.
#[derive(Debug)]
pub struct Topic {
    /// Its number in the tables.
    pub number: TopicNumber,
    /// The topic id that clients see; never nil, new at each creation (KIP-516).
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// Its configs: overrides and what follows from them.
    pub configs: TopicConfigs,
    /// Partition 0, 1, 2, ...
    pub partitions: Vec<Arc<Partition>>,
}

impl Topic {
    /// The partition of this index; `None`: UNKNOWN_TOPIC_OR_PARTITION (3).
    pub fn partition(&self, index: i32) -> Option<&Arc<Partition>> {
        usize::try_from(index).ok().and_then(|index| self.partitions.get(index))
    }
}

/// All topics at one moment.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
    unread: BTreeMap<TopicNumber, Arc<str>>,
    version: u64,
}

impl Topics {
    /// The topic of this name; `None`: UNKNOWN_TOPIC_OR_PARTITION (3).
    pub fn by_name(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// The topic of this id; `None`: UNKNOWN_TOPIC_ID (100).
    pub fn by_id(&self, id: &Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(id)
    }

    /// Whether a topic of this name is there, but not served because its log cannot be read now.
    pub fn is_unread_name(&self, name: &str) -> bool {
        self.unread.values().any(|unread| **unread == *name)
    }

    /// Whether the topic of this number is there, but not served because its log cannot be read now.
    pub fn is_unread(&self, number: TopicNumber) -> bool {
        self.unread.contains_key(&number)
    }

    /// All topics that are there, but not served.
    pub fn unread(&self) -> &BTreeMap<TopicNumber, Arc<str>> {
        &self.unread
    }

    /// Says which topics are there, but not served.
    pub fn set_unread(&mut self, unread: BTreeMap<TopicNumber, Arc<str>>) {
        self.unread = unread;
    }

    /// A number that rises with each change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All topics, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// Adds a topic, or replaces the one of the same name.
    pub fn insert(&mut self, topic: Arc<Topic>) {
        if let Some(old) = self.by_name.insert(topic.name.clone(), topic.clone()) {
            self.by_id.remove(&old.id);
        }
        self.by_id.insert(topic.id, topic);
    }

    /// Removes the topic of this id.
    pub fn remove(&mut self, id: &Uuid) -> Option<Arc<Topic>> {
        let topic = self.by_id.remove(id)?;
        self.by_name.remove(&topic.name);
        Some(topic)
    }
}

/// The shared, changing set of topics, and what is known of the cluster.
#[derive(Debug)]
pub struct Catalog {
    cluster_id: String,
    leader_epoch: i32,
    topics: RwLock<Arc<Topics>>,
}

impl Catalog {
    /// A catalog without topics. `cluster_id` as Kafka's: 22 characters of base64url. `leader_epoch` is that of all partitions for
    /// the life of this broker (design I9).
    pub fn new(cluster_id: String, leader_epoch: i32) -> Self {
        Catalog {
            cluster_id,
            leader_epoch,
            topics: RwLock::default(),
        }
    }

    /// The cluster id, the same in Metadata and DescribeCluster.
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The leader epoch of every partition.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    /// The topics now; a request uses one snapshot throughout.
    pub fn topics(&self) -> Arc<Topics> {
        self.topics.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the topics by what `change` makes of them. For the database thread.
    pub fn update(&self, change: impl FnOnce(&mut Topics)) {
        let mut guard = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        let topics = Arc::make_mut(&mut guard);
        change(topics);
        topics.version += 1;
    }
}
