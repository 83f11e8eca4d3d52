//! Lines in the server log.

use std::fmt::Arguments;

use pgrx::pg_sys::elog::PgLogLevel;
use pgrx::prelude::*;

/// A line of level LOG.
pub fn log(line: Arguments<'_>) {
    write(PgLogLevel::LOG, line);
}

/// A line of level WARNING.
pub fn warning(line: Arguments<'_>) {
    write(PgLogLevel::WARNING, line);
}

/// A line of level DEBUG1.
pub fn debug(line: Arguments<'_>) {
    write(PgLogLevel::DEBUG1, line);
}

/// Writes a line of a level below ERROR.
pub fn write(level: PgLogLevel, line: Arguments<'_>) {
    let held = HeldInterrupts::new();
    ereport!(level, PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, line.to_string());
    drop(held);
}

/// While it lives, no interrupt is served on this thread. errfinish serves them, and pgrx calls it without a guard: the ERROR of a
/// cancel would pass over all Rust frames and end the process.
struct HeldInterrupts;

impl HeldInterrupts {
    fn new() -> Self {
        // SAFETY: HOLD_INTERRUPTS, on the main thread.
        unsafe { pg_sys::InterruptHoldoffCount += 1 };
        HeldInterrupts
    }
}

impl Drop for HeldInterrupts {
    fn drop(&mut self) {
        // SAFETY: RESUME_INTERRUPTS, of what `new` held.
        unsafe { pg_sys::InterruptHoldoffCount -= 1 };
    }
}
