//! The storage engine: what the database thread must be able to do with a database. All calls are synchronous, are made by one
//! thread only, never wait for another session's lock, for the network or for a standby (design I8).
//!
//! A call that fails leaves only [`Engine::rollback`] or [`Engine::rollback_to_savepoint`] legal — except that after
//! [`EngineError::Busy`] of a call named `lock_...` the transaction goes on as if that call had not been made.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use uuid::Uuid;

use super::groups::GroupStorage;

/// Why an engine call failed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum EngineError {
    /// Another session holds a lock that was needed; nothing was waited for. The same call may succeed later.
    #[error("{0} is locked by another session")]
    Busy(String),
    /// The database refused or failed. The transaction can only be rolled back.
    #[error("{message} (SQLSTATE {sqlstate})")]
    Database {
        /// Five characters of SQLSTATE.
        sqlstate: String,
        /// The primary message.
        message: String,
    },
    /// What is stored contradicts itself: a bug or damage, never a client's fault.
    #[error("damaged log: {0}")]
    Damaged(String),
}

/// Result of an engine call.
pub type EngineResult<T> = Result<T, EngineError>;

/// A position in the database's write-ahead log, in bytes. A commit at `p` is durable when [`Engine::durable_position`] >= `p`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition(pub u64);

/// How a transaction commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitMode {
    /// Flushed to disk here before commit returns (synchronous_commit=local).
    Flush,
    /// May return before the flush (synchronous_commit=off).
    Async,
}

/// The number of a topic in the tables (`kafka.topics.id`) and in the names of its segments. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicNumber(pub i32);

/// One segment of a topic's log: the table `kafka_log.t<topic>_s<number>`, all partitions of the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId {
    /// The topic it belongs to.
    pub topic: TopicNumber,
    /// 1, 2, 3, ... in the order in which they are filled.
    pub number: i32,
}

/// A stored segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRecord {
    /// Its number.
    pub number: i32,
    /// The offset of each partition's first record that may be in this segment; `None` while the segment was made ahead and holds
    /// nothing. A partition beyond the end of the list was added later and starts at 0.
    pub base_offsets: Option<Vec<i64>>,
    /// What the relative offsets of each partition count from; `None`: from its base offset. It differs where a segment took in what was
    /// left of segments before it: their relative offsets are negative.
    pub origins: Option<Vec<i64>>,
    /// Size of the table's heap in bytes.
    pub bytes: u64,
}

impl SegmentRecord {
    /// The offset of the partition's first record that may be in the segment; `None` while it holds nothing yet.
    pub fn base_offset(&self, partition: i32) -> Option<i64> {
        Some(offset_in(self.base_offsets.as_ref()?, partition))
    }

    /// What the partition's relative offsets count from; `None` while the segment holds nothing yet.
    pub fn origin(&self, partition: i32) -> Option<i64> {
        Some(offset_in(self.origins.as_ref().or(self.base_offsets.as_ref())?, partition))
    }
}

/// A partition that is beyond the list was added later and begins at 0.
fn offset_in(offsets: &[i64], partition: i32) -> i64 {
    let index = usize::try_from(partition).ok();
    index.and_then(|index| offsets.get(index)).copied().unwrap_or(0)
}

/// A stored partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRecord {
    /// First offset that may be read.
    pub log_start_offset: i64,
    /// (leader epoch, first offset written in it), ascending, of the epochs in which anything was written.
    pub epochs: Vec<(i32, i64)>,
}

/// A stored topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its number.
    pub number: TopicNumber,
    /// The topic id that clients see; never nil.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Overridden configs.
    pub configs: BTreeMap<String, String>,
    /// Partition 0, 1, 2, ...
    pub partitions: Vec<PartitionRecord>,
    /// Ascending by number; the last with base offsets is the one that is being filled, one without may follow.
    pub segments: Vec<SegmentRecord>,
}

/// A topic to be made. Everything is validated already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// The topic id that clients will see.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Number of partitions, at least 1.
    pub partitions: i32,
    /// Overridden configs.
    pub configs: BTreeMap<String, String>,
}

