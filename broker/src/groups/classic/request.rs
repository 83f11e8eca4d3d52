//! What clients ask of a classic group. The group copies the bytes that it keeps, so they may borrow from a request's frame.

use bytes::Bytes;

/// A protocol that a member supports, such as an assignor (JoinGroup `protocols`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protocol {
    /// Name, unique in the group's vote.
    pub name: String,
    /// What the member tells the leader; for consumers their subscription.
    pub metadata: Bytes,
}

/// A JoinGroup. The group id was checked before: "" is INVALID_GROUP_ID (24).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// The member's id, "" if it has none yet.
    pub member_id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// An id that no member ever had, used if one is needed: `<instance id, or else client id>-<random UUID>`, as Kafka forms it.
    pub fresh_member_id: String,
    /// The same for a group of the consumer protocol, whose ids have another form.
    pub fresh_consumer_member_id: String,
    /// "consumer" for consumers.
    pub protocol_type: String,
    /// Supported protocols, the most preferred first.
    pub protocols: Vec<Protocol>,
    /// Time after its last sign of life after which the member is removed, in milliseconds.
    pub session_timeout_ms: i32,
    /// Time that a rebalance waits for the member, in milliseconds. Version 0 has none: the session timeout is to be given.
    pub rebalance_timeout_ms: i32,
    /// The request's client id.
    pub client_id: String,
    /// The client's address, as DescribeGroups shows it.
    pub client_host: String,
    /// Whether a new dynamic member has to come back with the id that it is given (version 4 and later, KIP-394).
    pub requires_known_member_id: bool,
    /// Whether the client knows the field `skip_assignment` (version 9 and later, KIP-814).
    pub supports_skip_assignment: bool,
    /// Why the client joins (version 8 and later, KIP-800). For the log only.
    pub reason: Option<String>,
}

/// One member's part of a leader's assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberAssignment {
    /// Whose part it is.
    pub member_id: String,
    /// Opaque to the broker.
    pub assignment: Bytes,
}

/// A SyncGroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// Who asks.
    pub member: MemberRef,
    /// Whether protocol type and name must be given (version 5 and later, KIP-559).
    pub requires_protocol: bool,
    /// The protocol type that the member believes in.
    pub protocol_type: Option<String>,
    /// The protocol name that the member believes in.
    pub protocol_name: Option<String>,
    /// The assignment of all members; counts only if the leader sends it.
    pub assignments: Vec<MemberAssignment>,
}

/// A member as Heartbeat, SyncGroup, OffsetCommit and TxnOffsetCommit name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRef {
    /// The member's id; "" for offset commits from outside of the group.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// The generation that the member believes in; -1 for offset commits from outside of the group.
    pub generation_id: i32,
}

/// A member that a LeaveGroup removes: one of its own, or, without member id, any static member by its instance id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingMember {
    /// The member's id, or "".
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
}
