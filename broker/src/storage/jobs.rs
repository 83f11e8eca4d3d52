//! The jobs of the database thread. Each carries its reply channel; when the caller is gone the work is done all the same and the
//! reply dropped.

use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::engine::{EngineError, LogPosition, NewTopic, TopicNumber};
use super::group_jobs::GroupJob;
use crate::catalog::alter::ConfigChange;
use crate::catalog::config_values::ConfigError;
use crate::net::Charge;
use crate::producers::state::{ProducerBatch, SequenceError};

/// Why storage did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Surely not done: the deadline passed while a lock of another session was in the way.
    #[error("timed out waiting for another session")]
    TimedOut,
    /// The topic or partition is not there (any more).
    #[error("no such topic or partition")]
    UnknownPartition,
    /// A topic of this name is there.
    #[error("the topic exists")]
    TopicExists,
    /// The topic has as many partitions as were asked for, or more: this many.
    #[error("the topic has {0} partitions")]
    PartitionsExist(i32),
    /// An offset beyond the log.
    #[error("the offset is out of range")]
    OffsetOutOfRange,
    /// Surely not done: the configs may not be changed so.
    #[error(transparent)]
    Configs(#[from] ConfigError),
    /// Surely not done: the batch is not the next one of its producer.
    #[error("{error}")]
    Sequence {
        /// In what way.
        error: SequenceError,
        /// Log start offset of the partition.
        log_start_offset: i64,
    },
    /// Surely not done, nor tried: there is too little room on disk.
    #[error("there is too little free disk space")]
    DiskFull,
    /// Surely not done: the database failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The broker stops. Whether it was done is not known.
    #[error("the broker is stopping")]
    Unavailable,
}

impl StorageError {
    /// The error code for clients.
    pub fn code(&self) -> ResponseError {
        match self {
            StorageError::TimedOut => ResponseError::RequestTimedOut,
            StorageError::UnknownPartition => ResponseError::UnknownTopicOrPartition,
            StorageError::TopicExists => ResponseError::TopicAlreadyExists,
            StorageError::PartitionsExist(_) => ResponseError::InvalidPartitions,
            StorageError::OffsetOutOfRange => ResponseError::OffsetOutOfRange,
            StorageError::Configs(_) => ResponseError::InvalidConfig,
            StorageError::Sequence { error, .. } => match error {
                SequenceError::OutOfOrder { .. } => ResponseError::OutOfOrderSequenceNumber,
                SequenceError::InvalidEpoch { .. } => ResponseError::InvalidProducerEpoch,
            },
            StorageError::DiskFull | StorageError::Engine(_) => ResponseError::KafkaStorageError,
            StorageError::Unavailable => ResponseError::NotEnoughReplicasAfterAppend,
        }
    }
}

/// Where a reply goes.
pub type ReplyTo<T> = oneshot::Sender<Result<T, StorageError>>;

/// A validated batch for one partition.
#[derive(Debug)]
pub struct Append {
    /// The topic.
    pub topic: TopicNumber,
    /// The partition.
    pub partition: i32,
    /// The batch, relocatable: its first sixteen bytes are replaced when it is placed.
    pub bytes: Bytes,
    /// Offset of its last record less that of its first.
    pub last_offset_delta: i32,
    /// Its largest timestamp, milliseconds since 1970.
    pub max_timestamp_ms: i64,
    /// What its header says of its producer, if it has one.
    pub producer: Option<ProducerBatch>,
    /// Whether the reply may come at commit, before durability (acks=1 with `acks1_async`, acks=0).
    pub early_reply: bool,
    /// When it is given up if it could not be begun.
    pub deadline: Instant,
    /// The part of the receive budget that the request holds.
    pub charge: Option<std::sync::Arc<Charge>>,
    /// The part that `bytes` holds beyond what was received.
    pub growth_charge: Option<Charge>,
}

/// What an append gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the batch's first record.
    pub base_offset: i64,
    /// Log start offset of the partition at that time.
    pub log_start_offset: i64,
    /// Of a batch that was in the log already: the largest timestamp it has there, milliseconds since 1970.
    pub duplicate_timestamp_ms: Option<i64>,
}

/// See [`super::Storage::append`].
#[derive(Debug)]
pub struct AppendJob {
    /// What to append.
    pub append: Append,
    /// Where the reply goes.
    pub reply: ReplyTo<Appended>,
}

/// See [`super::Storage::refused`].
#[derive(Debug)]
pub struct RefusedBatch {
    /// The topic.
    pub topic: TopicNumber,
    /// The partition.
    pub partition: i32,
    /// What the batch's header says of its producer.
    pub batch: ProducerBatch,
}

