//! Many topics, to each of which a record comes now and then: nothing fills a batch or a page.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::connection::{wait_until, Connection};
use crate::error::Error;
use crate::one_in_flight::{check, produce_frame};
use crate::payload::{values, Kind};
use crate::produce::Outcome;
use crate::quantiles::Latencies;
use crate::target::{runtime, Target};

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// Topics of one partition, which exist. Records go to them in turn.
    pub topics: Vec<String>,
    /// Raw connections, which take records in turn.
    pub connections: usize,
    /// Records in all, each a request.
    pub records: u64,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Records a second, open loop.
    pub rate: f64,
}

/// Sends the load with acks=all.
///
/// # Errors
/// A request was refused.
pub fn run(target: &Target, load: &Load) -> Result<Outcome, Error> {
    let values = values(Kind::Random, load.record_bytes);
    let frames = load.topics.iter().zip(values.iter().cycle());
    let frames = frames
        .map(|(topic, value)| produce_frame(topic, 0, value))
        .collect::<Result<Vec<_>, _>>()?;
    runtime()?.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..load.connections {
            connections.push(Connection::open(&target.brokers).await?);
        }
        let cpu_before = target.cpu_seconds()?;
        let started = Instant::now();
        let mut senders = JoinSet::new();
        for (number, connection) in connections.into_iter().enumerate() {
            let numbers = (number as u64..load.records).step_by(load.connections);
            let requests = numbers.map(|number| {
                let due = started + Duration::from_secs_f64(number as f64 / load.rate);
                (due, frames[number as usize % frames.len()].clone())
            });
            senders.spawn(send(connection, requests.collect()));
        }
        let mut latencies = Latencies::default();
        while let Some(sender) = senders.join_next().await {
            latencies.join(sender.map_err(|e| Error::Incomplete(format!("a connection: {e}")))??);
        }
        Ok(Outcome {
            records: load.records,
            bytes: load.records * load.record_bytes as u64,
            seconds: started.elapsed().as_secs_f64(),
            latency: latencies.quantiles(),
            cpu_seconds: target.cpu_seconds()?.zip(cpu_before).map(|(after, before)| after - before),
        })
    })
}

async fn send(mut connection: Connection, requests: Vec<(Instant, bytes::Bytes)>) -> Result<Latencies, Error> {
    let mut latencies = Latencies::default();
    for (due, request) in requests {
        let from = wait_until(due).await;
        let answer = connection.exchange(&request).await?;
        latencies.add(from.elapsed());
        check(answer)?;
    }
    Ok(latencies)
}
