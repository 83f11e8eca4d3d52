//! IncrementalAlterConfigs, versions 0-1: sets, deletes, appends to and subtracts from configs of resources; the configs that are not
//! named stay (KIP-339). What can be altered and what not: [`super::config_changes`].
//!
//! An operation that Kafka does not have is INVALID_REQUEST (42); for topics, Kafka 4.3.1 fails with UNKNOWN_SERVER_ERROR (-1).
//!
//! * 0: resources, operations, `validate_only`.
//! * 1: flexible (KIP-482).

use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::config_changes::{alter, Others, Wanted, WantedConfig};
use super::{Context, RequestInfo};

/// Answers the request when each change is durable and effective, or surely refused.
pub async fn handle(
    context: &Context,
    _request: &RequestInfo,
    body: IncrementalAlterConfigsRequest,
) -> IncrementalAlterConfigsResponse {
    let wanted: Vec<_> = body
        .resources
        .into_iter()
        .map(|resource| Wanted {
            kind: resource.resource_type,
            name: resource.resource_name,
            configs: resource
                .configs
                .into_iter()
                .map(|config| WantedConfig {
                    name: config.name,
                    operation: config.config_operation,
                    value: config.value,
                })
                .collect(),
        })
        .collect();
    let outcomes = alter(context, Others::Kept, body.validate_only, &wanted).await;
    let responses = wanted.into_iter().zip(outcomes).map(|(wanted, outcome)| {
        let (code, message) = outcome.map_or_else(|(error, message)| (error.code(), Some(message)), |()| (0, None));
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message.map(StrBytes::from_string))
            .with_resource_type(wanted.kind)
            .with_resource_name(wanted.name)
    });
    IncrementalAlterConfigsResponse::default().with_responses(responses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::config_changes::operation::{APPEND, DELETE, SET, SUBTRACT};
    use crate::api::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use crate::catalog::configs::TopicConfigs;
    use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};

    type Op<'a> = (&'a str, i8, Option<&'a str>);

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    fn resource(kind: i8, name: &str, configs: &[Op<'_>]) -> AlterConfigsResource {
        let config = |(name, operation, value): &Op<'_>| {
            AlterableConfig::default()
                .with_name(text(name))
                .with_config_operation(*operation)
                .with_value(value.map(text))
        };
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(configs.iter().map(config).collect())
    }

    async fn respond(broker: &TestBroker, body: IncrementalAlterConfigsRequest) -> Vec<(i16, String)> {
        let response = handle(&broker.context, &broker.request(1), body).await;
        for version in ApiKey::IncrementalAlterConfigs.api().served.iter() {
            assert_encodes(ApiKey::IncrementalAlterConfigs, version, &response);
        }
        let told = response.responses.iter().map(|response| {
            let message = response.error_message.as_ref().map(StrBytes::to_string);
            assert_eq!(message.is_none(), response.error_code == 0);
            (response.error_code, message.unwrap_or_default())
        });
        told.collect()
    }

    async fn ask(broker: &TestBroker, resources: Vec<AlterConfigsResource>) -> Vec<(i16, String)> {
        respond(broker, IncrementalAlterConfigsRequest::default().with_resources(resources)).await
    }

    async fn alter(broker: &TestBroker, operations: &[Op<'_>]) -> (i16, String) {
        ask(broker, vec![resource(TOPIC, "t", operations)]).await.remove(0)
    }

    fn configs(broker: &TestBroker) -> TopicConfigs {
        broker.context.catalog.topics().by_name("t").unwrap().configs.clone()
    }

    async fn start() -> TestBroker {
        let broker = TestBroker::start();
        broker.create_topic("t", 1, &[("retention.ms", "5")]).await;
        broker
    }

    #[tokio::test]
    async fn changes_are_effective_when_the_answer_comes() {
        let broker = start().await;
        let operations = [
            ("max.message.bytes", SET, Some("100")),
            ("retention.ms", DELETE, None),
            ("cleanup.policy", APPEND, Some("compact")),
        ];
        assert_eq!(alter(&broker, &operations).await.0, 0);
        let configs_now = configs(&broker);
        assert_eq!(
            (configs_now.max_message_bytes, configs_now.retention_ms),
            (100, Some(604_800_000))
        );
        assert!(configs_now.compact && configs_now.delete);
        assert_eq!(alter(&broker, &[("cleanup.policy", SUBTRACT, Some("delete"))]).await.0, 0);
        assert!(!configs(&broker).delete);
    }

    #[tokio::test]
    async fn a_dry_run_says_the_same_and_changes_nothing() {
        let broker = start().await;
        let before = configs(&broker);
        let resources = vec![
            resource(TOPIC, "t", &[("retention.ms", SET, Some("6"))]),
            resource(TOPIC, "u", &[("retention.ms", SET, Some("x"))]),
        ];
        let body = IncrementalAlterConfigsRequest::default()
            .with_resources(resources)
            .with_validate_only(true);
        let codes: Vec<_> = respond(&broker, body).await.into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, [0, 40]);
        assert_eq!(configs(&broker), before);
    }

    #[tokio::test]
    async fn refusals_are_those_of_kafka() {
        let broker = start().await;
        let before = configs(&broker);
        for (operations, code, message) in [
            (&[("x.y", SET, Some("5"))][..], 40, "Unknown topic config name: x.y"),
            (
                &[("retention.ms", APPEND, Some("5"))],
                40,
                "Can't APPEND to key retention.ms because its type is not LIST.",
            ),
            (
                &[("retention.ms", SET, None), ("x", APPEND, None)],
                42,
                "Null value not supported for : retention.ms, x",
            ),
            (
                &[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)],
                42,
                "Error due to duplicate config keys",
            ),
            (&[("retention.ms", 9, Some("1"))], 42, "Unknown operations type 9"),
            (
                &[("segment.ms", SET, Some("7")), ("retention.ms", SET, Some("y"))],
                40,
                "Invalid value y for configuration retention.ms: Not a number of type LONG",
            ),
        ] {
            assert_eq!(alter(&broker, operations).await, (code, message.to_owned()));
        }
        assert_eq!(alter(&broker, &[("x.y", DELETE, None)]).await.0, 0);
        assert_eq!(configs(&broker), before);
    }

    #[tokio::test]
    async fn each_resource_has_its_own_answer() {
        let broker = start().await;
        let set = [("retention.ms", SET, Some("1"))];
        for (kind, name, operations, code, begin) in [
            (TOPIC, "none", &set[..], 3, "The topic 'none' does not exist."),
            (TOPIC, "none", &[("x", SET, Some("1"))], 40, "Unknown topic config name: x"),
            (TOPIC, "", &set, 42, "Default topic resources are not allowed."),
            (TOPIC, "a b", &set, 17, "Topic name is invalid"),
            (
                BROKER,
                "1",
                &set,
                42,
                "Cannot update these configs dynamically: [retention.ms]. ",
            ),
            (
                BROKER,
                "",
                &set,
                42,
                "Cannot update these configs dynamically: [retention.ms]. ",
            ),
            (BROKER, "1", &[("retention.ms", DELETE, None)], 0, ""),
            (BROKER, "2", &[], 42, "Unexpected broker id, expected 1, but received 2"),
            (BROKER, "x", &[], 42, "Node id must be an integer, but it is: x"),
            (BROKER_LOGGER, "1", &[], 0, ""),
            (BROKER_LOGGER, "1", &set, 40, "Logger retention.ms does not exist! "),
            (BROKER_LOGGER, "2", &set, 42, "Unexpected node id. Expected 1, but received 2"),
            (BROKER_LOGGER, "", &set, 42, "Node id must be an integer, but it is: "),
            (CLIENT_METRICS, "m", &set, 42, "Unsupported resource type: CLIENT_METRICS"),
            (GROUP, "g", &set, 42, "Unsupported resource type: GROUP"),
            (3, "x", &[], 42, "Unknown resource type 3"),
        ] {
            let resources = vec![resource(kind, name, operations), resource(TOPIC, "t", &[])];
            let told = ask(&broker, resources).await;
            assert_eq!((told[0].0, told[1].0), (code, 0), "{kind} {name}: {told:?}");
            assert!(told[0].1.starts_with(begin), "{told:?}");
        }
        let twice = vec![
            resource(TOPIC, "t", &set),
            resource(TOPIC, "none", &[]),
            resource(TOPIC, "t", &[]),
        ];
        let codes: Vec<_> = ask(&broker, twice).await.into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, [42, 3, 42]);
        assert_eq!(configs(&broker).retention_ms, Some(5));
    }

    #[tokio::test]
    async fn a_failure_of_the_database_is_told() {
        let broker = start().await;
        let failure = crate::storage::engine::EngineError::Database {
            sqlstate: "53100".to_owned(),
            message: "disk full".to_owned(),
        };
        broker.model.database.fail(crate::storage::model::Call::Commit, 0, failure);
        assert_eq!(alter(&broker, &[("retention.ms", SET, Some("1"))]).await.0, 56);
        assert_eq!(configs(&broker).retention_ms, Some(5));
    }
}
