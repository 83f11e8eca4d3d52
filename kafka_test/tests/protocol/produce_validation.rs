//! What a broker refuses to store, what it corrects, and what it rebuilds.

use crate::code;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{FindCoordinatorRequest, InitProducerIdRequest, TransactionalId};
use kafka_protocol::protocol::StrBytes;
use kafka_test::batch::{now_ms, Batch, Record, CONTROL, HEADER_BYTES, LOG_APPEND_TIME, TRANSACTIONAL};
use kafka_test::compression::Codec;
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::requests::{append, latest, only_partition_produced, produce_bytes, produce_request, read_all};
use kafka_test::server::Server;
use kafka_test::topic::{unique_name, Topic};

/// Sends bytes to a topic at several versions; all must get `expected`, and nothing may be stored.
fn refused(topic: &Topic, bytes: &[u8], expected: i16, why: &str) -> PartitionProduceResponse {
    let mut connection = Server::shared().connect();
    let before = latest(&mut connection, topic, 0);
    let mut last = None;
    for version in [3, 7, 8, 11, 13] {
        let reply = produce_bytes(&mut connection, version, topic, 0, -1, bytes);
        assert_eq!(
            (reply.error_code, reply.base_offset),
            (expected, -1),
            "{why}, version {version}: {:?}",
            reply.error_message
        );
        last = Some(reply);
    }
    assert_eq!(latest(&mut connection, topic, 0), before, "{why}: nothing is stored");
    last.unwrap()
}

fn three() -> Batch {
    Batch::of(["a", "b", "c"])
}

/// Goal: a batch whose bytes do not match its CRC, or that no broker can read, is CORRUPT_MESSAGE.
#[test]
fn corrupt_batches() {
    let topic = Server::shared().topic("corrupt", 1);
    refused(
        &topic,
        &Batch { crc: Some(0), ..three() }.encode(),
        code::CORRUPT_MESSAGE,
        "a wrong CRC",
    );
    let mut flipped = three().encode();
    *flipped.last_mut().unwrap() ^= 1;
    refused(&topic, &flipped, code::CORRUPT_MESSAGE, "a flipped bit in a record");
    refused(
        &topic,
        &Batch { magic: 3, ..three() }.encode(),
        code::CORRUPT_MESSAGE,
        "magic 3",
    );
    refused(
        &topic,
        &Batch { magic: -1, ..three() }.encode(),
        code::CORRUPT_MESSAGE,
        "magic -1",
    );
    let mut short = three().encode();
    short[8..12].copy_from_slice(&5i32.to_be_bytes());
    refused(&topic, &short, code::CORRUPT_MESSAGE, "a batch length below any batch's");
}

/// Goal: a partition's records are exactly one batch of format 2.
#[test]
fn exactly_one_batch_of_format_2() {
    let topic = Server::shared().topic("one-batch", 1);
    refused(&topic, &[], code::INVALID_RECORD, "no batch");
    let two = [three().encode(), three().encode()].concat();
    refused(&topic, &two, code::INVALID_RECORD, "two batches");
    let whole = three().encode();
    refused(&topic, &whole[..whole.len() - 1], code::INVALID_RECORD, "a batch cut short");
    for magic in [0, 1] {
        refused(
            &topic,
            &Batch { magic, ..three() }.encode(),
            code::INVALID_RECORD,
            "an old format",
        );
    }
}

/// Goal: numbers in the header that contradict each other, or that only a broker may write.
#[test]
fn contradictory_headers() {
    let topic = Server::shared().topic("contradictory", 1);
    let cases = [
        (
            Batch {
                base_offset: 1,
                ..three()
            },
            "a base offset",
        ),
        (
            Batch {
                last_offset_delta: Some(1),
                ..three()
            },
            "last offset delta below the count",
        ),
        (
            Batch {
                last_offset_delta: Some(7),
                ..three()
            },
            "last offset delta above the count",
        ),
        (
            Batch {
                last_offset_delta: Some(-1),
                record_count: Some(0),
                records: vec![],
                ..three()
            },
            "no record",
        ),
        (
            Batch {
                record_count: Some(-3),
                ..three()
            },
            "a negative count",
        ),
        (
            Batch {
                last_offset_delta: Some(3),
                record_count: Some(4),
                ..three()
            },
            "more records announced than there are",
        ),
        (
            Batch {
                last_offset_delta: Some(1),
                record_count: Some(2),
                ..three()
            },
            "fewer records announced than there are",
        ),
        (
            Batch {
                flags: CONTROL,
                ..three()
            },
            "a control batch",
        ),
        (
            Batch {
                producer_id: 5,
                producer_epoch: 0,
                ..three()
            },
            "a producer id without a sequence",
        ),
    ];
    for codec in [Codec::None, Codec::Lz4] {
        for (batch, why) in &cases {
            let bytes = batch.clone().compressed(codec).encode();
            refused(&topic, &bytes, code::INVALID_RECORD, &format!("{why}, {}", codec.name()));
        }
    }
}

