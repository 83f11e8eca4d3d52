//! Topics made for one test each.

use crate::connection::Connection;
use crate::patience::eventually;
use crate::requests::{list_offsets, Found};
use crate::server::Server;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{CreateTopicsRequest, MetadataRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use std::sync::atomic::{AtomicU32, Ordering};
use uuid::Uuid;

/// A topic that exists and whose partitions can be written and read.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id, never nil.
    pub id: Uuid,
}

impl Topic {
    /// The name as a request carries it.
    pub fn topic_name(&self) -> TopicName {
        topic_name(&self.name)
    }
}

/// A name as a request carries it.
pub fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

/// A name that no other test uses, also when several run against one server.
pub fn unique_name(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .subsec_nanos();
    format!(
        "{prefix}-{}-{nanos:x}-{}",
        std::process::id(),
        COUNTER.fetch_add(1, Ordering::Relaxed)
    )
}

/// The part of a CreateTopics request that describes one topic.
pub fn creatable(name: &str, partitions: i32, configs: &[(&str, &str)]) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(-1)
        .with_configs(
            configs
                .iter()
                .map(|(key, value)| {
                    CreatableTopicConfig::default()
                        .with_name(StrBytes::from_string((*key).to_owned()))
                        .with_value(Some(StrBytes::from_string((*value).to_owned())))
                })
                .collect(),
        )
}

impl Server {
    /// A topic with a name of its own, ready for use.
    pub fn topic(&self, prefix: &str, partitions: i32) -> Topic {
        self.topic_with(prefix, partitions, &[])
    }

    /// A topic with a name of its own and these configs, ready for use.
    pub fn topic_with(&self, prefix: &str, partitions: i32, configs: &[(&str, &str)]) -> Topic {
        let name = unique_name(prefix);
        let mut connection = self.connect();
        let request = CreateTopicsRequest::default()
            .with_timeout_ms(30_000)
            .with_topics(vec![creatable(&name, partitions, configs)]);
        let reply = connection.call(7, &request);
        let made = &reply.topics[0];
        assert_eq!(made.error_code, 0, "create {name}: {:?}", made.error_message);
        self.ready(&mut connection, &name)
    }

    /// Waits until all partitions of a topic can be used: a reply to CreateTopics may be earlier than that.
    pub fn ready(&self, connection: &mut Connection, name: &str) -> Topic {
        eventually(&format!("topic {name} is ready"), || {
            let found = metadata_of(connection, name);
            let topic = Topic {
                name: name.to_owned(),
                id: found.topic_id,
            };
            let led = found.error_code == 0
                && !found.partitions.is_empty()
                && found.partitions.iter().all(|p| p.error_code == 0 && p.leader_id.0 >= 0);
            let usable = led
                && (0..found.partitions.len() as i32)
                    .all(|p| matches!(list_offsets(connection, 7, &topic, p, -2), Found { error_code: 0, .. }));
            usable.then_some(topic)
        })
    }
}

/// What Metadata says about one topic, without making it.
pub fn metadata_of(connection: &mut Connection, name: &str) -> MetadataResponseTopic {
    let request = MetadataRequest::default()
        .with_allow_auto_topic_creation(false)
        .with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(topic_name(name)))]));
    let mut reply = connection.call(12, &request);
    assert_eq!(reply.topics.len(), 1, "topics in the metadata of one");
    reply.topics.remove(0)
}
