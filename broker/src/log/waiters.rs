//! Who waits for more of a partition: Fetch requests, each with the bytes that it still needs. What arrives is counted where it is
//! published, so that a request wakes once, when it has enough, however many partitions it waits for.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

/// Registrations up to which a list is not looked through for those whose requests are gone.
const SWEEP_FROM: usize = 16;

/// A request that waits for bytes of any of its partitions. Forgotten by them when it is dropped.
#[derive(Debug)]
pub struct Waiter {
    missing: AtomicI64,
    changed: Mutex<Vec<u32>>,
    notify: Notify,
}

impl Waiter {
    /// A request that wants this many bytes more; at least one.
    pub fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Waiter {
            missing: AtomicI64::new(i64::try_from(bytes).unwrap_or(i64::MAX).max(1)),
            changed: Mutex::default(),
            notify: Notify::new(),
        })
    }

    /// Returns when the bytes are there or [`Waiter::end`] was called, also if that was before.
    pub async fn enough(&self) {
        self.notify.notified().await;
    }

    /// Counts bytes that were there already.
    pub fn count_here(&self, bytes: usize) {
        if self.count(i64::try_from(bytes).unwrap_or(i64::MAX)) {
            self.notify.notify_one();
        }
    }

    /// Ends the wait whatever is missing.
    pub fn end(&self) {
        if self.satisfy() {
            self.notify.notify_one();
        }
    }

    /// The places (as given to [`Waiters::add`]) of the partitions in which anything changed since the last call, in no order.
    pub fn take_changed(&self) -> Vec<u32> {
        std::mem::take(&mut self.changed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_over(&self) -> bool {
        self.missing.load(Ordering::Acquire) <= 0
    }

    /// Whether these bytes are the ones that end the wait.
    fn count(&self, bytes: i64) -> bool {
        let before = self.missing.fetch_sub(bytes, Ordering::AcqRel);
        before > 0 && before <= bytes
    }

    /// Whether it still waited; it does not from now on.
    fn satisfy(&self) -> bool {
        self.missing.swap(0, Ordering::AcqRel) > 0
    }

    fn note(&self, place: u32) {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).push(place);
    }
}

/// The requests that wait for one partition.
#[derive(Debug, Default)]
pub struct Waiters {
    waiting: Vec<Registration>,
    /// Length at which those whose requests are gone are removed: twice what was left the last time, so that an addition costs the
    /// same however many there are.
    sweep_at: usize,
}

#[derive(Debug)]
struct Registration {
    waiter: Weak<Waiter>,
    place: u32,
    noted: bool,
    fetch_offset: i64,
    /// Bytes of this partition that still count: no more than the request takes of it.
    room: i64,
}

/// What happened to a partition.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    /// So many bytes became readable, above every offset that is waited at.
    Arrived(usize),
    /// What is below this offset was deleted: a request that waits there is told at once.
    LogStart(i64),
    /// The partition is gone.
    Deleted,
}

/// Requests whose wait is over; they are woken when it is dropped, which is to be outside of locks that they take next.
#[must_use]
#[derive(Debug, Default)]
pub struct Woken(Vec<Arc<Waiter>>);

impl Drop for Woken {
    fn drop(&mut self) {
        for waiter in &self.0 {
            waiter.notify.notify_one();
        }
    }
}

/// Bytes of memory that a registration takes, with those that are gone and not removed yet.
pub const REGISTRATION_BYTES: usize = 2 * size_of::<Registration>();

impl Waiters {
    /// Registers a request that waits at `fetch_offset` and takes at most `max_bytes` (at least one); `place` is what the request
    /// calls the partition.
    pub fn add(&mut self, waiter: &Arc<Waiter>, place: u32, fetch_offset: i64, max_bytes: usize) {
        if self.waiting.len() >= self.sweep_at.max(SWEEP_FROM) {
            self.waiting.retain(|waiting| waiting.waiter.strong_count() > 0);
            self.sweep_at = 2 * self.waiting.len();
        }
        self.waiting.push(Registration {
            waiter: Arc::downgrade(waiter),
            place,
            noted: false,
            fetch_offset,
            room: i64::try_from(max_bytes).unwrap_or(i64::MAX).max(1),
        });
    }

    /// Counts a change for every request, and removes those whose wait is over.
    pub fn changed(&mut self, change: Change) -> Woken {
        let mut woken = Woken::default();
        self.waiting.retain_mut(|waiting| {
            let Some(waiter) = waiting.waiter.upgrade() else {
                return false;
            };
            if waiter.is_over() {
                return false;
            }
            if !std::mem::replace(&mut waiting.noted, true) {
                waiter.note(waiting.place);
            }
            let over = match change {
                Change::Arrived(bytes) => {
                    let counted = i64::try_from(bytes).unwrap_or(i64::MAX).min(waiting.room);
                    waiting.room -= counted;
                    waiter.count(counted)
                }
                Change::LogStart(offset) if waiting.fetch_offset >= offset => false,
                Change::LogStart(_) | Change::Deleted => waiter.satisfy(),
            };
            if over {
                woken.0.push(waiter);
            }
            !over
        });
        woken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn is_woken(waiter: &Waiter) -> bool {
        let enough = pin!(waiter.enough());
        enough.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    }

    /// Goal: a request wakes when its partitions together have what it needs, each counted up to what is taken of it, once.
    #[test]
    fn it_wakes_once_when_there_is_enough() {
        let mut partitions = [Waiters::default(), Waiters::default()];
        let waiter = Waiter::new(100);
        partitions[0].add(&waiter, 7, 0, 60);
        partitions[1].add(&waiter, 9, 0, 1000);
        for (partition, bytes, woken) in [(0, 50, 0), (0, 50, 0), (1, 39, 0), (1, 1, 1), (1, 500, 0)] {
            let changed = partitions[partition].changed(Change::Arrived(bytes));
            assert_eq!(changed.0.len(), woken, "{bytes} bytes");
        }
        drop(partitions[0].changed(Change::Deleted));
        assert!(partitions.iter().all(|waiters| waiters.waiting.is_empty()));
        assert_eq!(waiter.take_changed(), [7, 9], "each once");
        assert!(is_woken(&waiter));
        assert!(!is_woken(&waiter), "woken twice");
    }

    /// Goal: what makes an offset unreadable ends the wait, what does not is only noted; an end from outside counts once as well.
    #[test]
    fn an_offset_that_is_gone_ends_the_wait() {
        for (change, over) in [
            (Change::LogStart(5), false),
            (Change::LogStart(6), true),
            (Change::Deleted, true),
        ] {
            let mut waiters = Waiters::default();
            let waiter = Waiter::new(100);
            waiters.add(&waiter, 0, 5, 1000);
            drop(waiters.changed(change));
            assert_eq!(is_woken(&waiter), over, "{change:?}");
            assert_eq!(waiter.take_changed(), [0]);
            waiter.end();
            assert_eq!(is_woken(&waiter), !over, "{change:?}");
        }
    }

    /// Goal: requests that are gone are removed as others come, at no more than twice the number of those that wait.
    #[test]
    fn requests_that_are_gone_are_forgotten() {
        let mut waiters = Waiters::default();
        let living: Vec<_> = (0..100).map(|_| Waiter::new(1)).collect();
        for waiter in &living {
            waiters.add(waiter, 0, 0, 1);
        }
        for _ in 0..10_000 {
            waiters.add(&Waiter::new(1), 0, 0, 1);
            assert!(waiters.waiting.len() <= 2 * living.len() + SWEEP_FROM);
        }
        assert_eq!(waiters.changed(Change::Arrived(1)).0.len(), living.len());
    }
}
