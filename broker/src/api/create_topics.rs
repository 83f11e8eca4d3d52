//! CreateTopics, versions 2-7: topics with partitions and configs.
//!
//! What may be made is decided by [`crate::catalog::create`]. The topics of a request are made independently of each other, each in its
//! own transaction, and are durable and in Metadata when the answer comes. `timeout_ms` bounds how long a topic waits while
//! another session holds its name; then it is surely not made: REQUEST_TIMED_OUT (7). There is one node, so a replication factor
//! other than 1 and -1 is INVALID_REPLICATION_FACTOR (38). No quotas: never THROTTLING_QUOTA_EXCEEDED.
//!
//! * 2: error messages, `validate_only` (KIP-4), throttle time.
//! * 3: the reply is sent before throttling (KIP-219).
//! * 4: -1 for the default number of partitions and replicas (KIP-464). Taken in version 2 and 3 too, as Kafka does.
//! * 5: flexible (KIP-482); the response tells partitions, replicas and configs (KIP-525).
//! * 6: may be throttled (KIP-599).
//! * 7: topic ids in the response (KIP-516).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::describe_configs::source_of;
use super::{Context, RequestInfo};
use crate::catalog::configs::{TopicConfigs, TopicDefaults};
use crate::catalog::create::{check_topic, check_total, CreateError, CreateRules, TopicRequest};
use crate::catalog::Topics;
use crate::storage::engine::NewTopic;
use crate::storage::StorageError;

/// Answers the request when every topic of it is durable or surely refused.
pub async fn handle(context: &Context, request: &RequestInfo, body: CreateTopicsRequest) -> CreateTopicsResponse {
    let settings = context.settings();
    let rules = CreateRules {
        node_id: settings.node_id,
        default_partitions: settings.default_partitions,
    };
    let mut plan = Plan::new(&body, &context.catalog.topics(), &rules);
    if !body.validate_only {
        let deadline = Instant::now() + Duration::from_millis(u64::try_from(body.timeout_ms).unwrap_or_default());
        plan.carry_out(context, deadline).await;
    }
    plan.respond(request.version, &settings.topic_defaults)
}

/// One topic of the request: what is to be made, or why not.
struct Entry {
    name: TopicName,
    outcome: Result<NewTopic, (ResponseError, String)>,
}

struct Plan {
    entries: Vec<Entry>,
}

impl Plan {
    fn new(body: &CreateTopicsRequest, topics: &Topics, rules: &CreateRules) -> Self {
        let mut named: HashMap<&TopicName, usize> = HashMap::new();
        for topic in &body.topics {
            *named.entry(&topic.name).or_default() += 1;
        }
        let unique = || body.topics.iter().filter(|topic| named.get(&topic.name) == Some(&1));
        let requests: Vec<_> = unique().map(topic_request).collect();
        let too_many = check_total(&requests, rules).err();
        let mut entries: Vec<_> = unique()
            .zip(&requests)
            .map(|(topic, request)| Entry {
                name: topic.name.clone(),
                outcome: match &too_many {
                    Some(error) => Err(refused(error)),
                    None => check_topic(request, topics, rules).map_err(|error| refused(&error)),
                },
            })
            .collect();
        // Named twice, a topic has one entry in Kafka's answer, after the others.
        for topic in &body.topics {
            if named.remove(&topic.name).is_some_and(|times| times > 1) {
                entries.push(Entry {
                    name: topic.name.clone(),
                    outcome: Err((ResponseError::InvalidRequest, "Duplicate topic name.".to_owned())),
                });
            }
        }
        Plan { entries }
    }

    async fn carry_out(&mut self, context: &Context, deadline: Instant) {
        let mut creations = Vec::new();
        for entry in &mut self.entries {
            if let Ok(topic) = &entry.outcome {
                let (storage, topic) = (context.storage.clone(), topic.clone());
                let creation = tokio::spawn(async move { storage.create_topic(topic, deadline).await });
                creations.push((entry, creation));
            }
        }
        for (entry, creation) in creations {
            if let Err(error) = creation.await.unwrap_or(Err(StorageError::Unavailable)) {
                entry.outcome = Err(failed(&entry.name, &error));
            }
        }
    }

