//! Produce load: open loop, to assigned partitions.
//!
//! Open loop means that a record is sent when its time has come, whatever became of those before it, and that its latency is counted
//! from the time it should have been sent: a broker that stalls cannot hide it by making its clients stop asking.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};

use crate::error::Error;
use crate::payload::{values, Kind};
use crate::quantiles::{Latencies, Quantiles};
use crate::target::{Target, PATIENCE};

/// What is sent.
#[derive(Debug, Clone)]
pub struct Load {
    /// Topic, which exists.
    pub topic: String,
    /// Its partitions; records go to them in turn.
    pub partitions: i32,
    /// Records in all.
    pub records: u64,
    /// Bytes of a record's value; there is no key.
    pub record_bytes: usize,
    /// Kind of the values' bytes.
    pub payload: Kind,
    /// `none`, `gzip`, `snappy`, `lz4` or `zstd`.
    pub codec: String,
    /// `0`, `1` or `all`.
    pub acks: String,
    /// Bytes at which the client closes a batch.
    pub batch_bytes: usize,
    /// How long the client waits for a batch to fill.
    pub linger: Duration,
    /// Whether the producer is idempotent, which needs acks `all`.
    pub idempotent: bool,
    /// Requests that the client has unanswered at most; `None`: its default, a million, or five of an idempotent one.
    pub in_flight: Option<u32>,
    /// Records a second; `None`: as fast as the client's buffer of 256 MiB takes them.
    pub rate: Option<f64>,
    /// With a rate: records that are due within so long are sent together, at its end. Zero is each at its time, which at 10,000 records a
    /// second takes a seventh of a CPU.
    pub burst: Duration,
    /// Whether the client is told of records only that were not acknowledged, which is less work for it; latencies are not known then.
    pub only_failures: bool,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Records that were acknowledged (with acks 0: sent), or were fetched.
    pub records: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// From the first to the last.
    pub seconds: f64,
    /// From the time a record should have been sent to its acknowledgement. Without a rate they are the time in the client's buffer.
    pub latency: Quantiles,
    /// CPU seconds that the broker used meanwhile, if its process is known.
    pub cpu_seconds: Option<f64>,
}

impl Outcome {
    /// Millions of value bytes a second.
    pub fn mb_per_s(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }

