//! Waiting for something without sleeping for a fixed time: poll with a deadline.

use std::time::{Duration, Instant};

/// Time in which anything that a healthy server does must have happened; generous, because test machines are slow and shared.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Polls `probe` until it gives a value, for at most [`PATIENCE`]; panics naming `what` after that.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, probe)
}

/// Polls `probe` until it gives a value, for at most `limit`; panics naming `what` after that.
pub fn within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
