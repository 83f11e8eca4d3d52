//! Where a worker's main thread sleeps: one WaitEventSet for its latch, the postmaster's death and an eventfd that the other threads
//! write (they cannot set a latch). Only so does it absorb the barriers on which DROP DATABASE of the whole cluster waits.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

use pgrx::pg_sys;

/// Wakes the main thread, from any thread.
pub struct Waker {
    eventfd: OwnedFd,
    rung: AtomicBool,
}

impl Waker {
    fn new() -> io::Result<Self> {
        // SAFETY: eventfd has no preconditions.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Waker {
            // SAFETY: a new descriptor that nothing else owns.
            eventfd: unsafe { OwnedFd::from_raw_fd(fd) },
            rung: AtomicBool::new(false),
        })
    }

    /// Ends the current or the next sleep. Cheap when repeated before that.
    pub fn wake(&self) {
        if !self.rung.swap(true, Ordering::SeqCst) {
            let one = 1u64.to_ne_bytes();
            // SAFETY: writes 8 bytes of a local array to a descriptor that lives as long as `self`. It can only fail when the counter
            // is full, and then the descriptor is readable.
            unsafe { libc::write(self.eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }
    }

    fn clear(&self) {
        let mut count = [0u8; 8];
        // SAFETY: reads at most 8 bytes into a local array; EAGAIN when nobody wrote.
        unsafe { libc::read(self.eventfd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        self.rung.store(false, Ordering::SeqCst);
    }
}

/// The sleeping place. Made once per process and never freed: the process ends with it.
pub struct WaitSet {
    set: *mut pg_sys::WaitEventSet,
    waker: Arc<Waker>,
}

impl WaitSet {
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let waker = Arc::new(Waker::new()?);
        let fd = waker.eventfd.as_raw_fd();
        // SAFETY: the set is allocated for the life of the process (TopMemoryContext; no resource owner from 17 on); MyLatch is
        // this process's own latch and the descriptor lives as long as `waker`, which `WaitSet` holds.
        let set = unsafe {
            #[cfg(any(feature = "pg15", feature = "pg16"))]
            let set = pg_sys::CreateWaitEventSet(pg_sys::TopMemoryContext, 3);
            #[cfg(not(any(feature = "pg15", feature = "pg16")))]
            let set = pg_sys::CreateWaitEventSet(std::ptr::null_mut(), 3);
            let none = std::ptr::null_mut();
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_LATCH_SET, pg_sys::PGINVALID_SOCKET, pg_sys::MyLatch, none);
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_EXIT_ON_PM_DEATH, pg_sys::PGINVALID_SOCKET, none.cast(), none);
            pg_sys::AddWaitEventToSet(set, pg_sys::WL_SOCKET_READABLE, fd, none.cast(), none);
            set
        };
        Ok(WaitSet { set, waker })
    }

    /// The other threads' end.
    pub fn waker(&self) -> Arc<Waker> {
        self.waker.clone()
    }

    /// Sleeps until the latch is set, another thread wakes it or `timeout` is over; `None` is without end. Exits the process when
    /// the postmaster is gone. Afterwards latch and waker are clear: what they were set for must be looked for now.
    pub fn wait(&mut self, timeout: Option<Duration>) {
        let timeout_ms = timeout.map_or(-1, |timeout| {
            let round_up = timeout.as_micros().div_ceil(1000);
            i64::try_from(round_up).unwrap_or(i64::MAX).min(i64::from(i32::MAX))
        });
        let mut events = [pg_sys::WaitEvent::default(); 3];
        // SAFETY: the set was made by `new` and lives on; `events` has room for all of its three events.
        unsafe {
            pg_sys::WaitEventSetWait(self.set, timeout_ms as _, events.as_mut_ptr(), 3, pg_sys::PG_WAIT_EXTENSION);
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        self.waker.clear();
    }
}
