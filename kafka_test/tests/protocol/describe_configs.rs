//! DescribeConfigs: every key of a topic with value, source and default flag; broker resources; what is not there.

use crate::code;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::DescribeConfigsRequest;
use kafka_protocol::protocol::StrBytes;
use kafka_test::connection::Connection;
use kafka_test::server::Server;
use kafka_test::topic::unique_name;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const TOPIC_CONFIG: i8 = 1;
const DYNAMIC_DEFAULT: i8 = 3;
const DEFAULT_CONFIG: i8 = 5;

/// Every config that a topic of Kafka 4.3 has, with its default.
const TOPIC_DEFAULTS: [(&str, &str); 31] = [
    ("cleanup.policy", "delete"),
    ("compression.gzip.level", "-1"),
    ("compression.lz4.level", "9"),
    ("compression.type", "producer"),
    ("compression.zstd.level", "3"),
    ("delete.retention.ms", "86400000"),
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", "9223372036854775807"),
    ("flush.ms", "9223372036854775807"),
    ("follower.replication.throttled.replicas", ""),
    ("index.interval.bytes", "4096"),
    ("leader.replication.throttled.replicas", ""),
    ("local.retention.bytes", "-2"),
    ("local.retention.ms", "-2"),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("remote.log.copy.disable", "false"),
    ("remote.log.delete.on.disable", "false"),
    ("remote.storage.enable", "false"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("segment.index.bytes", "10485760"),
    ("segment.jitter.ms", "0"),
];

fn resource(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResource {
    let keys = keys.map(|keys| keys.iter().map(|k| StrBytes::from_string((*k).to_owned())).collect());
    DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_string(name.to_owned()))
        .with_configuration_keys(keys)
}

fn describe(connection: &mut Connection, version: i16, resource: DescribeConfigsResource) -> DescribeConfigsResult {
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true);
    let mut reply = connection.call(version, &request);
    assert_eq!(reply.results.len(), 1, "results about one resource");
    reply.results.remove(0)
}

fn entry<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    let found = result.configs.iter().find(|c| c.name.as_str() == name);
    found.unwrap_or_else(|| panic!("config {name} is missing"))
}

/// Goal: every version lists every key of a topic with its default value and the source DEFAULT_CONFIG; none of them looks like an
/// override, which tools would copy.
#[test]
fn every_key_of_a_topic_is_there() {
    let server = Server::shared();
    let topic = server.topic("config-defaults", 1);
    let mut connection = server.connect();
    for version in 1..=4 {
        let result = describe(&mut connection, version, resource(TOPIC, &topic.name, None));
        assert_eq!((result.error_code, result.resource_type), (0, TOPIC), "version {version}");
        assert_eq!(result.resource_name.as_str(), topic.name);
        for (name, default) in TOPIC_DEFAULTS {
            let found = entry(&result, name);
            assert_eq!(found.value.as_deref(), Some(default), "default of {name}");
            assert!(!found.read_only && !found.is_sensitive, "{name} can be set and read");
            // What the broker's own start-up settings fix is not a default, but no override of the topic either.
            assert_ne!(found.config_source, TOPIC_CONFIG, "{name} is not set on the topic");
        }
        assert_eq!(
            entry(&result, "retention.ms").config_source,
            DEFAULT_CONFIG,
            "version {version}"
        );
    }
}

/// Goal: what was set at creation is a topic config, in value and source, and its synonyms end with the default.
#[test]
fn a_set_config_is_a_topic_config() {
    let server = Server::shared();
    let topic = server.topic_with(
        "config-set",
        1,
        &[("segment.bytes", "12345678"), ("cleanup.policy", "compact,delete")],
    );
    let mut connection = server.connect();
    for version in 1..=4 {
        let result = describe(&mut connection, version, resource(TOPIC, &topic.name, None));
        for (name, value) in [("segment.bytes", "12345678"), ("cleanup.policy", "compact,delete")] {
            let found = entry(&result, name);
            assert_eq!(
                (found.value.as_deref(), found.config_source),
                (Some(value), TOPIC_CONFIG),
                "{name}"
            );
        }
        let synonyms: Vec<(&str, Option<&str>, i8)> = entry(&result, "segment.bytes")
            .synonyms
            .iter()
            .map(|s| (s.name.as_str(), s.value.as_deref(), s.source))
            .collect();
        let expected = [
            ("segment.bytes", Some("12345678"), TOPIC_CONFIG),
            ("log.segment.bytes", Some("1073741824"), DEFAULT_CONFIG),
        ];
        assert_eq!(synonyms, expected, "version {version}");
        if version >= 3 {
            assert_eq!(entry(&result, "retention.ms").config_type, 5, "LONG");
            assert_eq!(entry(&result, "cleanup.policy").config_type, 7, "LIST");
            assert_eq!(entry(&result, "preallocate").config_type, 1, "BOOLEAN");
        }
    }
}