/// See [`super::Storage::read`].
#[derive(Debug)]
pub struct ReadJob {
    /// The topic.
    pub topic: TopicNumber,
    /// The partition.
    pub partition: i32,
    /// First offset wanted.
    pub offset: i64,
    /// Bytes wanted.
    pub max_bytes: usize,
    /// When it is given up.
    pub deadline: Instant,
    /// Where the reply goes.
    pub reply: ReplyTo<Vec<Bytes>>,
}

/// What a look-up by time looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeTarget {
    /// The first batch whose largest timestamp is at least this, in milliseconds since 1970.
    AtLeast(i64),
    /// The first batch with the largest timestamp of all.
    Max,
}

/// See [`super::Storage::find_by_time`].
#[derive(Debug)]
pub struct TimeJob {
    /// The topic.
    pub topic: TopicNumber,
    /// The partition.
    pub partition: i32,
    /// First offset that counts.
    pub from_offset: i64,
    /// What is looked for.
    pub target: TimeTarget,
    /// When it is given up.
    pub deadline: Instant,
    /// Where the reply goes.
    pub reply: ReplyTo<Option<Bytes>>,
}

/// See [`super::Storage::partition_sizes`].
#[derive(Debug)]
pub struct SizesJob {
    /// The topic.
    pub topic: TopicNumber,
    /// When it is given up.
    pub deadline: Instant,
    /// Where the reply goes.
    pub reply: ReplyTo<Vec<u64>>,
}

/// See [`super::Storage::durable_position`].
#[derive(Debug)]
pub struct PositionJob {
    /// Where the reply goes.
    pub reply: ReplyTo<LogPosition>,
}

/// See [`super::Storage::create_topic`].
#[derive(Debug)]
pub struct CreateJob {
    /// The topic.
    pub topic: NewTopic,
    /// When it is given up.
    pub deadline: Instant,
    /// Where the reply goes.
    pub reply: ReplyTo<TopicNumber>,
}

/// See [`super::Storage::add_partitions`].
#[derive(Debug)]
pub struct AddPartitionsJob {
    /// The topic's id.
    pub id: Uuid,
    /// Number of partitions it is to have.
    pub count: i32,
    /// When it is given up.
    pub deadline: Instant,
    /// Where the reply goes.
    pub reply: ReplyTo<()>,
}

/// See [`super::Storage::alter_configs`].
#[derive(Debug)]
pub struct AlterConfigsJob {
    /// The topic's id.
    pub id: Uuid,
    /// The change.
    pub change: ConfigChange,
    /// When it is given up.
    pub deadline: Instant,
    /// Where the reply goes.
    pub reply: ReplyTo<()>,
}

/// See [`super::Storage::delete_topic`].
#[derive(Debug)]
pub struct DeleteJob {
    /// The topic's id.
    pub id: Uuid,
    /// When it is given up.
    pub deadline: Instant,
    /// Where the reply goes.
    pub reply: ReplyTo<()>,
}

/// See [`super::Storage::delete_records`].
#[derive(Debug)]
pub struct DeleteRecordsJob {
    /// The topic.
    pub topic: TopicNumber,
    /// The partition.
    pub partition: i32,
    /// The new log start offset, -1 for the high watermark.
    pub before_offset: i64,
    /// When it is given up.
    pub deadline: Instant,
    /// Where the reply goes.
    pub reply: ReplyTo<i64>,
}

/// See [`super::Storage::allocate_producer_ids`].
#[derive(Debug)]
pub struct AllocateProducerIdsJob {
    /// How many.
    pub count: i64,
    /// When it is given up.
    pub deadline: Instant,
    /// Where the reply goes.
    pub reply: ReplyTo<i64>,
}

/// A job.
#[derive(Debug)]
pub enum Job {
    /// Append a batch.
    Append(AppendJob),
    /// Remember that a batch was refused.
    Refused(RefusedBatch),
    /// Read older batches.
    Read(ReadJob),
    /// Find a batch by time.
    FindByTime(TimeJob),
    /// Measure the partitions of a topic.
    Sizes(SizesJob),
    /// Look how far the database is durable.
    Position(PositionJob),
    /// Make a topic.
    Create(CreateJob),
    /// Change a topic's configs.
    AlterConfigs(AlterConfigsJob),
    /// Add partitions to a topic.
    AddPartitions(AddPartitionsJob),
    /// Delete a topic.
    Delete(DeleteJob),
    /// Move a log start offset.
    DeleteRecords(DeleteRecordsJob),
    /// Take a block of producer ids.
    AllocateProducerIds(AllocateProducerIdsJob),
    /// Something about groups or committed offsets.
    Group(GroupJob),
}
