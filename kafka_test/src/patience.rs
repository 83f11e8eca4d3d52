//! Waiting for something without sleeping for a fixed time: poll with a deadline.

use std::time::{Duration, Instant};

/// Time in which anything that a healthy server does must have happened; generous, because test machines are slow and shared.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls `probe` until it gives a value, for at most [`PATIENCE`]; panics naming `what` after that.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// Polls `probe` until it gives a value, for at most `limit`; panics naming `what` after that.
pub fn within<T>(limit: Duration, what: &str, probe: impl FnMut() -> Option<T>) -> T {
    try_within(limit, probe).unwrap_or_else(|| panic!("{what}: not within {limit:?}"))
}

/// Polls `probe` until it gives a value, for at most `limit`.
pub fn try_within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = probe();
        if found.is_some() || start.elapsed() >= limit {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