/// Goal: asked for some keys, the reply has those that exist and no others.
#[test]
fn only_the_keys_asked_for() {
    let server = Server::shared();
    let topic = server.topic("config-some", 1);
    let mut connection = server.connect();
    for version in 1..=4 {
        let keys: &[&str] = &["retention.ms", "no.such.key", "segment.bytes"];
        let result = describe(&mut connection, version, resource(TOPIC, &topic.name, Some(keys)));
        let mut names: Vec<&str> = result.configs.iter().map(|c| c.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["retention.ms", "segment.bytes"], "version {version}");
    }
}

/// Goal: synonyms and documentation come only when asked for.
#[test]
fn synonyms_and_documentation_on_demand() {
    let server = Server::shared();
    let topic = server.topic("config-docs", 1);
    let mut connection = server.connect();
    let request = DescribeConfigsRequest::default().with_resources(vec![resource(TOPIC, &topic.name, None)]);
    let plain = connection.call(4, &request);
    assert!(plain.results[0]
        .configs
        .iter()
        .all(|c| c.synonyms.is_empty() && c.documentation.is_none()));
    let documented = connection.call(4, &request.with_include_documentation(true));
    assert!(entry(&documented.results[0], "retention.ms")
        .documentation
        .as_ref()
        .is_some_and(|d| d.len() > 20));
}

/// Goal: this broker's settings are there, among them the log's defaults that tools read.
#[test]
fn a_broker_is_a_resource() {
    let mut connection = Server::shared().connect();
    for version in 1..=4 {
        let result = describe(&mut connection, version, resource(BROKER, "1", None));
        assert_eq!((result.error_code, result.resource_type), (0, BROKER), "version {version}");
        assert_eq!(entry(&result, "num.partitions").value.as_deref(), Some("3"));
        assert_eq!(entry(&result, "message.max.bytes").value.as_deref(), Some("1048588"));
        assert_eq!(entry(&result, "auto.create.topics.enable").value.as_deref(), Some("true"));
    }
}

/// Goal: the broker named "" stands for the cluster's dynamic defaults, not for the settings of any broker.
#[test]
fn the_empty_broker_has_the_dynamic_defaults() {
    let mut connection = Server::shared().connect();
    let result = describe(&mut connection, 4, resource(BROKER, "", None));
    assert_eq!(result.error_code, 0);
    assert!(
        result.configs.iter().all(|c| c.config_source == DYNAMIC_DEFAULT),
        "{:?}",
        result.configs
    );
}

/// Goal: what does not exist: a topic (3), an impossible name (17), another broker (42), each beside a good one.
#[test]
fn what_does_not_exist_is_refused() {
    let server = Server::shared();
    let topic = server.topic("config-beside", 1);
    let mut connection = server.connect();
    for version in 1..=4 {
        let missing = unique_name("missing");
        let resources = vec![
            resource(TOPIC, &missing, None),
            resource(TOPIC, "a b", None),
            resource(BROKER, "7", None),
            resource(BROKER, "one", None),
            resource(TOPIC, &topic.name, None),
        ];
        let reply = connection.call(version, &DescribeConfigsRequest::default().with_resources(resources));
        let code_of = |name: &str| {
            let result = reply.results.iter().find(|r| r.resource_name.as_str() == name);
            result.unwrap_or_else(|| panic!("no result about {name}")).error_code
        };
        assert_eq!(code_of(&missing), code::UNKNOWN_TOPIC_OR_PARTITION, "version {version}");
        assert_eq!(code_of("a b"), code::INVALID_TOPIC);
        assert_eq!(code_of("7"), code::INVALID_REQUEST);
        assert_eq!(code_of("one"), code::INVALID_REQUEST);
        assert_eq!(code_of(&topic.name), 0);
    }
}

/// Goal: a type of resource that does not exist makes the whole request invalid.
#[test]
fn an_unknown_type_refuses_the_request() {
    let server = Server::shared();
    let topic = server.topic("config-type", 1);
    let resources = vec![resource(1, "x", None), resource(TOPIC, &topic.name, None)];
    let reply = server
        .connect()
        .call(4, &DescribeConfigsRequest::default().with_resources(resources));
    let codes: Vec<i16> = reply.results.iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [code::INVALID_REQUEST; 2]);
}
