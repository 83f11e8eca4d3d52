//! The life cycle of the broker's process: when it listens and when not, what it says about that, how it stops and comes back. For
//! pg_kafka only.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

mod databases;
mod extension;
mod loading;
mod log;
mod reload;
mod restarts;
mod settings;
mod signals;

use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::patience::{eventually, within};
use kafka_test::requests::{append, read_all};
use kafka_test::server::{run, Server};
use kafka_test::sql::{session, try_session};
use kafka_test::topic::Topic;
use postgres::error::DbError;
use postgres::{Client, NoTls};
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Time in which the listener follows what a session committed: it is told; without that it looks every ten seconds.
const SOON: Duration = Duration::from_secs(4);
/// Time in which a fast shutdown is over.
const STOPPED_WITHIN: Duration = Duration::from_secs(5);

/// The server that most of these tests use, one after the other: each changes it.
struct Turn(MutexGuard<'static, Server>);

impl Deref for Turn {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

/// A broker that serves, with default settings and without topics, whatever the test before it left.
fn my_turn() -> Turn {
    static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();
    let server = SERVER.get_or_init(|| Mutex::new(Server::start_pg_kafka(&[])));
    let turn = Turn(server.lock().unwrap_or_else(PoisonError::into_inner));
    if try_session(&turn).is_err() {
        turn.start_again();
    }
    let mut session = session(&turn);
    for statement in [
        "ALTER SYSTEM RESET ALL",
        "SELECT pg_reload_conf()",
        "SET synchronous_commit = local",
        "DROP EXTENSION IF EXISTS pg_kafka CASCADE",
        "CREATE EXTENSION pg_kafka",
    ] {
        session
            .batch_execute(statement)
            .unwrap_or_else(|e| panic!("{statement}: {}", explain(&e)));
    }
    eventually("the broker serves the extension that was just made", || {
        let made = session.query("SELECT 1 FROM kafka.cluster", &[]).ok()?;
        (!made.is_empty() && listens(&turn.bootstrap)).then_some(())
    });
    turn
}

fn listens(address: &str) -> bool {
    Connection::try_open(address).is_ok()
}

/// Waits until the address is listened on, which must be within `limit`.
fn comes_up(address: &str, limit: Duration) {
    within(limit, "the broker listens", || listens(address).then_some(()));
}

/// Waits until nobody listens on the address any more, which must be within `limit`.
fn goes_down(address: &str, limit: Duration) {
    within(limit, "the broker stops listening", || (!listens(address)).then_some(()));
}

/// Panics if `what` stops being true within `time`.
fn stays(time: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while started.elapsed() < time {
        assert!(holds(), "{what}: no more after {:?}", started.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A topic with one record, which is there and can be added to for as long as the test likes.
struct Kept {
    topic: Topic,
    records: i64,
}

impl Kept {
    fn on(server: &Server) -> Kept {
        let mut kept = Kept {
            topic: server.topic("kept", 1),
            records: 0,
        };
        kept.is_served(server);
        kept
    }

    /// Everything that was written is there, and one more record can be written.
    fn is_served(&mut self, server: &Server) {
        eventually("the broker listens", || listens(&server.bootstrap).then_some(()));
        let mut connection = server.connect();
        server.ready(&mut connection, &self.topic.name);
        let stored = read_all(&mut connection, &self.topic, 0, 0);
        assert_eq!(stored.len() as i64, self.records, "batches that were acknowledged");
        assert_eq!(append(&mut connection, &self.topic, 0, &Batch::of(["x"])), self.records);
        self.records += 1;
    }
}

/// What Postgres logs from here on.
struct LogSince<'a> {
    server: &'a Server,
    position: usize,
}

impl<'a> LogSince<'a> {
    fn now(server: &'a Server) -> Self {
        LogSince {
            server,
            position: server.log().len(),
        }
    }

    fn lines_with(&self, part: &str) -> Vec<String> {
        let log = self.server.log();
        let new = log.get(self.position..).expect("the log only grows");
        new.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }

    fn count(&self, part: &str) -> usize {
        self.lines_with(part).len()
    }

    /// The first line with this part, once there is one.
    fn line_with(&self, part: &str) -> String {
        eventually(&format!("the log says {part:?}"), || self.lines_with(part).into_iter().next())
    }

    fn assert_none(&self, parts: &[&str]) {
        for part in parts {
            assert_eq!(self.lines_with(part), Vec::<String>::new(), "lines with {part:?}");
        }
    }

    /// No process died but those that a test killed.
    fn assert_no_crash(&self) {
        self.assert_none(&["panicked", "PANIC:", "was terminated by signal", "internal error"]);
    }
}

/// ALTER SYSTEM SET ..., and a reload.
fn set(server: &Server, name: &str, value: &str) {
    let mut session = session(server);
    session
        .batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'"))
        .unwrap_or_else(|e| panic!("{name} = {value}: {}", explain(&e)));
    session.batch_execute("SELECT pg_reload_conf()").unwrap();
}

/// A session in another database of the server.
fn session_in(server: &Server, database: &str) -> Client {
    let settings = server.sql.as_deref().unwrap();
    let settings = settings.replace("dbname=postgres", &format!("dbname={database}"));
    Client::connect(&settings, NoTls).unwrap_or_else(|e| panic!("connect to {database}: {e}"))
}

/// The error that a statement is refused with.
fn refused(session: &mut Client, statement: &str) -> DbError {
    let error = session
        .batch_execute(statement)
        .err()
        .unwrap_or_else(|| panic!("{statement} was not refused"));
    error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error}")).clone()
}

fn explain(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Stops Postgres, which must take no longer than a fast shutdown may; what waits to be written, it does not wait for.
fn stop(server: &Server, mode: &str) {
    session(server).batch_execute("CHECKPOINT").unwrap();
    let mut command = server.cluster("stop");
    command.args(["--mode", mode]);
    let started = Instant::now();
    run(command);
    assert!(
        started.elapsed() < STOPPED_WITHIN,
        "{mode} shutdown took {:?}",
        started.elapsed()
    );
}

/// Process ids of Postgres's processes of a kind.
fn pids(server: &Server, backend_type: &str) -> Vec<i32> {
    session(server)
        .query("SELECT pid FROM pg_stat_activity WHERE backend_type = $1", &[&backend_type])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}
