//! Metadata, versions 0-13: this broker, the cluster id, and topics with their partitions.
//!
//! There is one node, which leads everything and is its only replica; the leader epoch is that of the whole broker. Topics are
//! answered in the order of the request, each once; all topics, by name. A topic that may be made automatically is made before the
//! answer, so the answer describes it: Kafka answers UNKNOWN_TOPIC_OR_PARTITION (3) first and lets the client ask again. That is what
//! is answered here too if it could not be made in [`AUTO_CREATE_PATIENCE`]. No rack, no throttling, no offline replicas.
//!
//! * 0: an empty list means all topics.
//! * 1: null means all topics, an empty list none; controller, rack, internal topics.
//! * 2: cluster id (KIP-78).
//! * 3: throttle time.
//! * 4: the client may forbid auto-creation (KIP-204).
//! * 5: offline replicas (KIP-112).
//! * 6: the reply is sent before throttling (KIP-219).
//! * 7: leader epochs (KIP-320).
//! * 8: authorized operations (KIP-430).
//! * 9: flexible (KIP-482).
//! * 10: topic ids in responses (KIP-516); a null name or an id in a request is INVALID_REQUEST (42).
//! * 11: no authorized operations of the cluster any more (KIP-700).
//! * 12: topics by id (KIP-516), unknown ones are UNKNOWN_TOPIC_ID (100).
//! * 13: an error code for the whole response (KIP-1102).

use std::collections::HashSet;
use std::time::{Duration, Instant};

use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use kafka_protocol::messages::{BrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::endpoint::{endpoint, Endpoint};
use super::{operations, Context, RequestInfo};
use crate::catalog::create::{check_topic, check_total, CreateRules, TopicRequest};
use crate::catalog::names::{check_name, is_internal};
use crate::catalog::{Topic, Topics};
use crate::settings::Settings;
use crate::storage::StorageError;

/// How long a request waits for its topics to be made while another session holds their names.
pub const AUTO_CREATE_PATIENCE: Duration = Duration::from_millis(500);

/// Answers the request, after making the topics that it may make.
pub async fn handle(context: &Context, request: &RequestInfo, body: MetadataRequest) -> MetadataResponse {
    let settings = context.settings();
    let wanted = match Wanted::new(request.version, &body) {
        Ok(wanted) => wanted,
        Err(error) => return refusal(&body, error),
    };
    if let (Wanted::Names(names), true) = (&wanted, body.allow_auto_topic_creation && settings.auto_create_topics) {
        create_missing(context, &settings, names).await;
    }
    let view = View {
        endpoint: endpoint(&settings, &request.peer),
        cluster_id: context.catalog.cluster_id(),
        leader_epoch: context.catalog.leader_epoch(),
        topics: &context.catalog.topics(),
    };
    view.respond(&wanted, &body)
}

/// Which topics a request asks for, each once.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    Names(Vec<TopicName>),
    Ids(Vec<Uuid>),
}

impl Wanted {
    fn new(version: i16, body: &MetadataRequest) -> Result<Self, ResponseError> {
        let topics = match &body.topics {
            None => return Ok(Wanted::All),
            Some(topics) if topics.is_empty() && version == 0 => return Ok(Wanted::All),
            Some(topics) => topics,
        };
        let mut seen_ids = HashSet::new();
        let mut seen_names = HashSet::new();
        let mut ids = Vec::new();
        let mut names = Vec::new();
        for topic in topics {
            match (&topic.name, topic.topic_id) {
                (_, id) if !id.is_nil() && version >= 12 => ids.extend(Some(id).filter(|id| seen_ids.insert(*id))),
                (Some(name), id) if id.is_nil() => {
                    names.extend(Some(name.clone()).filter(|name| seen_names.insert(name.clone())))
                }
                _ => return Err(ResponseError::InvalidRequest),
            }
        }
        // Where any id is given, Kafka looks at the ids alone.
        Ok(if ids.is_empty() {
            Wanted::Names(names)
        } else {
            Wanted::Ids(ids)
        })
    }
}

fn refusal(body: &MetadataRequest, error: ResponseError) -> MetadataResponse {
    let topics = body.topics.iter().flatten().map(|topic| {
        MetadataResponseTopic::default()
            .with_error_code(error.code())
            .with_name(Some(topic.name.clone().unwrap_or_default()))
            .with_topic_id(topic.topic_id)
    });
    MetadataResponse::default()
        .with_error_code(error.code())
        .with_topics(topics.collect())
}

