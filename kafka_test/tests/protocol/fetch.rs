//! Fetch: which bytes come back for which offset, and every refusal.

use crate::code;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::FetchRequest;
use kafka_test::batch::{Batch, Stored};
use kafka_test::requests::{append, fetch, fetch_request, only_partition_fetched, Reading};
use kafka_test::server::Server;
use kafka_test::topic::{unique_name, Topic};
use uuid::Uuid;

fn batches(records: Option<&bytes::Bytes>) -> Vec<Stored> {
    Stored::all(records.map_or(&[][..], |r| &r[..]))
}

/// Goal: every version gives the whole batch that contains the offset, and all after it; high watermark, stable offset and log start too.
#[test]
fn the_batch_containing_the_offset_comes_whole() {
    let server = Server::shared();
    let topic = server.topic("containing", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["0", "1", "2"]));
    append(&mut connection, &topic, 0, &Batch::of(["3"]));
    append(&mut connection, &topic, 0, &Batch::of(["4", "5"]));
    for version in 4..=18 {
        for (offset, expected) in [
            (0, &[0, 3, 4][..]),
            (1, &[0, 3, 4]),
            (2, &[0, 3, 4]),
            (3, &[3, 4]),
            (4, &[4]),
            (5, &[4]),
        ] {
            let data = fetch(&mut connection, version, &topic, Reading::from(offset));
            assert_eq!((data.error_code, data.partition_index), (0, 0));
            assert_eq!((data.high_watermark, data.last_stable_offset), (6, 6), "version {version}");
            assert_eq!(data.log_start_offset, if version >= 5 { 0 } else { -1 });
            assert_eq!(data.preferred_read_replica.0, -1);
            let found: Vec<i64> = batches(data.records.as_ref()).iter().map(|b| b.base_offset).collect();
            assert_eq!(found, expected, "version {version} offset {offset}");
            assert!(data.aborted_transactions.is_none_or(|a| a.is_empty()));
        }
    }
}

/// Goal: at the high watermark there is nothing, without an error; beyond it and below 0 is OFFSET_OUT_OF_RANGE with unknown bounds.
#[test]
fn the_ends_of_the_log() {
    let server = Server::shared();
    let topic = server.topic("ends", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["0", "1"]));
    for version in 4..=18 {
        let data = fetch(&mut connection, version, &topic, Reading::from(2));
        assert_eq!((data.error_code, data.high_watermark), (0, 2), "version {version}");
        assert!(data.records.is_none_or(|r| r.is_empty()), "nothing at the end");
        for offset in [3, i64::MAX, -1] {
            let data = fetch(
                &mut connection,
                version,
                &topic,
                Reading {
                    max_wait_ms: 10_000,
                    min_bytes: 1,
                    ..Reading::from(offset)
                },
            );
            assert_eq!(
                data.error_code,
                code::OFFSET_OUT_OF_RANGE,
                "version {version} offset {offset}"
            );
            assert_eq!(
                (data.high_watermark, data.last_stable_offset, data.log_start_offset),
                (-1, -1, -1)
            );
            assert!(data.records.is_none_or(|r| r.is_empty()));
        }
    }
}

/// Goal: topics and partitions that do not exist, by name and by id.
#[test]
fn unknown_topics_and_partitions() {
    let server = Server::shared();
    let topic = server.topic("fetched", 1);
    let unknown = Topic {
        name: unique_name("unknown"),
        id: Uuid::from_u128(5 << 70 | 3),
    };
    let mut connection = server.connect();
    for version in 4..=18 {
        for partition in [1, -1] {
            let data = fetch(
                &mut connection,
                version,
                &topic,
                Reading {
                    partition,
                    ..Reading::from(0)
                },
            );
            assert_eq!(
                data.error_code,
                code::UNKNOWN_TOPIC_OR_PARTITION,
                "version {version} partition {partition}"
            );
            assert_eq!((data.partition_index, data.high_watermark), (partition, -1));
        }
        let expected = if version >= 13 {
            code::UNKNOWN_TOPIC_ID
        } else {
            code::UNKNOWN_TOPIC_OR_PARTITION
        };
        assert_eq!(
            fetch(&mut connection, version, &unknown, Reading::from(0)).error_code,
            expected,
            "version {version}"
        );
    }
}

/// Goal: an older leader epoch than the partition's is FENCED_LEADER_EPOCH, a newer one UNKNOWN_LEADER_EPOCH, the right one is served.
#[test]
fn the_clients_leader_epoch_is_checked() {
    let server = Server::shared();
    let topic = server.topic("epoch", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["x"]));
    let epoch = batches(fetch(&mut connection, 18, &topic, Reading::from(0)).records.as_ref())[0].leader_epoch;
    for version in 9..=18 {
        let asked = |current_leader_epoch| Reading {
            current_leader_epoch,
            ..Reading::from(0)
        };
        assert_eq!(
            fetch(&mut connection, version, &topic, asked(epoch)).error_code,
            0,
            "version {version}"
        );
        let newer = fetch(&mut connection, version, &topic, asked(epoch + 1));
        assert_eq!(newer.error_code, code::UNKNOWN_LEADER_EPOCH, "version {version}");
        if epoch > 0 {
            let older = fetch(&mut connection, version, &topic, asked(epoch - 1));
            assert_eq!(older.error_code, code::FENCED_LEADER_EPOCH, "version {version}");
        }
    }
}

