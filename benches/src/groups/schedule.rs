//! When a member does what: heartbeats and commits by the clock, whatever became of those before.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::connection::wait_until;

/// What a member is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Send a heartbeat whose latency counts from then.
    Heartbeat(Instant),
    /// Commit offsets; the latency counts from then.
    Commit(Instant),
    /// Leave the group.
    Leave,
}

/// Since when all members commit, and how often each.
#[derive(Debug, Clone, Copy)]
pub struct Commits {
    /// The first commit of the first member.
    pub since: Instant,
    /// From one commit of a member to its next.
    pub period: Duration,
}

/// The clock of one member.
pub struct Schedule {
    heartbeat_interval: Duration,
    /// When this member's first heartbeat would have been due. The later ones are whole intervals after it.
    origin: Instant,
    heartbeat: Instant,
    /// How far this member is behind the first one, in parts of an interval.
    phase: f64,
    commits: watch::Receiver<Option<Commits>>,
    commit: Option<Instant>,
    leave: oneshot::Receiver<()>,
}

impl Schedule {
    /// A clock that starts at `origin`, which is the same for all members. `phase`, from 0 to 1, spreads what they do.
    pub fn new(
        origin: Instant,
        heartbeat_interval: Duration,
        phase: f64,
        commits: watch::Receiver<Option<Commits>>,
        leave: oneshot::Receiver<()>,
    ) -> Self {
        let mut schedule = Schedule {
            heartbeat_interval,
            origin: origin + heartbeat_interval.mul_f64(phase),
            heartbeat: origin,
            phase,
            commits,
            commit: None,
            leave,
        };
        schedule.heard();
        schedule
    }

    /// The member has just heard from its coordinator: heartbeats that were due before now are not sent.
    pub fn heard(&mut self) {
        let intervals = self.origin.elapsed().as_secs_f64() / self.heartbeat_interval.as_secs_f64();
        self.heartbeat = self.origin + self.heartbeat_interval.mul_f64(intervals.floor() + 1.0);
    }

    /// Waits for what is due next. A member that is told to leave, or whose driver has gone, leaves.
    pub async fn next(&mut self) -> Event {
        loop {
            let commit_first = self.commit.filter(|commit| *commit < self.heartbeat);
            let due = commit_first.unwrap_or(self.heartbeat);
            let mut waiting: Pin<Box<dyn Future<Output = Instant> + Send>> = Box::pin(wait_until(due));
            tokio::select! {
                biased;
                _ = &mut self.leave => return Event::Leave,
                changed = self.commits.changed() => match changed {
                    Ok(()) => self.plan_commits(),
                    Err(_) => return Event::Leave,
                },
                from = &mut waiting => return self.take(commit_first.is_some(), due, from),
            }
        }
    }

    fn take(&mut self, commit: bool, due: Instant, from: Instant) -> Event {
        let period = self.commits.borrow().map(|commits| commits.period);
        if commit {
            self.commit = period.map(|period| due + period);
            return Event::Commit(from);
        }
        self.heartbeat = due + self.heartbeat_interval;
        Event::Heartbeat(from)
    }

    fn plan_commits(&mut self) {
        let commits = *self.commits.borrow_and_update();
        self.commit = commits.map(|commits| commits.since + commits.period.mul_f64(self.phase));
    }
}
