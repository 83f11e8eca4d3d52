//! What the broker's threads say reaches the log of Postgres.

use crate::{my_turn, set, Kept, LogSince, Turn};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::MetadataRequest;
use kafka_test::patience::eventually;
use kafka_test::sql::session;
use kafka_test::topic::{topic_name, unique_name};
use std::time::Duration;

/// Something that the broker's threads log as information: a topic that is made on demand.
fn inform(server: &Turn) -> String {
    let name = unique_name("on-demand");
    let request =
        MetadataRequest::default().with_topics(Some(vec![MetadataRequestTopic::default().with_name(Some(topic_name(&name)))]));
    server.connect().call(12, &request);
    name
}

/// Something that they warn of: a client that sends no Kafka request.
fn warn(server: &Turn) {
    let mut client = server.connect();
    client.send_bytes(b"GET / HTTP/1.1\r\n\r\n");
    client.assert_closed_within(Duration::from_secs(3), "a client that speaks HTTP");
}

/// Goal: each line has the prefix and the level of the server log, and the process id of the broker.
#[test]
fn lines_have_the_prefix_of_the_server_log() {
    let server = my_turn();
    let log = LogSince::now(&server);
    let name = inform(&server);
    warn(&server);
    let broker = server.broker_pid();
    let line = log.line_with(&format!("topic {name} was made automatically"));
    assert!(line.contains(&format!("[{broker}] LOG:  pg_kafka: topic")), "{line}");
    let line = log.line_with("connection closed: ");
    assert!(
        line.contains(&format!("[{broker}] WARNING:  pg_kafka: connection closed: ")),
        "{line}"
    );
    assert!(line.contains("client=127.0.0.1:"), "{line}");
}

/// Goal: log_connections, changed by a reload, has each connection's begin and end logged, or not.
#[test]
fn connections_are_logged_if_asked_for() {
    let server = my_turn();
    let log = LogSince::now(&server);
    let name = inform(&server);
    log.line_with(&name);
    log.assert_none(&["connection received", "disconnection: "]);
    set(&server, "pg_kafka.log_connections", "on");
    let line = eventually("a connection is logged", || {
        inform(&server);
        log.lines_with("connection received").into_iter().next()
    });
    assert!(
        line.contains("LOG:  pg_kafka: connection received client=127.0.0.1:"),
        "{line}"
    );
    let line = log.line_with("disconnection: ");
    assert!(line.contains("requests=1 bytes_in="), "{line}");
}

/// Goal: log_min_messages decides, from the reload on that changes it: DEBUG lines appear with debug1 and not before, and warnings are
/// left out when only errors are asked for.
#[test]
fn the_level_is_that_of_the_server_log() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let log = LogSince::now(&server);
    let mut holder = session(&server);
    let mut transaction = holder.transaction().unwrap();
    transaction
        .batch_execute("LOCK TABLE kafka.topics IN ACCESS EXCLUSIVE MODE")
        .unwrap();
    // Any change of extensions makes the broker look at the topics, and it tells those who ask for DEBUG lines that it could not.
    let mut beside = session(&server);
    beside.batch_execute("CREATE EXTENSION tablefunc").unwrap();
    beside.batch_execute("DROP EXTENSION tablefunc").unwrap();
    log.assert_none(&["DEBUG:  pg_kafka"]);
    set(&server, "log_min_messages", "debug1");
    let line = log.line_with("DEBUG:  pg_kafka: topics not loaded");
    assert!(line.contains("locked"), "{line}");
    transaction.rollback().unwrap();

    // Both settings are taken over at once, and of this one it can be seen.
    beside.batch_execute("ALTER SYSTEM SET log_min_messages = error").unwrap();
    set(&server, "pg_kafka.log_connections", "on");
    eventually("the broker took over the settings", || {
        inform(&server);
        log.lines_with("connection received").pop()
    });
    let quiet = LogSince::now(&server);
    warn(&server);
    let name = inform(&server);
    quiet.line_with(&format!("LOG:  pg_kafka: topic {name} was made automatically"));
    quiet.assert_none(&["WARNING:  pg_kafka", "DEBUG:  pg_kafka"]);
    kept.is_served(&server);
}
