//! SyncGroup, Heartbeat and LeaveGroup of members of the classic protocol (Kafka `classicGroupSyncToConsumerGroup`,
//! `classicGroupHeartbeatToConsumerGroup`, `classicGroupLeaveToConsumerGroup`).

use std::time::Instant;

use kafka_protocol::ResponseError;

use super::super::heartbeat::{without_epochs, Context};
use super::super::members::Member;
use super::super::reply::Reply;
use super::super::settings::ConsumerSettings;
use super::super::stored::{MemberState, StoredMember};
use super::super::topics::TopicsImage;
use super::super::ConsumerGroup;
use super::protocol::write_assignment;
use super::{ClassicLeaving, ClassicLeft, ClassicMemberRef, ClassicSync, ClassicSynced, PROTOCOL_TYPE};

impl<W> ConsumerGroup<W> {
    /// Serves a SyncGroup (14). Answered [`Reply::ClassicSync`], with the errors UNKNOWN_MEMBER_ID (25), FENCED_INSTANCE_ID (82),
    /// ILLEGAL_GENERATION (22), INCONSISTENT_GROUP_PROTOCOL (23) and REBALANCE_IN_PROGRESS (27).
    pub fn classic_sync(&mut self, topics: &dyn TopicsImage, now: Instant, request: ClassicSync, waiter: W) {
        let result = self.sync_classic(topics, now, request);
        self.outbox.push_reply(waiter, Reply::ClassicSync(result));
    }

    /// Serves a Heartbeat (12). Answered [`Reply::ClassicHeartbeat`], with the errors UNKNOWN_MEMBER_ID (25), FENCED_INSTANCE_ID (82),
    /// ILLEGAL_GENERATION (22) and, when the member is to join again, REBALANCE_IN_PROGRESS (27).
    pub fn classic_heartbeat(&mut self, now: Instant, request: &ClassicMemberRef, waiter: W) {
        let result = self.beat_classic(now, request);
        self.outbox.push_reply(waiter, Reply::ClassicHeartbeat(result));
    }

    /// Serves a LeaveGroup (13), which may name members of either protocol. Answered [`Reply::ClassicLeave`].
    pub fn classic_leave(
        &mut self,
        settings: &ConsumerSettings,
        topics: &dyn TopicsImage,
        now: Instant,
        members: Vec<ClassicLeaving>,
        waiter: W,
    ) {
        let result = match &self.closed {
            Some(error) => Err(error.code()),
            None => Ok(self.leave_classic(Context { settings, topics, now }, members)),
        };
        self.commit();
        self.outbox.push_reply(waiter, Reply::ClassicLeave(result));
    }

    fn sync_classic(
        &mut self,
        topics: &dyn TopicsImage,
        now: Instant,
        request: ClassicSync,
    ) -> Result<ClassicSynced, ResponseError> {
        let mut member = self.classic_member(&request.member)?;
        let preferred = member.stored.classic.as_ref().and_then(|classic| classic.protocols.first());
        let preferred = preferred.ok_or(ResponseError::UnknownMemberId)?;
        let other_type = request
            .protocol_type
            .as_ref()
            .is_some_and(|protocol_type| protocol_type != PROTOCOL_TYPE);
        let other_name = request.protocol_name.as_ref().is_some_and(|name| *name != preferred.name);
        if other_type || other_name {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let must_join = self.group.assignment_epoch > member.stored.member_epoch;
        if must_join && member.stored.state != MemberState::UnrevokedPartitions {
            member.expect_join(now);
            self.members.put(member);
            return Err(ResponseError::RebalanceInProgress);
        }
        let assignment = write_assignment(&without_epochs(&member.stored.assigned), &preferred.metadata, topics);
        member.sync_deadline = None;
        member.start_classic_session(now);
        self.members.put(member);
        Ok(ClassicSynced {
            protocol_type: request.protocol_type,
            protocol_name: request.protocol_name,
            assignment,
        })
    }

    fn beat_classic(&mut self, now: Instant, request: &ClassicMemberRef) -> Result<(), ResponseError> {
        let mut member = self.classic_member(request)?;
        member.start_classic_session(now);
        let must_join = member.stored.member_epoch < self.group.assignment_epoch
            || member.stored.state == MemberState::UnrevokedPartitions
            || member.stored.state == MemberState::UnreleasedPartitions && !self.waits_for_others(&member.stored);
        if must_join {
            member.expect_join(now);
        }
        self.members.put(member);
        if must_join {
            return Err(ResponseError::RebalanceInProgress);
        }
        Ok(())
    }

    /// Whether some partition of the member's target is with another member still.
    fn waits_for_others(&self, member: &StoredMember) -> bool {
        member.target.iter().any(|(topic, partitions)| {
            partitions
                .iter()
                .any(|partition| self.members.is_held_by_other(&member.member_id, *topic, *partition))
        })
    }

    /// The member of the classic protocol that asks, if its generation is right.
    fn classic_member(&self, request: &ClassicMemberRef) -> Result<Member, ResponseError> {
        if let Some(error) = &self.closed {
            return Err(error.code());
        }
        let stored = self
            .member_of(&request.member_id, request.instance_id.as_deref())
            .map_err(|error| error.code())?;
        if stored.classic.is_none() {
            return Err(ResponseError::UnknownMemberId);
        }
        if stored.member_epoch != request.generation_id {
            return Err(ResponseError::IllegalGeneration);
        }
        self.members
            .get(&stored.member_id)
            .cloned()
            .ok_or(ResponseError::UnknownMemberId)
    }

    fn leave_classic(&mut self, context: Context<'_>, leaving: Vec<ClassicLeaving>) -> Vec<ClassicLeft> {
        let mut ids = Vec::new();
        let mut left = Vec::with_capacity(leaving.len());
        for ClassicLeaving { member_id, instance_id } in leaving {
            // Without a member id whoever has the instance id is meant.
            let owner = instance_id
                .as_ref()
                .filter(|_| member_id.is_empty())
                .and_then(|instance_id| self.members.by_instance(instance_id));
            let named = owner.map_or(&member_id, |owner| &owner.stored.member_id);
            let member = self
                .member_of(named, instance_id.as_deref())
                .map(|member| ids.push(member.member_id.clone()));
            left.push(ClassicLeft {
                result: member.map_err(|error| error.code()),
                member_id,
                instance_id,
            });
        }
        self.fence(context, &ids);
        left
    }
}

impl Member {
    /// The member was told to join: it has its rebalance timeout to do so, from the first time that it was told.
    fn expect_join(&mut self, now: Instant) {
        self.join_deadline = self.join_deadline.or(Some(now + self.stored.rebalance_timeout()));
    }
}
