//! The process's open files: sockets share the limit with Postgres's tables and WAL, and Postgres answers a WAL file that it cannot
//! open with PANIC.

use std::ffi::CStr;

use pgrx::pg_sys;

/// How the limit of open files is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileShares {
    /// The soft limit, which was raised to the hard one.
    pub limit: usize,
    /// What Postgres may open for itself.
    pub postgres: usize,
    /// What is left for connections.
    pub connections: usize,
}

/// Descriptors that neither are connections nor counted by Postgres: WAL, epoll, listeners, event descriptors, libraries.
const RESERVE: usize = 64;

/// Raises the soft limit to the hard one and lowers what Postgres may open in this process to at most a quarter. Call it before
/// many tables are open.
pub fn divide() -> FileShares {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads and writes a local struct; raising the soft limit up to the hard one is always allowed.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            let raised = libc::rlimit {
                rlim_cur: limit.rlim_max,
                rlim_max: limit.rlim_max,
            };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0 {
                limit = raised;
            }
        }
    }
    let limit = usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX).min(1 << 24);
    // SAFETY: fd.c reads the variable at each opening and closes least recently used files to keep to it; this thread is the only
    // one that runs it.
    unsafe {
        let postgres = usize::try_from(pg_sys::max_safe_fds).unwrap_or(0).min(limit / 4);
        pg_sys::max_safe_fds = i32::try_from(postgres).unwrap_or(i32::MAX);
        shares(limit, postgres)
    }
}

/// The directory of this worker's database in its default tablespace, relative to the data directory.
pub fn database_directory() -> String {
    // SAFETY: set when the worker connected to its database, never changed after; a C string or null.
    unsafe {
        if pg_sys::DatabasePath.is_null() {
            return String::new();
        }
        CStr::from_ptr(pg_sys::DatabasePath).to_string_lossy().into_owned()
    }
}

/// The absolute path of the data directory.
pub fn data_directory() -> String {
    // SAFETY: the postmaster sets the variable once, before it starts any process, to a NUL-terminated string that stays.
    unsafe { CStr::from_ptr(pg_sys::DataDir) }.to_string_lossy().into_owned()
}

fn shares(limit: usize, postgres: usize) -> FileShares {
    FileShares {
        limit,
        postgres,
        connections: limit.saturating_sub(postgres + RESERVE),
    }
}