/// Makes those of the topics that are not there and may be. What fails is left to the client, who asks again.
async fn create_missing(context: &Context, settings: &Settings, names: &[TopicName]) {
    let topics = context.catalog.topics();
    let rules = CreateRules {
        node_id: settings.node_id,
        default_partitions: settings.default_partitions,
    };
    let requests: Vec<_> = names
        .iter()
        .filter(|name| topics.by_name(name).is_none() && check_name(name).is_ok())
        .map(|name| TopicRequest::with_defaults(name))
        .collect();
    if let Err(error) = check_total(&requests, &rules) {
        tracing::warn!("topics are not made automatically: {error}");
        return;
    }
    let deadline = Instant::now() + AUTO_CREATE_PATIENCE;
    let mut creations = Vec::new();
    for request in requests {
        let storage = context.storage.clone();
        match check_topic(&request, &topics, &rules) {
            Ok(topic) => {
                let creation = tokio::spawn(async move { storage.create_topic(topic, deadline).await });
                creations.push((request.name, creation));
            }
            Err(error) => tracing::warn!("topic {} is not made automatically: {error}", request.name),
        }
    }
    for (name, creation) in creations {
        match creation.await.unwrap_or(Err(StorageError::Unavailable)) {
            Ok(_) => tracing::info!("topic {name} was made automatically"),
            Err(StorageError::TopicExists) => {}
            Err(error) => tracing::warn!("topic {name} was not made automatically: {error}"),
        }
    }
}

struct View<'a> {
    endpoint: Endpoint,
    cluster_id: &'a str,
    leader_epoch: i32,
    topics: &'a Topics,
}

