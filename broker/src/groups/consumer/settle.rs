//! How a member, new or changed, takes its place in the group: the three steps of the module's head.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use super::heartbeat::Context;
use super::members::{Member, Revocation};
use super::reconcile::{reconcile, Surroundings};
use super::request::Partitions;
use super::stored::{AssignedPartitions, MemberState, StoredMember};
use super::ConsumerGroup;

impl<W> ConsumerGroup<W> {
    /// The member with the timers that it has, but for its session.
    pub(super) fn with_timers(&self, stored: StoredMember, session_deadline: Instant) -> Member {
        let old = self.members.get(&stored.member_id);
        Member {
            revocation: old.and_then(|old| old.revocation),
            join_deadline: old.and_then(|old| old.join_deadline),
            sync_deadline: old.and_then(|old| old.sync_deadline),
            session_deadline,
            stored,
        }
    }

    /// Puts the member into the group, lets the group follow, and moves the member on. `owned` is what it says it has.
    pub(super) fn settle(
        &mut self,
        context: Context<'_>,
        member: &mut Member,
        owned: Option<&Partitions>,
        subscription_changed: bool,
    ) {
        self.members.put(member.clone());
        self.update_regexes(context.topics, context.now);
        self.raise_epoch_if(subscription_changed, context.topics);
        self.assign_if_due(context);
        if let Some(assigned) = self.members.get(&member.stored.member_id) {
            member.stored.target.clone_from(&assigned.stored.target);
        }
        self.move_on(context, member, owned, subscription_changed);
        self.members.put(member.clone());
    }

    /// One step of the member towards its target.
    pub(super) fn move_on(
        &self,
        context: Context<'_>,
        member: &mut Member,
        owned: Option<&Partitions>,
        subscription_changed: bool,
    ) {
        if !subscription_changed && member.stored.is_reconciled_to(self.group.assignment_epoch) {
            return;
        }
        let mut next = member.stored.clone();
        let stored = &member.stored;
        reconcile(
            &mut next,
            &Surroundings {
                assignment_epoch: self.group.assignment_epoch,
                owned,
                subscription_changed,
                is_subscribed: &|topic| {
                    context
                        .topics
                        .by_id(topic)
                        .is_some_and(|facts| self.is_member_subscribed_to(stored, &facts.name))
                },
                is_held_by_other: &|topic, partition| self.members.is_held_by_other(&stored.member_id, topic, partition),
            },
        );
        if next != member.stored {
            member.stored = next;
            member.restart_revocation(context.now);
        }
    }

    fn is_member_subscribed_to(&self, member: &StoredMember, topic: &str) -> bool {
        let by_regex = || {
            member
                .regex()
                .and_then(|regex| self.regexes.topics(regex))
                .is_some_and(|topics| topics.contains(topic))
        };
        member.subscribed_topic_names.contains(topic) || by_regex()
    }
}

impl Member {
    /// Starts the rebalance timeout if the member has to revoke partitions, stops it if not. Classic members have others.
    pub fn restart_revocation(&mut self, now: Instant) {
        let must_revoke = self.stored.state == MemberState::UnrevokedPartitions;
        let timeout = self.stored.rebalance_timeout();
        self.revocation = (must_revoke && self.stored.classic.is_none()).then_some(Revocation {
            deadline: now + timeout,
            member_epoch: self.stored.member_epoch,
        });
    }
}

/// What a request may change, as it was.
pub(super) struct Before {
    names: Arc<BTreeSet<String>>,
    pub regex: String,
    pub assigned: AssignedPartitions,
}

impl Before {
    pub fn of(member: &StoredMember) -> Self {
        Before {
            names: member.subscribed_topic_names.clone(),
            regex: member.subscribed_topic_regex.clone(),
            assigned: member.assigned.clone(),
        }
    }

    pub fn subscription_changed(&self, member: &StoredMember) -> bool {
        self.names != member.subscribed_topic_names || self.regex != member.subscribed_topic_regex
    }
}
