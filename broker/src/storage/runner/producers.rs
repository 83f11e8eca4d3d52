//! The producers of all partitions: found at start, stored now and then, forgotten when idle or too many.
//!
//! A snapshot covers what was committed when it was taken. It is written in a transaction of its own, which needs no flush: what a crash
//! loses of it is read from the log again. Only when a segment is left, the snapshot goes into the group that leaves it, so that
//! the segment can be dropped any time after.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::sequences::{append_nothing, Clock, Draft, Outcome};
use super::topic_log::TopicLog;
use super::{duplicate, log_disk, Completion, Runner};
use crate::limits::{
    PRODUCERS_PER_BROKER, PRODUCER_SNAPSHOT_INTERVAL_BYTES, PRODUCER_SNAPSHOT_PAUSE, PRODUCER_SWEEP_INTERVAL, TABLES_PER_GROUP,
};
use crate::producers::snapshot;
use crate::producers::state::{Idle, ProducerBatch, Producers, Verdict};
use crate::settings::Settings;
use crate::storage::engine::{CommitMode, Engine, EngineError, EngineResult, ProducerSnapshot, TopicNumber, TopicRecord};
use crate::storage::jobs::{AllocateProducerIdsJob, AppendJob, StorageError};
use crate::storage::parts::{segments_from, SegmentPart};
use crate::wire::batch::BatchHeader;

/// Headers that one call of the engine returns at most while a log is read at start.
const HEADERS_PER_CALL: usize = 1024;

/// When something is to be done about the producers.
#[derive(Debug)]
pub(super) struct ProducerUpkeep {
    expiration: Duration,
    /// An instant and what the clock said then, in milliseconds since 1970.
    opened: (Instant, i64),
    /// Bytes of log that no snapshot covers, all partitions together; too many if a topic was deleted since this was last counted.
    unsnapshotted_bytes: u64,
    snapshots_after: Instant,
    /// Producers that became known since the last sweep, or since a sweep was due.
    added: usize,
    swept_at: Instant,
}

impl ProducerUpkeep {
    pub(super) fn new(settings: &Settings) -> Self {
        let now = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ProducerUpkeep {
            expiration: settings.producer_id_expiration,
            opened: (now, i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            unsnapshotted_bytes: 0,
            snapshots_after: now,
            added: 0,
            swept_at: now,
        }
    }

    pub(super) fn configure(&mut self, settings: &Settings) {
        self.expiration = settings.producer_id_expiration;
    }

    /// That so many bytes were appended, by so many producers that were not known.
    pub(super) fn count(&mut self, bytes: u64, added: usize) {
        self.unsnapshotted_bytes += bytes;
        self.added += added;
    }

    fn clock(&self, now: Instant) -> Clock {
        let milliseconds = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self
            .opened
            .1
            .saturating_add(milliseconds(now.saturating_duration_since(self.opened.0)));
        let idle = Idle {
            since_ms: now_ms.saturating_sub(milliseconds(self.expiration)),
        };
        Clock { now_ms, idle }
    }
}

/// What was found of a partition's producers.
pub(super) struct Loaded {
    producers: Producers,
    /// Bytes of log that their snapshot does not cover.
    unsnapshotted_bytes: u64,
}

impl<E: Engine> Runner<E> {
    pub(super) fn clock(&self) -> Clock {
        self.producers.clock(self.now)
    }

    /// The producers of each partition of a stored topic: those of its snapshot, and what the log says after it.
    pub(super) fn load_producers(&mut self, record: &TopicRecord, ends: &[i64]) -> EngineResult<Vec<Loaded>> {
        let now_ms = self.clock().now_ms;
        let mut stored = self.engine.producer_snapshots(record.number)?.into_iter().peekable();
        let mut all = Vec::with_capacity(ends.len());
        for (partition, end) in ends.iter().enumerate() {
            let partition = partition as i32;
            while stored.next_if(|snapshot| snapshot.partition < partition).is_some() {}
            let (mut producers, from) = stored
                .next_if(|snapshot| snapshot.partition == partition)
                .and_then(|snapshot| read_snapshot(record, &snapshot, *end))
                .unwrap_or_default();
            let unsnapshotted_bytes = replay(&mut self.engine, record, partition, from..*end, &mut producers, now_ms)?;
            all.push(Loaded {
                producers,
                unsnapshotted_bytes,
            });
        }
        Ok(all)
    }