/// Goal: the records inside must be records: a length that lies is found although the CRC is right.
#[test]
fn records_must_be_records() {
    let topic = Server::shared().topic("no-records", 1);
    let valid = three();
    let bytes = valid.encode();
    let reseal = |mut bytes: Vec<u8>| {
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes
    };
    let mut long = bytes.clone();
    long[HEADER_BYTES] += 2;
    refused(
        &topic,
        &reseal(long),
        code::INVALID_RECORD,
        "a record that reaches into the next",
    );
    let mut negative = bytes;
    negative[HEADER_BYTES] = 1;
    refused(&topic, &reseal(negative), code::INVALID_RECORD, "a record of length -1");
}

/// Goal: zstd came with version 7; below it is UNSUPPORTED_COMPRESSION_TYPE.
#[test]
fn zstd_needs_version_7() {
    let server = Server::shared();
    let topic = server.topic("zstd", 1);
    let mut connection = server.connect();
    let bytes = three().compressed(Codec::Zstd).encode();
    for version in 3..=6 {
        let reply = produce_bytes(&mut connection, version, &topic, 0, -1, &bytes);
        assert_eq!(reply.error_code, code::UNSUPPORTED_COMPRESSION_TYPE, "version {version}");
    }
    for version in 7..=13 {
        assert_eq!(
            produce_bytes(&mut connection, version, &topic, 0, -1, &bytes).error_code,
            0,
            "version {version}"
        );
    }
}

/// Goal: a compacted topic takes no record without a key; the reply names each such record (version 8 on).
#[test]
fn compacted_topics_need_keys() {
    let server = Server::shared();
    let topic = server.topic_with("compacted", 1, &[("cleanup.policy", "compact")]);
    let mut mixed = three().keyed("k");
    mixed.records[0].key = None;
    mixed.records[2].key = None;
    for codec in [Codec::None, Codec::Gzip] {
        let reply = refused(
            &topic,
            &mixed.clone().compressed(codec).encode(),
            code::INVALID_RECORD,
            "records without keys",
        );
        let named: Vec<i32> = reply.record_errors.iter().map(|e| e.batch_index).collect();
        assert_eq!(named, [0, 2], "{}", codec.name());
        assert!(reply.record_errors.iter().all(|e| e.batch_index_error_message.is_some()));
        assert!(reply.error_message.is_some());
    }
    let mut connection = server.connect();
    let old = produce_bytes(&mut connection, 7, &topic, 0, -1, &mixed.encode());
    assert!(old.record_errors.is_empty(), "version 7 has no record errors");
    assert_eq!(
        append(&mut connection, &topic, 0, &three().keyed("")),
        0,
        "an empty key is a key"
    );
}

/// Goal: a create time too far in the future (an hour) or the past (as configured) is INVALID_TIMESTAMP, and the records are named.
#[test]
fn create_times_have_limits() {
    let server = Server::shared();
    let configs = [
        ("message.timestamp.before.max.ms", "60000"),
        ("message.timestamp.after.max.ms", "120000"),
    ];
    let limited = server.topic_with("times-limited", 1, &configs);
    let default = server.topic("times-default", 1);
    let minute = 60_000;
    let at = |milliseconds: i64| three().at(now_ms() + milliseconds);
    for (topic, shift) in [(&limited, -2 * minute), (&limited, 4 * minute), (&default, 70 * minute)] {
        let reply = refused(
            topic,
            &at(shift).encode(),
            code::INVALID_TIMESTAMP,
            &format!("{shift} ms from now"),
        );
        let named: Vec<i32> = reply.record_errors.iter().map(|e| e.batch_index).collect();
        assert_eq!(named, [0, 1, 2]);
    }
    let mut connection = server.connect();
    append(&mut connection, &limited, 0, &at(minute));
    append(&mut connection, &default, 0, &three().at(0));
    append(&mut connection, &default, 0, &at(50 * minute));
    let mut one_late = Batch::of(["now", "late"]);
    one_late.records[1].timestamp_delta = 2 * 3_600_000;
    let reply = refused(&default, &one_late.encode(), code::INVALID_TIMESTAMP, "one record too late");
    assert_eq!(reply.record_errors.iter().map(|e| e.batch_index).collect::<Vec<_>>(), [1]);
}

