//! Minutes beside a transaction that pins xmin: no dead row can be reclaimed, and nothing may become slower for it.

use std::time::{Duration, Instant};

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{session, Figure, TOPIC};
use crate::connection::{frame, reply, wait_until, Connection};
use crate::error::Error;
use crate::one_in_flight::{check, produce_frame};
use crate::quantiles::{Latencies, Quantiles};
use crate::server::Server;
use crate::target::runtime;

const MINUTES: u64 = 10;
const RATE: f64 = 200.0;
const PARTITIONS: i32 = 10;
const OFFSET_COMMIT: i16 = 9;

/// What one minute gave.
struct Minute {
    produce: Quantiles,
    commit: Quantiles,
    cpu_seconds: f64,
}

/// Produces and commits offsets of ten partitions, by turns, at a fixed rate, while a session keeps its snapshot: the first minute and the
/// last.
pub fn run(server: &mut Server, scale: f64) -> Result<Vec<Figure>, Error> {
    server.target.fresh_topic(TOPIC, PARTITIONS)?;
    let mut pinning = session(server)?;
    pinning.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()")?;
    let minutes = (0..MINUTES)
        .map(|number| {
            let minute = minute(server, 60.0 * scale.min(1.0))?;
            eprintln!(
                "pinned xmin, minute {}: produce p99 {:.2} ms, commit p99 {:.2} ms, {:.2} CPU-s",
                number + 1,
                minute.produce.p99_ms,
                minute.commit.p99_ms,
                minute.cpu_seconds
            );
            Ok(minute)
        })
        .collect::<Result<Vec<_>, Error>>()?;
    pinning.batch_execute("ROLLBACK")?;
    server.target.delete_topic(TOPIC)?;
    let ends = minutes.first().zip(minutes.last());
    Ok(ends.map_or_else(Vec::new, |(first, last)| {
        let line = |name: &str, of: fn(&Minute) -> f64, unit: &str| {
            let what = format!("{name} beside a transaction that pins xmin, minute 1 and minute {MINUTES}");
            (what, format!("{:.2} {unit}, {:.2} {unit}", of(first), of(last)))
        };
        vec![
            line("produce p50", |m| m.produce.p50_ms, "ms"),
            line("produce p99", |m| m.produce.p99_ms, "ms"),
            line("OffsetCommit p50", |m| m.commit.p50_ms, "ms"),
            line("OffsetCommit p99", |m| m.commit.p99_ms, "ms"),
            line("CPU seconds", |m| m.cpu_seconds, "s"),
        ]
    }))
}

fn minute(server: &Server, seconds: f64) -> Result<Minute, Error> {
    let produce_request = produce_frame(TOPIC, 0, &[0; 1024])?;
    let commit_request = commit_frame()?;
    let cpu_before = server.target.cpu_seconds()?.unwrap_or(0.0);
    let (produced, committed) = runtime()?.block_on(async {
        let mut connection = Connection::open(&server.target.brokers).await?;
        let (mut produced, mut committed) = (Latencies::default(), Latencies::default());
        let started = Instant::now();
        for number in 0..(RATE * seconds) as u64 {
            let from = wait_until(started + Duration::from_secs_f64(number as f64 / RATE)).await;
            if number % 2 == 0 {
                check(connection.exchange(&produce_request).await?)?;
                produced.add(from.elapsed());
            } else {
                check_commit(connection.exchange(&commit_request).await?)?;
                committed.add(from.elapsed());
            }
        }
        Ok::<_, Error>((produced, committed))
    })?;
    Ok(Minute {
        produce: produced.quantiles(),
        commit: committed.quantiles(),
        cpu_seconds: server.target.cpu_seconds()?.unwrap_or(0.0) - cpu_before,
    })
}

/// A commit of a consumer that is in no group's membership, which is how assigned consumers commit.
fn commit_frame() -> Result<bytes::Bytes, Error> {
    let partition = |index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(1)
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(StrBytes::from_static_str(TOPIC)))
        .with_partitions((0..PARTITIONS).map(partition).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(StrBytes::from_static_str("bench-pinned")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    frame(OFFSET_COMMIT, &request)
}

fn check_commit(frame: bytes::Bytes) -> Result<(), Error> {
    let reply = reply::<OffsetCommitRequest>(OFFSET_COMMIT, frame)?;
    let mut partitions = reply.topics.iter().flat_map(|topic| &topic.partitions);
    match partitions.find(|partition| partition.error_code != 0) {
        Some(partition) => Err(Error::Refused {
            api: "OffsetCommit",
            found: format!("error {}", partition.error_code),
        }),
        None => Ok(()),
    }
}
