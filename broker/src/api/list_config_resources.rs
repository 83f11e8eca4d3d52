//! ListConfigResources, versions 0-1: the names of what has configs.
//!
//! * 0: subscriptions of client metrics only, under the name ListClientMetricsResources (KIP-1000): there are none.
//! * 1: kinds of resources to choose from, none for all of them (KIP-1142); a kind that Kafka does not know makes the whole answer
//!   UNSUPPORTED_VERSION (35). Topics, and this node as the broker and as the owner of loggers; there are no client metrics and no groups.

use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::config_resource as resource;
use super::{Context, RequestInfo};
use crate::catalog::Topics;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: ListConfigResourcesRequest) -> ListConfigResourcesResponse {
    respond(request.version, &body, context.settings().node_id, &context.catalog.topics())
}

fn respond(version: i16, body: &ListConfigResourcesRequest, node_id: i32, topics: &Topics) -> ListConfigResourcesResponse {
    if body.resource_types.iter().any(|kind| !resource::ALL.contains(kind)) {
        return ListConfigResourcesResponse::default().with_error_code(ResponseError::UnsupportedVersion.code());
    }
    let wanted = |kind: i8| version >= 1 && (body.resource_types.is_empty() || body.resource_types.contains(&kind));
    let entry = |kind: i8, name: StrBytes| ConfigResource::default().with_resource_type(kind).with_resource_name(name);
    let node = StrBytes::from_string(node_id.to_string());
    let mut resources: Vec<_> = [resource::BROKER_LOGGER, resource::BROKER]
        .into_iter()
        .filter(|kind| wanted(*kind))
        .map(|kind| entry(kind, node.clone()))
        .collect();
    if wanted(resource::TOPIC) {
        let names = topics.iter().map(|topic| StrBytes::from_string(topic.name.to_string()));
        resources.extend(names.map(|name| entry(resource::TOPIC, name)));
    }
    ListConfigResourcesResponse::default().with_config_resources(resources)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::table::ApiKey;
    use crate::catalog::sample;

    fn ask(version: i16, kinds: &[i8]) -> (i16, Vec<(i8, String)>) {
        let body = ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
        let response = respond(version, &body, 7, &sample::topics(&[("a", 1), ("b", 1)]));
        assert_encodes(ApiKey::ListConfigResources, version, &response);
        let named = response.config_resources.iter();
        let named = named.map(|found| (found.resource_type, found.resource_name.to_string()));
        (response.error_code, named.collect())
    }

    #[test]
    fn kinds_are_chosen_once_each() {
        let topics = [(2, "a".to_owned()), (2, "b".to_owned())];
        let (logger, node) = ((8, "7".to_owned()), (4, "7".to_owned()));
        assert_eq!(ask(0, &[]), (0, vec![]));
        assert_eq!(ask(1, &[2, 2]), (0, topics.to_vec()));
        assert_eq!(ask(1, &[4]), (0, vec![node.clone()]));
        assert_eq!(ask(1, &[8]), (0, vec![logger.clone()]));
        assert_eq!(ask(1, &[16, 32]), (0, vec![]));
        let all = [vec![logger, node], topics.to_vec()].concat();
        assert_eq!(ask(1, &[]), (0, all));
    }

    #[test]
    fn an_unknown_kind_refuses_all() {
        assert_eq!(ask(1, &[2, 3]), (35, vec![]));
        assert_eq!(ask(1, &[-1]), (35, vec![]));
    }
}
