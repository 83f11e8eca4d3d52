//! Scripts with a manual clock. Goal: every answer of a group to every kind of request is the one that Kafka 4.3.1 gives.

mod durability;
mod epochs;
mod offsets;
mod regexes;
mod simulation;
mod statics;
mod table;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::*;

/// Topics that a test changes at will.
#[derive(Debug, Clone, Default)]
pub(super) struct Topics {
    by_name: BTreeMap<String, TopicFacts>,
    version: u64,
}

impl Topics {
    pub fn with(topics: &[(&str, i32)]) -> Self {
        let mut image = Topics::default();
        for (name, partitions) in topics {
            image.set(name, *partitions);
        }
        image
    }

    /// Creates the topic, or gives it more partitions.
    pub fn set(&mut self, name: &str, partitions: i32) -> Uuid {
        self.version += 1;
        let fresh = Uuid::from_u128(u128::from(self.version));
        let facts = self.by_name.entry(name.to_owned()).or_insert_with(|| TopicFacts {
            id: fresh,
            name: name.to_owned(),
            partitions,
        });
        facts.partitions = partitions;
        facts.id
    }

    pub fn delete(&mut self, name: &str) {
        self.version += 1;
        self.by_name.remove(name);
    }

    pub fn id(&self, name: &str) -> Uuid {
        self.by_name[name].id
    }

    /// Partitions by the name of their topic.
    pub fn partitions(&self, list: &[(&str, &[i32])]) -> Partitions {
        list.iter()
            .map(|(name, partitions)| (self.id(name), partitions.iter().copied().collect()))
            .collect()
    }
}

impl TopicsImage for Topics {
    fn by_name(&self, name: &str) -> Option<TopicFacts> {
        self.by_name.get(name).cloned()
    }

    fn by_id(&self, id: &Uuid) -> Option<TopicFacts> {
        self.by_name.values().find(|facts| facts.id == *id).cloned()
    }

    fn for_each_name(&self, visit: &mut dyn FnMut(&str)) {
        self.by_name.keys().for_each(|name| visit(name));
    }

    fn version(&self) -> u64 {
        self.version
    }
}

/// A heartbeat that says nothing new.
pub(super) fn beat(member_id: &str, member_epoch: i32) -> HeartbeatRequest {
    HeartbeatRequest {
        version: 1,
        member_id: member_id.to_owned(),
        fresh_member_id: "fresh".to_owned(),
        member_epoch,
        instance_id: None,
        rack_id: None,
        rebalance_timeout_ms: -1,
        subscribed_topic_names: None,
        subscribed_topic_regex: None,
        server_assignor: None,
        owned: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
    }
}

/// A join that subscribes to `names`, with a rebalance timeout of 10 s.
pub(super) fn join(member_id: &str, names: &[&str]) -> HeartbeatRequest {
    HeartbeatRequest {
        rebalance_timeout_ms: 10_000,
        subscribed_topic_names: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        owned: Some(Partitions::new()),
        ..beat(member_id, JOIN_EPOCH)
    }
}

impl HeartbeatRequest {
    pub(super) fn instance(mut self, instance_id: &str) -> Self {
        self.instance_id = Some(instance_id.to_owned());
        self
    }

    pub(super) fn owning(mut self, owned: &Partitions) -> Self {
        self.owned = Some(owned.clone());
        self
    }

    pub(super) fn regex(mut self, regex: &str) -> Self {
        self.subscribed_topic_regex = Some(regex.to_owned());
        self
    }
}

/// The reply to a heartbeat of this protocol.
pub(super) fn heartbeat_reply(reply: Reply) -> HeartbeatReply {
    match reply {
        Reply::Heartbeat(reply) => reply,
        other => panic!("{other:?}"),
    }
}

/// A group whose every change is durable at once.
pub(super) struct Script {
    pub group: ConsumerGroup<u32>,
    pub settings: ConsumerSettings,
    pub topics: Topics,
    pub now: Instant,
    sent: u32,
}

impl Script {
    /// Target assignments are not delayed, unless a test says so.
    pub fn new(topics: &[(&str, i32)]) -> Self {
        let settings = ConsumerSettings {
            assignment_interval: Duration::ZERO,
            ..ConsumerSettings::default()
        };
        Script {
            group: ConsumerGroup::new("group"),
            settings,
            topics: Topics::with(topics),
            now: Instant::now(),
            sent: 0,
        }
    }

    /// Sends without making anything durable.
    pub fn send(&mut self, request: HeartbeatRequest) -> u32 {
        self.sent += 1;
        self.group
            .heartbeat(&self.settings, &self.topics, self.now, request, self.sent);
        self.sent
    }

    /// Sends and takes the answer.
    pub fn ask(&mut self, request: HeartbeatRequest) -> HeartbeatReply {
        let waiter = self.send(request);
        while let Some(persist) = self.group.poll_persist() {
            self.group.persisted(persist.token);
        }
        let (answered, reply) = self.group.poll_reply().unwrap();
        let reply = heartbeat_reply(reply);
        assert_eq!(answered, waiter);
        assert!(self.group.poll_reply().is_none());
        reply
    }

    /// Sends what must be accepted. Returns epoch and assignment.
    pub fn accepted(&mut self, request: HeartbeatRequest) -> (i32, Option<Partitions>) {
        let heartbeat = self.ask(request).unwrap();
        (heartbeat.member_epoch, heartbeat.assignment)
    }

    pub fn refused(&mut self, request: HeartbeatRequest) -> ResponseError {
        self.ask(request).unwrap_err().code()
    }

    pub fn member(&self, member_id: &str) -> &StoredMember {
        &self.group.members.get(member_id).unwrap().stored
    }

    pub fn sleep(&mut self, time: Duration) {
        self.now += time;
        self.group.handle_timeout(&self.settings, &self.topics, self.now);
    }

    pub fn of(&self, list: &[(&str, &[i32])]) -> Option<Partitions> {
        Some(self.topics.partitions(list))
    }
}
