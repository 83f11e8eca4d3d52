//! What an operator decides about classic groups, and the bounds that are fixed.

use std::time::Duration;

/// Time after which a member that joined without ever having been in a generation gives its place back, though its JoinGroup is parked:
/// nothing else tells that its client vanished (Kafka `classicGroupNewMemberJoinTimeoutMs`).
pub const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Member ids of one group that were given out and not yet joined with (KIP-394). At this number a further dynamic member gets
/// COORDINATOR_NOT_AVAILABLE (15), which clients retry; an id is given up after its session timeout. Kafka has no such bound.
pub const PENDING_MEMBERS_PER_GROUP: usize = 4096;

/// Shortest time between two attempts to end a rebalance in which no member has rejoined. Kafka waits the rebalance timeout only,
/// which a client may set to zero.
pub const MIN_REBALANCE_RETRY: Duration = Duration::from_secs(1);

/// The settings of classic groups. They may change between two inputs; a change counts from the next input on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicSettings {
    /// How long the first rebalance of an empty group waits for more members (`group.initial.rebalance.delay.ms`).
    pub initial_rebalance_delay: Duration,
    /// Shortest session timeout that a member may ask for (`group.min.session.timeout.ms`).
    pub min_session_timeout: Duration,
    /// Longest session timeout that a member may ask for (`group.max.session.timeout.ms`).
    pub max_session_timeout: Duration,
    /// Members that a group has at most (`group.max.size`, KIP-389); further ones get GROUP_MAX_SIZE_REACHED (81).
    pub max_size: usize,
}

impl Default for ClassicSettings {
    /// Kafka's defaults.
    fn default() -> Self {
        ClassicSettings {
            initial_rebalance_delay: Duration::from_secs(3),
            min_session_timeout: Duration::from_secs(6),
            max_session_timeout: Duration::from_secs(30 * 60),
            max_size: i32::MAX as usize,
        }
    }
}
