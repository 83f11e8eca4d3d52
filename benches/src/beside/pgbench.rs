//! pgbench (TPC-B) alone and beside produce at fixed rates.

use std::process::Command;
use std::time::Duration;

use super::{session, Figure, TOPIC};
use crate::error::Error;
use crate::payload::Kind;
use crate::produce::{self, Load};
use crate::quantiles::median;
use crate::server::Server;

/// pgbench's scale factor: 15 MB each.
const SCALE: f64 = 20.0;
const CLIENTS: &str = "8";
const SECONDS: f64 = 15.0;

/// Rounds, each of all rates in turn.
const ROUNDS: usize = 5;

/// Megabytes a second that are produced beside it.
const RATES_MB: [f64; 2] = [10.0, 50.0];

/// Transactions a second alone and at each rate, and at each size of the WAL between checkpoints. A shared machine's speed changes within
/// minutes: each is compared to what lies between the measurements alone before and after it.
pub fn run(server: &mut Server, scale: f64) -> Result<Vec<Figure>, Error> {
    let seconds = (SECONDS * scale).max(2.0);
    let factor = format!("{:.0}", (SCALE * scale.min(1.0)).max(1.0));
    let mut figures = Vec::new();
    pgbench(server, &["-q", "-i", "-s", &factor])?;
    // The first run would read its tables from disk.
    beside(server, 0.0, seconds)?;
    for max_wal_size in ["1GB", "16GB"] {
        let mut session = session(server)?;
        session.batch_execute(&format!("ALTER SYSTEM SET max_wal_size = '{max_wal_size}'"))?;
        session.batch_execute("SELECT pg_reload_conf()")?;
        let mut measure = |rate| {
            session.batch_execute("CHECKPOINT")?;
            server.settle()?;
            let tps = beside(server, rate, seconds)?;
            eprintln!("pgbench, max_wal_size {max_wal_size}, beside {rate} MB/s: {tps:.0} tps");
            Ok::<f64, Error>(tps)
        };
        let mut alone = vec![measure(0.0)?];
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let mut round = [0.0; RATES_MB.len()];
            for (tps, rate) in round.iter_mut().zip(RATES_MB) {
                *tps = measure(rate)?;
            }
            rounds.push(round);
            alone.push(measure(0.0)?);
        }
        let mut figure = |rate: f64, tps: &[f64], parts: &[f64]| {
            let what =
                format!("pgbench, scale {factor}, {CLIENTS} clients, max_wal_size {max_wal_size}, beside {rate} MB/s of produce");
            let figure = format!("{:.0} transactions/s, {:.2} of those alone", median(tps), median(parts));
            figures.push((what, figure));
        };
        figure(0.0, &alone, &[1.0]);
        for (number, rate) in RATES_MB.into_iter().enumerate() {
            let tps: Vec<f64> = rounds.iter().map(|round| round[number]).collect();
            let place = (number + 1) as f64 / (RATES_MB.len() + 1) as f64;
            let expected = alone.windows(2).map(|around| around[0] + (around[1] - around[0]) * place);
            let parts: Vec<f64> = tps.iter().zip(expected).map(|(tps, expected)| tps / expected).collect();
            figure(rate, &tps, &parts);
        }
        session.batch_execute("ALTER SYSTEM RESET max_wal_size")?;
        session.batch_execute("SELECT pg_reload_conf()")?;
    }
    session(server)?.batch_execute("DROP TABLE pgbench_accounts, pgbench_branches, pgbench_history, pgbench_tellers")?;
    Ok(figures)
}

fn beside(server: &Server, rate_mb: f64, seconds: f64) -> Result<f64, Error> {
    let duration = format!("{seconds:.0}");
    let measure = || pgbench(server, &["-n", "-c", CLIENTS, "-j", "2", "-M", "prepared", "-T", &duration]);
    if rate_mb == 0.0 {
        return transactions_per_s(&measure()?);
    }
    let load = load(rate_mb, seconds + 2.0);
    server.target.fresh_topic(TOPIC, load.partitions)?;
    let said = std::thread::scope(|scope| {
        let producing = scope.spawn(|| produce::run(&server.target, &load));
        let said = measure();
        producing
            .join()
            .map_err(|_| Error::Incomplete("the producer panicked".to_owned()))??;
        said
    })?;
    server.target.delete_topic(TOPIC)?;
    transactions_per_s(&said)
}

fn load(rate_mb: f64, seconds: f64) -> Load {
    let rate = rate_mb * 1e6 / 1024.0;
    Load {
        topic: TOPIC.to_owned(),
        partitions: 3,
        records: (rate * seconds) as u64,
        record_bytes: 1024,
        payload: Kind::Random,
        codec: "none".to_owned(),
        acks: "all".to_owned(),
        batch_bytes: 64 * 1024,
        linger: Duration::from_millis(5),
        idempotent: false,
        in_flight: None,
        rate: Some(rate),
        burst: Duration::from_millis(5),
        only_failures: true,
    }
}

fn pgbench(server: &Server, arguments: &[&str]) -> Result<String, Error> {
    let (socket, port) = server.socket()?;
    let program = server.program("pgbench")?;
    let output = Command::new(&program)
        .args(["-h", &socket, "-p", &port.to_string(), "-U", "postgres"])
        .args(arguments)
        .arg("postgres")
        .output()
        .map_err(|source| Error::System {
            what: program.display().to_string(),
            source,
        })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Incomplete(format!(
            "pgbench: {}",
            String::from_utf8_lossy(&output.stderr)
        )))
    }
}

/// From "tps = 1234.5 (without initial connection time)".
fn transactions_per_s(said: &str) -> Result<f64, Error> {
    said.lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok())
        .ok_or_else(|| Error::Incomplete(format!("pgbench said: {said}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_a_second_are_found() {
        let said = "number of failed transactions: 0\ntps = 1234.5 (without initial connection time)\n";
        assert_eq!(transactions_per_s(said).unwrap(), 1234.5);
        assert!(transactions_per_s("").is_err());
    }
}