/// Goal: the first batch comes whole even if it is larger than every limit (KIP-74); after it the limits hold.
#[test]
fn limits_never_stop_the_first_batch() {
    let server = Server::shared();
    let topic = server.topic("limits", 1);
    let mut connection = server.connect();
    let size = Batch::of(["x".repeat(1_000)]).encode().len() as i32;
    for _ in 0..5 {
        append(&mut connection, &topic, 0, &Batch::of(["x".repeat(1_000)]));
    }
    for version in 4..=18 {
        for (limit, expected) in [(0, 1), (1, 1), (size, 1), (2 * size, 2), (3 * size, 3), (100 * size, 5)] {
            let by_partition = Reading {
                partition_max_bytes: limit,
                ..Reading::from(0)
            };
            let data = fetch(&mut connection, version, &topic, by_partition);
            assert_eq!(
                batches(data.records.as_ref()).len(),
                expected,
                "partition_max_bytes {limit}, version {version}"
            );
            let by_request = Reading {
                max_bytes: limit,
                ..Reading::from(0)
            };
            let data = fetch(&mut connection, version, &topic, by_request);
            assert_eq!(
                batches(data.records.as_ref()).len(),
                expected,
                "max_bytes {limit}, version {version}"
            );
        }
    }
}

/// Goal: of several partitions, only the first with data may exceed the request's limit; later ones that do not fit stay empty, and every
/// partition asked for is in the reply (the client has no session).
#[test]
fn later_partitions_fit_or_stay_empty() {
    let server = Server::shared();
    let topic = server.topic("several", 4);
    let mut connection = server.connect();
    let batch = Batch::of(["x".repeat(1_000)]);
    let size = batch.encode().len() as i32;
    for partition in 1..4 {
        append(&mut connection, &topic, partition, &batch);
    }
    let request = |max_bytes: i32| {
        let partitions = (0..4)
            .map(|p| {
                FetchPartition::default()
                    .with_partition(p)
                    .with_fetch_offset(0)
                    .with_partition_max_bytes(i32::MAX)
            })
            .collect();
        FetchRequest::default()
            .with_max_bytes(max_bytes)
            .with_topics(vec![FetchTopic::default()
                .with_topic_id(topic.id)
                .with_partitions(partitions)])
    };
    for (max_bytes, expected) in [(1, [0, 1, 0, 0]), (2 * size, [0, 1, 1, 0]), (10 * size, [0, 1, 1, 1])] {
        let reply = connection.call(18, &request(max_bytes));
        assert_eq!((reply.error_code, reply.session_id), (0, 0), "no session was asked for");
        let mut found = [9; 4];
        for data in reply.responses.iter().flat_map(|t| &t.partitions) {
            assert_eq!(data.error_code, 0);
            found[data.partition_index as usize] = batches(data.records.as_ref()).len();
        }
        assert_eq!(found, expected, "max_bytes {max_bytes}");
    }
}

/// Goal: a request without a session (id 0, epoch -1) is answered whole, with session id 0, again and again.
#[test]
fn without_a_session_every_reply_is_whole() {
    let server = Server::shared();
    let topic = server.topic("sessionless", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["x"]));
    for version in 7..=18 {
        for _ in 0..2 {
            let reply = connection.call(version, &fetch_request(version, &topic, Reading::from(0)));
            assert_eq!((reply.error_code, reply.session_id), (0, 0));
            assert_eq!(
                batches(only_partition_fetched(reply).records.as_ref()).len(),
                1,
                "version {version}"
            );
        }
    }
}

/// Goal: read_committed gives the same where there are no transactions: everything up to the stable offset, and no aborted ones.
#[test]
fn read_committed_without_transactions() {
    let server = Server::shared();
    let topic = server.topic("committed", 1);
    let mut connection = server.connect();
    append(&mut connection, &topic, 0, &Batch::of(["0", "1"]));
    for version in 4..=18 {
        let request = fetch_request(version, &topic, Reading::from(0)).with_isolation_level(1);
        let data = only_partition_fetched(connection.call(version, &request));
        assert_eq!((data.error_code, data.last_stable_offset), (0, 2), "version {version}");
        assert_eq!(batches(data.records.as_ref()).len(), 1);
        assert_eq!(
            data.aborted_transactions,
            Some(vec![]),
            "an empty list, not null, version {version}"
        );
        let plain = fetch(&mut connection, version, &topic, Reading::from(0));
        assert_eq!(
            plain.aborted_transactions, None,
            "null where it was not asked for, version {version}"
        );
    }
}
