//! DescribeLogDirs: one directory, with the sizes of the partitions in it.

use bytes::Bytes;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult;
use kafka_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, ResponseHeader};
use kafka_protocol::protocol::Decodable;
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::requests::append;
use kafka_test::server::Server;
use kafka_test::topic::{topic_name, unique_name};

/// The newest version that the codec knows. Version 5 has a byte more at the end of each directory: whether it is cordoned.
const CODEC: i16 = 4;

/// The reply of version 5, after its additional byte was found to be 0 and taken out: behind it are only two bytes, the empty tagged
/// fields of the directory and of the reply.
fn receive_version_5(connection: &mut Connection, request: &DescribeLogDirsRequest) -> DescribeLogDirsResponse {
    let sent = connection.send_as(5, CODEC, request);
    let mut frame = connection.read_frame().expect("a reply");
    assert_eq!(frame.remove(frame.len() - 3), 0, "not cordoned");
    let mut frame = Bytes::from(frame);
    let header = ResponseHeader::decode(&mut frame, 1).unwrap();
    assert_eq!(header.correlation_id, sent.correlation_id);
    let reply = DescribeLogDirsResponse::decode(&mut frame, CODEC).unwrap();
    assert!(frame.is_empty());
    reply
}

fn describe(connection: &mut Connection, version: i16, topics: Option<&[(&str, &[i32])]>) -> DescribeLogDirsResult {
    let topics = topics.map(|topics| {
        let topic = |(name, partitions): &(&str, &[i32])| {
            DescribableLogDirTopic::default()
                .with_topic(topic_name(name))
                .with_partitions(partitions.to_vec())
        };
        topics.iter().map(topic).collect()
    });
    let request = DescribeLogDirsRequest::default().with_topics(topics);
    let mut reply = match version {
        5 => receive_version_5(connection, &request),
        _ => connection.call(version, &request),
    };
    assert_eq!((reply.error_code, reply.results.len()), (0, 1), "version {version}");
    let result = reply.results.remove(0);
    assert_eq!(result.error_code, 0);
    assert!(result.log_dir.starts_with('/'));
    if version >= 4 {
        assert!(result.total_bytes >= result.usable_bytes && result.usable_bytes > 0);
    }
    result
}

/// (partition, size) of a topic, by partition.
fn sizes(result: &DescribeLogDirsResult, topic: &str) -> Vec<(i32, i64)> {
    let found = result.topics.iter().filter(|found| found.name.0.as_str() == topic);
    let partitions = found.flat_map(|topic| &topic.partitions).map(|partition| {
        assert_eq!((partition.offset_lag, partition.is_future_key), (0, false));
        (partition.partition_index, partition.partition_size)
    });
    let mut sizes: Vec<_> = partitions.collect();
    sizes.sort_unstable();
    sizes
}

/// Goal: every version tells the size of each partition: nothing at first, at least what was appended then, more where there is more.
#[test]
fn sizes_of_partitions() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in 1..=5 {
        let topic = server.topic("sized", 3);
        let empty = describe(&mut connection, version, None);
        assert_eq!(sizes(&empty, &topic.name), [(0, 0), (1, 0), (2, 0)], "version {version}");
        let value = "v".repeat(10_000);
        for _ in 0..10 {
            append(&mut connection, &topic, 0, &Batch::of([value.as_str()]));
            append(&mut connection, &topic, 2, &Batch::of([value.as_str(), &value, &value]));
        }
        let all = sizes(&describe(&mut connection, version, None), &topic.name);
        let (first, last) = (all[0].1, all[2].1);
        assert!((100_000..200_000).contains(&first), "version {version}: {all:?}");
        assert!((300_000..600_000).contains(&last) && all[1] == (1, 0), "{all:?}");
        let asked: &[(&str, &[i32])] = &[(&topic.name, &[2, 1])];
        assert_eq!(sizes(&describe(&mut connection, version, Some(asked)), &topic.name), all[1..]);
    }
}

/// Goal: what does not exist is left out, with the topic that has nothing else; a topic that stands twice is answered once.
#[test]
fn what_does_not_exist_is_left_out() {
    let server = Server::shared();
    let (topic, other) = (server.topic("listed", 2), server.topic("unlisted", 1));
    let unknown = unique_name("unknown");
    let mut connection = server.connect();
    for version in 1..=5 {
        let asked: &[(&str, &[i32])] = &[
            (&topic.name, &[1, 7]),
            (&unknown, &[0]),
            (&other.name, &[]),
            (&topic.name, &[0, -1, 1]),
        ];
        let result = describe(&mut connection, version, Some(asked));
        assert_eq!(result.topics.len(), 1, "version {version}");
        assert_eq!(sizes(&result, &topic.name), [(0, 0), (1, 0)]);
        assert!(describe(&mut connection, version, Some(&[])).topics.is_empty());
    }
}
