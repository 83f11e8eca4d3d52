//! Signals of a background worker, and none for its threads.

use std::ffi::c_int;

use pgrx::pg_sys;

// The plain C functions: the bindings wrap them in Rust functions, whose addresses are not handlers.
unsafe extern "C-unwind" {
    fn die(signal: c_int);
    fn SignalHandlerForConfigReload(signal: c_int);
}

/// SIGTERM ends the process at the next interrupt check, also for the fast shutdown; SIGHUP asks for a reload. What the postmaster
/// installed for SIGINT (cancel) and SIGUSR1 (procsignal) stays. Signals are delivered from here on.
pub fn install_handlers() {
    // SAFETY: the handlers are Postgres's own and only set flags and the latch; a background worker starts with signals blocked and
    // unblocks them itself when its handlers are there.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        {
            pg_sys::pqsignal(libc::SIGTERM, Some(die));
            pg_sys::pqsignal(libc::SIGHUP, Some(SignalHandlerForConfigReload));
        }
        #[cfg(feature = "pg18")]
        {
            pg_sys::pqsignal_be(libc::SIGTERM, Some(die));
            pg_sys::pqsignal_be(libc::SIGHUP, Some(SignalHandlerForConfigReload));
        }
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// Runs `work` with every signal blocked. Threads that it makes inherit that for good, so that all signals go to the main thread,
/// the only one on which a handler of Postgres may run (SIGURG, which sets latches, included).
pub fn with_all_blocked<T>(work: impl FnOnce() -> T) -> T {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are filled by the calls before they are read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    // SAFETY: `before` was filled by the first call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
