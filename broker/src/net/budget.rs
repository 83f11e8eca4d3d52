//! Byte budgets: how many bytes of one kind (requests received and not finished, replies not sent) may exist over all connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of bytes that charges are taken from and return to. Clones share it. Waiters are served in the order of their coming.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    total: usize,
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A part of a [`Budget`] that returns to it on drop.
#[derive(Debug, Default)]
pub struct Charge {
    bytes: Option<OwnedSemaphorePermit>,
    overdraft: Option<OwnedSemaphorePermit>,
}

/// Counts a waiter for as long as it lives, also when its future is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Budget {
    /// A budget of this many bytes, at least one.
    pub fn new(bytes: usize) -> Self {
        let total = bytes.clamp(1, Semaphore::MAX_PERMITS);
        Budget {
            shared: Arc::new(Shared {
                total,
                free: Arc::new(Semaphore::new(total)),
                waiting: AtomicUsize::new(0),
            }),
        }
    }

    /// Its whole size in bytes.
    pub fn total(&self) -> usize {
        self.shared.total
    }

    /// Bytes that nobody holds at this moment.
    pub fn free(&self) -> usize {
        self.shared.free.available_permits()
    }

    /// How many wait in [`Budget::acquire`] at this moment: whether holders that make no progress stand in somebody's way.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Ordering::Relaxed)
    }

    /// Takes `bytes`, waiting until they are free. A wish for more than the whole budget (or 4 GiB) is granted for the whole, so
    /// that it is served when nothing else is held instead of never. Dropping the future gives up the place in the queue.
    pub async fn acquire(&self, bytes: usize) -> Charge {
        if let Some(charge) = self.try_acquire(bytes) {
            return charge;
        }
        let _waiting = Waiting::new(&self.shared.waiting);
        // The semaphore is never closed, so there is no error to meet.
        let permit = Arc::clone(&self.shared.free).acquire_many_owned(self.grant(bytes)).await.ok();
        Charge {
            bytes: permit,
            overdraft: None,
        }
    }

    /// Takes `bytes` if they are free and nobody waits; saturates as [`Budget::acquire`] does.
    pub fn try_acquire(&self, bytes: usize) -> Option<Charge> {
        let permit = Arc::clone(&self.shared.free).try_acquire_many_owned(self.grant(bytes)).ok()?;
        Some(Charge {
            bytes: Some(permit),
            overdraft: None,
        })
    }

    fn grant(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.min(self.shared.total)).unwrap_or(u32::MAX)
    }
}

impl Charge {
    /// A charge on no budget, for what is too small to count and for tests.
    pub fn none() -> Self {
        Charge::default()
    }

    /// Bytes that return when it is dropped.
    pub fn bytes(&self) -> usize {
        self.bytes.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Gives back what it holds above `bytes`: for a reply that became smaller than what was set aside for it.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = self.bytes.as_mut() {
            drop(permit.split(permit.num_permits().saturating_sub(bytes)));
        }
    }

    /// Gives back what it holds above `bytes`, and the right to exceed the budget: for a request of which no more than that is kept.
    pub fn settle(&mut self, bytes: usize) {
        self.overdraft = None;
        self.shrink_to(bytes);
    }

    /// A charge of `bytes` more on the same budget, if they are free: for what grew after it was received. Never for who exceeds the
    /// budget already.
    pub fn try_more(&self, bytes: usize) -> Option<Charge> {
        let Some(permit) = self.bytes.as_ref().filter(|_| !self.is_overdraft()) else {
            return (!self.is_overdraft()).then(Charge::none);
        };
        let more = Arc::clone(permit.semaphore()).try_acquire_many_owned(u32::try_from(bytes).ok()?);
        Some(Charge {
            bytes: Some(more.ok()?),
            overdraft: None,
        })
    }

    /// Adds another charge of the same budget to this one.
    pub(super) fn grow(&mut self, more: Charge) {
        match (self.bytes.as_mut(), more.bytes) {
            (Some(mine), Some(permit)) => mine.merge(permit),
            (None, permit) => self.bytes = permit,
            (Some(_), None) => {}
        }
        if more.overdraft.is_some() {
            self.overdraft = more.overdraft;
        }
    }

    /// Whether it is the one that may exceed the budget.
    pub(super) fn is_overdraft(&self) -> bool {
        self.overdraft.is_some()
    }
}

/// The budget of received requests. Frames take it bit by bit as their bytes arrive, so a few large ones could share it out among
/// them and then wait for each other forever. Therefore one frame at a time, the first to wait, may exceed the budget up to its own
/// length: it is finished, served, and gives back what it held. The bound is the budget and one request.
#[derive(Debug, Clone)]
pub(super) struct FrameBudget {
    budget: Budget,
    overdraft: Arc<Semaphore>,
}

