//! DescribeConfigs, versions 1-4: every config of a topic or of this broker, with where its value comes from.
//!
//! * Topics (resource type 2): all keys of Kafka 4.3, set or not. A name that cannot be one is INVALID_TOPIC_EXCEPTION (17), an unknown
//!   one UNKNOWN_TOPIC_OR_PARTITION (3).
//! * Brokers (4): the node id for its configs; the empty name for the defaults of all brokers that were changed at run time, of which
//!   there are none; another id is INVALID_REQUEST (42). Everything is read only: settings are changed in Postgres.
//! * Broker loggers (8): the node id gets an empty list, since logging is Postgres's.
//! * Client metrics (16) and groups (32) are INVALID_REQUEST: neither exists. A type that Kafka does not know refuses the whole request.
//!
//! A resource named twice is answered once, so that a small request cannot ask for an answer of any size.
//!
//! Versions:
//!
//! * 1: sources and synonyms (KIP-226).
//! * 2: the reply is sent before throttling (KIP-219).
//! * 3: types and documentation (KIP-569).
//! * 4: flexible (KIP-482).

use std::collections::HashSet;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::broker_configs::{broker_configs, BrokerConfig};
use super::config_resource::{self as resource, invalid, Refusal};
use super::{Context, RequestInfo};
use crate::catalog::config_keys::ConfigKey;
use crate::catalog::configs::TopicConfigs;
use crate::catalog::names::check_name;
use crate::catalog::Topics;
use crate::settings::Settings;

/// Where a value comes from (Kafka `DescribeConfigsResponse.ConfigSource`).
pub mod source {
    /// Set for the topic.
    pub const TOPIC: i8 = 1;
    /// Set when the broker was started.
    pub const STATIC_BROKER: i8 = 4;
    /// Set nowhere.
    pub const DEFAULT: i8 = 5;
}

/// Answers the request.
pub async fn handle(context: &Context, _request: &RequestInfo, body: DescribeConfigsRequest) -> DescribeConfigsResponse {
    respond(&context.settings(), &context.catalog.topics(), &body)
}

fn respond(settings: &Settings, topics: &Topics, body: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let unknown = body
        .resources
        .iter()
        .find(|wanted| !resource::ALL.contains(&wanted.resource_type));
    let mut seen = HashSet::new();
    let once = |wanted: &&DescribeConfigsResource| seen.insert((wanted.resource_type, wanted.resource_name.clone()));
    let results = body.resources.iter().filter(once).map(|wanted| {
        let configs = match unknown {
            Some(unknown) => Err(invalid(format!(
                "Unexpected resource type UNKNOWN for resource {}",
                unknown.resource_name
            ))),
            None => describe(settings, topics, body, wanted),
        };
        let result = match configs {
            Ok(configs) => DescribeConfigsResult::default().with_configs(configs),
            Err((error, message)) => DescribeConfigsResult::default()
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message))),
        };
        result
            .with_resource_type(wanted.resource_type)
            .with_resource_name(wanted.resource_name.clone())
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

fn describe(
    settings: &Settings,
    topics: &Topics,
    body: &DescribeConfigsRequest,
    wanted: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, Refusal> {
    let name = wanted.resource_name.as_str();
    let asked = |key: &str| match &wanted.configuration_keys {
        Some(keys) if !keys.is_empty() => keys.iter().any(|asked| asked.as_str() == key),
        _ => true,
    };
    match wanted.resource_type {
        resource::TOPIC => {
            check_name(name).map_err(|error| (ResponseError::InvalidTopicException, error.to_string()))?;
            let topic = topics
                .by_name(name)
                .ok_or((ResponseError::UnknownTopicOrPartition, String::new()))?;
            let keys = topic.configs.described_keys().filter(|key| asked(key.name));
            Ok(keys.map(|key| topic_entry(&topic.configs, key, body)).collect())
        }
        resource::BROKER if name.is_empty() => Ok(Vec::new()),
        resource::BROKER => {
            check_broker(settings, name, " or empty string,")?;
            let configs = broker_configs(settings).into_iter().filter(|config| asked(config.name));
            Ok(configs.map(|config| broker_entry(config, body)).collect())
        }
        resource::BROKER_LOGGER if name.is_empty() => Err(invalid("Broker id must not be empty")),
        resource::BROKER_LOGGER => check_broker(settings, name, "").map(|()| Vec::new()),
        other => Err(resource::unsupported(other)),
    }
}

fn check_broker(settings: &Settings, name: &str, or_empty: &str) -> Result<(), Refusal> {
    let expected = settings.node_id;
    match name.parse::<i32>() {
        Ok(id) if id == expected => Ok(()),
        Ok(_) => Err(invalid(format!(
            "Unexpected broker id, expected {expected}{or_empty} but received {name}"
        ))),
        Err(_) => Err(invalid(format!("Broker id must be an integer, but it is: {name}"))),
    }
}

fn topic_entry(configs: &TopicConfigs, key: &'static ConfigKey, body: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let (set, value) = configs.describe(key);
    let own = set.then(|| synonym(key.name, value.clone(), source::TOPIC));
    let static_brokers = configs.defaults().set(key.name);
    let static_brokers = static_brokers.map(|(name, value)| synonym(name, Some(value), source::STATIC_BROKER));
    let brokers = key
        .broker_key
        .map(|name| synonym(name, key.default.map(str::to_owned), source::DEFAULT));
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(key.name))
        .with_value(value.map(StrBytes::from_string))
        .with_config_source(source_of(configs, key))
        .with_synonyms(asked_synonyms(body, [own, static_brokers, brokers]))
        .with_config_type(key.kind.id())
        .with_documentation(asked_documentation(body, key.documentation))
}