impl View<'_> {
    fn respond(&self, wanted: &Wanted, body: &MetadataRequest) -> MetadataResponse {
        let mut topics: Vec<_> = match wanted {
            Wanted::All => self.topics.iter().map(|topic| self.topic(topic)).collect(),
            Wanted::Names(names) => names.iter().map(|name| self.by_name(name)).collect(),
            Wanted::Ids(ids) => ids.iter().map(|id| self.by_id(*id)).collect(),
        };
        if body.include_topic_authorized_operations {
            for topic in &mut topics {
                topic.topic_authorized_operations = operations::TOPIC;
            }
        }
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(self.endpoint.node_id))
            .with_host(self.endpoint.host.clone())
            .with_port(self.endpoint.port);
        MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_cluster_id(Some(StrBytes::from_string(self.cluster_id.to_owned())))
            .with_controller_id(BrokerId(self.endpoint.node_id))
            .with_topics(topics)
            .with_cluster_authorized_operations(if body.include_cluster_authorized_operations {
                operations::CLUSTER
            } else {
                operations::NOT_ASKED
            })
    }

    fn by_name(&self, name: &TopicName) -> MetadataResponseTopic {
        let error = match (self.topics.by_name(name), check_name(name)) {
            (Some(topic), _) => return self.topic(topic),
            (None, Err(_)) => ResponseError::InvalidTopicException,
            (None, Ok(())) => ResponseError::UnknownTopicOrPartition,
        };
        MetadataResponseTopic::default()
            .with_error_code(error.code())
            .with_name(Some(name.clone()))
            .with_is_internal(is_internal(name))
    }

    fn by_id(&self, id: Uuid) -> MetadataResponseTopic {
        match self.topics.by_id(&id) {
            Some(topic) => self.topic(topic),
            None => MetadataResponseTopic::default()
                .with_error_code(ResponseError::UnknownTopicId.code())
                .with_name(None)
                .with_topic_id(id),
        }
    }

    fn topic(&self, topic: &Topic) -> MetadataResponseTopic {
        let node = BrokerId(self.endpoint.node_id);
        let partition = |index: usize| {
            MetadataResponsePartition::default()
                .with_partition_index(index as i32)
                .with_leader_id(node)
                .with_leader_epoch(self.leader_epoch)
                .with_replica_nodes(vec![node])
                .with_isr_nodes(vec![node])
        };
        MetadataResponseTopic::default()
            .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
            .with_topic_id(topic.id)
            .with_is_internal(is_internal(&topic.name))
            .with_partitions((0..topic.partitions.len()).map(partition).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use crate::catalog::sample;
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;

    fn named(name: &str) -> MetadataRequestTopic {
        MetadataRequestTopic::default().with_name(Some(TopicName(StrBytes::from_string(name.to_owned()))))
    }

    fn with_id(id: Uuid) -> MetadataRequestTopic {
        MetadataRequestTopic::default().with_name(None).with_topic_id(id)
    }

    fn body(topics: Vec<MetadataRequestTopic>) -> MetadataRequest {
        MetadataRequest::default().with_topics(Some(topics))
    }

    fn ask(topics: &Topics, version: i16, body: &MetadataRequest) -> MetadataResponse {
        let view = View {
            endpoint: Endpoint {
                node_id: 5,
                host: StrBytes::from_static_str("h"),
                port: 9,
            },
            cluster_id: "cluster",
            leader_epoch: 65_537,
            topics,
        };
        let response = match Wanted::new(version, body) {
            Ok(wanted) => view.respond(&wanted, body),
            Err(error) => refusal(body, error),
        };
        assert_encodes(ApiKey::Metadata, version, &response);
        response
    }

    fn names_and_errors(response: &MetadataResponse) -> Vec<(String, i16)> {
        let name = |topic: &MetadataResponseTopic| topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        response.topics.iter().map(|topic| (name(topic), topic.error_code)).collect()
    }

    #[test]
    fn every_version_describes_topics_and_errors() {
        let topics = sample::topics(&[("a", 2), ("b", 1)]);
        for version in ApiKey::Metadata.api().served.iter() {
            let response = ask(
                &topics,
                version,
                &body(vec![named("b"), named("none"), named("a b"), named("b")]),
            );
            let expected = [("b".to_owned(), 0), ("none".to_owned(), 3), ("a b".to_owned(), 17)];
            assert_eq!(names_and_errors(&response), expected, "version {version}");
            assert_eq!(response.controller_id, BrokerId(5));
            let partition = &response.topics[0].partitions[0];
            assert_eq!((partition.leader_id, partition.leader_epoch), (BrokerId(5), 65_537));
            assert_eq!(
                (&partition.replica_nodes, &partition.isr_nodes),
                (&vec![BrokerId(5)], &vec![BrokerId(5)])
            );
            assert!(!response.topics[0].topic_id.is_nil());
        }
    }

    #[test]
    fn an_empty_list_means_all_topics_in_version_0_only() {
        let topics = sample::topics(&[("b", 1), ("a", 2)]);
        let all = [("a".to_owned(), 0), ("b".to_owned(), 0)];
        assert_eq!(names_and_errors(&ask(&topics, 0, &body(vec![]))), all);
        assert_eq!(names_and_errors(&ask(&topics, 1, &body(vec![]))), []);
        assert_eq!(
            names_and_errors(&ask(&topics, 1, &MetadataRequest::default().with_topics(None))),
            all
        );
        assert_eq!(
            names_and_errors(&ask(&topics, 13, &MetadataRequest::default().with_topics(None))),
            all
        );
    }

    #[test]
    fn topics_are_found_by_id_from_version_12() {
        let topics = sample::topics(&[("a", 1)]);
        let id = topics.by_name("a").unwrap().id;
        let unknown = Uuid::new_v4();
        let request = body(vec![with_id(id), with_id(unknown), named("a")]);
        for version in [12, 13] {
            let response = ask(&topics, version, &request);
            assert_eq!(names_and_errors(&response), [("a".to_owned(), 0), (String::new(), 100)]);
            assert_eq!(response.topics[1].topic_id, unknown);
        }
        for version in [10, 11] {
            let response = ask(&topics, version, &body(vec![with_id(id)]));
            assert_eq!(
                (response.error_code, names_and_errors(&response)),
                (42, vec![(String::new(), 42)])
            );
        }
        let response = ask(&topics, 12, &body(vec![with_id(Uuid::nil())]));
        assert_eq!(response.error_code, 42);
    }

    #[test]
    fn operations_are_given_when_asked_for() {
        let topics = sample::topics(&[("a", 1)]);
        let request = body(vec![named("a")])
            .with_include_topic_authorized_operations(true)
            .with_include_cluster_authorized_operations(true);
        for version in 8..=10 {
            let response = ask(&topics, version, &request);
            assert_eq!(response.cluster_authorized_operations, operations::CLUSTER);
            assert_eq!(response.topics[0].topic_authorized_operations, operations::TOPIC);
        }
        let response = ask(&topics, 13, &body(vec![named("a")]));
        assert_eq!(response.topics[0].topic_authorized_operations, i32::MIN);
    }

    async fn ask_broker(broker: &TestBroker, body: MetadataRequest) -> Vec<(String, i16)> {
        let response = handle(&broker.context, &broker.request(9), body).await;
        assert_encodes(ApiKey::Metadata, 9, &response);
        assert_eq!(response.brokers[0].host.as_str(), "127.0.0.1");
        names_and_errors(&response)
    }

    #[tokio::test]
    async fn an_unknown_topic_is_made_if_client_and_settings_allow_it() {
        let broker = TestBroker::with_settings(Settings {
            default_partitions: 2,
            ..Settings::default()
        });
        let asked = body(vec![named("a"), named("a b"), named("b")]);
        let unknown = [("a".to_owned(), 3), ("a b".to_owned(), 17), ("b".to_owned(), 3)];
        let forbidden = asked.clone().with_allow_auto_topic_creation(false);
        assert_eq!(ask_broker(&broker, forbidden).await, unknown);
        let made = [("a".to_owned(), 0), ("a b".to_owned(), 17), ("b".to_owned(), 0)];
        assert_eq!(ask_broker(&broker, asked.clone()).await, made);
        assert_eq!(broker.context.catalog.topics().by_name("a").unwrap().partitions.len(), 2);
        let disabled = TestBroker::with_settings(Settings {
            auto_create_topics: false,
            ..Settings::default()
        });
        assert_eq!(ask_broker(&disabled, asked).await, unknown);
    }

    #[tokio::test]
    async fn a_topic_that_cannot_be_made_now_is_unknown() {
        let broker = TestBroker::start();
        broker.model.database.hold_topic_name("a", true);
        let answers = ask_broker(&broker, body(vec![named("a"), named("b")])).await;
        assert_eq!(answers, [("a".to_owned(), 3), ("b".to_owned(), 0)]);
        broker.model.database.hold_topic_name("a", false);
        assert_eq!(ask_broker(&broker, body(vec![named("a")])).await, [("a".to_owned(), 0)]);
    }
}
