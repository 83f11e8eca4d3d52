//! [`Engine`] on Postgres, for background workers: transactions, and the guard around each call.

use std::collections::BTreeMap;

use broker::storage::engine::{
    AppendOutcome, CommitMode, Engine, EngineError, EngineResult, LogPosition, NewTopic, PartFacts, PlacedBatch,
    ProducerSnapshot, SegmentAge, SegmentId, TimeIndexEntry, TopicNumber, TopicRecord, TransactionIds,
};
use broker::storage::groups::{CommittedOffset, Expiry, GroupChange, GroupStorage, OffsetKey, StoredGroup};
use bytes::Bytes;

use super::error::{engine_error, missing, refused};
use super::locks::{self, table_relations, Held, Patience, SegmentRelations};
use super::log::{self, PartitionLog};
use super::names::{segment_index, segment_table};
use super::offsets::{self, KnownRows};
use super::{bookkeeping, groups, producers, rewrite, topics};
use crate::ffi::durability;
use crate::ffi::files::data_directory;
use crate::ffi::scan::View;
use crate::ffi::transaction::{self, Flush, SubTransaction};
use crate::ffi::vacuum;

/// See the module's head. Lives on the main thread of a background worker that is connected to the database; there is one at a
/// time, and nobody else starts transactions there while one of it is open.
#[derive(Default)]
pub struct PgEngine {
    open: Option<Open>,
    offset_rows: KnownRows,
}

/// The running transaction.
#[derive(Default)]
struct Open {
    held: Held,
    /// The segment that is being rewritten, and its new table.
    rewrite: Option<(SegmentId, SegmentRelations)>,
    savepoint: Option<(SubTransaction, Held)>,
    failed: bool,
}

impl PgEngine {
    /// An engine outside any transaction.
    pub fn new() -> Self {
        PgEngine::default()
    }

    /// The running transaction, if a call is legal in it.
    fn healthy(&mut self) -> EngineResult<&mut Open> {
        match &mut self.open {
            None => Err(refused("25P01", "there is no transaction")),
            Some(open) if open.failed => Err(refused("25P02", "the transaction has failed")),
            Some(open) => Ok(open),
        }
    }

    /// Runs one call: in memory of its own, with Postgres errors caught. A failure leaves only rollback legal.
    fn call<T>(&mut self, body: impl FnOnce(&mut Held) -> EngineResult<T>) -> EngineResult<T> {
        let open = self.healthy()?;
        let held = &mut open.held;
        let result = transaction::call(|| body(held))
            .map_err(engine_error)
            .and_then(|result| result);
        open.failed = result.is_err();
        result
    }

    /// Runs a call that only takes a lock: `Busy` is no ERROR in Postgres, so the transaction goes on.
    fn lock(&mut self, body: impl FnOnce(&mut Held) -> EngineResult<()>) -> EngineResult<()> {
        match self.call(|held| Ok(body(held)))? {
            Ok(()) => Ok(()),
            Err(busy @ EngineError::Busy(_)) => Err(busy),
            Err(error) => {
                self.healthy()?.failed = true;
                Err(error)
            }
        }
    }

    /// A call that reads or writes bookkeeping tables.
    fn bookkeeping<T>(&mut self, body: impl FnOnce(&mut Held) -> EngineResult<T>) -> EngineResult<T> {
        self.call(|held| {
            held.bookkeeping(Patience::None)?;
            body(held)
        })
    }

    /// A call that reads or writes the tables of groups.
    fn groups<T>(&mut self, body: impl FnOnce() -> EngineResult<T>) -> EngineResult<T> {
        self.call(|held| {
            held.groups(Patience::None)?;
            body()
        })
    }

    /// A call that writes rows about a topic.
    fn about_topic<T>(&mut self, topic: TopicNumber, body: impl FnOnce() -> EngineResult<T>) -> EngineResult<T> {
        self.bookkeeping(|held| {
            held.keep_topic(topic, Patience::None)?;
            body()
        })
    }

