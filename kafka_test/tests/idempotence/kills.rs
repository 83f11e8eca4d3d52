//! The broker is killed while the producer writes.

use super::run::{Run, PARTITIONS};
use kafka_test::faults::Fault;
use kafka_test::patience::eventually;
use kafka_test::server::Server;

const RECORDS: u64 = 1_000_000;
const KILLS: u64 = 10;

/// Goal: a million records through ten kill -9 of the broker, in small segments so that state passes through snapshots: each is in the
/// log once and in order, and the producer was told its offset.
#[test]
fn a_million_records_through_ten_kills_are_written_once() {
    let server = Server::start_pg_kafka(&[]);
    let topic = server.topic_with("idempotence-kill", PARTITIONS, &[("segment.bytes", "8388608")]);
    let mut run = Run::new(&server, topic);
    for kill in 1..=KILLS {
        run.send(RECORDS / (KILLS + 1));
        // In the middle of what was sent: the rest is in flight or waits.
        let middle = kill * (RECORDS / (KILLS + 1)) - RECORDS / (KILLS + 1) / 4;
        eventually(&format!("{middle} records have an outcome"), || {
            (run.delivered() >= middle).then_some(())
        });
        Fault::KillBroker.strike(&server);
    }
    run.send(RECORDS / (KILLS + 1));
    run.check(&server);
}
