//! Group commit (design I2): all waiting appends, up to the limits, in one transaction. Offsets are assigned here, against committed
//! state plus the jobs before in the same group, and become state only with the commit.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::producers::answer_unwritten;
use super::sequences::{Draft, Outcome};
use super::topic_log::TopicLog;
use super::{log_disk, AppendReply, Completion, InFlight, Runner};
use crate::limits::{BYTES_PER_GROUP, TABLES_PER_GROUP, TABLES_PER_RERUN};
use crate::storage::engine::{
    CommitMode, Engine, EngineError, EngineResult, PlacedBatch, ProducerSnapshot, SegmentId, SegmentRecord, TimeIndexEntry,
    TopicNumber,
};
use crate::storage::jobs::{Append, AppendJob, Appended, StorageError};
use crate::storage::stretch::Stretch;

/// The jobs of one group, by topic, each topic's in order of arrival.
pub(super) type Group = BTreeMap<TopicNumber, Vec<AppendJob>>;

/// What a group will do to one topic, and what then becomes its state.
struct Plan {
    segment: SegmentId,
    activate: Option<Vec<i64>>,
    /// What becomes of each job; `batches` are of those that are appended.
    draft: Draft,
    batches: Vec<PlacedBatch>,
    closed: Vec<(SegmentId, Vec<TimeIndexEntry>)>,
    snapshots: Vec<ProducerSnapshot>,
    epoch_starts: Vec<(i32, i64)>,
    partitions: BTreeMap<i32, (i64, Stretch)>,
    segment_bytes: u64,
    /// `segment.ms` has passed, but the next segment is not there yet.
    is_overdue: bool,
}

/// Whether the bookkeeping tables could be locked in this transaction, found out when it is first needed.
#[derive(Default)]
struct Bookkeeping(Option<bool>);

impl Bookkeeping {
    fn available<E: Engine>(&mut self, engine: &mut E) -> EngineResult<bool> {
        if let Some(known) = self.0 {
            return Ok(known);
        }
        let locked = match engine.lock_bookkeeping() {
            Ok(()) => true,
            Err(EngineError::Busy(_)) => false,
            Err(error) => return Err(error),
        };
        self.0 = Some(locked);
        Ok(locked)
    }
}

impl<E: Engine> Runner<E> {
    /// Runs one group of the waiting appends. Returns whether more can be run at once.
    pub(super) fn run_appends(&mut self) -> bool {
        let mut group = self.take_group();
        self.answer_unwritten(&mut group);
        if group.is_empty() {
            return self.appends_wait();
        }
        if let Err(error) = self.try_group(&mut group) {
            self.engine.rollback();
            if self.ran_out_of_room(&error) {
                // Each further attempt would write some WAL, for which there may be no room either.
                for (_, jobs) in std::mem::take(&mut group) {
                    self.fail(Some(jobs), &error);
                }
            } else {
                tracing::warn!(%error, topics = group.len(), "a group of appends failed and is tried topic by topic");
                self.rerun(&mut group);
            }
        }
        self.set_aside(group);
        self.appends_wait()
    }

    /// Whether appends wait that could be run at once.
    pub(super) fn appends_wait(&self) -> bool {
        self.appends.iter().any(|job| !self.busy.contains(&job.append.topic))
    }

    /// Whether `error` says that the disk is full; then nothing is tried until there is room.
    fn ran_out_of_room(&mut self, error: &EngineError) -> bool {
        log_disk(self.disk.failed(error, self.now));
        self.disk.is_full()
    }

    /// Takes waiting jobs up to the limits, each topic's in order of arrival. A topic that was busy at the last turn is probed with one
    /// job, so that what waits for it takes no room from others.
    fn take_group(&mut self) -> Group {
        let mut group = Group::new();
        let mut bytes = 0;
        let mut rest = VecDeque::new();
        let mut left_out = BTreeSet::new();
        for job in std::mem::take(&mut self.appends) {
            let topic = job.append.topic;
            if self
                .logs
                .get(&topic)
                .is_none_or(|log| log.topic.partition(job.append.partition).is_none())
            {
                let _ = job.reply.send(Err(StorageError::UnknownPartition));
                continue;
            }
            let size = job.append.bytes.len();
            let probe = self.busy.contains(&topic);
            let begun = group.contains_key(&topic);
            let fits = if probe {
                !begun
            } else {
                bytes == 0 || bytes + size <= BYTES_PER_GROUP
            };
            if left_out.contains(&topic) || !fits || (!begun && group.len() >= TABLES_PER_GROUP) {
                left_out.insert(topic);
                rest.push_back(job);
                continue;
            }
            if !probe {
                bytes += size;
            }
            group.entry(topic).or_default().push(job);
        }
        self.appends = rest;
        group
    }

