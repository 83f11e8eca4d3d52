//! Storage: what the broker asks of the database thread, and how that thread answers.
//!
//! * [`Storage`] is the face of it for the other threads: plain async methods, each a job with a reply channel ([`jobs`]).
//! * [`groups`] is what is stored of consumer groups.
//! * [`engine`] is what a database must be able to do: short synchronous calls inside one transaction. Postgres implements it in
//!   the extension (`src/store`), `model` in memory.
//! * [`disk`] knows whether there is room to write.
//! * [`upkeep`] keeps the log small: segments made ahead and dropped, retention, rewriting.
//! * [`filled_pages`] says which pages an engine on Postgres writes together.
//! * [`runner`] turns waiting jobs into groups, one transaction each, over any engine.
//! * `contract` is what any engine must pass, under the feature `contract` and in this crate's own tests, as `model` is.

#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod disk;
pub mod engine;
pub mod file_system;
pub mod filled_pages;
pub mod group_jobs;
pub mod groups;
pub mod jobs;
#[cfg(any(test, feature = "contract"))]
pub mod model;
pub mod parts;
pub mod runner;
#[cfg(any(test, feature = "contract"))]
pub mod running;
pub mod stretch;
pub mod upkeep;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::catalog::alter::ConfigChange;
use engine::{LogPosition, NewTopic, TopicNumber};
use jobs::{
    AddPartitionsJob, AllocateProducerIdsJob, AlterConfigsJob, AppendJob, CreateJob, DeleteJob, DeleteRecordsJob, Job,
    PositionJob, ReadJob, RefusedBatch, SizesJob, TimeJob, TimeTarget,
};
pub use jobs::{Appended, StorageError};

/// How another thread tells the database thread that a job waits: callable from any thread, cheap when repeated.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The queue between the network threads and the database thread. Its length is bounded by what feeds it: each produce holds a part
/// of the receive budget, and every other job is awaited by a request, of which connections have a bounded number.
#[derive(Default)]
pub struct JobQueue {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Bytes of the batches among them.
    append_bytes: usize,
    /// Whether one of them is no look into the log.
    urgent: bool,
    closed: bool,
}

impl JobQueue {
    fn push(&self, job: Job) -> Result<(), StorageError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            return Err(StorageError::Unavailable);
        }
        if let Job::Append(job) = &job {
            waiting.append_bytes += job.append.bytes.len();
        }
        waiting.urgent |= !matches!(job, Job::Read(_) | Job::FindByTime(_) | Job::Sizes(_));
        waiting.jobs.push_back(job);
        Ok(())
    }

    /// Takes all that waits. For the database thread.
    fn drain(&self) -> VecDeque<Job> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.append_bytes = 0;
        waiting.urgent = false;
        std::mem::take(&mut waiting.jobs)
    }

    /// Bytes of the batches that wait.
    fn append_bytes(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).append_bytes
    }

    /// Whether something waits that looks into the log must not delay.
    fn urgent_waits(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).urgent
    }

    /// Refuses further jobs and drops those that wait: their callers get [`StorageError::Unavailable`].
    fn close(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        waiting.jobs.clear();
    }
}

/// The database thread as the other threads see it. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    queue: Arc<JobQueue>,
    wake: Wake,
}

impl Storage {
    fn new(queue: Arc<JobQueue>, wake: Wake) -> Self {
        Storage { queue, wake }
    }

    fn submit(&self, job: Job) -> Result<(), StorageError> {
        self.queue.push(job)?;
        (self.wake)();
        Ok(())
    }

    /// Queues an append and returns at once; appends to a partition are made in the order of these calls. The reply comes when
    /// the batch is durable, or surely not written.
    pub fn append(&self, append: jobs::Append) -> oneshot::Receiver<Result<Appended, StorageError>> {
        let (reply, receiver) = oneshot::channel();
        // A refused job drops its sender, which the receiver sees as `Unavailable`.
        let _ = self.submit(Job::Append(AppendJob { append, reply }));
        receiver
    }

    /// Tells that a batch of an idempotent producer was refused before it was queued, and may come again: what was sent behind it must
    /// not be written before it.
    pub fn refused(&self, refused: RefusedBatch) {
        // A broker that stops writes nothing behind it either.
        let _ = self.submit(Job::Refused(refused));
    }

