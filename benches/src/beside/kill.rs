//! How soon the broker serves again after a kill -9 of Postgres, with a long log in many small segments: beyond what Postgres itself takes
//! to recover.

use std::process::Command;
use std::time::Duration;

use super::{scaled, session, Figure, TOPIC};
use crate::error::Error;
use crate::payload::Kind;
use crate::produce::{self, Load};
use crate::server::Server;
use crate::starts;

/// 20 GB.
const RECORDS: f64 = 20e6;
const SEGMENT_BYTES: &str = "16777216";

/// Records a second: what the making of segments keeps pace with.
const RATE: f64 = 60_000.0;

/// What Postgres logs when it has recovered, and the broker when it serves.
const RECOVERED: &str = "database system is ready to accept connections";
const SERVES: &str = "pg_kafka listens on";

/// Writes the log, kills Postgres, starts it, and takes both times from its log.
pub fn run(server: &mut Server, scale: f64) -> Result<Vec<Figure>, Error> {
    let load = Load {
        topic: TOPIC.to_owned(),
        partitions: 3,
        records: scaled(RECORDS, scale) as u64,
        record_bytes: 1024,
        payload: Kind::Random,
        codec: "none".to_owned(),
        acks: "all".to_owned(),
        batch_bytes: 256 * 1024,
        linger: Duration::from_millis(5),
        idempotent: false,
        in_flight: None,
        rate: Some(RATE),
        burst: Duration::from_millis(5),
        only_failures: false,
    };
    server
        .target
        .fresh_topic_with(TOPIC, load.partitions, &[("segment.bytes", SEGMENT_BYTES)])?;
    produce::run(&server.target, &load)?;
    let segments: i64 = session(server)?
        .query_one(
            "SELECT count(*) FROM kafka.segments s JOIN kafka.topics t ON t.id = s.topic WHERE t.name = $1",
            &[&TOPIC],
        )?
        .get(0);
    kill(server)?;
    server.start_again(&[])?;
    starts::first_answer(&server.target.brokers)?;
    server.target.wait_for_leaders(&[TOPIC], load.partitions)?;
    let log = server.log()?;
    let (recovered, serves) = (last(&log, RECOVERED)?, last(&log, SERVES)?);
    server.target.delete_topic(TOPIC)?;
    let gigabytes = load.records as f64 * load.record_bytes as f64 / 1e9;
    Ok(vec![(
        format!("start after a kill -9, {gigabytes:.1} GB in segments of 16 MiB"),
        format!(
            "{segments} segments; the broker serves {:.2} s after Postgres has recovered",
            serves - recovered
        ),
    )])
}

fn kill(server: &Server) -> Result<(), Error> {
    let pid = server
        .target
        .pid
        .ok_or_else(|| Error::Incomplete("no process id".to_owned()))?;
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status();
    status.map(|_| ()).map_err(|source| Error::System {
        what: "kill".to_owned(),
        source,
    })
}

/// When something was logged last, in seconds of its day.
fn last(log: &str, what: &str) -> Result<f64, Error> {
    let line = log.lines().rev().find(|line| line.contains(what));
    line.and_then(seconds_of_day)
        .ok_or_else(|| Error::Incomplete(format!("Postgres has not logged \"{what}\"")))
}

/// From `2026-11-29 18:25:54.348 UTC [895] LOG:  ...`.
fn seconds_of_day(line: &str) -> Option<f64> {
    let mut parts = line.split(' ').nth(1)?.split(':').map(|part| part.parse::<f64>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    Some((hours * 60.0 + minutes) * 60.0 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_time_counts() {
        let log = "2026-11-29 01:00:00.000 UTC [1] LOG:  it happens\n2026-11-29 01:02:03.500 UTC [1] LOG:  it happens\nend\n";
        assert_eq!(last(log, "it happens").unwrap(), 3723.5);
        assert!(last(log, "it does not").is_err());
        assert!(last(log, "end").is_err());
    }
}
