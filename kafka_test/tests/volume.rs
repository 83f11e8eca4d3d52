//! Many records and many bytes: what goes in comes out, every record compared.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use kafka_test::clients::{consume, consumer_with, flush, producer, send};
use kafka_test::server::Server;
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;
use std::time::Duration;

const PARTITIONS: i32 = 3;

/// The value of record `i`: its number, and behind it bytes that follow from the number.
fn fill(value: &mut [u8], i: u64) {
    let mut state = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for chunk in value.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    value[..8].copy_from_slice(&i.to_be_bytes());
}

/// Sends `count` records of `size` bytes over three partitions, then reads them back while comparing each byte.
fn round_trip(name: &str, count: u64, size: usize) {
    let server = Server::shared();
    let topic = server.topic(name, PARTITIONS);
    let settings = [
        ("linger.ms", "20"),
        ("acks", "all"),
        ("queue.buffering.max.kbytes", "131072"),
        ("batch.size", "1000000"),
        ("message.timeout.ms", "600000"),
    ];
    let (producer, deliveries) = producer(server, &settings);
    let mut value = vec![0; size];
    let mut acknowledged = vec![0u64; PARTITIONS as usize];
    let mut count_deliveries = || {
        for delivery in deliveries.take() {
            delivery
                .outcome
                .unwrap_or_else(|e| panic!("record {} was not acknowledged: {e}", delivery.tag));
            acknowledged[delivery.partition as usize] += 1;
        }
    };
    for i in 0..count {
        fill(&mut value, i);
        let record = BaseRecord::with_opaque_to(&topic.name, Box::new(i)).partition((i % PARTITIONS as u64) as i32);
        send(&producer, record.payload(&value[..]).key(&[][..]));
        if i % 10_000 == 0 {
            count_deliveries();
        }
    }
    flush(&producer, Duration::from_secs(300));
    count_deliveries();
    assert_eq!(acknowledged.iter().sum::<u64>(), count, "every record is acknowledged");

    for partition in 0..PARTITIONS {
        let mut next = partition as u64;
        let follower = consumer_with(server, &topic.name, partition, &[("queued.max.messages.kbytes", "65536")]);
        consume(&follower, acknowledged[partition as usize] as usize, |message| {
            fill(&mut value, next);
            assert!(
                message.payload() == Some(&value[..]),
                "partition {partition} offset {}",
                message.offset()
            );
            next += PARTITIONS as u64;
        });
        assert!(next >= count, "partition {partition} came to its end");
    }
}

/// Goal: 1,000,000 records of 100 bytes come out as they went in.
#[test]
fn a_million_small_records() {
    round_trip("million", 1_000_000, 100);
}

/// Goal: 20,000 records of 100 KiB, 2 GB in all, come out as they went in.
#[test]
fn twenty_thousand_large_records() {
    round_trip("large", 20_000, 100 * 1024);
}
