//! ConsumerGroupHeartbeat: the request, its answer, and what is checked before the group is looked at (Kafka
//! `GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid`).

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::error::HeartbeatError;
use super::settings::ConsumerSettings;

/// `member_epoch` of a member that joins or rejoins.
pub const JOIN_EPOCH: i32 = 0;
/// `member_epoch` of a member that leaves.
pub const LEAVE_EPOCH: i32 = -1;
/// `member_epoch` of a static member that leaves and will be back.
pub const LEAVE_STATIC_EPOCH: i32 = -2;

/// The version from which on the client makes the member id (KIP-1082).
const CLIENT_MEMBER_ID_VERSION: i16 = 1;

/// Partitions by topic id.
pub type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// A ConsumerGroupHeartbeat (68) without its group id. `None` in an optional field: as in the last heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// The request's version, 0 or 1.
    pub version: i16,
    /// The member's id; may be empty in a join of version 0.
    pub member_id: String,
    /// An id that nobody has, for a member that joins with an empty one.
    pub fresh_member_id: String,
    /// The epoch that the member was told last, or [`JOIN_EPOCH`], [`LEAVE_EPOCH`], [`LEAVE_STATIC_EPOCH`].
    pub member_epoch: i32,
    /// Of a static member.
    pub instance_id: Option<String>,
    /// Where the client is.
    pub rack_id: Option<String>,
    /// Time that the member may take to revoke partitions, in milliseconds; -1: as in the last heartbeat.
    pub rebalance_timeout_ms: i32,
    /// Names subscribed to.
    pub subscribed_topic_names: Option<Vec<String>>,
    /// Regular expression subscribed to; empty: none.
    pub subscribed_topic_regex: Option<String>,
    /// The assignor that the member prefers.
    pub server_assignor: Option<String>,
    /// The partitions that the member has now.
    pub owned: Option<Partitions>,
    /// The client id of the request's header.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
}

impl HeartbeatRequest {
    /// Whether all that a member must say when it joins is there; clients send it again after an error.
    pub(super) fn is_full(&self) -> bool {
        self.rebalance_timeout_ms != -1
            && (self.subscribed_topic_names.is_some() || self.subscribed_topic_regex.is_some())
            && self.owned.is_some()
    }
}

/// What a ConsumerGroupHeartbeat is answered when it is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeat {
    /// The member's id.
    pub member_id: String,
    /// The epoch to send from now on; the one of the request when the member left.
    pub member_epoch: i32,
    /// Time to the next heartbeat, in milliseconds; 0 when the member left.
    pub heartbeat_interval_ms: i32,
    /// The partitions that the member may have; `None`: as told last.
    pub assignment: Option<Partitions>,
}

/// The answer to a heartbeat.
pub type HeartbeatReply = Result<Heartbeat, HeartbeatError>;

/// Checks what needs no group. [`super::ConsumerGroup::heartbeat`] does it too; it is for requests whose group does not exist, where these
/// errors come before GROUP_ID_NOT_FOUND (69).
///
/// # Errors
/// [`HeartbeatError::InvalidRequest`] (42), [`HeartbeatError::UnsupportedAssignor`] (112).
pub fn check_request(settings: &ConsumerSettings, group_id: &str, request: &HeartbeatRequest) -> Result<(), HeartbeatError> {
    let needs_member_id =
        request.version >= CLIENT_MEMBER_ID_VERSION || request.member_epoch > 0 || request.member_epoch == LEAVE_EPOCH;
    if needs_member_id {
        not_blank(Some(&request.member_id), "MemberId can't be empty.")?;
    }
    not_blank(Some(group_id), "GroupId can't be empty.")?;
    not_blank(request.instance_id.as_deref(), "InstanceId can't be empty.")?;
    not_blank(request.rack_id.as_deref(), "RackId can't be empty.")?;
    check_epoch(request)?;
    check_assignor(settings, request)
}

fn not_blank(text: Option<&str>, error: &'static str) -> Result<(), HeartbeatError> {
    // As Java's String.trim: everything up to the space.
    match text {
        Some(text) if text.chars().all(|character| character <= ' ') => Err(HeartbeatError::InvalidRequest(error)),
        _ => Ok(()),
    }
}

fn check_epoch(request: &HeartbeatRequest) -> Result<(), HeartbeatError> {
    let error = match request.member_epoch {
        JOIN_EPOCH if request.rebalance_timeout_ms == -1 => "RebalanceTimeoutMs must be provided in first request.",
        JOIN_EPOCH if request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            "TopicPartitions must be empty when (re-)joining."
        }
        JOIN_EPOCH if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() => {
            "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."
        }
        LEAVE_STATIC_EPOCH if request.instance_id.is_none() => "InstanceId can't be null.",
        epoch if epoch < LEAVE_STATIC_EPOCH => "MemberEpoch is invalid.",
        _ => return Ok(()),
    };
    Err(HeartbeatError::InvalidRequest(error))
}

fn check_assignor(settings: &ConsumerSettings, request: &HeartbeatRequest) -> Result<(), HeartbeatError> {
    match &request.server_assignor {
        Some(name) if !settings.assignors.iter().any(|assignor| assignor.name() == name) => {
            Err(HeartbeatError::UnsupportedAssignor {
                name: name.clone(),
                supported: settings
                    .assignors
                    .iter()
                    .map(|assignor| assignor.name())
                    .collect::<Vec<_>>()
                    .join(", "),
            })
        }
        _ => Ok(()),
    }
}
