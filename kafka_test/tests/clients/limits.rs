//! Large records through librdkafka, and what happens to those that are too large.

use kafka_test::clients::{consume, consumer, flush, producer, send};
use kafka_test::patience::PATIENCE;
use kafka_test::server::Server;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::Message;
use rdkafka::producer::BaseRecord;

/// Bytes that no codec makes smaller.
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// Goal: a record of 900 KiB goes in and comes out equal, in a compressed batch too.
#[test]
fn a_record_of_900_kib() {
    let server = Server::shared();
    let topic = server.topic("large", 1);
    for (offset, codec) in ["none", "lz4"].into_iter().enumerate() {
        let value = noise(900 * 1024, offset as u64 + 1);
        let (producer, deliveries) = producer(server, &[("compression.codec", codec)]);
        send(
            &producer,
            BaseRecord::with_opaque_to(&topic.name, Box::new(0))
                .partition(0)
                .payload(&value[..])
                .key(&b"k"[..]),
        );
        flush(&producer, PATIENCE);
        assert_eq!(deliveries.take()[0].outcome, Ok(offset as i64));
    }
    let mut seen = 0;
    consume(&consumer(server, &topic.name, 0), 2, |message| {
        seen += 1;
        assert!(
            message.payload() == Some(&noise(900 * 1024, seen)[..]),
            "record {seen} differs"
        );
    });
}

/// Goal: a batch over max.message.bytes is refused with MESSAGE_TOO_LARGE, and the producer goes on.
#[test]
fn a_batch_that_is_too_large_does_not_stop_the_producer() {
    let server = Server::shared();
    let topic = server.topic_with("too-large", 1, &[("max.message.bytes", "10000")]);
    let (producer, deliveries) = producer(server, &[]);
    let mut outcomes = Vec::new();
    for (tag, size) in [(0u64, 100usize), (1, 20_000), (2, 100), (3, 500_000), (4, 9_000)] {
        let value = noise(size, 7);
        send(
            &producer,
            BaseRecord::with_opaque_to(&topic.name, Box::new(tag))
                .partition(0)
                .payload(&value[..])
                .key(&b"k"[..]),
        );
        flush(&producer, PATIENCE);
        outcomes.extend(deliveries.take().into_iter().map(|d| (d.tag, d.outcome)));
    }
    let too_large = Err(RDKafkaErrorCode::MessageSizeTooLarge);
    assert_eq!(outcomes, [(0, Ok(0)), (1, too_large), (2, Ok(1)), (3, too_large), (4, Ok(2))]);
}
