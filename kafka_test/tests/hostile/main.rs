//! Clients that mean harm, or are broken: each gets its answer or its close, memory stays bounded, and others are served. For pg_kafka
//! only.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

mod batches;
mod bombs;
mod connections;
mod fuzz;
mod lengths;
mod slow;

use kafka_test::batch::Batch;
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::process::private_memory_bytes;
use kafka_test::requests::{append, fetch, Reading};
use kafka_test::server::Server;
use kafka_test::topic::Topic;
use std::time::{Duration, Instant};

const MIB: u64 = 1024 * 1024;

/// A client beside the hostile ones, who notices when the broker dies, slows down or grows.
struct Bystander {
    topic: Topic,
    broker: i32,
    memory: u64,
    offset: i64,
}

impl Bystander {
    fn of(server: &Server) -> Bystander {
        let broker = server.broker_pid();
        Bystander {
            topic: server.topic("bystander", 1),
            broker,
            memory: private_memory_bytes(broker),
            offset: 0,
        }
    }

    /// Produces and fetches on a new connection, within 5 s.
    fn is_served(&mut self, server: &Server) {
        let started = Instant::now();
        let mut connection = eventually("a connection", || Connection::try_open(&server.bootstrap).ok());
        assert_eq!(append(&mut connection, &self.topic, 0, &Batch::of(["x"])), self.offset);
        let data = fetch(&mut connection, 18, &self.topic, Reading::from(self.offset));
        assert_eq!(data.error_code, 0);
        self.offset += 1;
        assert!(
            started.elapsed() < Duration::from_secs(5),
            "served only after {:?}",
            started.elapsed()
        );
    }

    /// The broker is the same process and soon holds at most `growth` more bytes than at the beginning.
    fn finds_all_well(&mut self, server: &Server, growth: u64) {
        self.is_served(server);
        let most = self.memory + growth;
        eventually(&format!("the memory is at most {} MiB again", most / MIB), || {
            (private_memory_bytes(self.broker) < most).then_some(())
        });
        assert_eq!(server.broker_pid(), self.broker, "the broker is the same process");
        server.assert_never_crashed();
    }
}
