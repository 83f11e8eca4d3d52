//! Produce: offsets, acknowledgements and where a batch goes, at every version.

use crate::code;
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ApiVersionsRequest, ProduceRequest};
use kafka_test::batch::{Batch, Record, HEADER_BYTES};
use kafka_test::compression::Codec;
use kafka_test::patience::{eventually, PATIENCE};
use kafka_test::requests::{append, latest, produce_bytes, produce_request, read_all};
use kafka_test::server::Server;
use kafka_test::topic::{unique_name, Topic};
use uuid::Uuid;

/// Goal: at every version, acks 1 and -1 give each batch the offset behind the last one, per partition, and the whole reply.
#[test]
fn offsets_are_dense_at_every_version() {
    let server = Server::shared();
    let topic = server.topic("dense", 2);
    let mut connection = server.connect();
    let mut next = 0;
    for version in 3..=13 {
        for acks in [1, -1] {
            for count in [1, 3] {
                let batch = Batch::of((0..count).map(|i| format!("{version} {acks} {i}")));
                let reply = produce_bytes(&mut connection, version, &topic, 1, acks, &batch.encode());
                assert_eq!(
                    (reply.error_code, reply.index, reply.base_offset),
                    (0, 1, next),
                    "version {version} acks {acks}"
                );
                assert_eq!(reply.log_append_time_ms, -1, "CreateTime has no append time");
                assert_eq!(reply.log_start_offset, if version >= 5 { 0 } else { -1 });
                assert!(reply.record_errors.is_empty() && reply.error_message.is_none());
                next += i64::from(count);
            }
        }
    }
    assert_eq!(latest(&mut connection, &topic, 1), next);
    assert_eq!(latest(&mut connection, &topic, 0), 0, "the other partition is untouched");
}

/// Goal: acks=0 gets no reply, the next request's reply comes instead, and the batch is stored.
#[test]
fn acks_0_has_no_reply() {
    let server = Server::shared();
    let topic = server.topic("acks0", 1);
    let mut connection = server.connect();
    for version in 3..=13 {
        connection.send(
            version,
            &produce_request(version, &topic, 0, 0, &Batch::of([version.to_string()]).encode()),
        );
        connection.call(0, &ApiVersionsRequest::default());
    }
    eventually("all are stored", || (latest(&mut connection, &topic, 0) == 11).then_some(()));
    let values: Vec<Vec<u8>> = read_all(&mut connection, &topic, 0, 0)
        .iter()
        .flat_map(|b| b.records())
        .map(|r| r.value.unwrap())
        .collect();
    assert_eq!(values, (3..=13).map(|v| v.to_string().into_bytes()).collect::<Vec<_>>());
}

/// Goal: an error of an acks=0 request closes the connection, the only way to tell the client.
#[test]
fn an_error_with_acks_0_closes() {
    let server = Server::shared();
    let topic = server.topic("acks0-error", 1);
    let mut connection = server.connect();
    connection.send(9, &produce_request(9, &topic, 7, 0, &Batch::of(["x"]).encode()));
    connection.assert_closed_within(PATIENCE, "acks=0 to an unknown partition");
}

/// Goal: acks that are none of -1, 0, 1 are refused and store nothing.
#[test]
fn other_acks_are_refused() {
    let server = Server::shared();
    let topic = server.topic("acks2", 1);
    let mut connection = server.connect();
    for version in [3, 8, 13] {
        for acks in [2, -2, i16::MAX] {
            let reply = produce_bytes(&mut connection, version, &topic, 0, acks, &Batch::of(["x"]).encode());
            assert_eq!(
                (reply.error_code, reply.base_offset),
                (code::INVALID_REQUIRED_ACKS, -1),
                "acks {acks}"
            );
        }
    }
    assert_eq!(latest(&mut connection, &topic, 0), 0);
}

