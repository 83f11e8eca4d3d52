//! Static members that come back without their id (KIP-345, KIP-814).

use std::sync::Arc;
use std::time::Instant;

use kafka_protocol::ResponseError;

use super::deadlines::Timer;
use super::group::ClassicGroup;
use super::member::Interests;
use super::reply::{JoinReply, SyncReply};
use super::request::JoinRequest;
use super::settings::ClassicSettings;
use super::state::ClassicState;

/// A static member whose new id waits to be stored, and what is needed to take that back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Replacement {
    pub(super) old_id: Arc<str>,
    pub(super) old_interests: Interests,
    new_id: Arc<str>,
    /// Leader before the replacement.
    old_leader: String,
    supports_skip_assignment: bool,
}

impl<W> ClassicGroup<W> {
    /// Gives a static member that comes back a new id; who still uses the old one is fenced. In a stable group nothing else happens if
    /// the chosen protocol stays the same (Kafka `updateStaticMemberThenRebalanceOrCompleteJoin`). The member keeps the client id and
    /// host of its first JoinGroup, as in Kafka.
    pub(super) fn replace_static(
        &mut self,
        settings: &ClassicSettings,
        now: Instant,
        old_id: &str,
        new_id: Arc<str>,
        request: &JoinRequest,
        waiter: W,
    ) {
        let old_leader = self.members.leader().unwrap_or_default().to_owned();
        let Some(old_interests) = self.members.set_interests(old_id, Interests::of(request)) else {
            self.answer_join(waiter, JoinReply::error("", ResponseError::UnknownMemberId));
            return;
        };
        self.fence(old_id);
        self.move_member(now, old_id, new_id.clone());
        self.members.park_join(&new_id, waiter);
        match self.state {
            ClassicState::Stable if self.members.choose_protocol() == self.protocol_name => {
                let replacement = Replacement {
                    old_id: old_id.into(),
                    old_interests,
                    new_id,
                    old_leader,
                    supports_skip_assignment: request.supports_skip_assignment,
                };
                self.store_replacement(request.instance_id.as_deref().unwrap_or_default(), replacement);
            }
            // While it completes a rebalance, the leader may be assigning to the old id.
            _ => self.rebalance(
                settings,
                now,
                request.reason.as_deref().unwrap_or("a static member came back"),
            ),
        }
    }

    /// The write of a static member's new id is done. The group is Stable as it was then and the member's JoinGroup still parked: a
    /// rebalance meanwhile would have answered it and forgotten the replacement.
    pub(super) fn replacement_persisted(&mut self, now: Instant, replacement: Replacement, outcome: Result<(), ResponseError>) {
        let new_id = replacement.new_id;
        let Some(waiter) = self.members.take_parked_join(&new_id) else {
            return;
        };
        let mut reply = self.join_reply(&new_id);
        match outcome {
            Ok(()) if replacement.supports_skip_assignment => {
                reply.skip_assignment = self.members.is_leader(&new_id);
                self.restart_session(&new_id, now);
            }
            Ok(()) => {
                // Shown the leader's old id, an old client does not take itself for the leader: its assignment would be ignored.
                reply.leader = replacement.old_leader;
                reply.members = Vec::new();
                self.restart_session(&new_id, now);
            }
            Err(error) => {
                reply.error = Some(error);
                reply.leader = replacement.old_leader;
                reply.members = Vec::new();
                reply.member_id = String::new();
                self.members.set_interests(&new_id, replacement.old_interests);
                self.move_member(now, &new_id, replacement.old_id);
            }
        }
        self.answer_join(waiter, reply);
    }

    fn fence(&mut self, id: &str) {
        if let Some(waiter) = self.members.take_parked_join(id) {
            self.answer_join(waiter, JoinReply::error(id, ResponseError::FencedInstanceId));
        }
        if let Some(waiter) = self.members.take_parked_sync(id) {
            self.answer_sync(waiter, SyncReply::error(ResponseError::FencedInstanceId));
        }
    }

    fn move_member(&mut self, now: Instant, old_id: &str, new_id: Arc<str>) {
        self.deadlines.cancel(&Timer::Session(old_id.into()));
        self.members.rename(old_id, new_id.clone());
        if self.members.pending_sync.is_empty() {
            self.deadlines.cancel(&Timer::Sync);
        }
        self.restart_session(&new_id, now);
    }
}
