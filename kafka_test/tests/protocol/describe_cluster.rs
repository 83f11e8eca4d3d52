//! DescribeCluster: the brokers, the cluster's id, and the endpoint types of KIP-919.

use crate::code;
use kafka_protocol::messages::{DescribeClusterRequest, MetadataRequest};
use kafka_test::server::Server;

/// Goal: every version lists this broker and the cluster id that Metadata gives.
#[test]
fn every_version_names_this_cluster() {
    let mut connection = Server::shared().connect();
    let metadata = connection.call(9, &MetadataRequest::default().with_topics(Some(vec![])));
    for version in 0..=2 {
        let mut request = DescribeClusterRequest::default();
        if version >= 1 {
            request = request.with_endpoint_type(1);
        }
        let reply = connection.call(version, &request);
        assert_eq!(reply.error_code, 0, "version {version}");
        assert_eq!(Some(&reply.cluster_id), metadata.cluster_id.as_ref());
        assert_eq!(reply.brokers.len(), 1);
        assert_eq!(reply.brokers[0].broker_id, metadata.brokers[0].node_id);
        assert_eq!(reply.brokers[0].host, metadata.brokers[0].host);
        assert_eq!(reply.brokers[0].port, metadata.brokers[0].port);
        assert_eq!(reply.controller_id, metadata.controller_id);
        assert_eq!(
            reply.cluster_authorized_operations,
            i32::MIN,
            "operations that were not asked for"
        );
        assert!(!reply.brokers[0].is_fenced);
    }
}

/// Goal: a broker says that it is no controller, and refuses types that do not exist.
#[test]
fn other_endpoint_types_are_refused() {
    let mut connection = Server::shared().connect();
    for version in 1..=2 {
        for (endpoint_type, expected) in [
            (2, code::MISMATCHED_ENDPOINT_TYPE),
            (0, code::UNSUPPORTED_ENDPOINT_TYPE),
            (3, code::UNSUPPORTED_ENDPOINT_TYPE),
        ] {
            let reply = connection.call(version, &DescribeClusterRequest::default().with_endpoint_type(endpoint_type));
            assert_eq!(reply.error_code, expected, "version {version} type {endpoint_type}");
            assert!(reply.brokers.is_empty());
        }
    }
}