    fn respond(self, version: i16, defaults: &TopicDefaults) -> CreateTopicsResponse {
        let results = self.entries.into_iter().map(|entry| match entry.outcome {
            Ok(topic) => made(entry.name, topic, version, defaults),
            Err((error, message)) => CreatableTopicResult::default()
                .with_name(entry.name)
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message))),
        });
        CreateTopicsResponse::default().with_topics(results.collect())
    }
}

fn topic_request(topic: &CreatableTopic) -> TopicRequest {
    let assignments = topic.assignments.iter().map(|assignment| {
        let brokers = assignment.broker_ids.iter().map(|broker| broker.0).collect();
        (assignment.partition_index, brokers)
    });
    let configs = topic
        .configs
        .iter()
        .map(|config| (config.name.to_string(), config.value.as_ref().map(|value| value.to_string())));
    TopicRequest {
        name: topic.name.to_string(),
        partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn refused(error: &CreateError) -> (ResponseError, String) {
    (error.code(), error.to_string())
}

fn failed(name: &str, error: &StorageError) -> (ResponseError, String) {
    match error {
        StorageError::TopicExists => refused(&CreateError::Exists(name.to_owned())),
        // The log has told it, and clients try again and again.
        StorageError::DiskFull => (admin_code(error), error.to_string()),
        error => {
            tracing::warn!("topic {name} was not made: {error}");
            (admin_code(error), error.to_string())
        }
    }
}

/// The error code of a failed change of topics: what may have been done or not is REQUEST_TIMED_OUT (7) to admin clients.
pub(super) fn admin_code(error: &StorageError) -> ResponseError {
    match error {
        StorageError::Unavailable => ResponseError::RequestTimedOut,
        error => error.code(),
    }
}

fn made(name: TopicName, topic: NewTopic, version: i16, defaults: &TopicDefaults) -> CreatableTopicResult {
    let result = CreatableTopicResult::default()
        .with_name(name)
        .with_topic_id(topic.id)
        .with_error_message(None)
        .with_num_partitions(topic.partitions)
        .with_replication_factor(1);
    if version < 5 {
        return result;
    }
    let configs = TopicConfigs::new(topic.configs, defaults);
    let described = configs.described_keys().map(|key| {
        let set = configs.overrides.get(key.name);
        // Kafka gives what was set as it was written, and the default as it is.
        let value = set.cloned().or_else(|| configs.describe(key).1);
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_static_str(key.name))
            .with_value(value.map(StrBytes::from_string))
            .with_config_source(source_of(&configs, key))
    });
    let described = described.collect();
    result.with_configs(Some(described))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use crate::catalog::sample;
    use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;

    const RULES: CreateRules = CreateRules {
        node_id: 1,
        default_partitions: 4,
    };

    fn wanted(name: &str) -> CreatableTopic {
        CreatableTopic::default()
            .with_name(TopicName(StrBytes::from_string(name.to_owned())))
            .with_num_partitions(-1)
            .with_replication_factor(-1)
    }

    fn config(name: &str, value: &str) -> CreatableTopicConfig {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name.to_owned()))
            .with_value(Some(StrBytes::from_string(value.to_owned())))
    }

    fn validate(version: i16, topics: Vec<CreatableTopic>) -> CreateTopicsResponse {
        let body = CreateTopicsRequest::default().with_topics(topics);
        let response = Plan::new(&body, &sample::topics(&[("there", 1)]), &RULES).respond(version, &TopicDefaults::default());
        assert_encodes(ApiKey::CreateTopics, version, &response);
        response
    }

    #[test]
    fn every_version_tells_results_in_the_order_of_the_request() {
        for version in ApiKey::CreateTopics.api().served.iter() {
            let response = validate(
                version,
                vec![wanted("a"), wanted("there"), wanted("b").with_replication_factor(3)],
            );
            let codes: Vec<_> = response
                .topics
                .iter()
                .map(|topic| (topic.name.as_str(), topic.error_code))
                .collect();
            assert_eq!(codes, [("a", 0), ("there", 36), ("b", 38)]);
            assert_eq!(response.topics[0].error_message, None);
            assert_eq!(
                response.topics[1].error_message.as_deref(),
                Some("Topic 'there' already exists.")
            );
        }
    }

    #[test]
    fn a_topic_named_twice_is_refused_once_and_the_others_are_not() {
        let response = validate(7, vec![wanted("a"), wanted("b"), wanted("a")]);
        let codes: Vec<_> = response
            .topics
            .iter()
            .map(|topic| (topic.name.as_str(), topic.error_code))
            .collect();
        assert_eq!(codes, [("b", 0), ("a", 42)]);
    }

    #[test]
    fn too_many_partitions_refuse_the_whole_request() {
        let response = validate(7, vec![wanted("a").with_num_partitions(10_000), wanted("b")]);
        assert!(response.topics.iter().all(|topic| topic.error_code == 44));
    }

    #[test]
    fn from_version_5_the_answer_describes_the_topic() {
        let topic = wanted("a").with_configs(vec![config("retention.ms", "5"), config("internal.segment.bytes", "9000")]);
        let response = validate(5, vec![topic]);
        let result = &response.topics[0];
        assert_eq!((result.num_partitions, result.replication_factor), (4, 1));
        let configs = result.configs.as_ref().unwrap();
        let value = |name: &str| {
            let config = configs.iter().find(|config| config.name.as_str() == name).unwrap();
            (config.value.as_ref().map(|value| value.to_string()), config.config_source)
        };
        assert_eq!(value("retention.ms"), (Some("5".to_owned()), 1));
        assert_eq!(value("internal.segment.bytes"), (Some("9000".to_owned()), 1));
        assert_eq!(value("cleanup.policy"), (Some("delete".to_owned()), 5));
        assert!(!response.topics[0].topic_id.is_nil());
        assert_eq!(
            validate(7, vec![wanted("b")]).topics[0].configs.as_ref().map(Vec::len),
            Some(33)
        );
    }

    async fn ask(broker: &TestBroker, body: CreateTopicsRequest) -> Vec<i16> {
        let response = handle(&broker.context, &broker.request(7), body).await;
        assert_encodes(ApiKey::CreateTopics, 7, &response);
        response.topics.iter().map(|topic| topic.error_code).collect()
    }

    #[tokio::test]
    async fn topics_are_in_the_catalog_when_the_answer_comes() {
        let broker = TestBroker::start();
        let topic = wanted("a")
            .with_num_partitions(3)
            .with_configs(vec![config("retention.ms", "5")]);
        let body = CreateTopicsRequest::default()
            .with_topics(vec![topic, wanted("b"), wanted("bad name")])
            .with_timeout_ms(10_000);
        assert_eq!(ask(&broker, body.clone().with_validate_only(true)).await, [0, 0, 17]);
        assert_eq!(broker.context.catalog.topics().iter().count(), 0);
        assert_eq!(ask(&broker, body.clone()).await, [0, 0, 17]);
        let topics = broker.context.catalog.topics();
        let made = topics.by_name("a").unwrap();
        assert_eq!((made.partitions.len(), made.configs.retention_ms), (3, Some(5)));
        assert_eq!(ask(&broker, body).await, [36, 36, 17]);
    }

    #[tokio::test]
    async fn a_name_that_another_session_holds_times_out_alone() {
        let broker = TestBroker::start();
        broker.model.database.hold_topic_name("a", true);
        let body = CreateTopicsRequest::default()
            .with_topics(vec![wanted("a"), wanted("b")])
            .with_timeout_ms(100);
        assert_eq!(ask(&broker, body).await, [7, 0]);
        let topics = broker.context.catalog.topics();
        assert!(topics.by_name("a").is_none() && topics.by_name("b").is_some());
    }
}
