//! CPU time of a server, read from /proc: the process and all its descendants, those that have ended included.

use std::collections::HashMap;
use std::fs;

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

/// CPU seconds that process `root` and its descendants have used since they were started.
///
/// A descendant whose parent has ended is not found: neither postmaster nor JVM has such.
///
/// # Errors
/// There is no process `root`.
pub fn seconds(root: u32) -> Result<f64, Error> {
    let mut processes = HashMap::new();
    let system = |what: &str, source| Error::System {
        what: what.to_owned(),
        source,
    };
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
        return Err(system(&format!("process {root}"), std::io::ErrorKind::NotFound.into()));
    }
    let ticks: u64 = processes
        .iter()
        .filter(|(pid, _)| descends(**pid, root, &processes))
        .map(|(_, process)| process.ticks + process.ended_children_ticks)
        .sum();
    Ok(ticks as f64 / ticks_per_second())
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

/// Fields 4 and 14 to 17 of proc_pid_stat(5), counted after the program's name, which may hold anything but ends at the last `)`.
fn parse(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Process {
        parent: u32::try_from(number(4)?).ok()?,
        ticks: number(14)? + number(15)?,
        ended_children_ticks: number(16)? + number(17)?,
    })
}

/// The kernel reports these fields in units of 1/100 s on every architecture that Debian has (USER_HZ).
fn ticks_per_second() -> f64 {
    100.0
}

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
    fn busy_work_shows_up() {
        let me = std::process::id();
        let before = seconds(me).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let mut sum = 0u64;
        while seconds(me).unwrap() < before + 0.05 {
            sum = (0..1_000_000u64).fold(sum, |a, b| a ^ std::hint::black_box(b));
            assert!(std::time::Instant::now() < deadline, "CPU time did not grow");
        }
        std::hint::black_box(sum);
    }
}
