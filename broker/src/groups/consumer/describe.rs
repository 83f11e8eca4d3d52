//! What ConsumerGroupDescribe (69) and ListGroups (16) show of a group (Kafka `ConsumerGroup.asDescribedGroup`,
//! `ConsumerGroupMember.asConsumerGroupDescribeMember`). DescribeGroups (15) answers GROUP_ID_NOT_FOUND (69) for such a group from version 6
//! on, and before that shows it as `Dead`.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::assignor::Assignor;
use super::request::Partitions;
use super::settings::ConsumerSettings;
use super::stored::StoredMember;
use super::topics::TopicsImage;
use super::ConsumerGroup;

/// What a member takes besides what it sent.
const MEMBER_BYTES: usize = 1024;

/// Where a group is (Kafka `ConsumerGroup.ConsumerGroupState`). It follows from the epochs and the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConsumerGroupState {
    /// No members.
    Empty,
    /// The target assignment is older than what it should follow.
    Assigning,
    /// Some member has not all of its target.
    Reconciling,
    /// Every member has its target.
    Stable,
}

impl ConsumerGroupState {
    /// Kafka's name of it.
    pub fn name(self) -> &'static str {
        match self {
            ConsumerGroupState::Empty => "Empty",
            ConsumerGroupState::Assigning => "Assigning",
            ConsumerGroupState::Reconciling => "Reconciling",
            ConsumerGroupState::Stable => "Stable",
        }
    }
}

/// A group as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Its state.
    pub state: ConsumerGroupState,
    /// Its epoch.
    pub group_epoch: i32,
    /// The epoch of its target assignment.
    pub assignment_epoch: i32,
    /// The assignor of its next target assignment.
    pub assignor: Assignor,
    /// Its members, by id.
    pub members: Vec<MemberDescription>,
}

/// A member as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// Of a static member.
    pub instance_id: Option<String>,
    /// Where the client is.
    pub rack_id: Option<String>,
    /// Its epoch.
    pub member_epoch: i32,
    /// The client id of its last request.
    pub client_id: String,
    /// The address of its last request.
    pub client_host: String,
    /// Names subscribed to, in order.
    pub subscribed_topic_names: Vec<String>,
    /// Regular expression subscribed to; empty: none.
    pub subscribed_topic_regex: String,
    /// What it may have, and what it has yet to give up.
    pub assignment: Vec<TopicPartitions>,
    /// What it is to have in the end.
    pub target_assignment: Vec<TopicPartitions>,
    /// Whether it uses the classic protocol (`member_type` 0, else 1; KIP-1099).
    pub is_classic: bool,
}

/// Partitions of a topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPartitions {
    /// Its id.
    pub topic_id: Uuid,
    /// Its name.
    pub topic_name: String,
    /// Ascending.
    pub partitions: Vec<i32>,
}

impl<W> ConsumerGroup<W> {
    /// The state that the group is in.
    pub fn state(&self) -> ConsumerGroupState {
        let assignment_epoch = self.group.assignment_epoch;
        if self.members.is_empty() {
            ConsumerGroupState::Empty
        } else if self.group.group_epoch > assignment_epoch {
            ConsumerGroupState::Assigning
        } else if self
            .members
            .iter()
            .all(|member| member.stored.is_reconciled_to(assignment_epoch))
        {
            ConsumerGroupState::Stable
        } else {
            ConsumerGroupState::Reconciling
        }
    }

    /// About how many bytes the group takes in memory.
    pub fn size_bytes(&self) -> usize {
        self.members.iter().map(|member| size_of(&member.stored)).sum()
    }

    /// All that is shown of the group. Topics that were deleted are left out. See [`Self::undurable`] for when it may be told.
    pub fn describe(&self, settings: &ConsumerSettings, topics: &dyn TopicsImage) -> Description {
        Description {
            state: self.state(),
            group_epoch: self.group.group_epoch,
            assignment_epoch: self.group.assignment_epoch,
            assignor: self.assignor(settings),
            members: self
                .members
                .iter()
                .map(|member| describe_member(&member.stored, topics))
                .collect(),
        }
    }
}

fn describe_member(member: &StoredMember, topics: &dyn TopicsImage) -> MemberDescription {
    let mut held = Partitions::new();
    for (topic, partition) in member.held() {
        held.entry(topic).or_default().insert(partition);
    }
    MemberDescription {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        rack_id: member.rack_id.clone(),
        member_epoch: member.member_epoch,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: member.subscribed_topic_names.iter().cloned().collect(),
        subscribed_topic_regex: member.subscribed_topic_regex.clone(),
        assignment: named(&held, topics),
        target_assignment: named(&member.target, topics),
        is_classic: member.classic.is_some(),
    }
}

fn named(partitions: &Partitions, topics: &dyn TopicsImage) -> Vec<TopicPartitions> {
    let of = |(id, partitions): (&Uuid, &BTreeSet<i32>)| {
        topics.by_id(id).map(|facts| TopicPartitions {
            topic_id: *id,
            topic_name: facts.name,
            partitions: partitions.iter().copied().collect(),
        })
    };
    partitions.iter().filter_map(of).collect()
}

fn size_of(member: &StoredMember) -> usize {
    let names: usize = member.subscribed_topic_names.iter().map(|name| name.len() + 64).sum();
    let partitions = |partitions: usize| partitions * 32;
    let assigned = member
        .assigned
        .values()
        .chain(member.pending_revocation.values())
        .map(|of| of.len());
    let target = member.target.values().map(BTreeSet::len);
    let protocols = member.classic.iter().flat_map(|classic| &classic.protocols);
    let protocols: usize = protocols
        .map(|protocol| protocol.name.len() + protocol.metadata.len() + 64)
        .sum();
    MEMBER_BYTES
        + member.member_id.len()
        + member.client_id.len()
        + member.subscribed_topic_regex.len()
        + names
        + partitions(assigned.chain(target).sum())
        + protocols
}