    pub(super) fn put_producers(&mut self, number: TopicNumber, loaded: Vec<Loaded>) {
        let Some(log) = self.logs.get_mut(&number) else { return };
        for (partition, loaded) in log.partitions.iter_mut().zip(loaded) {
            self.producers.count(loaded.unsnapshotted_bytes, loaded.producers.len());
            partition.producers = loaded.producers;
            partition.unsnapshotted_bytes = loaded.unsnapshotted_bytes;
        }
    }

    /// Answers the jobs of topics to which nothing is appended, and takes them out of `group`: they need no transaction and no lock.
    pub(super) fn answer_unwritten(&mut self, group: &mut super::group::Group) {
        let clock = self.clock();
        let nothing = |(number, jobs): (&TopicNumber, &Vec<AppendJob>)| {
            let log = self.logs.get(number)?;
            append_nothing(log, jobs, clock).then_some(*number)
        };
        let numbers: Vec<_> = group.iter().filter_map(nothing).collect();
        let mut completions = Vec::new();
        for number in numbers {
            let (Some(log), Some(jobs)) = (self.logs.get(&number), group.remove(&number)) else {
                continue;
            };
            let draft = Draft::new(log, &jobs, clock);
            for (job, outcome) in jobs.into_iter().zip(draft.outcomes) {
                completions.extend(answer_unwritten(log, job, outcome));
            }
        }
        self.complete_with_last(completions);
    }

    /// Completes these when all that is committed is durable.
    fn complete_with_last(&mut self, completions: impl IntoIterator<Item = Completion>) {
        match self.in_flight.back_mut() {
            Some(commit) => commit.completions.extend(completions),
            None => completions.into_iter().for_each(|completion| self.complete(completion)),
        }
    }

    /// Answers jobs with an error that says: surely not written, send it again. To one whose batch is in the log already that would be
    /// a lie: it is answered as a duplicate.
    pub(super) fn refuse_appends(&mut self, jobs: impl IntoIterator<Item = AppendJob>, error: &StorageError) {
        let idle = self.clock().idle;
        for job in jobs {
            let append = &job.append;
            let written = append.producer.as_ref().and_then(|batch| {
                let log = self.logs.get(&append.topic)?;
                let known = log.partitions.get(usize::try_from(append.partition).ok()?)?;
                match known.producers.check(batch, idle) {
                    Ok(Verdict::Duplicate(written)) => Some((log, written)),
                    _ => None,
                }
            });
            if let Some((log, written)) = written {
                let completion = answer_unwritten(log, job, Outcome::Duplicate(written));
                self.complete_with_last(completion);
                continue;
            }
            if let Some(batch) = &append.producer {
                self.refuse_batch(append.topic, append.partition, batch);
            }
            let _ = job.reply.send(Err(error.clone()));
        }
    }

    /// A batch that comes again is refused for now: what its producer sends after it is out of order until it is there.
    pub(super) fn refuse_batch(&mut self, topic: TopicNumber, partition: i32, batch: &ProducerBatch) {
        let clock = self.clock();
        let partition = self
            .logs
            .get_mut(&topic)
            .and_then(|log| log.partitions.get_mut(usize::try_from(partition).ok()?));
        if let Some(partition) = partition {
            let added = partition.producers.refuse(batch, clock.idle, clock.now_ms);
            self.producers.count(0, usize::from(added));
        }
    }

    /// Stores snapshots of the topics that have most to read at a start, when it is too much for all together.
    pub(super) fn snapshot_producers(&mut self) {
        let upkeep = &self.producers;
        if upkeep.unsnapshotted_bytes < PRODUCER_SNAPSHOT_INTERVAL_BYTES
            || self.now < upkeep.snapshots_after
            || self.disk.is_full()
        {
            return;
        }
        let bytes_of = |log: &TopicLog| {
            log.partitions
                .iter()
                .map(|partition| partition.unsnapshotted_bytes)
                .sum::<u64>()
        };
        let mut topics: Vec<_> = self.logs.iter().map(|(number, log)| (bytes_of(log), *number)).collect();
        topics.sort_unstable_by(|one, other| other.cmp(one));
        let wanted = topics.iter().take_while(|(bytes, _)| *bytes > 0).take(TABLES_PER_GROUP);
        let wanted: Vec<_> = wanted.map(|(_, number)| *number).collect();
        match self.store_snapshots(&wanted) {
            Ok(stored) => {
                for number in &stored {
                    let log = self.logs.get_mut(number).into_iter();
                    log.flat_map(|log| &mut log.partitions)
                        .for_each(|partition| partition.unsnapshotted_bytes = 0);
                }
                if stored.len() < wanted.len() {
                    self.producers.snapshots_after = self.now + PRODUCER_SNAPSHOT_PAUSE;
                }
            }
            Err(error) => {
                self.engine.rollback();
                self.producers.snapshots_after = self.now + PRODUCER_SNAPSHOT_PAUSE;
                log_disk(self.disk.failed(&error, self.now));
                if !matches!(error, EngineError::Busy(_)) {
                    tracing::warn!(%error, "snapshots of producers are not stored");
                }
            }
        }
        self.producers.unsnapshotted_bytes = self.logs.values().map(bytes_of).sum();
    }