    /// Puts what is left of a group back to the head of the queue, to be tried again until its deadline.
    fn set_aside(&mut self, group: Group) {
        self.busy = group.keys().copied().collect();
        for jobs in group.into_values().rev() {
            for job in jobs.into_iter().rev() {
                self.appends.push_front(job);
            }
        }
    }

    /// The whole group in one transaction. What was committed is taken out of `group`; what is locked by others stays in it.
    fn try_group(&mut self, group: &mut Group) -> EngineResult<()> {
        self.engine.begin()?;
        let mut bookkeeping = Bookkeeping::default();
        let mut plans = Vec::new();
        for (number, jobs) in group.iter() {
            match self.append_topic(*number, jobs, &mut bookkeeping) {
                Ok(plan) => plans.push((*number, plan)),
                Err(Attempt::SetAside) => {}
                Err(Attempt::Failed(error)) => return Err(error),
            }
        }
        if plans.is_empty() {
            self.engine.rollback();
            return Ok(());
        }
        self.commit_plans(plans, group)
    }

    /// The group again in transactions of few topics, a subtransaction each, so that one bad table fails only its own requests.
    fn rerun(&mut self, group: &mut Group) {
        let numbers: Vec<_> = group.keys().copied().collect();
        for chunk in numbers.chunks(TABLES_PER_RERUN) {
            if let Err(error) = self.rerun_chunk(chunk, group) {
                self.engine.rollback();
                for number in chunk {
                    self.fail(group.remove(number), &error);
                }
            }
        }
    }

    fn rerun_chunk(&mut self, chunk: &[TopicNumber], group: &mut Group) -> EngineResult<()> {
        self.engine.begin()?;
        let mut plans = Vec::new();
        for number in chunk {
            let Some(jobs) = group.get(number) else { continue };
            self.engine.savepoint()?;
            match self.append_topic(*number, jobs, &mut Bookkeeping::default()) {
                Ok(plan) => {
                    self.engine.release_savepoint()?;
                    plans.push((*number, plan));
                }
                Err(Attempt::SetAside) => self.engine.rollback_to_savepoint(),
                Err(Attempt::Failed(error)) => {
                    self.engine.rollback_to_savepoint();
                    log_disk(self.disk.failed(&error, self.now));
                    tracing::error!(topic = number.0, %error, "append failed");
                    self.fail(group.remove(number), &error);
                }
            }
        }
        self.commit_plans(plans, group)
    }

    fn append_topic(&mut self, number: TopicNumber, jobs: &[AppendJob], bookkeeping: &mut Bookkeeping) -> Result<Plan, Attempt> {
        let Some(log) = self.logs.get(&number) else {
            return Err(Attempt::SetAside);
        };
        let draft = Draft::new(log, jobs, self.clock());
        let now_ms = self.clock().now_ms;
        let aged = draft
            .appended(jobs)
            .any(|(append, _)| log.is_aged(append.partition, append.max_timestamp_ms, now_ms));
        let epoch = self.catalog.leader_epoch();
        let mut plan = plan(&mut self.engine, log, jobs, draft, epoch, aged, bookkeeping)?;
        if let Some(base_offsets) = &plan.activate {
            self.engine
                .activate_segment(plan.segment, base_offsets)
                .map_err(Attempt::Failed)?;
        }
        plan.segment_bytes = self
            .engine
            .append(plan.segment, &plan.batches)
            .map_err(Attempt::Failed)?
            .segment_bytes;
        if !plan.epoch_starts.is_empty() {
            let epoch = self.catalog.leader_epoch();
            self.engine
                .add_epoch_starts(number, epoch, &plan.epoch_starts)
                .map_err(Attempt::Failed)?;
        }
        for (segment, entries) in &plan.closed {
            self.engine.add_time_index(*segment, entries).map_err(Attempt::Failed)?;
        }
        if !plan.snapshots.is_empty() {
            self.engine
                .store_producer_snapshots(number, &plan.snapshots)
                .map_err(Attempt::Failed)?;
        }
        Ok(plan)
    }

