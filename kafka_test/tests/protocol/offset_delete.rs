//! OffsetDelete: offsets that are forgotten, of topics that nobody in the group is subscribed to.

use crate::code;
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use kafka_test::connection::Connection;
use kafka_test::groups::{group_id, subscription, Joining, Member};
use kafka_test::offsets::{commit_one, committed};
use kafka_test::server::Server;
use kafka_test::topic::topic_name;

fn delete(connection: &mut Connection, group: &str, topics: &[(&str, &[i32])]) -> OffsetDeleteResponse {
    let entry = |(name, partitions): &(&str, &[i32])| {
        let partitions = partitions
            .iter()
            .map(|p| OffsetDeleteRequestPartition::default().with_partition_index(*p));
        OffsetDeleteRequestTopic::default()
            .with_name(topic_name(name))
            .with_partitions(partitions.collect())
    };
    let request = OffsetDeleteRequest::default()
        .with_group_id(group_id(group))
        .with_topics(topics.iter().map(entry).collect());
    connection.call(0, &request)
}

/// Topic, partition and error of each partition, sorted.
fn errors(reply: &OffsetDeleteResponse) -> Vec<(String, i32, i16)> {
    let mut found: Vec<_> = reply
        .topics
        .iter()
        .flat_map(|t| {
            t.partitions
                .iter()
                .map(|p| (t.name.to_string(), p.partition_index, p.error_code))
        })
        .collect();
    found.sort_unstable();
    found
}

/// Goal: the offsets that are named are gone, with or without one there, and no other; unknown topics and partitions fail alone.
#[test]
fn offsets_are_forgotten() {
    let server = Server::shared();
    let topic = server.topic("forgotten", 3);
    let group = server.group("forgotten");
    let mut connection = server.connect();
    for partition in 0..2 {
        assert_eq!(commit_one(&mut connection, 9, &group, &topic, partition, 8), 0);
    }
    let reply = delete(
        &mut connection,
        &group,
        &[(&topic.name, &[0, 2, 9]), ("zz-no-such-topic", &[0])],
    );
    assert_eq!(reply.error_code, 0);
    let unknown = code::UNKNOWN_TOPIC_OR_PARTITION;
    let expected = [
        (topic.name.clone(), 0, 0),
        (topic.name.clone(), 2, 0),
        (topic.name.clone(), 9, unknown),
        ("zz-no-such-topic".to_owned(), 0, unknown),
    ];
    assert_eq!(errors(&reply), expected);
    let offsets = [0, 1].map(|partition| committed(&mut connection, &group, &topic, partition));
    assert_eq!(offsets, [-1, 8]);
}

/// Goal: groups that are not there, or not named, are refused as a whole.
#[test]
fn wrong_groups_are_refused() {
    let server = Server::shared();
    let topic = server.topic("delete-wrong", 1);
    let mut connection = server.connect();
    let nowhere = server.group("nowhere");
    for (group, error) in [(nowhere.as_str(), code::GROUP_ID_NOT_FOUND), ("", code::INVALID_GROUP_ID)] {
        let reply = delete(&mut connection, group, &[(&topic.name, &[0])]);
        assert_eq!((reply.error_code, reply.topics.len()), (error, 0), "{group:?}");
    }
}

/// Goal: of a group of consumers the offsets of topics that a member is subscribed to stay, those of others go.
#[test]
fn subscribed_topics_keep_their_offsets() {
    let server = Server::shared();
    let (wanted, other) = (server.topic("a-wanted", 1), server.topic("b-other", 1));
    let group = server.group("subscribed");
    let said = subscription(&[&wanted.name], b"");
    let joining = Joining::new(&group).protocols(&[("range", &said)]);
    let mut members = Member::stable_group_of(server, vec![joining]);
    for topic in [&wanted, &other] {
        assert_eq!(members[0].commit(topic, 0, 4), 0);
    }
    let connection = &mut members[0].connection;
    let reply = delete(connection, &group, &[(&wanted.name, &[0]), (&other.name, &[0])]);
    assert_eq!(reply.error_code, 0);
    let expected = [
        (wanted.name.clone(), 0, code::GROUP_SUBSCRIBED_TO_TOPIC),
        (other.name.clone(), 0, 0),
    ];
    assert_eq!(errors(&reply), expected);
    assert_eq!(committed(connection, &group, &wanted, 0), 4);
    assert_eq!(committed(connection, &group, &other, 0), -1);
}

/// Goal: a group of another type that has members keeps all its offsets, because nobody knows what it reads.
#[test]
fn groups_of_other_types_keep_theirs_while_they_have_members() {
    let server = Server::shared();
    let topic = server.topic("delete-connect", 1);
    let group = server.group("connect");
    let joining = Joining {
        protocol_type: "connect".to_owned(),
        ..Joining::new(&group)
    };
    let mut members = Member::stable_group_of(server, vec![joining]);
    assert_eq!(members[0].commit(&topic, 0, 4), 0);
    let reply = delete(&mut members[0].connection, &group, &[(&topic.name, &[0])]);
    assert_eq!((reply.error_code, reply.topics.len()), (code::NON_EMPTY_GROUP, 0));
    assert_eq!(members[0].leave(), 0);
    let reply = delete(&mut members[0].connection, &group, &[(&topic.name, &[0])]);
    assert_eq!((reply.error_code, errors(&reply)), (0, vec![(topic.name.clone(), 0, 0)]));
}
