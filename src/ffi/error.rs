//! Postgres errors and Rust panics as values.

use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::pg_sys::{self, PgTryBuilder};

/// A Postgres ERROR, or a panic of our own code, that was caught.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLSTATE {sqlstate})")]
pub struct PgError {
    /// Five characters of SQLSTATE; XX000 for a panic.
    pub sqlstate: String,
    /// The primary message.
    pub message: String,
    /// Whether it was a panic of Rust code, which is a bug.
    pub panic: bool,
}

/// Runs `work` and gives back the ERROR or the panic that ended it. This is no subtransaction: after an error inside a transaction
/// only its abort is legal.
pub fn catch<T>(work: impl FnOnce() -> T) -> Result<T, PgError> {
    PgTryBuilder::new(AssertUnwindSafe(|| Ok(work())))
        .catch_others(|caught| Err(describe(&caught)))
        .execute()
}

fn describe(caught: &CaughtError) -> PgError {
    let (report, panic) = match caught {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => (report, false),
        CaughtError::RustPanic { ereport, .. } => (ereport, true),
    };
    let mut message = report.message().to_owned();
    if panic {
        message = format!("{message} at {}:{}", report.file(), report.line_number());
    }
    PgError {
        sqlstate: sqlstate(report.sql_error_code() as i32),
        message,
        panic,
    }
}

fn sqlstate(code: i32) -> String {
    // SAFETY: on the main thread; gives a C string of its own that lives until the next call, and is copied before that.
    unsafe { CStr::from_ptr(pg_sys::unpack_sql_state(code)) }
        .to_string_lossy()
        .into_owned()
}
