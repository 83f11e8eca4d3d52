//! Connections that are cut at random places.

use super::run::{Run, PARTITIONS};
use kafka_test::patience::within;
use kafka_test::proxy::Proxy;
use kafka_test::server::{free_port, Server};
use std::time::Duration;

const RECORDS: u64 = 1_000_000;
/// Frames of which about one is cut: a hundred cuts and more in the run.
const CUT_EVERY: u64 = 100;
/// Time for all of it.
const WITHIN: Duration = Duration::from_secs(300);
/// How many of each kind there are at least.
const CUTS_MIN: u64 = 10;

/// Goal: a million records through a proxy that cuts requests, loses replies and cuts replies: each is in the log once and in order, and
/// the producer was told its offset.
#[test]
fn a_million_records_over_connections_that_are_cut_are_written_once() {
    let port = free_port();
    let advertised = port.to_string();
    let server = Server::start_pg_kafka(&[("pg_kafka.advertised_port", &advertised)]);
    let topic = server.topic("idempotence-cut", PARTITIONS);
    let proxy = Proxy::start(port, &server.bootstrap, CUT_EVERY, 1);
    let mut run = Run::new(&Server::running(server.target, proxy.bootstrap()), topic);
    run.send(RECORDS);
    within(WITHIN, "all records have an outcome", || {
        (run.delivered() == RECORDS).then_some(())
    });
    proxy.calm();
    let cuts = proxy.cuts();
    println!("requests cut, replies lost, replies cut: {cuts:?}");
    assert!(cuts.iter().all(|count| *count >= CUTS_MIN), "cuts {cuts:?}");
    run.check(&server);
}
