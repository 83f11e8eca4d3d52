//! The rows of the table.

use std::time::Duration;

use super::row::{Aim, Measure, Promise, Row};
use super::Measurement;
use crate::end_to_end;
use crate::error::Error;
use crate::fetch;
use crate::one_in_flight;
use crate::payload::Kind;
use crate::produce::{self, Load, Outcome};
use crate::readers::{self, Trickle};
use crate::server::Server;
use crate::starts;

pub(super) const TOPIC: &str = "bench";
const COLD_TOPIC: &str = "bench-cold";

/// A Kafka that flushes each record is so much slower that a quarter of the records takes it as long.
const FLUSHED_SHARE: u64 = 4;

/// Times that the tail is fetched in one measurement: once is too short for CPU times in steps of 0.01 s.
const TAIL_READS: u64 = 5;

pub(super) const THROUGHPUT: Measure = Measure::of("MB/s", 1);
pub(super) const CPU_PER_GB: Measure = Measure::of("CPU-s/GB", 2);
pub(super) const P50: Measure = Measure::of("p50 µs", 0);
pub(super) const P99: Measure = Measure::of("p99 µs", 0);
pub(super) const CPU_PER_RECORDS: Measure = Measure::of("CPU-s/10,000 records", 2);
const REQUESTS: Measure = Measure::of("requests/s", 0);
const CPU_PER_REQUESTS: Measure = Measure::of("CPU-s/10,000 requests", 2);

/// All rows, in the order of the table; those that restart brokers come last, because they leave a cold JVM. Records are scaled.
pub fn rows(scale: f64) -> Vec<Row> {
    let mut rows = produce_rows(scale);
    rows.extend(request_rows(scale));
    rows.push(many_partitions(scale));
    rows.extend(fetch_rows(scale));
    rows.extend(latency_rows(scale));
    rows.extend([cold(scale), at_rest()]);
    rows
}

pub(super) fn scaled(count: u64, scale: f64) -> u64 {
    ((count as f64 * scale) as u64).max(100)
}

/// Records of 1 KiB in batches of 16 KiB.
fn small_batches(records: u64, scale: f64) -> Load {
    Load {
        topic: TOPIC.to_owned(),
        partitions: 3,
        records: scaled(records, scale),
        record_bytes: 1024,
        payload: Kind::Random,
        codec: "none".to_owned(),
        acks: "all".to_owned(),
        batch_bytes: 16 * 1024,
        linger: Duration::from_millis(5),
        idempotent: false,
        in_flight: None,
        rate: None,
        burst: Duration::ZERO,
        only_failures: false,
    }
}

/// Records of 1 KiB in batches of 256 KiB.
pub(super) fn large_batches(records: u64, scale: f64) -> Load {
    Load {
        batch_bytes: 256 * 1024,
        ..small_batches(records, scale)
    }
}

fn produce_row(name: &str, load: Load, producers: u64, aims: (f64, f64)) -> Row {
    Row {
        name: name.to_owned(),
        measures: vec![THROUGHPUT.aim(Aim::AtLeast(aims.0)), CPU_PER_GB.aim(Aim::AtMost(aims.1))],
        promise: Promise::OursMore,
        flushed: false,
        before: None,
        run: on_fresh_topic_flushed(load.partitions, move |server, share| {
            let load = Load {
                records: load.records / share,
                ..load.clone()
            };
            Ok(flow(&produce::run_together(&server.target, &load, producers)?))
        }),
        after: None,
    }
}

/// The same, also beside a Kafka that flushes each record.
fn produce_row_flushed(name: &str, load: Load, aims: (f64, f64, f64)) -> Row {
    let mut row = produce_row(name, load, 1, (aims.0, aims.2));
    row.measures[0] = row.measures[0].flushed(Aim::AtLeast(aims.1));
    row.flushed = true;
    row
}

fn produce_rows(scale: f64) -> Vec<Row> {
    let json = Load {
        payload: Kind::Json,
        codec: "lz4".to_owned(),
        partitions: 4,
        ..large_batches(1_000_000, scale)
    };
    let tiny = Load {
        record_bytes: 100,
        ..small_batches(2_400_000, scale)
    };
    let huge = Load {
        record_bytes: 100 * 1024,
        ..large_batches(10_000, scale)
    };
    let acks1 = Load {
        acks: "1".to_owned(),
        ..large_batches(1_000_000, scale)
    };
    vec![
        produce_row_flushed(
            "produce 1 KiB, batches of 16 KiB",
            small_batches(450_000, scale),
            (1.3, 2.5, 0.5),
        ),
        produce_row_flushed("produce 100 B, batches of 16 KiB", tiny, (1.3, 2.5, 0.5)),
        produce_row(
            "produce 1 KiB, batches of 256 KiB",
            large_batches(1_000_000, scale),
            1,
            (1.0, 1.0),
        ),
        produce_row(
            "produce 1 KiB, batches of 256 KiB, 4 producers",
            large_batches(1_000_000, scale),
            4,
            (1.0, 1.0),
        ),
        Row {
            promise: Promise::NoFlush,
            measures: vec![THROUGHPUT, CPU_PER_GB],
            before: Some(Box::new(|server| acks1_async(server, "on"))),
            after: Some(Box::new(|server| acks1_async(server, "off"))),
            ..produce_row(
                "produce 1 KiB, batches of 256 KiB, acks=1, pg_kafka.acks1_async=on",
                acks1,
                1,
                (1.0, 1.0),
            )
        },
        produce_row(
            "produce 1 KiB JSON, lz4, batches of 256 KiB, 4 partitions",
            json,
            1,
            (1.0, 0.7),
        ),
        produce_row("produce 100 KiB records", huge, 1, (1.0, 1.0)),
    ]
}

