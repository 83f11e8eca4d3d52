//! Consumer groups under load: how long groups take to form and to rebalance, what heartbeats and commits of offsets take meanwhile.
//!
//! A member is a task with one connection, as a consumer has one to its coordinator; heartbeats and commits come by the clock, those of the
//! members spread evenly. The members fetch nothing: what is measured is the coordinator.

mod board;
mod classic;
mod compare;
mod consumer;
mod schedule;
mod seat;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::messages::{DescribeGroupsRequest, FindCoordinatorRequest, GroupId};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use board::Board;
pub use compare::{compare, Options};
use schedule::Commits;
use seat::{Phase, Seat, Shared, COORDINATOR_ELSEWHERE, COORDINATOR_PAUSE};

use crate::connection::Connection;
use crate::error::Error;
use crate::quantiles::{median, Quantiles};
use crate::target::{runtime, Target, PATIENCE};

/// How members join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// JoinGroup and SyncGroup, assigned by the group's leader.
    Classic,
    /// KIP-848, assigned by the coordinator.
    Consumer,
}

/// What is measured.
#[derive(Debug, Clone)]
pub struct Load {
    /// How members join.
    pub protocol: Protocol,
    /// Groups.
    pub groups: usize,
    /// Members of each.
    pub members: usize,
    /// A topic that exists; every group shares all of it.
    pub topic: String,
    /// Its partitions.
    pub partitions: i32,
    /// From one heartbeat of a member to its next. For the consumer protocol the coordinator has to be set to it.
    pub heartbeat_interval: Duration,
    /// How long nothing happens but heartbeats, and how long all commit.
    pub phase: Duration,
    /// Times that a member of each group, its oldest, leaves while another joins.
    pub rebalances: usize,
    /// Commits a second, of all members together.
    pub commits_per_s: f64,
}

/// What came of it. Times are in seconds.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// From the first join until every group was stable.
    pub forming_s: f64,
    /// From a leave and a join in each group until every group was stable again: the median of the rebalances.
    pub rebalance_s: f64,
    /// Of heartbeats while nothing else happens.
    pub idle_heartbeats: Quantiles,
    /// Of heartbeats while groups rebalance.
    pub rebalance_heartbeats: Quantiles,
    /// Of OffsetCommits.
    pub commits: Quantiles,
    /// CPU seconds of the broker while the groups formed.
    pub forming_cpu_s: f64,
    /// The same while nothing happened but heartbeats, per second.
    pub idle_cpu_per_s: f64,
    /// The same for one rebalance (of each group).
    pub rebalance_cpu_s: f64,
    /// The same for 10,000 commits, heartbeats beside them included.
    pub commit_cpu_s: f64,
}

/// Forms the groups, lets them be, rebalances them, lets all members commit, and lets all leave.
///
/// # Errors
/// The broker refuses, or groups do not become stable within [`PATIENCE`].
pub fn run(target: &Target, load: &Load) -> Result<Figures, Error> {
    runtime()?.block_on(async {
        let mut run = Run::new(target, load).await?;
        let figures = run.phases().await?;
        run.end().await?;
        Ok(figures)
    })
}

/// A measurement under way.
struct Run<'a> {
    target: &'a Target,
    load: &'a Load,
    shared: Arc<Shared>,
    names: Vec<GroupId>,
    commits: watch::Sender<Option<Commits>>,
    members: JoinSet<Result<(), Error>>,
    /// By group, oldest first: the number of each member, and how it is told to leave.
    leave: Vec<VecDeque<(usize, oneshot::Sender<()>)>>,
    next_member: usize,
}

impl<'a> Run<'a> {
    async fn new(target: &'a Target, load: &'a Load) -> Result<Self, Error> {
        let (commits, committing) = watch::channel(None);
        let board = Board::new(load.groups, load.members, load.partitions as usize);
        let shared = Shared::new(&load.topic, load.partitions, load.heartbeat_interval, board, committing);
        let run = uuid::Uuid::new_v4().simple().to_string();
        let name = |group| GroupId(StrBytes::from_string(format!("load-{run}-{group}")));
        let run = Run {
            target,
            load,
            shared: Arc::new(shared),
            names: (0..load.groups).map(name).collect(),
            commits,
            members: JoinSet::new(),
            leave: (0..load.groups).map(|_| VecDeque::new()).collect(),
            next_member: load.members,
        };
        run.await_coordinators().await?;
        Ok(run)
    }

