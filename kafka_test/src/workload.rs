//! Producers and a consumer for histories (see [`crate::history`]): who writes numbered records everywhere, who follows them all, and how
//! what is stored is read at the end.

use crate::clients::{flush, producer, send, Deliveries, TestProducer};
use crate::history::{Attempt, Logs, Outcome, Place, Read};
use crate::patience::PATIENCE;
use crate::requests::{fetch, read_all, Reading, FETCH};
use crate::server::Server;
use crate::sql::session;
use crate::topic::Topic;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Records, and bytes of them, that a writer may have under way: those of an outage are in front of all that comes after it.
const UNDER_WAY: usize = 1000;
const UNDER_WAY_BYTES: usize = 2 * 1024 * 1024;

/// Where records go, and how large they are.
pub struct Layout {
    /// The topics.
    pub topics: Vec<Topic>,
    /// Partitions of each.
    pub partitions: i32,
    /// Bytes of each record's value.
    pub value_bytes: usize,
}

impl Layout {
    /// Where a writer's record with this number goes.
    pub fn place(&self, counter: u64) -> Place {
        let at = counter as usize % (self.topics.len() * self.partitions as usize);
        Place {
            topic: self.topics[at / self.partitions as usize].name.clone(),
            partition: (at % self.partitions as usize) as i32,
        }
    }

    /// Every partition of every topic.
    pub fn places(&self) -> Vec<Place> {
        (0..self.topics.len() as u64 * self.partitions as u64)
            .map(|at| self.place(at))
            .collect()
    }

    fn topic(&self, place: &Place) -> &Topic {
        let found = self.topics.iter().find(|topic| topic.name == place.topic);
        found.unwrap_or_else(|| panic!("{place:?} is of no topic of these"))
    }

    /// Everything that is stored.
    pub fn read_logs(&self, server: &Server) -> Logs {
        let mut connection = server.connect();
        let mut logs = Logs::new();
        for place in self.places() {
            let mut reads = Vec::new();
            for batch in read_all(&mut connection, self.topic(&place), place.partition, 0) {
                for record in batch.records() {
                    reads.push(Read {
                        offset: batch.base_offset + i64::from(record.offset_delta),
                        value: number(record.value.as_deref().expect("a value")),
                    });
                }
            }
            logs.insert(place, reads);
        }
        logs
    }
}

/// How many records each partition has.
pub fn ends_of(logs: &Logs) -> BTreeMap<Place, usize> {
    logs.iter().map(|(place, reads)| (place.clone(), reads.len())).collect()
}

/// How fast a writer writes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Records between two pauses.
    pub records: usize,
    /// Time of a pause.
    pub pause: Duration,
}

impl Default for Pace {
    /// So that a run of minutes has records by the hundred thousand and not by the million.
    fn default() -> Self {
        Pace {
            records: 10,
            pause: Duration::from_millis(10),
        }
    }
}

/// One producer without retries, and what it was told. Its values are its number and a counter; the counter decides where each goes.
pub struct Writer<'a> {
    server: &'a Server,
    layout: &'a Layout,
    number: usize,
    sent: u64,
    producer: TestProducer,
    deliveries: Deliveries,
    /// What it was told so far.
    pub attempts: Vec<Attempt>,
}

impl<'a> Writer<'a> {
    /// With acks=all, unless these settings of librdkafka say otherwise.
    pub fn new(server: &'a Server, layout: &'a Layout, number: usize, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![
            ("acks", "all"),
            ("retries", "0"),
            ("enable.idempotence", "false"),
            ("linger.ms", "5"),
            ("batch.num.messages", "40"),
            ("message.timeout.ms", "4000"),
            ("request.timeout.ms", "3000"),
            ("reconnect.backoff.ms", "50"),
            ("reconnect.backoff.max.ms", "250"),
        ];
        all.extend_from_slice(settings);
        let (producer, deliveries) = producer(server, &all);
        Writer {
            server,
            layout,
            number,
            sent: 0,
            producer,
            deliveries,
            attempts: Vec::new(),
        }
    }

    /// Writes until `stop`, then waits for what is under way.
    pub fn write(mut self, pace: Pace, stop: &AtomicBool, acknowledged: &AtomicU64) -> Vec<Attempt> {
        let most = UNDER_WAY.min(UNDER_WAY_BYTES / self.layout.value_bytes) as i32;
        while !stop.load(Ordering::Relaxed) {
            if self.producer.in_flight_count() < most {
                (0..pace.records).for_each(|_| self.send_next());
            }
            std::thread::sleep(pace.pause);
            acknowledged.fetch_add(self.collect(), Ordering::Relaxed);
        }
        flush(&self.producer, PATIENCE);
        self.collect();
        assert_eq!(self.attempts.len() as u64, self.sent, "records of which nothing was reported");
        self.attempts
    }

    /// Writes a record to each partition of each topic; whether all were acknowledged.
    pub fn everywhere(&mut self) -> bool {
        let places = self.layout.places().len();
        (0..places).for_each(|_| self.send_next());
        flush(&self.producer, PATIENCE);
        self.collect() == places as u64
    }

    /// Fetches the last record of every partition that was acknowledged, over a connection of its own.
    pub fn read_back(&self) {
        let mut connection = self.server.connect();
        let places = self.layout.places().len();
        for attempt in &self.attempts[self.attempts.len() - places..] {
            let Outcome::Acknowledged(offset) = attempt.outcome else {
                panic!("{attempt:?} was acknowledged a moment ago")
            };
            let topic = self.layout.topic(&attempt.place);
            let reading = Reading {
                partition: attempt.place.partition,
                ..Reading::from(offset)
            };
            let data = fetch(&mut connection, FETCH, topic, reading);
            assert_eq!(data.error_code, 0, "fetch of {attempt:?}");
            assert!(!data.records.unwrap_or_default().is_empty(), "fetch of {attempt:?} is empty");
        }
    }

