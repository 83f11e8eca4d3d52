//! Work that keeps a processor busy for more than a moment, such as decompressing what becomes very large. On a network thread it
//! would keep that thread's other connections waiting; so the thread is given up for it, few do it at a time, and each waits its turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;

use crate::limits;

/// The turns for long work; one per running broker. Clones share them.
#[derive(Clone)]
pub struct LongWork {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
}

/// Too many wait for a turn already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

impl LongWork {
    /// With this many turns at a time, at least one.
    pub fn new(turns: usize) -> Self {
        LongWork {
            turns: Arc::new(Semaphore::new(turns.clamp(1, Semaphore::MAX_PERMITS))),
            waiting: Arc::default(),
        }
    }

    /// Does `work` in its turn, on this thread, which meanwhile serves no connection. Without a runtime of several threads, where
    /// nobody could take over, it does it at once.
    ///
    /// # Errors
    /// [`limits::LONG_WORK_WAITING`] wait already; nothing was done.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, Crowded> {
        let Some(handle) = Handle::try_current()
            .ok()
            .filter(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
        else {
            return Ok(work());
        };
        let _waiting = Waiting::enter(&self.waiting)?;
        Ok(tokio::task::block_in_place(|| {
            // The semaphore is never closed, so there is no error to meet.
            let _turn = handle.block_on(self.turns.acquire());
            work()
        }))
    }
}

struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize) -> Result<Self, Crowded> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let entered = Waiting(waiting);
        if before < limits::LONG_WORK_WAITING {
            Ok(entered)
        } else {
            Err(Crowded)
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// Goal: however much long work there is, other tasks run; so much at a time, and what is too much is refused and leaves nothing.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn long_work_keeps_nobody_waiting() {
        let long = LongWork::new(1);
        let (go, gate) = channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let tasks: Vec<_> = (0..limits::LONG_WORK_WAITING)
            .map(|_| {
                let (long, gate) = (long.clone(), gate.clone());
                tokio::spawn(async move { long.run(|| gate.lock().unwrap().recv().unwrap()) })
            })
            .collect();
        // This very task goes on beside them, on the only worker.
        while long.waiting.load(Ordering::Relaxed) < limits::LONG_WORK_WAITING {
            tokio::task::yield_now().await;
        }
        assert_eq!(long.run(|| ()), Err(Crowded));
        for _ in &tasks {
            go.send(()).unwrap();
        }
        for task in tasks {
            assert_eq!(task.await.unwrap(), Ok(()));
        }
        assert_eq!(long.run(|| 7), Ok(7));
        assert_eq!(long.waiting.load(Ordering::Relaxed), 0);
    }

    /// Goal: where there is one thread only, the work is done on it.
    #[tokio::test]
    async fn a_single_thread_does_it_itself() {
        assert_eq!(LongWork::new(0).run(|| 7), Ok(7));
    }
}
