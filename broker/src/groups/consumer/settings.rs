//! Settings of consumer groups (Kafka `group.consumer.*`).

use std::time::Duration;

use super::assignor::Assignor;

/// Whether groups may change between the classic protocol and this one while they have members (Kafka `ConsumerGroupMigrationPolicy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationPolicy {
    /// Both ways.
    Bidirectional,
    /// From the classic protocol to this one.
    Upgrade,
    /// From this one to the classic protocol.
    Downgrade,
    /// Neither way: members of the classic protocol cannot join.
    Disabled,
}

impl MigrationPolicy {
    pub(super) fn upgrades(self) -> bool {
        matches!(self, MigrationPolicy::Bidirectional | MigrationPolicy::Upgrade)
    }

    pub(super) fn downgrades(self) -> bool {
        matches!(self, MigrationPolicy::Bidirectional | MigrationPolicy::Downgrade)
    }
}

/// What an operator may choose. A group's own configs are a copy of this with some fields changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// `group.consumer.session.timeout.ms`: a member that is silent for this long is fenced.
    pub session_timeout: Duration,
    /// `group.consumer.heartbeat.interval.ms`: what members are told to keep to.
    pub heartbeat_interval: Duration,
    /// `group.consumer.max.size`: members that a group may have.
    pub max_size: usize,
    /// `group.consumer.assignors`: what members may ask for; the first is the default.
    pub assignors: Vec<Assignor>,
    /// `group.consumer.migration.policy`.
    pub migration: MigrationPolicy,
    /// `group.max.size`: members that a classic group may have, and so a group that becomes one.
    pub classic_max_size: usize,
    /// `group.consumer.assignment.interval.ms`: shortest time between two target assignments of a group. Zero: none.
    pub assignment_interval: Duration,
}

impl ConsumerSettings {
    /// The assignor of a group whose members have no preference.
    pub fn default_assignor(&self) -> Assignor {
        self.assignors.first().copied().unwrap_or(Assignor::Uniform)
    }
}

impl Default for ConsumerSettings {
    /// Kafka's defaults, but for the sizes of groups, which Kafka does not bound.
    fn default() -> Self {
        ConsumerSettings {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            max_size: 1000,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration: MigrationPolicy::Bidirectional,
            classic_max_size: 1000,
            assignment_interval: Duration::from_secs(1),
        }
    }
}