/// Goal: max.message.bytes bounds the batch as sent, compressed and with its 12-byte prefix, to the byte.
#[test]
fn the_size_limit_is_exact() {
    let server = Server::shared();
    let mut connection = server.connect();
    for codec in [Codec::None, Codec::Gzip] {
        let batch = Batch::of(["x".repeat(5_000)]).compressed(codec);
        let size = batch.encode().len();
        let exact = server.topic_with("size-exact", 1, &[("max.message.bytes", &size.to_string())]);
        assert_eq!(append(&mut connection, &exact, 0, &batch), 0, "{size} bytes are allowed");
        let tight = server.topic_with("size-tight", 1, &[("max.message.bytes", &(size - 1).to_string())]);
        refused(
            &tight,
            &batch.encode(),
            code::MESSAGE_TOO_LARGE,
            &format!("{size} bytes, one more than allowed"),
        );
    }
    let default = server.topic("size-default", 1);
    refused(
        &default,
        &Batch::of(["x".repeat(1_048_588)]).encode(),
        code::MESSAGE_TOO_LARGE,
        "above the default",
    );
    assert_eq!(append(&mut connection, &default, 0, &Batch::of(["x".repeat(1_048_000)])), 0);
}

/// Goal: a batch that max.message.bytes allows but that is larger than a segment is RECORD_LIST_TOO_LARGE.
#[test]
fn a_batch_must_fit_a_segment() {
    let configs = [("max.message.bytes", "4000000"), ("segment.bytes", "1048576")];
    let topic = Server::shared().topic_with("segment", 1, &configs);
    refused(
        &topic,
        &Batch::of(["x".repeat(1_100_000)]).encode(),
        18,
        "larger than a segment",
    );
}

