//! Groups and committed offsets: all jobs that wait, up to a limit, in one transaction and in order. Changes and commits that follow each
//! other are written together: see [`GroupBatch`].

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use super::group_batch::{GroupBatch, Locked};
use super::{log_disk, Completion, InFlight, Runner};
use crate::limits::GROUP_JOBS_PER_TURN;
use crate::storage::engine::{CommitMode, Engine, EngineError, EngineResult};
use crate::storage::group_jobs::{GroupJob, GroupOffsets, GroupTask};
use crate::storage::groups::{OffsetKey, StoredGroup};
use crate::storage::jobs::StorageError;

/// What came of a task.
pub(super) enum Outcome {
    Done,
    Loaded(Vec<StoredGroup>),
    Fetched(GroupOffsets),
    Expired(bool),
    /// Another session has locked rows of it; of a commit, those of these keys, and the others are written.
    Locked(HashSet<OffsetKey>),
}

impl<E: Engine> Runner<E> {
    /// Runs the jobs about groups that wait. Returns whether more can be run at once.
    ///
    /// Where appends wait too, their commit flushes this one as well: see [`Runner::flush_commits`].
    pub(super) fn run_groups(&mut self) -> bool {
        // Those that were set aside take no room from the others.
        let count = self.group_jobs.len().min(self.groups_set_aside + GROUP_JOBS_PER_TURN);
        if count == 0 {
            return false;
        }
        let later = self.group_jobs.split_off(count);
        let jobs = std::mem::replace(&mut self.group_jobs, later).into();
        let more = !self.group_jobs.is_empty();
        let set_aside = self.group_transaction(jobs, &mut Locked::default());
        self.groups_set_aside = set_aside.len();
        for job in set_aside.into_iter().rev() {
            self.group_jobs.push_front(job);
        }
        more
    }

    /// Answers jobs that met another session's lock until their deadline.
    pub(super) fn give_up_groups(&mut self, now: Instant) {
        for job in super::extract(&mut self.group_jobs, |job| job.deadline <= now) {
            job.task.fail(StorageError::TimedOut);
        }
    }

    /// Answers what would take room, untried.
    pub(super) fn refuse_group_growth(&mut self) {
        for job in super::extract(&mut self.group_jobs, |job| job.task.grows()) {
            job.task.fail(StorageError::DiskFull);
        }
    }

    /// One transaction for all of `jobs` but for what is `locked`, to which it adds; those that met another session's lock come back. If
    /// it fails, each job is tried alone.
    fn group_transaction(&mut self, jobs: Vec<GroupJob>, locked: &mut Locked) -> Vec<GroupJob> {
        let mode = match self.appends.is_empty() {
            true => CommitMode::Flush,
            false => CommitMode::Async,
        };
        let begun = self.engine.begin().and_then(|()| self.engine.lock_groups());
        if let Err(EngineError::Busy(_)) = begun {
            self.engine.rollback();
            return jobs;
        }
        let outcomes = begun
            .and_then(|()| run_jobs(&mut self.engine, &jobs, locked))
            .and_then(|outcomes| Ok((self.engine.commit(mode)?, outcomes)));
        let error = match outcomes {
            Ok((position, outcomes)) => {
                let (completions, set_aside) = split(jobs, outcomes);
                if mode == CommitMode::Async {
                    self.unflushed.now = Some(position);
                }
                self.in_flight.push_back(InFlight { position, completions });
                return set_aside;
            }
            Err(error) => error,
        };
        self.engine.rollback();
        log_disk(self.disk.failed(&error, self.now));
        match (error, jobs.len()) {
            (EngineError::Busy(_), 1) => jobs,
            (error, 1) => {
                tracing::error!(%error, "a change of a group or of committed offsets failed");
                for job in jobs {
                    job.task.fail(StorageError::Engine(error.clone()));
                }
                Vec::new()
            }
            (error, count) => {
                tracing::warn!(%error, jobs = count, "a transaction about groups failed; its jobs are tried one by one");
                self.group_transactions(jobs)
            }
        }
    }

