//! The storage engine in memory: what every other engine is compared with, and what the broker's own tests run on.
//!
//! A [`ModelDatabase`] outlives its engines, as a database outlives the broker: [`ModelDatabase::open`] again is a restart,
//! [`ModelDatabase::crash`] before it a crash that loses what was not durable. Failures, locks of other sessions and the delay
//! between commit and durability are set from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use uuid::Uuid;

use super::engine::{
    AppendOutcome, CommitMode, Engine, EngineError, EngineResult, LogPosition, NewTopic, PartFacts, PlacedBatch,
    ProducerSnapshot, SegmentAge, SegmentId, TimeIndexEntry, TopicNumber, TopicRecord, TransactionIds,
};

mod groups;
mod state;

use groups::HeldGroups;
use state::{Segment, State};

/// The calls of [`Engine`] that can fail, by name, for [`ModelDatabase::fail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the call of the same name")]
pub enum Call {
    Begin,
    Commit,
    Flush,
    BeginFlush,
    Savepoint,
    ReleaseSavepoint,
    LockTopicName,
    LockSegment,
    LockBookkeeping,
    Append,
    ActivateSegment,
    CreateSegment,
    DropSegment,
    AddTimeIndex,
    AddEpochStarts,
    StoreProducerSnapshots,
    SetLogStarts,
    Read,
    ReadHeaders,
    LastHeader,
    SegmentSize,
    TimeIndex,
    PartFacts,
    BeginRewrite,
    AppendRewritten,
    FinishRewrite,
    TransactionIds,
    SegmentAges,
    FreezeSegment,
    ProducerSnapshots,
    LoadTopics,
    CreateTopic,
    TopicConfigs,
    SetTopicConfigs,
    AddPartitions,
    DeleteTopic,
    ClusterId,
    NextLeaderEpoch,
    AllocateProducerIds,
    LockGroups,
    LoadGroups,
    WriteGroups,
    CommitOffsets,
    CommittedOffsets,
    DeleteOffsets,
    ExpireOffsets,
}

/// A failure that was ordered.
struct Failure {
    /// Which calls count; `None`: each.
    call: Option<Call>,
    /// How many of them succeed before the one that fails.
    successes: usize,
    error: EngineError,
}

/// What is behind all engines of one database.
struct Shared {
    cluster_id: String,
    timeline: i32,
    next_topic: i32,
    /// Committed states that a crash could go back to or that are newer, ascending: the first is durable, the last is current.
    history: Vec<(u64, State)>,
    durable: u64,
    durability_held: bool,
    keeps_unflushed: bool,
    transaction_open: bool,
    failures: Vec<Failure>,
    segments_held: BTreeSet<SegmentId>,
    names_held: BTreeSet<String>,
    bookkeeping_held: bool,
    groups_held: HeldGroups,
    calls: Vec<Call>,
}

impl Shared {
    fn current(&self) -> (u64, &State) {
        let (position, state) = &self.history[self.history.len() - 1];
        (*position, state)
    }

    /// Everything up to `position` survives a crash from now on.
    fn make_durable(&mut self, position: u64) {
        self.durable = self.durable.max(position);
        let survivor = self.history.iter().rposition(|(at, _)| *at <= self.durable).unwrap_or(0);
        self.history.drain(..survivor);
    }
}

/// A database in memory; clones are the same database.
#[derive(Clone)]
pub struct ModelDatabase {
    shared: Arc<Mutex<Shared>>,
}

impl Default for ModelDatabase {
    fn default() -> Self {
        let shared = Shared {
            cluster_id: Uuid::new_v4().simple().to_string()[..22].to_owned(),
            timeline: 1,
            next_topic: 1,
            history: vec![(0, State::default())],
            durable: 0,
            durability_held: false,
            keeps_unflushed: false,
            transaction_open: false,
            failures: Vec::new(),
            segments_held: BTreeSet::new(),
            names_held: BTreeSet::new(),
            bookkeeping_held: false,
            groups_held: HeldGroups::default(),
            calls: Vec::new(),
        };
        ModelDatabase {
            shared: Arc::new(Mutex::new(shared)),
        }
    }
}