    fn rewritten(&mut self) -> EngineResult<(SegmentId, SegmentRelations)> {
        self.healthy()?
            .rewrite
            .ok_or_else(|| refused("55000", "no segment is being rewritten"))
    }

    /// A call that reads a partition in a segment.
    fn reading<T>(
        &mut self,
        segment: SegmentId,
        partition: i32,
        body: impl FnOnce(PartitionLog) -> EngineResult<T>,
    ) -> EngineResult<T> {
        self.call(|held| {
            let relations = held.readable(segment, Patience::None)?;
            body(PartitionLog {
                relations,
                partition,
                view: View::Latest,
            })
        })
    }
}

impl GroupStorage for PgEngine {
    fn lock_groups(&mut self) -> EngineResult<()> {
        self.lock(|held| held.groups(Patience::None))
    }

    fn load_groups(&mut self, group_id: Option<&str>) -> EngineResult<Vec<StoredGroup>> {
        self.groups(|| groups::load_groups(group_id))
    }

    fn write_groups(&mut self, changes: &[(String, GroupChange)]) -> EngineResult<Vec<usize>> {
        self.groups(|| Ok(groups::write_groups(changes)))
    }

    fn commit_offsets(&mut self, commits: &[(OffsetKey, CommittedOffset)]) -> EngineResult<Vec<usize>> {
        let mut rows = std::mem::take(&mut self.offset_rows);
        let locked = self.groups(|| Ok(offsets::commit_offsets(&mut rows, commits)));
        self.offset_rows = rows;
        locked
    }

    fn committed_offsets(&mut self, group_id: &str) -> EngineResult<Vec<(TopicNumber, i32, CommittedOffset)>> {
        self.groups(|| offsets::committed_offsets(group_id))
    }

    fn delete_offsets(&mut self, group_id: &str, partitions: &[(TopicNumber, i32)]) -> EngineResult<bool> {
        self.groups(|| Ok(offsets::delete_offsets(group_id, partitions)))
    }

    fn expire_offsets(&mut self, expiry: &Expiry) -> EngineResult<bool> {
        self.groups(|| Ok(offsets::expire_offsets(expiry)))
    }
}

impl Engine for PgEngine {
    fn begin(&mut self) -> EngineResult<()> {
        if self.open.is_some() {
            return Err(refused("25001", "a transaction is open already"));
        }
        if let Err(error) = transaction::begin() {
            transaction::abort();
            return Err(engine_error(error));
        }
        self.open = Some(Open::default());
        Ok(())
    }

    fn commit(&mut self, mode: CommitMode) -> EngineResult<LogPosition> {
        if let Err(error) = self.healthy() {
            self.rollback();
            return Err(error);
        }
        self.open = None;
        let flush = match mode {
            CommitMode::Flush => Flush::Wait,
            CommitMode::Async => Flush::Later,
        };
        transaction::commit(flush).map(LogPosition).map_err(engine_error)
    }

    fn rollback(&mut self) {
        if self.open.take().is_some() {
            transaction::abort();
        }
    }

    fn savepoint(&mut self) -> EngineResult<()> {
        let open = self.healthy()?;
        if open.savepoint.is_some() {
            return Err(refused("3B001", "there is a savepoint already"));
        }
        match transaction::begin_sub() {
            Ok(outer) => {
                open.savepoint = Some((outer, open.held.clone()));
                Ok(())
            }
            Err(error) => {
                open.failed = true;
                Err(engine_error(error))
            }
        }
    }

    fn release_savepoint(&mut self) -> EngineResult<()> {
        let open = self.healthy()?;
        let Some((outer, _)) = &open.savepoint else {
            return Err(refused("3B001", "there is no savepoint"));
        };
        match transaction::release_sub(outer) {
            Ok(()) => {
                open.savepoint = None;
                Ok(())
            }
            Err(error) => {
                open.failed = true;
                Err(engine_error(error))
            }
        }
    }

    fn rollback_to_savepoint(&mut self) {
        let Some(open) = &mut self.open else { return };
        if let Some((outer, held)) = open.savepoint.take() {
            open.failed = transaction::rollback_sub(&outer).is_err();
            open.held = held;
        }
    }

