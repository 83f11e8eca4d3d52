//! A broker under measurement, and its topics.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::ClientConfig;

use crate::error::Error;
use crate::processes;

/// How long a client may take for one answer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A broker under measurement.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Its name in reports.
    pub name: String,
    /// `host:port`.
    pub brokers: String,
    /// Its first process, if CPU time is to be measured: the postmaster, or the JVM.
    pub pid: Option<u32>,
}

impl Target {
    /// CPU seconds of the broker so far; `None` without a process id.
    ///
    /// # Errors
    /// The process has ended.
    pub fn cpu_seconds(&self) -> Result<Option<f64>, Error> {
        self.pid.map(processes::cpu_seconds).transpose()
    }

    /// A client's configuration for this broker. Nagle's algorithm is off: librdkafka leaves it on, and a lone record would wait for it.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("socket.nagle.disable", "true");
        config
    }

    /// Makes a topic; one of that name that is there already is deleted first.
    ///
    /// # Errors
    /// The broker refuses, or does not finish within [`PATIENCE`].
    pub fn fresh_topic(&self, topic: &str, partitions: i32) -> Result<(), Error> {
        self.fresh_topic_with(topic, partitions, &[])
    }

    /// The same with configs of the topic.
    ///
    /// # Errors
    /// As [`Target::fresh_topic`].
    pub fn fresh_topic_with(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<(), Error> {
        self.delete_topic(topic)?;
        let admin = self.admin()?;
        let mut new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in configs {
            new = new.set(name, value);
        }
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let made = block_on(admin.create_topics([&new], &options()))??;
            match made.into_iter().next() {
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) if std::time::Instant::now() < deadline => {
                    // Apache Kafka finishes a deletion after it answered it.
                    std::thread::sleep(Duration::from_millis(20));
                }
                Some(Err((_, code))) => {
                    return Err(Error::Topic {
                        topic: topic.to_owned(),
                        code,
                    })
                }
                _ => return Ok(()),
            }
        }
    }

    /// Deletes a topic, if it is there.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        let deleted = block_on(self.admin()?.delete_topics(&[topic], &options()))??;
        match deleted.into_iter().next() {
            Some(Err((_, code))) if code != RDKafkaErrorCode::UnknownTopicOrPartition => Err(Error::Topic {
                topic: topic.to_owned(),
                code,
            }),
            _ => Ok(()),
        }
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, Error> {
        Ok(self.client().create()?)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(PATIENCE))
        .request_timeout(Some(PATIENCE))
}

fn block_on<F: std::future::Future>(future: F) -> Result<F::Output, Error> {
    Ok(runtime()?.block_on(future))
}

/// A runtime for raw connections: one thread, so that it takes little from the broker beside it.
///
/// # Errors
/// The system refuses.
pub fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::System {
            what: "tokio runtime".to_owned(),
            source,
        })
}