    fn commit_plans(&mut self, plans: Vec<(TopicNumber, Plan)>, group: &mut Group) -> EngineResult<()> {
        let jobs_of = |number| group.get(number).into_iter().flatten();
        let early = plans
            .iter()
            .flat_map(|(number, _)| jobs_of(number))
            .all(|job| job.append.early_reply);
        // What was committed before is flushed with this, unless it is to be answered before.
        let flush = !early && self.unflushed.before.is_none() && !self.flush_overlaps();
        let position = match self.engine.commit(if flush { CommitMode::Flush } else { CommitMode::Async }) {
            Ok(position) => {
                if flush {
                    self.unflushed.now = None;
                } else if !early {
                    self.unflushed.now = Some(position);
                }
                position
            }
            Err(error) => {
                // Surely not committed: every job of it fails here, and not the whole group again.
                if !self.ran_out_of_room(&error) {
                    tracing::error!(%error, "commit of appends failed");
                }
                for (number, _) in plans {
                    self.fail(group.remove(&number), &error);
                }
                return Ok(());
            }
        };
        let mut completions = Vec::new();
        for (number, plan) in plans {
            let jobs = group.remove(&number).unwrap_or_default();
            self.apply(number, plan, jobs, &mut completions);
        }
        self.in_flight.push_back(InFlight { position, completions });
        Ok(())
    }

    /// Makes a committed plan the state, and prepares what happens when it is durable.
    fn apply(&mut self, number: TopicNumber, plan: Plan, jobs: Vec<AppendJob>, completions: &mut Vec<Completion>) {
        let now_ms = self.clock().now_ms;
        let Some(log) = self.logs.get_mut(&number) else { return };
        if let Some(base_offsets) = plan.activate {
            log.begin_segment(plan.segment.number, base_offsets, now_ms);
        }
        if let Some(segment) = log.segments.iter_mut().find(|segment| segment.number == plan.segment.number) {
            segment.bytes = plan.segment_bytes;
        }
        log.is_overdue = plan.is_overdue;
        for (partition, _) in &plan.epoch_starts {
            log.partitions[*partition as usize].epoch_stored = true;
        }
        for snapshot in &plan.snapshots {
            log.partitions[snapshot.partition as usize].unsnapshotted_bytes = 0;
        }
        for ((partition, producer_id), state) in plan.draft.producers {
            let added = log.partitions[partition as usize].producers.put(producer_id, state);
            self.producers.count(0, usize::from(added));
        }
        let mut published: BTreeMap<i32, (Vec<PlacedBatch>, Vec<AppendReply>)> = BTreeMap::new();
        let mut placed = plan.batches.into_iter();
        let mut repeated = Vec::new();
        for (job, outcome) in jobs.into_iter().zip(plan.draft.outcomes) {
            let Outcome::Append { base_offset } = outcome else {
                repeated.extend(answer_unwritten(log, job, outcome));
                continue;
            };
            let partition = job.append.partition;
            let bytes = job.append.bytes.len() as u64;
            let known = &mut log.partitions[partition as usize];
            known.unsnapshotted_bytes += bytes;
            known.first_timestamp_ms.get_or_insert(job.append.max_timestamp_ms);
            self.producers.count(bytes, 0);
            let (batches, replies) = published.entry(partition).or_default();
            batches.extend(placed.next());
            let AppendJob { append, reply, .. } = job;
            let mut reply = Some(reply);
            if append.early_reply {
                let log_start_offset = log.partitions[append.partition as usize].partition.bounds().log_start_offset;
                if let Some(reply) = reply.take() {
                    let _ = reply.send(Ok(Appended {
                        base_offset,
                        log_start_offset,
                        duplicate_timestamp_ms: None,
                    }));
                }
            }
            replies.push(AppendReply {
                reply,
                base_offset,
                _charges: (append.charge, append.growth_charge),
            });
        }
        for (index, (next_offset, stretch)) in plan.partitions {
            let partition = &mut log.partitions[index as usize];
            partition.next_offset = next_offset;
            partition.stretch = stretch;
            if let Some((batches, replies)) = published.remove(&index) {
                let partition = partition.partition.clone();
                completions.push(Completion::Publish {
                    partition,
                    batches,
                    high_watermark: next_offset,
                    replies,
                });
            }
        }
        completions.append(&mut repeated);
        if log.wants_segment() {
            self.filling.insert(number);
        } else {
            self.filling.remove(&number);
        }
    }

    fn fail(&mut self, jobs: Option<Vec<AppendJob>>, error: &EngineError) {
        self.refuse_appends(jobs.into_iter().flatten(), &StorageError::Engine(error.clone()));
    }
}

/// Why a topic's jobs are not in this group's transaction.
enum Attempt {
    /// Another session holds a lock: later.
    SetAside,
    /// The transaction can only be rolled back.
    Failed(EngineError),
}

impl From<EngineError> for Attempt {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Busy(_) => Attempt::SetAside,
            other => Attempt::Failed(other),
        }
    }
}

