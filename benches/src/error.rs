//! What can go wrong in a measurement.

/// Ends the measurement: a figure that is not what was asked for is worse than none.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or its value is not understood.
    #[error("{0}")]
    Usage(String),
    /// The client library or the broker refused.
    #[error("Kafka client: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A topic could not be made or deleted.
    #[error("topic {topic}: {code}")]
    Topic {
        /// Its name.
        topic: String,
        /// The broker's answer.
        code: rdkafka::types::RDKafkaErrorCode,
    },
    /// Records were not acknowledged, or did not come back.
    #[error("{0}")]
    Incomplete(String),
    /// A broker did not answer a raw request with what was asked for.
    #[error("{api}: {found}")]
    Refused {
        /// What was asked.
        api: &'static str,
        /// Its answer, or what became of the connection.
        found: String,
    },
    /// Postgres refused a query.
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] postgres::Error),
    /// A file, a program or a thread that is needed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
}
