//! Why a ConsumerGroupHeartbeat is refused.

use kafka_protocol::ResponseError;

/// A refusal. The text is what the client sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeartbeatError {
    /// A field is empty, missing or does not fit the others.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// No such assignor.
    #[error("ServerAssignor {name} is not supported. Supported assignors: {supported}.")]
    UnsupportedAssignor {
        /// The name that was asked for.
        name: String,
        /// Those that may be, separated by commas.
        supported: String,
    },
    /// The regular expression cannot be compiled, or takes too much.
    #[error("SubscribedTopicRegex `{regex}` is not a valid regular expression: {reason}.")]
    InvalidRegularExpression {
        /// The expression.
        regex: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The group has as many members as it may have.
    #[error("The consumer group has reached its maximum capacity of {0} members.")]
    GroupMaxSizeReached(usize),
    /// The member is not there, or was fenced.
    #[error("Member {member_id} is not a member of group {group_id}.")]
    UnknownMember {
        /// The member.
        member_id: String,
        /// The group.
        group_id: String,
    },
    /// Nobody has this instance id.
    #[error("Instance id {0} is unknown.")]
    UnknownInstance(String),
    /// The epoch is neither the member's nor, in a retry, the one before.
    #[error(
        "The consumer group member has a {} member epoch ({received}) than the one known by the group coordinator ({known}). The member \
         must abandon all its partitions and rejoin.",
        if received > known { "greater" } else { "smaller" }
    )]
    FencedMemberEpoch {
        /// The epoch of the request.
        received: i32,
        /// The member's epoch.
        known: i32,
    },
    /// Another member that did not leave has the instance id.
    #[error("Static member {member_id} with instance id {instance_id} cannot join the group because the instance id is owned by {owner} member.")]
    UnreleasedInstance {
        /// The member that joins.
        member_id: String,
        /// The instance id.
        instance_id: String,
        /// The member that has it.
        owner: String,
    },
    /// Another member has taken over the instance id.
    #[error("Static member {member_id} with instance id {instance_id} was fenced by member {owner}.")]
    FencedInstance {
        /// The member that asks.
        member_id: String,
        /// The instance id.
        instance_id: String,
        /// The member that has it.
        owner: String,
    },
    /// The group is a classic one, and this protocol cannot take it over.
    #[error("Cannot upgrade classic group {group_id} to consumer group because {reason}.")]
    CannotUpgrade {
        /// The group.
        group_id: String,
        /// Why not.
        reason: &'static str,
    },
    /// There is no such group, or one of the other protocol that cannot become one of this.
    #[error("{0}")]
    GroupIdNotFound(String),
    /// The group is no longer served here; see [`super::ConsumerGroup::close`].
    #[error("{0}")]
    Closed(ResponseError),
}

impl HeartbeatError {
    /// The error code for clients.
    pub fn code(&self) -> ResponseError {
        match self {
            HeartbeatError::InvalidRequest(_) => ResponseError::InvalidRequest,
            HeartbeatError::UnsupportedAssignor { .. } => ResponseError::UnsupportedAssignor,
            HeartbeatError::InvalidRegularExpression { .. } => ResponseError::InvalidRegularExpression,
            HeartbeatError::GroupMaxSizeReached(_) => ResponseError::GroupMaxSizeReached,
            HeartbeatError::UnknownMember { .. } | HeartbeatError::UnknownInstance(_) => ResponseError::UnknownMemberId,
            HeartbeatError::FencedMemberEpoch { .. } => ResponseError::FencedMemberEpoch,
            HeartbeatError::UnreleasedInstance { .. } => ResponseError::UnreleasedInstanceId,
            HeartbeatError::FencedInstance { .. } => ResponseError::FencedInstanceId,
            HeartbeatError::CannotUpgrade { .. } => ResponseError::GroupIdNotFound,
            HeartbeatError::GroupIdNotFound(_) => ResponseError::GroupIdNotFound,
            HeartbeatError::Closed(error) => *error,
        }
    }
}
