//! The timers of a group: one deadline per timer, in order.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// What is to happen at a deadline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Timer {
    /// The rebalance goes on without those who have not joined.
    Join,
    /// Members of the new generation that have not sent SyncGroup are removed.
    Sync,
    /// The session of this member, or its claim on an id that it was given, ends.
    Session(Arc<str>),
}

/// At most one deadline per timer; the earliest is at hand.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    order: BTreeSet<(Instant, Timer)>,
    at: HashMap<Timer, Instant>,
}

impl Deadlines {
    /// Sets a timer, in place of its earlier deadline.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) {
        self.cancel(&timer);
        self.at.insert(timer.clone(), at);
        self.order.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, timer: &Timer) {
        if let Some((timer, at)) = self.at.remove_entry(timer) {
            self.order.remove(&(at, timer));
        }
    }

    pub(super) fn clear(&mut self) {
        self.order.clear();
        self.at.clear();
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the earliest timer whose deadline is not after `now`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.at.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Goal: a timer has one deadline, the last that was set, and timers come due in the order of their deadlines.
    #[test]
    fn timers_come_due_in_order_and_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut deadlines = Deadlines::default();
        deadlines.set(Timer::Join, at(1));
        deadlines.set(Timer::Sync, at(2));
        deadlines.set(Timer::Session("a".into()), at(3));
        deadlines.set(Timer::Join, at(4));
        deadlines.cancel(&Timer::Sync);
        assert_eq!(deadlines.next(), Some(at(3)));
        assert_eq!(deadlines.pop_due(at(2)), None);
        assert_eq!(deadlines.pop_due(at(5)), Some(Timer::Session("a".into())));
        assert_eq!(deadlines.pop_due(at(5)), Some(Timer::Join));
        assert_eq!(deadlines.pop_due(at(5)), None);
        assert_eq!(deadlines.next(), None);
    }
}