impl ModelDatabase {
    /// An engine on this database.
    pub fn open(&self) -> ModelEngine {
        ModelEngine {
            database: self.clone(),
            transaction: None,
        }
    }

    /// Lets the call after the next `successes` successful ones fail with `error`, once; `call` names the kind that is counted,
    /// `None` counts every call that can fail. A failed commit has rolled back, as the trait says.
    pub fn fail(&self, call: impl Into<Option<Call>>, successes: usize, error: EngineError) {
        self.shared().failures.push(Failure {
            call: call.into(),
            successes,
            error,
        });
    }

    /// Forgets failures that were ordered and did not happen yet.
    pub fn clear_failures(&self) {
        self.shared().failures.clear();
    }

    /// Another session holds the segment against reading and writing, until [`ModelDatabase::release_segment`].
    pub fn hold_segment(&self, segment: SegmentId) {
        self.shared().segments_held.insert(segment);
    }

    /// Undoes [`ModelDatabase::hold_segment`].
    pub fn release_segment(&self, segment: SegmentId) {
        self.shared().segments_held.remove(&segment);
    }

    /// Another session has an uncommitted topic of this name, or is changing or dropping it, while `held`.
    pub fn hold_topic_name(&self, name: &str, held: bool) {
        let mut shared = self.shared();
        if held {
            shared.names_held.insert(name.to_owned());
        } else {
            shared.names_held.remove(name);
        }
    }

    /// Another session has the bookkeeping tables locked, while `held`.
    pub fn hold_bookkeeping(&self, held: bool) {
        self.shared().bookkeeping_held = held;
    }

    /// While `held`, commits do not become durable, as when a synchronous standby is missing; then all of them are.
    pub fn hold_durability(&self, held: bool) {
        let mut shared = self.shared();
        shared.durability_held = held;
        if !held {
            let position = shared.current().0;
            shared.make_durable(position);
        }
    }

    /// Commits become durable only by a flush from now on, and not by themselves after a while.
    pub fn keep_unflushed(&self) {
        self.shared().keeps_unflushed = true;
    }

    /// Makes the timeline of the database one larger, as a promotion or a point-in-time restore does.
    pub fn promote(&self) {
        self.shared().timeline += 1;
    }

    /// Loses every commit that is not durable, and the open transaction. Engines that were open must not be used again.
    pub fn crash(&self) {
        let mut shared = self.shared();
        shared.history.truncate(1);
        shared.transaction_open = false;
    }

    /// The calls made since this was last asked, in order, successful or not; rollbacks and looks at the position are not among them.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.shared().calls)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a transaction, up to here, would commit.
#[derive(Clone)]
struct Work {
    state: State,
    locked: BTreeSet<SegmentId>,
    wrote: bool,
    appended: bool,
    made_tables: bool,
    /// The segment that is being rewritten, and its new table.
    rewrite: Option<(SegmentId, Segment)>,
}

struct Transaction {
    work: Work,
    savepoint: Option<Work>,
    failed: bool,
}

/// An engine on a [`ModelDatabase`]. Stricter than the trait demands: misuse that Postgres might let pass is an error here
/// (a call outside a transaction or after a failure, an append without its lock or together with DDL).
pub struct ModelEngine {
    database: ModelDatabase,
    transaction: Option<Transaction>,
}

fn database_error(sqlstate: &str, message: impl Into<String>) -> EngineError {
    EngineError::Database {
        sqlstate: sqlstate.to_owned(),
        message: message.into(),
    }
}

impl ModelEngine {
    /// Counts the call and fails it if a failure was ordered for it.
    fn enter(&mut self, call: Call) -> EngineResult<()> {
        let mut shared = self.database.shared();
        shared.calls.push(call);
        let mut due = None;
        for (index, failure) in shared.failures.iter_mut().enumerate() {
            if failure.call.is_some_and(|wanted| wanted != call) {
                continue;
            }
            if failure.successes == 0 {
                due = due.or(Some(index));
            } else {
                failure.successes -= 1;
            }
        }
        match due {
            None => Ok(()),
            Some(index) => Err(shared.failures.remove(index).error),
        }
    }

