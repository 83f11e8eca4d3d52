//! The database thread's work, over any engine: jobs into groups, groups into transactions, durable transactions into replies.
//!
//! One [`Runner::turn`]: take what waits, reload the catalog if a session changed it, run what is asked about consumer groups
//! ([`groups`]), one group of appends ([`group`]), one
//! topic or record deletion job at a time ([`admin`]), a bounded amount of reads ([`reads`]), then answer what became durable.
//!
//! A job that needs a lock which another session holds is set aside and tried again at the next turn, until its deadline; nothing
//! waits for it but what must keep its order (design I8).

mod admin;
mod flush;
mod group;
mod group_batch;
mod groups;
mod producers;
mod reads;
mod sequences;
mod tail_cache;
#[cfg(test)]
mod tests;
mod topic_log;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::{DiskChange, DiskWatch, FreeSpace};
use super::engine::{CommitMode, Engine, EngineResult, LogPosition, PlacedBatch, TopicNumber, TopicRecord};
use super::group_jobs::GroupTask;
use super::jobs::{
    AddPartitionsJob, AllocateProducerIdsJob, AlterConfigsJob, AppendJob, Appended, CreateJob, DeleteJob, DeleteRecordsJob, Job,
    ReadJob, ReplyTo, SizesJob, StorageError, TimeJob,
};
pub use super::Wake;
use super::{JobQueue, Storage};
use crate::catalog::configs::{TopicConfigs, TopicDefaults};
use crate::catalog::{Catalog, Topic};
use crate::log::partition::Partition;
use crate::net::Charge;
use crate::producers::state::WrittenBatch;
use crate::settings::Settings;
use flush::Unflushed;
use groups::{GroupJobs, Outcome};
use producers::ProducerUpkeep;
use tail_cache::TailCache;
use topic_log::TopicLog;

/// How long a job that was set aside rests before it is tried again.
const SET_ASIDE_PAUSE: Duration = Duration::from_millis(20);
/// How long a topic whose log could not be read rests before it is tried again.
const REOPEN_PAUSE: Duration = Duration::from_millis(200);
/// How often the position of the standbys is looked at while a commit waits for it: at first, and when they were silent for long.
const DURABILITY_PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// What the database thread should do after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// More is waiting: take another turn after a look at latches and interrupts.
    Again,
    /// Sleep until woken, at most this long.
    Sleep(Duration),
    /// Sleep until woken.
    Idle,
}

/// A job of topic administration, in the order of arrival.
enum AdminJob {
    Create(CreateJob),
    AlterConfigs(AlterConfigsJob),
    AddPartitions(AddPartitionsJob),
    Delete(DeleteJob),
    DeleteRecords(DeleteRecordsJob),
    AllocateProducerIds(AllocateProducerIdsJob),
}

/// A read of older data.
struct Read {
    kind: ReadKind,
    /// Whether it was tried and found another session's lock in its way.
    set_aside: bool,
}

enum ReadKind {
    Batches(ReadJob),
    ByTime(TimeJob),
    Sizes(SizesJob),
}

/// What is to be done when a commit is durable.
enum Completion {
    Publish {
        partition: Arc<Partition>,
        batches: Vec<PlacedBatch>,
        high_watermark: i64,
        replies: Vec<AppendReply>,
    },
    /// A batch that is in the log already, perhaps not durably yet.
    Duplicate {
        partition: Arc<Partition>,
        written: WrittenBatch,
        reply: ReplyTo<Appended>,
    },
    ProducerIds {
        first: i64,
        reply: ReplyTo<i64>,
    },
    Created {
        record: Box<TopicRecord>,
        reply: ReplyTo<TopicNumber>,
    },
    Configured {
        topic: TopicNumber,
        configs: Box<TopicConfigs>,
        /// [`Runner::loads`] at the commit.
        loads: u64,
        reply: ReplyTo<()>,
    },
    PartitionsAdded {
        topic: TopicNumber,
        count: i32,
        reply: ReplyTo<()>,
    },
    Deleted {
        reply: ReplyTo<()>,
    },
    LogStart {
        partition: Arc<Partition>,
        offset: i64,
        reply: ReplyTo<i64>,
    },
    Group {
        task: GroupTask,
        outcome: Outcome,
    },
}

