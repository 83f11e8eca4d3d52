//! Small batches that decompress to enormous ones.

use crate::{Bystander, MIB};
use bytes::Bytes;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::ProduceRequest;
use kafka_test::batch::{Batch, HEADER_BYTES};
use kafka_test::compression::Codec;
use kafka_test::process::peak_memory_bytes;
use kafka_test::requests::{latest, produce_bytes, PRODUCE};
use kafka_test::server::Server;
use kafka_test::topic::Topic;
use std::time::{Duration, Instant};

const MESSAGE_TOO_LARGE: i16 = 10;
/// Above what the broker decompresses of one batch.
const TOO_LARGE_BYTES: usize = 300 << 20;
/// Below it.
const LARGE_BYTES: usize = 200 << 20;

/// A valid batch of one record whose value is this many zero bytes.
fn bomb(codec: Codec, value_bytes: usize) -> Vec<u8> {
    let mut plain = record_start(value_bytes);
    // Zero pages that nobody wrote cost nothing, and the last byte is the number of headers.
    plain.resize(plain.len() + value_bytes + 1, 0);
    let mut batch = Batch::of(["x"]).compressed(codec).encode();
    batch.truncate(HEADER_BYTES);
    batch.extend(codec.compress(&plain));
    let length = batch.len() as u32 - 12;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// A record with a null key and a value, up to the value.
fn record_start(value_bytes: usize) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1];
    put_varint(&mut body, value_bytes);
    let mut start = Vec::new();
    put_varint(&mut start, body.len() + value_bytes + 1);
    start.extend(body);
    start
}

fn put_varint(out: &mut Vec<u8>, value: usize) {
    let mut rest = (value as u64) << 1;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The same bytes for each of a topic's partitions in one request.
fn everywhere(topic: &Topic, partitions: i32, records: &[u8]) -> ProduceRequest {
    let records = Bytes::copy_from_slice(records);
    let data = (0..partitions).map(|index| {
        PartitionProduceData::default()
            .with_index(index)
            .with_records(Some(records.clone()))
    });
    ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![TopicProduceData::default()
            .with_topic_id(topic.id)
            .with_partition_data(data.collect())])
}

/// Goal: in each codec, a batch that decompresses to too much is refused, and one that is just allowed is stored if it may stay as it is
/// and refused if its new form would be too large; memory comes back and has a bound.
#[test]
fn one_bomb_in_each_codec() {
    let server = Server::start_pg_kafka(&[]);
    let large = ("max.message.bytes", "60000000");
    let kept = server.topic_with("bombs", 1, &[large]);
    let unpacked = server.topic_with("bombs", 1, &[large, ("compression.type", "uncompressed")]);
    let repacked = server.topic_with("bombs", 1, &[large, ("compression.type", "lz4")]);
    let mut bystander = Bystander::of(&server);
    let mut connection = server.connect();
    let mut stored = 0;
    for codec in [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
        let (refused, allowed) = (bomb(codec, TOO_LARGE_BYTES), bomb(codec, LARGE_BYTES));
        eprintln!("{}: {} bytes, {} bytes", codec.name(), refused.len(), allowed.len());
        for topic in [&kept, &unpacked, &repacked] {
            let reply = produce_bytes(&mut connection, PRODUCE, topic, 0, -1, &refused);
            assert_eq!(
                reply.error_code,
                MESSAGE_TOO_LARGE,
                "{} {:?}",
                codec.name(),
                reply.error_message
            );
        }
        bystander.is_served(&server);
        assert_eq!(produce_bytes(&mut connection, PRODUCE, &kept, 0, -1, &allowed).error_code, 0);
        let reply = produce_bytes(&mut connection, PRODUCE, &unpacked, 0, -1, &allowed);
        assert_eq!(
            reply.error_code,
            MESSAGE_TOO_LARGE,
            "{} {:?}",
            codec.name(),
            reply.error_message
        );
        assert_eq!(
            produce_bytes(&mut connection, PRODUCE, &repacked, 0, -1, &allowed).error_code,
            0
        );
        stored += 1;
        bystander.is_served(&server);
    }
    for (topic, end) in [(&kept, stored), (&unpacked, 0), (&repacked, stored)] {
        assert_eq!(latest(&mut connection, topic, 0), end);
    }
    let peak = peak_memory_bytes(server.broker_pid());
    assert!(peak < 1200 * MIB, "the broker had {} MiB at once", peak / MIB);
    bystander.finds_all_well(&server, 250 * MIB);
}

/// Goal: clients whose requests are full of bombs keep others waiting no longer than a moment, one after the other or all at once.
#[test]
fn requests_full_of_bombs() {
    const PARTITIONS: i32 = 40;
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic_with("bombs", PARTITIONS, &[("compression.type", "zstd")]);
    let bomb = bomb(Codec::Gzip, TOO_LARGE_BYTES);
    let request = everywhere(&topic, PARTITIONS, &bomb);
    let mut bystander = Bystander::of(&server);
    let mut attackers: Vec<_> = (0..6).map(|_| server.connect()).collect();
    for attacker in &mut attackers {
        attacker.send(PRODUCE, &request);
    }
    let until = Instant::now() + Duration::from_secs(15);
    while Instant::now() < until {
        bystander.is_served(&server);
        std::thread::sleep(Duration::from_millis(100));
    }
    // Who sent them is gone; what is under way ends, and nothing of it was written.
    drop(attackers);
    let mut connection = server.connect();
    for partition in 0..PARTITIONS {
        assert_eq!(latest(&mut connection, &topic, partition), 0);
    }
    bystander.finds_all_well(&server, 400 * MIB);
}
