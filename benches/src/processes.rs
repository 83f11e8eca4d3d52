//! What a server uses, read from /proc: its first process and all its descendants.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;

use crate::error::Error;

/// A process as /proc/PID/stat tells it.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// User and system time of its threads, in clock ticks.
    ticks: u64,
    /// The same of its children that have ended and were waited for, and of theirs.
    ended_children_ticks: u64,
}

/// CPU seconds that process `root` and its descendants have used since they were started, those that have ended included.
///
/// A descendant whose parent has ended is not found: neither postmaster nor JVM has such.
///
/// # Errors
/// There is no process `root`.
pub fn cpu_seconds(root: u32) -> Result<f64, Error> {
    let ticks: u64 = family(root)?
        .values()
        .map(|process| process.ticks + process.ended_children_ticks)
        .sum();
    Ok(ticks as f64 / TICKS_PER_SECOND)
}

/// Bytes of memory that process `root` and its descendants take, what several share counted once (proportional set size). Needs the
/// right to look into them: being root, or their user.
///
/// # Errors
/// There is no process `root`, or one of them may not be looked into.
pub fn memory_bytes(root: u32) -> Result<u64, Error> {
    let mut bytes = 0;
    for pid in family(root)?.keys() {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = match std::fs::read_to_string(&path) {
            // It has ended meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound || e.raw_os_error() == Some(NO_SUCH_PROCESS) => continue,
            text => text.map_err(|e| system(&path, e))?,
        };
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kilobytes = kilobytes.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
        bytes += kilobytes.unwrap_or(0) * 1024;
    }
    Ok(bytes)
}

/// Seconds from the start of a process until now, in steps of 0.01 s.
///
/// # Errors
/// There is no such process.
pub fn age_seconds(pid: u32, uptime_s: f64) -> Result<f64, Error> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|e| system(&path, e))?;
    let started = field(&stat, 22).ok_or_else(|| system(&path, ErrorKind::InvalidData.into()))?;
    Ok(uptime_s - started as f64 / TICKS_PER_SECOND)
}

/// Seconds since the machine was started, in steps of 0.01 s.
///
/// # Errors
/// /proc is not there.
pub fn uptime_seconds() -> Result<f64, Error> {
    let text = std::fs::read_to_string("/proc/uptime").map_err(|e| system("/proc/uptime", e))?;
    let seconds = text.split(' ').next().and_then(|word| word.parse().ok());
    seconds.ok_or_else(|| system("/proc/uptime", ErrorKind::InvalidData.into()))
}

fn system(what: &str, source: std::io::Error) -> Error {
    Error::System {
        what: what.to_owned(),
        source,
    }
}

/// A process and its descendants.
fn family(root: u32) -> Result<HashMap<u32, Process>, Error> {
    let mut processes = HashMap::new();
    for entry in fs::read_dir("/proc").map_err(|e| system("/proc", e))?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may end between the listing and this.
        if let Some(process) = fs::read_to_string(entry.path().join("stat")).ok().as_deref().and_then(parse) {
            processes.insert(pid, process);
        }
    }
    if !processes.contains_key(&root) {
        return Err(system(&format!("process {root}"), ErrorKind::NotFound.into()));
    }
    let others: Vec<u32> = processes
        .keys()
        .copied()
        .filter(|pid| !descends(*pid, root, &processes))
        .collect();
    for pid in others {
        processes.remove(&pid);
    }
    Ok(processes)
}

fn descends(mut pid: u32, root: u32, processes: &HashMap<u32, Process>) -> bool {
    // The listing is no snapshot, so a chain of parents could, with reused ids, have a circle.
    for _ in 0..processes.len() {
        if pid == root {
            return true;
        }
        match processes.get(&pid) {
            Some(process) => pid = process.parent,
            None => return false,
        }
    }
    false
}

fn parse(stat: &str) -> Option<Process> {
    Some(Process {
        parent: u32::try_from(field(stat, 4)?).ok()?,
        ticks: field(stat, 14)? + field(stat, 15)?,
        ended_children_ticks: field(stat, 16)? + field(stat, 17)?,
    })
}

/// A field of proc_pid_stat(5), counted from behind the program's name, which may hold anything but ends at the last `)`.
fn field(stat: &str, number: usize) -> Option<u64> {
    let behind = stat.rsplit_once(')')?.1;
    behind.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

/// The kernel reports times in units of 1/100 s on every architecture that Debian has (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// ESRCH, which reading a file of a process that is ending gives.
const NO_SUCH_PROCESS: i32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_shifts_no_field() {
        let stat = "77 (tokio) (w 1)) S 42 77 77 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 5 0 100 1000 10";
        assert_eq!(
            parse(stat),
            Some(Process {
                parent: 42,
                ticks: 30,
                ended_children_ticks: 70
            })
        );
    }

    #[test]
    fn a_line_that_ends_early_is_no_process() {
        assert_eq!(parse("77 (x) S 42 77"), None);
    }

    #[test]
    fn memory_that_is_written_shows_up() {
        let me = std::process::id();
        let before = memory_bytes(me).unwrap();
        let block = std::hint::black_box(vec![1u8; 64 << 20]);
        assert!(memory_bytes(me).unwrap() > before + (32 << 20));
        drop(block);
    }

    #[test]
    fn this_process_is_younger_than_the_machine() {
        let uptime = uptime_seconds().unwrap();
        let age = age_seconds(std::process::id(), uptime).unwrap();
        assert!((-0.02..uptime).contains(&age), "{age} of {uptime}");
    }

    #[test]
    fn busy_work_shows_up() {
        let me = std::process::id();
        let before = cpu_seconds(me).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut sum = 0u64;
        while cpu_seconds(me).unwrap() < before + 0.05 {
            sum = (0..1_000_000u64).fold(sum, |a, b| a ^ std::hint::black_box(b));
            assert!(std::time::Instant::now() < deadline, "CPU time did not grow");
        }
        std::hint::black_box(sum);
    }
}
