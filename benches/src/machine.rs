//! What a figure is worth nothing without: the machine, the versions and the settings that it was measured with.

use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::server::{root, Server, KAFKA_SETTINGS};

/// Settings of Postgres that decide what a figure means.
const TOLD: [&str; 8] = [
    "server_version",
    "shared_buffers",
    "max_wal_size",
    "min_wal_size",
    "fsync",
    "synchronous_commit",
    "data_checksums",
    "wal_level",
];

/// A paragraph about all of that; `dir` is where both logs are.
///
/// # Errors
/// Postgres does not tell its settings.
pub fn describe(ours: &Server, dir: &Path) -> Result<String, Error> {
    let cpu = read("/proc/cpuinfo");
    let cpu = field(&cpu, "model name").unwrap_or("CPU");
    let memory = read("/proc/meminfo");
    let memory_gb = field(&memory, "MemTotal")
        .and_then(|kb| kb.trim_end_matches(" kB").parse::<f64>().ok())
        .map_or(0.0, |kb| kb / 1e6);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "{}: {cores} CPUs ({cpu}), {memory_gb:.0} GB, Linux {}, {}, {}.\nPostgres:",
        when(),
        output("uname", &["-r"]),
        output("stat", &["-f", "-c", "%T", &dir.display().to_string()]),
        load_average(),
    );
    if let Some(mut session) = ours.session()? {
        for name in TOLD {
            let row = session.query_one("SELECT current_setting($1)", &[&name])?;
            text.push_str(&format!(" `{name} = {}`,", row.get::<_, String>(0)));
        }
        text.pop();
    }
    text.push_str(". Apache Kafka 4.3.1: one node, KRaft, heap 1 GB, G1 as in its start scripts, its defaults");
    for (name, value) in KAFKA_SETTINGS {
        text.push_str(&format!(", `{name}={value}`"));
    }
    text.push_str(".\nBoth brokers and the load share the CPUs.\n");
    Ok(text)
}

/// This moment, and the commit that is checked out.
pub fn when() -> String {
    format!(
        "{}, commit {}",
        output("date", &["-u", "+%Y-%m-%d %H:%M"]),
        output("git", &["-C", &root().display().to_string(), "rev-parse", "--short", "HEAD"]),
    )
}

/// The load averages of this moment.
pub fn load_average() -> String {
    let text = read("/proc/loadavg");
    let words: Vec<&str> = text.split(' ').take(3).collect();
    format!("load average {}", words.join(" "))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// What a program says, or a question mark: a report is not to fail for want of it.
fn output(program: &str, arguments: &[&str]) -> String {
    let said = Command::new(program).args(arguments).output().ok();
    let said = said.filter(|said| said.status.success()).map(|said| said.stdout);
    said.map_or_else(|| "?".to_owned(), |said| String::from_utf8_lossy(&said).trim().to_owned())
}
