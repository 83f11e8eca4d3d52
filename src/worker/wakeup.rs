//! When a worker must look at the catalogs again: somebody said that something changed, or it is time to look without that.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::ffi::shmem::Shared;

/// How often a worker looks without being told: for what no callback tells (COMMIT PREPARED), or what went wrong.
pub const POLL: Duration = Duration::from_secs(10);

/// What has to be looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Due {
    /// Whether the extension is there.
    pub extension: bool,
    /// Topics.
    pub catalog: bool,
}

/// Remembers what was seen.
pub struct Changes {
    extension_seen: u64,
    catalog_seen: u64,
    next_poll: Instant,
}

impl Changes {
    /// Everything is due at first.
    pub fn new(now: Instant) -> Self {
        Changes {
            extension_seen: u64::MAX,
            catalog_seen: u64::MAX,
            next_poll: now,
        }
    }

    /// What is due at `now`; from then on it is not.
    pub fn take(&mut self, shared: &Shared, now: Instant) -> Due {
        let extension = shared.extension_changes.load(Ordering::Acquire);
        let catalog = shared.catalog_changes.load(Ordering::Acquire);
        let poll = now >= self.next_poll;
        if poll {
            self.next_poll = now + POLL;
        }
        let due = Due {
            extension: poll || extension != self.extension_seen,
            catalog: catalog != self.catalog_seen || (poll && shared.changes_prepared.load(Ordering::Acquire)),
        };
        self.extension_seen = extension;
        self.catalog_seen = catalog;
        due
    }

    /// Looks again at the extension no later than at `when`.
    pub fn look_at(&mut self, when: Instant) {
        self.next_poll = self.next_poll.min(when);
    }

    /// Time until the next look without being told.
    pub fn until_poll(&self, now: Instant) -> Duration {
        self.next_poll.saturating_duration_since(now)
    }
}
