//! Two brokers side by side: each row in rounds, the brokers in turn within a round, and the ratios of each round's pair.
//!
//! Machines are noisy: a broker's megabytes a second move threefold between rounds, the ratio of a pair much less, CPU seconds least.

mod row;
mod rows;

use std::path::PathBuf;
use std::time::Instant;

use crate::error::Error;
use crate::machine;
use crate::report;
use crate::server::{root, Server};
use crate::starts::sync;

pub use row::{Aim, Measure, Measurement, Promise, Round, Row, Step};

const SECTION: &str = "bench";

/// How it is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where both brokers have their files.
    pub dir: PathBuf,
    /// The first of four ports.
    pub base_port: u16,
    /// Rounds that count.
    pub rounds: usize,
    /// Whether there is a round before them that does not count: a JVM compiles what runs often.
    pub warm_up: bool,
    /// 1 is what the report shows; less has fewer records.
    pub scale: f64,
    /// Only rows whose name contains this.
    pub only: String,
    /// Whether the section of docs/performance.md is written.
    pub write: bool,
}

/// Starts both brokers, measures, and prints or writes the section.
///
/// # Errors
/// A measurement failed, on either broker.
pub fn compare(options: &Options) -> Result<(), Error> {
    let started = Instant::now();
    let mut ours = Server::start_pg_kafka(&options.dir, options.base_port, &[])?;
    let mut theirs = Server::start_apache(&options.dir, options.base_port + 2, &[])?;
    let mut section = machine::describe(&ours, &options.dir)?;
    section.push_str(&format!(
        "\nMedians of {} rounds, in brackets the smallest and the largest; the ratio is the median of each round's, pg_kafka to Apache \
         Kafka.\nPromise: what an acknowledgement means; \"ours more\": pg_kafka's is on disk, Kafka's in memory.\n\n{}",
        options.rounds,
        row::HEAD
    ));
    let mut missed = Vec::new();
    for row in rows::rows(options.scale)
        .iter()
        .filter(|row| row.name.contains(&options.only))
    {
        let rounds = measure(row, options, &mut ours, &mut theirs)?;
        let (lines, misses) = row.lines(&rounds);
        section.push_str(&lines);
        missed.extend(misses);
    }
    section.push_str(&format!(
        "\nTook {} minutes; at the end {}.\n",
        started.elapsed().as_secs() / 60,
        machine::load_average()
    ));
    println!("{section}\nMissed:\n{}", missed.join("\n"));
    if options.write {
        report::rewrite(&root().join("docs/performance.md"), SECTION, &section)?;
    }
    Ok(())
}

/// All rounds of a row that count. Who begins changes from round to round.
fn measure(row: &Row, options: &Options, ours: &mut Server, theirs: &mut Server) -> Result<Vec<Round>, Error> {
    for server in [&mut *ours, &mut *theirs] {
        if let Some(before) = &row.before {
            before(server)?;
        }
    }
    let mut rounds = Vec::new();
    for number in usize::from(!options.warm_up)..=options.rounds {
        let mut round = Round {
            ours: Vec::new(),
            theirs: Vec::new(),
            flushed: None,
        };
        if number % 2 == 0 {
            round.ours = one(row, ours, false)?;
        }
        round.theirs = one(row, theirs, false)?;
        if row.flushed {
            round.flushed = Some(one(row, theirs, true)?);
        }
        if number % 2 == 1 {
            round.ours = one(row, ours, false)?;
        }
        if number > 0 {
            rounds.push(round);
        }
    }
    for server in [ours, theirs] {
        if let Some(after) = &row.after {
            after(server)?;
        }
    }
    Ok(rounds)
}

fn one(row: &Row, server: &mut Server, flush: bool) -> Result<Vec<f64>, Error> {
    sync();
    let values = (row.run)(server, flush)?;
    let measured = row.measures.iter().zip(&values);
    let shown: Vec<String> = measured
        .map(|(m, value)| format!("{value:.*} {}", m.digits, m.name))
        .collect();
    let flush = if flush { ", flush.messages=1" } else { "" };
    eprintln!("{}: {}{flush}: {}", row.name, server.target.name, shown.join(", "));
    Ok(values)
}
