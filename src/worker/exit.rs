//! What must be stopped when the process exits, however it comes to that: FATAL skips Rust's frames, so the threads are stopped in
//! an exit callback. A thread that still runs while memory is torn down could end in SIGSEGV, and the whole cluster with it.

use std::cell::RefCell;
use std::time::Duration;

use broker::server::Server;

use super::logging::LogDrain;
use crate::ffi::process::at_exit;
use crate::ffi::shmem::shared;

/// How long a stop waits for the threads.
pub const PATIENCE: Duration = Duration::from_secs(3);

thread_local! {
    static SERVER: RefCell<Option<Server>> = const { RefCell::new(None) };
    static LOG: RefCell<Option<LogDrain>> = const { RefCell::new(None) };
}

/// Arranges the stop; `log` is drained last.
pub fn arrange(log: LogDrain) {
    LOG.set(Some(log));
    at_exit(|| {
        if let Some(shared) = shared() {
            shared.broker.vacate();
        }
        stop_server();
        LOG.with_borrow(|log| log.iter().for_each(LogDrain::drain));
    });
}

/// Keeps the running server where the exit finds it.
pub fn keep_server(server: Server) {
    SERVER.set(Some(server));
}

/// Does something with the running server, if there is one.
pub fn with_server(work: impl Fn(&Server)) {
    SERVER.with_borrow(|server| server.iter().for_each(work));
}

/// Stops the server, if one runs.
pub fn stop_server() {
    if let Some(server) = SERVER.take() {
        server.stop(PATIENCE);
    }
}
