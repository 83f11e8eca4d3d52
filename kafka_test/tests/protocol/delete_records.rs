//! DeleteRecords: the start of the log moves forward, and what is below it is gone.

use crate::code;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_records_response::DeleteRecordsPartitionResult;
use kafka_protocol::messages::DeleteRecordsRequest;
use kafka_test::batch::{Batch, Stored};
use kafka_test::connection::Connection;
use kafka_test::requests::{append, fetch, latest, list_offsets, produce_bytes, Reading};
use kafka_test::server::Server;
use kafka_test::topic::{unique_name, Topic};
use uuid::Uuid;

fn delete(connection: &mut Connection, version: i16, topic: &Topic, partition: i32, offset: i64) -> DeleteRecordsPartitionResult {
    let wanted = DeleteRecordsPartition::default()
        .with_partition_index(partition)
        .with_offset(offset);
    let entry = DeleteRecordsTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![wanted]);
    let reply = connection.call(
        version,
        &DeleteRecordsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(vec![entry]),
    );
    reply.topics[0].partitions[0].clone()
}

/// Goal: every version moves the start: the reply, ListOffsets, Fetch and Produce say so, and offsets go on as before.
#[test]
fn the_start_moves() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in 0..=2 {
        let topic = server.topic("trimmed", 1);
        for value in ["0", "1", "2", "3", "4", "5"] {
            append(&mut connection, &topic, 0, &Batch::of([value]));
        }
        let result = delete(&mut connection, version, &topic, 0, 4);
        assert_eq!(
            (result.error_code, result.partition_index, result.low_watermark),
            (0, 0, 4),
            "version {version}"
        );
        assert_eq!(list_offsets(&mut connection, 7, &topic, 0, -2).offset, 4);
        assert_eq!(latest(&mut connection, &topic, 0), 6);
        let below = fetch(&mut connection, 18, &topic, Reading::from(3));
        assert_eq!(below.error_code, code::OFFSET_OUT_OF_RANGE, "below the start");
        let data = fetch(&mut connection, 18, &topic, Reading::from(4));
        assert_eq!((data.error_code, data.log_start_offset, data.high_watermark), (0, 4, 6));
        assert_eq!(Stored::all(&data.records.unwrap())[0].base_offset, 4);
        let produced = produce_bytes(&mut connection, 13, &topic, 0, -1, &Batch::of(["6"]).encode());
        assert_eq!((produced.base_offset, produced.log_start_offset), (6, 4));
    }
}

/// Goal: an offset inside a batch becomes the start; the batch still comes whole, and the client trims it.
#[test]
fn the_start_may_be_inside_a_batch() {
    let server = Server::shared();
    let topic = server.topic("trimmed-inside", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["0", "1", "2"]));
    assert_eq!(delete(&mut connection, 2, &topic, 0, 1).low_watermark, 1);
    assert_eq!(
        fetch(&mut connection, 18, &topic, Reading::from(0)).error_code,
        code::OFFSET_OUT_OF_RANGE
    );
    let data = fetch(&mut connection, 18, &topic, Reading::from(1));
    assert_eq!(Stored::all(&data.records.unwrap())[0].base_offset, 0);
}

/// Goal: -1 stands for the high watermark: everything goes, and the next offset is the old end.
#[test]
fn minus_one_is_everything() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in 0..=2 {
        let topic = server.topic("emptied", 1);
        append(&mut connection, &topic, 0, &Batch::of(["0", "1", "2"]));
        let result = delete(&mut connection, version, &topic, 0, -1);
        assert_eq!((result.error_code, result.low_watermark), (0, 3), "version {version}");
        let data = fetch(&mut connection, 18, &topic, Reading::from(3));
        assert_eq!((data.error_code, data.log_start_offset, data.high_watermark), (0, 3, 3));
        assert_eq!(append(&mut connection, &topic, 0, &Batch::of(["3"])), 3);
    }
}

/// Goal: an offset below the start changes nothing and is no error.
#[test]
fn the_start_never_moves_back() {
    let server = Server::shared();
    let topic = server.topic("trimmed-twice", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["0", "1", "2"]));
    assert_eq!(delete(&mut connection, 2, &topic, 0, 2).low_watermark, 2);
    for offset in [0, 1, 2] {
        let again = delete(&mut connection, 2, &topic, 0, offset);
        assert_eq!((again.error_code, again.low_watermark), (0, 2), "offset {offset}");
    }
}

/// Goal: offsets beyond the high watermark or below -1 are OFFSET_OUT_OF_RANGE; what does not exist is unknown. Nothing is deleted.
#[test]
fn refusals() {
    let server = Server::shared();
    let topic = server.topic("untrimmed", 1);
    let unknown = Topic {
        name: unique_name("unknown"),
        id: Uuid::nil(),
    };
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["0", "1"]));
    for version in 0..=2 {
        for offset in [3, i64::MAX, -2] {
            let result = delete(&mut connection, version, &topic, 0, offset);
            assert_eq!(
                (result.error_code, result.low_watermark),
                (code::OFFSET_OUT_OF_RANGE, -1),
                "offset {offset}"
            );
        }
        for (target, partition) in [(&topic, 1), (&unknown, 0)] {
            let result = delete(&mut connection, version, target, partition, 0);
            assert_eq!(
                (result.error_code, result.low_watermark),
                (code::UNKNOWN_TOPIC_OR_PARTITION, -1)
            );
        }
    }
    assert_eq!(list_offsets(&mut connection, 7, &topic, 0, -2).offset, 0);
}

/// Goal: a topic that is only compacted keeps its records: POLICY_VIOLATION.
#[test]
fn compacted_topics_are_not_trimmed() {
    let server = Server::shared();
    let topic = server.topic_with("compacted", 1, &[("cleanup.policy", "compact")]);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["0"]).keyed("k"));
    assert_eq!(delete(&mut connection, 2, &topic, 0, 1).error_code, 44);
}
