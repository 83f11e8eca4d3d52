//! librdkafka through the rdkafka crate: producers that report every delivery, consumers with assigned partitions (no groups).

use crate::patience::PATIENCE;
use crate::server::Server;
use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What became of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The number that the record was sent with.
    pub tag: u64,
    /// Partition it went to.
    pub partition: i32,
    /// Its offset, or why it was not acknowledged.
    pub outcome: Result<i64, RDKafkaErrorCode>,
}

/// Collects the fate of each record.
#[derive(Clone, Default)]
pub struct Deliveries(Arc<Mutex<Vec<Delivery>>>);

impl Deliveries {
    /// Everything reported since the last call.
    pub fn take(&self) -> Vec<Delivery> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: Box<u64>) {
        let (partition, outcome) = match result {
            Ok(message) => (message.partition(), Ok(message.offset())),
            Err((error, message)) => (
                message.partition(),
                Err(error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)),
            ),
        };
        self.0.lock().unwrap().push(Delivery {
            tag: *tag,
            partition,
            outcome,
        });
    }
}

/// A producer whose callbacks a thread of its own serves.
pub type TestProducer = ThreadedProducer<Deliveries>;

fn config(server: &Server, settings: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &server.bootstrap);
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config
}

/// A producer with these settings of librdkafka, and the place where its deliveries are reported.
pub fn producer(server: &Server, settings: &[(&str, &str)]) -> (TestProducer, Deliveries) {
    let deliveries = Deliveries::default();
    let producer = config(server, settings)
        .create_with_context(deliveries.clone())
        .unwrap_or_else(|e| panic!("producer: {e}"));
    (producer, deliveries)
}

/// Queues a record, waiting while librdkafka's own queue is full.
pub fn send(producer: &TestProducer, mut record: BaseRecord<'_, [u8], [u8], Box<u64>>) {
    let start = Instant::now();
    loop {
        match producer.send(record) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => record = back,
            Err((error, _)) => panic!("send: {error}"),
        }
        assert!(start.elapsed() < PATIENCE, "librdkafka's queue stays full");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until every record that was queued has its outcome.
pub fn flush(producer: &TestProducer, limit: Duration) {
    producer.flush(limit).unwrap_or_else(|e| panic!("flush: {e}"));
}

/// A consumer of one partition from its beginning.
pub fn consumer(server: &Server, topic: &str, partition: i32) -> BaseConsumer {
    consumer_with(server, topic, partition, &[])
}

/// A consumer of one partition from its beginning, with further settings of librdkafka.
pub fn consumer_with(server: &Server, topic: &str, partition: i32, settings: &[(&str, &str)]) -> BaseConsumer {
    let mut all = vec![
        // assign() needs a group id though no group is used.
        ("group.id", "kafka_test"),
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "error"),
        ("check.crcs", "true"),
        ("enable.partition.eof", "false"),
    ];
    all.extend_from_slice(settings);
    let consumer: BaseConsumer = config(server, &all).create().unwrap_or_else(|e| panic!("consumer: {e}"));
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(0)).unwrap();
    consumer.assign(&assignment).unwrap_or_else(|e| panic!("assign: {e}"));
    consumer
}

/// Gives the next `count` records of a consumer to `visit`; panics if none comes for [`PATIENCE`].
pub fn consume(consumer: &BaseConsumer, count: usize, mut visit: impl FnMut(&BorrowedMessage<'_>)) {
    let mut seen = 0;
    let mut last = Instant::now();
    while seen < count {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                visit(&message);
                seen += 1;
                last = Instant::now();
            }
            Some(Err(error)) if !is_passing(&error) => panic!("consume: {error}"),
            _ => assert!(
                last.elapsed() < PATIENCE,
                "{seen} of {count} records came, then none for {PATIENCE:?}"
            ),
        }
    }
}

/// Errors that librdkafka reports and gets over by itself.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::CoordinatorNotAvailable
        )
    )
}
