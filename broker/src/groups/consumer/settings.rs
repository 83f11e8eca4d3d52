//! Settings of consumer groups (Kafka `group.consumer.*`).

use std::time::Duration;

use super::assignor::Assignor;

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
    /// Kafka's defaults, but for the size of a group, which Kafka does not bound.
    fn default() -> Self {
        ConsumerSettings {
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(5),
            max_size: 1000,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            assignment_interval: Duration::from_secs(1),
        }
    }
}
