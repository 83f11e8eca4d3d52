//! DeleteTopics: by name and by id, and what stays.

use crate::code;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::DeleteTopicsRequest;
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::requests::{append, fetch, produce_bytes, Reading};
use kafka_test::server::Server;
use kafka_test::topic::{creatable, metadata_of, topic_name, unique_name, Topic};
use uuid::Uuid;

fn by_names(version: i16, names: &[&str]) -> DeleteTopicsRequest {
    let request = DeleteTopicsRequest::default().with_timeout_ms(20_000);
    if version >= 6 {
        let topics = names
            .iter()
            .map(|n| DeleteTopicState::default().with_name(Some(topic_name(n))));
        request.with_topics(topics.collect())
    } else {
        request.with_topic_names(names.iter().map(|n| topic_name(n)).collect())
    }
}

fn by_id(id: Uuid) -> DeleteTopicsRequest {
    let topic = DeleteTopicState::default().with_name(None).with_topic_id(id);
    DeleteTopicsRequest::default()
        .with_timeout_ms(20_000)
        .with_topics(vec![topic])
}

fn gone(connection: &mut Connection, name: &str) {
    eventually(&format!("{name} is gone"), || {
        (metadata_of(connection, name).error_code == code::UNKNOWN_TOPIC_OR_PARTITION).then_some(())
    });
}

/// Goal: every version deletes by name; the topic is then unknown.
#[test]
fn every_version_deletes_by_name() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in 1..=6 {
        let topic = server.topic("deleted", 2);
        append(&mut connection, &topic, 1, &Batch::of(["x"]));
        let reply = connection.call(version, &by_names(version, &[&topic.name]));
        assert_eq!(reply.responses.len(), 1);
        let result = &reply.responses[0];
        assert_eq!(result.error_code, 0, "version {version}");
        assert_eq!(result.name, Some(topic.topic_name()));
        assert_eq!(result.topic_id, if version >= 6 { topic.id } else { Uuid::nil() });
        gone(&mut connection, &topic.name);
    }
}

/// Goal: version 6 deletes by id and names the topic in its reply.
#[test]
fn version_6_deletes_by_id() {
    let server = Server::shared();
    let mut connection = server.connect();
    let topic = server.topic("deleted-by-id", 1);
    let reply = connection.call(6, &by_id(topic.id));
    let result = &reply.responses[0];
    assert_eq!(
        (result.error_code, result.topic_id, result.name.clone()),
        (0, topic.id, Some(topic.topic_name()))
    );
    gone(&mut connection, &topic.name);
    assert_eq!(
        connection.call(6, &by_id(topic.id)).responses[0].error_code,
        code::UNKNOWN_TOPIC_ID
    );
}

/// Goal: what is not there, or not said clearly, is refused: unknown names, unknown ids, both, neither, duplicates.
#[test]
fn unclear_requests_are_refused() {
    let server = Server::shared();
    let mut connection = server.connect();
    let unknown = unique_name("unknown");
    for version in 1..=6 {
        let reply = connection.call(version, &by_names(version, &[&unknown]));
        assert_eq!(
            reply.responses[0].error_code,
            code::UNKNOWN_TOPIC_OR_PARTITION,
            "version {version}"
        );
    }
    assert_eq!(
        connection.call(6, &by_id(Uuid::from_u128(7 << 70 | 9))).responses[0].error_code,
        code::UNKNOWN_TOPIC_ID
    );
    assert_eq!(
        connection.call(6, &by_id(Uuid::nil())).responses[0].error_code,
        code::INVALID_REQUEST
    );

    let topic = server.topic("kept", 1);
    let both = DeleteTopicState::default()
        .with_name(Some(topic.topic_name()))
        .with_topic_id(topic.id);
    let reply = connection.call(
        6,
        &DeleteTopicsRequest::default().with_timeout_ms(20_000).with_topics(vec![both]),
    );
    assert_eq!(reply.responses[0].error_code, code::INVALID_REQUEST, "name and id");
    for version in [5, 6] {
        let reply = connection.call(version, &by_names(version, &[&topic.name, &topic.name]));
        let codes: Vec<i16> = reply.responses.iter().map(|r| r.error_code).collect();
        assert_eq!(codes, [code::INVALID_REQUEST], "a name twice, version {version}");
    }
    assert_eq!(
        metadata_of(&mut connection, &topic.name).topic_id,
        topic.id,
        "the topic is still there"
    );
}

/// Goal: a topic made again under the name of a deleted one is a new one: a new id, empty, and the old id leads nowhere.
#[test]
fn a_topic_made_again_is_a_new_one() {
    let server = Server::shared();
    let mut connection = server.connect();
    let old = server.topic("again", 1);
    append(&mut connection, &old, 0, &Batch::of(["old"]));
    assert_eq!(connection.call(6, &by_id(old.id)).responses[0].error_code, 0);
    gone(&mut connection, &old.name);
    let request = kafka_protocol::messages::CreateTopicsRequest::default()
        .with_timeout_ms(20_000)
        .with_topics(vec![creatable(&old.name, 1, &[])]);
    assert_eq!(connection.call(7, &request).topics[0].error_code, 0);
    let new: Topic = server.ready(&mut connection, &old.name);
    assert_ne!(new.id, old.id);
    let stale = produce_bytes(&mut connection, 13, &old, 0, -1, &Batch::of(["stale"]).encode());
    assert_eq!(stale.error_code, code::UNKNOWN_TOPIC_ID);
    assert_eq!(
        fetch(&mut connection, 13, &old, Reading::from(0)).error_code,
        code::UNKNOWN_TOPIC_ID
    );
    let data = fetch(&mut connection, 13, &new, Reading::from(0));
    assert_eq!((data.error_code, data.high_watermark), (0, 0), "the new topic is empty");
    assert_eq!(append(&mut connection, &new, 0, &Batch::of(["new"])), 0);
}
