//! The broker's life: waits for its extension, serves while it is there, and is the database thread meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::server::Server;
use broker::settings::table::Snapshot;
use broker::storage::engine::{Engine, EngineError, TopicNumber};
use broker::storage::runner::{Next, Runner};

use super::disk;
use super::exit;
use super::extension::{self, Presence};
use super::logging::LogDrain;
use super::session;
use super::wakeup::Changes;
use crate::ffi::error::catch;
use crate::ffi::files::{self, FileShares};
use crate::ffi::process::{exit_for_restart, reload_if_asked, report_idle, report_statistics};
use crate::ffi::shmem::{shared, Shared};
use crate::ffi::wait::Waker;
use crate::ffi::{guc, memory, report, signals};

/// After what time a start that failed (port in use) is tried again.
const RETRY: Duration = Duration::from_secs(2);
/// The same for a start that met a lock: a session that has just committed CREATE EXTENSION still holds its locks for a moment.
const RETRY_BUSY: Duration = Duration::from_millis(50);
/// How often table statistics are reported and maintenance is reminded, while there is work.
const CHORES: Duration = Duration::from_secs(1);
/// How old what is known of free disk space may be when something is written: a fast producer writes hundreds of megabytes in a
/// second, and asking takes microseconds.
const MEASURED_FOR: Duration = Duration::from_millis(20);

/// Runs the broker's process; returns only to have it started again.
pub fn run<E: Engine>(new_engine: impl Fn() -> E) {
    let Some(shared) = shared() else {
        return;
    };
    let settings = guc::snapshot();
    let mut waiting = session::wait_set("broker");
    session::begin_broker(shared, &settings.database, &mut waiting);
    session::report_commit();
    let log = LogDrain::install(waiting.waker());
    exit::arrange(log.share());
    let files = files::divide();
    report_files(&settings, files);
    shared.broker.occupy();
    report_idle();
    let now = Instant::now();
    let mut broker = Broker {
        new_engine,
        shared,
        log,
        files,
        waker: waiting.waker(),
        settings: lower_connections(settings, files),
        runner: None,
        serving: false,
        extension: String::new(),
        said: String::new(),
        busy_since: None,
        changes: Changes::new(now),
        wanted: BTreeSet::new(),
        next_chores: now,
        next_measurement: now,
    };
    loop {
        session::stop_if_asked();
        match catch(|| broker.turn()) {
            Ok(timeout) => waiting.wait(Some(timeout)),
            Err(error) => {
                // What is in memory may be half changed; a new process reads everything from the tables.
                report::log(format_args!("pg_kafka broker starts anew after an internal error: {error}"));
                exit_for_restart();
            }
        }
    }
}

fn report_files(settings: &Snapshot, files: FileShares) {
    if files.connections < settings.broker.max_connections {
        report::log(format_args!(
            "pg_kafka accepts at most {} connections instead of {}: the limit of open files is {}, of which Postgres keeps {}; raise \
             ulimit -n for more",
            files.connections,
            settings.broker.max_connections,
            files.limit,
            files.postgres
        ));
    }
}

fn lower_connections(mut settings: Snapshot, files: FileShares) -> Snapshot {
    settings.broker.max_connections = settings.broker.max_connections.min(files.connections);
    settings
}

struct Broker<F, E: Engine> {
    new_engine: F,
    shared: &'static Shared,
    log: LogDrain,
    files: FileShares,
    waker: Arc<Waker>,
    settings: Snapshot,
    runner: Option<Runner<E>>,
    /// Whether `runner` is served, by a server in `exit`.
    serving: bool,
    /// Identity of the extension that `runner` was opened for.
    extension: String,
    /// The last line about not serving, which is not repeated.
    said: String,
    /// Since when a start meets locks.
    busy_since: Option<Instant>,
    changes: Changes,
    /// The topics for which maintenance was told to make a segment.
    wanted: BTreeSet<TopicNumber>,
    next_chores: Instant,
    next_measurement: Instant,
}

impl<F: Fn() -> E, E: Engine> Broker<F, E> {
    /// One round of everything; how long to sleep after it, unless woken.
    fn turn(&mut self) -> Duration {
        let now = Instant::now();
        if reload_if_asked() {
            self.reload();
        }
        let due = self.changes.take(self.shared, now);
        if due.extension {
            self.look_at_extension();
        }
        if now >= self.next_chores {
            self.next_chores = now + CHORES;
            self.do_chores(now);
        }
        self.serve_when_durable();
        let mut next = Next::Idle;
        if let Some(runner) = &mut self.runner {
            if now >= self.next_measurement {
                self.next_measurement = now + MEASURED_FOR;
                runner.disk_measured(&disk::measure(), now);
            }
            if due.catalog {
                runner.catalog_changed();
            }
            next = runner.turn(now);
            if *runner.wanted_segments() != self.wanted {
                self.ask_for_segments();
            }
        }
        self.log.drain();
        let mut longest = self.changes.until_poll(now);
        if self.runner.as_ref().is_some_and(Runner::disk_is_full) {
            longest = longest.min(CHORES);
        }
        if self.runner.is_some() && !self.serving {
            longest = longest.min(RETRY_BUSY);
        }
        match next {
            Next::Again => Duration::ZERO,
            Next::Sleep(time) => time.min(longest),
            Next::Idle => longest,
        }
    }

