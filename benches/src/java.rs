//! Apache Kafka's own load programs: a Java client takes most of two CPUs itself, so their figures stand beside those of this program, not in
//! place of them.

use std::process::Command;

use crate::error::Error;
use crate::produce::Outcome;
use crate::server::root;
use crate::target::Target;

/// What ProducerPerformance sends, and ConsumerPerformance reads.
#[derive(Debug, Clone)]
pub struct Load {
    /// Topic, which exists.
    pub topic: String,
    /// Records in all.
    pub records: u64,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Bytes at which the client closes a batch.
    pub batch_bytes: usize,
}

/// Sends the load with acks=all and Java's defaults beside (idempotent).
///
/// # Errors
/// The tool fails, or says something else than it used to.
pub fn produce(target: &Target, load: &Load) -> Result<Outcome, Error> {
    let arguments = [
        "org.apache.kafka.tools.ProducerPerformance".to_owned(),
        format!("--bootstrap-server={}", target.brokers),
        format!("--topic={}", load.topic),
        format!("--num-records={}", load.records),
        format!("--record-size={}", load.record_bytes),
        "--throughput=-1".to_owned(),
        "--command-property".to_owned(),
        "acks=all".to_owned(),
        format!("batch.size={}", load.batch_bytes),
        "linger.ms=5".to_owned(),
    ];
    let (said, cpu_seconds) = run(target, &arguments)?;
    let rate = records_per_s(&said).ok_or_else(|| unexpected(&said))?;
    outcome(load, rate, cpu_seconds)
}

/// Reads the load in a group of its own; the time to join it does not count.
///
/// # Errors
/// As [`produce`].
pub fn consume(target: &Target, load: &Load) -> Result<Outcome, Error> {
    let arguments = [
        "org.apache.kafka.tools.ConsumerPerformance".to_owned(),
        format!("--bootstrap-server={}", target.brokers),
        format!("--topic={}", load.topic),
        format!("--num-records={}", load.records),
        "--timeout=60000".to_owned(),
    ];
    let (said, cpu_seconds) = run(target, &arguments)?;
    let rate = fetched_per_s(&said).ok_or_else(|| unexpected(&said))?;
    outcome(load, rate, cpu_seconds)
}

fn outcome(load: &Load, records_per_s: f64, cpu_seconds: Option<f64>) -> Result<Outcome, Error> {
    Ok(Outcome {
        records: load.records,
        bytes: load.records * load.record_bytes as u64,
        seconds: load.records as f64 / records_per_s,
        cpu_seconds,
        ..Outcome::default()
    })
}

fn run(target: &Target, arguments: &[String]) -> Result<(String, Option<f64>), Error> {
    let classpath = output(Command::new(root().join("scripts/apache-kafka.sh")).arg("classpath"))?;
    let cpu_before = target.cpu_seconds()?;
    let said = output(
        Command::new("java")
            .args(["-Xmx512M", "-cp", classpath.trim()])
            .args(arguments),
    )?;
    Ok((
        said,
        target.cpu_seconds()?.zip(cpu_before).map(|(after, before)| after - before),
    ))
}

fn output(command: &mut Command) -> Result<String, Error> {
    let output = command.output().map_err(|source| Error::System {
        what: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(unexpected(&String::from_utf8_lossy(&output.stderr)))
    }
}

fn unexpected(said: &str) -> Error {
    Error::Incomplete(format!("Kafka's load program said: {said}"))
}

/// The rate in the last line of ProducerPerformance: "N records sent, R records/sec (M MB/sec), ...".
fn records_per_s(said: &str) -> Option<f64> {
    let last = said.lines().rfind(|line| line.contains("records/sec"))?;
    let (_, rest) = last.split_once(" records sent, ")?;
    rest.split(' ').next()?.parse().ok()
}

/// The column fetch.nMsg.sec of ConsumerPerformance, which is its last.
fn fetched_per_s(said: &str) -> Option<f64> {
    let (_, values) = said.split_once("fetch.nMsg.sec\n")?;
    values.lines().next()?.rsplit(',').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_of_the_producer_counts() {
        let said = "\
            10 records sent, 5.0 records/sec (0.01 MB/sec), 1.0 ms avg latency, 2.0 ms max latency.\n\
            30 records sent, 7.50 records/sec (0.01 MB/sec), 1.0 ms avg latency, 2.0 ms max latency, 1 ms 50th.\n";
        assert_eq!(records_per_s(said), Some(7.5));
        assert_eq!(records_per_s("nothing"), None);
    }

    #[test]
    fn the_time_to_join_a_group_does_not_count() {
        let said = "start.time, end.time, data.consumed.in.MB, MB.sec, data.consumed.in.nMsg, nMsg.sec, rebalance.time.ms, \
                    fetch.time.ms, fetch.MB.sec, fetch.nMsg.sec\n\
                    2026-11-25 12:00:00:000, 2026-11-25 12:00:04:000, 9.5, 2.4, 10000, 2500.0, 3000, 1000, 9.5, 10000.0\n";
        assert_eq!(fetched_per_s(said), Some(10000.0));
    }
}
