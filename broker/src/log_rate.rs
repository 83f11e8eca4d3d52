//! How often the log says what clients can cause at will: a few times per interval for each kind of message, with the number that was
//! left out in between. A storm, or clients that try again and again, must not fill the disk with lines.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::limits;

/// The messages of one source, by kind. Kinds are few: each is remembered.
#[derive(Debug)]
pub struct LogRate<K> {
    per_interval: u64,
    kinds: Mutex<HashMap<K, Window>>,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    admitted: u64,
    suppressed: u64,
}

impl<K: Eq + Hash> LogRate<K> {
    /// Admits so many of each kind per [`limits::LOG_INTERVAL`].
    pub fn new(per_interval: u64) -> Self {
        LogRate {
            per_interval,
            kinds: Mutex::default(),
        }
    }

    /// Whether a message of this kind may be written now, and how many were suppressed since the last.
    pub fn admit(&self, kind: K) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let window = kinds.entry(kind).or_insert(Window {
            begun: now,
            admitted: 0,
            suppressed: 0,
        });
        if now.duration_since(window.begun) >= limits::LOG_INTERVAL {
            window.begun = now;
            window.admitted = 0;
        }
        if window.admitted == self.per_interval {
            window.suppressed += 1;
            return None;
        }
        window.admitted += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a kind is logged so often per interval, counts what it left out, and does not silence another kind.
    #[tokio::test(start_paused = true)]
    async fn a_kind_is_logged_so_often_per_interval() {
        let log = LogRate::new(2);
        assert_eq!([(); 4].map(|()| log.admit("a")), [Some(0), Some(0), None, None]);
        assert_eq!(log.admit("b"), Some(0));
        tokio::time::advance(limits::LOG_INTERVAL).await;
        assert_eq!([(); 3].map(|()| log.admit("a")), [Some(2), Some(0), None]);
        assert_eq!(log.admit("b"), Some(0));
    }
}