    /// Runs a call inside the transaction; an error leaves it failed, but for a lock that was not to be had.
    fn inside<T>(&mut self, call: Call, body: impl FnOnce(&mut Work, &mut Shared) -> EngineResult<T>) -> EngineResult<T> {
        let entered = self.enter(call);
        let Some(transaction) = &mut self.transaction else {
            return Err(database_error("25P01", format!("{call:?} outside a transaction")));
        };
        if transaction.failed {
            return Err(database_error("25P02", format!("{call:?} after a failure")));
        }
        let result = entered.and_then(|()| body(&mut transaction.work, &mut self.database.shared()));
        let lock = matches!(
            call,
            Call::LockTopicName | Call::LockSegment | Call::LockBookkeeping | Call::LockGroups
        );
        transaction.failed = match &result {
            Ok(_) => false,
            Err(EngineError::Busy(_)) => !lock,
            Err(_) => true,
        };
        result
    }

    /// A call that reads or writes the bookkeeping tables.
    fn bookkeeping<T>(&mut self, call: Call, body: impl FnOnce(&mut Work, &mut Shared) -> EngineResult<T>) -> EngineResult<T> {
        self.inside(call, |work, shared| {
            if shared.bookkeeping_held {
                return Err(EngineError::Busy("bookkeeping".to_owned()));
            }
            body(work, shared)
        })
    }

    /// A call that reads a segment.
    fn reading<T>(&mut self, call: Call, segment: SegmentId, body: impl FnOnce(&Work) -> EngineResult<T>) -> EngineResult<T> {
        self.inside(call, |work, shared| {
            if shared.segments_held.contains(&segment) || work.state.segment(segment).is_err() {
                return Err(EngineError::Busy(format!("{segment:?}")));
            }
            body(work)
        })
    }
}

impl Work {
    /// DDL and appends never share a group (design I2).
    fn make_tables(&mut self) -> EngineResult<()> {
        if self.appended {
            return Err(database_error("0A000", "DDL in a transaction with appends"));
        }
        self.made_tables = true;
        self.wrote = true;
        Ok(())
    }
}

impl Engine for ModelEngine {
    fn begin(&mut self) -> EngineResult<()> {
        self.enter(Call::Begin)?;
        let mut shared = self.database.shared();
        if shared.transaction_open {
            return Err(database_error("25001", "a transaction is open already"));
        }
        shared.transaction_open = true;
        let state = shared.current().1.clone();
        let work = Work {
            state,
            locked: BTreeSet::new(),
            wrote: false,
            appended: false,
            made_tables: false,
            rewrite: None,
        };
        self.transaction = Some(Transaction {
            work,
            savepoint: None,
            failed: false,
        });
        Ok(())
    }

    fn commit(&mut self, mode: CommitMode) -> EngineResult<LogPosition> {
        let entered = self.inside(Call::Commit, |_, _| Ok(()));
        let Some(transaction) = self.transaction.take() else {
            return entered.map(|()| LogPosition::default());
        };
        let mut shared = self.database.shared();
        shared.transaction_open = false;
        entered?;
        if !transaction.work.wrote {
            return Ok(LogPosition::default());
        }
        let position = shared.current().0 + 1;
        shared.history.push((position, transaction.work.state));
        if mode == CommitMode::Flush && !shared.durability_held {
            shared.make_durable(position);
        }
        Ok(LogPosition(position))
    }

    fn rollback(&mut self) {
        if self.transaction.take().is_some() {
            self.database.shared().transaction_open = false;
        }
    }

    fn savepoint(&mut self) -> EngineResult<()> {
        self.inside(Call::Savepoint, |_, _| Ok(()))?;
        match &mut self.transaction {
            Some(Transaction {
                work,
                savepoint: savepoint @ None,
                ..
            }) => {
                *savepoint = Some(work.clone());
                Ok(())
            }
            _ => Err(database_error("3B001", "a second savepoint")),
        }
    }

    fn release_savepoint(&mut self) -> EngineResult<()> {
        self.inside(Call::ReleaseSavepoint, |_, _| Ok(()))?;
        match self.transaction.as_mut().and_then(|transaction| transaction.savepoint.take()) {
            Some(_) => Ok(()),
            None => Err(database_error("3B001", "no savepoint")),
        }
    }

    fn rollback_to_savepoint(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            if let Some(work) = transaction.savepoint.take() {
                transaction.work = work;
                transaction.failed = false;
            }
        }
    }

