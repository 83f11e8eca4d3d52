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
use kafka_test::requests::{
    fetch_request, only_partition_fetched, only_partition_produced, produce_request, Reading, FETCH, PRODUCE,
};
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

    /// Produces and fetches on a new connection, within 5 s. It may be late once, as this process has other things to do: a broker that
    /// others keep busy is late again.
    fn is_served(&mut self, server: &Server) {
        let limit = Duration::from_secs(5);
        let first = self.time_served(server);
        if first >= limit {
            let second = self.time_served(server);
            assert!(second < limit, "served only after {first:?} and {second:?}");
        }
    }

    fn time_served(&mut self, server: &Server) -> Duration {
        let (started, offset) = (Instant::now(), self.offset);
        self.try_served(server).expect("a reply, not the end of the connection");
        assert_eq!(self.offset, offset + 1);
        started.elapsed()
    }

    /// Produces and fetches on a new connection; `None` if that is closed meanwhile, as the longest idle one is when there are too many.
    fn try_served(&mut self, server: &Server) -> Option<()> {
        let mut connection = eventually("a connection", || Connection::try_open(&server.bootstrap).ok());
        let request = produce_request(PRODUCE, &self.topic, 0, -1, &Batch::of(["x"]).encode());
        let written = only_partition_produced(connection.try_call(PRODUCE, &request)?);
        assert_eq!(written.error_code, 0);
        // One whose reply was lost may have been made.
        assert!(written.base_offset >= self.offset);
        self.offset = written.base_offset + 1;
        let request = fetch_request(FETCH, &self.topic, Reading::from(written.base_offset));
        assert_eq!(only_partition_fetched(connection.try_call(FETCH, &request)?).error_code, 0);
        Some(())
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
