//! One member of a classic group.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::request::{JoinRequest, Protocol};

/// A member (Kafka `ClassicGroupMember`). Who changes its protocols or its parked JoinGroup goes through `Members`, which counts them.
#[derive(Debug)]
pub(super) struct Member<W> {
    pub(super) id: Arc<str>,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) interests: Interests,
    pub(super) assignment: Bytes,
    /// Its JoinGroup that waits for the end of the rebalance, or for the write of its new id.
    pub(super) parked_join: Option<W>,
    /// Its SyncGroup that waits for the assignment.
    pub(super) parked_sync: Option<W>,
    /// Whether it has never been in a generation.
    pub(super) is_new: bool,
}

/// What a JoinGroup tells of a member and a later one may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interests {
    pub(super) protocols: Vec<Protocol>,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
}

impl Interests {
    /// Copies the metadata: a slice would keep the whole frame of the request in memory.
    pub(super) fn of(request: &JoinRequest) -> Self {
        let copy = |protocol: &Protocol| Protocol {
            name: protocol.name.clone(),
            metadata: Bytes::copy_from_slice(&protocol.metadata),
        };
        Interests {
            protocols: request.protocols.iter().map(copy).collect(),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
        }
    }

    /// The names of the protocols, each once.
    pub(super) fn protocol_names(&self) -> HashSet<&str> {
        self.protocols.iter().map(|protocol| protocol.name.as_str()).collect()
    }
}

impl<W> Member<W> {
    pub(super) fn new(id: Arc<str>, request: &JoinRequest, waiter: W) -> Self {
        Member {
            id,
            instance_id: request.instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            interests: Interests::of(request),
            assignment: Bytes::new(),
            parked_join: Some(waiter),
            parked_sync: None,
            is_new: true,
        }
    }

    /// Whether its silence says nothing: its client waits for an answer. A new member is not trusted so far, since a client that vanished
    /// while parked cannot be told from one that waits.
    pub(super) fn is_excused(&self) -> bool {
        !self.is_new && (self.parked_join.is_some() || self.parked_sync.is_some())
    }

    pub(super) fn session_timeout(&self) -> Duration {
        milliseconds(self.interests.session_timeout_ms)
    }

    /// Its metadata for a protocol; empty if it does not support it.
    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let mut protocols = self.interests.protocols.iter();
        let chosen = protocols.find(|candidate| Some(candidate.name.as_str()) == protocol);
        chosen.map(|chosen| chosen.metadata.clone()).unwrap_or_default()
    }
}

/// A time in milliseconds from the wire; a negative one is zero.
pub(super) fn milliseconds(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
