//! FindCoordinator: who coordinates a group; librdkafka takes lz4 for unsupported where this API is missing.

use crate::code;
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::StrBytes;
use kafka_test::patience::eventually;
use kafka_test::server::Server;

fn text(value: &'static str) -> StrBytes {
    StrBytes::from_static_str(value)
}

fn port() -> i32 {
    Server::shared().bootstrap.rsplit(':').next().unwrap().parse().unwrap()
}

/// Goal: versions 0 to 3 name this node for a group. (Apache Kafka answers COORDINATOR_NOT_AVAILABLE until it has made its topic.)
#[test]
fn one_group_has_this_node() {
    let mut connection = Server::shared().connect();
    for version in 0..=3 {
        let request = FindCoordinatorRequest::default().with_key(text("a-group"));
        let reply = eventually("a coordinator", || {
            let reply = connection.call(version, &request);
            (reply.error_code != 15).then_some(reply)
        });
        assert_eq!((reply.error_code, reply.port), (0, port()), "version {version}");
        assert_eq!(reply.node_id.0, 1);
        assert!(!reply.host.is_empty());
    }
}

/// Goal: versions 4 to 6 answer each key of the request, by its name.
#[test]
fn several_groups_have_this_node() {
    let mut connection = Server::shared().connect();
    for version in 4..=6 {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g1"), text("g2"), text("g3")]);
        let mut found = eventually("coordinators", || {
            let found = connection.call(version, &request).coordinators;
            found.iter().all(|c| c.error_code != 15).then_some(found)
        });
        found.sort_by_key(|c| c.key.to_string());
        let keys: Vec<&str> = found.iter().map(|c| c.key.as_str()).collect();
        assert_eq!(keys, ["g1", "g2", "g3"], "version {version}");
        for coordinator in &found {
            assert_eq!(
                (coordinator.error_code, coordinator.node_id.0, coordinator.port),
                (0, 1, port())
            );
        }
        let none = connection.call(version, &FindCoordinatorRequest::default());
        assert!(none.coordinators.is_empty(), "no key, no coordinator");
    }
}

/// Goal: a key type that does not exist is an INVALID_REQUEST, per key from version 4 on.
#[test]
fn an_unknown_key_type_is_refused() {
    let mut connection = Server::shared().connect();
    for version in 1..=3 {
        let reply = connection.call(
            version,
            &FindCoordinatorRequest::default().with_key(text("k")).with_key_type(9),
        );
        assert_eq!(
            (reply.error_code, reply.node_id.0, reply.port),
            (code::INVALID_REQUEST, -1, -1),
            "version {version}"
        );
    }
    for version in 4..=6 {
        let request = FindCoordinatorRequest::default()
            .with_coordinator_keys(vec![text("k")])
            .with_key_type(9);
        let found = connection.call(version, &request).coordinators;
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].error_code, found[0].key.as_str()),
            (code::INVALID_REQUEST, "k"),
            "version {version}"
        );
    }
}
