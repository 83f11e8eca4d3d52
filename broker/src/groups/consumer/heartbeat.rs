//! ConsumerGroupHeartbeat of members that stay (Kafka `GroupMetadataManager.consumerGroupHeartbeat`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::assignor::Assignor;
use super::error::HeartbeatError;
use super::members::{Member, Revocation};
use super::reconcile::{reconcile, Surroundings};
use super::request::{check_request, Heartbeat, HeartbeatReply, HeartbeatRequest, Partitions};
use super::request::{JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
use super::settings::ConsumerSettings;
use super::stored::{AssignedPartitions, MemberState, StoredMember};
use super::topics::TopicsImage;
use super::{regex, ConsumerGroup};

/// The surroundings of one request.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub settings: &'a ConsumerSettings,
    pub topics: &'a dyn TopicsImage,
    pub now: Instant,
}

impl<W> ConsumerGroup<W> {
    /// Serves a ConsumerGroupHeartbeat (68) of a join, a leave, or between. Its reply comes out of [`Self::poll_reply`] once, in the order of the
    /// requests: the member's epoch and, where it changed or the client asks anew, its assignment, or a [`HeartbeatError`].
    pub fn heartbeat(
        &mut self,
        settings: &ConsumerSettings,
        topics: &dyn TopicsImage,
        now: Instant,
        request: HeartbeatRequest,
        waiter: W,
    ) {
        let context = Context { settings, topics, now };
        let reply = match &self.closed {
            Some(error) => Err(error.clone()),
            None => self.answer(context, request),
        };
        self.commit();
        self.outbox.push_reply(waiter, reply);
    }

    fn answer(&mut self, context: Context<'_>, request: HeartbeatRequest) -> HeartbeatReply {
        check_request(context.settings, &self.group_id, &request)?;
        match request.member_epoch {
            LEAVE_EPOCH | LEAVE_STATIC_EPOCH => self.leave(context, request),
            _ => self.stay(context, request),
        }
    }

    fn stay(&mut self, context: Context<'_>, mut request: HeartbeatRequest) -> HeartbeatReply {
        self.check_room(context.settings, &request)?;
        if request.member_id.is_empty() {
            request.member_id = std::mem::take(&mut request.fresh_member_id);
        }
        let full = request.is_full();
        let entry = self.enter(&request)?;
        let mut stored = entry.member;
        let before = Before::of(&stored);
        let owned = request.owned.take();
        let joins = request.member_epoch == JOIN_EPOCH;
        update(&mut stored, request);
        self.check_regex(&before, &stored)?;

        // From here on nothing is refused.
        let member_id = stored.member_id.clone();
        if let Some(replaced) = &entry.replaces {
            self.members.remove(replaced);
        }
        let mut member = Member {
            stored,
            session_deadline: context.now + context.settings.session_timeout,
            revocation: self.members.get(&member_id).and_then(|member| member.revocation),
        };
        let changed = before.subscription_changed(&member.stored);
        self.members.put(member.clone());
        self.update_regexes(context.topics, context.now);
        self.raise_epoch_if(changed, context.topics);
        self.assign_if_due(context);
        if let Some(assigned) = self.members.get(&member_id) {
            member.stored.target.clone_from(&assigned.stored.target);
        }
        self.move_on(context, &mut member, owned.as_ref(), changed);
        let told = joins || full || before.assigned != member.stored.assigned;
        let reply = Heartbeat {
            member_epoch: member.stored.member_epoch,
            heartbeat_interval_ms: milliseconds(context.settings.heartbeat_interval),
            assignment: told.then(|| without_epochs(&member.stored.assigned)),
            member_id,
        };
        self.members.put(member);
        Ok(reply)
    }

    /// A new expression must compile, and the group must have room for it.
    fn check_regex(&self, before: &Before, member: &StoredMember) -> Result<(), HeartbeatError> {
        let Some(expression) = member.regex() else { return Ok(()) };
        if before.regex == expression || self.regexes.contains(expression) {
            return Ok(());
        }
        regex::compile(expression)?;
        let only_user = !before.regex.is_empty()
            && self
                .members
                .iter()
                .filter(|member| member.stored.regex() == Some(&before.regex))
                .count()
                == 1;
        if self.regexes.is_full() && !only_user {
            return Err(HeartbeatError::InvalidRegularExpression {
                regex: expression.to_owned(),
                reason: "the members of the group use too many different ones".to_owned(),
            });
        }
        Ok(())
    }

    /// One step of the member towards its target.
    fn move_on(&self, context: Context<'_>, member: &mut Member, owned: Option<&Partitions>, subscription_changed: bool) {
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
    /// Starts the rebalance timeout if the member has to revoke partitions, stops it if not.
    pub fn restart_revocation(&mut self, now: Instant) {
        let timeout = Duration::from_millis(u64::try_from(self.stored.rebalance_timeout_ms).unwrap_or_default());
        self.revocation = (self.stored.state == MemberState::UnrevokedPartitions).then_some(Revocation {
            deadline: now + timeout,
            member_epoch: self.stored.member_epoch,
        });
    }
}

/// What a request may change, as it was.
struct Before {
    names: Arc<std::collections::BTreeSet<String>>,
    regex: String,
    assigned: AssignedPartitions,
}

impl Before {
    fn of(member: &StoredMember) -> Self {
        Before {
            names: member.subscribed_topic_names.clone(),
            regex: member.subscribed_topic_regex.clone(),
            assigned: member.assigned.clone(),
        }
    }

    fn subscription_changed(&self, member: &StoredMember) -> bool {
        self.names != member.subscribed_topic_names || self.regex != member.subscribed_topic_regex
    }
}

/// Takes over what the request says; what it leaves out stays.
fn update(member: &mut StoredMember, request: HeartbeatRequest) {
    member.client_id = request.client_id;
    member.client_host = request.client_host;
    if request.instance_id.is_some() {
        member.instance_id = request.instance_id;
    }
    if request.rack_id.is_some() {
        member.rack_id = request.rack_id;
    }
    if request.rebalance_timeout_ms != -1 {
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(names) = request.subscribed_topic_names {
        let names = names.into_iter().collect();
        if *member.subscribed_topic_names != names {
            member.subscribed_topic_names = Arc::new(names);
        }
    }
    if let Some(regex) = request.subscribed_topic_regex {
        member.subscribed_topic_regex = regex;
    }
    if let Some(name) = request.server_assignor {
        member.server_assignor = Assignor::from_name(&name);
    }
}

fn without_epochs(assigned: &AssignedPartitions) -> Partitions {
    assigned
        .iter()
        .map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()))
        .collect()
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
