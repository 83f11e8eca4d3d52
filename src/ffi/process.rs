//! A background worker as a process: registration, connection, options of its session, interrupts, exit.

use std::ffi::{c_char, c_int, CStr, CString};
use std::sync::OnceLock;

use pgrx::pg_sys;

/// Registers a background worker that starts when recovery has ended and is started again a second after it exits with code 1.
pub fn register_worker(name: &str, entry_point: &str) {
    fn copy(to: &mut [c_char], from: &str) {
        for (to, from) in to.iter_mut().zip(from.bytes()) {
            *to = from as c_char;
        }
    }
    let mut worker = pg_sys::BackgroundWorker {
        bgw_flags: (pg_sys::BGWORKER_SHMEM_ACCESS | pg_sys::BGWORKER_BACKEND_DATABASE_CONNECTION) as c_int,
        bgw_start_time: pg_sys::BgWorkerStartTime::BgWorkerStart_RecoveryFinished,
        bgw_restart_time: 1,
        ..Default::default()
    };
    copy(&mut worker.bgw_name, name);
    copy(&mut worker.bgw_type, name);
    copy(&mut worker.bgw_library_name, "pg_kafka");
    copy(&mut worker.bgw_function_name, entry_point);
    // SAFETY: called while shared_preload_libraries are loaded; Postgres copies the struct.
    unsafe { pg_sys::RegisterBackgroundWorker(&mut worker) };
}

/// Whether shared_preload_libraries are being loaded, the only time at which workers and shared memory can be asked for.
pub fn preloading() -> bool {
    // SAFETY: a flag of this process, set by the postmaster around the loading.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// Whether pg_upgrade runs this server, in which nothing may write.
pub fn is_binary_upgrade() -> bool {
    // SAFETY: set from the command line before libraries are loaded.
    unsafe { pg_sys::IsBinaryUpgrade }
}

/// Connects this worker, once: to a database, or with `None` to none, which gives access to shared catalogs only. A database that
/// does not exist or refuses is FATAL: the process exits with code 1.
pub fn connect(database: Option<&str>) {
    let name = database.map(|name| CString::new(name).unwrap_or_default());
    let name = name.as_deref().map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: called once, at the start of a background worker that was registered with a database connection; the name is copied.
    unsafe { pg_sys::BackgroundWorkerInitializeConnection(name, std::ptr::null(), 0) };
}

/// Sets an option of this session in a way that neither configuration files nor ALTER ROLE or DATABASE override.
pub fn pin_option(name: &CStr, value: &CStr) {
    use pg_sys::{GucContext::PGC_SUSET, GucSource::PGC_S_OVERRIDE};
    // SAFETY: C strings; the value is copied.
    unsafe { pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), PGC_SUSET, PGC_S_OVERRIDE) };
}

/// The value of an option, empty if there is none of that name.
pub fn option(name: &CStr) -> String {
    // SAFETY: a C string or null, valid until the next call, and copied before.
    unsafe {
        let value = pg_sys::GetConfigOption(name.as_ptr(), true, false);
        if value.is_null() {
            String::new()
        } else {
            CStr::from_ptr(value).to_string_lossy().into_owned()
        }
    }
}

/// Does what other processes asked of this one: exit (does not return), cancel (an ERROR), barriers, catching up with
/// invalidations (CHECK_FOR_INTERRUPTS leaves that to whoever is idle). Outside a transaction only.
pub fn serve_interrupts() {
    pgrx::check_for_interrupts!();
    // SAFETY: outside a transaction, on the main thread, as an idle backend does it.
    unsafe {
        if pg_sys::catchupInterruptPending != 0 {
            pg_sys::ProcessCatchupInterrupt();
        }
    }
}

/// Reads the configuration files again if SIGHUP came since the last call, and says whether it did.
pub fn reload_if_asked() -> bool {
    // SAFETY: the flag is set by a signal handler and cleared here before the files are read, as in Postgres's own loops.
    unsafe {
        if pg_sys::ConfigReloadPending == 0 {
            return false;
        }
        pg_sys::ConfigReloadPending = 0;
        pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
    }
    true
}

/// Reports this worker's table statistics, outside a transaction.
pub fn report_statistics() {
    // SAFETY: outside a transaction, as the function demands.
    unsafe { pg_sys::pgstat_report_stat(false) };
}

/// Shows this worker as idle or running in pg_stat_activity.
pub fn report_idle() {
    // SAFETY: without a command string nothing is read.
    unsafe { pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null()) };
}

/// Ends this process with code 1, which makes the postmaster start the worker again. Whatever is on the stack is not dropped.
pub fn exit_for_restart() -> ! {
    // SAFETY: runs the exit callbacks on the main thread.
    unsafe { pg_sys::proc_exit(1) };
    // The bindings of 18 do not say that it never returns.
    #[cfg(feature = "pg18")]
    unreachable!("proc_exit came back")
}

static AT_EXIT: OnceLock<fn()> = OnceLock::new();

/// Has `callback` called once when this process exits in an orderly way (FATAL included), while shared memory is still attached.
pub fn at_exit(callback: fn()) {
    if AT_EXIT.set(callback).is_ok() {
        // SAFETY: the callback stays valid; it takes no argument.
        unsafe { pg_sys::before_shmem_exit(Some(run_at_exit), pg_sys::Datum::from(0)) };
    }
}

unsafe extern "C-unwind" fn run_at_exit(_code: c_int, _arg: pg_sys::Datum) {
    if let Some(callback) = AT_EXIT.get() {
        // A panic that left an exit callback would start the exit again, on frames that are gone.
        let _ = std::panic::catch_unwind(callback);
    }
}

/// The level below which Postgres does not log (`log_min_messages`), as the numbers of elog.h.
pub fn log_min_messages() -> i32 {
    // SAFETY: a GUC's variable, read on the main thread.
    unsafe { pg_sys::log_min_messages }
}
