//! JoinGroup of members of the classic protocol (Kafka `classicGroupJoinToConsumerGroup`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_protocol::ResponseError;

use super::super::heartbeat::Context;
use super::super::join::Entry;
use super::super::members::Member;
use super::super::reply::Reply;
use super::super::settings::{ConsumerSettings, MigrationPolicy};
use super::super::settle::Before;
use super::super::stored::{ClassicMember, StoredMember};
use super::super::topics::TopicsImage;
use super::super::{ConsumerGroup, HeartbeatError};
use super::protocol::{by_id, Subscription};
use super::{ClassicJoin, ClassicJoinReply, ClassicJoined, PROTOCOL_TYPE};

impl<W> ConsumerGroup<W> {
    /// Serves a JoinGroup (11) to a group that has members. Answered [`Reply::ClassicJoin`], with the errors INCONSISTENT_GROUP_PROTOCOL (23),
    /// GROUP_MAX_SIZE_REACHED (81), MEMBER_ID_REQUIRED (79), UNKNOWN_MEMBER_ID (25), FENCED_INSTANCE_ID (82) and, for a
    /// subscription that cannot be read, UNKNOWN_SERVER_ERROR (-1).
    pub fn classic_join(
        &mut self,
        settings: &ConsumerSettings,
        topics: &dyn TopicsImage,
        now: Instant,
        mut request: ClassicJoin,
        waiter: W,
    ) {
        let asked = request.member_id.clone();
        let is_unknown = asked.is_empty();
        if is_unknown {
            request.member_id = std::mem::take(&mut request.fresh_member_id);
        }
        let own = request.member_id.clone();
        let context = Context { settings, topics, now };
        let result = match &self.closed {
            Some(error) => Err(error.code()),
            None => self.join_classic(context, request, is_unknown),
        };
        let member_id = match result {
            Ok(_) | Err(ResponseError::MemberIdRequired) => own,
            Err(_) => asked,
        };
        self.commit();
        self.outbox
            .push_reply(waiter, Reply::ClassicJoin(ClassicJoinReply { member_id, result }));
    }

    fn join_classic(
        &mut self,
        context: Context<'_>,
        request: ClassicJoin,
        is_unknown: bool,
    ) -> Result<ClassicJoined, ResponseError> {
        if context.settings.migration == MigrationPolicy::Disabled {
            return Err(ResponseError::InconsistentGroupProtocol);
        }
        let code = |error: HeartbeatError| error.code();
        self.check_room(context.settings, &request.member_id).map_err(code)?;
        let preferred = request
            .protocols
            .first()
            .filter(|_| self.supports(&request))
            .ok_or(ResponseError::InconsistentGroupProtocol)?;
        if is_unknown && request.instance_id.is_none() && request.requires_known_member_id {
            return Err(ResponseError::MemberIdRequired);
        }
        let entry = self.enter_classic(&request, is_unknown).map_err(code)?;
        let subscription = Subscription::read(&preferred.metadata).ok_or(ResponseError::UnknownServerError)?;
        let protocol_name = preferred.name.clone();

        // From here on nothing is refused.
        let was_static = request
            .instance_id
            .as_ref()
            .is_some_and(|instance_id| self.members.by_instance(instance_id).is_some());
        let owned = by_id(&subscription.owned, context.topics);
        let mut stored = entry.member;
        let before = Before::of(&stored);
        update(&mut stored, request, subscription);
        if let Some(replaced) = &entry.replaces {
            self.members.remove(replaced);
        }
        let mut member = self.with_timers(stored, context.now);
        member.start_classic_session(context.now);
        member.join_deadline = None;
        member.sync_deadline = Some(context.now + member.stored.rebalance_timeout());
        member.revocation = None;
        let changed = before.subscription_changed(&member.stored);
        self.members.put(member.clone());
        if was_static && self.must_downgrade(context.settings) {
            self.update_regexes(context.topics, context.now);
            self.raise_epoch_if(changed, context.topics);
            let rebalance = self.group.assignment_epoch < self.group.group_epoch;
            if !rebalance {
                self.move_on(context, &mut member, Some(&owned), changed);
            }
            self.downgrade(context.topics, rebalance);
        } else {
            self.settle(context, &mut member, Some(&owned), changed);
        }
        Ok(ClassicJoined {
            generation_id: member.stored.member_epoch,
            protocol_name,
        })
    }

    /// Whether one of the protocols is one that all members of the classic protocol have.
    fn supports(&self, request: &ClassicJoin) -> bool {
        let all_have = |name: &str| {
            let mut classic = self.members.iter().filter_map(|member| member.stored.classic.as_ref());
            classic.all(|member| member.protocols.iter().any(|protocol| protocol.name == name))
        };
        request.protocol_type == PROTOCOL_TYPE && request.protocols.iter().any(|protocol| all_have(&protocol.name))
    }

    fn enter_classic(&self, request: &ClassicJoin, is_unknown: bool) -> Result<Entry, HeartbeatError> {
        let Some(instance_id) = request.instance_id.as_deref() else {
            let known = self.members.get(&request.member_id).map(|member| member.stored.clone());
            return Ok(known.unwrap_or_else(|| StoredMember::new(&request.member_id)).into());
        };
        if !is_unknown {
            return Ok(self.member_of(&request.member_id, Some(instance_id))?.clone().into());
        }
        Ok(match self.members.by_instance(instance_id) {
            Some(owner) => Entry::replacing(&owner.stored, &request.member_id),
            None => StoredMember::new(&request.member_id).into(),
        })
    }
}

impl Member {
    /// Starts the session timeout that a member of the classic protocol asked for anew.
    pub fn start_classic_session(&mut self, now: Instant) {
        if let Some(classic) = &self.stored.classic {
            self.session_deadline = now + Duration::from_millis(u64::try_from(classic.session_timeout_ms).unwrap_or_default());
        }
    }
}

fn update(member: &mut StoredMember, request: ClassicJoin, subscription: Subscription) {
    member.client_id = request.client_id;
    member.client_host = request.client_host;
    if request.instance_id.is_some() {
        member.instance_id = request.instance_id;
    }
    if subscription.rack_id.is_some() {
        member.rack_id = subscription.rack_id;
    }
    if request.rebalance_timeout_ms != -1 {
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    let names = subscription.topics.into_iter().collect();
    if *member.subscribed_topic_names != names {
        member.subscribed_topic_names = Arc::new(names);
    }
    member.subscribed_topic_regex.clear();
    member.classic = Some(ClassicMember {
        session_timeout_ms: request.session_timeout_ms,
        protocols: request.protocols.iter().map(copied).collect(),
    });
}

/// A slice would keep the whole frame of the request in memory.
fn copied(protocol: &super::ClassicProtocol) -> super::ClassicProtocol {
    super::ClassicProtocol {
        name: protocol.name.clone(),
        metadata: bytes::Bytes::copy_from_slice(&protocol.metadata),
    }
}
