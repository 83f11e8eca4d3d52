//! Free space of the file systems that an append writes to.

use broker::storage::disk::FreeSpace;
use rustix::fs::statvfs;

use crate::ffi::files::database_directory;

/// What is free for Postgres, which runs without the reserve of root. A place that cannot be measured is left out: what stands in
/// the way there is told by the writes themselves. The process's directory is the data directory.
pub fn measure() -> Vec<FreeSpace> {
    let tablespace = database_directory();
    let places = [
        ("the data directory", "."),
        ("the write-ahead log", "pg_wal"),
        ("the database's tablespace", tablespace.as_str()),
    ];
    let measured = places.into_iter().filter_map(|(place, path)| {
        let found = statvfs(path).ok()?;
        let bytes = found.f_bavail.saturating_mul(found.f_frsize);
        Some(FreeSpace { place, bytes })
    });
    measured.collect()
}