    /// Stores snapshots of these topics in one transaction, but of those whose segment another session holds. Returns which were stored.
    fn store_snapshots(&mut self, topics: &[TopicNumber]) -> EngineResult<Vec<TopicNumber>> {
        self.engine.begin()?;
        self.engine.lock_bookkeeping()?;
        let mut stored = Vec::with_capacity(topics.len());
        for number in topics {
            let Some(log) = self.logs.get(number) else { continue };
            let Some(active) = log.active() else { continue };
            // A topic whose segment is locked is not being dropped: no row of it is changed by another session.
            match self.engine.lock_segment(log.id_of(active)) {
                Ok(()) => {}
                Err(EngineError::Busy(_)) => continue,
                Err(error) => return Err(error),
            }
            self.engine.store_producer_snapshots(*number, &log.producer_snapshots())?;
            stored.push(*number);
        }
        self.engine.commit(CommitMode::Async)?;
        Ok(stored)
    }

    /// Forgets producers that are idle for too long and, when there are too many, the least recently active of all.
    pub(super) fn sweep_producers(&mut self) {
        let upkeep = &self.producers;
        let due = self.now.saturating_duration_since(upkeep.swept_at) >= PRODUCER_SWEEP_INTERVAL;
        if !due && upkeep.added < PRODUCERS_PER_BROKER / 10 {
            return;
        }
        let idle = self.clock().idle;
        let mut all: Vec<_> = self
            .logs
            .values_mut()
            .flat_map(|log| &mut log.partitions)
            .map(|partition| &mut partition.producers)
            .collect();
        all.iter_mut().for_each(|producers| producers.forget(idle));
        let forgotten = keep_most_recent(&mut all, PRODUCERS_PER_BROKER / 10 * 9);
        if forgotten > 0 {
            tracing::warn!(forgotten, "too many producers: the least recently active are forgotten");
        }
        self.producers.added = 0;
        self.producers.swept_at = self.now;
    }