    /// Apache Kafka makes its topic of offsets when it is first asked, and then loads each of its partitions.
    async fn await_coordinators(&self) -> Result<(), Error> {
        let mut connection = Connection::open(&self.target.brokers).await?;
        let find = FindCoordinatorRequest::default().with_key(self.names[0].0.clone());
        let describe = DescribeGroupsRequest::default().with_groups(self.names.clone());
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if connection.call(0, &find).await?.error_code == 0 {
                let found = connection.call(5, &describe).await?.groups;
                if found.iter().all(|group| !COORDINATOR_ELSEWHERE.contains(&group.error_code)) {
                    return Ok(());
                }
            }
            tokio::time::sleep(COORDINATOR_PAUSE).await;
        }
        Err(Error::Incomplete(format!(
            "no coordinator for the groups within {PATIENCE:?}"
        )))
    }

    async fn phases(&mut self) -> Result<Figures, Error> {
        let mut figures = Figures::default();
        (figures.forming_s, figures.forming_cpu_s) = self.form().await?;
        (figures.idle_heartbeats, figures.idle_cpu_per_s) = self.idle().await?;
        let (mut times, mut cpu) = (Vec::new(), 0.0);
        self.shared.enter(Phase::Rebalancing);
        for _ in 0..self.load.rebalances {
            let (time, used) = self.rebalance().await?;
            times.push(time);
            cpu += used;
        }
        figures.rebalance_s = median(&times);
        figures.rebalance_cpu_s = cpu / times.len().max(1) as f64;
        figures.rebalance_heartbeats = self.shared.heartbeats(Phase::Rebalancing).quantiles();
        (figures.commits, figures.commit_cpu_s) = self.commit().await?;
        Ok(figures)
    }

    /// The time until all are stable, and CPU seconds.
    async fn form(&mut self) -> Result<(f64, f64), Error> {
        let (groups, members) = (self.load.groups, self.load.members);
        // A connection takes its time, most of all where the queue of those to be accepted is short.
        let mut connections = Vec::new();
        for group in 0..groups {
            for member in 0..members {
                connections.push((group, member, Connection::open(&self.target.brokers).await?));
            }
        }
        let cpu_before = self.cpu()?;
        let started = Instant::now();
        for (group, member, connection) in connections {
            self.join(group, member, connection);
        }
        Ok((self.stable_since(started).await?, self.cpu()? - cpu_before))
    }

    async fn idle(&mut self) -> Result<(Quantiles, f64), Error> {
        self.shared.enter(Phase::Idle);
        let cpu_before = self.cpu()?;
        self.watch_for(self.load.phase).await?;
        let cpu = (self.cpu()? - cpu_before) / self.load.phase.as_secs_f64();
        Ok((self.shared.heartbeats(Phase::Idle).quantiles(), cpu))
    }

    async fn rebalance(&mut self) -> Result<(f64, f64), Error> {
        let mut connections = Vec::new();
        for _ in 0..self.load.groups {
            connections.push(Connection::open(&self.target.brokers).await?);
        }
        let newcomer = self.next_member;
        self.next_member += 1;
        let cpu_before = self.cpu()?;
        let started = Instant::now();
        for (group, connection) in connections.into_iter().enumerate() {
            if let Some((oldest, leave)) = self.leave[group].pop_front() {
                self.shared.board.replace(group, oldest, newcomer);
                // One that has ended tells why when it is joined.
                let _ = leave.send(());
            }
            self.join(group, newcomer, connection);
        }
        Ok((self.stable_since(started).await?, self.cpu()? - cpu_before))
    }

    async fn commit(&mut self) -> Result<(Quantiles, f64), Error> {
        self.shared.enter(Phase::Committing);
        let members = (self.load.groups * self.load.members) as f64;
        let cpu_before = self.cpu()?;
        let commits = Commits {
            since: Instant::now(),
            period: Duration::from_secs_f64(members / self.load.commits_per_s),
        };
        self.commits.send_replace(Some(commits));
        self.watch_for(self.load.phase).await?;
        self.commits.send_replace(None);
        let cpu = self.cpu()? - cpu_before;
        let latencies = self.shared.commit_latencies();
        let commits = latencies.count() as f64;
        Ok((latencies.quantiles(), cpu / commits * 10_000.0))
    }

    /// Lets all members leave, so that what they leave behind does not disturb what is measured next.
    async fn end(mut self) -> Result<(), Error> {
        self.leave.clear();
        while let Some(ended) = self.members.join_next().await {
            ended.map_err(|e| Error::Incomplete(format!("a member: {e}")))??;
        }
        Ok(())
    }

    fn join(&mut self, group: usize, member: usize, connection: Connection) {
        let (leave, told) = oneshot::channel();
        self.leave[group].push_back((member, leave));
        let seat = Seat {
            shared: self.shared.clone(),
            group,
            group_id: self.names[group].clone(),
            member,
        };
        let place = group * self.load.members + member % self.load.members;
        let phase = place as f64 / (self.load.groups * self.load.members) as f64;
        match self.load.protocol {
            Protocol::Classic => self.members.spawn(classic::run(seat, connection, phase, told)),
            Protocol::Consumer => self.members.spawn(consumer::run(seat, connection, phase, told)),
        };
    }

    /// Seconds from then until all groups are stable.
    async fn stable_since(&mut self, started: Instant) -> Result<f64, Error> {
        let shared = self.shared.clone();
        let deadline = tokio::time::sleep(PATIENCE);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                last = shared.board.all_stable() => return Ok((last - started).as_secs_f64()),
                Some(ended) = self.members.join_next() => ended.map_err(|e| Error::Incomplete(format!("a member: {e}")))??,
                () = &mut deadline => return Err(Error::Incomplete(format!(
                    "{} of {} groups are not stable after {PATIENCE:?}",
                    shared.board.unstable(),
                    self.load.groups
                ))),
            }
        }
    }

    /// Lets time pass while nobody may fail.
    async fn watch_for(&mut self, time: Duration) -> Result<(), Error> {
        let end = tokio::time::sleep(time);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                Some(ended) = self.members.join_next() => ended.map_err(|e| Error::Incomplete(format!("a member: {e}")))??,
            }
        }
    }

    fn cpu(&self) -> Result<f64, Error> {
        Ok(self.target.cpu_seconds()?.unwrap_or(0.0))
    }
}
