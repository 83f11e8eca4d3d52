//! What `make bench-all` adds to the table: Kafka's own load programs, connections that do nothing, and loads that are unusual in one respect.

use std::time::Duration;

use super::row::{Measure, Promise, Row};
use super::rows::{
    flow, large_batches, latencies, on_fresh_topic, scaled, CPU_PER_GB, CPU_PER_RECORDS, P50, P99, THROUGHPUT, TOPIC,
};
use crate::end_to_end;
use crate::idle;
use crate::java;
use crate::produce::{self, Load};
use crate::quantiles::Quantiles;
use crate::readers::{self, Trickle};
use crate::starts;
use crate::trickles;

const OLD_TOPIC: &str = "bench-old";

/// 10 GB, twenty times the shared buffers.
const OLD_LOG_RECORDS: u64 = 10_000_000;

const PARTITIONS: i32 = 3;

/// How long connections are left alone.
const IDLE: Duration = Duration::from_secs(10);

/// All further rows. Connections that do nothing come first, while no other load has left memory that they could use; the row that restarts
/// brokers comes last, because it leaves a cold JVM. Records are scaled.
pub fn rows(scale: f64) -> Vec<Row> {
    let mut rows = idle_rows(scale);
    rows.extend(java_rows(scale));
    rows.extend([
        one_consumer_of_many_partitions(scale),
        many_topics(scale),
        cold_readers(scale),
    ]);
    rows
}

fn java_rows(scale: f64) -> Vec<Row> {
    let load = |records, record_bytes, batch_bytes| java::Load {
        topic: TOPIC.to_owned(),
        records: scaled(records, scale),
        record_bytes,
        batch_bytes,
    };
    // Long enough for the client's code to be compiled, which on two CPUs delays both brokers for seconds.
    let large = load(1_000_000, 1024, 256 * 1024);
    vec![
        java_produce(
            "ProducerPerformance, 1 KiB, batches of 16 KiB",
            load(600_000, 1024, 16 * 1024),
        ),
        java_produce(
            "ProducerPerformance, 100 B, batches of 16 KiB",
            load(3_000_000, 100, 16 * 1024),
        ),
        java_produce("ProducerPerformance, 1 KiB, batches of 256 KiB", large.clone()),
        row(
            "ConsumerPerformance, 1 KiB",
            Promise::None,
            on_fresh_topic(PARTITIONS, move |server| {
                java::produce(&server.target, &large)?;
                Ok(flow(&java::consume(&server.target, &large)?))
            }),
        ),
    ]
}

fn idle_rows(scale: f64) -> Vec<Row> {
    let row = |name: &str, connections| Row {
        measures: vec![Measure::of("memory, MB", 1), Measure::of("CPU-s a minute", 2)],
        ..row(
            name,
            Promise::None,
            Box::new(move |server, _| {
                let (megabytes, cpu) = idle::run(&server.target, connections, IDLE.mul_f64(scale.clamp(0.1, 1.0)))?;
                Ok(vec![megabytes, cpu])
            }),
        )
    };
    vec![
        row("no connection", 0),
        row("100 idle connections", 100),
        row("1,000 idle connections", 1_000),
    ]
}

fn one_consumer_of_many_partitions(scale: f64) -> Row {
    let load = end_to_end::Load {
        topic: TOPIC.to_owned(),
        partitions: 1_000,
        records: scaled(5_000, scale),
        record_bytes: 1024,
        rate: 1_000.0,
    };
    Row {
        measures: vec![P50, P99, CPU_PER_RECORDS],
        ..row(
            "one consumer of 1,000 partitions, end to end, 1 KiB, 1,000 records/s, open loop",
            Promise::OursMore,
            on_fresh_topic(load.partitions, move |server| {
                Ok(latencies(&end_to_end::run(&server.target, &load)?))
            }),
        )
    }
}

fn many_topics(scale: f64) -> Row {
    let load = trickles::Load {
        topics: (0..scaled(1_000, scale))
            .map(|number| format!("bench-trickle-{number}"))
            .collect(),
        connections: 50,
        records: scaled(5_000, scale),
        record_bytes: 1024,
        rate: 500.0,
    };
    let topics = load.topics.clone();
    Row {
        measures: vec![P50, P99, CPU_PER_RECORDS],
        before: Some(Box::new({
            let topics = topics.clone();
            move |server| server.target.fresh_topics(&names(&topics), 1, &[])
        })),
        after: Some(Box::new(move |server| server.target.delete_topics(&names(&topics)))),
        ..row(
            &format!(
                "{} topics, 500 requests/s to them in turn, 1 KiB, open loop",
                load.topics.len()
            ),
            Promise::OursMore,
            Box::new(move |server, _| Ok(latencies(&trickles::run(&server.target, &load)?))),
        )
    }
}

fn names(topics: &[String]) -> Vec<&str> {
    topics.iter().map(String::as_str).collect()
}

/// Both brokers are restarted, with nothing of the log in a cache, before each measurement.
fn cold_readers(scale: f64) -> Row {
    let log = Load {
        topic: OLD_TOPIC.to_owned(),
        ..large_batches(OLD_LOG_RECORDS, scale)
    };
    let trickle = Trickle {
        topic: TOPIC.to_owned(),
        partitions: PARTITIONS,
        records: None,
        record_bytes: 1024,
        rate: 50.0,
    };
    let written = log.clone();
    let gigabytes = log.records as f64 * log.record_bytes as f64 / 1e9;
    Row {
        measures: vec![
            Measure::of("produce p50 µs", 0),
            Measure::of("produce p99 µs", 0),
            Measure::of("readers' MB/s", 1),
            CPU_PER_GB,
        ],
        before: Some(Box::new(move |server| {
            server.target.fresh_topic(&written.topic, written.partitions)?;
            produce::run(&server.target, &written).map(|_| ())
        })),
        after: Some(Box::new(|server| server.target.delete_topic(OLD_TOPIC))),
        ..row(
            &format!("8 cold readers of a log of {gigabytes:.2} GB beside one producer, 50 records/s, 1 KiB"),
            Promise::OursMore,
            on_fresh_topic(PARTITIONS, move |server| {
                starts::restart_cold(server)?;
                server.target.wait_for_leaders(&[TOPIC, OLD_TOPIC], PARTITIONS)?;
                let outcome = readers::of_old_log(&server.target, &log, &trickle, 8)?;
                let Quantiles { p50_ms, p99_ms, .. } = outcome.latency;
                let mut values = vec![p50_ms * 1000.0, p99_ms * 1000.0];
                values.extend(flow(&outcome));
                Ok(values)
            }),
        )
    }
}

fn row(name: &str, promise: Promise, run: super::Measurement) -> Row {
    Row {
        name: name.to_owned(),
        measures: vec![THROUGHPUT, CPU_PER_GB],
        promise,
        flushed: false,
        before: None,
        run,
        after: None,
    }
}

fn java_produce(name: &str, load: java::Load) -> Row {
    let run = on_fresh_topic(PARTITIONS, move |server| Ok(flow(&java::produce(&server.target, &load)?)));
    row(name, Promise::OursMore, run)
}
