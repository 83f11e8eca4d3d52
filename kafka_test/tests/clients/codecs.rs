//! Every codec through librdkafka, with keys, headers, nulls and empty values.

use kafka_test::clients::{consume, consumer, flush, producer, send};
use kafka_test::compression::Codec;
use kafka_test::patience::PATIENCE;
use kafka_test::requests::read_all;
use kafka_test::server::Server;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::BaseRecord;

/// What record `i` holds: each of key and value is at times null, at times empty.
fn key_and_value(i: u64) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let key = match i % 5 {
        0 => None,
        1 => Some(vec![]),
        _ => Some(format!("key {i}").into_bytes()),
    };
    let value = match i % 7 {
        0 => None,
        1 => Some(vec![]),
        _ => Some(format!("value {i} ").repeat(20).into_bytes()),
    };
    (key, value)
}

/// Goal: what goes in comes out, record by record, and is stored in the codec that the producer was told to use: a client that
/// believes a codec to be unsupported sends uncompressed batches without a word.
#[test]
fn every_codec_makes_the_round_trip() {
    let server = Server::shared();
    for codec in Codec::ALL {
        // The records are from 2023.
        let topic = server.topic_with(&format!("codec-{}", codec.name()), 1, &[("retention.ms", "-1")]);
        // All in one batch: one of a single record without a value would grow by compression, and is sent without it.
        let one_batch = [("linger.ms", "60000"), ("batch.num.messages", "500")];
        let settings = [&[("compression.codec", codec.name())], &one_batch[..]].concat();
        let (producer, deliveries) = producer(server, &settings);
        for i in 0..500u64 {
            let (key, value) = key_and_value(i);
            let headers = OwnedHeaders::new()
                .insert(Header {
                    key: "number",
                    value: Some(&i.to_string()),
                })
                .insert(Header::<&str> {
                    key: "null",
                    value: None,
                })
                .insert(Header {
                    key: "empty",
                    value: Some(""),
                });
            let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(&topic.name, Box::new(i))
                .partition(0)
                .timestamp(1_700_000_000_000 + i as i64)
                .headers(headers);
            if let Some(key) = &key {
                record = record.key(key);
            }
            if let Some(value) = &value {
                record = record.payload(value);
            }
            send(&producer, record);
        }
        flush(&producer, PATIENCE);
        let delivered = deliveries.take();
        assert_eq!(delivered.len(), 500, "{}", codec.name());
        assert!(
            delivered.iter().all(|d| d.outcome == Ok(d.tag as i64)),
            "{}: offsets in the order of sending",
            codec.name()
        );

        let mut i = 0u64;
        consume(&consumer(server, &topic.name, 0), 500, |message| {
            let (key, value) = key_and_value(i);
            assert_eq!(
                (message.key(), message.payload()),
                (key.as_deref(), value.as_deref()),
                "{} record {i}",
                codec.name()
            );
            assert_eq!(message.offset(), i as i64);
            assert_eq!(message.timestamp().to_millis(), Some(1_700_000_000_000 + i as i64));
            let headers: Vec<(String, Option<Vec<u8>>)> = message
                .headers()
                .unwrap()
                .iter()
                .map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)))
                .collect();
            let expected = [
                ("number".to_owned(), Some(i.to_string().into_bytes())),
                ("null".to_owned(), None),
                ("empty".to_owned(), Some(vec![])),
            ];
            assert_eq!(headers, expected, "{} record {i}", codec.name());
            i += 1;
        });

        for batch in read_all(&mut server.connect(), &topic, 0, 0) {
            assert_eq!(
                batch.codec(),
                codec,
                "codec bits of the stored batch at {}",
                batch.base_offset
            );
        }
    }
}

/// Goal: records with the same key go to one partition, in order, and every partition gets its share.
#[test]
fn keys_keep_their_partition_and_order() {
    let server = Server::shared();
    let topic = server.topic("keyed", 3);
    let (producer, deliveries) = producer(server, &[("linger.ms", "5"), ("partitioner", "murmur2_random")]);
    for i in 0..3_000u64 {
        let key = format!("k{}", i % 50);
        let value = i.to_string();
        let record = BaseRecord::with_opaque_to(&topic.name, Box::new(i))
            .key(key.as_bytes())
            .payload(value.as_bytes());
        send(&producer, record);
    }
    flush(&producer, PATIENCE);
    let delivered = deliveries.take();
    let mut last_of_key = [-1i64; 50];
    let mut partition_of_key = [-1i32; 50];
    for partition in 0..3 {
        let count = delivered
            .iter()
            .filter(|d| d.partition == partition && d.outcome.is_ok())
            .count();
        assert!(count > 0, "partition {partition} got nothing");
        consume(&consumer(server, &topic.name, partition), count, |message| {
            let key: usize = std::str::from_utf8(message.key().unwrap()).unwrap()[1..].parse().unwrap();
            let value: i64 = std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap();
            assert!(value > last_of_key[key], "key k{key}: {value} behind {}", last_of_key[key]);
            assert!(
                [-1, partition].contains(&partition_of_key[key]),
                "key k{key} is in two partitions"
            );
            (last_of_key[key], partition_of_key[key]) = (value, partition);
        });
    }
    assert!(
        (0..50).all(|k| last_of_key[k] == 2_950 + k as i64),
        "the last record of each key came"
    );
}