/// The reply of an append, with the receive budget it holds until its bytes are durable. The sender is gone if it was answered early.
struct AppendReply {
    reply: Option<ReplyTo<Appended>>,
    base_offset: i64,
    _charges: (Option<Arc<Charge>>, Option<Charge>),
}

/// A committed transaction that is not known to be durable.
struct InFlight {
    position: LogPosition,
    completions: Vec<Completion>,
}

/// See the module's head. Lives on the database thread; dropping it refuses all jobs that wait.
pub struct Runner<E: Engine> {
    engine: E,
    /// The commit that raised the leader epoch, behind all that was found in the log.
    opened: LogPosition,
    storage: Storage,
    queue: Arc<JobQueue>,
    catalog: Arc<Catalog>,
    logs: BTreeMap<TopicNumber, TopicLog>,
    appends: VecDeque<AppendJob>,
    /// Topics whose segment another session held at the last turn.
    busy: BTreeSet<TopicNumber>,
    admin: VecDeque<AdminJob>,
    reads: VecDeque<Read>,
    /// The first of them, as many as this says, were tried and met another session's lock.
    group_jobs: GroupJobs,
    groups_set_aside: usize,
    unflushed: Unflushed,
    in_flight: VecDeque<InFlight>,
    /// Since when nothing of `in_flight` became durable.
    silent_since: Option<Instant>,
    tail: TailCache,
    disk: DiskWatch,
    min_free_disk: u64,
    /// The time of this turn.
    now: Instant,
    reload: bool,
    /// Topics whose logs could not be read when the catalog was loaded, and when that is tried again.
    unopened: BTreeMap<TopicNumber, Arc<str>>,
    reopen_at: Instant,
    /// How often the catalog was loaded.
    loads: u64,
    filling: BTreeSet<TopicNumber>,
    /// Topics of which nothing is left in the segment that is being filled.
    dead: BTreeSet<TopicNumber>,
    defaults: TopicDefaults,
    producers: ProducerUpkeep,
}

