//! Members of the classic protocol in a consumer group, while clients of a group are replaced one by one (KIP-848, "online migration"; Kafka
//! `classicGroupJoinToConsumerGroup` and its neighbours). Such a member joins, syncs and heartbeats as it is used to; each JoinGroup is answered
//! at once and moves it towards its target as a heartbeat of this protocol does, with the member epoch as its generation. When it has to
//! move on, its Heartbeat is answered REBALANCE_IN_PROGRESS. There is no leader: the server assigns.
//!
//! Checks that come before the group is looked at are the caller's, as for classic groups: the group id, the range of the session
//! timeout, a JoinGroup without protocols. A JoinGroup to a group without members is a classic group's, which takes its place.

mod join;
mod migrate;
pub(super) mod protocol;
mod session;
#[cfg(test)]
pub(super) mod tests;

use bytes::Bytes;
use kafka_protocol::ResponseError;

pub use migrate::{ClassicGroupImage, ClassicGroupMember};

use super::stored::ClassicProtocol;

/// The protocol type of consumers.
const PROTOCOL_TYPE: &str = "consumer";

/// A JoinGroup (11) without its group id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicJoin {
    /// The member's id; empty: it has none yet.
    pub member_id: String,
    /// An id that nobody has, for a member without one.
    pub fresh_member_id: String,
    /// Of a static member.
    pub instance_id: Option<String>,
    /// Whether a dynamic member without id has to come back with the one that it is given (version 4 and later, KIP-394).
    pub requires_known_member_id: bool,
    /// Its session timeout, in milliseconds.
    pub session_timeout_ms: i32,
    /// Time that it may take to join again or to sync, in milliseconds; -1: as before.
    pub rebalance_timeout_ms: i32,
    /// "consumer" for consumers.
    pub protocol_type: String,
    /// What it supports, the most preferred first.
    pub protocols: Vec<ClassicProtocol>,
    /// The client id of the request's header.
    pub client_id: String,
    /// The client's address.
    pub client_host: String,
}

/// The answer to a JoinGroup. Leader and members are empty, the protocol type is "consumer".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicJoinReply {
    /// The member's id; with MEMBER_ID_REQUIRED (79) the one to come back with, with any other error the one that was asked with.
    pub member_id: String,
    /// What it joined.
    pub result: Result<ClassicJoined, ResponseError>,
}

/// What a member joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicJoined {
    /// Its member epoch.
    pub generation_id: i32,
    /// Its own most preferred protocol.
    pub protocol_name: String,
}

/// Who sends a SyncGroup or a Heartbeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicMemberRef {
    /// The member's id.
    pub member_id: String,
    /// Of a static member.
    pub instance_id: Option<String>,
    /// Its member epoch as it knows it.
    pub generation_id: i32,
}

/// A SyncGroup (14). What it assigns does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicSync {
    /// Who asks.
    pub member: ClassicMemberRef,
    /// The protocol type that it believes in (version 5 and later).
    pub protocol_type: Option<String>,
    /// The protocol that it believes in (version 5 and later).
    pub protocol_name: Option<String>,
}

/// What a SyncGroup is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicSynced {
    /// As in the request.
    pub protocol_type: Option<String>,
    /// As in the request.
    pub protocol_name: Option<String>,
    /// A `ConsumerProtocolAssignment` with its version before it.
    pub assignment: Bytes,
}

/// One member of a LeaveGroup (13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicLeaving {
    /// Its id; empty: whoever has the instance id.
    pub member_id: String,
    /// Of a static member.
    pub instance_id: Option<String>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicLeft {
    /// As in the request.
    pub member_id: String,
    /// As in the request.
    pub instance_id: Option<String>,
    /// UNKNOWN_MEMBER_ID (25) or FENCED_INSTANCE_ID (82).
    pub result: Result<(), ResponseError>,
}
