//! Subscriptions and assignments as bytes, held against the kafka-protocol crate.

use ::bytes::Buf;
use kafka_protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use kafka_protocol::messages::consumer_protocol_subscription::{ConsumerProtocolSubscription, TopicPartition};
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::super::protocol::{write_assignment, Subscription};
use super::*;

fn name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

fn encoded(version: i16) -> Bytes {
    let owned = TopicPartition::default().with_topic(name("a")).with_partitions(vec![1, 2]);
    let mut message = ConsumerProtocolSubscription::default()
        .with_topics(["a", "bc"].map(StrBytes::from_static_str).to_vec())
        .with_user_data(Some(Bytes::from_static(b"data")));
    if version >= 1 {
        message = message.with_owned_partitions(vec![owned]);
    }
    if version >= 2 {
        message = message.with_generation_id(7);
    }
    if version >= 3 {
        message = message.with_rack_id(Some(StrBytes::from_static_str("rack")));
    }
    let mut bytes = BytesMut::new();
    bytes.put_i16(version);
    message.encode(&mut bytes, version).unwrap();
    bytes.freeze()
}

/// What the crate writes in any version is read, and what is cut short is not.
#[test]
fn subscriptions_are_read() {
    for version in 0..=3 {
        let bytes = encoded(version);
        let expected = Subscription {
            topics: vec!["a".to_owned(), "bc".to_owned()],
            owned: if version >= 1 {
                vec![("a".to_owned(), vec![1, 2])]
            } else {
                Vec::new()
            },
            rack_id: (version >= 3).then(|| "rack".to_owned()),
        };
        assert_eq!(Subscription::read(&bytes), Some(expected), "version {version}");
        for length in 0..bytes.len() {
            assert_eq!(
                Subscription::read(&bytes[..length]),
                None,
                "version {version} cut to {length}"
            );
        }
    }
}

/// A version that is not known yet is read as the last one; a negative version, count or length is no subscription.
#[test]
fn strange_subscriptions() {
    let mut later = encoded(3).to_vec();
    later[1] = 9;
    later.push(1);
    assert_eq!(Subscription::read(&later), Subscription::read(&encoded(3)));
    for (at, value) in [(0, 255), (2, 255), (2, 127), (6, 255), (6, 127)] {
        let mut bytes = encoded(3).to_vec();
        bytes[at] = value;
        assert_eq!(Subscription::read(&bytes), None, "byte {at} is {value}");
    }
}

/// An assignment is written in the version of the subscription, and the crate and we read it.
#[test]
fn assignments_are_written_and_read() {
    let script = Script::new(&[("a", 3), ("b", 1)]);
    let partitions = script.of(&[("a", &[0, 2]), ("b", &[0])]).unwrap();
    for (version, written) in [(0, 0), (3, 3), (9, 3)] {
        let mut subscription = encoded(0).to_vec();
        subscription[1] = version;
        let bytes = write_assignment(&partitions, &subscription, &script.topics);
        let (named, has_user_data) = read_assignment(&bytes).unwrap();
        assert_eq!((by_id(&named, &script.topics), has_user_data), (partitions.clone(), false));
        let mut rest = bytes.clone();
        assert_eq!(rest.get_i16(), written);
        let message = ConsumerProtocolAssignment::decode(&mut rest, written).unwrap();
        let topics: Vec<_> = message
            .assigned_partitions
            .iter()
            .map(|topic| (topic.topic.clone(), topic.partitions.clone()))
            .collect();
        assert_eq!(topics, [(name("a"), vec![0, 2]), (name("b"), vec![0])]);
        for length in 1..bytes.len() {
            assert_eq!(read_assignment(&bytes[..length]), None, "cut to {length}");
        }
    }
    assert_eq!(read_assignment(&[]), Some((Vec::new(), false)), "a member that never synced");
    let with_user_data = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7];
    assert_eq!(read_assignment(&with_user_data), Some((Vec::new(), true)));
}