    /// Records a second.
    pub fn records_per_s(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    /// CPU seconds of the broker per 10^9 bytes of values.
    pub fn cpu_seconds_per_gb(&self) -> Option<f64> {
        self.cpu_seconds.map(|seconds| seconds / (self.bytes as f64 / 1e9))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Quantiles {
            p50_ms,
            p99_ms,
            p999_ms,
            max_ms,
        } = self.latency;
        write!(
            f,
            "{} records, {:.1} MB, {:.2} s: ",
            self.records,
            self.bytes as f64 / 1e6,
            self.seconds
        )?;
        write!(f, "{:.1} MB/s, {:.0} records/s", self.mb_per_s(), self.records_per_s())?;
        if max_ms > 0.0 {
            write!(
                f,
                ", latency ms p50 {p50_ms:.2} p99 {p99_ms:.2} p99.9 {p999_ms:.2} max {max_ms:.2}"
            )?;
        }
        if let Some(cpu) = self.cpu_seconds_per_gb() {
            write!(f, ", broker {cpu:.2} CPU-s/GB")?;
        }
        Ok(())
    }
}

/// Collects what librdkafka's delivery reports tell. A record's opaque is the nanosecond, after `started`, at which it was due.
struct Deliveries {
    started: Instant,
    reports: Mutex<Reports>,
    changed: Condvar,
}

#[derive(Default)]
struct Reports {
    latencies: Latencies,
    delivered: u64,
    failed: u64,
    first_failure: Option<KafkaError>,
}

impl Deliveries {
    fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the reports of `records`, which `flush` of the client library does too, but in steps of 100 ms.
    fn wait_for(&self, records: u64) -> Result<(), Error> {
        let mut reports = self.reports();
        while reports.delivered + reports.failed < records {
            let before = reports.delivered + reports.failed;
            let (now, timeout) = self
                .changed
                .wait_timeout(reports, PATIENCE)
                .unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() && now.delivered + now.failed == before {
                return Err(Error::Incomplete(format!(
                    "no acknowledgement for {PATIENCE:?} after {before} of {records} records"
                )));
            }
            reports = now;
        }
        reports.verdict(records)
    }
}

impl Reports {
    fn verdict(&self, records: u64) -> Result<(), Error> {
        match (self.failed, &self.first_failure) {
            (failed, Some(first)) => Err(Error::Incomplete(format!(
                "{failed} of {records} records were not acknowledged; the first: {first}"
            ))),
            _ => Ok(()),
        }
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, due_ns: usize) {
        let latency = self.started.elapsed().saturating_sub(Duration::from_nanos(due_ns as u64));
        let mut reports = self.reports();
        match result {
            Ok(_) => {
                reports.latencies.add(latency);
                reports.delivered += 1;
            }
            Err((error, _)) => {
                reports.failed += 1;
                reports.first_failure.get_or_insert_with(|| error.clone());
            }
        }
        drop(reports);
        self.changed.notify_one();
    }
}

/// Sends the load and waits until all of it is acknowledged.
///
/// # Errors
/// A record was not acknowledged, or the client could not be made.
pub fn run(target: &Target, load: &Load) -> Result<Outcome, Error> {
    run_together(target, load, 1)
}

/// The same by several clients at once, each with its share of the records (and of the rate).
///
/// # Errors
/// As [`run`].
pub fn run_together(target: &Target, load: &Load, producers: u64) -> Result<Outcome, Error> {
    let share = Load {
        records: load.records / producers,
        rate: load.rate.map(|rate| rate / producers as f64),
        ..load.clone()
    };
    let values = values(load.payload, load.record_bytes);
    let clients = (0..producers)
        .map(|_| connect(target, &share))
        .collect::<Result<Vec<_>, _>>()?;
    let cpu_before = target.cpu_seconds()?;
    let started = Instant::now();
    std::thread::scope(|scope| {
        let senders: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(|| send_all(client, &share, &values, started)))
            .collect();
        senders.into_iter().try_for_each(|sender| {
            sender
                .join()
                .map_err(|_| Error::Incomplete("a producer panicked".to_owned()))?
        })
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu_seconds = target.cpu_seconds()?.zip(cpu_before).map(|(after, before)| after - before);
    let mut latencies = Latencies::default();
    for client in &clients {
        latencies.join(std::mem::take(&mut client.context().reports().latencies));
    }
    Ok(Outcome {
        records: share.records * producers,
        bytes: share.records * producers * load.record_bytes as u64,
        seconds,
        latency: latencies.quantiles(),
        cpu_seconds,
    })
}

/// Sends one client's share and waits until it is acknowledged.
fn send_all(producer: &ThreadedProducer<Deliveries>, load: &Load, values: &[Vec<u8>], started: Instant) -> Result<(), Error> {
    let offset = started - producer.context().started;
    for number in 0..load.records {
        let due = match load.rate {
            Some(rate) => {
                let due = Duration::from_secs_f64(number as f64 / rate);
                wait_until(started + end_of_burst(due, load.burst));
                due
            }
            None => started.elapsed(),
        };
        let record = BaseRecord::<(), [u8], usize>::with_opaque_to(&load.topic, (offset + due).as_nanos() as usize)
            .partition((number % load.partitions as u64) as i32)
            .payload(values[number as usize % values.len()].as_slice());
        send(producer, record)?;
    }
    if load.only_failures {
        producer.flush(PATIENCE)?;
        return producer.context().reports().verdict(load.records);
    }
    producer.context().wait_for(load.records)
}

/// When the burst ends in which something is due.
fn end_of_burst(due: Duration, burst: Duration) -> Duration {
    match burst.as_nanos() as u64 {
        0 => due,
        burst => Duration::from_nanos((due.as_nanos() as u64).next_multiple_of(burst)),
    }
}

/// A producer that has the topic's metadata, so that getting them is not measured.
fn connect(target: &Target, load: &Load) -> Result<ThreadedProducer<Deliveries>, Error> {
    let deliveries = Deliveries {
        started: Instant::now(),
        reports: Mutex::default(),
        changed: Condvar::new(),
    };
    let mut config = target.client();
    config
        .set("compression.codec", &load.codec)
        .set("acks", &load.acks)
        .set("enable.idempotence", load.idempotent.to_string())
        .set("batch.size", load.batch_bytes.to_string())
        .set("batch.num.messages", "1000000")
        .set(
            "message.max.bytes",
            (load.record_bytes.max(load.batch_bytes) + 4096).max(1_000_000).to_string(),
        )
        .set("linger.ms", load.linger.as_millis().to_string())
        .set("delivery.report.only.error", load.only_failures.to_string())
        .set("queue.buffering.max.messages", "2000000")
        .set("queue.buffering.max.kbytes", "262144");
    if let Some(in_flight) = load.in_flight {
        config.set("max.in.flight.requests.per.connection", in_flight.to_string());
    }
    let producer: ThreadedProducer<Deliveries> = config.create_with_context(deliveries)?;
    producer.client().fetch_metadata(Some(&load.topic), PATIENCE)?;
    Ok(producer)
}

fn send<'a>(producer: &ThreadedProducer<Deliveries>, mut record: BaseRecord<'a, (), [u8], usize>) -> Result<(), Error> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_micros(500));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// Sleeps until something is due. The kernel wakes a sleeper some 50 µs late; the records that became due meanwhile are then sent at once.
pub fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > Duration::from_micros(100) {
        std::thread::sleep(left);
    }
}