/// Takes the locks and places the batches that are appended. Changes nothing in the database or in memory.
fn plan<E: Engine>(
    engine: &mut E,
    log: &TopicLog,
    jobs: &[AppendJob],
    draft: Draft,
    leader_epoch: i32,
    aged: bool,
    bookkeeping: &mut Bookkeeping,
) -> Result<Plan, Attempt> {
    let active = log
        .active()
        .ok_or_else(|| EngineError::Damaged(format!("topic {} has no segment", log.topic.name)))?;
    engine.lock_segment(log.id_of(active))?;

    let payload: u64 = draft.appended(jobs).map(|(append, _)| append.bytes.len() as u64).sum();
    let too_many_bytes = active.bytes > 0 && active.bytes + payload > log.topic.configs.segment_bytes();
    let full = too_many_bytes || aged || !offsets_fit(log, active, draft.appended(jobs).map(|(append, _)| append));
    let mut segment = active;
    let (mut closed, mut snapshots) = (Vec::new(), Vec::new());
    let mut activate = None;
    if full {
        if let Some(ready) = log.ready() {
            if bookkeeping.available(engine)? && lock_if_free(engine, log.id_of(ready))? {
                closed.push((log.id_of(active), log.open_stretches()));
                snapshots = log.producer_snapshots();
                activate = Some(log.next_offsets());
                segment = ready;
            }
        }
    }

    let id = log.id_of(segment);
    let mut plan = Plan {
        segment: id,
        is_overdue: aged && activate.is_none(),
        activate,
        draft: Draft::default(),
        batches: Vec::with_capacity(jobs.len()),
        closed,
        snapshots,
        epoch_starts: Vec::new(),
        partitions: BTreeMap::new(),
        segment_bytes: 0,
    };
    for (append, base_offset) in draft.appended(jobs) {
        place(log, segment, &mut plan, append, base_offset, leader_epoch)?;
    }
    plan.draft = draft;
    if !plan.epoch_starts.is_empty() && !bookkeeping.available(engine)? {
        return Err(Attempt::SetAside);
    }
    let due = plan.partitions.values().any(|(_, stretch)| stretch.is_due());
    if due && bookkeeping.available(engine)? {
        let mut entries = Vec::new();
        for (partition, (next_offset, stretch)) in plan.partitions.iter_mut().filter(|(_, (_, stretch))| stretch.is_due()) {
            entries.extend(stretch.entry(*partition, *next_offset));
            *stretch = Stretch::at(*next_offset);
        }
        plan.closed.push((id, entries));
    }
    Ok(plan)
}

/// Whether the offsets of all jobs are within reach of the segment, whose index has 32 bits for them.
fn offsets_fit<'a>(log: &TopicLog, segment: &SegmentRecord, mut appends: impl Iterator<Item = &'a Append> + Clone) -> bool {
    let offsets: i64 = appends.clone().map(|append| i64::from(append.last_offset_delta) + 1).sum();
    appends.all(|append| i32::try_from(log.offsets_in(segment, append.partition) + offsets).is_ok())
}

fn lock_if_free<E: Engine>(engine: &mut E, segment: SegmentId) -> Result<bool, Attempt> {
    match engine.lock_segment(segment) {
        Ok(()) => Ok(true),
        Err(EngineError::Busy(_)) => Ok(false),
        Err(error) => Err(Attempt::Failed(error)),
    }
}

/// Gives one batch its place.
fn place(
    log: &TopicLog,
    segment: &SegmentRecord,
    plan: &mut Plan,
    append: &Append,
    base_offset: i64,
    leader_epoch: i32,
) -> Result<(), Attempt> {
    let known = &log.partitions[append.partition as usize];
    let begins_segment = plan.activate.is_some();
    let (next_offset, stretch) = plan.partitions.entry(append.partition).or_insert_with(|| {
        let stretch = if begins_segment {
            Stretch::at(known.next_offset)
        } else {
            known.stretch
        };
        (known.next_offset, stretch)
    });
    let base_in_segment = match &plan.activate {
        Some(bases) => bases[append.partition as usize],
        None => segment.base_offset(append.partition).unwrap_or(0),
    };
    let relative_end = base_offset - base_in_segment + i64::from(append.last_offset_delta) + 1;
    if i32::try_from(relative_end).is_err() {
        let message = format!(
            "segment {} of {} is full and the next one is not made yet",
            segment.number, log.topic.name
        );
        return Err(Attempt::from(EngineError::Busy(message)));
    }
    *next_offset = base_offset + i64::from(append.last_offset_delta) + 1;
    stretch.add(append.bytes.len(), append.max_timestamp_ms);
    if !known.epoch_stored && !plan.epoch_starts.iter().any(|(partition, _)| *partition == append.partition) {
        plan.epoch_starts.push((append.partition, base_offset));
    }
    plan.batches.push(PlacedBatch {
        partition: append.partition,
        base_offset,
        relative_offset: (base_offset - base_in_segment) as i32,
        leader_epoch,
        bytes: append.bytes.clone(),
    });
    Ok(())
}
