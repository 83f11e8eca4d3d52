//! The processes of a pg_kafka that these tests started: which they are, what they use, how they die.

use crate::patience::eventually;
use crate::server::Server;
use crate::sql::try_session;
use rustix::process::{Pid, Resource, Rlimit, Signal};
use std::path::{Path, PathBuf};

/// Name of the broker's background worker in pg_stat_activity.
pub const BROKER: &str = "pg_kafka broker";

impl Server {
    /// Process id of the broker's background worker, once there is one.
    pub fn broker_pid(&self) -> i32 {
        eventually("the broker's background worker runs", || {
            let mut session = try_session(self).ok()?;
            let rows = session
                .query("SELECT pid FROM pg_stat_activity WHERE backend_type = $1", &[&BROKER])
                .ok()?;
            rows.first().map(|row| row.get(0))
        })
    }

    /// Process id of the postmaster.
    pub fn postmaster_pid(&self) -> i32 {
        let file = self.own_dir().join("data/postmaster.pid");
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        text.lines().next().unwrap_or_default().parse().expect("a process id")
    }

    /// What Postgres wrote to its log since it was created.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.own_dir().join("log")).unwrap_or_default()).into_owned()
    }

    /// The end of its log, for the message of a test that fails; empty for a server that these tests did not start.
    pub fn last_words(&self) -> String {
        let log = self.dir.as_ref().map_or_else(String::new, |_| self.log());
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Panics if the log tells of a panic, an abort or a crash.
    pub fn assert_never_crashed(&self) {
        for line in self.log().lines() {
            for bad in ["panicked", "PANIC:", "was terminated by signal", "overflowed its stack"] {
                assert!(!line.contains(bad), "in the server's log: {line}");
            }
        }
    }

    pub(crate) fn own_dir(&self) -> &PathBuf {
        self.dir.as_ref().expect("a server that these tests started")
    }
}

/// Bytes of private memory that a process holds.
pub fn private_memory_bytes(pid: i32) -> u64 {
    status(pid, "RssAnon:") * 1024
}

/// Bytes of memory that a process had at most, what it touched of shared memory among them.
pub fn peak_memory_bytes(pid: i32) -> u64 {
    status(pid, "VmHWM:") * 1024
}

/// Threads of a process.
pub fn threads(pid: i32) -> u64 {
    status(pid, "Threads:")
}

/// Descriptors that a process has open.
pub fn open_files(pid: i32) -> usize {
    let folder = format!("/proc/{pid}/fd");
    std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder}: {e}")).count()
}

/// Sockets that a process has open.
pub fn open_sockets(pid: i32) -> usize {
    let folder = format!("/proc/{pid}/fd");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{folder}: {e}"));
    let targets = entries.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// A number (of KiB, where it is memory) in /proc/PID/status.
fn status(pid: i32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_else(|e| panic!("process {pid}: {e}"));
    let line = status.lines().find(|line| line.starts_with(field));
    let number = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    number.unwrap_or_else(|| panic!("process {pid} has no {field}"))
}

/// Kills a process without a chance to do anything, and waits until it is gone: also its parent must have noticed, because to
/// Postgres a postmaster that nobody has waited for still runs.
pub fn kill_at_once(pid: i32) {
    let target = Pid::from_raw(pid).expect("a process id");
    rustix::process::kill_process(target, Signal::KILL).unwrap_or_else(|e| panic!("kill {pid}: {e}"));
    eventually("the killed process is gone", || {
        (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
}

/// Lets this process open as many files as the system allows; returns how many.
pub fn raise_file_limit() -> u64 {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(Resource::Nofile, all).unwrap_or_else(|e| panic!("setrlimit: {e}"));
    limit.maximum.unwrap_or(u64::MAX)
}
