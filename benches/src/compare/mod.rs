//! Two brokers side by side: each row in rounds, the brokers in turn within a round, and the ratios of each round's pair.
//!
//! Machines are noisy: a broker's megabytes a second move threefold between rounds, the ratio of a pair much less, CPU seconds least.

mod more;
mod row;
mod rows;

use std::path::PathBuf;
use std::time::Instant;

use crate::beside;
use crate::error::Error;
use crate::machine;
use crate::report::{self, TableRow};
use crate::server::{root, Server};

pub use row::{Aim, Measure, Measurement, Promise, Round, Row, Step};

/// Which rows are measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// What `make bench` measures.
    Bench,
    /// What `make bench-all` adds: further rows, and what pg_kafka does to its Postgres.
    More,
    /// Both, in one run of the brokers: to see that all of it runs. It has no section.
    Quick,
}

impl Rows {
    fn section(self) -> Result<&'static str, Error> {
        match self {
            Rows::Bench => Ok("bench"),
            Rows::More => Ok("bench all"),
            Rows::Quick => Err(Error::Usage("a quick run is not written down".to_owned())),
        }
    }

    fn rows(self, scale: f64) -> Vec<Row> {
        match self {
            Rows::Bench => rows::rows(scale),
            Rows::More => more::rows(scale),
            Rows::Quick => rows::rows(scale).into_iter().chain(more::rows(scale)).collect(),
        }
    }
}

/// How it is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which rows.
    pub rows: Rows,
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

/// As the scripts set Apache Kafka: a consumer in a group does not wait for others.
const OUR_SETTINGS: [(&str, &str); 1] = [("pg_kafka.group_initial_rebalance_delay", "0")];

/// What was measured.
#[derive(Default)]
struct Tables {
    rows: Vec<TableRow>,
    /// What pg_kafka does to its Postgres.
    figures: Vec<TableRow>,
    /// Aims that were missed, as lines.
    missed: String,
    /// How long one round took, as lines.
    seconds: String,
}

/// Starts both brokers, measures, and prints or writes the section; of a part of the rows only these.
///
/// # Errors
/// A measurement failed, on either broker.
pub fn compare(options: &Options) -> Result<(), Error> {
    let started = Instant::now();
    // What is written beside the log itself is measured with checksums, which make more of it.
    let checksums = options.rows != Rows::Bench;
    let mut ours = Server::start_pg_kafka(&options.dir, options.base_port, &OUR_SETTINGS, checksums)?;
    let mut theirs = Server::start_apache(&options.dir, options.base_port + 2, &[])?;
    let counts = options.scale >= 1.0;
    ours.fills_memory = counts;
    theirs.fills_memory = counts;
    if counts {
        ours.age_wal()?;
    }
    let mut section = machine::describe(&ours, &options.dir)?;
    section.push_str(&preamble(options));
    let tables = tables(options, &mut ours, &mut theirs)?;
    section.push_str(&whole(&tables));
    section.push_str(&format!(
        "\nTook {} minutes; at the end {}.\n",
        started.elapsed().as_secs() / 60,
        machine::load_average()
    ));
    println!(
        "{section}\nMissed:\n{}\nSeconds of one round of both brokers:\n{}",
        tables.missed, tables.seconds
    );
    if options.write {
        let file = root().join("docs/performance.md");
        let name = options.rows.section()?;
        let old = report::section(&file, name)?;
        let partly = (!options.only.is_empty()).then(|| part(&old, options, &tables)).flatten();
        report::rewrite(&file, name, &partly.unwrap_or(section))?;
    }
    Ok(())
}

/// Said of a run that is not what the report is to show.
fn scale(options: &Options) -> String {
    match options.scale {
        1.0 => String::new(),
        scale => format!(" Shortened: {scale} of the records."),
    }
}

fn preamble(options: &Options) -> String {
    let scale = scale(options);
    format!(
        "\nMedians of {} rounds, in brackets the smallest and the largest; the ratio is the median of each round's, pg_kafka to Apache \
         Kafka.{scale}\nPromise: what an acknowledgement means; \"ours more\": pg_kafka's is on disk, Kafka's in memory; \"equal\": \
         both are on disk; \"no flush\": neither is, and what a broker has acknowledged outlives the end of Kafka's process, but not that of Postgres.\n\n",
        options.rounds
    )
}

fn tables(options: &Options, ours: &mut Server, theirs: &mut Server) -> Result<Tables, Error> {
    let mut tables = Tables::default();
    let rows = options.rows.rows(options.scale);
    for row in rows.iter().filter(|row| row.name.contains(&options.only)) {
        let started = Instant::now();
        let rounds = measure(row, options, ours, theirs)?;
        let count = options.rounds + usize::from(options.warm_up);
        let seconds = started.elapsed().as_secs_f64() / count.max(1) as f64;
        tables.seconds.push_str(&format!("{seconds:6.1}  {}\n", row.name));
        let (lines, missed) = row.lines(&rounds);
        tables.rows.push((row.name.clone(), lines));
        tables.missed.extend(missed.iter().flat_map(|line| [line, "\n"]));
    }
    if options.rows != Rows::Bench {
        tables.figures = beside::run(ours, options.scale, &options.only)?;
    }
    Ok(tables)
}

fn lines(rows: &[TableRow]) -> String {
    rows.iter().map(|(_, lines)| lines.as_str()).collect()
}

fn whole(tables: &Tables) -> String {
    let mut text = format!("{}{}", row::HEAD, lines(&tables.rows));
    if !tables.figures.is_empty() {
        text.push_str(&format!("\n{}{}", beside::HEAD, lines(&tables.figures)));
    }
    text
}

/// A section with the rows that were measured in place of the same of an earlier run; `None` if there is no earlier run.
fn part(old: &str, options: &Options, tables: &Tables) -> Option<String> {
    let mut text = report::with_rows(old, row::HEAD, &tables.rows)?;
    if !tables.figures.is_empty() {
        let both = report::with_rows(&text, beside::HEAD, &tables.figures);
        text = both.unwrap_or_else(|| format!("{text}\n{}{}\n", beside::HEAD, lines(&tables.figures)));
    }
    let names: Vec<&str> = tables
        .rows
        .iter()
        .chain(&tables.figures)
        .map(|(name, _)| name.as_str())
        .collect();
    let how = format!("{} rounds, {}, {}", options.rounds, machine::when(), machine::load_average());
    let anew = report::anew(&how, &names, &scale(options));
    Some(report::without_anew(&text, &names) + &anew)
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
    server.settle()?;
    let values = (row.run)(server, flush)?;
    let measured = row.measures.iter().zip(&values);
    let shown: Vec<String> = measured
        .map(|(m, value)| format!("{value:.*} {}", m.digits, m.name))
        .collect();
    let flush = if flush { ", flush.messages=1" } else { "" };
    eprintln!("{}: {}{flush}: {}", row.name, server.target.name, shown.join(", "));
    Ok(values)
}
