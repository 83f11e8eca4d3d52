//! Members of KIP-848 consumer groups, driven heartbeat by heartbeat.

use crate::connection::Connection;
use crate::groups::{group_id, text};
use crate::patience::eventually;
use crate::server::Server;
use crate::topic::{topic_name, Topic};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::consumer_group_heartbeat_response::Assignment;
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The newest version of ConsumerGroupHeartbeat.
pub const CONSUMER_GROUP_HEARTBEAT: i16 = 1;
/// Epoch with which a member joins.
pub const JOIN_EPOCH: i32 = 0;
/// Epoch with which a member leaves.
pub const LEAVE_EPOCH: i32 = -1;
/// Epoch with which a static member leaves for a while.
pub const LEAVE_FOR_A_WHILE_EPOCH: i32 = -2;

/// Partitions by topic id.
pub type Partitions = BTreeMap<Uuid, Vec<i32>>;

/// A heartbeat that says nothing but who sends it and its epoch.
pub fn keep_alive(group: &str, member_id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id(group))
        .with_member_id(text(member_id))
        .with_member_epoch(epoch)
}

/// The heartbeat with which a member joins: a rebalance timeout, a subscription, no partitions.
pub fn joining(group: &str, member_id: &str, topics: &[&Topic]) -> ConsumerGroupHeartbeatRequest {
    keep_alive(group, member_id, JOIN_EPOCH)
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(topics.iter().map(|topic| topic.topic_name()).collect()))
        .with_topic_partitions(Some(vec![]))
}

/// Partitions as a heartbeat lists them.
pub fn owning(partitions: &Partitions) -> Vec<TopicPartitions> {
    let entry = |(id, partitions): (&Uuid, &Vec<i32>)| {
        TopicPartitions::default()
            .with_topic_id(*id)
            .with_partitions(partitions.clone())
    };
    partitions.iter().map(entry).collect()
}

/// Partitions as an assignment lists them, sorted.
pub fn assigned(assignment: &Assignment) -> Partitions {
    let entries = assignment.topic_partitions.iter().map(|entry| {
        let mut partitions = entry.partitions.clone();
        partitions.sort_unstable();
        (entry.topic_id, partitions)
    });
    entries.collect()
}

/// How many partitions there are.
pub fn count(partitions: &Partitions) -> usize {
    partitions.values().map(Vec::len).sum()
}

/// A member that speaks the newest version and does what it is told: it takes what it is assigned and gives up at once what it is
/// assigned no more.
pub struct ConsumerMember {
    /// Its connection.
    pub connection: Connection,
    /// Its group.
    pub group: String,
    /// Its id, which it made itself.
    pub id: String,
    /// The name of a static member.
    pub instance_id: Option<String>,
    /// Its epoch.
    pub epoch: i32,
    /// What it owns.
    pub owned: Partitions,
}

impl ConsumerMember {
    /// A member that has not joined.
    pub fn new(server: &Server, group: &str) -> ConsumerMember {
        ConsumerMember {
            connection: server.connect(),
            group: group.to_owned(),
            id: Uuid::new_v4().to_string(),
            instance_id: None,
            epoch: JOIN_EPOCH,
            owned: Partitions::new(),
        }
    }

    /// Joins and panics on an error.
    pub fn join(&mut self, topics: &[&Topic]) -> ConsumerGroupHeartbeatResponse {
        let request = joining(&self.group, &self.id, topics).with_instance_id(self.instance_id.as_deref().map(text));
        let reply = self.send(&request);
        assert_eq!(reply.error_code, 0, "join: {:?}", reply.error_message);
        reply
    }

    /// Sends a heartbeat and remembers what the answer says.
    pub fn send(&mut self, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
        let reply = self.connection.call(CONSUMER_GROUP_HEARTBEAT, request);
        if reply.error_code == 0 {
            self.epoch = reply.member_epoch;
            if let Some(assignment) = &reply.assignment {
                self.owned = assigned(assignment);
            }
        }
        reply
    }

    /// A heartbeat that says nothing new.
    pub fn keep_alive(&mut self) -> ConsumerGroupHeartbeatResponse {
        let request = keep_alive(&self.group, &self.id, self.epoch).with_instance_id(self.instance_id.as_deref().map(text));
        self.send(&request)
    }

    /// A heartbeat that says what it owns.
    pub fn heartbeat(&mut self) -> ConsumerGroupHeartbeatResponse {
        let request = keep_alive(&self.group, &self.id, self.epoch)
            .with_instance_id(self.instance_id.as_deref().map(text))
            .with_topic_partitions(Some(owning(&self.owned)));
        self.send(&request)
    }

    /// Leaves for good; its error.
    pub fn leave(&mut self) -> i16 {
        let request = keep_alive(&self.group, &self.id, LEAVE_EPOCH).with_instance_id(self.instance_id.as_deref().map(text));
        self.connection.call(CONSUMER_GROUP_HEARTBEAT, &request).error_code
    }
}

/// Lets the members heartbeat until each owns so many partitions and all have one epoch.
pub fn settle(members: &mut [&mut ConsumerMember], counts: &[usize]) {
    eventually(&format!("the members own {counts:?}"), || {
        for member in members.iter_mut() {
            let reply = member.heartbeat();
            assert_eq!(reply.error_code, 0, "heartbeat: {:?}", reply.error_message);
        }
        let epoch = members[0].epoch;
        let settled = members
            .iter()
            .zip(counts)
            .all(|(m, wanted)| m.epoch == epoch && count(&m.owned) == *wanted);
        settled.then_some(())
    });
}

/// A subscription to topics by their names, whether they exist or not.
pub fn names(topics: &[&str]) -> Option<Vec<kafka_protocol::messages::TopicName>> {
    Some(topics.iter().map(|name| topic_name(name)).collect())
}
