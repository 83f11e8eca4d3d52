//! One record at a time on one connection, beside a bare INSERT on the same Postgres in the same run.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::ClientContext;

use crate::error::Error;
use crate::payload::{values, Kind};
use crate::quantiles::{Latencies, Quantiles};
use crate::target::{Target, PATIENCE};

/// Produces and inserts alternate in blocks of this many, so that what else the machine does hits both alike.
const BLOCK: usize = 100;

/// The first blocks of each are not counted: caches fill, connections are made.
const WARM_UP_BLOCKS: usize = 2;

/// Latencies of both.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// From a record's send to its acknowledgement, acks=all.
    pub produce: Quantiles,
    /// From sending an INSERT outside a transaction block, prepared, to its answer; `None` without a Postgres.
    pub insert: Option<Quantiles>,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Quantiles { p50_ms, p99_ms, .. } = self.produce;
        write!(f, "produce p50 {p50_ms:.3} ms p99 {p99_ms:.3} ms")?;
        if let Some(insert) = self.insert {
            write!(f, ", INSERT p50 {:.3} ms p99 {:.3} ms", insert.p50_ms, insert.p99_ms)?;
            write!(f, ", p50 ratio {:.2}", p50_ms / insert.p50_ms)?;
        }
        Ok(())
    }
}

/// Sends `count` records of `record_bytes` to partition 0 of `topic`, each after the acknowledgement of the one before, and inserts as
/// many rows of that size where `postgres` is given.
///
/// # Errors
/// A record was not acknowledged, or Postgres refused.
pub fn run(
    target: &Target,
    topic: &str,
    record_bytes: usize,
    count: usize,
    mut postgres: Option<&mut postgres::Client>,
) -> Result<Outcome, Error> {
    let values = values(Kind::Random, record_bytes);
    let producer = OneAtATime::connect(target, topic)?;
    if let Some(client) = postgres.as_deref_mut() {
        client.batch_execute("DROP TABLE IF EXISTS bench_insert; CREATE TABLE bench_insert (data bytea)")?;
    }
    let insert = postgres
        .as_deref_mut()
        .map(|client| client.prepare("INSERT INTO bench_insert VALUES ($1)"))
        .transpose()?;
    let (mut produced, mut inserted) = (Latencies::default(), Latencies::default());
    for block in 0..WARM_UP_BLOCKS + count.div_ceil(BLOCK) {
        let counted = block >= WARM_UP_BLOCKS;
        for value in values.iter().cycle().skip(block * BLOCK).take(BLOCK) {
            let latency = producer.send(topic, value)?;
            if counted {
                produced.add(latency);
            }
        }
        let Some((client, insert)) = postgres.as_deref_mut().zip(insert.as_ref()) else {
            continue;
        };
        for value in values.iter().cycle().skip(block * BLOCK).take(BLOCK) {
            let sent = Instant::now();
            client.execute(insert, &[&value.as_slice()])?;
            if counted {
                inserted.add(sent.elapsed());
            }
        }
    }
    if let Some(client) = postgres {
        client.batch_execute("DROP TABLE bench_insert")?;
    }
    Ok(Outcome {
        produce: produced.quantiles(),
        insert: insert.map(|_| inserted.quantiles()),
    })
}

/// A producer that has at most one record under way.
pub struct OneAtATime {
    producer: ThreadedProducer<Acknowledged>,
    acknowledged: Receiver<Result<(), KafkaError>>,
}

impl OneAtATime {
    /// Connects, and gets the topic's metadata.
    ///
    /// # Errors
    /// No broker answers.
    pub fn connect(target: &Target, topic: &str) -> Result<Self, Error> {
        let (sender, acknowledged) = mpsc::sync_channel(1);
        let mut config = target.client();
        config.set("acks", "all").set("linger.ms", "0").set("retries", "0");
        let producer: ThreadedProducer<Acknowledged> = config.create_with_context(Acknowledged(sender))?;
        producer.client().fetch_metadata(Some(topic), PATIENCE)?;
        Ok(OneAtATime { producer, acknowledged })
    }

    /// Sends one record to partition 0 and waits for its acknowledgement; the time it took.
    ///
    /// # Errors
    /// It was not acknowledged.
    pub fn send(&self, topic: &str, value: &[u8]) -> Result<Duration, Error> {
        let sent = Instant::now();
        let record = BaseRecord::<(), [u8]>::to(topic).partition(0).payload(value);
        self.producer.send(record).map_err(|(error, _)| error)?;
        match self.acknowledged.recv_timeout(PATIENCE) {
            Ok(result) => Ok(result.map(|()| sent.elapsed())?),
            Err(_) => Err(Error::Incomplete(format!(
                "a record was not acknowledged within {PATIENCE:?}"
            ))),
        }
    }
}

/// Hands on the delivery report of the one record under way.
struct Acknowledged(SyncSender<Result<(), KafkaError>>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        let result = delivered.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        // Nobody waits any more if the one who sent it has given up.
        let _ = self.0.try_send(result);
    }
}
