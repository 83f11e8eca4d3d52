//! What librdkafka and kcat are told of all topics.

use kafka_test::clients::consumer;
use kafka_test::kcat::kcat;
use kafka_test::patience::PATIENCE;
use kafka_test::server::Server;
use rdkafka::consumer::Consumer;

/// Goal: librdkafka gets the metadata of all topics. Its request has bytes after its end (2.12).
#[test]
fn librdkafka_lists_all_topics() {
    let server = Server::shared();
    let topic = server.topic("listed", 3);
    let metadata = consumer(server, &topic.name, 0).fetch_metadata(None, PATIENCE).unwrap();
    let found = metadata.topics().iter().find(|found| found.name() == topic.name).unwrap();
    assert_eq!(found.partitions().len(), 3);
}

/// Goal: so does kcat.
#[test]
fn kcat_lists_all_topics() {
    let server = Server::shared();
    let topic = server.topic("listed", 3);
    let listed = String::from_utf8(kcat(server, &["-L"], b"")).unwrap();
    let line = format!("topic \"{}\" with 3 partitions:", topic.name);
    assert!(listed.contains(&line), "{listed}");
}
