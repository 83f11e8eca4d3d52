//! What pg_kafka does to the Postgres that it lives in: measured on Postgres alone, Apache Kafka has nothing to compare.

mod kill;
mod pgbench;
mod pinned;
mod transaction_ids;

use crate::error::Error;
use crate::latency;
use crate::report::TableRow;
use crate::server::Server;
use crate::storage;

const TOPIC: &str = "bench-beside";

/// Head of the table of [`run`].
pub const HEAD: &str = "| beside Postgres | figure |\n|---|---|\n";

/// What was measured, and what came of it.
type Figure = (String, String);

/// Some figures that are measured together. The second argument shortens it.
struct Part {
    name: &'static str,
    run: fn(&mut Server, f64) -> Result<Vec<Figure>, Error>,
}

const PARTS: [Part; 6] = [
    Part {
        name: "latency beside INSERT",
        run: latency_beside_insert,
    },
    Part { name: "disk", run: disk },
    Part {
        name: "transaction ids",
        run: transaction_ids::run,
    },
    Part {
        name: "pgbench",
        run: pgbench::run,
    },
    Part {
        name: "pinned xmin",
        run: pinned::run,
    },
    Part {
        name: "start after a kill",
        run: kill::run,
    },
];

/// Measures the parts whose name contains `only`, as rows of a table. `scale` shortens them.
///
/// # Errors
/// A measurement failed.
pub fn run(server: &mut Server, scale: f64, only: &str) -> Result<Vec<TableRow>, Error> {
    let mut rows = Vec::new();
    for part in PARTS.iter().filter(|part| part.name.contains(only)) {
        let started = std::time::Instant::now();
        for (what, figure) in (part.run)(server, scale)? {
            let line = format!("| {what} | {figure} |\n");
            rows.push((what, line));
        }
        eprintln!("{}: took {:.0} s", part.name, started.elapsed().as_secs_f64());
    }
    Ok(rows)
}

fn session(server: &Server) -> Result<postgres::Client, Error> {
    server
        .session()?
        .ok_or_else(|| Error::Usage("only Postgres has sessions".to_owned()))
}

fn scaled(full: f64, scale: f64) -> usize {
    ((full * scale) as usize).max(100)
}

fn latency_beside_insert(server: &mut Server, scale: f64) -> Result<Vec<Figure>, Error> {
    let target = &server.target;
    target.fresh_topic(TOPIC, 1)?;
    let found = latency::run(target, TOPIC, 100, scaled(2_000.0, scale), Some(&mut session(server)?))?;
    target.delete_topic(TOPIC)?;
    let what = "one record of 100 B at a time, acks=all, and an INSERT of the same bytes";
    Ok(vec![(what.to_owned(), found.to_string())])
}

fn disk(server: &mut Server, scale: f64) -> Result<Vec<Figure>, Error> {
    let mut session = session(server)?;
    let batches = storage::large_batches(&server.target, &mut session)?;
    let groups = scaled(10_000.0, scale);
    let small = storage::small_groups(&server.target, &mut session, groups)?;
    Ok(vec![
        ("disk, batches of 16 KiB".to_owned(), batches.to_string()),
        (format!("disk, {groups} groups of one record of 100 B"), small.to_string()),
    ])
}