    fn flush(&mut self, position: LogPosition) -> EngineResult<()> {
        self.enter(Call::Flush)?;
        let mut shared = self.database.shared();
        if !shared.durability_held {
            shared.make_durable(position.0);
        }
        Ok(())
    }

    /// There is nobody who would do it.
    fn begin_flush(&mut self, _position: LogPosition) {
        self.database.shared().calls.push(Call::BeginFlush);
    }

    /// An asynchronous commit becomes durable after this was asked once.
    fn durable_position(&mut self) -> LogPosition {
        let mut shared = self.database.shared();
        let position = LogPosition(shared.durable);
        if !shared.durability_held && !shared.keeps_unflushed {
            let current = shared.current().0;
            shared.make_durable(current);
        }
        position
    }

    /// It has none; this one is there.
    fn directory(&self) -> String {
        "/".to_owned()
    }

    fn lock_topic_name(&mut self, name: &str) -> EngineResult<()> {
        self.inside(Call::LockTopicName, |_, shared| {
            if shared.names_held.contains(name) {
                return Err(EngineError::Busy(format!("topic name {name}")));
            }
            Ok(())
        })
    }

    fn lock_segment(&mut self, segment: SegmentId) -> EngineResult<()> {
        self.inside(Call::LockSegment, |work, shared| {
            if shared.segments_held.contains(&segment) || work.state.segment(segment).is_err() {
                return Err(EngineError::Busy(format!("{segment:?}")));
            }
            work.locked.insert(segment);
            Ok(())
        })
    }

    fn lock_bookkeeping(&mut self) -> EngineResult<()> {
        self.bookkeeping(Call::LockBookkeeping, |_, _| Ok(()))
    }

    fn append(&mut self, segment: SegmentId, batches: &[PlacedBatch]) -> EngineResult<AppendOutcome> {
        self.inside(Call::Append, |work, _| {
            if !work.locked.contains(&segment) {
                return Err(database_error("55000", format!("append to {segment:?} without its lock")));
            }
            if work.made_tables {
                return Err(database_error("0A000", "append in a transaction with DDL"));
            }
            work.appended = true;
            work.wrote = true;
            Ok(AppendOutcome {
                segment_bytes: work.state.segment_mut(segment)?.append(batches)?,
            })
        })
    }

    fn activate_segment(&mut self, segment: SegmentId, base_offsets: &[i64]) -> EngineResult<()> {
        self.bookkeeping(Call::ActivateSegment, |work, _| {
            work.wrote = true;
            work.state.segment_mut(segment)?.activate(base_offsets)
        })
    }

    fn create_segment(&mut self, segment: SegmentId) -> EngineResult<()> {
        self.bookkeeping(Call::CreateSegment, |work, _| {
            work.make_tables()?;
            work.state.create_segment(segment)
        })
    }

    fn drop_segment(&mut self, segment: SegmentId) -> EngineResult<()> {
        self.bookkeeping(Call::DropSegment, |work, shared| {
            if shared.segments_held.contains(&segment) {
                return Err(EngineError::Busy(format!("{segment:?}")));
            }
            work.make_tables()?;
            work.state.drop_segment(segment)
        })
    }

    fn add_time_index(&mut self, segment: SegmentId, entries: &[TimeIndexEntry]) -> EngineResult<()> {
        self.bookkeeping(Call::AddTimeIndex, |work, _| {
            work.wrote = true;
            work.state.segment_mut(segment)?.add_time_index(entries)
        })
    }

    fn add_epoch_starts(&mut self, topic: TopicNumber, epoch: i32, starts: &[(i32, i64)]) -> EngineResult<()> {
        self.bookkeeping(Call::AddEpochStarts, |work, _| {
            work.wrote = true;
            starts.iter().try_for_each(|(partition, start)| {
                work.state.partition_mut(topic, *partition)?.epochs.push((epoch, *start));
                Ok(())
            })
        })
    }

    fn store_producer_snapshots(&mut self, topic: TopicNumber, snapshots: &[ProducerSnapshot]) -> EngineResult<()> {
        self.bookkeeping(Call::StoreProducerSnapshots, |work, _| {
            work.wrote = true;
            work.state.store_producer_snapshots(topic, snapshots)
        })
    }