impl<E: Engine> Runner<E> {
    /// Raises the leader epoch, loads the catalog and finds the end of each partition. To be served when [`Runner::may_serve`].
    ///
    /// # Errors
    /// [`super::engine::EngineError::Busy`] while another session holds a lock on the tables: to be called again later with a new engine.
    pub fn open(mut engine: E, wake: Wake, settings: &Settings) -> EngineResult<Self> {
        let opened = Self::raise_epoch(&mut engine);
        let (cluster_id, leader_epoch, opened) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                engine.rollback();
                return Err(error);
            }
        };
        let queue = Arc::new(JobQueue::default());
        let mut runner = Runner {
            engine,
            opened,
            storage: Storage::new(queue.clone(), wake),
            queue,
            catalog: Arc::new(Catalog::new(cluster_id, leader_epoch)),
            logs: BTreeMap::new(),
            appends: VecDeque::new(),
            busy: BTreeSet::new(),
            admin: VecDeque::new(),
            reads: VecDeque::new(),
            group_jobs: GroupJobs::new(),
            groups_set_aside: 0,
            unflushed: Unflushed::default(),
            in_flight: VecDeque::new(),
            silent_since: None,
            tail: TailCache::new(settings.tail_cache_bytes),
            disk: DiskWatch::default(),
            min_free_disk: settings.min_free_disk,
            now: Instant::now(),
            reload: false,
            unopened: BTreeMap::new(),
            reopen_at: Instant::now(),
            loads: 0,
            filling: BTreeSet::new(),
            dead: BTreeSet::new(),
            defaults: settings.topic_defaults.clone(),
            producers: ProducerUpkeep::new(settings),
        };
        runner.load_catalog()?;
        Ok(runner)
    }

    fn raise_epoch(engine: &mut E) -> EngineResult<(String, i32, LogPosition)> {
        engine.begin()?;
        engine.lock_bookkeeping()?;
        let cluster_id = engine.cluster_id()?;
        let leader_epoch = engine.next_leader_epoch()?;
        let position = engine.commit(CommitMode::Flush)?;
        Ok((cluster_id, leader_epoch, position))
    }

    /// Whether the leader epoch and all that was found in the log are durable. Before that nothing may be served: the log may end in
    /// records that the promotion of a standby would replace.
    pub fn may_serve(&mut self) -> bool {
        self.engine.durable_position() >= self.opened
    }

    /// Whether there are topics that are not served, because their logs cannot be read now. They are tried again and again.
    pub fn has_unopened_topics(&self) -> bool {
        !self.unopened.is_empty()
    }

    /// The face for the other threads.
    pub fn storage(&self) -> Storage {
        self.storage.clone()
    }

    /// The topics for the other threads.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.clone()
    }

    /// The directory on whose file system the database is.
    pub fn directory(&self) -> String {
        self.engine.directory()
    }

    /// Takes over changed settings.
    pub fn configure(&mut self, settings: &Settings) {
        self.tail.set_limit(settings.tail_cache_bytes);
        self.min_free_disk = settings.min_free_disk;
        self.producers.configure(settings);
        if self.defaults != settings.topic_defaults {
            self.defaults = settings.topic_defaults.clone();
            self.reload = true;
        }
    }

    /// The file systems were measured. While one has less than the setting says, appends and new topics are refused.
    pub fn disk_measured(&mut self, free: &[FreeSpace], now: Instant) {
        log_disk(self.disk.measured(free, self.min_free_disk, now));
    }

    /// Whether appends are refused for want of room: the disk is to be measured soon, whether or not anything waits.
    pub fn disk_is_full(&self) -> bool {
        self.disk.is_full()
    }

    /// Topics were changed by a session: the next turn loads them again.
    pub fn catalog_changed(&mut self) {
        self.reload = true;
    }

    /// Topics for which the maintenance worker is to make the next segment: the one that is being filled is more than half full or to be
    /// left for another reason, and there is none ahead.
    pub fn wanted_segments(&self) -> &BTreeSet<TopicNumber> {
        &self.filling
    }

    /// Bytes of batches that are kept in memory for consumers, or were at a call within the last minute.
    pub fn cached_bytes(&mut self, now: Instant) -> usize {
        self.tail.recent_bytes(now)
    }

    /// Runs what waits: reloads the catalog if it was told to, one group, a bounded number of reads, replies of what became durable.
    pub fn turn(&mut self, now: Instant) -> Next {
        self.now = now;
        self.sort_jobs();
        if self.disk.is_full() {
            self.refuse_growth();
        }
        let reopen = self.has_unopened_topics() && now >= self.reopen_at;
        if (self.reload || reopen) && !self.topics_in_flight() {
            self.reload = false;
            if let Err(error) = self.load_catalog() {
                tracing::debug!(%error, "topics not loaded, trying again");
                self.reload = true;
            }
        }
        let more_groups = self.run_groups();
        let more_appends = self.run_appends();
        self.flush_commits();
        self.make_crowded_segments();
        self.leave_dead_segments();
        self.snapshot_producers();
        self.sweep_producers();
        self.complete_durable();
        self.run_admin();
        let more_reads = self.run_reads();
        self.give_up(now);
        self.complete_durable();
        if more_appends || more_reads || more_groups || self.unflushed.before.is_some() {
            Next::Again
        } else if !self.in_flight.is_empty() {
            Next::Sleep(self.durability_pause(now))
        } else if self.reload || self.has_set_aside() {
            Next::Sleep(SET_ASIDE_PAUSE)
        } else if self.has_unopened_topics() {
            Next::Sleep(REOPEN_PAUSE)
        } else {
            Next::Idle
        }
    }

    fn has_set_aside(&self) -> bool {
        !(self.appends.is_empty() && self.admin.is_empty() && self.reads.is_empty() && self.group_jobs.is_empty())
    }

    /// Whether topics or partitions are committed that are not known to be durable: loading the catalog would show them.
    fn topics_in_flight(&self) -> bool {
        let mut waiting = self.in_flight.iter().flat_map(|commit| &commit.completions);
        waiting.any(|completion| matches!(completion, Completion::Created { .. } | Completion::PartitionsAdded { .. }))
    }

    fn durability_pause(&mut self, now: Instant) -> Duration {
        let silent = now.saturating_duration_since(*self.silent_since.get_or_insert(now));
        (silent / 8).clamp(DURABILITY_PAUSE.0, DURABILITY_PAUSE.1)
    }

    fn sort_jobs(&mut self) {
        for job in self.queue.drain() {
            match job {
                Job::Append(job) => self.appends.push_back(job),
                Job::Refused(refused) => self.refuse_batch(refused.topic, refused.partition, &refused.batch),
                Job::Read(job) => self.reads.push_back(Read::new(ReadKind::Batches(job))),
                Job::FindByTime(job) => self.reads.push_back(Read::new(ReadKind::ByTime(job))),
                Job::Sizes(job) => self.reads.push_back(Read::new(ReadKind::Sizes(job))),
                Job::Position(job) => drop(job.reply.send(Ok(self.engine.durable_position()))),
                Job::Create(job) => self.admin.push_back(AdminJob::Create(job)),
                Job::AlterConfigs(job) => self.admin.push_back(AdminJob::AlterConfigs(job)),
                Job::AddPartitions(job) => self.admin.push_back(AdminJob::AddPartitions(job)),
                Job::Delete(job) => self.admin.push_back(AdminJob::Delete(job)),
                Job::DeleteRecords(job) => self.admin.push_back(AdminJob::DeleteRecords(job)),
                Job::AllocateProducerIds(job) => self.admin.push_back(AdminJob::AllocateProducerIds(job)),
                Job::Group(job) => self.group_jobs.push_back(job),
            }
        }
    }

    /// Answers what would take room, untried.
    fn refuse_growth(&mut self) {
        let appends = std::mem::take(&mut self.appends);
        self.refuse_appends(appends, &StorageError::DiskFull);
        for job in extract(&mut self.admin, |job| matches!(job, AdminJob::Create(_))) {
            job.fail(StorageError::DiskFull);
        }
        self.refuse_group_growth();
    }

    /// Answers jobs that were tried, found another session's lock in their way, and are past their deadline. Nothing of them was done.
    fn give_up(&mut self, now: Instant) {
        let busy = &self.busy;
        let given_up = extract(&mut self.appends, |job| {
            busy.contains(&job.append.topic) && job.append.deadline <= now
        });
        self.refuse_appends(given_up, &StorageError::TimedOut);
        for job in extract(&mut self.admin, |job| job.deadline() <= now) {
            job.fail(StorageError::TimedOut);
        }
        for job in extract(&mut self.reads, |job| job.is_set_aside() && job.deadline() <= now) {
            job.fail(StorageError::TimedOut);
        }
        self.give_up_groups(now);
    }

    /// Brings the catalog to what is committed. A topic whose segment is locked, missing or damaged is left out and tried again later.
    fn load_catalog(&mut self) -> EngineResult<()> {
        let result = self.load_catalog_in_transaction();
        match &result {
            Ok(()) => {
                self.engine.commit(CommitMode::Flush)?;
            }
            Err(_) => self.engine.rollback(),
        }
        result
    }

    fn load_catalog_in_transaction(&mut self) -> EngineResult<()> {
        self.engine.begin()?;
        self.engine.lock_bookkeeping()?;
        let records = self.engine.load_topics()?;
        self.loads += 1;
        let present: BTreeSet<_> = records.iter().map(|record| record.number).collect();
        let gone: Vec<_> = self.logs.keys().copied().filter(|number| !present.contains(number)).collect();
        for number in gone {
            self.forget_topic(number);
        }
        let before = std::mem::take(&mut self.unopened);
        for record in records {
            if let Some(log) = self.logs.get_mut(&record.number) {
                let configs = TopicConfigs::new(record.configs.clone(), &self.defaults);
                log.refresh(&record, configs, self.catalog.leader_epoch());
                self.catalog.update(|topics| topics.insert(log.topic.clone()));
                continue;
            }
            match self.open_topic(&record) {
                Ok(()) if before.contains_key(&record.number) => tracing::info!(topic = record.name, "the topic is served now"),
                Ok(()) => {}
                Err(error) => {
                    if !before.contains_key(&record.number) {
                        tracing::warn!(topic = record.name, %error, "the topic is not served until its log can be read");
                    }
                    self.unopened.insert(record.number, record.name.as_str().into());
                    self.engine.rollback();
                    self.engine.begin()?;
                    self.engine.lock_bookkeeping()?;
                }
            }
        }
        if self.catalog.topics().unread() != &self.unopened {
            self.catalog.update(|topics| topics.set_unread(self.unopened.clone()));
        }
        self.reopen_at = self.now + REOPEN_PAUSE;
        self.filling = self
            .logs
            .iter()
            .filter(|(_, log)| log.wants_segment())
            .map(|(number, _)| *number)
            .collect();
        let numbers: Vec<_> = self.logs.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.look_for_death(number));
        Ok(())
    }

    /// Finds the ends of a topic's partitions and serves it.
    fn open_topic(&mut self, record: &TopicRecord) -> EngineResult<()> {
        let ends = topic_log::find_ends(&mut self.engine, record)?;
        let first_timestamps = topic_log::find_first_timestamps(&mut self.engine, record)?;
        let producers = self.load_producers(record, &ends)?;
        self.serve_topic(record, &ends);
        let log = self.logs.get_mut(&record.number).into_iter();
        for (partition, first) in log.flat_map(|log| &mut log.partitions).zip(first_timestamps) {
            partition.first_timestamp_ms = first;
        }
        self.put_producers(record.number, producers);
        Ok(())
    }

    fn serve_topic(&mut self, record: &TopicRecord, ends: &[i64]) {
        let epoch = self.catalog.leader_epoch();
        let partitions = record
            .partitions
            .iter()
            .zip(ends)
            .enumerate()
            .map(|(index, (stored, end))| {
                Arc::new(Partition::new(
                    record.number,
                    index as i32,
                    stored.log_start_offset,
                    *end,
                    &stored.epochs,
                    epoch,
                ))
            })
            .collect();
        let topic = Arc::new(Topic {
            number: record.number,
            id: record.id,
            name: record.name.as_str().into(),
            configs: TopicConfigs::new(record.configs.clone(), &self.defaults),
            partitions,
        });
        let log = TopicLog::new(topic.clone(), record, ends, epoch, self.clock().now_ms);
        self.logs.insert(record.number, log);
        self.catalog.update(|topics| topics.insert(topic));
    }

    /// Lets a topic have these configs from now on.
    fn configure_topic(&mut self, number: TopicNumber, configs: TopicConfigs) {
        let Some(log) = self.logs.get_mut(&number) else { return };
        log.configure(configs);
        self.catalog.update(|topics| topics.insert(log.topic.clone()));
        if log.wants_segment() {
            self.filling.insert(number);
        } else {
            self.filling.remove(&number);
        }
    }

    fn forget_topic(&mut self, number: TopicNumber) {
        if let Some(log) = self.logs.remove(&number) {
            self.catalog.update(|topics| {
                topics.remove(&log.topic.id);
            });
            for partition in &log.topic.partitions {
                partition.delete();
            }
        }
        self.filling.remove(&number);
        self.dead.remove(&number);
    }

    /// Answers, in the order of their commits, what is durable by now.
    fn complete_durable(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let durable = self.engine.durable_position();
        while self.in_flight.front().is_some_and(|commit| commit.position <= durable) {
            let Some(commit) = self.in_flight.pop_front() else { return };
            self.silent_since = None;
            for completion in commit.completions {
                self.complete(completion);
            }
        }
    }

    fn complete(&mut self, completion: Completion) {
        match completion {
            Completion::Publish {
                partition,
                batches,
                high_watermark,
                replies,
            } => {
                // Producers hear of it before consumers, of whom there can be thousands.
                let woken = self.tail.publish(&partition, batches, high_watermark);
                let log_start_offset = partition.bounds().log_start_offset;
                for AppendReply { reply, base_offset, .. } in replies {
                    if let Some(reply) = reply {
                        let _ = reply.send(Ok(Appended {
                            base_offset,
                            log_start_offset,
                            duplicate_timestamp_ms: None,
                        }));
                    }
                }
                drop(woken);
            }
            Completion::Duplicate {
                partition,
                written,
                reply,
            } => {
                let _ = reply.send(Ok(duplicate(&partition, &written)));
            }
            Completion::ProducerIds { first, reply } => {
                let _ = reply.send(Ok(first));
            }
            Completion::Created { record, reply } => {
                if !self.logs.contains_key(&record.number) {
                    let ends = vec![0; record.partitions.len()];
                    self.serve_topic(&record, &ends);
                }
                let _ = reply.send(Ok(record.number));
            }
            Completion::Configured {
                topic,
                configs,
                loads,
                reply,
            } => {
                // What was loaded since the commit has this change, and perhaps later ones of sessions.
                if self.loads == loads {
                    self.configure_topic(topic, *configs);
                }
                let _ = reply.send(Ok(()));
            }
            Completion::PartitionsAdded { topic, count, reply } => {
                if let Some(log) = self.logs.get_mut(&topic) {
                    log.add_partitions(count, self.catalog.leader_epoch());
                    self.catalog.update(|topics| topics.insert(log.topic.clone()));
                }
                let _ = reply.send(Ok(()));
            }
            Completion::Deleted { reply } => {
                let _ = reply.send(Ok(()));
            }
            Completion::LogStart {
                partition,
                offset,
                reply,
            } => {
                partition.set_log_start(offset);
                self.look_for_death(partition.topic);
                let _ = reply.send(Ok(partition.bounds().log_start_offset));
            }
            Completion::Group { task, outcome } => groups::answer(task, outcome),
        }
    }
}