/// Where the value of a topic's config comes from: the topic, a setting of the broker, or Kafka's default.
pub(super) fn source_of(configs: &TopicConfigs, key: &ConfigKey) -> i8 {
    if configs.overrides.contains_key(key.name) {
        source::TOPIC
    } else if configs.defaults().set(key.name).is_some() {
        source::STATIC_BROKER
    } else {
        source::DEFAULT
    }
}

fn broker_entry(config: BrokerConfig, body: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let set = config.value != config.default || matches!(config.name, "node.id" | "broker.id");
    let own = set.then(|| synonym(config.name, config.value.clone(), source::STATIC_BROKER));
    let default = config
        .default
        .map(|default| synonym(config.name, Some(default), source::DEFAULT));
    DescribeConfigsResourceResult::default()
        .with_name(StrBytes::from_static_str(config.name))
        .with_value(config.value.map(StrBytes::from_string))
        .with_read_only(true)
        .with_config_source(if set { source::STATIC_BROKER } else { source::DEFAULT })
        .with_synonyms(asked_synonyms(body, [own, None, default]))
        .with_config_type(config.kind.id())
        .with_documentation(asked_documentation(body, config.documentation))
}

fn synonym(name: &'static str, value: Option<String>, source: i8) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_static_str(name))
        .with_value(value.map(StrBytes::from_string))
        .with_source(source)
}

fn asked_synonyms(body: &DescribeConfigsRequest, synonyms: [Option<DescribeConfigsSynonym>; 3]) -> Vec<DescribeConfigsSynonym> {
    if !body.include_synonyms {
        return Vec::new();
    }
    synonyms.into_iter().flatten().collect()
}

