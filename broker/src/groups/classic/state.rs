//! The states of a classic group.

use std::fmt;

/// State of a classic group (Kafka `ClassicGroupState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClassicState {
    /// No members; it may have committed offsets. A first member makes it `PreparingRebalance`.
    Empty,
    /// Members are (re)joining; their JoinGroups are parked. Becomes `CompletingRebalance` when all have joined or the time is up,
    /// `Empty` when nobody is left.
    PreparingRebalance,
    /// The generation is made; it waits for the leader's assignment, the followers' SyncGroups are parked. Becomes `Stable` when the
    /// assignment is stored, `PreparingRebalance` when the members change.
    CompletingRebalance,
    /// Every member has its assignment. Becomes `PreparingRebalance` when members or what they subscribe to change.
    Stable,
    /// The group was deleted or its broker stops. Final: clients are sent to look for the coordinator again.
    Dead,
}

impl ClassicState {
    /// The name that DescribeGroups and ListGroups show.
    pub fn as_str(self) -> &'static str {
        match self {
            ClassicState::Empty => "Empty",
            ClassicState::PreparingRebalance => "PreparingRebalance",
            ClassicState::CompletingRebalance => "CompletingRebalance",
            ClassicState::Stable => "Stable",
            ClassicState::Dead => "Dead",
        }
    }
}

impl fmt::Display for ClassicState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
