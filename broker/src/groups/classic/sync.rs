//! SyncGroup: the leader's assignment comes in, each member's part goes out (Kafka `GroupMetadataManager.classicGroupSync*`).

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::deadlines::Timer;
use super::group::ClassicGroup;
use super::reply::SyncReply;
use super::request::{MemberAssignment, SyncRequest};
use super::state::ClassicState;
use super::writes::Assignment;

impl<W> ClassicGroup<W> {
    /// SyncGroup. Parked until the leader's is there and its assignment is stored. Errors, in this order: INCONSISTENT_GROUP_PROTOCOL (23)
    /// of a request without the protocol that its version has to give, COORDINATOR_NOT_AVAILABLE (15) of a Dead group,
    /// UNKNOWN_MEMBER_ID (25), FENCED_INSTANCE_ID (82), ILLEGAL_GENERATION (22), INCONSISTENT_GROUP_PROTOCOL, REBALANCE_IN_PROGRESS (27); or
    /// later REBALANCE_IN_PROGRESS, or what became of the write.
    pub fn sync(&mut self, request: SyncRequest, waiter: W) {
        if let Err(error) = self.check_sync(&request) {
            self.answer_sync(waiter, SyncReply::error(error));
            return;
        }
        let id = request.member.member_id.as_str();
        self.members.pending_sync.remove(id);
        if self.members.pending_sync.is_empty() {
            self.deadlines.cancel(&Timer::Sync);
        }
        if self.state == ClassicState::Stable {
            let assignment = self.members.get(id).map(|member| member.assignment.clone());
            let reply = self.sync_reply(assignment.unwrap_or_default());
            self.answer_sync(waiter, reply);
            return;
        }
        if let Some(earlier) = self.members.park_sync(id, waiter) {
            // Kafka forgets this one; its client has sent another, but the answers of a connection go out in order.
            self.answer_sync(earlier, SyncReply::error(ResponseError::RebalanceInProgress));
        }
        // A leader that asks again while its assignment is written gets that one.
        if self.members.is_leader(id) && !self.writes.has_assignment() {
            let assignment = self.assignment_to_members(&request.assignments);
            self.store_assignment(assignment);
        }
    }

    fn check_sync(&self, request: &SyncRequest) -> Result<(), ResponseError> {
        if request.requires_protocol && (request.protocol_type.is_none() || request.protocol_name.is_none()) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        self.check_generation(&request.member)?;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol_name) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        if self.state == ClassicState::PreparingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// The leader's assignment without parts for strangers. The bytes are copied: a slice would keep the whole frame in memory.
    fn assignment_to_members(&self, assignments: &[MemberAssignment]) -> Assignment {
        let known = |part: &MemberAssignment| {
            let member = self.members.get(&part.member_id)?;
            Some((Arc::clone(&member.id), Bytes::copy_from_slice(&part.assignment)))
        };
        assignments.iter().filter_map(known).collect()
    }
}

/// Whether both are known and not the same.
fn differs(asked: &Option<String>, of_group: &Option<String>) -> bool {
    asked.is_some() && of_group.is_some() && asked != of_group
}