/// Goal: with LogAppendTime the broker's time replaces the batch's: in the reply, in the maximum, and in the attribute bit.
#[test]
fn log_append_time_is_the_brokers() {
    let server = Server::shared();
    let topic = server.topic_with("append-time", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let mut connection = server.connect();
    for codec in Codec::ALL {
        let started = now_ms();
        let batch = three().at(1_000_000).compressed(codec);
        let reply = produce_bytes(&mut connection, 13, &topic, 0, -1, &batch.encode());
        assert_eq!(reply.error_code, 0, "{}", codec.name());
        assert!(
            (started..=now_ms()).contains(&reply.log_append_time_ms),
            "append time {}",
            reply.log_append_time_ms
        );
        let stored = read_all(&mut connection, &topic, 0, reply.base_offset).remove(0);
        assert_eq!(stored.attributes, LOG_APPEND_TIME | codec as i16);
        assert_eq!(stored.max_timestamp, reply.log_append_time_ms);
        assert_eq!(stored.records().len(), 3);
    }
}

/// Goal: a maximum timestamp that is not the records' is corrected, so that look-ups by time do not go wrong.
#[test]
fn a_wrong_maximum_timestamp_is_corrected() {
    let server = Server::shared();
    let topic = server.topic("max-timestamp", 1);
    let mut connection = server.connect();
    for codec in [Codec::None, Codec::Zstd] {
        for wrong in [0, now_ms() + 1_000_000] {
            let batch = Batch {
                max_timestamp: Some(wrong),
                ..three().compressed(codec)
            };
            let offset = append(&mut connection, &topic, 0, &batch);
            let stored = read_all(&mut connection, &topic, 0, offset).remove(0);
            assert_eq!(
                stored.max_timestamp,
                batch.base_timestamp + 2,
                "{} said {wrong}",
                codec.name()
            );
            assert_eq!(stored.records(), batch.records);
        }
    }
}

/// Goal: a topic with a compression.type of its own stores every batch in it, with the same records.
#[test]
fn a_topics_compression_type_wins() {
    let server = Server::shared();
    let mut connection = server.connect();
    for (config, target) in [
        ("uncompressed", Codec::None),
        ("gzip", Codec::Gzip),
        ("snappy", Codec::Snappy),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
    ] {
        let topic = server.topic_with("recompressed", 1, &[("compression.type", config)]);
        for codec in Codec::ALL {
            let batch = Batch::of(["a".repeat(500), "b".repeat(500)]).keyed("k").compressed(codec);
            let offset = append(&mut connection, &topic, 0, &batch);
            let stored = read_all(&mut connection, &topic, 0, offset).remove(0);
            assert_eq!(stored.codec(), target, "{} into {config}", codec.name());
            assert_eq!(stored.records(), batch.records, "{} into {config}", codec.name());
        }
    }
}

/// Goal: gaps between the offsets inside a batch that the broker compresses anew are closed, so that offsets stay dense. (Without
/// compressing anew, Apache Kafka 4.3.1 means to do the same, but its LogValidator fails on it with UNKNOWN_SERVER_ERROR.)
#[test]
fn gaps_inside_a_recompressed_batch_are_closed() {
    let server = Server::shared();
    let topic = server.topic_with("gaps", 1, &[("compression.type", "gzip")]);
    let mut connection = server.connect();
    let mut batch = three().compressed(Codec::Lz4);
    let records: Vec<Record> = batch.records.clone();
    batch.records[1].offset_delta = 5;
    batch.records[2].offset_delta = 9;
    assert_eq!(append(&mut connection, &topic, 0, &batch), 0);
    let stored = read_all(&mut connection, &topic, 0, 0).remove(0);
    assert_eq!(stored.codec(), Codec::Gzip);
    assert_eq!(stored.records(), records);
    assert_eq!(latest(&mut connection, &topic, 0), 3);
}

/// Goal: bytes behind the batch that are no whole batch are dropped, as if the sender had cut a buffer.
#[test]
fn a_torn_end_is_dropped() {
    let server = Server::shared();
    let topic = server.topic("torn", 1);
    let mut connection = server.connect();
    let mut bytes = three().encode();
    bytes.extend([0; 5]);
    let reply = produce_bytes(&mut connection, 13, &topic, 0, -1, &bytes);
    assert_eq!((reply.error_code, reply.base_offset), (0, 0));
    assert_eq!(read_all(&mut connection, &topic, 0, 0)[0].records(), three().records);
}

/// A producer id that the broker gave to a transactional producer; a broker without transactions gets one that is made up.
fn transactional_producer(connection: &mut Connection, transactional_id: &str) -> (i64, i16) {
    if !Server::shared().is_apache() {
        return (4711, 0);
    }
    let id = StrBytes::from_string(transactional_id.to_owned());
    eventually("a transaction coordinator", || {
        let request = FindCoordinatorRequest::default()
            .with_key_type(1)
            .with_coordinator_keys(vec![id.clone()]);
        (connection.call(4, &request).coordinators[0].error_code == 0).then_some(())
    });
    eventually("a producer id", || {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(id.clone())))
            .with_transaction_timeout_ms(60_000);
        let reply = connection.call(4, &request);
        (reply.error_code == 0).then_some((reply.producer_id.0, reply.producer_epoch))
    })
}

/// Goal: a transactional batch to a partition that is in no transaction: INVALID_TXN_STATE below version 11, TRANSACTION_ABORTABLE at 11.
#[test]
fn transactional_batches_need_a_transaction() {
    let server = Server::shared();
    let topic = server.topic("transactional", 1);
    let mut connection = server.connect();
    let name = unique_name("transaction");
    let (producer_id, producer_epoch) = transactional_producer(&mut connection, &name);
    let batch = Batch {
        producer_id,
        producer_epoch,
        base_sequence: 0,
        flags: TRANSACTIONAL,
        ..three()
    }
    .encode();
    for version in 3..=11 {
        let expected = if version >= 11 {
            code::TRANSACTION_ABORTABLE
        } else {
            code::INVALID_TXN_STATE
        };
        let request = produce_request(version, &topic, 0, -1, &batch)
            .with_transactional_id(Some(TransactionalId(StrBytes::from_string(name.clone()))));
        let reply = only_partition_produced(connection.call(version, &request));
        assert_eq!((reply.error_code, reply.base_offset), (expected, -1), "version {version}");
    }
    assert_eq!(latest(&mut connection, &topic, 0), 0);
}

/// Goal: a transactional batch in a request without a transactional id is TRANSACTIONAL_ID_AUTHORIZATION_FAILED.
#[test]
fn transactional_batches_need_a_transactional_id() {
    let topic = Server::shared().topic("transactional-anonymous", 1);
    let batch = Batch {
        producer_id: 4711,
        producer_epoch: 0,
        base_sequence: 0,
        flags: TRANSACTIONAL,
        ..three()
    };
    refused(&topic, &batch.encode(), 53, "no transactional id");
}