    pub(super) fn allocate_producer_ids(&mut self, job: AllocateProducerIdsJob) -> Option<AllocateProducerIdsJob> {
        let result = self.transaction(|engine| {
            engine.lock_bookkeeping()?;
            engine.allocate_producer_ids(job.count)
        });
        match result {
            Ok((position, first)) => {
                self.when_durable(position, Completion::ProducerIds { first, reply: job.reply });
                None
            }
            Err(EngineError::Busy(_)) => Some(job),
            Err(error) => {
                tracing::error!(%error, "no producer ids");
                let _ = job.reply.send(Err(StorageError::Engine(error)));
                None
            }
        }
    }
}

/// Answers a job whose batch is not appended. A duplicate is answered when what it repeats is durable: a completion is returned if that is
/// not known yet.
pub(super) fn answer_unwritten(log: &TopicLog, job: AppendJob, outcome: Outcome) -> Option<Completion> {
    let partition = &log.partitions[job.append.partition as usize].partition;
    let bounds = partition.bounds();
    match outcome {
        Outcome::Append { .. } => None,
        Outcome::Duplicate(written) if job.append.early_reply || written.last_offset() < bounds.high_watermark => {
            let _ = job.reply.send(Ok(duplicate(partition, &written)));
            None
        }
        Outcome::Duplicate(written) => Some(Completion::Duplicate {
            partition: partition.clone(),
            written,
            reply: job.reply,
        }),
        Outcome::Refused(error) => {
            let log_start_offset = bounds.log_start_offset;
            let _ = job.reply.send(Err(StorageError::Sequence { error, log_start_offset }));
            None
        }
    }
}

/// The producers of a stored snapshot, and from where the log has to be read; `None` if it is of no use.
fn read_snapshot(record: &TopicRecord, stored: &ProducerSnapshot, end: i64) -> Option<(Producers, i64)> {
    let reason = match snapshot::decode(&stored.state) {
        Ok(producers) if stored.offset <= end => return Some((producers, stored.offset)),
        Ok(_) => "it is from beyond the end of the log".to_owned(),
        Err(error) => error.to_string(),
    };
    let (topic, partition) = (&record.name, stored.partition);
    tracing::warn!(%topic, partition, %reason, "the snapshot of producers is of no use; the whole log is read instead");
    None
}

/// Adds the batches of a partition that begin within `offsets` to its producers, as far as the log still has them, deleted records
/// included. Returns their size in bytes.
fn replay<E: Engine>(
    engine: &mut E,
    record: &TopicRecord,
    partition: i32,
    offsets: std::ops::Range<i64>,
    producers: &mut Producers,
    now_ms: i64,
) -> EngineResult<u64> {
    let mut bytes = 0;
    let mut from = offsets.start;
    if offsets.is_empty() {
        return Ok(0);
    }
    for part in segments_from(record.number, &record.segments, partition, from) {
        from = from.max(part.base);
        loop {
            let headers = read_headers(engine, part, partition, from)?;
            for header in &headers {
                bytes += header.size_bytes() as u64;
                from = header.base_offset + i64::from(header.last_offset_delta) + 1;
                if let Some(batch) = ProducerBatch::of(header).filter(|_| header.base_offset >= offsets.start) {
                    producers.replay(&batch, header.base_offset, now_ms);
                }
            }
            if headers.len() < HEADERS_PER_CALL {
                break;
            }
        }
    }
    Ok(bytes)
}

fn read_headers<E: Engine>(engine: &mut E, part: SegmentPart, partition: i32, from: i64) -> EngineResult<Vec<BatchHeader>> {
    let segment = part.segment;
    // Beyond what an index can hold there is nothing.
    let Some(relative) = part.relative(from) else {
        return Ok(Vec::new());
    };
    let headers = engine.read_headers(segment, partition, relative, HEADERS_PER_CALL)?;
    let parse = |bytes| BatchHeader::parse(bytes).map_err(|error| EngineError::Damaged(format!("{segment:?}: {error}")));
    headers.iter().map(|bytes| parse(bytes)).collect()
}

/// Forgets the least recently active of all these producers until there are at most `keep`; returns how many it forgot.
fn keep_most_recent(all: &mut [&mut Producers], keep: usize) -> usize {
    let count: usize = all.iter().map(|producers| producers.len()).sum();
    let surplus = count.saturating_sub(keep);
    if surplus == 0 {
        return 0;
    }
    let states = all.iter().enumerate();
    let mut ages: Vec<_> = states
        .flat_map(|(place, producers)| {
            producers
                .activity_ms()
                .map(move |(producer_id, at_ms)| (at_ms, place, producer_id))
        })
        .collect();
    ages.select_nth_unstable(surplus - 1);
    for (_, place, producer_id) in &ages[..surplus] {
        all[*place].remove(*producer_id);
    }
    surplus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_active_are_forgotten_over_all_partitions() {
        let batch = |producer_id| ProducerBatch {
            producer_id,
            epoch: 0,
            base_sequence: 0,
            last_offset_delta: 0,
            max_timestamp_ms: 0,
        };
        let mut partitions = [Producers::default(), Producers::default()];
        for (place, producer_id, at_ms) in [(0, 1, 50), (0, 2, 10), (1, 1, 20), (1, 3, 40), (1, 4, 30)] {
            partitions[place].replay(&batch(producer_id), 0, at_ms);
        }
        let kept = |partitions: &[Producers; 2]| {
            let ids = |producers: &Producers| {
                let mut ids: Vec<_> = producers.activity_ms().map(|(producer_id, _)| producer_id).collect();
                ids.sort_unstable();
                ids
            };
            (ids(&partitions[0]), ids(&partitions[1]))
        };
        let mut keep = |count| {
            let [one, other] = &mut partitions;
            let forgotten = keep_most_recent(&mut [one, other], count);
            (forgotten, kept(&partitions))
        };
        assert_eq!(keep(5), (0, (vec![1, 2], vec![1, 3, 4])));
        assert_eq!(keep(3), (2, (vec![1], vec![3, 4])));
        assert_eq!(keep(0), (3, (vec![], vec![])));
    }
}
