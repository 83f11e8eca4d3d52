//! Settings that a reload changes.

use crate::{comes_up, goes_down, listens, my_turn, set, stays, Kept, LogSince, SOON};
use kafka_test::patience::{eventually, within};
use kafka_test::server::free_port;
use kafka_test::sql::session;
use std::net::TcpListener;
use std::time::Duration;

/// Goal: pg_kafka.enabled takes the listener down and up, says so once, and closes connections; SQL goes on meanwhile.
#[test]
fn enabled_switches_the_listener() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let log = LogSince::now(&server);
    for round in 1..=2 {
        let mut client = server.connect();
        set(&server, "pg_kafka.enabled", "off");
        goes_down(&server.bootstrap, SOON);
        client.assert_closed_within(Duration::from_secs(3), "a connection to a broker that is turned off");
        let why = "pg_kafka does not listen: pg_kafka.enabled is off";
        eventually("the log says so", || (log.count(why) == round).then_some(()));
        session(&server).batch_execute("SELECT pg_reload_conf()").unwrap();
        let rows = session(&server).query("SELECT 1 FROM kafka.messages", &[]).unwrap();
        assert_eq!(rows.len() as i64, kept.records);
        set(&server, "pg_kafka.enabled", "on");
        comes_up(&server.bootstrap, SOON);
        kept.is_served(&server);
        assert_eq!(log.count(why), round, "it is said once");
    }
}

/// Goal: a reload with another port moves the listener there, and back.
#[test]
fn the_port_moves_the_listener() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let log = LogSince::now(&server);
    let mut client = server.connect();
    let port = free_port();
    let elsewhere = format!("127.0.0.1:{port}");
    set(&server, "pg_kafka.port", &port.to_string());
    comes_up(&elsewhere, SOON);
    assert!(!listens(&server.bootstrap), "still listens on the old port");
    client.assert_closed_within(Duration::from_secs(3), "a connection to the old port");
    log.line_with(&format!("pg_kafka listens on localhost port {port}"));
    set(&server, "pg_kafka.port", server.bootstrap.rsplit(':').next().unwrap());
    comes_up(&server.bootstrap, SOON);
    assert!(!listens(&elsewhere), "still listens on the port in between");
    kept.is_served(&server);
}

/// Goal: a port that is taken is said once, hurts nobody, and is listened on soon after it is free.
#[test]
fn a_port_in_use_is_waited_for() {
    let server = my_turn();
    let mut kept = Kept::on(&server);
    let log = LogSince::now(&server);
    let port = free_port();
    let taken = TcpListener::bind(("127.0.0.1", port)).unwrap();
    set(&server, "pg_kafka.port", &port.to_string());
    let line = log.line_with(&format!("pg_kafka does not listen: cannot listen on localhost port {port}"));
    assert!(line.contains("in use"), "{line}");
    stays(Duration::from_secs(3), "one line while Postgres goes on", || {
        log.count("cannot listen") == 1 && session(&server).batch_execute("SELECT 1").is_ok()
    });
    drop(taken);
    within(
        Duration::from_secs(8),
        "the broker listens on the port that became free",
        || listens(&format!("127.0.0.1:{port}")).then_some(()),
    );
    set(&server, "pg_kafka.port", server.bootstrap.rsplit(':').next().unwrap());
    kept.is_served(&server);
}