    fn do_chores(&mut self, now: Instant) {
        report_statistics();
        memory::give_back(self.runner.as_mut().map_or(0, |runner| runner.cached_bytes(now)));
        self.ask_for_segments();
    }

    /// Tells maintenance of which topics to make the next segment. It is told again while it has not.
    fn ask_for_segments(&mut self) {
        let Some(runner) = &self.runner else { return };
        self.wanted.clone_from(runner.wanted_segments());
        self.shared.wanted_segments.set(self.wanted.iter().map(|topic| topic.0));
        if !self.wanted.is_empty() {
            self.shared.maintenance.wake();
        }
    }

    fn reload(&mut self) {
        let new = lower_connections(guc::snapshot(), self.files);
        self.log.reload();
        let old = std::mem::replace(&mut self.settings, new);
        if let Some(runner) = &mut self.runner {
            runner.configure(&self.settings.broker);
        }
        if self.serving && old.needs_new_listener(&self.settings) {
            exit::stop_server();
            self.start_server();
        } else {
            exit::with_server(|server| server.reload(self.settings.broker.clone()));
        }
        self.look_at_extension();
    }

    /// Starts or stops serving, as it should be.
    fn look_at_extension(&mut self) {
        if !self.settings.enabled {
            self.stop("pg_kafka.enabled is off");
            return;
        }
        match extension::look(&self.settings.database) {
            Ok(Presence::Fits(identity)) => {
                if self.extension != identity {
                    // What is in memory is of the one that was dropped.
                    self.stop_serving();
                }
                if self.runner.is_none() {
                    self.extension = identity;
                    self.start();
                }
            }
            Ok(Presence::Obstacle(obstacle)) => self.stop(&obstacle),
            Err(error) => {
                report::log(format_args!("pg_kafka could not look for its extension: {error}"));
                self.changes.look_at(Instant::now() + RETRY);
            }
        }
    }

    fn start(&mut self) {
        let waker = self.waker.clone();
        match Runner::open((self.new_engine)(), Arc::new(move || waker.wake()), &self.settings.broker) {
            // A session that has just committed still holds its locks for a moment; who holds one for longer keeps its topic back only.
            Ok(runner) if runner.has_unopened_topics() && self.is_busy_start() => {
                drop(runner);
                self.changes.look_at(Instant::now() + RETRY_BUSY);
            }
            Ok(mut runner) => {
                runner.disk_measured(&disk::measure(), Instant::now());
                self.busy_since = None;
                self.runner = Some(runner);
                self.serve_when_durable();
            }
            Err(EngineError::Busy(_)) if self.is_busy_start() => {
                self.changes.look_at(Instant::now() + RETRY_BUSY);
            }
            Err(error) => {
                self.say(format!("the topics cannot be read: {error}"));
                self.changes.look_at(Instant::now() + RETRY);
            }
        }
    }

    /// Whether a start that met locks is tried again soon, and without a word.
    fn is_busy_start(&mut self) -> bool {
        self.busy_since.get_or_insert_with(Instant::now).elapsed() < RETRY
    }

    fn serve_when_durable(&mut self) {
        if self.serving {
            return;
        }
        match self.runner.as_mut().map(Runner::may_serve) {
            Some(true) => self.start_server(),
            Some(false) => {
                self.say("no synchronous standby has confirmed what is in the log (see synchronous_standby_names)".to_owned())
            }
            None => {}
        }
    }

    fn start_server(&mut self) {
        let Some(runner) = &self.runner else {
            return;
        };
        let settings = self.settings.broker.clone();
        let place = format!("{} port {}", settings.listen_addresses.join(", "), settings.port);
        match signals::with_all_blocked(|| Server::start(settings, runner)) {
            Ok(server) => {
                exit::keep_server(server);
                self.serving = true;
                self.said.clear();
                report::log(format_args!("pg_kafka listens on {place}"));
                self.warn_of_addresses();
            }
            Err(error) => {
                self.serving = false;
                self.runner = None;
                self.say(format!("cannot listen on {place}: {error}"));
                self.changes.look_at(Instant::now() + RETRY);
            }
        }
    }

    fn warn_of_addresses(&self) {
        let local = |address: &str| address == "localhost" || address == "::1" || address.starts_with("127.");
        if !self.settings.broker.listen_addresses.iter().all(|address| local(address)) {
            report::warning(format_args!(
                "pg_kafka does not authenticate clients: whoever reaches {} can read and write every topic",
                self.settings.broker.port
            ));
        }
    }

    fn stop(&mut self, obstacle: &str) {
        self.stop_serving();
        self.busy_since = None;
        self.say(obstacle.to_owned());
    }

    fn stop_serving(&mut self) {
        if self.runner.is_some() {
            exit::stop_server();
            self.serving = false;
            self.runner = None;
        }
    }

    /// Logs why the broker does not serve, once.
    fn say(&mut self, reason: String) {
        if self.said != reason {
            report::log(format_args!("pg_kafka does not listen: {reason}"));
            self.said = reason;
        }
    }
}
