//! What of a classic group outlives the broker (Kafka's `GroupMetadataValue`).

use bytes::Bytes;

/// The state to store in place of what was stored before for the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persist {
    /// To be given to [`super::ClassicGroup::persisted`]. Tokens rise; the state of a larger one includes that of all smaller ones.
    pub token: u64,
    /// The whole state.
    pub group: StoredClassicGroup,
}

/// A group as it is stored. With members it is restored as Stable, else as Empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredClassicGroup {
    /// The last generation.
    pub generation_id: i32,
    /// "" if the group never had members.
    pub protocol_type: String,
    /// The protocol that the members chose; `None` without members.
    pub protocol_name: Option<String>,
    /// Member id of the leader; `None` without members.
    pub leader: Option<String>,
    /// Ordered by member id.
    pub members: Vec<StoredMember>,
}

/// A member as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMember {
    /// The member's id.
    pub member_id: String,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<String>,
    /// Client id of the JoinGroup that made the member.
    pub client_id: String,
    /// Address that this JoinGroup came from.
    pub client_host: String,
    /// In milliseconds; -1, which old versions of Kafka stored, means the session timeout.
    pub rebalance_timeout_ms: i32,
    /// In milliseconds.
    pub session_timeout_ms: i32,
    /// Metadata of the chosen protocol; those of others are not stored, so a restored member votes for this protocol only until it rejoins.
    pub metadata: Bytes,
    /// The member's part of the assignment; may be empty.
    pub assignment: Bytes,
}
