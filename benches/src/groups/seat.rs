//! What a member knows of the measurement that it is part of.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::watch;

use super::board::Board;
use super::schedule::Commits;
use crate::connection::Connection;
use crate::error::Error;
use crate::quantiles::Latencies;

/// The coordinator is not there yet, or elsewhere: COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
pub const COORDINATOR_ELSEWHERE: [i16; 3] = [14, 15, 16];

/// How long a member waits before it asks such a coordinator again.
pub const COORDINATOR_PAUSE: Duration = Duration::from_millis(20);

/// The last version of OffsetCommit that names topics.
const OFFSET_COMMIT: i16 = 9;

/// Partitions of a commit, if the member has that many.
const PARTITIONS_PER_COMMIT: usize = 10;

/// What all members do at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// All join.
    Forming,
    /// Nothing but heartbeats.
    Idle,
    /// A member of each group leaves and another joins.
    Rebalancing,
    /// All commit.
    Committing,
}

/// What all members of a measurement share.
pub struct Shared {
    /// Name of the topic.
    pub topic: StrBytes,
    /// Its partitions.
    pub partitions: i32,
    /// When their clocks start.
    pub origin: Instant,
    /// From one heartbeat to the next.
    pub heartbeat_interval: Duration,
    /// Where they stand.
    pub board: Board,
    /// Whether they commit.
    pub commits: watch::Receiver<Option<Commits>>,
    phase: AtomicUsize,
    heartbeats: [Mutex<Latencies>; 4],
    commit_latencies: Mutex<Latencies>,
}

impl Shared {
    /// A measurement in which all are about to join.
    pub fn new(
        topic: &str,
        partitions: i32,
        heartbeat_interval: Duration,
        board: Board,
        commits: watch::Receiver<Option<Commits>>,
    ) -> Self {
        Shared {
            topic: StrBytes::from_string(topic.to_owned()),
            partitions,
            origin: Instant::now(),
            heartbeat_interval,
            board,
            commits,
            phase: AtomicUsize::new(Phase::Forming as usize),
            heartbeats: Default::default(),
            commit_latencies: Mutex::default(),
        }
    }

    /// From now on latencies count for this.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as usize, Ordering::Relaxed);
    }

    /// Latencies of the heartbeats of a phase so far.
    pub fn heartbeats(&self, phase: Phase) -> Latencies {
        let found = &self.heartbeats[phase as usize];
        std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Latencies of the commits so far.
    pub fn commit_latencies(&self) -> Latencies {
        std::mem::take(&mut *self.commit_latencies.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A member's place.
#[derive(Clone)]
pub struct Seat {
    /// What it shares with all.
    pub shared: Arc<Shared>,
    /// The number of its group.
    pub group: usize,
    /// The name of its group.
    pub group_id: GroupId,
    /// Its own number.
    pub member: usize,
}

impl Seat {
    /// It has an assignment.
    pub fn settled(&self, generation: i32, partitions: usize) {
        self.shared.board.settled(self.group, self.member, generation, partitions);
    }

    /// It has none.
    pub fn unsettled(&self) {
        self.shared.board.unsettled(self.group, self.member);
    }

    /// A heartbeat that was due then has been answered.
    pub fn heartbeat_answered(&self, from: Instant) {
        let latencies = &self.shared.heartbeats[self.shared.phase.load(Ordering::Relaxed)];
        latencies.lock().unwrap_or_else(PoisonError::into_inner).add(from.elapsed());
    }

    /// Commits an offset of some of its partitions.
    ///
    /// # Errors
    /// It was refused.
    pub async fn commit(
        &self,
        connection: &mut Connection,
        member_id: &StrBytes,
        generation: i32,
        owned: &[i32],
        from: Instant,
    ) -> Result<(), Error> {
        let partition = |index: &i32| {
            OffsetCommitRequestPartition::default()
                .with_partition_index(*index)
                .with_committed_offset(1)
        };
        let topic = OffsetCommitRequestTopic::default()
            .with_name(TopicName(self.shared.topic.clone()))
            .with_partitions(owned.iter().take(PARTITIONS_PER_COMMIT).map(partition).collect());
        let request = OffsetCommitRequest::default()
            .with_group_id(self.group_id.clone())
            .with_member_id(member_id.clone())
            .with_generation_id_or_member_epoch(generation)
            .with_topics(vec![topic]);
        let reply = connection.call(OFFSET_COMMIT, &request).await?;
        let mut errors = reply.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.error_code);
        if let Some(code) = errors.find(|code| *code != 0) {
            return Err(refused("OffsetCommit", code));
        }
        let latencies = &self.shared.commit_latencies;
        latencies.lock().unwrap_or_else(PoisonError::into_inner).add(from.elapsed());
        Ok(())
    }
}

/// An answer that ends the measurement.
pub fn refused(api: &'static str, code: i16) -> Error {
    Error::Refused {
        api,
        found: format!("error {code}"),
    }
}
