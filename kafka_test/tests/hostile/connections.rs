//! Many connections, and few files to hold them.

use crate::{Bystander, MIB};
use kafka_protocol::messages::ApiVersionsRequest;
use kafka_test::connection::Connection;
use kafka_test::patience::{eventually, within};
use kafka_test::process::{open_files, raise_file_limit};
use kafka_test::server::Server;
use kafka_test::sql;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

fn open(server: &Server, count: usize) -> Vec<Connection> {
    (0..count)
        .filter_map(|_| Connection::try_open(&server.bootstrap).ok())
        .collect()
}

/// Goal: 5,000 idle connections are held, cost little, and a client beside them is served; the last and the first of them too.
#[test]
fn five_thousand_idle_connections() {
    assert!(raise_file_limit() > 6_000, "this test needs 6,000 open files (ulimit -n)");
    let settings = [
        ("pg_kafka.max_connections", "6000"),
        ("pg_kafka.max_connections_per_address", "6000"),
    ];
    let server = Server::start_pg_kafka(&settings);
    let mut bystander = Bystander::of(&server);
    let mut idle = open(&server, 5_000);
    assert_eq!(idle.len(), 5_000);
    bystander.finds_all_well(&server, 200 * MIB);
    for at in [4_999, 2_500, 0] {
        assert_eq!(
            idle[at].call(0, &ApiVersionsRequest::default()).error_code,
            0,
            "connection {at}"
        );
    }
    drop(idle);
    bystander.finds_all_well(&server, 200 * MIB);
}

/// Goal: at the limit of connections a new client takes the place of the longest idle one.
#[test]
fn a_new_client_replaces_the_longest_idle_one() {
    let settings = [
        ("pg_kafka.max_connections", "50"),
        ("pg_kafka.max_connections_per_address", "1000"),
    ];
    let server = Server::start_pg_kafka(&settings);
    let mut bystander = Bystander::of(&server);
    let mut idle = open(&server, 200);
    for round in 0..20 {
        assert_eq!(
            server.connect().call(0, &ApiVersionsRequest::default()).error_code,
            0,
            "new client {round}"
        );
    }
    let first = idle.first_mut().unwrap();
    first.assert_closed_within(std::time::Duration::from_secs(10), "the longest idle connection");
    bystander.finds_all_well(&server, 50 * MIB);
}

/// Goal: with `ulimit -n 1024`, 3,000 connections at once take no file that Postgres needs: Postgres goes on, and so do clients.
#[test]
fn few_files_are_shared_with_postgres() {
    raise_file_limit();
    let settings = [
        ("pg_kafka.max_connections", "10000"),
        ("pg_kafka.max_connections_per_address", "10000"),
    ];
    let server = Server::start_pg_kafka_limited(&settings, Some(1024));
    let mut bystander = Bystander::of(&server);
    for _ in 0..3 {
        let idle = open(&server, 3_000);
        bystander.is_served(&server);
        let mut session = sql::session(&server);
        session
            .batch_execute("CREATE TABLE beside(); CHECKPOINT; SELECT pg_switch_wal(); DROP TABLE beside")
            .unwrap();
        bystander.is_served(&server);
        drop(idle);
    }
    bystander.finds_all_well(&server, 100 * MIB);
}

/// Goal: no address has more connections than it may, whatever others have; one that goes makes room.
#[test]
fn one_address_has_its_own_limit() {
    let server = Server::start_pg_kafka(&[("pg_kafka.max_connections_per_address", "20")]);
    let mut held = open(&server, 19);
    for (index, connection) in held.iter_mut().enumerate() {
        assert_eq!(
            connection.call(0, &ApiVersionsRequest::default()).error_code,
            0,
            "connection {index}"
        );
    }
    let mut last = server.connect();
    assert_eq!(last.call(0, &ApiVersionsRequest::default()).error_code, 0);
    for _ in 0..100 {
        server
            .connect()
            .assert_closed_within(Duration::from_secs(5), "a connection too many");
    }
    let mut elsewhere = connect_from("127.0.0.2:0", &server.bootstrap).unwrap_or_else(|e| panic!("connect from 127.0.0.2: {e}"));
    assert_eq!(
        elsewhere.call(0, &ApiVersionsRequest::default()).error_code,
        0,
        "another address"
    );
    drop(last);
    eventually("a place is free again", || {
        let mut connection = Connection::try_open(&server.bootstrap).ok()?;
        connection.try_call(0, &ApiVersionsRequest::default())
    });
    let why = "connection refused: too many connections of this address";
    let lines = || server.log().matches(why).count();
    eventually("the log tells", || (lines() > 0).then_some(()));
    assert!(lines() <= 5, "{} lines in the log for 100 refused connections", lines());
}

/// Goal: thousands of connections per second that come and go, some with a piece of nonsense, keep nobody from being served, leave nothing
/// behind, and do not fill the log.
#[test]
fn a_storm_of_connections() {
    const THREADS: usize = 8;
    let server = Server::start_pg_kafka(&[]);
    let mut bystander = Bystander::of(&server);
    let (files, began) = (open_files(server.broker_pid()), Instant::now());
    let log_bytes = server.log().len();
    let (made, mut closed) = (AtomicU64::new(0), 0);
    let enough = || {
        let most = if made.load(Ordering::Relaxed) > 10_000 { 10 } else { 60 };
        began.elapsed() >= Duration::from_secs(most)
    };
    std::thread::scope(|scope| {
        for number in 0..THREADS {
            let (server, made, enough) = (&server, &made, &enough);
            scope.spawn(move || {
                while !enough() {
                    let Ok(mut connection) = Connection::try_open(&server.bootstrap) else {
                        continue;
                    };
                    match number % 4 {
                        0 => {}
                        1 => drop(connection.try_send_frame(&[0, 99, 0, 0, 0, 0, 0, 1])),
                        2 => drop(connection.try_send_frame(&[])),
                        _ => drop(connection.try_call(0, &ApiVersionsRequest::default())),
                    }
                    // A reset, so that this side does not run out of ports.
                    let _ = rustix::net::sockopt::set_socket_linger(connection.stream(), Some(Duration::ZERO));
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        while !enough() {
            within(Duration::from_secs(5), "a bystander is served", || {
                let served = bystander.try_served(&server);
                closed += usize::from(served.is_none());
                served
            });
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let (made, took, logged) = (made.load(Ordering::Relaxed), began.elapsed(), server.log().len() - log_bytes);
    eprintln!("{made} connections in {took:?}, {logged} bytes of log");
    assert!(made > 10_000, "only {made} connections");
    assert!(closed <= 2, "{closed} connections of a bystander were closed");
    assert!(logged < 1_000 * took.as_secs() as usize, "{logged} bytes of log");
    bystander.finds_all_well(&server, 100 * MIB);
    eventually("their descriptors are closed", || {
        (open_files(server.broker_pid()) <= files + 5).then_some(())
    });
}

fn connect_from(local: &str, address: &str) -> std::io::Result<Connection> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)?;
    rustix::net::bind(&socket, &local.parse::<std::net::SocketAddrV4>().unwrap())?;
    rustix::net::connect(&socket, &address.parse::<std::net::SocketAddrV4>().unwrap())?;
    Ok(Connection::over(socket.into()))
}
