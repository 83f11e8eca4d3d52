//! The broker's database, and the others.

use crate::{comes_up, goes_down, my_turn, refused, session_in, stays, Kept, LogSince, SOON};
use kafka_test::batch::Batch;
use kafka_test::patience::eventually;
use kafka_test::requests::append;
use kafka_test::server::Server;
use kafka_test::sql::session;
use std::time::{Duration, Instant};

/// Time from a database's appearance to a broker in it.
const FOUND_WITHIN: Duration = Duration::from_secs(15);
const MISSING: &str = "pg_kafka waits: pg_kafka.database is \"orders\", and there is no such database";
const FATAL: &str = "FATAL:  database \"orders\"";

/// Goal: a pg_kafka.database that does not exist, or goes away, is said once, does not fill the log, and is served when it is there.
/// Goal of the second setting: that synchronous_commit = off is not followed is said once per start.
#[test]
fn a_missing_database_is_waited_for() {
    let server = Server::start_postgres(&[("pg_kafka.database", "orders"), ("synchronous_commit", "off")]);
    let from_start = LogSince {
        server: &server,
        position: 0,
    };
    from_start.line_with(MISSING);
    stays(Duration::from_secs(4), "one line, and few of Postgres", || {
        from_start.count(MISSING) == 1 && from_start.count(FATAL) <= 1
    });
    let mut postgres = session(&server);
    postgres.batch_execute("CREATE DATABASE orders").unwrap();
    let appeared = Instant::now();
    session_in(&server, "orders")
        .batch_execute("CREATE EXTENSION pg_kafka")
        .unwrap();
    comes_up(&server.bootstrap, FOUND_WITHIN.saturating_sub(appeared.elapsed()));
    append(&mut server.connect(), &server.topic("orders", 1), 0, &Batch::of(["x"]));
    eventually("both workers are in the database", || {
        let workers = "SELECT 1 FROM pg_stat_activity WHERE backend_type ~ '^pg_kafka' AND datname = 'orders'";
        (postgres.query(workers, &[]).unwrap().len() == 2).then_some(())
    });
    assert_eq!(from_start.count("pg_kafka reads synchronous_commit = off as on"), 1);
    assert!(from_start.count(FATAL) <= 1, "{:?}", from_start.lines_with(FATAL));

    let without = LogSince::now(&server);
    postgres.batch_execute("DROP DATABASE orders WITH (FORCE)").unwrap();
    goes_down(&server.bootstrap, SOON);
    without.line_with(MISSING);
    stays(Duration::from_secs(3), "one line, and few of Postgres", || {
        without.count(MISSING) == 1 && without.count(FATAL) <= 3
    });
    postgres.batch_execute("CREATE DATABASE elsewhere").unwrap();
    postgres.batch_execute("ALTER DATABASE elsewhere RENAME TO orders").unwrap();
    session_in(&server, "orders")
        .batch_execute("CREATE EXTENSION pg_kafka")
        .unwrap();
    comes_up(&server.bootstrap, FOUND_WITHIN);

    let closed = LogSince::now(&server);
    postgres.batch_execute("ALTER DATABASE orders ALLOW_CONNECTIONS off").unwrap();
    let broker = server.broker_pid();
    postgres.execute("SELECT pg_terminate_backend($1)", &[&broker]).unwrap();
    closed.line_with("pg_kafka waits: pg_kafka.database is \"orders\", which takes no connections");
    postgres.batch_execute("ALTER DATABASE orders ALLOW_CONNECTIONS on").unwrap();
    comes_up(&server.bootstrap, FOUND_WITHIN);
    assert_eq!(closed.count("which takes no connections"), 1);
    server.assert_never_crashed();
}

/// Goal: other databases come and go without waiting for the broker, idle or not: it absorbs the barriers that every process must.
#[test]
fn other_databases_can_be_dropped() {
    let server = my_turn();
    let mut session = session(&server);
    let mut come_and_go = |when: &str| {
        session.batch_execute("CREATE DATABASE other").unwrap();
        let started = Instant::now();
        session.batch_execute("DROP DATABASE other").unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{when}: {:?}", started.elapsed());
    };
    come_and_go("while the broker is idle");
    let mut kept = Kept::on(&server);
    come_and_go("after it has served");
    kept.is_served(&server);
}

/// Goal: Postgres refuses to copy the broker's database, as it does for every database with sessions: an error and not a hang.
#[test]
fn the_brokers_database_cannot_be_copied() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let mut beside = session_in(&server, "template1");
    let error = refused(&mut beside, "CREATE DATABASE copy TEMPLATE postgres");
    let message = "source database \"postgres\" is being accessed by other users";
    assert_eq!((error.code().code(), error.message()), ("55006", message), "{error}");
    kept.is_served(&server);
}