/// Bytes at the start of a record batch that the broker sets and the CRC does not cover: base offset (8), batch length (4),
/// partition leader epoch (4).
pub const BATCH_PREFIX_BYTES: usize = 16;

/// A batch with the offsets it was given.
#[derive(Debug, Clone)]
pub struct PlacedBatch {
    /// Its partition.
    pub partition: i32,
    /// Offset of its first record.
    pub base_offset: i64,
    /// `base_offset` less the partition's base offset in the segment.
    pub relative_offset: i32,
    /// Leader epoch it is written in.
    pub leader_epoch: i32,
    /// The batch as it came, whole; its first [`BATCH_PREFIX_BYTES`] are to be replaced by [`PlacedBatch::prefix`].
    pub bytes: Bytes,
}

impl PlacedBatch {
    /// The first bytes of the batch as they are stored and fetched.
    pub fn prefix(&self) -> [u8; BATCH_PREFIX_BYTES] {
        let mut prefix = [0; BATCH_PREFIX_BYTES];
        prefix[..8].copy_from_slice(&self.base_offset.to_be_bytes());
        prefix[8..12].copy_from_slice(&self.bytes[8..12]);
        prefix[12..].copy_from_slice(&self.leader_epoch.to_be_bytes());
        prefix
    }

    /// Appends the batch as it is stored and fetched.
    pub fn write_to(&self, out: &mut BytesMut) {
        out.put_slice(&self.prefix());
        out.put_slice(&self.bytes[BATCH_PREFIX_BYTES..]);
    }
}

/// An entry of the sparse time index: a stretch of one partition's log inside one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeIndexEntry {
    /// Partition.
    pub partition: i32,
    /// First offset of the stretch.
    pub start_offset: i64,
    /// First offset after the stretch.
    pub end_offset: i64,
    /// Bytes of the batches in it.
    pub bytes: u64,
    /// Largest timestamp of a batch in it, milliseconds since 1970.
    pub max_timestamp_ms: i64,
}

/// What the time index says of one partition's part of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartFacts {
    /// The segment's number.
    pub segment: i32,
    /// Partition.
    pub partition: i32,
    /// How many offsets the entries cover.
    pub offsets: i64,
    /// Bytes of the batches that they cover.
    pub bytes: u64,
    /// The same of the entries that reach beyond the partition's log start.
    pub live_bytes: u64,
    /// Largest timestamp of all.
    pub max_timestamp_ms: i64,
}

/// How far transaction ids are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionIds {
    /// The next one, counted on beyond 32 bits.
    pub next: u64,
    /// Age of a table at which the database goes through it whatever is set for it (`autovacuum_freeze_max_age`).
    pub freeze_max_age: u32,
}

/// How long ago, in transaction ids, a segment's table was made or last frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentAge {
    /// The segment's number.
    pub segment: i32,
    /// Its age.
    pub transactions: u32,
    /// Whether all of it was frozen since it was written last.
    pub is_frozen: bool,
}

/// The producers of a partition as they were when its log ended at an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSnapshot {
    /// Partition.
    pub partition: i32,
    /// First offset whose batch is not in it.
    pub offset: i64,
    /// The producers, as [`crate::producers::snapshot`] writes them.
    pub state: Vec<u8>,
}

/// What one append did to its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppendOutcome {
    /// Size of the segment's heap in bytes after it.
    pub segment_bytes: u64,
}

