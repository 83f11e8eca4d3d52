//! The time of day, and the clock of the runtime.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// The clock that timers of the runtime go by, which tests can stop.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
