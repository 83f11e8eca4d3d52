//! Fetch load: one consumer that reads assigned partitions from their first record to a number of records.

use std::time::Instant;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::error::Error;
use crate::produce::Outcome;
use crate::target::{Target, PATIENCE};

/// What is read.
#[derive(Debug, Clone)]
pub struct Load {
    /// Topic.
    pub topic: String,
    /// Its partitions; all are read.
    pub partitions: i32,
    /// Records after which reading ends.
    pub records: u64,
    /// Most bytes of one partition in a reply.
    pub partition_bytes: usize,
}

/// Reads the load.
///
/// # Errors
/// A minute passes without a record before `records` have come.
pub fn run(target: &Target, load: &Load) -> Result<Outcome, Error> {
    let consumer: BaseConsumer = target
        .client()
        .set("group.id", "unused: partitions are assigned and nothing is committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("max.partition.fetch.bytes", load.partition_bytes.to_string())
        .set("queued.min.messages", "1000000")
        .set("queued.max.messages.kbytes", "131072")
        .set("fetch.error.backoff.ms", "1")
        .create()?;
    let mut assignment = TopicPartitionList::new();
    for partition in 0..load.partitions {
        assignment.add_partition_offset(&load.topic, partition, Offset::Beginning)?;
    }
    consumer.client().fetch_metadata(Some(&load.topic), PATIENCE)?;
    let cpu_before = target.cpu_seconds()?;
    let started = Instant::now();
    consumer.assign(&assignment)?;
    let (mut records, mut bytes) = (0, 0);
    while records < load.records {
        let message = consumer
            .poll(PATIENCE)
            .ok_or_else(|| Error::Incomplete(format!("only {records} of {} records came", load.records)))??;
        records += 1;
        bytes += message.payload_len() as u64;
    }
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = target.cpu_seconds()?.zip(cpu_before).map(|(after, before)| after - before);
    Ok(Outcome {
        records,
        bytes,
        seconds,
        cpu_seconds,
        ..Outcome::default()
    })
}
