//! When which group wants to be looked at. A group is registered for one time; when that comes it is looked at, and registered anew for
//! the time that it wants then. A deadline that moves later, as with each heartbeat, costs nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use crate::clock::now;

/// The times of all groups.
#[derive(Default)]
pub(super) struct Timers {
    due: Mutex<BTreeSet<(Instant, Arc<str>)>>,
    earlier: Notify,
}

impl Timers {
    /// Registers a group for `at`, in place of `registered`.
    pub(super) fn register(&self, group_id: &Arc<str>, registered: Option<Instant>, at: Instant) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = registered {
            due.remove(&(before, group_id.clone()));
        }
        due.insert((at, group_id.clone()));
        if due.first().is_some_and(|(first, _)| *first == at) {
            self.earlier.notify_one();
        }
    }

    /// Waits for the next group and takes it out.
    pub(super) async fn next(&self) -> Arc<str> {
        loop {
            let earlier = self.earlier.notified();
            let first = self.first();
            match first {
                Some((at, group_id)) if at <= now() => {
                    let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
                    if due.remove(&(at, group_id.clone())) {
                        return group_id;
                    }
                }
                Some((at, _)) => drop(tokio::time::timeout_at(at.into(), earlier).await),
                None => earlier.await,
            }
        }
    }

    fn first(&self) -> Option<(Instant, Arc<str>)> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }
}
