//! How members end: they leave, or are silent or too slow for too long (Kafka `consumerGroupLeave`, `consumerGroupFenceMember`).

use std::time::Instant;

use super::heartbeat::Context;
use super::request::{Heartbeat, HeartbeatReply, HeartbeatRequest, LEAVE_STATIC_EPOCH};
use super::settings::ConsumerSettings;
use super::topics::TopicsImage;
use super::ConsumerGroup;

impl<W> ConsumerGroup<W> {
    /// Fences members whose session has ended, or their time to revoke partitions, to join or to sync. Early calls do nothing.
    pub fn handle_timeout(&mut self, settings: &ConsumerSettings, topics: &dyn TopicsImage, now: Instant) {
        let due = self.members.iter().filter(|member| member.deadline() <= now);
        let due: Vec<String> = due.map(|member| member.stored.member_id.clone()).collect();
        self.fence(Context { settings, topics, now }, &due);
        self.commit();
    }

    pub(super) fn leave(&mut self, context: Context<'_>, request: HeartbeatRequest) -> HeartbeatReply {
        let member_id = self.existing(&request)?.member_id.clone();
        if request.member_epoch == LEAVE_STATIC_EPOCH {
            self.leave_for_a_while(&member_id);
        } else {
            self.fence(context, std::slice::from_ref(&member_id));
        }
        Ok(Heartbeat {
            member_id,
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }

    /// The member's assignment stays its own until it is back or its session ends; offsets of it may be committed by whoever comes back,
    /// hence the assignment epochs of 0.
    fn leave_for_a_while(&mut self, member_id: &str) {
        let Some(mut member) = self.members.get(member_id).cloned() else {
            return;
        };
        member.stored.member_epoch = LEAVE_STATIC_EPOCH;
        member.stored.pending_revocation.clear();
        for epoch in member
            .stored
            .assigned
            .values_mut()
            .flat_map(|partitions| partitions.values_mut())
        {
            *epoch = 0;
        }
        self.members.put(member);
    }

    /// Ends members. If only members of the classic protocol are left, the group becomes a classic one.
    pub(super) fn fence(&mut self, context: Context<'_>, member_ids: &[String]) {
        if member_ids.is_empty() {
            return;
        }
        for member_id in member_ids {
            self.members.remove(member_id);
        }
        if self.must_downgrade(context.settings) {
            self.downgrade(context.topics, true);
            return;
        }
        self.update_regexes(context.topics, context.now);
        self.raise_epoch_if(true, context.topics);
    }
}
