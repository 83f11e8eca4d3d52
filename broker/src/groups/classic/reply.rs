//! What a classic group answers.

use bytes::Bytes;
use kafka_protocol::ResponseError;

/// The answer to a request that may have been parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a JoinGroup.
    Join(JoinReply),
    /// To a SyncGroup.
    Sync(SyncReply),
}

/// Answer to a JoinGroup. The fields are the response's, `None` where Kafka has null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinReply {
    /// `None` is success.
    pub error: Option<ResponseError>,
    /// The generation that was joined; -1 with most errors.
    pub generation_id: i32,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The protocol that the members chose. Versions before 7 have "" for `None`.
    pub protocol_name: Option<String>,
    /// Member id of the leader.
    pub leader: String,
    /// Tells the leader that the assignment stands and it has none to make (KIP-814).
    pub skip_assignment: bool,
    /// The member's id; with MEMBER_ID_REQUIRED (79) the one to come back with.
    pub member_id: String,
    /// All members, for the leader only.
    pub members: Vec<JoinedMember>,
}

impl JoinReply {
    /// A refusal, with Kafka's defaults in all other fields.
    pub(super) fn error(member_id: impl Into<String>, error: ResponseError) -> Self {
        JoinReply {
            error: Some(error),
            generation_id: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            member_id: member_id.into(),
            members: Vec::new(),
        }
    }
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedMember {
    /// The member's id.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The member's metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// Answer to a SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncReply {
    /// `None` is success.
    pub error: Option<ResponseError>,
    /// The group's protocol type; `None` with errors.
    pub protocol_type: Option<String>,
    /// The group's protocol; `None` with errors.
    pub protocol_name: Option<String>,
    /// The member's part of the assignment; may be empty.
    pub assignment: Bytes,
}

impl SyncReply {
    /// A refusal.
    pub(super) fn error(error: ResponseError) -> Self {
        SyncReply {
            error: Some(error),
            protocol_type: None,
            protocol_name: None,
            assignment: Bytes::new(),
        }
    }
}

/// What became of one member of a LeaveGroup; both ids are as they were in the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveOutcome {
    /// The id in the request.
    pub member_id: String,
    /// The instance id in the request.
    pub instance_id: Option<String>,
    /// `None` is success; else UNKNOWN_MEMBER_ID (25) or FENCED_INSTANCE_ID (82).
    pub error: Option<ResponseError>,
}
