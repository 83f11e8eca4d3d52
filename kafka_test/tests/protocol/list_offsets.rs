//! ListOffsets: ends of the log, look-ups by time, and every special timestamp.

use crate::code;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{DeleteRecordsRequest, ListOffsetsRequest};
use kafka_test::batch::{now_ms, Batch};
use kafka_test::compression::Codec;
use kafka_test::requests::{append, list_offsets, Found};
use kafka_test::server::Server;
use kafka_test::topic::{unique_name, Topic};
use uuid::Uuid;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

fn found(offset: i64, timestamp: i64) -> Found {
    Found {
        error_code: 0,
        timestamp,
        offset,
    }
}

const NOTHING: Found = Found {
    error_code: 0,
    timestamp: -1,
    offset: -1,
};

fn delete_before(topic: &Topic, offset: i64) {
    use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    let entry = DeleteRecordsTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![partition]);
    let reply = Server::shared().connect().call(
        2,
        &DeleteRecordsRequest::default()
            .with_timeout_ms(20_000)
            .with_topics(vec![entry]),
    );
    assert_eq!(reply.topics[0].partitions[0].error_code, 0);
}

/// Goal: at every version, the ends of an empty log and of one with records and a moved start.
#[test]
fn the_ends_of_the_log() {
    let server = Server::shared();
    let topic = server.topic("ends", 1);
    let mut connection = server.connect();
    for version in 1..=11 {
        assert_eq!(
            list_offsets(&mut connection, version, &topic, 0, EARLIEST),
            found(0, -1),
            "version {version}"
        );
        assert_eq!(
            list_offsets(&mut connection, version, &topic, 0, LATEST),
            found(0, -1),
            "version {version}"
        );
    }
    append(&mut connection, &topic, 0, &Batch::of(["0", "1", "2", "3"]));
    delete_before(&topic, 2);
    for version in 1..=11 {
        assert_eq!(
            list_offsets(&mut connection, version, &topic, 0, EARLIEST),
            found(2, -1),
            "version {version}"
        );
        assert_eq!(
            list_offsets(&mut connection, version, &topic, 0, LATEST),
            found(4, -1),
            "version {version}"
        );
    }
}

/// Goal: by time, the first record at or after it is found, also inside batches and in every codec; none is -1 without an error.
#[test]
fn the_first_record_at_or_after_a_time() {
    let server = Server::shared();
    let mut connection = server.connect();
    for codec in Codec::ALL {
        let topic = server.topic("by-time", 1);
        let base = now_ms() - 1_000_000;
        for start in [0, 100, 200] {
            let mut batch = Batch::of(["a", "b", "c"]).at(base + start).compressed(codec);
            for (i, record) in batch.records.iter_mut().enumerate() {
                record.timestamp_delta = 10 * i as i64;
            }
            append(&mut connection, &topic, 0, &batch);
        }
        for version in 1..=11 {
            for (time, offset, timestamp) in [
                (0, 0, 0),
                (1, 1, 10),
                (10, 1, 10),
                (15, 2, 20),
                (20, 2, 20),
                (21, 3, 100),
                (101, 4, 110),
                (111, 5, 120),
                (220, 8, 220),
            ] {
                let answer = list_offsets(&mut connection, version, &topic, 0, base + time);
                assert_eq!(
                    answer,
                    found(offset, base + timestamp),
                    "{} +{time} version {version}",
                    codec.name()
                );
            }
            assert_eq!(list_offsets(&mut connection, version, &topic, 0, 0), found(0, base));
            assert_eq!(
                list_offsets(&mut connection, version, &topic, 0, base + 221),
                NOTHING,
                "version {version}"
            );
        }
    }
}

/// Goal: times need not rise: the first offset whose time is at or after the one asked, wherever it stands.
#[test]
fn times_need_not_rise() {
    let server = Server::shared();
    let topic = server.topic("by-time-unordered", 1);
    let mut connection = server.connect();
    let base = now_ms() - 1_000_000;
    for time in [500, 100, 900, 300] {
        append(&mut connection, &topic, 0, &Batch::of(["x"]).at(base + time));
    }
    for (time, offset, timestamp) in [(0, 0, 500), (200, 0, 500), (501, 2, 900), (900, 2, 900)] {
        assert_eq!(
            list_offsets(&mut connection, 7, &topic, 0, base + time),
            found(offset, base + timestamp),
            "+{time}"
        );
    }
    assert_eq!(list_offsets(&mut connection, 7, &topic, 0, base + 901), NOTHING);
}

/// Goal: a look-up by time does not find what DeleteRecords took away.
#[test]
fn deleted_records_are_not_found_by_time() {
    let server = Server::shared();
    let topic = server.topic("by-time-deleted", 1);
    let mut connection = server.connect();
    let base = now_ms() - 1_000_000;
    append(&mut connection, &topic, 0, &Batch::of(["0", "1", "2", "3"]).at(base));
    append(&mut connection, &topic, 0, &Batch::of(["4"]).at(base + 100));
    delete_before(&topic, 4);
    assert_eq!(list_offsets(&mut connection, 7, &topic, 0, base), found(4, base + 100));
}

