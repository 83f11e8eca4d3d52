//! Raw consumers that long-poll: many of them cost the load program little, because of what they fetch only the heads are read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{FetchRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::batch;
use crate::connection::{wait_until, Connection};
use crate::error::Error;
use crate::one_in_flight::{check, produce_frame};
use crate::payload::{values, Kind};
use crate::produce::{self, Outcome};
use crate::quantiles::Latencies;
use crate::target::{runtime, Target};

/// The last version of Fetch that names topics.
const FETCH: i16 = 12;

/// A consumer of some partitions of a topic.
struct Reader {
    connection: Connection,
    topic: TopicName,
    /// Partition, and the offset it wants next.
    positions: Vec<(i32, i64)>,
}

impl Reader {
    async fn open(target: &Target, topic: &str, partitions: Vec<i32>) -> Result<Self, Error> {
        Ok(Reader {
            connection: Connection::open(&target.brokers).await?,
            topic: TopicName(StrBytes::from_string(topic.to_owned())),
            positions: partitions.into_iter().map(|partition| (partition, 0)).collect(),
        })
    }

    /// One Fetch, with the limits that consumers have by default: how many records came.
    async fn fetch(&mut self) -> Result<u64, Error> {
        let partition = |(index, offset): &(i32, i64)| {
            FetchPartition::default()
                .with_partition(*index)
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(1024 * 1024)
        };
        let topic = FetchTopic::default()
            .with_topic(self.topic.clone())
            .with_partitions(self.positions.iter().map(partition).collect());
        let request = FetchRequest::default()
            .with_max_wait_ms(500)
            .with_min_bytes(1)
            .with_max_bytes(50 * 1024 * 1024)
            .with_session_epoch(-1)
            .with_topics(vec![topic]);
        let reply = self.connection.call(FETCH, &request).await?;
        let mut records = 0;
        for found in reply.responses.iter().flat_map(|topic| &topic.partitions) {
            if found.error_code != 0 {
                return Err(Error::Refused {
                    api: "Fetch",
                    found: format!("error {}", found.error_code),
                });
            }
            let position = self.positions.iter_mut().find(|(index, _)| *index == found.partition_index);
            if let Some((_, offset)) = position {
                let fetched = batch::count(found.records.as_deref().unwrap_or_default(), *offset);
                *offset = fetched.next_offset;
                records += fetched.records;
            }
        }
        Ok(records)
    }
}

/// What readers are to do, and how many requests they made.
struct Readers {
    /// The partitions of each.
    partitions: Vec<Vec<i32>>,
    /// Records after which each ends; `None`: never.
    records: Option<u64>,
    requests: Arc<AtomicU64>,
    /// Set when all have ended.
    ended: Arc<AtomicBool>,
}

impl Readers {
    /// Opens a connection for each, says so, and reads until all have ended, or until `over`.
    fn run(self, target: &Target, topic: &str, ready: mpsc::Sender<()>, over: oneshot::Receiver<()>) -> Result<(), Error> {
        let ended = self.ended.clone();
        let result = runtime()?.block_on(self.read(target, topic, ready, over));
        ended.store(true, Ordering::Relaxed);
        result
    }

    async fn read(self, target: &Target, topic: &str, ready: mpsc::Sender<()>, over: oneshot::Receiver<()>) -> Result<(), Error> {
        let mut tasks = JoinSet::new();
        let mut readers = Vec::new();
        for partitions in self.partitions {
            readers.push(Reader::open(target, topic, partitions).await?);
        }
        for reader in readers {
            tasks.spawn(read(reader, self.records, self.requests.clone()));
        }
        // Nobody listens any more if the producer has failed.
        let _ = ready.send(());
        tokio::select! {
            ended = join(tasks) => ended,
            _ = over => Ok(()),
        }
    }
}

async fn read(mut reader: Reader, wanted: Option<u64>, requests: Arc<AtomicU64>) -> Result<(), Error> {
    let mut records = 0;
    while wanted.is_none_or(|wanted| records < wanted) {
        records += reader.fetch().await?;
        requests.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn join(mut tasks: JoinSet<Result<(), Error>>) -> Result<(), Error> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| Error::Incomplete(format!("a consumer: {e}")))??;
    }
    Ok(())
}

/// Lets `produce` run while readers do; `stop` ends those that would not end by themselves. What `produce` gave, and CPU and other seconds
/// until the last of both was done.
fn beside<T>(
    target: &Target,
    topic: &str,
    readers: Readers,
    stop: bool,
    produce: impl FnOnce() -> Result<T, Error>,
) -> Result<(T, Option<f64>, f64), Error> {
    let (ready, is_ready) = mpsc::channel();
    let (end, over) = oneshot::channel();
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| readers.run(target, topic, ready, over));
        // It has failed if it never says so, and then tells why below.
        let _ = is_ready.recv();
        let cpu_before = target.cpu_seconds()?;
        let started = Instant::now();
        let produced = produce();
        // A failure ends the readers too, who would wait for records that never come.
        let end = (!stop && produced.is_ok()).then_some(end);
        reading
            .join()
            .map_err(|_| Error::Incomplete("the consumers panicked".to_owned()))??;
        drop(end);
        let seconds = started.elapsed().as_secs_f64();
        let cpu_seconds = target.cpu_seconds()?.zip(cpu_before).map(|(after, before)| after - before);
        Ok((produced?, cpu_seconds, seconds))
    })
}

