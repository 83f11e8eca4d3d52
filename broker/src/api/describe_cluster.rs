//! DescribeCluster, versions 0-2: the cluster id and this node.
//!
//! There is one node, which is its own controller. Nothing is ever fenced, so asking for fenced brokers changes nothing.
//!
//! * 0: nodes and authorized operations (KIP-700); another endpoint type is INVALID_REQUEST (42).
//! * 1: endpoint types (KIP-919): controllers are MISMATCHED_ENDPOINT_TYPE (114), others UNSUPPORTED_ENDPOINT_TYPE (115).
//! * 2: fenced brokers (KIP-1073).

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::endpoint::{endpoint, Endpoint};
use super::{operations, Context, RequestInfo};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: DescribeClusterRequest) -> DescribeClusterResponse {
    let endpoint = endpoint(&context.settings(), &request.peer);
    respond(request.version, &body, endpoint, context.catalog.cluster_id())
}

fn respond(version: i16, body: &DescribeClusterRequest, endpoint: Endpoint, cluster_id: &str) -> DescribeClusterResponse {
    if let Err((error, message)) = check_endpoint_type(body.endpoint_type) {
        let error = if version == 0 { ResponseError::InvalidRequest } else { error };
        return DescribeClusterResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_string(message)));
    }
    let node = BrokerId(endpoint.node_id);
    let broker = DescribeClusterBroker::default()
        .with_broker_id(node)
        .with_host(endpoint.host)
        .with_port(endpoint.port);
    DescribeClusterResponse::default()
        .with_error_message(None)
        .with_cluster_id(StrBytes::from_string(cluster_id.to_owned()))
        .with_controller_id(node)
        .with_brokers(vec![broker])
        .with_cluster_authorized_operations(if body.include_cluster_authorized_operations {
            operations::CLUSTER
        } else {
            operations::NOT_ASKED
        })
}

fn check_endpoint_type(wanted: i8) -> Result<(), (ResponseError, String)> {
    match wanted {
        BROKERS => Ok(()),
        CONTROLLERS => Err((
            ResponseError::MismatchedEndpointType,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER".to_owned(),
        )),
        other => Err((
            ResponseError::UnsupportedEndpointType,
            format!("Unsupported endpoint type {other}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::table::ApiKey;

    fn ask(version: i16, body: &DescribeClusterRequest) -> DescribeClusterResponse {
        let endpoint = Endpoint {
            node_id: 5,
            host: StrBytes::from_static_str("h"),
            port: 9,
        };
        let response = respond(version, body, endpoint, "cluster");
        assert_encodes(ApiKey::DescribeCluster, version, &response);
        response
    }

    #[test]
    fn every_version_names_this_node() {
        for version in ApiKey::DescribeCluster.api().served.iter() {
            let response = ask(version, &DescribeClusterRequest::default());
            assert_eq!((response.error_code, response.cluster_id.as_str()), (0, "cluster"));
            assert_eq!(response.controller_id, BrokerId(5));
            let brokers: Vec<_> = response
                .brokers
                .iter()
                .map(|broker| (broker.broker_id.0, broker.port))
                .collect();
            assert_eq!(brokers, [(5, 9)]);
            assert_eq!(response.cluster_authorized_operations, i32::MIN);
            let body = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
            assert_eq!(ask(version, &body).cluster_authorized_operations, operations::CLUSTER);
        }
    }

    #[test]
    fn other_endpoint_types_are_refused() {
        let code = |version, wanted| ask(version, &DescribeClusterRequest::default().with_endpoint_type(wanted)).error_code;
        assert_eq!((code(1, 2), code(1, 0), code(2, 7)), (114, 115, 115));
        assert_eq!((code(0, 2), code(0, 7)), (42, 42));
    }
}