/// Only Postgres has the setting.
fn acks1_async(server: &mut Server, value: &str) -> Result<(), Error> {
    if let Some(mut session) = server.session()? {
        session.batch_execute(&format!("ALTER SYSTEM SET pg_kafka.acks1_async = {value}"))?;
        session.batch_execute("SELECT pg_reload_conf()")?;
    }
    Ok(())
}

fn many_partitions(scale: f64) -> Row {
    let load = Load {
        partitions: 100,
        ..small_batches(450_000, scale)
    };
    produce_row("one producer over 100 partitions, 1 KiB", load, 1, (1.0, 0.7))
}

fn request_rows(scale: f64) -> Vec<Row> {
    let load = |connections, partitions, requests| one_in_flight::Load {
        topic: TOPIC.to_owned(),
        partitions,
        connections,
        requests: scaled(requests, scale) as usize,
        record_bytes: 100,
    };
    let row = |name: &str, load: one_in_flight::Load, measures, flushed| Row {
        name: name.to_owned(),
        measures,
        promise: Promise::OursMore,
        flushed,
        before: None,
        run: on_fresh_topic_flushed(load.partitions, move |server, share| {
            let load = one_in_flight::Load {
                requests: load.requests / share as usize,
                ..load.clone()
            };
            let outcome = one_in_flight::run(&server.target, &load)?;
            Ok(vec![outcome.records_per_s(), per_requests(&outcome)])
        }),
        after: None,
    };
    let alone = vec![
        REQUESTS.aim(Aim::AtLeast(0.8)).flushed(Aim::AtLeast(1.5)),
        CPU_PER_REQUESTS.aim(Aim::AtMost(0.5)),
    ];
    let many = vec![REQUESTS.aim(Aim::AtLeast(2.0)), CPU_PER_REQUESTS.aim(Aim::AtMost(0.4))];
    vec![
        row(
            "one record per request, one in flight, 100 B",
            load(1, 1, 10_000),
            alone,
            true,
        ),
        row(
            "one record per request, one in flight, 100 B, 64 connections",
            load(64, 8, 160_000),
            many,
            false,
        ),
    ]
}

fn fetch_rows(scale: f64) -> Vec<Row> {
    let log = large_batches(100_000, scale);
    let live = small_batches(60_000, scale);
    let measures = || vec![THROUGHPUT.aim(Aim::AtLeast(1.0)), CPU_PER_GB.aim(Aim::AtMost(1.0))];
    let row = |name: &str, run| Row {
        name: name.to_owned(),
        measures: measures(),
        promise: Promise::None,
        flushed: false,
        before: None,
        run,
        after: None,
    };
    vec![
        row(
            "fetch from the tail, 1 KiB",
            on_fresh_topic(log.partitions, move |server| {
                produce::run(&server.target, &log)?;
                fetch_times(server, &log, TAIL_READS)
            }),
        ),
        row(
            "one producer with 8 consumers, 1 KiB, what the consumers get",
            on_fresh_topic(live.partitions, move |server| {
                Ok(flow(&readers::beside_full_speed(&server.target, &live, 8)?))
            }),
        ),
    ]
}

fn fetch_times(server: &Server, log: &Load, times: u64) -> Result<Vec<f64>, Error> {
    let load = fetch::Load {
        topic: log.topic.clone(),
        partitions: log.partitions,
        records: log.records,
        partition_bytes: 1024 * 1024,
    };
    let mut sum = Outcome::default();
    for _ in 0..times {
        let outcome = fetch::run(&server.target, &load)?;
        sum.records += outcome.records;
        sum.bytes += outcome.bytes;
        sum.seconds += outcome.seconds;
        sum.cpu_seconds = Some(sum.cpu_seconds.unwrap_or(0.0) + outcome.cpu_seconds.unwrap_or(0.0));
    }
    Ok(flow(&sum))
}

