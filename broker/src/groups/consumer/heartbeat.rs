//! ConsumerGroupHeartbeat of members that stay (Kafka `GroupMetadataManager.consumerGroupHeartbeat`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::assignor::Assignor;
use super::error::HeartbeatError;
use super::reply::Reply;
use super::request::{check_request, Heartbeat, HeartbeatReply, HeartbeatRequest, Partitions};
use super::request::{JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
use super::settings::ConsumerSettings;
use super::settle::Before;
use super::stored::{AssignedPartitions, StoredMember};
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
        // A refusal changes nothing, and a group that was made from a classic one for this request is not to be stored then.
        if reply.is_ok() {
            self.commit();
        }
        self.outbox.push_reply(waiter, Reply::Heartbeat(reply));
    }

    fn answer(&mut self, context: Context<'_>, request: HeartbeatRequest) -> HeartbeatReply {
        check_request(context.settings, &self.group_id, &request)?;
        match request.member_epoch {
            LEAVE_EPOCH | LEAVE_STATIC_EPOCH => self.leave(context, request),
            _ => self.stay(context, request),
        }
    }

    fn stay(&mut self, context: Context<'_>, mut request: HeartbeatRequest) -> HeartbeatReply {
        self.check_room(context.settings, &request.member_id)?;
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
        if let Some(replaced) = &entry.replaces {
            self.members.remove(replaced);
        }
        let mut member = self.with_timers(stored, context.now + context.settings.session_timeout);
        member.join_deadline = None;
        member.sync_deadline = None;
        let changed = before.subscription_changed(&member.stored);
        self.settle(context, &mut member, owned.as_ref(), changed);
        let told = joins || full || before.assigned != member.stored.assigned;
        Ok(Heartbeat {
            member_id: member.stored.member_id,
            member_epoch: member.stored.member_epoch,
            heartbeat_interval_ms: milliseconds(context.settings.heartbeat_interval),
            assignment: told.then(|| without_epochs(&member.stored.assigned)),
        })
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
}

/// Takes over what the request says; what it leaves out stays.
fn update(member: &mut StoredMember, request: HeartbeatRequest) {
    member.classic = None;
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

pub(super) fn without_epochs(assigned: &AssignedPartitions) -> Partitions {
    assigned
        .iter()
        .map(|(topic, partitions)| (*topic, partitions.keys().copied().collect()))
        .collect()
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
