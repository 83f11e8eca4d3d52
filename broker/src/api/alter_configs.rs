//! AlterConfigs, versions 0-2: gives resources these configs and takes all others away from them. Deprecated since
//! IncrementalAlterConfigs. What can be altered and what not: [`super::config_changes`].
//!
//! A resource named twice is INVALID_REQUEST (42) in both places; Kafka 4.3.1 fails over it and does not answer.
//!
//! * 0, 1: resources, `validate_only` (KIP-133).
//! * 2: flexible (KIP-482).

use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;

use super::config_changes::{alter, operation, Others, Wanted, WantedConfig};
use super::{Context, RequestInfo};

/// Answers the request when each change is durable and effective, or surely refused.
pub async fn handle(context: &Context, _request: &RequestInfo, body: AlterConfigsRequest) -> AlterConfigsResponse {
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
                    operation: operation::SET,
                    value: config.value,
                })
                .collect(),
        })
        .collect();
    let outcomes = alter(context, Others::Deleted, body.validate_only, &wanted).await;
    let responses = wanted.into_iter().zip(outcomes).map(|(wanted, outcome)| {
        let (code, message) = outcome.map_or_else(|(error, message)| (error.code(), Some(message)), |()| (0, None));
        AlterConfigsResourceResponse::default()
            .with_error_code(code)
            .with_error_message(message.map(StrBytes::from_string))
            .with_resource_type(wanted.kind)
            .with_resource_name(wanted.name)
    });
    AlterConfigsResponse::default().with_responses(responses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::config_resource::{BROKER, BROKER_LOGGER, GROUP, TOPIC};
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
    use std::collections::BTreeMap;

    fn text(text: &str) -> StrBytes {
        StrBytes::from_string(text.to_owned())
    }

    fn resource(kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> AlterConfigsResource {
        let config =
            |(name, value): &(&str, Option<&str>)| AlterableConfig::default().with_name(text(name)).with_value(value.map(text));
        AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(configs.iter().map(config).collect())
    }

    async fn ask(broker: &TestBroker, version: i16, resources: Vec<AlterConfigsResource>) -> Vec<i16> {
        let body = AlterConfigsRequest::default().with_resources(resources);
        let response = handle(&broker.context, &broker.request(version), body).await;
        assert_encodes(ApiKey::AlterConfigs, version, &response);
        response.responses.iter().map(|response| response.error_code).collect()
    }

    fn overrides(broker: &TestBroker, topic: &str) -> BTreeMap<String, String> {
        let topics = broker.context.catalog.topics();
        topics.by_name(topic).unwrap().configs.overrides.clone()
    }

    #[tokio::test]
    async fn what_is_not_named_goes_back_to_its_default() {
        let broker = TestBroker::start();
        for version in ApiKey::AlterConfigs.api().served.iter() {
            let name = format!("t{version}");
            broker
                .create_topic(&name, 1, &[("retention.ms", "5"), ("segment.ms", "6")])
                .await;
            assert_eq!(
                ask(&broker, version, vec![resource(TOPIC, &name, &[("segment.ms", Some("7"))])]).await,
                [0]
            );
            let expected = BTreeMap::from([("segment.ms".to_owned(), "7".to_owned())]);
            assert_eq!(overrides(&broker, &name), expected);
            assert_eq!(ask(&broker, version, vec![resource(TOPIC, &name, &[])]).await, [0]);
            assert_eq!(overrides(&broker, &name), BTreeMap::new());
        }
    }

    #[tokio::test]
    async fn refusals_have_the_codes_of_kafka() {
        let broker = TestBroker::start();
        broker.create_topic("t", 1, &[("retention.ms", "5")]).await;
        let resources = vec![
            resource(TOPIC, "t", &[("segment.ms", None)]),
            resource(TOPIC, "none", &[("segment.ms", Some("1"))]),
            resource(BROKER, "1", &[("num.partitions", Some("1"))]),
            resource(BROKER, "", &[]),
            resource(BROKER_LOGGER, "1", &[]),
            resource(GROUP, "g", &[]),
        ];
        assert_eq!(ask(&broker, 2, resources).await, [42, 3, 42, 0, 42, 42]);
        let twice = vec![resource(TOPIC, "t", &[]), resource(TOPIC, "t", &[])];
        assert_eq!(ask(&broker, 2, twice).await, [42, 42]);
        assert_eq!(overrides(&broker, "t").len(), 1);
    }
}