/// What the database thread can do with its database. See the module's head.
pub trait Engine: GroupStorage {
    /// Begins a transaction. The calls below, up to commit or rollback, are inside one.
    fn begin(&mut self) -> EngineResult<()>;
    /// Commits and returns the position that makes it durable. An error means: surely not committed, already rolled back.
    fn commit(&mut self, mode: CommitMode) -> EngineResult<LogPosition>;
    /// Rolls the transaction back. Never fails; harmless outside a transaction.
    fn rollback(&mut self);
    /// Begins a subtransaction. One level only.
    fn savepoint(&mut self) -> EngineResult<()>;
    /// Keeps what was done since the savepoint.
    fn release_savepoint(&mut self) -> EngineResult<()>;
    /// Undoes what was done since the savepoint; the transaction goes on.
    fn rollback_to_savepoint(&mut self);
    /// Flushes to disk here what was committed up to a position with [`CommitMode::Async`]. Callable outside a transaction. An error means
    /// that this is not known to be flushed.
    fn flush(&mut self, position: LogPosition) -> EngineResult<()>;
    /// Has what was committed up to a position flushed by another process, while this one is at work: whoever needs it flushed still calls
    /// [`Engine::flush`], which then finds it done or waits for the rest. Callable outside a transaction.
    fn begin_flush(&mut self, position: LogPosition);
    /// Up to where everything is durable in the sense of design I1: flushed here and, where synchronous standbys are defined,
    /// confirmed by them. Callable outside a transaction.
    fn durable_position(&mut self) -> LogPosition;
    /// The directory on whose file system the database is, as an absolute path. Callable outside a transaction.
    fn directory(&self) -> String;

    /// Takes the lock under which a topic of this name is made, changed or dropped, until the transaction's end. `Busy` if it is held.
    fn lock_topic_name(&mut self, name: &str) -> EngineResult<()>;
    /// Takes the lock under which a segment is written, until the transaction's end. `Busy` if a session holds one against it or
    /// the segment is gone.
    fn lock_segment(&mut self, segment: SegmentId) -> EngineResult<()>;
    /// Takes the locks under which the bookkeeping tables are read and written, until the transaction's end. `Busy` if held.
    fn lock_bookkeeping(&mut self) -> EngineResult<()>;

    /// Appends batches to a locked segment, in one multi-insert, index included.
    fn append(&mut self, segment: SegmentId, batches: &[PlacedBatch]) -> EngineResult<AppendOutcome>;
    /// Makes a segment that was made ahead the one to fill: stores its base offsets, one per partition.
    fn activate_segment(&mut self, segment: SegmentId, base_offsets: &[i64]) -> EngineResult<()>;
    /// Makes the table of a segment and its bookkeeping row, without base offsets. DDL: never in a group with appends.
    fn create_segment(&mut self, segment: SegmentId) -> EngineResult<()>;
    /// Drops a segment's table, its bookkeeping row and its time index.
    fn drop_segment(&mut self, segment: SegmentId) -> EngineResult<()>;
    /// Adds entries to the time index of a segment.
    fn add_time_index(&mut self, segment: SegmentId, entries: &[TimeIndexEntry]) -> EngineResult<()>;
    /// Stores that `epoch` of these partitions starts at these offsets: (partition, start offset).
    fn add_epoch_starts(&mut self, topic: TopicNumber, epoch: i32, starts: &[(i32, i64)]) -> EngineResult<()>;
    /// Stores snapshots of producers, each in place of the partition's last one.
    fn store_producer_snapshots(&mut self, topic: TopicNumber, snapshots: &[ProducerSnapshot]) -> EngineResult<()>;
    /// Moves log start offsets forward: (partition, offset). One that is further already stays.
    fn set_log_starts(&mut self, topic: TopicNumber, starts: &[(i32, i64)]) -> EngineResult<()>;

    /// Whole batches of a partition in one segment as stored, from the one that contains or follows `from_relative_offset`, in offset order,
    /// until their sizes exceed `max_bytes` (the first is returned whatever its size). Empty: none at or after it in this segment.
    fn read(
        &mut self,
        segment: SegmentId,
        partition: i32,
        from_relative_offset: i32,
        max_bytes: usize,
    ) -> EngineResult<Vec<Bytes>>;
    /// The first [`crate::wire::BATCH_HEADER_BYTES`] bytes of each batch of a partition in one segment, from the one that contains or
    /// follows `from_relative_offset`, in order, at most `max_batches`.
    fn read_headers(
        &mut self,
        segment: SegmentId,
        partition: i32,
        from_relative_offset: i32,
        max_batches: usize,
    ) -> EngineResult<Vec<Bytes>>;
    /// The header bytes of the last batch of a partition in a segment; `None` if the partition has none there.
    fn last_header(&mut self, segment: SegmentId, partition: i32) -> EngineResult<Option<Bytes>>;
    /// Bytes that a segment's table and index take; 0 if it is gone. Needs no lock on the segment.
    fn segment_size(&mut self, segment: SegmentId) -> EngineResult<u64>;
    /// The time index entries of a partition in a segment, ascending.
    fn time_index(&mut self, segment: SegmentId, partition: i32) -> EngineResult<Vec<TimeIndexEntry>>;
    /// The sums of a topic's time index, of each part that has entries, ascending by segment and partition.
    fn part_facts(&mut self, topic: TopicNumber) -> EngineResult<Vec<PartFacts>>;