/// Goal: -3 (version 7 on) is the record with the largest time, of which the first; with no record at all it is -1.
#[test]
fn the_record_with_the_largest_time() {
    let server = Server::shared();
    let topic = server.topic("max-time", 1);
    let mut connection = server.connect();
    let base = now_ms() - 1_000_000;
    assert_eq!(list_offsets(&mut connection, 7, &topic, 0, MAX_TIMESTAMP), NOTHING);
    for (codec, times) in [
        (Codec::None, [10, 30, 20]),
        (Codec::Lz4, [15, 90, 40]),
        (Codec::Zstd, [50, 60, 5]),
    ] {
        let mut batch = Batch::of(["a", "b", "c"]).at(base).compressed(codec);
        for (record, time) in batch.records.iter_mut().zip(times) {
            record.timestamp_delta = time;
        }
        append(&mut connection, &topic, 0, &batch);
    }
    for version in 7..=11 {
        assert_eq!(
            list_offsets(&mut connection, version, &topic, 0, MAX_TIMESTAMP),
            found(4, base + 90),
            "version {version}"
        );
    }
}

/// Goal: what only tiered storage has: the local start is the start, nothing is tiered.
#[test]
fn without_tiered_storage() {
    let server = Server::shared();
    let topic = server.topic("tiered", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["0", "1"]));
    delete_before(&topic, 1);
    for version in 8..=11 {
        assert_eq!(
            list_offsets(&mut connection, version, &topic, 0, EARLIEST_LOCAL),
            found(1, -1),
            "version {version}"
        );
    }
    for version in 9..=11 {
        assert_eq!(
            list_offsets(&mut connection, version, &topic, 0, LATEST_TIERED),
            NOTHING,
            "version {version}"
        );
    }
    assert_eq!(list_offsets(&mut connection, 11, &topic, 0, EARLIEST_PENDING_UPLOAD), NOTHING);
}

/// Goal: a special timestamp that a version does not have is UNSUPPORTED_VERSION for the partition.
#[test]
fn special_timestamps_have_their_versions() {
    let server = Server::shared();
    let topic = server.topic("sentinels", 1);
    let mut connection = server.connect();
    let since = [
        (MAX_TIMESTAMP, 7),
        (EARLIEST_LOCAL, 8),
        (LATEST_TIERED, 9),
        (EARLIEST_PENDING_UPLOAD, 11),
        (-7, 12),
        (i64::MIN, 12),
    ];
    for version in 1..=11 {
        for (timestamp, first) in since {
            let answer = list_offsets(&mut connection, version, &topic, 0, timestamp);
            let expected = if version < first { code::UNSUPPORTED_VERSION } else { 0 };
            assert_eq!(answer.error_code, expected, "timestamp {timestamp} version {version}");
        }
    }
}

/// Goal: a partition that stands twice in a request is INVALID_REQUEST; others beside it are answered.
#[test]
fn a_partition_named_twice_is_refused() {
    let server = Server::shared();
    let topic = server.topic("twice", 2);
    let mut connection = server.connect();
    let partition = |index| {
        ListOffsetsPartition::default()
            .with_partition_index(index)
            .with_timestamp(LATEST)
    };
    let entry = ListOffsetsTopic::default()
        .with_name(topic.topic_name())
        .with_partitions(vec![partition(0), partition(1), partition(0)]);
    for version in 1..=10 {
        let reply = connection.call(version, &ListOffsetsRequest::default().with_topics(vec![entry.clone()]));
        for answer in reply.topics.iter().flat_map(|t| &t.partitions) {
            let expected = if answer.partition_index == 0 {
                code::INVALID_REQUEST
            } else {
                0
            };
            assert_eq!(
                answer.error_code, expected,
                "partition {} version {version}",
                answer.partition_index
            );
        }
    }
}

/// Goal: topics and partitions that do not exist; the client's leader epoch is checked (version 4 on).
#[test]
fn unknown_partitions_and_epochs() {
    let server = Server::shared();
    let topic = server.topic("listed", 1);
    let unknown = Topic {
        name: unique_name("unknown"),
        id: Uuid::nil(),
    };
    let mut connection = server.connect();
    for version in 1..=11 {
        for (target, partition) in [(&topic, 1), (&topic, -1), (&unknown, 0)] {
            let answer = list_offsets(&mut connection, version, target, partition, LATEST);
            let expected = Found {
                error_code: code::UNKNOWN_TOPIC_OR_PARTITION,
                timestamp: -1,
                offset: -1,
            };
            assert_eq!(answer, expected, "version {version} partition {partition}");
        }
    }
    for version in 4..=10 {
        let partition = ListOffsetsPartition::default()
            .with_partition_index(0)
            .with_timestamp(LATEST)
            .with_current_leader_epoch(i32::MAX);
        let entry = ListOffsetsTopic::default()
            .with_name(topic.topic_name())
            .with_partitions(vec![partition]);
        let reply = connection.call(version, &ListOffsetsRequest::default().with_topics(vec![entry]));
        assert_eq!(
            reply.topics[0].partitions[0].error_code,
            code::UNKNOWN_LEADER_EPOCH,
            "version {version}"
        );
    }
}

/// Goal: version 4 on, an answer carries the leader epoch of what it found.
#[test]
fn answers_carry_the_leader_epoch() {
    let server = Server::shared();
    let topic = server.topic("list-epoch", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["x"]));
    let epoch = kafka_test::requests::read_all(&mut connection, &topic, 0, 0)[0].leader_epoch;
    for version in 4..=10 {
        for timestamp in [LATEST, EARLIEST, 0] {
            let request = kafka_test::requests::list_offsets_request(&topic, 0, timestamp);
            let answer = connection.call(version, &request).topics.remove(0).partitions.remove(0);
            assert_eq!(answer.leader_epoch, epoch, "timestamp {timestamp} version {version}");
        }
    }
}