impl<E: Engine> Drop for Runner<E> {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl AdminJob {
    fn deadline(&self) -> Instant {
        match self {
            AdminJob::Create(job) => job.deadline,
            AdminJob::AlterConfigs(job) => job.deadline,
            AdminJob::AddPartitions(job) => job.deadline,
            AdminJob::Delete(job) => job.deadline,
            AdminJob::DeleteRecords(job) => job.deadline,
            AdminJob::AllocateProducerIds(job) => job.deadline,
        }
    }

    fn fail(self, error: StorageError) {
        match self {
            AdminJob::Create(job) => drop(job.reply.send(Err(error))),
            AdminJob::AlterConfigs(job) => drop(job.reply.send(Err(error))),
            AdminJob::AddPartitions(job) => drop(job.reply.send(Err(error))),
            AdminJob::Delete(job) => drop(job.reply.send(Err(error))),
            AdminJob::DeleteRecords(job) => drop(job.reply.send(Err(error))),
            AdminJob::AllocateProducerIds(job) => drop(job.reply.send(Err(error))),
        }
    }
}

impl Read {
    fn new(kind: ReadKind) -> Self {
        Read { kind, set_aside: false }
    }

    fn is_set_aside(&self) -> bool {
        self.set_aside
    }

    fn deadline(&self) -> Instant {
        match &self.kind {
            ReadKind::Batches(job) => job.deadline,
            ReadKind::ByTime(job) => job.deadline,
            ReadKind::Sizes(job) => job.deadline,
        }
    }