    fn set_log_starts(&mut self, topic: TopicNumber, starts: &[(i32, i64)]) -> EngineResult<()> {
        self.bookkeeping(Call::SetLogStarts, |work, _| {
            work.wrote = true;
            starts.iter().try_for_each(|(partition, start)| {
                let stored = &mut work.state.partition_mut(topic, *partition)?.log_start_offset;
                *stored = (*stored).max(*start);
                Ok(())
            })
        })
    }

    fn read(
        &mut self,
        segment: SegmentId,
        partition: i32,
        from_relative_offset: i32,
        max_bytes: usize,
    ) -> EngineResult<Vec<Bytes>> {
        self.reading(Call::Read, segment, |work| {
            let mut budget = max_bytes;
            let mut taken = Vec::new();
            for batch in work.state.segment(segment)?.from(partition, from_relative_offset) {
                if !taken.is_empty() && batch.len() > budget {
                    break;
                }
                budget = budget.saturating_sub(batch.len());
                taken.push(batch.clone());
            }
            Ok(taken)
        })
    }

    fn read_headers(
        &mut self,
        segment: SegmentId,
        partition: i32,
        from_relative_offset: i32,
        max_batches: usize,
    ) -> EngineResult<Vec<Bytes>> {
        self.reading(Call::ReadHeaders, segment, |work| {
            let batches = work.state.segment(segment)?.from(partition, from_relative_offset);
            Ok(batches.take(max_batches).map(state::header).collect())
        })
    }

    fn last_header(&mut self, segment: SegmentId, partition: i32) -> EngineResult<Option<Bytes>> {
        self.reading(Call::LastHeader, segment, |work| {
            Ok(work.state.segment(segment)?.last(partition).map(state::header))
        })
    }

    fn segment_size(&mut self, segment: SegmentId) -> EngineResult<u64> {
        self.inside(Call::SegmentSize, |work, _| {
            Ok(work.state.segment(segment).map_or(0, Segment::bytes))
        })
    }

    fn time_index(&mut self, segment: SegmentId, partition: i32) -> EngineResult<Vec<TimeIndexEntry>> {
        self.bookkeeping(Call::TimeIndex, |work, _| {
            Ok(work.state.segment(segment)?.time_index(partition))
        })
    }

    fn part_facts(&mut self, topic: TopicNumber) -> EngineResult<Vec<PartFacts>> {
        self.bookkeeping(Call::PartFacts, |work, _| work.state.part_facts(topic))
    }

    fn begin_rewrite(&mut self, segment: SegmentId) -> EngineResult<()> {
        self.bookkeeping(Call::BeginRewrite, |work, _| {
            work.make_tables()?;
            work.state.segment(segment)?;
            match work.rewrite.replace((segment, Segment::default())) {
                None => Ok(()),
                Some(_) => Err(database_error("55000", "a second rewrite")),
            }
        })
    }

    fn append_rewritten(&mut self, batches: &[PlacedBatch]) -> EngineResult<()> {
        self.inside(Call::AppendRewritten, |work, _| match &mut work.rewrite {
            Some((_, segment)) => segment.append(batches).map(|_| ()),
            None => Err(database_error("55000", "no rewrite")),
        })
    }

    fn finish_rewrite(&mut self, merged: &[SegmentId], base_offsets: &[i64], origins: &[i64]) -> EngineResult<()> {
        self.bookkeeping(Call::FinishRewrite, |work, shared| {
            let Some((id, mut segment)) = work.rewrite.take() else {
                return Err(database_error("55000", "no rewrite"));
            };
            if let Some(held) = merged
                .iter()
                .chain([&id])
                .find(|segment| shared.segments_held.contains(segment))
            {
                return Err(EngineError::Busy(format!("{held:?}")));
            }
            segment.place(base_offsets, origins);
            work.state.put_rewritten(id, segment, merged)
        })
    }

    fn transaction_ids(&mut self) -> EngineResult<TransactionIds> {
        self.inside(Call::TransactionIds, |_, shared| {
            Ok(TransactionIds {
                next: shared.current().0,
                freeze_max_age: 200_000_000,
            })
        })
    }

