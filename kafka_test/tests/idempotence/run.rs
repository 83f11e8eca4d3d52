//! A producer's run: records numbered over all partitions, and the check of what came of them.

use kafka_test::clients::{consume, consumer, flush, producer, send, Deliveries, Delivery, TestProducer};
use kafka_test::requests::latest;
use kafka_test::server::Server;
use kafka_test::topic::Topic;
use rdkafka::producer::BaseRecord;
use rdkafka::Message;
use std::time::Duration;

pub const PARTITIONS: i32 = 3;
const VALUE_BYTES: usize = 100;

/// librdkafka's settings: batches of some hundred records, five in flight, and retries without end or long pauses.
const SETTINGS: &[(&str, &str)] = &[
    ("enable.idempotence", "true"),
    ("batch.num.messages", "200"),
    ("linger.ms", "2"),
    ("message.timeout.ms", "0"),
    ("socket.timeout.ms", "10000"),
    ("retry.backoff.ms", "10"),
    ("retry.backoff.max.ms", "100"),
    ("reconnect.backoff.ms", "10"),
    ("reconnect.backoff.max.ms", "200"),
];

/// Sends records 0, 1, 2, ..., each to the partition of its number modulo [`PARTITIONS`].
pub struct Run {
    producer: TestProducer,
    reported: Deliveries,
    deliveries: Vec<Delivery>,
    topic: Topic,
    sent: u64,
}

impl Run {
    pub fn new(server: &Server, topic: Topic) -> Run {
        let (producer, reported) = producer(server, SETTINGS);
        Run {
            producer,
            reported,
            deliveries: Vec::new(),
            topic,
            sent: 0,
        }
    }

    /// Sends `count` more records, waiting only for room in librdkafka's queue.
    pub fn send(&mut self, count: u64) {
        for number in self.sent..self.sent + count {
            let mut value = [b'.'; VALUE_BYTES];
            value[..8].copy_from_slice(&number.to_be_bytes());
            let partition = (number % PARTITIONS as u64) as i32;
            let record: BaseRecord<'_, [u8], [u8], _> = BaseRecord::with_opaque_to(&self.topic.name, Box::new(number))
                .partition(partition)
                .payload(&value);
            send(&self.producer, record);
        }
        self.sent += count;
        self.deliveries.extend(self.reported.take());
    }

    /// How many records have their outcome.
    pub fn delivered(&mut self) -> u64 {
        self.deliveries.extend(self.reported.take());
        self.deliveries.len() as u64
    }

    /// Waits for all outcomes, and asserts that each record was acknowledged at the offset at which it is, once and in order.
    pub fn check(mut self, server: &Server) {
        flush(&self.producer, Duration::from_secs(300));
        assert_eq!(self.delivered(), self.sent, "outcomes");
        for delivery in &self.deliveries {
            let expected = (delivery.tag / PARTITIONS as u64) as i64;
            assert_eq!(delivery.outcome, Ok(expected), "record {}", delivery.tag);
        }
        for partition in 0..PARTITIONS {
            let expected = (partition as u64..self.sent).step_by(PARTITIONS as usize);
            let count = expected.clone().count();
            let mut expected = expected.zip(0..);
            consume(&consumer(server, &self.topic.name, partition), count, |message| {
                let number = u64::from_be_bytes(message.payload().unwrap()[..8].try_into().unwrap());
                assert_eq!(Some((number, message.offset())), expected.next(), "partition {partition}");
            });
            assert_eq!(
                latest(&mut server.connect(), &self.topic, partition),
                count as i64,
                "end of partition {partition}"
            );
        }
    }
}
