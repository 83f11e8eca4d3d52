//! The two brokers, shared by all tests of this program.

use kafka_test::server::{Server, Target};
use std::sync::OnceLock;

/// pg_kafka and Apache Kafka.
pub struct Brokers {
    /// pg_kafka.
    pub ours: Server,
    /// Apache Kafka.
    pub apache: Server,
}

impl Brokers {
    /// Both, started by the first who asks.
    pub fn shared() -> &'static Brokers {
        static SHARED: OnceLock<Brokers> = OnceLock::new();
        SHARED.get_or_init(|| Brokers {
            ours: match std::env::var("KAFKA_TEST_OURS") {
                Ok(bootstrap) => Server::running(Target::PgKafka, bootstrap),
                Err(_) => Server::start_pg_kafka(&[]),
            },
            apache: match std::env::var("KAFKA_TEST_APACHE") {
                Ok(bootstrap) => Server::running(Target::Apache, bootstrap),
                Err(_) => Server::start_apache(&[]),
            },
        })
    }

    /// Both, pg_kafka first.
    pub fn each(&self) -> [&Server; 2] {
        [&self.ours, &self.apache]
    }
}
