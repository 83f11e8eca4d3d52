//! One record per request and one request in flight, on one or many raw connections: what a request costs.

use std::time::Instant;

use kafka_protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use kafka_protocol::messages::TopicName;
use kafka_protocol::protocol::StrBytes;
use tokio::task::JoinSet;

use crate::batch;
use crate::connection::{frame, reply, Connection};
use crate::error::Error;
use crate::payload::{values, Kind};
use crate::produce::Outcome;
use crate::quantiles::Latencies;
use crate::target::{runtime, Target};

/// The last version of Produce that names topics.
const PRODUCE: i16 = 12;

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// Topic, which exists. Connections take its partitions in turn.
    pub topic: String,
    /// Its partitions.
    pub partitions: i32,
    /// Connections.
    pub connections: usize,
    /// Requests of all connections together.
    pub requests: usize,
    /// Bytes of a record's value.
    pub record_bytes: usize,
}

/// Sends the load with acks=all.
///
/// # Errors
/// A request was refused.
pub fn run(target: &Target, load: &Load) -> Result<Outcome, Error> {
    runtime()?.block_on(async {
        let mut connections = Vec::new();
        for number in 0..load.connections {
            let request = request(load, number as i32 % load.partitions)?;
            connections.push((Connection::open(&target.brokers).await?, request));
        }
        let each = load.requests / load.connections;
        let cpu_before = target.cpu_seconds()?;
        let started = Instant::now();
        let mut senders = JoinSet::new();
        for (connection, request) in connections {
            senders.spawn(send(connection, request, each));
        }
        let mut latencies = Latencies::default();
        while let Some(sender) = senders.join_next().await {
            latencies.join(sender.map_err(|e| Error::Incomplete(format!("a connection: {e}")))??);
        }
        let seconds = started.elapsed().as_secs_f64();
        let cpu_seconds = target.cpu_seconds()?.zip(cpu_before).map(|(after, before)| after - before);
        let records = (each * load.connections) as u64;
        Ok(Outcome {
            records,
            bytes: records * load.record_bytes as u64,
            seconds,
            latency: latencies.quantiles(),
            cpu_seconds,
        })
    })
}

fn request(load: &Load, partition: i32) -> Result<bytes::Bytes, Error> {
    let value = &values(Kind::Random, load.record_bytes)[partition as usize];
    produce_frame(&load.topic, partition, value)
}

/// The frame of a Produce of one record with acks=all.
///
/// # Errors
/// As [`frame`].
pub fn produce_frame(topic: &str, partition: i32, value: &[u8]) -> Result<bytes::Bytes, Error> {
    let partition = PartitionProduceData::default()
        .with_index(partition)
        .with_records(Some(batch::of_one(value).into()));
    let topic = TopicProduceData::default()
        .with_name(TopicName(StrBytes::from_string(topic.to_owned())))
        .with_partition_data(vec![partition]);
    let request = ProduceRequest::default()
        .with_acks(-1)
        .with_timeout_ms(30_000)
        .with_topic_data(vec![topic]);
    frame(PRODUCE, &request)
}

/// Fails unless the reply says that the record was taken.
///
/// # Errors
/// It was not.
pub fn check(frame: bytes::Bytes) -> Result<(), Error> {
    let reply = reply::<ProduceRequest>(PRODUCE, frame)?;
    let partitions = reply.responses.iter().flat_map(|topic| &topic.partition_responses);
    if let Some(code) = partitions.map(|partition| partition.error_code).find(|code| *code != 0) {
        return Err(Error::Refused {
            api: "Produce",
            found: format!("error {code}"),
        });
    }
    Ok(())
}

async fn send(mut connection: Connection, request: bytes::Bytes, times: usize) -> Result<Latencies, Error> {
    let mut latencies = Latencies::default();
    for _ in 0..times {
        let sent = Instant::now();
        let answer = connection.exchange(&request).await?;
        latencies.add(sent.elapsed());
        check(answer)?;
    }
    Ok(latencies)
}