/// Goal: topics and partitions that do not exist, by name and by id, get their code; a Produce makes no topic.
#[test]
fn unknown_topics_and_partitions() {
    let server = Server::shared();
    let topic = server.topic("known", 1);
    let mut connection = server.connect();
    let batch = Batch::of(["x"]).encode();
    let unknown = Topic {
        name: unique_name("unknown"),
        id: Uuid::from_u128(5 << 70 | 3),
    };
    for version in 3..=13 {
        for (target, partition) in [(&topic, 1), (&topic, -1), (&topic, i32::MAX)] {
            let reply = produce_bytes(&mut connection, version, target, partition, -1, &batch);
            assert_eq!(
                reply.error_code,
                code::UNKNOWN_TOPIC_OR_PARTITION,
                "version {version} partition {partition}"
            );
            assert_eq!((reply.index, reply.base_offset), (partition, -1));
        }
        let expected = if version >= 13 {
            code::UNKNOWN_TOPIC_ID
        } else {
            code::UNKNOWN_TOPIC_OR_PARTITION
        };
        let reply = produce_bytes(&mut connection, version, &unknown, 0, -1, &batch);
        assert_eq!(reply.error_code, expected, "version {version}, unknown topic");
    }
}

/// Goal: partitions of one request succeed and fail each for themselves.
#[test]
fn partitions_of_a_request_are_independent() {
    let server = Server::shared();
    let (first, second) = (server.topic("several-a", 2), server.topic("several-b", 2));
    let mut connection = server.connect();
    let data = |index: i32, bytes: Vec<u8>| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(Bytes::from(bytes)))
    };
    let good = || Batch::of(["good"]).encode();
    let bad = Batch {
        crc: Some(1),
        ..Batch::of(["bad"])
    }
    .encode();
    let entry = |topic: &Topic, partitions| {
        TopicProduceData::default()
            .with_topic_id(topic.id)
            .with_partition_data(partitions)
    };
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(20_000)
        .with_topic_data(vec![
            entry(&first, vec![data(0, good()), data(1, bad)]),
            entry(&second, vec![data(1, good()), data(5, good())]),
        ]);
    let reply = connection.call(13, &request);
    let mut found: Vec<(Uuid, i32, i16, i64)> = reply
        .responses
        .iter()
        .flat_map(|t| {
            t.partition_responses
                .iter()
                .map(|p| (t.topic_id, p.index, p.error_code, p.base_offset))
        })
        .collect();
    found.sort_unstable();
    let mut expected = vec![
        (first.id, 0, 0, 0),
        (first.id, 1, code::CORRUPT_MESSAGE, -1),
        (second.id, 1, 0, 0),
        (second.id, 5, code::UNKNOWN_TOPIC_OR_PARTITION, -1),
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// Goal: a batch is stored as it was sent, in each codec: only the base offset and the leader epoch in front of the CRC are the broker's.
#[test]
fn batches_are_stored_as_sent() {
    let server = Server::shared();
    let topic = server.topic("as-sent", 1);
    let mut connection = server.connect();
    let mut offset = 0;
    for codec in Codec::ALL {
        let record = |i: i32, key: Option<&str>, value: Option<&str>| Record {
            offset_delta: i,
            timestamp_delta: i64::from(i) * 10,
            key: key.map(|k| k.as_bytes().to_vec()),
            value: value.map(|v| v.as_bytes().to_vec()),
            headers: vec![
                ("name".into(), Some(vec![1, 2, 3])),
                ("null".into(), None),
                ("".into(), Some(vec![])),
            ],
        };
        let batch = Batch::with_records(vec![
            record(0, Some("key"), Some(&"value ".repeat(200))),
            record(1, None, None),
            record(2, Some(""), Some("")),
        ])
        .compressed(codec);
        let sent = batch.encode();
        assert_eq!(append(&mut connection, &topic, 0, &batch), offset);
        let stored = read_all(&mut connection, &topic, 0, offset).remove(0);
        assert_eq!(stored.codec(), codec);
        assert_eq!((stored.base_offset, stored.record_count), (offset, 3));
        assert!(stored.leader_epoch >= 0);
        assert_eq!(stored.bytes[8..12], sent[8..12], "{} length", codec.name());
        assert_eq!(stored.bytes[16..], sent[16..], "{} bytes", codec.name());
        assert_eq!(stored.records(), batch.records);
        assert!(stored.bytes.len() > HEADER_BYTES);
        offset += 3;
    }
}
