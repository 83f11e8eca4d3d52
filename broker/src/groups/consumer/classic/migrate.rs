//! A classic group becomes a consumer group when a member of the new protocol joins it, and one again when the last such member is gone (Kafka
//! `convertToConsumerGroup`, `ConsumerGroup.fromClassicGroup`, `convertToClassicGroup`, `ClassicGroup.fromConsumerGroup`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use kafka_protocol::ResponseError;

use super::super::settings::ConsumerSettings;
use super::super::stored::{AssignedPartitions, ClassicMember, ClassicProtocol, MemberState, StoredMember};
use super::super::topics::TopicsImage;
use super::super::{ConsumerGroup, HeartbeatError};
use super::protocol::{by_id, read_assignment, write_assignment, Subscription};
use super::PROTOCOL_TYPE;

/// A classic group of consumers with members, as it becomes a consumer group or was made from one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicGroupImage {
    /// Its generation.
    pub generation_id: i32,
    /// "consumer" for consumers; others cannot be upgraded.
    pub protocol_type: String,
    /// The protocol that the members chose, if they have.
    pub protocol_name: Option<String>,
    /// Its members.
    pub members: Vec<ClassicGroupMember>,
    /// Whether it has to rebalance at once. Not looked at in an upgrade.
    pub rebalance: bool,
}

/// A member of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassicGroupMember {
    /// Its id.
    pub member_id: String,
    /// Of a static member.
    pub instance_id: Option<String>,
    /// The client id of its last JoinGroup.
    pub client_id: String,
    /// The address of its last JoinGroup.
    pub client_host: String,
    /// In milliseconds.
    pub rebalance_timeout_ms: i32,
    /// In milliseconds.
    pub session_timeout_ms: i32,
    /// What it supports, the most preferred first.
    pub protocols: Vec<ClassicProtocol>,
    /// Its part of the assignment; empty: none.
    pub assignment: Bytes,
}

impl ClassicGroupMember {
    fn metadata(&self, protocol_name: Option<&str>) -> &[u8] {
        let mut protocols = self.protocols.iter();
        let chosen = protocols.find(|protocol| protocol_name.is_none_or(|name| protocol.name == name));
        chosen.map(|protocol| &*protocol.metadata).unwrap_or_default()
    }
}

impl<W> ConsumerGroup<W> {
    /// The consumer group that a classic group with members becomes, for a member of this protocol that joins it (`member_epoch` 0). Its
    /// members are stable with what they were assigned last; the join raises the epoch and they are told to join again. If the join is
    /// refused ([`Self::is_unwritten`]), the classic group stays. If not, the first change is `whole`: to be written in the
    /// transaction that deletes the classic group. What waits in that is answered REBALANCE_IN_PROGRESS (27).
    ///
    /// # Errors
    /// [`HeartbeatError::CannotUpgrade`] (GROUP_ID_NOT_FOUND, 69).
    pub fn upgrade(
        group_id: &str,
        classic: &ClassicGroupImage,
        settings: &ConsumerSettings,
        topics: &dyn TopicsImage,
        now: Instant,
    ) -> Result<Self, HeartbeatError> {
        let refuse = |reason| HeartbeatError::CannotUpgrade {
            group_id: group_id.to_owned(),
            reason,
        };
        if !settings.migration.upgrades() {
            return Err(refuse("online upgrade is disabled"));
        }
        if classic.protocol_type != PROTOCOL_TYPE {
            return Err(refuse("the group does not use the consumer embedded protocol"));
        }
        if classic.members.len() > settings.max_size {
            return Err(refuse("the group size exceeds the consumer group maximum size"));
        }
        let mut group = Self::new(group_id);
        group.group.group_epoch = classic.generation_id;
        group.group.assignment_epoch = classic.generation_id;
        for member in &classic.members {
            let stored = upgraded(member, classic, topics).map_err(refuse)?;
            let mut member = group.with_timers(stored, now);
            member.start_classic_session(now);
            group.members.put(member);
        }
        group.group.metadata_hash = group.hash(topics);
        Ok(group)
    }