fn latency_rows(scale: f64) -> Vec<Row> {
    let paced = end_to_end::Load {
        topic: TOPIC.to_owned(),
        partitions: 1,
        records: scaled(5_000, scale),
        record_bytes: 1024,
        rate: 1_000.0,
    };
    let trickle = Trickle {
        topic: TOPIC.to_owned(),
        partitions: 100,
        records: Some(scaled(1_000, scale)),
        record_bytes: 1024,
        rate: 200.0,
    };
    let row = |name: &str, measures, run| Row {
        name: name.to_owned(),
        measures,
        promise: Promise::OursMore,
        flushed: false,
        before: None,
        run,
        after: None,
    };
    vec![
        row(
            "end to end, 1 KiB, 1,000 records/s, open loop",
            vec![P50.aim(Aim::AtMost(2.0)), P99.aim(Aim::AtMost(1.0)), CPU_PER_RECORDS],
            on_fresh_topic(1, move |server| {
                let outcome = end_to_end::run(&server.target, &paced)?;
                Ok(latencies(&outcome))
            }),
        ),
        row(
            "1,000 long-polling consumers beside one producer, 200 records/s, 10 consumers each",
            vec![
                Measure::of("produce p99 µs", 0).aim(Aim::AtMost(1.0)),
                CPU_PER_REQUESTS.aim(Aim::AtMost(0.7)),
            ],
            on_fresh_topic(trickle.partitions, move |server| {
                let outcome = readers::beside_trickle(&server.target, &trickle, 1_000)?;
                Ok(vec![outcome.latency.p99_ms * 1000.0, per_requests(&outcome)])
            }),
        ),
    ]
}

fn cold(scale: f64) -> Row {
    let log = Load {
        topic: COLD_TOPIC.to_owned(),
        ..large_batches(250_000, scale)
    };
    let written = log.clone();
    Row {
        name: "fetch of a cold log after a restart, 1 KiB".to_owned(),
        measures: vec![THROUGHPUT.aim(Aim::AtLeast(0.8)), CPU_PER_GB.aim(Aim::AtMost(2.0))],
        promise: Promise::None,
        flushed: false,
        before: Some(Box::new(move |server| {
            server.target.fresh_topic(&written.topic, written.partitions)?;
            produce::run(&server.target, &written).map(|_| ())
        })),
        run: Box::new(move |server, _| {
            starts::restart_cold(server)?;
            fetch_times(server, &log, 1)
        }),
        after: Some(Box::new(|server| server.target.delete_topic(COLD_TOPIC))),
    }
}

fn at_rest() -> Row {
    Row {
        name: "at rest after a start (pg_kafka: beyond Postgres without it)".to_owned(),
        measures: vec![
            Measure::of("memory, MB", 1).aim(Aim::AtMost(0.15)),
            Measure::of("start to first answer, s", 2).aim(Aim::AtMost(0.2)),
        ],
        promise: Promise::None,
        flushed: false,
        before: None,
        run: Box::new(|server, _| {
            let (seconds, megabytes) = starts::rest(server)?;
            Ok(vec![megabytes, seconds])
        }),
        after: None,
    }
}

/// Measures on a topic that is made before and deleted after.
pub(super) fn on_fresh_topic(partitions: i32, measure: impl Fn(&mut Server) -> Result<Vec<f64>, Error> + 'static) -> Measurement {
    on_fresh_topic_flushed(partitions, move |server, _| measure(server))
}

/// The same where Kafka is also measured with flush.messages=1: the measurement is told by what to divide its records.
fn on_fresh_topic_flushed(
    partitions: i32,
    measure: impl Fn(&mut Server, u64) -> Result<Vec<f64>, Error> + 'static,
) -> Measurement {
    Box::new(move |server, flush| {
        let configs: &[(&str, &str)] = if flush { &[("flush.messages", "1")] } else { &[] };
        server.target.fresh_topic_with(TOPIC, partitions, configs)?;
        let values = measure(server, if flush { FLUSHED_SHARE } else { 1 })?;
        server.target.delete_topic(TOPIC)?;
        Ok(values)
    })
}

pub(super) fn flow(outcome: &Outcome) -> Vec<f64> {
    vec![outcome.mb_per_s(), outcome.cpu_seconds_per_gb().unwrap_or(0.0)]
}

/// What [`P50`], [`P99`] and [`CPU_PER_RECORDS`] name.
pub(super) fn latencies(outcome: &Outcome) -> Vec<f64> {
    let latency = outcome.latency;
    vec![latency.p50_ms * 1000.0, latency.p99_ms * 1000.0, per_requests(outcome)]
}

fn per_requests(outcome: &Outcome) -> f64 {
    outcome.cpu_seconds.unwrap_or(0.0) / outcome.records as f64 * 10_000.0
}
