//! From the moment a record is due to the moment its consumer has it, open loop, with one librdkafka client on either side.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use crate::error::Error;
use crate::produce::{wait_until, Outcome};
use crate::quantiles::Latencies;
use crate::target::{Target, PATIENCE};

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// Topic, which exists and is empty.
    pub topic: String,
    /// Its partitions; records go to them in turn, and the one consumer has them all.
    pub partitions: i32,
    /// Records in all.
    pub records: u64,
    /// Bytes of a record's value, at least 8.
    pub record_bytes: usize,
    /// Records a second.
    pub rate: f64,
}

/// Records that are sent and received before those that count: connections are made, and the consumer waits in a Fetch.
const WARM_UP: u64 = 20;

/// Sends the load with acks=all, linger 0, and receives it.
///
/// # Errors
/// A record did not come.
pub fn run(target: &Target, load: &Load) -> Result<Outcome, Error> {
    let producer: ThreadedProducer<DefaultProducerContext> = target.client().set("acks", "all").set("linger.ms", "0").create()?;
    producer.client().fetch_metadata(Some(&load.topic), PATIENCE)?;
    let consumer = consumer(target, load)?;
    for number in 0..WARM_UP {
        send(&producer, load, number)?;
        receive(&consumer)?;
    }
    let cpu_before = target.cpu_seconds()?;
    let started = Instant::now();
    let latencies = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive_all(&consumer, load, started));
        for number in 0..load.records {
            wait_until(started + due(load, number));
            send(&producer, load, number)?;
        }
        receiver
            .join()
            .map_err(|_| Error::Incomplete("the consumer panicked".to_owned()))?
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = target.cpu_seconds()?.zip(cpu_before).map(|(after, before)| after - before);
    Ok(Outcome {
        records: load.records,
        bytes: load.records * load.record_bytes as u64,
        seconds,
        latency: latencies.quantiles(),
        cpu_seconds,
    })
}

fn consumer(target: &Target, load: &Load) -> Result<BaseConsumer, Error> {
    let consumer: BaseConsumer = target
        .client()
        .set("group.id", "unused: partitions are assigned and nothing is committed")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..load.partitions {
        assignment.add_partition_offset(&load.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    Ok(consumer)
}

fn due(load: &Load, number: u64) -> Duration {
    Duration::from_secs_f64(number as f64 / load.rate)
}

fn send(producer: &ThreadedProducer<DefaultProducerContext>, load: &Load, number: u64) -> Result<(), Error> {
    let mut value = vec![0u8; load.record_bytes];
    value[..8].copy_from_slice(&number.to_be_bytes());
    let record = BaseRecord::<(), [u8]>::to(&load.topic)
        .partition((number % load.partitions as u64) as i32)
        .payload(&value);
    producer.send(record).map_err(|(error, _)| error.into())
}

/// The number of the next record.
fn receive(consumer: &BaseConsumer) -> Result<u64, Error> {
    let message = consumer
        .poll(PATIENCE)
        .ok_or_else(|| Error::Incomplete(format!("no record within {PATIENCE:?}")))??;
    let number = message.payload().and_then(|value| value.first_chunk());
    number
        .map(|number| u64::from_be_bytes(*number))
        .ok_or_else(|| Error::Incomplete("a record without a number".to_owned()))
}

fn receive_all(consumer: &BaseConsumer, load: &Load, started: Instant) -> Result<Latencies, Error> {
    let mut latencies = Latencies::default();
    for _ in 0..load.records {
        let number = receive(consumer)?;
        latencies.add((started + due(load, number)).elapsed());
    }
    Ok(latencies)
}
