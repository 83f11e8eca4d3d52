//! Whether there is room to write: what the file systems have free, and what the database said when it tried. Pure: the worker
//! measures, and the clock is an argument.
//!
//! Postgres answers a missing block for a table with an ERROR and one for its write-ahead log with a PANIC. So appends are refused while
//! there is still room for that log, and once the database ran out of room nothing is tried for a while: each attempt would write
//! some of it.

use std::time::{Duration, Instant};

use super::engine::EngineError;

/// SQLSTATE disk_full.
const DISK_FULL: &str = "53100";
/// How long nothing is tried after the database ran out of room, whatever is measured: it may write to a place that is not
/// measured, or have a quota there.
const REST: Duration = Duration::from_secs(5);
/// Writing begins again when this part more than the least is free, so that it does not stop again at once.
const MARGIN: u64 = 8;

/// Bytes free for Postgres on the file system that holds something of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreeSpace {
    /// What is there, in words.
    pub place: &'static str,
    /// Bytes that Postgres could still write.
    pub bytes: u64,
}

/// A line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskChange {
    /// From now on nothing is appended.
    Full(String),
    /// Appending goes on.
    Free(String),
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct DiskWatch {
    full: bool,
    /// When the database last ran out of room.
    refused: Option<Instant>,
}

impl DiskWatch {
    /// Whether nothing may be written.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The file systems were measured; `min_free_bytes` must be free on each, 0 for no such rule.
    pub fn measured(&mut self, free: &[FreeSpace], min_free_bytes: u64, now: Instant) -> Option<DiskChange> {
        let least = free.iter().min_by_key(|free| free.bytes)?;
        let FreeSpace { place, bytes } = least;
        let least_mb = bytes >> 20;
        if !self.full {
            if *bytes >= min_free_bytes {
                return None;
            }
            self.full = true;
            return Some(DiskChange::Full(format!(
                "{least_mb} MB are free for {place}, less than pg_kafka.min_free_disk ({} MB): produce requests are refused until \
                 more is free",
                min_free_bytes >> 20
            )));
        }
        let rested = self
            .refused
            .is_none_or(|refused| now.saturating_duration_since(refused) >= REST);
        if !rested || *bytes < min_free_bytes.saturating_add(min_free_bytes / MARGIN) {
            return None;
        }
        *self = DiskWatch::default();
        Some(DiskChange::Free(format!(
            "{least_mb} MB are free for {place}: produce requests are taken again"
        )))
    }

    /// An append failed: whether for want of room.
    pub fn failed(&mut self, error: &EngineError, now: Instant) -> Option<DiskChange> {
        let EngineError::Database { sqlstate, message } = error else {
            return None;
        };
        if sqlstate != DISK_FULL {
            return None;
        }
        self.refused = Some(now);
        let begins = !std::mem::replace(&mut self.full, true);
        begins.then(|| DiskChange::Full(format!("{message}: produce requests are refused until there is room")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn free(mib: [u64; 2]) -> [FreeSpace; 2] {
        let [data, wal] = mib.map(|mib| mib * MIB);
        let place = |place, bytes| FreeSpace { place, bytes };
        [place("data", data), place("WAL", wal)]
    }

    fn no_room() -> EngineError {
        EngineError::Database {
            sqlstate: DISK_FULL.to_owned(),
            message: "could not extend file".to_owned(),
        }
    }

    /// Goal: the place with the least counts, entering and leaving are told once, and leaving needs a little more than the limit.
    #[test]
    fn the_scarcest_place_decides() {
        let (mut watch, now) = (DiskWatch::default(), Instant::now());
        assert_eq!(watch.measured(&free([900, 800]), 800 * MIB, now), None);
        let Some(DiskChange::Full(line)) = watch.measured(&free([900, 799]), 800 * MIB, now) else {
            panic!("not full")
        };
        assert!(
            line.contains("799 MB") && line.contains("WAL") && line.contains("(800 MB)"),
            "{line}"
        );
        assert_eq!(watch.measured(&free([0, 0]), 800 * MIB, now), None);
        assert_eq!(watch.measured(&free([899, 2000]), 800 * MIB, now), None);
        assert!(watch.is_full());
        assert!(matches!(
            watch.measured(&free([900, 2000]), 800 * MIB, now),
            Some(DiskChange::Free(_))
        ));
        assert!(!watch.is_full());
        assert_eq!(watch.measured(&free([900, 2000]), 800 * MIB, now), None);
    }

    /// Goal: without a limit nothing that is measured stops writing, but a database without room does, for a while.
    #[test]
    fn a_database_without_room_rests() {
        let (mut watch, now) = (DiskWatch::default(), Instant::now());
        assert_eq!(watch.measured(&free([0, 0]), 0, now), None);
        assert!(matches!(watch.failed(&no_room(), now), Some(DiskChange::Full(_))));
        assert_eq!(watch.failed(&no_room(), now), None);
        assert_eq!(watch.measured(&free([9, 9]), 0, now + REST / 2), None);
        assert!(watch.is_full());
        assert!(matches!(
            watch.measured(&free([9, 9]), 0, now + REST),
            Some(DiskChange::Free(_))
        ));
    }

    /// Goal: other failures are no matter of room.
    #[test]
    fn other_failures_are_not_about_room() {
        let mut watch = DiskWatch::default();
        let other = EngineError::Database {
            sqlstate: "XX000".to_owned(),
            message: String::new(),
        };
        for error in [other, EngineError::Busy(String::new()), EngineError::Damaged(String::new())] {
            assert_eq!(watch.failed(&error, Instant::now()), None);
        }
        assert!(!watch.is_full());
    }
}
