//! OffsetForLeaderEpoch: where an epoch ended, by which clients find out about truncation.

use crate::code;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::offset_for_leader_epoch_response::EpochEndOffset;
use kafka_protocol::messages::OffsetForLeaderEpochRequest;
use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::requests::{append, read_all};
use kafka_test::server::Server;
use kafka_test::topic::{unique_name, Topic};
use uuid::Uuid;

fn ask(connection: &mut Connection, version: i16, topic: &Topic, partition: i32, epoch: i32, current: i32) -> EpochEndOffset {
    let wanted = OffsetForLeaderPartition::default()
        .with_partition(partition)
        .with_leader_epoch(epoch)
        .with_current_leader_epoch(current);
    let entry = OffsetForLeaderTopic::default()
        .with_topic(topic.topic_name())
        .with_partitions(vec![wanted]);
    let mut request = OffsetForLeaderEpochRequest::default().with_topics(vec![entry]);
    if version >= 3 {
        request = request.with_replica_id((-1).into());
    }
    connection.call(version, &request).topics.remove(0).partitions.remove(0)
}

/// Goal: the present epoch ends at the end of the log; one that has not begun is unknown (-1, -1).
#[test]
fn the_present_epoch_ends_at_the_end_of_the_log() {
    let server = Server::shared();
    let topic = server.topic("epoch-end", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["0", "1", "2"]));
    let epoch = read_all(&mut connection, &topic, 0, 0)[0].leader_epoch;
    for version in 2..=4 {
        let present = ask(&mut connection, version, &topic, 0, epoch, -1);
        assert_eq!((present.error_code, present.partition), (0, 0), "version {version}");
        assert_eq!((present.leader_epoch, present.end_offset), (epoch, 3), "version {version}");
        let confirmed = ask(&mut connection, version, &topic, 0, epoch, epoch);
        assert_eq!((confirmed.error_code, confirmed.end_offset), (0, 3));
        let future = ask(&mut connection, version, &topic, 0, epoch + 1, -1);
        assert_eq!(
            (future.error_code, future.leader_epoch, future.end_offset),
            (0, -1, -1),
            "version {version}"
        );
    }
}

/// Goal: the client's idea of the present epoch is checked; unknown topics and partitions have their code.
#[test]
fn refusals() {
    let server = Server::shared();
    let topic = server.topic("epoch-refused", 1);
    let unknown = Topic {
        name: unique_name("unknown"),
        id: Uuid::nil(),
    };
    let mut connection = server.connect();
    for version in 2..=4 {
        let newer = ask(&mut connection, version, &topic, 0, 0, i32::MAX);
        assert_eq!(
            (newer.error_code, newer.end_offset),
            (code::UNKNOWN_LEADER_EPOCH, -1),
            "version {version}"
        );
        for (target, partition) in [(&topic, 1), (&unknown, 0)] {
            let answer = ask(&mut connection, version, target, partition, 0, -1);
            assert_eq!(
                (answer.error_code, answer.end_offset),
                (code::UNKNOWN_TOPIC_OR_PARTITION, -1),
                "version {version}"
            );
        }
    }
}
