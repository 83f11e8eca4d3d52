//! ListConfigResources: the names of what has configs, by kind.

use crate::code;
use kafka_protocol::messages::ListConfigResourcesRequest;
use kafka_test::configs::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use kafka_test::connection::Connection;
use kafka_test::server::Server;

fn list(connection: &mut Connection, kinds: &[i8]) -> Vec<(i8, String)> {
    let reply = connection.call(1, &ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec()));
    assert_eq!(reply.error_code, 0, "{kinds:?}");
    let found = reply.config_resources.iter();
    found.map(|r| (r.resource_type, r.resource_name.to_string())).collect()
}

/// Goal: version 0 lists client metrics only, of which there are none.
#[test]
fn the_first_version_lists_client_metrics() {
    let server = Server::shared();
    server.topic("listed", 1);
    let reply = server.connect().call(0, &ListConfigResourcesRequest::default());
    assert_eq!((reply.error_code, reply.config_resources.len()), (0, 0));
}

/// Goal: each kind lists its own, a kind asked for twice once, and no kind means all of them.
#[test]
fn kinds_of_resources() {
    let server = Server::shared();
    let topic = server.topic("listed", 1);
    let mut connection = server.connect();
    let (node, loggers) = ((BROKER, "1".to_owned()), (BROKER_LOGGER, "1".to_owned()));
    assert_eq!(list(&mut connection, &[BROKER]), std::slice::from_ref(&node));
    assert_eq!(
        list(&mut connection, &[BROKER_LOGGER, BROKER_LOGGER]),
        std::slice::from_ref(&loggers)
    );
    assert!(list(&mut connection, &[CLIENT_METRICS]).is_empty());
    assert!(list(&mut connection, &[GROUP]).is_empty());
    let topics = list(&mut connection, &[TOPIC, TOPIC]);
    assert!(topics.iter().all(|(kind, _)| *kind == TOPIC));
    assert_eq!(topics.iter().filter(|(_, name)| *name == topic.name).count(), 1);
    let all = list(&mut connection, &[]);
    for wanted in [node, loggers, (TOPIC, topic.name)] {
        assert!(all.contains(&wanted), "{wanted:?}");
    }
}

/// Goal: a kind that does not exist makes the whole answer UNSUPPORTED_VERSION.
#[test]
fn an_unknown_kind_refuses_the_request() {
    let mut connection = Server::shared().connect();
    for kinds in [vec![1], vec![BROKER, 3], vec![-1]] {
        let reply = connection.call(1, &ListConfigResourcesRequest::default().with_resource_types(kinds));
        assert_eq!(
            (reply.error_code, reply.config_resources.len()),
            (code::UNSUPPORTED_VERSION, 0)
        );
    }
}
