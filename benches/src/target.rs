//! A broker under measurement, and its topics.

use std::time::{Duration, Instant};

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::ClientConfig;

use crate::connection::Connection;
use crate::error::Error;
use crate::processes;

/// How long a client may take for one answer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Topics that one request makes or deletes, far from what a request may take.
const TOPICS_AT_ONCE: usize = 100;

/// The first version of ListOffsets that Apache Kafka 4 has.
const LIST_OFFSETS: i16 = 1;

/// Between two questions about what is not yet so.
const AGAIN: Duration = Duration::from_millis(5);

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
        self.fresh_topics(&[topic], partitions, configs)
    }

    /// The same for many topics.
    ///
    /// # Errors
    /// As [`Target::fresh_topic`].
    pub fn fresh_topics(&self, topics: &[&str], partitions: i32, configs: &[(&str, &str)]) -> Result<(), Error> {
        self.delete_topics(topics)?;
        let admin = self.admin()?;
        for topics in topics.chunks(TOPICS_AT_ONCE) {
            make(&admin, topics, partitions, configs)?;
            self.wait_for_leaders(topics, partitions)?;
        }
        Ok(())
    }

    /// Deletes a topic, if it is there.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn delete_topic(&self, topic: &str) -> Result<(), Error> {
        self.delete_topics(&[topic])
    }

    /// Deletes those of the topics that are there.
    ///
    /// # Errors
    /// The broker refuses.
    pub fn delete_topics(&self, topics: &[&str]) -> Result<(), Error> {
        let admin = self.admin()?;
        for topics in topics.chunks(TOPICS_AT_ONCE) {
            for deleted in block_on(admin.delete_topics(topics, &options()))?? {
                match deleted {
                    Err((topic, code)) if code != RDKafkaErrorCode::UnknownTopicOrPartition => {
                        return Err(Error::Topic { topic, code })
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Waits until the broker leads all partitions of some topics: Apache Kafka says that a topic is made, and answers after a start, a moment
    /// before it serves them, and raw requests are not sent again as those of client libraries are.
    ///
    /// # Errors
    /// It does not within [`PATIENCE`].
    pub fn wait_for_leaders(&self, topics: &[&str], partitions: i32) -> Result<(), Error> {
        block_on(self.await_leaders(topics, partitions))?
    }

    async fn await_leaders(&self, topics: &[&str], partitions: i32) -> Result<(), Error> {
        let partitions: Vec<_> = (0..partitions)
            .map(|index| {
                ListOffsetsPartition::default()
                    .with_partition_index(index)
                    .with_timestamp(LATEST)
            })
            .collect();
        let topics = topics.iter().map(|topic| {
            ListOffsetsTopic::default()
                .with_name(TopicName(StrBytes::from_string((*topic).to_owned())))
                .with_partitions(partitions.clone())
        });
        let request = ListOffsetsRequest::default()
            .with_replica_id((-1).into())
            .with_topics(topics.collect());
        let mut connection = Connection::open(&self.brokers).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = connection.call(LIST_OFFSETS, &request).await?;
            let partitions = reply.topics.iter().flat_map(|topic| &topic.partitions);
            match partitions.map(|partition| partition.error_code).find(|code| *code != 0) {
                None => return Ok(()),
                Some(code) if Instant::now() > deadline => {
                    return Err(Error::Refused {
                        api: "ListOffsets",
                        found: format!("error {code}"),
                    })
                }
                Some(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>, Error> {
        Ok(self.client().create()?)
    }
}

/// Makes topics that were there a moment ago: Apache Kafka finishes a deletion after it answered it.
fn make(
    admin: &AdminClient<DefaultClientContext>,
    topics: &[&str],
    partitions: i32,
    configs: &[(&str, &str)],
) -> Result<(), Error> {
    let mut missing: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let new: Vec<_> = missing.iter().map(|topic| new_topic(topic, partitions, configs)).collect();
        let made = block_on(admin.create_topics(&new, &options()))??;
        let refused: Vec<_> = made.into_iter().filter_map(Result::err).collect();
        let late = Instant::now() > deadline;
        let final_refusal = |code: &RDKafkaErrorCode| late || *code != RDKafkaErrorCode::TopicAlreadyExists;
        if let Some((topic, code)) = refused.iter().find(|(_, code)| final_refusal(code)) {
            return Err(Error::Topic {
                topic: topic.clone(),
                code: *code,
            });
        }
        if refused.is_empty() {
            return Ok(());
        }
        missing = refused.into_iter().map(|(topic, _)| topic).collect();
        std::thread::sleep(AGAIN);
    }
}

fn new_topic<'a>(topic: &'a str, partitions: i32, configs: &[(&'a str, &'a str)]) -> NewTopic<'a> {
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    configs.iter().fold(new, |new, (name, value)| new.set(name, value))
}

/// The timestamp that asks ListOffsets for the end.
const LATEST: i64 = -1;

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