    /// Begins to rewrite a segment: makes a second, empty table for it. One at a time, and in a transaction without other appends.
    fn begin_rewrite(&mut self, segment: SegmentId) -> EngineResult<()>;
    /// Appends batches to the table that [`Engine::begin_rewrite`] made.
    fn append_rewritten(&mut self, batches: &[PlacedBatch]) -> EngineResult<()>;
    /// Lets that table take the place of its segment, with these base offsets and origins, and drops the segments `merged` with what is
    /// known of them; the time index of all of them is empty then. `Busy` if another session uses one of the tables.
    fn finish_rewrite(&mut self, merged: &[SegmentId], base_offsets: &[i64], origins: &[i64]) -> EngineResult<()>;

    /// How far transaction ids are.
    fn transaction_ids(&mut self) -> EngineResult<TransactionIds>;
    /// The ages of a topic's segments, ascending.
    fn segment_ages(&mut self, topic: TopicNumber) -> EngineResult<Vec<SegmentAge>>;
    /// Freezes a segment that is not written any more, as far as no older snapshot tells its rows apart; not at all while another session
    /// has it locked. Outside a transaction, and not undone by one.
    fn freeze_segment(&mut self, segment: SegmentId) -> EngineResult<()>;

    /// The snapshots of a topic's producers, of the partitions that have one, ascending.
    fn producer_snapshots(&mut self, topic: TopicNumber) -> EngineResult<Vec<ProducerSnapshot>>;

    /// All topics, as committed.
    fn load_topics(&mut self) -> EngineResult<Vec<TopicRecord>>;
    /// Stores a topic with its partitions and configs, makes its segment 1 and activates it at offset 0.
    fn create_topic(&mut self, topic: &NewTopic) -> EngineResult<TopicNumber>;
    /// The overridden configs of a topic, as committed; `None` if there is no such topic. Whoever changes configs holds the lock on the
    /// topic's name ([`Engine::lock_topic_name`]) from this on, so that no change is lost.
    fn topic_configs(&mut self, topic: TopicNumber) -> EngineResult<Option<BTreeMap<String, String>>>;
    /// Makes these the overridden configs of a topic: all others are taken away.
    fn set_topic_configs(&mut self, topic: TopicNumber, configs: &BTreeMap<String, String>) -> EngineResult<()>;
    /// Raises the number of partitions of a topic to `count` and returns what it was. The new ones are empty and begin at offset 0 in
    /// the segment that is being filled. Where there are `count` or more already, nothing changes. `Busy` if another session is
    /// changing the topic.
    fn add_partitions(&mut self, topic: TopicNumber, count: i32) -> EngineResult<i32>;
    /// Drops a topic with all its segments and bookkeeping. `Busy` if a segment is locked.
    fn delete_topic(&mut self, topic: TopicNumber) -> EngineResult<()>;
    /// The cluster id (22 characters of base64url, as Kafka's), made when the extension was.
    fn cluster_id(&mut self) -> EngineResult<String>;
    /// Raises the stored leader epoch to max(stored, timeline << 16) + 1 and returns it (design I9).
    fn next_leader_epoch(&mut self) -> EngineResult<i32>;
    /// Takes `count` producer ids that were never taken, and returns the first; the others follow it. They are at least
    /// (timeline - 1) << 32, so that a point-in-time restore or the promotion of an asynchronous standby never repeats one.
    fn allocate_producer_ids(&mut self, count: i64) -> EngineResult<i64>;
}