impl FrameBudget {
    pub(super) fn new(budget: Budget) -> Self {
        FrameBudget {
            budget,
            overdraft: Arc::new(Semaphore::new(1)),
        }
    }

    /// The budget without the overdraft.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Charges `bytes` more to a frame if that needs no waiting.
    pub(super) fn try_extend(&self, charge: &mut Charge, bytes: usize) -> bool {
        if charge.is_overdraft() {
            return true;
        }
        self.budget.try_acquire(bytes).map(|more| charge.grow(more)).is_some()
    }

    /// Charges `bytes` more to a frame: from the budget, or by letting this frame exceed it.
    pub(super) async fn extend(&self, charge: &mut Charge, bytes: usize) {
        if self.try_extend(charge, bytes) {
            return;
        }
        let more = tokio::select! {
            biased;
            more = self.budget.acquire(bytes) => more,
            overdraft = Arc::clone(&self.overdraft).acquire_owned() => Charge { bytes: None, overdraft: overdraft.ok() },
        };
        charge.grow(more);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use super::*;

    /// Goal: a charge returns exactly what it took, also after it grew and shrank.
    #[tokio::test]
    async fn charges_return_what_they_took() {
        let budget = Budget::new(100);
        let mut charge = budget.acquire(60).await;
        charge.grow(budget.acquire(30).await);
        assert_eq!((charge.bytes(), budget.free()), (90, 10));
        assert!(budget.try_acquire(11).is_none());
        charge.shrink_to(20);
        assert_eq!((charge.bytes(), budget.free()), (20, 80));
        charge.shrink_to(50);
        assert_eq!(charge.bytes(), 20);
        drop(charge);
        assert_eq!(budget.free(), 100);
    }

    /// Goal: what grew is charged on the same budget, and refused where that is exhausted or exceeded.
    #[tokio::test]
    async fn what_grew_is_charged_too() {
        let frames = FrameBudget::new(Budget::new(100));
        let charge = frames.budget().acquire(60).await;
        let more = charge.try_more(30).expect("30 are free");
        assert_eq!((more.bytes(), frames.budget().free()), (30, 10));
        assert!(charge.try_more(11).is_none());
        drop(more);
        assert!(charge.try_more(40).is_some());
        let mut exceeding = Charge::none();
        frames.extend(&mut exceeding, 50).await;
        assert!(exceeding.is_overdraft() && exceeding.try_more(1).is_none());
    }

    /// Goal: a wish larger than the whole budget waits for all of it and no longer.
    #[tokio::test]
    async fn more_than_everything_is_everything() {
        let budget = Budget::new(100);
        let small = budget.acquire(1).await;
        let all = tokio::spawn({
            let budget = budget.clone();
            async move { budget.acquire(usize::MAX).await.bytes() }
        });
        while budget.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        drop(small);
        assert_eq!(all.await.expect("no panic"), 100);
        assert_eq!((budget.free(), budget.waiting()), (100, 0));
    }

    /// Goal: a waiter that gives up leaves nothing behind.
    #[tokio::test]
    async fn a_dropped_waiter_is_forgotten() {
        let budget = Budget::new(10);
        let held = budget.acquire(10).await;
        {
            let waiter = budget.acquire(5);
            tokio::pin!(waiter);
            let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(waiter.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            assert_eq!(budget.waiting(), 1);
        }
        assert_eq!(budget.waiting(), 0);
        drop(held);
        assert_eq!(budget.free(), 10);
    }

    /// Goal: frames that hold the whole budget between them are finished one after the other.
    #[tokio::test]
    async fn partial_frames_cannot_lock_each_other_out() {
        let frames = FrameBudget::new(Budget::new(100));
        let (mut first, mut second) = (Charge::none(), Charge::none());
        frames.extend(&mut first, 50).await;
        frames.extend(&mut second, 50).await;
        frames.extend(&mut first, 50).await;
        assert!(first.is_overdraft());
        frames.extend(&mut first, 1_000).await;
        assert!(!frames.try_extend(&mut second, 50));
        first.settle(50);
        assert!(!first.is_overdraft());
        let mut third = Charge::none();
        frames.extend(&mut third, 50).await;
        assert!(third.is_overdraft(), "the right to exceed the budget is there again");
        drop((first, third));
        frames.extend(&mut second, 50).await;
        assert!(!second.is_overdraft());
        drop(second);
        assert_eq!(frames.budget().free(), 100);
    }
}
