//! What depends on being a member: Heartbeat, commits of offsets, deletion of the group and of its offsets.

use std::time::Instant;

use kafka_protocol::ResponseError;

use super::group::ClassicGroup;
use super::request::MemberRef;
use super::state::ClassicState;
use super::subscription::CONSUMER_PROTOCOL_TYPE;

impl<W> ClassicGroup<W> {
    /// Heartbeat (Kafka `classicGroupHeartbeat`).
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE (15) of a Dead group, UNKNOWN_MEMBER_ID (25), FENCED_INSTANCE_ID (82), ILLEGAL_GENERATION (22);
    /// REBALANCE_IN_PROGRESS (27) tells a member to join again and counts as a heartbeat all the same.
    pub fn heartbeat(&mut self, now: Instant, member: &MemberRef) -> Result<(), ResponseError> {
        self.check_generation(member)?;
        self.restart_session(&member.member_id, now);
        if self.state == ClassicState::PreparingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether an OffsetCommit is accepted (Kafka `ClassicGroup.validateOffsetCommit`); for a member of a group that is not between
    /// JoinGroup and SyncGroup it is a heartbeat too. From outside of the group, generation -1, it is if the group is Empty.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE (15) of a Dead group, UNKNOWN_MEMBER_ID (25), FENCED_INSTANCE_ID (82), ILLEGAL_GENERATION (22),
    /// REBALANCE_IN_PROGRESS (27) in CompletingRebalance.
    pub fn check_offset_commit(&mut self, now: Instant, member: &MemberRef) -> Result<(), ResponseError> {
        if self.accepts_commit_from_outside(member)? {
            return Ok(());
        }
        if is_from_outside(member) {
            return Err(ResponseError::UnknownMemberId);
        }
        self.check_generation(member)?;
        if self.state == ClassicState::CompletingRebalance {
            return Err(ResponseError::RebalanceInProgress);
        }
        self.restart_session(&member.member_id, now);
        Ok(())
    }

    /// Whether a TxnOffsetCommit is accepted. Unlike an OffsetCommit it is in CompletingRebalance, is so from outside in any state
    /// (clients before KIP-447 name no member), and is no heartbeat.
    ///
    /// # Errors
    /// COORDINATOR_NOT_AVAILABLE (15) of a Dead group, UNKNOWN_MEMBER_ID (25), FENCED_INSTANCE_ID (82), ILLEGAL_GENERATION (22).
    pub fn check_txn_offset_commit(&self, member: &MemberRef) -> Result<(), ResponseError> {
        if self.accepts_commit_from_outside(member)? || is_from_outside(member) {
            return Ok(());
        }
        self.check_generation(member)
    }

    /// Whether DeleteGroups may delete the group (Kafka `validateDeleteGroup`).
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND (69) of a Dead group, NON_EMPTY_GROUP (68).
    pub fn check_delete(&self) -> Result<(), ResponseError> {
        match self.state {
            ClassicState::Empty => Ok(()),
            ClassicState::Dead => Err(ResponseError::GroupIdNotFound),
            ClassicState::PreparingRebalance | ClassicState::CompletingRebalance | ClassicState::Stable => {
                Err(ResponseError::NonEmptyGroup)
            }
        }
    }

    /// Whether OffsetDelete may delete offsets of the group (Kafka `validateOffsetDelete`); those of topics that
    /// [`ClassicGroup::is_subscribed_to`] names are GROUP_SUBSCRIBED_TO_TOPIC (86).
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND (69) of a Dead group; NON_EMPTY_GROUP (68) if it has members that are no consumers, whose topics the broker
    /// does not know.
    pub fn check_offset_delete(&self) -> Result<(), ResponseError> {
        match self.check_delete() {
            Err(ResponseError::NonEmptyGroup) if self.protocol_type() == Some(CONSUMER_PROTOCOL_TYPE) => Ok(()),
            outcome => outcome,
        }
    }

    /// Whether a member consumes a topic, as of the last generation. Of consumers whose subscriptions cannot be read, every topic.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.subscribed_topics {
            Some(topics) => topics.contains(topic),
            None => self.protocol_type() == Some(CONSUMER_PROTOCOL_TYPE),
        }
    }

    fn accepts_commit_from_outside(&self, member: &MemberRef) -> Result<bool, ResponseError> {
        match self.state {
            ClassicState::Dead => Err(ResponseError::CoordinatorNotAvailable),
            state => Ok(member.generation_id < 0 && state == ClassicState::Empty),
        }
    }

    pub(super) fn check_generation(&self, member: &MemberRef) -> Result<(), ResponseError> {
        if self.state == ClassicState::Dead {
            return Err(ResponseError::CoordinatorNotAvailable);
        }
        self.check_member(&member.member_id, member.instance_id.as_deref())?;
        if member.generation_id != self.generation_id {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(())
    }

    pub(super) fn check_member(&self, member_id: &str, instance_id: Option<&str>) -> Result<(), ResponseError> {
        if let Some(instance_id) = instance_id {
            match self.members.id_of_instance(instance_id) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(id) if *id != *member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        self.members.get(member_id).map(drop).ok_or(ResponseError::UnknownMemberId)
    }
}

/// Whether an offset commit names no member at all.
fn is_from_outside(member: &MemberRef) -> bool {
    member.generation_id < 0 && member.member_id.is_empty() && member.instance_id.is_none()
}