    fn segment_ages(&mut self, topic: TopicNumber) -> EngineResult<Vec<SegmentAge>> {
        self.bookkeeping(Call::SegmentAges, |work, _| work.state.segment_ages(topic))
    }

    fn freeze_segment(&mut self, segment: SegmentId) -> EngineResult<()> {
        self.enter(Call::FreezeSegment)?;
        if self.transaction.is_some() {
            return Err(database_error("25001", "a segment is frozen outside a transaction"));
        }
        self.begin()?;
        let frozen = self.inside(Call::FreezeSegment, |work, shared| {
            if shared.segments_held.contains(&segment) {
                return Ok(());
            }
            work.wrote = true;
            work.state.segment_mut(segment)?.freeze();
            Ok(())
        });
        match frozen {
            Ok(()) => self.commit(CommitMode::Async).map(|_| ()),
            Err(error) => {
                self.rollback();
                Err(error)
            }
        }
    }

    fn producer_snapshots(&mut self, topic: TopicNumber) -> EngineResult<Vec<ProducerSnapshot>> {
        self.bookkeeping(Call::ProducerSnapshots, |work, _| work.state.producer_snapshots(topic))
    }

    fn load_topics(&mut self) -> EngineResult<Vec<TopicRecord>> {
        self.bookkeeping(Call::LoadTopics, |work, _| Ok(work.state.topics()))
    }

    fn create_topic(&mut self, topic: &NewTopic) -> EngineResult<TopicNumber> {
        self.bookkeeping(Call::CreateTopic, |work, shared| {
            if shared.names_held.contains(&topic.name) {
                return Err(EngineError::Busy(format!("topic name {}", topic.name)));
            }
            work.make_tables()?;
            let number = TopicNumber(shared.next_topic);
            shared.next_topic += 1;
            work.state.create_topic(number, topic)?;
            Ok(number)
        })
    }

    fn add_partitions(&mut self, topic: TopicNumber, count: i32) -> EngineResult<i32> {
        self.bookkeeping(Call::AddPartitions, |work, shared| {
            let name = work.state.topic_name(topic)?;
            if shared.names_held.contains(name) {
                return Err(EngineError::Busy(format!("topic name {name}")));
            }
            let before = work.state.add_partitions(topic, count)?;
            work.wrote |= before < count;
            Ok(before)
        })
    }

    fn topic_configs(&mut self, topic: TopicNumber) -> EngineResult<Option<BTreeMap<String, String>>> {
        self.bookkeeping(Call::TopicConfigs, |work, _| Ok(work.state.topic_configs(topic)))
    }

    fn set_topic_configs(&mut self, topic: TopicNumber, configs: &BTreeMap<String, String>) -> EngineResult<()> {
        self.bookkeeping(Call::SetTopicConfigs, |work, _| {
            work.wrote = true;
            work.state.set_topic_configs(topic, configs)
        })
    }

    fn delete_topic(&mut self, topic: TopicNumber) -> EngineResult<()> {
        self.bookkeeping(Call::DeleteTopic, |work, shared| {
            if let Some(held) = shared.segments_held.iter().find(|segment| segment.topic == topic) {
                return Err(EngineError::Busy(format!("{held:?}")));
            }
            work.make_tables()?;
            work.state.groups.forget_topic(topic);
            work.state.delete_topic(topic)
        })
    }

    fn cluster_id(&mut self) -> EngineResult<String> {
        self.bookkeeping(Call::ClusterId, |_, shared| Ok(shared.cluster_id.clone()))
    }

    fn next_leader_epoch(&mut self) -> EngineResult<i32> {
        self.bookkeeping(Call::NextLeaderEpoch, |work, shared| {
            work.wrote = true;
            work.state.leader_epoch = work.state.leader_epoch.max(shared.timeline << 16) + 1;
            Ok(work.state.leader_epoch)
        })
    }

    fn allocate_producer_ids(&mut self, count: i64) -> EngineResult<i64> {
        self.bookkeeping(Call::AllocateProducerIds, |work, shared| {
            work.wrote = true;
            let first = work.state.next_producer_id.max(i64::from(shared.timeline - 1) << 32);
            work.state.next_producer_id = first + count;
            Ok(first)
        })
    }
}