    /// Reads whole batches as stored, from the one that holds `offset`, below the high watermark, until `max_bytes` (at least one).
    pub async fn read(
        &self,
        topic: TopicNumber,
        partition: i32,
        offset: i64,
        max_bytes: usize,
        deadline: Instant,
    ) -> Result<Vec<Bytes>, StorageError> {
        self.ask(|reply| {
            Job::Read(ReadJob {
                topic,
                partition,
                offset,
                max_bytes,
                deadline,
                reply,
            })
        })
        .await
    }

    /// The first batch at or after `from_offset` that may hold what is looked for; `None` if there is none.
    pub async fn find_by_time(
        &self,
        topic: TopicNumber,
        partition: i32,
        from_offset: i64,
        target: TimeTarget,
        deadline: Instant,
    ) -> Result<Option<Bytes>, StorageError> {
        self.ask(|reply| {
            Job::FindByTime(TimeJob {
                topic,
                partition,
                from_offset,
                target,
                deadline,
                reply,
            })
        })
        .await
    }

    /// Bytes that the partitions of a topic take on disk, partition 0, 1, 2, ... A segment holds records of all of them: its bytes are
    /// divided by the number of offsets that each has in it, and count nothing if it holds none.
    pub async fn partition_sizes(&self, topic: TopicNumber, deadline: Instant) -> Result<Vec<u64>, StorageError> {
        self.ask(|reply| Job::Sizes(SizesJob { topic, deadline, reply })).await
    }

    /// Up to where the database's write-ahead log is durable.
    pub async fn durable_position(&self) -> Result<LogPosition, StorageError> {
        self.ask(|reply| Job::Position(PositionJob { reply })).await
    }

    /// Makes a topic; it is in the catalog when this returns.
    ///
    /// # Errors
    /// [`StorageError::TopicExists`], [`StorageError::TimedOut`] while another session holds the name.
    pub async fn create_topic(&self, topic: NewTopic, deadline: Instant) -> Result<TopicNumber, StorageError> {
        self.ask(|reply| Job::Create(CreateJob { topic, deadline, reply })).await
    }

    /// Raises the number of partitions of a topic to `count`; they are in the catalog when this returns.
    ///
    /// # Errors
    /// [`StorageError::PartitionsExist`], [`StorageError::UnknownPartition`] where the topic is gone, [`StorageError::TimedOut`] while
    /// another session is changing the topic.
    pub async fn add_partitions(&self, id: Uuid, count: i32, deadline: Instant) -> Result<(), StorageError> {
        self.ask(|reply| {
            Job::AddPartitions(AddPartitionsJob {
                id,
                count,
                deadline,
                reply,
            })
        })
        .await
    }

    /// Changes the configs of a topic; they are effective when this returns.
    ///
    /// # Errors
    /// [`StorageError::Configs`], [`StorageError::TimedOut`] while another session holds the topic's name.
    pub async fn alter_configs(&self, id: Uuid, change: ConfigChange, deadline: Instant) -> Result<(), StorageError> {
        self.ask(|reply| {
            Job::AlterConfigs(AlterConfigsJob {
                id,
                change,
                deadline,
                reply,
            })
        })
        .await
    }

    /// Deletes a topic with its data; it is out of the catalog when this returns.
    pub async fn delete_topic(&self, id: Uuid, deadline: Instant) -> Result<(), StorageError> {
        self.ask(|reply| Job::Delete(DeleteJob { id, deadline, reply })).await
    }

    /// Moves the log start offset of a partition to `before_offset`, -1 for the high watermark; returns the log start offset.
    ///
    /// # Errors
    /// [`StorageError::OffsetOutOfRange`] above the high watermark or below -1.
    pub async fn delete_records(
        &self,
        topic: TopicNumber,
        partition: i32,
        before_offset: i64,
        deadline: Instant,
    ) -> Result<i64, StorageError> {
        self.ask(|reply| {
            Job::DeleteRecords(DeleteRecordsJob {
                topic,
                partition,
                before_offset,
                deadline,
                reply,
            })
        })
        .await
    }

    /// Takes `count` producer ids that nobody has, durably, and returns the first; the others follow it.
    ///
    /// # Errors
    /// [`StorageError::TimedOut`] while another session holds the tables.
    pub async fn allocate_producer_ids(&self, count: i64, deadline: Instant) -> Result<i64, StorageError> {
        self.ask(|reply| Job::AllocateProducerIds(AllocateProducerIdsJob { count, deadline, reply }))
            .await
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T, StorageError>>) -> Job) -> Result<T, StorageError> {
        let (reply, receiver) = oneshot::channel();
        self.submit(job(reply))?;
        receiver.await.unwrap_or(Err(StorageError::Unavailable))
    }
}
