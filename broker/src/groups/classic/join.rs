//! JoinGroup: who may join, and what that means in each state (Kafka `GroupMetadataManager.classicGroupJoin*`).

use std::sync::Arc;
use std::time::Instant;

use kafka_protocol::ResponseError;

use super::deadlines::Timer;
use super::group::ClassicGroup;
use super::member::{milliseconds, Interests, Member};
use super::reply::JoinReply;
use super::request::JoinRequest;
use super::settings::{ClassicSettings, NEW_MEMBER_JOIN_TIMEOUT, PENDING_MEMBERS_PER_GROUP};
use super::state::ClassicState;

impl<W> ClassicGroup<W> {
    /// JoinGroup. Answered at once if nothing changes by it or it is refused, otherwise when the rebalance that it begins or takes
    /// part in ends. Errors, in this order: INVALID_SESSION_TIMEOUT (26), GROUP_MAX_SIZE_REACHED (81), COORDINATOR_NOT_AVAILABLE (15) of
    /// a Dead group, INCONSISTENT_GROUP_PROTOCOL (23), MEMBER_ID_REQUIRED (79), UNKNOWN_MEMBER_ID (25), FENCED_INSTANCE_ID (82).
    pub fn join(&mut self, settings: &ClassicSettings, now: Instant, request: JoinRequest, waiter: W) {
        if let Err(error) = self.check_join(settings, &request) {
            if error == ResponseError::GroupMaxSizeReached {
                self.turn_away(now, &request, waiter);
            } else {
                self.answer_join(waiter, JoinReply::error(request.member_id, error));
            }
        } else if request.member_id.is_empty() {
            self.join_new(settings, now, &request, waiter);
        } else {
            self.join_known(settings, now, &request, waiter);
        }
    }

    fn check_join(&self, settings: &ClassicSettings, request: &JoinRequest) -> Result<(), ResponseError> {
        let session_timeout = milliseconds(request.session_timeout_ms);
        if session_timeout < settings.min_session_timeout || session_timeout > settings.max_session_timeout {
            return Err(ResponseError::InvalidSessionTimeout);
        }
        if !self.has_room_for(settings, &request.member_id) {
            return Err(ResponseError::GroupMaxSizeReached);
        }
        if self.state == ClassicState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        if !self.has_expected_protocols(&request.protocol_type, &request.protocols) {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        Ok(())
    }

    /// Whether a member may join as far as the group's size goes (KIP-389). In a rebalance those count who have joined: so the last
    /// ones to come back to a group that is too large are refused.
    fn has_room_for(&self, settings: &ClassicSettings, member_id: &str) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            ClassicState::Empty | ClassicState::Dead => true,
            ClassicState::PreparingRebalance => {
                member.is_some_and(|member| member.parked_join.is_some()) || self.members.parked_joins() < settings.max_size
            }
            ClassicState::CompletingRebalance | ClassicState::Stable => {
                member.is_some() || self.members.len() < settings.max_size
            }
        }
    }

    /// Refuses a member for which there is no room; the rebalance may have waited for this one only.
    fn turn_away(&mut self, now: Instant, request: &JoinRequest, waiter: W) {
        self.remove_member(&request.member_id);
        self.remove_pending(&request.member_id);
        self.answer_join(waiter, JoinReply::error("", ResponseError::GroupMaxSizeReached));
        self.maybe_complete_join(now);
    }

    fn join_new(&mut self, settings: &ClassicSettings, now: Instant, request: &JoinRequest, waiter: W) {
        let new_id: Arc<str> = request.fresh_member_id.as_str().into();
        if let Some(instance_id) = &request.instance_id {
            match self.members.id_of_instance(instance_id) {
                Some(old_id) => self.replace_static(settings, now, &old_id, new_id, request, waiter),
                None => self.add_member(settings, now, new_id, request, waiter),
            }
        } else if request.requires_known_member_id {
            self.give_out_id(now, new_id, request, waiter);
        } else {
            self.add_member(settings, now, new_id, request, waiter);
        }
    }

    /// Has a client come back with the id that it is given, so that one which never sees an answer leaves no member behind (KIP-394).
    fn give_out_id(&mut self, now: Instant, id: Arc<str>, request: &JoinRequest, waiter: W) {
        if self.members.pending_joins() >= PENDING_MEMBERS_PER_GROUP {
            self.answer_join(waiter, JoinReply::error("", ResponseError::CoordinatorNotAvailable));
            return;
        }
        self.answer_join(waiter, JoinReply::error(&*id, ResponseError::MemberIdRequired));
        self.members.add_pending_join(id.clone());
        self.deadlines
            .set(Timer::Session(id), now + milliseconds(request.session_timeout_ms));
    }

    fn join_known(&mut self, settings: &ClassicSettings, now: Instant, request: &JoinRequest, waiter: W) {
        let id = request.member_id.as_str();
        if self.members.is_pending_join(id) {
            // Ids are given out to dynamic members only; Kafka fails with an exception.
            if request.instance_id.is_some() {
                self.answer_join(waiter, JoinReply::error("", ResponseError::UnknownServerError));
            } else {
                self.add_member(settings, now, id.into(), request, waiter);
            }
            return;
        }
        if let Err(error) = self.check_member(id, request.instance_id.as_deref()) {
            self.answer_join(waiter, JoinReply::error(id, error));
            return;
        }
        let is_unchanged = self
            .members
            .get(id)
            .is_some_and(|member| member.interests.protocols == request.protocols);
        // A leader that joins a stable group wants to assign anew, for reasons that are not in its metadata.
        let changes_nothing = match self.state {
            ClassicState::CompletingRebalance => is_unchanged,
            ClassicState::Stable => is_unchanged && !self.members.is_leader(id),
            ClassicState::Empty | ClassicState::PreparingRebalance | ClassicState::Dead => false,
        };
        if changes_nothing {
            let reply = self.join_reply(id);
            self.answer_join(waiter, reply);
        } else {
            self.rejoin(settings, now, request, waiter);
        }
    }

    fn rejoin(&mut self, settings: &ClassicSettings, now: Instant, request: &JoinRequest, waiter: W) {
        let id = request.member_id.as_str();
        self.members.set_interests(id, Interests::of(request));
        if let Some(earlier) = self.members.park_join(id, waiter) {
            // Kafka forgets this one; its client has sent another, but the answers of a connection go out in order.
            self.answer_join(earlier, JoinReply::error(id, ResponseError::RebalanceInProgress));
        }
        self.rebalance(settings, now, request.reason.as_deref().unwrap_or("a member joined again"));
    }

    fn add_member(&mut self, settings: &ClassicSettings, now: Instant, id: Arc<str>, request: &JoinRequest, waiter: W) {
        if let Some(initial) = &mut self.initial_delay {
            initial.has_new_member = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        self.members.add(Member::new(id.clone(), request, waiter));
        self.deadlines.set(Timer::Session(id), now + NEW_MEMBER_JOIN_TIMEOUT);
        self.rebalance(settings, now, request.reason.as_deref().unwrap_or("a member joined"));
    }
}