    fn flush(&mut self, position: LogPosition) -> EngineResult<()> {
        durability::flush(position.0).map_err(engine_error)
    }

    fn begin_flush(&mut self, position: LogPosition) {
        durability::begin_flush(position.0);
    }

    fn durable_position(&mut self) -> LogPosition {
        LogPosition(durability::durable_position())
    }

    fn directory(&self) -> String {
        data_directory()
    }

    fn lock_topic_name(&mut self, name: &str) -> EngineResult<()> {
        self.lock(|_| locks::lock_topic_name(name, Patience::None))
    }

    fn lock_segment(&mut self, segment: SegmentId) -> EngineResult<()> {
        self.lock(|held| held.write(segment, Patience::None).map(|_| ()))
    }

    fn lock_bookkeeping(&mut self) -> EngineResult<()> {
        self.lock(|held| held.bookkeeping(Patience::None))
    }

    fn append(&mut self, segment: SegmentId, batches: &[PlacedBatch]) -> EngineResult<AppendOutcome> {
        self.call(|held| match held.writable(segment) {
            Some(relations) => log::append(relations, batches),
            None => Err(refused("55000", format!("{segment:?} is not locked for writing"))),
        })
    }

    fn activate_segment(&mut self, segment: SegmentId, base_offsets: &[i64]) -> EngineResult<()> {
        self.about_topic(segment.topic, || bookkeeping::activate_segment(segment, base_offsets))
    }

    fn create_segment(&mut self, segment: SegmentId) -> EngineResult<()> {
        self.about_topic(segment.topic, || {
            bookkeeping::create_segment(segment);
            Ok(())
        })
    }

    fn drop_segment(&mut self, segment: SegmentId) -> EngineResult<()> {
        self.about_topic(segment.topic, || bookkeeping::drop_segment(segment, Patience::None))
    }

    fn add_time_index(&mut self, segment: SegmentId, entries: &[TimeIndexEntry]) -> EngineResult<()> {
        self.about_topic(segment.topic, || {
            bookkeeping::add_time_index(segment, entries);
            Ok(())
        })
    }

    fn add_epoch_starts(&mut self, topic: TopicNumber, epoch: i32, starts: &[(i32, i64)]) -> EngineResult<()> {
        self.about_topic(topic, || {
            bookkeeping::add_epoch_starts(topic, epoch, starts);
            Ok(())
        })
    }

    fn store_producer_snapshots(&mut self, topic: TopicNumber, snapshots: &[ProducerSnapshot]) -> EngineResult<()> {
        self.about_topic(topic, || {
            producers::store_snapshots(topic, snapshots);
            Ok(())
        })
    }

    fn set_log_starts(&mut self, topic: TopicNumber, starts: &[(i32, i64)]) -> EngineResult<()> {
        self.bookkeeping(|_| bookkeeping::set_log_starts(topic, starts, Patience::None))
    }

    fn read(
        &mut self,
        segment: SegmentId,
        partition: i32,
        from_relative_offset: i32,
        max_bytes: usize,
    ) -> EngineResult<Vec<Bytes>> {
        self.reading(segment, partition, |log| log.read(from_relative_offset, max_bytes))
    }

    fn read_headers(
        &mut self,
        segment: SegmentId,
        partition: i32,
        from_relative_offset: i32,
        max_batches: usize,
    ) -> EngineResult<Vec<Bytes>> {
        self.reading(segment, partition, |log| log.read_headers(from_relative_offset, max_batches))
    }

    fn last_header(&mut self, segment: SegmentId, partition: i32) -> EngineResult<Option<Bytes>> {
        self.reading(segment, partition, |log| log.last_header())
    }

    fn segment_size(&mut self, segment: SegmentId) -> EngineResult<u64> {
        self.call(|_| Ok(topics::segment_size(segment)))
    }

    fn time_index(&mut self, segment: SegmentId, partition: i32) -> EngineResult<Vec<TimeIndexEntry>> {
        self.bookkeeping(|_| bookkeeping::time_index(segment, partition))
    }