fn asked_documentation(body: &DescribeConfigsRequest, documentation: &'static str) -> Option<StrBytes> {
    body.include_documentation.then(|| StrBytes::from_static_str(documentation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::table::ApiKey;
    use crate::catalog::config_keys::config_key;
    use crate::catalog::configs::TopicDefaults;
    use crate::catalog::sample;
    use std::sync::Arc;

    fn wanted(resource_type: i8, name: &str) -> DescribeConfigsResource {
        DescribeConfigsResource::default()
            .with_resource_type(resource_type)
            .with_resource_name(StrBytes::from_string(name.to_owned()))
            .with_configuration_keys(None)
    }

    fn ask_at(version: i16, resources: Vec<DescribeConfigsResource>) -> DescribeConfigsResponse {
        let mut topics = Topics::default();
        let overrides = [("retention.ms", " 5"), ("max.message.bytes", "100")];
        topics.insert(Arc::new(sample::topic(1, "t", 1, &overrides)));
        let body = DescribeConfigsRequest::default()
            .with_resources(resources)
            .with_include_synonyms(true)
            .with_include_documentation(version >= 3);
        let response = respond(&Settings::default(), &topics, &body);
        assert_encodes(ApiKey::DescribeConfigs, version, &response);
        response
    }

    fn ask(resource_type: i8, name: &str) -> DescribeConfigsResult {
        ask_at(4, vec![wanted(resource_type, name)]).results.remove(0)
    }

    fn find<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
        result.configs.iter().find(|config| config.name.as_str() == name).unwrap()
    }

    fn synonyms(config: &DescribeConfigsResourceResult) -> Vec<(&str, Option<&str>, i8)> {
        config
            .synonyms
            .iter()
            .map(|synonym| (synonym.name.as_str(), synonym.value.as_deref(), synonym.source))
            .collect()
    }

    #[test]
    fn every_version_describes_every_key_of_a_topic() {
        for version in ApiKey::DescribeConfigs.api().served.iter() {
            let response = ask_at(version, vec![wanted(resource::TOPIC, "t"), wanted(resource::BROKER, "1")]);
            assert_eq!(response.results[0].error_code, 0);
            assert_eq!(response.results[0].configs.len(), 33);
            assert!(response.results[1].configs.len() > 40);
        }
    }

    #[test]
    fn a_set_value_has_the_topic_as_its_source() {
        let result = ask(resource::TOPIC, "t");
        let set = find(&result, "retention.ms");
        assert_eq!((set.value.as_deref(), set.config_source, set.config_type), (Some("5"), 1, 5));
        assert_eq!(synonyms(set), [("retention.ms", Some("5"), 1)]);
        let both = find(&result, "max.message.bytes");
        let expected = [
            ("max.message.bytes", Some("100"), 1),
            ("message.max.bytes", Some("1048588"), 5),
        ];
        assert_eq!(synonyms(both), expected);
        let default = find(&result, "cleanup.policy");
        assert_eq!((default.value.as_deref(), default.config_source), (Some("delete"), 5));
        assert_eq!(synonyms(default), [("log.cleanup.policy", Some("delete"), 5)]);
        assert!(default.documentation.as_ref().is_some_and(|text| !text.is_empty()));
    }

    #[test]
    fn a_setting_of_the_broker_stands_between_the_topic_and_the_default() {
        let defaults = TopicDefaults {
            segment_bytes: 1 << 20,
            ..TopicDefaults::default()
        };
        let describe = |overrides: &[(&str, &str)], key| {
            let overrides = overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            let configs = TopicConfigs::new(overrides.collect(), &defaults);
            let body = DescribeConfigsRequest::default().with_include_synonyms(true);
            topic_entry(&configs, config_key(key).unwrap(), &body)
        };
        let set = ("log.segment.bytes", Some("1048576"), source::STATIC_BROKER);
        let default = ("log.segment.bytes", Some("1073741824"), source::DEFAULT);
        let broker = describe(&[], "segment.bytes");
        assert_eq!(
            (broker.value.as_deref(), broker.config_source),
            (Some("1048576"), source::STATIC_BROKER)
        );
        assert_eq!(synonyms(&broker), [set, default]);
        let topic = describe(&[("segment.bytes", "2000000")], "segment.bytes");
        assert_eq!(
            (topic.value.as_deref(), topic.config_source),
            (Some("2000000"), source::TOPIC)
        );
        assert_eq!(
            synonyms(&topic),
            [("segment.bytes", Some("2000000"), source::TOPIC), set, default]
        );
        assert_eq!(describe(&[], "retention.bytes").config_source, source::DEFAULT);
    }

    #[test]
    fn only_the_keys_asked_for_are_described() {
        let keys = |keys: &[&'static str]| Some(keys.iter().map(|key| StrBytes::from_static_str(key)).collect());
        let count = |asked| {
            let topic = wanted(resource::TOPIC, "t").with_configuration_keys(asked);
            ask_at(1, vec![topic]).results[0].configs.len()
        };
        assert_eq!(count(keys(&["segment.bytes", "no.such.key"])), 1);
        assert_eq!(count(keys(&[])), 33);
    }

    #[test]
    fn refusals_have_the_codes_of_kafka() {
        let code = |resource_type, name| ask(resource_type, name).error_code;
        assert_eq!(code(resource::TOPIC, "none"), 3);
        assert_eq!(code(resource::TOPIC, "a b"), 17);
        assert_eq!(code(resource::BROKER, "2"), 42);
        assert_eq!(code(resource::BROKER, "x"), 42);
        assert_eq!(code(resource::BROKER, ""), 0);
        assert_eq!(code(resource::BROKER_LOGGER, ""), 42);
        assert_eq!(code(resource::BROKER_LOGGER, "1"), 0);
        assert_eq!(code(resource::GROUP, "g"), 42);
        assert_eq!(code(resource::CLIENT_METRICS, "m"), 42);
        assert_eq!(ask_at(4, vec![wanted(resource::BROKER, "1"); 9]).results.len(), 1);
        let response = ask_at(4, vec![wanted(resource::TOPIC, "t"), wanted(3, "x")]);
        assert!(response.results.iter().all(|result| result.error_code == 42));
    }
}