    /// Whether only members of the classic protocol are left, and they may become a classic group.
    pub(in super::super) fn must_downgrade(&self, settings: &ConsumerSettings) -> bool {
        let all_classic = self.members.iter().all(|member| member.stored.classic.is_some());
        let fits = self.members.len() <= settings.classic_max_size;
        settings.migration.downgrades() && fits && all_classic && !self.members.is_empty()
    }

    /// Ends this group in favour of a classic one with the same members, whose assignments are their targets.
    pub(in super::super) fn downgrade(&mut self, topics: &dyn TopicsImage, rebalance: bool) {
        let mut members: Vec<_> = self.members.iter().filter_map(|member| downgraded(&member.stored)).collect();
        let protocol_name = chosen_protocol(&members);
        for member in &mut members {
            let target = self.members.get(&member.member_id).map(|member| &member.stored.target);
            let metadata = member.metadata(protocol_name.as_deref());
            member.assignment = target
                .map(|target| write_assignment(target, metadata, topics))
                .unwrap_or_default();
        }
        for member in &members {
            self.members.remove(&member.member_id);
        }
        self.downgraded = Some(ClassicGroupImage {
            generation_id: self.group.group_epoch,
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocol_name,
            members,
            rebalance,
        });
        self.closed = Some(HeartbeatError::Closed(ResponseError::CoordinatorLoadInProgress));
    }
}

fn upgraded(
    member: &ClassicGroupMember,
    group: &ClassicGroupImage,
    topics: &dyn TopicsImage,
) -> Result<StoredMember, &'static str> {
    const MALFORMED: &str = "the embedded consumer protocol is malformed";
    let metadata = member.metadata(group.protocol_name.as_deref());
    let subscription = Subscription::read(metadata).ok_or(MALFORMED)?;
    let (assignment, has_user_data) = read_assignment(&member.assignment).ok_or(MALFORMED)?;
    if has_user_data {
        return Err("an unsupported custom assignor is in use; switch to a default assignor before the upgrade");
    }
    let target = by_id(&assignment, topics);
    let with_epochs = |partitions: &std::collections::BTreeSet<i32>| {
        partitions.iter().map(|partition| (*partition, group.generation_id)).collect()
    };
    Ok(StoredMember {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        subscribed_topic_names: Arc::new(subscription.topics.into_iter().collect()),
        member_epoch: group.generation_id,
        previous_member_epoch: group.generation_id,
        state: MemberState::Stable,
        assigned: target
            .iter()
            .map(|(topic, set)| (*topic, with_epochs(set)))
            .collect::<AssignedPartitions>(),
        target,
        classic: Some(ClassicMember {
            session_timeout_ms: member.session_timeout_ms,
            protocols: member.protocols.clone(),
        }),
        ..StoredMember::new(&member.member_id)
    })
}

/// The member without its assignment.
fn downgraded(member: &StoredMember) -> Option<ClassicGroupMember> {
    let classic = member.classic.as_ref()?;
    Some(ClassicGroupMember {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        session_timeout_ms: classic.session_timeout_ms,
        protocols: classic.protocols.clone(),
        assignment: Bytes::new(),
    })
}

/// Of the protocols that all members have, the one that most of them prefer.
fn chosen_protocol(members: &[ClassicGroupMember]) -> Option<String> {
    let is_common = |name: &str| {
        members
            .iter()
            .all(|member| member.protocols.iter().any(|protocol| protocol.name == name))
    };
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for member in members {
        if let Some(vote) = member.protocols.iter().find(|protocol| is_common(&protocol.name)) {
            *votes.entry(&vote.name).or_default() += 1;
        }
    }
    votes
        .into_iter()
        .max_by_key(|(_, votes)| *votes)
        .map(|(name, _)| name.to_owned())
}