/// One librdkafka producer at full speed, and so many consumers, each of all partitions: until each consumer has every record. Records and
/// bytes are those that the consumers got, together.
///
/// # Errors
/// Either side fails.
pub fn beside_full_speed(target: &Target, load: &produce::Load, consumers: usize) -> Result<Outcome, Error> {
    let readers = Readers {
        partitions: (0..consumers).map(|_| (0..load.partitions).collect()).collect(),
        records: Some(load.records),
        requests: Arc::default(),
        ended: Arc::default(),
    };
    let (_, cpu_seconds, seconds) = beside(target, &load.topic, readers, false, || produce::run(target, load))?;
    let records = load.records * consumers as u64;
    Ok(Outcome {
        records,
        bytes: records * load.record_bytes as u64,
        seconds,
        cpu_seconds,
        ..Outcome::default()
    })
}

/// What is sent beside consumers that wait.
#[derive(Debug, Clone)]
pub struct Trickle {
    /// Topic, which exists.
    pub topic: String,
    /// Its partitions, taken in turn; the consumers have one each, in turn.
    pub partitions: i32,
    /// Records in all, each a request; `None`: until the consumers have ended.
    pub records: Option<u64>,
    /// Bytes of a record's value.
    pub record_bytes: usize,
    /// Records a second, open loop.
    pub rate: f64,
}

/// A raw producer at a fixed rate, and so many consumers that long-poll. The latency is that of the producer, the number of "records" that
/// of all requests, fetches included.
///
/// # Errors
/// Either side fails.
pub fn beside_trickle(target: &Target, load: &Trickle, consumers: usize) -> Result<Outcome, Error> {
    let requests = Arc::<AtomicU64>::default();
    let readers = Readers {
        partitions: (0..consumers as i32).map(|number| vec![number % load.partitions]).collect(),
        records: None,
        requests: requests.clone(),
        ended: Arc::default(),
    };
    let produce = || trickle(target, load, &AtomicBool::new(false));
    let (latencies, cpu_seconds, seconds) = beside(target, &load.topic, readers, true, produce)?;
    let records = latencies.count() as u64;
    Ok(Outcome {
        records: records + requests.load(Ordering::Relaxed),
        bytes: records * load.record_bytes as u64,
        seconds,
        latency: latencies.quantiles(),
        cpu_seconds,
    })
}

/// A raw producer at a fixed rate to a topic of its own, and so many consumers that each read a whole log, once: until they have it. Records
/// and bytes are those of the consumers, the latency is that of the producer.
///
/// # Errors
/// Either side fails.
pub fn of_old_log(target: &Target, log: &produce::Load, load: &Trickle, consumers: usize) -> Result<Outcome, Error> {
    let ended = Arc::<AtomicBool>::default();
    let readers = Readers {
        partitions: (0..consumers).map(|_| (0..log.partitions).collect()).collect(),
        records: Some(log.records),
        requests: Arc::default(),
        ended: ended.clone(),
    };
    let (latencies, cpu_seconds, seconds) = beside(target, &log.topic, readers, false, || trickle(target, load, &ended))?;
    let records = log.records * consumers as u64;
    Ok(Outcome {
        records,
        bytes: records * log.record_bytes as u64,
        seconds,
        latency: latencies.quantiles(),
        cpu_seconds,
    })
}

fn trickle(target: &Target, load: &Trickle, ended: &AtomicBool) -> Result<Latencies, Error> {
    runtime()?.block_on(trickle_until(target, load, ended))
}

async fn trickle_until(target: &Target, load: &Trickle, ended: &AtomicBool) -> Result<Latencies, Error> {
    let values = values(Kind::Random, load.record_bytes);
    let frames = (0..load.partitions)
        .zip(values.iter().cycle())
        .map(|(partition, value)| produce_frame(&load.topic, partition, value))
        .collect::<Result<Vec<_>, _>>()?;
    let mut connection = Connection::open(&target.brokers).await?;
    let mut latencies = Latencies::default();
    let started = Instant::now();
    for (number, request) in (0..load.records.unwrap_or(u64::MAX)).zip(frames.iter().cycle()) {
        let from = wait_until(started + Duration::from_secs_f64(number as f64 / load.rate)).await;
        let answer = connection.exchange(request).await?;
        latencies.add(from.elapsed());
        check(answer)?;
        if ended.load(Ordering::Relaxed) {
            break;
        }
    }
    Ok(latencies)
}
