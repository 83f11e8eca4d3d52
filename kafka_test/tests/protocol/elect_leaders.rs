//! ElectLeaders with one broker, which leads everything already.

use crate::code;
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse};
use kafka_test::connection::Connection;
use kafka_test::server::Server;
use kafka_test::topic::{topic_name, unique_name};

const NOT_NEEDED: &str = "Leader election not needed for topic partition.";

fn elect(
    connection: &mut Connection,
    version: i16,
    election_type: i8,
    topics: Option<&[(&str, &[i32])]>,
) -> ElectLeadersResponse {
    let topics = topics.map(|topics| {
        let topic = |(name, partitions): &(&str, &[i32])| {
            TopicPartitions::default()
                .with_topic(topic_name(name))
                .with_partitions(partitions.to_vec())
        };
        topics.iter().map(topic).collect()
    });
    let mut request = ElectLeadersRequest::default()
        .with_timeout_ms(20_000)
        .with_topic_partitions(topics);
    if version >= 1 {
        request = request.with_election_type(election_type);
    }
    connection.call(version, &request)
}

/// (topic, [(partition, code, message)]) of each.
type Results = Vec<(String, Vec<(i32, i16, String)>)>;

fn results(reply: &ElectLeadersResponse) -> Results {
    let topics = reply.replica_election_results.iter().map(|topic| {
        let partitions = topic.partition_result.iter().map(|result| {
            let message = result.error_message.as_ref().map_or_else(String::new, ToString::to_string);
            (result.partition_id, result.error_code, message)
        });
        (topic.topic.to_string(), partitions.collect())
    });
    topics.collect()
}

/// Goal: whatever leads needs no election, of either type; what does not exist is unknown.
#[test]
fn no_election_is_needed() {
    let server = Server::shared();
    let topic = server.topic("elected", 2);
    let unknown = unique_name("unknown");
    let mut connection = server.connect();
    for (version, election_type) in [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)] {
        let asked: &[(&str, &[i32])] = &[(&topic.name, &[1, 0, 2]), (&unknown, &[0])];
        let reply = elect(&mut connection, version, election_type, Some(asked));
        let not_needed = |partition| (partition, code::ELECTION_NOT_NEEDED, NOT_NEEDED.to_owned());
        let unknown_partition = format!("No such partition as {}-2", topic.name);
        let expected = vec![
            (
                topic.name.clone(),
                vec![
                    not_needed(1),
                    not_needed(0),
                    (2, code::UNKNOWN_TOPIC_OR_PARTITION, unknown_partition),
                ],
            ),
            (
                unknown.clone(),
                vec![(0, code::UNKNOWN_TOPIC_OR_PARTITION, format!("No such topic as {unknown}"))],
            ),
        ];
        assert_eq!((reply.error_code, results(&reply)), (0, expected), "version {version}");
    }
}

/// Goal: no list means all topics, of which those partitions are told that needed an election: none. An empty list is nothing.
#[test]
fn all_partitions_and_none() {
    let server = Server::shared();
    let topic = server.topic("elected-all", 1);
    let mut connection = server.connect();
    for version in 0..=2 {
        let all = elect(&mut connection, version, 0, None);
        assert_eq!(all.error_code, 0);
        let all = results(&all);
        assert!(all.contains(&(topic.name.clone(), vec![])), "version {version}");
        assert!(all.iter().all(|(_, partitions)| partitions.is_empty()));
        let none = elect(&mut connection, version, 0, Some(&[]));
        assert_eq!((none.error_code, none.replica_election_results.len()), (0, 0));
    }
}

/// Goal: an election of an unknown type is INVALID_REQUEST, for the reply and each partition, existing or not.
#[test]
fn unknown_types_are_refused() {
    let server = Server::shared();
    let topic = server.topic("elected-oddly", 1);
    let mut connection = server.connect();
    for version in 1..=2 {
        for election_type in [2, -1] {
            let asked: &[(&str, &[i32])] = &[(&topic.name, &[0, 5])];
            let reply = elect(&mut connection, version, election_type, Some(asked));
            let message = format!("Unknown election type {election_type}");
            let refused = |partition| (partition, code::INVALID_REQUEST, message.clone());
            let expected = vec![(topic.name.clone(), vec![refused(0), refused(5)])];
            assert_eq!((reply.error_code, results(&reply)), (code::INVALID_REQUEST, expected));
            let all = elect(&mut connection, version, election_type, None);
            assert_eq!(
                (all.error_code, all.replica_election_results.len()),
                (code::INVALID_REQUEST, 0)
            );
            assert_eq!(elect(&mut connection, version, election_type, Some(&[])).error_code, 0);
        }
    }
}