    fn send_next(&mut self) {
        let value = (self.number as u64) << 32 | self.sent;
        let place = self.layout.place(self.sent);
        self.sent += 1;
        let width = self.layout.value_bytes;
        let text = format!("{value:<width$}");
        let record = BaseRecord::with_opaque_to(&place.topic, Box::new(value)).partition(place.partition);
        send(&self.producer, record.key(&[][..]).payload(text.as_bytes()));
    }

    /// Keeps what was reported since the last time; how many records were acknowledged.
    fn collect(&mut self) -> u64 {
        let mut acknowledged = 0;
        for delivery in self.deliveries.take() {
            let outcome = told(delivery.outcome);
            acknowledged += u64::from(matches!(outcome, Outcome::Acknowledged(_)));
            self.attempts.push(Attempt {
                producer: self.number,
                value: delivery.tag,
                place: self.layout.place(delivery.tag & u64::from(u32::MAX)),
                outcome,
            });
        }
        acknowledged
    }
}

/// What a delivery report means. Only what a broker answers instead of writing is a sure failure: Kafka's error codes that are
/// about the request, and those that it defines as "before the append".
fn told(outcome: Result<i64, Code>) -> Outcome {
    match outcome {
        Ok(offset) if offset >= 0 => Outcome::Acknowledged(offset),
        // acks=0: librdkafka is content, and nobody knows.
        Ok(_) => Outcome::Unknown,
        Err(
            Code::UnknownTopicOrPartition
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::MessageSizeTooLarge
            | Code::NotEnoughReplicas
            | Code::InvalidRequiredAcks
            | Code::InvalidRecord
            | Code::UnknownTopicId
            // Kafka's own may come after a write; this broker says it only of what surely was not written.
            | Code::KafkaStorageError,
        ) => Outcome::Failed,
        Err(_) => Outcome::Unknown,
    }
}

/// The number at the start of a value.
fn number(value: &[u8]) -> u64 {
    let text = std::str::from_utf8(value).expect("a text");
    text.trim_end().parse().expect("a number")
}

/// A consumer of everything through all faults, from offset 0 until it has seen what `ends` says; every offset once, in order.
pub fn follow(server: &Server, layout: &Layout, ends: &OnceLock<BTreeMap<Place, usize>>) -> Logs {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &server.bootstrap)
        .set("group.id", "crash")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .set("check.crcs", "true")
        .set("reconnect.backoff.max.ms", "250")
        .create()
        .expect("a consumer");
    let mut seen: Logs = layout.places().into_iter().map(|place| (place, Vec::new())).collect();
    let mut assignment = TopicPartitionList::new();
    for place in seen.keys() {
        assignment
            .add_partition_offset(&place.topic, place.partition, Offset::Offset(0))
            .unwrap();
    }
    consumer.assign(&assignment).expect("assign");
    let mut last = Instant::now();
    loop {
        if let Some(ends) = ends.get() {
            if ends.iter().all(|(place, end)| seen[place].len() >= *end) {
                return seen;
            }
            assert!(last.elapsed() < PATIENCE, "the consumer stands still before the end");
        }
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let place = Place {
                    topic: message.topic().to_owned(),
                    partition: message.partition(),
                };
                let reads = seen.get_mut(&place).expect("an assigned partition");
                assert_eq!(message.offset(), reads.len() as i64, "offset after offset in {place:?}");
                reads.push(Read {
                    offset: message.offset(),
                    value: number(message.payload().expect("a value")),
                });
                last = Instant::now();
            }
            Some(Err(error)) => {
                // Everything else is about connections, and passes.
                let lasting = [
                    Code::AutoOffsetReset,
                    Code::OffsetOutOfRange,
                    Code::BadMessage,
                    Code::InvalidMessage,
                ];
                let code = error.rdkafka_error_code();
                assert!(
                    !code.is_some_and(|code| lasting.contains(&code)),
                    "the consumer failed: {error}"
                );
            }
            None => {}
        }
    }
}

/// The part of these logs that is one topic's.
pub fn of_topic(logs: &Logs, topic: &Topic) -> Logs {
    let own = logs.iter().filter(|(place, _)| place.topic == topic.name);
    own.map(|(place, reads)| (place.clone(), reads.clone())).collect()
}

/// The topic as kafka.messages shows it.
pub fn sql_view(server: &Server, topic: &Topic) -> Logs {
    let query = r#"SELECT partition, "offset", value FROM kafka.messages WHERE topic = $1 ORDER BY 1, 2"#;
    let rows = session(server).query(query, &[&topic.name]).expect("read kafka.messages");
    let mut logs = Logs::new();
    for row in rows {
        let place = Place {
            topic: topic.name.clone(),
            partition: row.get(0),
        };
        logs.entry(place).or_default().push(Read {
            offset: row.get(1),
            value: number(row.get(2)),
        });
    }
    logs
}

/// Prints how a history went.
pub fn report(attempts: &[Attempt], logs: &Logs) {
    let of = |wanted: fn(&Outcome) -> bool| attempts.iter().filter(|attempt| wanted(&attempt.outcome)).count();
    println!(
        "{} sent: {} acknowledged, {} failed, {} unknown; {} in the log",
        attempts.len(),
        of(|outcome| matches!(outcome, Outcome::Acknowledged(_))),
        of(|outcome| *outcome == Outcome::Failed),
        of(|outcome| *outcome == Outcome::Unknown),
        logs.values().map(Vec::len).sum::<usize>()
    );
}