    fn fail(self, error: StorageError) {
        match self.kind {
            ReadKind::Batches(job) => drop(job.reply.send(Err(error))),
            ReadKind::ByTime(job) => drop(job.reply.send(Err(error))),
            ReadKind::Sizes(job) => drop(job.reply.send(Err(error))),
        }
    }
}

/// The answer to a batch that is in the log already.
fn duplicate(partition: &Partition, written: &WrittenBatch) -> Appended {
    Appended {
        base_offset: written.base_offset,
        log_start_offset: partition.bounds().log_start_offset,
        duplicate_timestamp_ms: Some(written.max_timestamp_ms),
    }
}

fn log_disk(change: Option<DiskChange>) {
    match change {
        Some(DiskChange::Full(line)) => tracing::warn!("{line}"),
        Some(DiskChange::Free(line)) => tracing::info!("{line}"),
        None => {}
    }
}

/// Takes out of `jobs` those that `matches`, keeping the order of both.
fn extract<T>(jobs: &mut VecDeque<T>, matches: impl Fn(&T) -> bool) -> VecDeque<T> {
    if !jobs.iter().any(&matches) {
        return VecDeque::new();
    }
    let (out, kept) = std::mem::take(jobs).into_iter().partition(matches);
    *jobs = kept;
    out
}