    /// A transaction for each of `jobs`, after one for all of them failed. What one of them leaves counts as locked for those that follow.
    fn group_transactions(&mut self, jobs: Vec<GroupJob>) -> Vec<GroupJob> {
        let mut locked = Locked::default();
        let mut set_aside = Vec::new();
        for job in jobs {
            let left = self.group_transaction(vec![job], &mut locked);
            left.iter().for_each(|job| locked.add(&job.task));
            set_aside.extend(left);
        }
        set_aside
    }
}

fn run_jobs<E: Engine>(engine: &mut E, jobs: &[GroupJob], locked: &mut Locked) -> EngineResult<Vec<Outcome>> {
    let mut outcomes = Vec::with_capacity(jobs.len());
    while let Some(job) = jobs.get(outcomes.len()) {
        let mut batch = GroupBatch::default();
        let following = jobs[outcomes.len()..].iter();
        match following.take_while(|job| batch.take(&job.task)).count() {
            0 => {
                let outcome = run_task(engine, &job.task, locked)?;
                if matches!(outcome, Outcome::Locked(_)) {
                    locked.add(&job.task);
                }
                outcomes.push(outcome);
            }
            _ => outcomes.extend(batch.write(engine, locked)?),
        }
    }
    Ok(outcomes)
}

/// Does a task that is not part of a batch.
fn run_task<E: Engine>(engine: &mut E, task: &GroupTask, locked: &Locked) -> EngineResult<Outcome> {
    let done = |written| match written {
        true => Outcome::Done,
        false => Outcome::Locked(HashSet::new()),
    };
    Ok(match task {
        GroupTask::Write { group_id, .. } | GroupTask::DeleteOffsets { group_id, .. } if locked.is_of(group_id) => done(false),
        GroupTask::Load { group_id, .. } => Outcome::Loaded(engine.load_groups(group_id.as_deref())?),
        GroupTask::Fetch { group_id, .. } => Outcome::Fetched(engine.committed_offsets(group_id)?),
        GroupTask::DeleteOffsets {
            group_id, partitions, ..
        } => done(engine.delete_offsets(group_id, partitions)?),
        GroupTask::Expire { expiry, .. } => Outcome::Expired(engine.expire_offsets(expiry)?),
        GroupTask::Write { group_id, change, .. } => {
            let locked = engine.write_groups(&[(group_id.clone(), change.clone())])?;
            done(locked.is_empty())
        }
        GroupTask::Commit { offsets, .. } => {
            let locked = engine.commit_offsets(offsets)?;
            done(locked.is_empty())
        }
    })
}

/// What is to be answered when the transaction is durable, and the jobs that are to be tried again.
fn split(jobs: Vec<GroupJob>, outcomes: Vec<Outcome>) -> (Vec<Completion>, Vec<GroupJob>) {
    let (mut completions, mut set_aside) = (Vec::new(), Vec::new());
    for (mut job, outcome) in jobs.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Locked(left) => {
                // What is written must not be written again: a later commit of it may be done before this one is tried again.
                if let GroupTask::Commit { offsets, .. } = &mut job.task {
                    offsets.retain(|(key, _)| left.contains(key));
                }
                set_aside.push(job);
            }
            outcome => completions.push(Completion::Group { task: job.task, outcome }),
        }
    }
    (completions, set_aside)
}

/// Answers a task whose transaction is durable.
pub(super) fn answer(task: GroupTask, outcome: Outcome) {
    match (task, outcome) {
        (GroupTask::Load { reply, .. }, Outcome::Loaded(groups)) => drop(reply.send(Ok(groups))),
        (GroupTask::Fetch { reply, .. }, Outcome::Fetched(offsets)) => drop(reply.send(Ok(offsets))),
        (GroupTask::Expire { reply, .. }, Outcome::Expired(left)) => drop(reply.send(Ok(left))),
        (
            GroupTask::Write { reply, .. } | GroupTask::Commit { reply, .. } | GroupTask::DeleteOffsets { reply, .. },
            Outcome::Done,
        ) => drop(reply.send(Ok(()))),
        // No task has another outcome; whoever asked sees its reply dropped.
        _ => {}
    }
}

/// The queue of jobs about groups.
pub(super) type GroupJobs = VecDeque<GroupJob>;
