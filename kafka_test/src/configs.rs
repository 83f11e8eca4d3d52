//! Configs: changing them and reading them back.

use crate::connection::Connection;
use crate::patience::eventually;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;

/// The kind of resource that a topic is.
pub const TOPIC: i8 = 2;
/// The kind of resource that a broker is.
pub const BROKER: i8 = 4;
/// The kind of resource that a broker's loggers are.
pub const BROKER_LOGGER: i8 = 8;
/// The kind of resource that a subscription of client metrics is.
pub const CLIENT_METRICS: i8 = 16;
/// The kind of resource that a group is.
pub const GROUP: i8 = 32;

/// Source of a value: set for the topic.
pub const TOPIC_CONFIG: i8 = 1;
/// Source of a value: set nowhere.
pub const DEFAULT_CONFIG: i8 = 5;

/// A change of one config.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "named as in Kafka")]
pub enum Op<'a> {
    Set(&'a str),
    Delete,
    Append(&'a str),
    Subtract(&'a str),
    /// Any number, with or without a value.
    Raw(i8, Option<&'a str>),
}

impl<'a> Op<'a> {
    fn parts(self) -> (i8, Option<&'a str>) {
        match self {
            Op::Set(value) => (0, Some(value)),
            Op::Delete => (1, None),
            Op::Append(value) => (2, Some(value)),
            Op::Subtract(value) => (3, Some(value)),
            Op::Raw(number, value) => (number, value),
        }
    }
}

/// A name or a value as a request carries it.
pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// The part of an IncrementalAlterConfigs request that is about one resource.
pub fn alteration(kind: i8, name: &str, changes: &[(&str, Op<'_>)]) -> AlterConfigsResource {
    let config = |(key, op): &(&str, Op<'_>)| {
        let (number, value) = op.parts();
        AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(number)
            .with_value(value.map(text))
    };
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(changes.iter().map(config).collect())
}

/// Alters resources; error code and message of each, in order.
pub fn alter_all(connection: &mut Connection, version: i16, resources: Vec<AlterConfigsResource>) -> Vec<(i16, Option<String>)> {
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    let reply = connection.call(version, &request);
    let told = reply.responses.iter();
    told.map(|r| (r.error_code, r.error_message.as_ref().map(ToString::to_string)))
        .collect()
}

/// Alters a topic; error code and message.
pub fn alter(connection: &mut Connection, topic: &str, changes: &[(&str, Op<'_>)]) -> (i16, Option<String>) {
    let mut told = alter_all(connection, 1, vec![alteration(TOPIC, topic, changes)]);
    assert_eq!(told.len(), 1, "answers about one resource");
    told.remove(0)
}

/// Alters a topic, and waits until DescribeConfigs has each change: the answer of Apache Kafka may be earlier than its effect.
pub fn altered(connection: &mut Connection, topic: &str, changes: &[(&str, Op<'_>)]) {
    assert_eq!(alter(connection, topic, changes), (0, None));
    for (key, op) in changes {
        eventually(&format!("{key} of {topic} is changed"), || {
            let (value, source) = described(connection, TOPIC, topic, key);
            let changed = match op {
                Op::Set(wanted) => (value.as_deref(), source) == (Some(*wanted), TOPIC_CONFIG),
                Op::Delete => source != TOPIC_CONFIG,
                _ => source == TOPIC_CONFIG,
            };
            changed.then_some(())
        });
    }
}

/// The value of a config and its source.
pub fn described(connection: &mut Connection, kind: i8, name: &str, key: &str) -> (Option<String>, i8) {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(Some(vec![text(key)]));
    let reply = connection.call(4, &DescribeConfigsRequest::default().with_resources(vec![resource]));
    assert_eq!(reply.results[0].error_code, 0, "describe {name}");
    let found = reply.results[0]
        .configs
        .first()
        .unwrap_or_else(|| panic!("{name} has no {key}"));
    (found.value.as_ref().map(ToString::to_string), found.config_source)
}