    fn part_facts(&mut self, topic: TopicNumber) -> EngineResult<Vec<PartFacts>> {
        self.bookkeeping(|_| bookkeeping::part_facts(topic))
    }

    fn begin_rewrite(&mut self, segment: SegmentId) -> EngineResult<()> {
        if self.healthy()?.rewrite.is_some() {
            return Err(refused("55000", "a segment is being rewritten already"));
        }
        let relations = self.about_topic(segment.topic, || rewrite::begin(segment))?;
        self.healthy()?.rewrite = Some((segment, relations));
        Ok(())
    }

    fn append_rewritten(&mut self, batches: &[PlacedBatch]) -> EngineResult<()> {
        let (_, relations) = self.rewritten()?;
        self.call(|_| log::append_frozen(relations, batches).map(|_| ()))
    }

    fn finish_rewrite(&mut self, merged: &[SegmentId], base_offsets: &[i64], origins: &[i64]) -> EngineResult<()> {
        let (segment, _) = self.rewritten()?;
        self.healthy()?.rewrite = None;
        self.about_topic(segment.topic, || rewrite::finish(segment, merged, base_offsets, origins))
    }

    fn transaction_ids(&mut self) -> EngineResult<TransactionIds> {
        self.call(|_| bookkeeping::transaction_ids())
    }

    fn segment_ages(&mut self, topic: TopicNumber) -> EngineResult<Vec<SegmentAge>> {
        self.bookkeeping(|_| bookkeeping::segment_ages(topic))
    }

    fn freeze_segment(&mut self, segment: SegmentId) -> EngineResult<()> {
        if self.open.is_some() {
            return Err(refused("25001", "a segment is frozen outside a transaction"));
        }
        self.begin()?;
        let relations = self.call(|_| Ok(table_relations(&segment_table(segment), &segment_index(segment))));
        self.rollback();
        let (heap, _) = relations?.ok_or_else(|| missing(segment_table(segment)))?.pair();
        vacuum::freeze(heap).map_err(engine_error)
    }

    fn producer_snapshots(&mut self, topic: TopicNumber) -> EngineResult<Vec<ProducerSnapshot>> {
        self.bookkeeping(|_| producers::snapshots(topic))
    }

    fn load_topics(&mut self) -> EngineResult<Vec<TopicRecord>> {
        self.bookkeeping(|_| topics::load_topics())
    }

    fn create_topic(&mut self, topic: &NewTopic) -> EngineResult<TopicNumber> {
        self.bookkeeping(|_| topics::create_topic(topic, Patience::None))
    }

    fn add_partitions(&mut self, topic: TopicNumber, count: i32) -> EngineResult<i32> {
        self.bookkeeping(|_| topics::add_partitions(topic, count, Patience::None))
    }

    fn topic_configs(&mut self, topic: TopicNumber) -> EngineResult<Option<BTreeMap<String, String>>> {
        self.bookkeeping(|_| Ok(topics::topic_configs(topic)))
    }

    fn set_topic_configs(&mut self, topic: TopicNumber, configs: &BTreeMap<String, String>) -> EngineResult<()> {
        self.about_topic(topic, || {
            topics::set_topic_configs(topic, configs);
            Ok(())
        })
    }

    fn delete_topic(&mut self, topic: TopicNumber) -> EngineResult<()> {
        self.bookkeeping(|held| {
            held.groups(Patience::None)?;
            topics::delete_topic(topic, Patience::None)
        })
    }

    fn cluster_id(&mut self) -> EngineResult<String> {
        self.bookkeeping(|_| bookkeeping::cluster_id())
    }

    fn next_leader_epoch(&mut self) -> EngineResult<i32> {
        self.bookkeeping(|_| bookkeeping::next_leader_epoch())
    }

    fn allocate_producer_ids(&mut self, count: i64) -> EngineResult<i64> {
        self.bookkeeping(|_| producers::allocate_ids(count))
    }
}
