//! What of a consumer group outlives the process (Kafka's `ConsumerGroup*Key`/`Value` records in `__consumer_offsets`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::assignor::Assignor;
use super::classic::ClassicGroupImage;
use super::request::Partitions;

/// Partitions by topic id, each with the member epoch in which the member got it (KIP-1251's assignment epoch).
pub type AssignedPartitions = BTreeMap<Uuid, BTreeMap<i32, i32>>;

/// How far a member is with its target assignment (Kafka `MemberState`; the numbers of the variants are Kafka's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MemberState {
    /// It has all that the target gave it when it reached its epoch. Leaves for either of the others at a newer target, for
    /// `UnrevokedPartitions` also when it gives up a subscription.
    Stable = 0,
    /// It was told to give up partitions and has not said yet that it did; it keeps its epoch until then. Then it goes to whichever
    /// of the three fits the newest target.
    UnrevokedPartitions = 1,
    /// It has its target's epoch, and waits for partitions that others have to give up.
    UnreleasedPartitions = 2,
}

impl MemberState {
    /// The state that Kafka writes as this number.
    pub fn from_number(number: u8) -> Option<Self> {
        [
            MemberState::Stable,
            MemberState::UnrevokedPartitions,
            MemberState::UnreleasedPartitions,
        ]
        .into_iter()
        .find(|state| *state as u8 == number)
    }
}

/// A protocol of a classic member's JoinGroup (Kafka `ClassicProtocol`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassicProtocol {
    /// Its name, that of a client-side assignor.
    pub name: String,
    /// A `ConsumerProtocolSubscription` with its version before it.
    #[serde(with = "crate::groups::base64_bytes")]
    pub metadata: Bytes,
}

/// What a member of the classic protocol has besides (Kafka `ClassicMemberMetadata`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassicMember {
    /// Its session timeout, in milliseconds.
    pub session_timeout_ms: i32,
    /// What it supports, the most preferred first.
    pub protocols: Vec<ClassicProtocol>,
}

/// One member. `ConsumerGroupMemberMetadata`, `ConsumerGroupCurrentMemberAssignment` and `ConsumerGroupTargetAssignmentMember` of Kafka in
/// one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMember {
    /// Its id, unique in the group.
    pub member_id: String,
    /// Of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// Where the client is.
    pub rack_id: Option<String>,
    /// The client id of its last request.
    pub client_id: String,
    /// The address of its last request.
    pub client_host: String,
    /// Time that it may take to revoke partitions, in milliseconds.
    pub rebalance_timeout_ms: i32,
    /// Names subscribed to, whether or not such topics exist.
    pub subscribed_topic_names: Arc<BTreeSet<String>>,
    /// Regular expression subscribed to; empty: none.
    pub subscribed_topic_regex: String,
    /// The assignor that it prefers.
    pub server_assignor: Option<Assignor>,
    /// Its epoch: 0 before its first assignment, -2 while a static member is away.
    pub member_epoch: i32,
    /// The epoch before, which a retried heartbeat may still carry; -1 if there was none.
    pub previous_member_epoch: i32,
    /// See [`MemberState`].
    pub state: MemberState,
    /// What it may have, as it is told.
    #[serde(with = "crate::groups::partition_runs::assigned")]
    pub assigned: AssignedPartitions,
    /// What it had and was told to give up, and may still have.
    #[serde(with = "crate::groups::partition_runs::assigned")]
    pub pending_revocation: AssignedPartitions,
    /// What it is to have in the end.
    #[serde(with = "crate::groups::partition_runs::sets")]
    pub target: Partitions,
    /// Of a member that uses the classic protocol (JoinGroup, SyncGroup, Heartbeat) until it is replaced by a newer client.
    pub classic: Option<ClassicMember>,
}

impl StoredMember {
    /// A member that was not in the group before.
    pub(super) fn new(member_id: &str) -> Self {
        StoredMember {
            member_id: member_id.to_owned(),
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            subscribed_topic_names: Arc::default(),
            subscribed_topic_regex: String::new(),
            server_assignor: None,
            member_epoch: 0,
            previous_member_epoch: -1,
            state: MemberState::Stable,
            assigned: AssignedPartitions::new(),
            pending_revocation: AssignedPartitions::new(),
            target: Partitions::new(),
            classic: None,
        }
    }

    /// Whether it has all of the target of this epoch.
    pub(super) fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.member_epoch == assignment_epoch
    }

    /// What it may have and what it has to give up: all that no other member may be given.
    pub(super) fn held(&self) -> impl Iterator<Item = (Uuid, i32)> + '_ {
        [&self.assigned, &self.pending_revocation]
            .into_iter()
            .flatten()
            .flat_map(|(topic, partitions)| partitions.keys().map(move |partition| (*topic, *partition)))
    }

    /// Time that it may take to revoke partitions, or as a classic member to join and to sync.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.rebalance_timeout_ms).unwrap_or_default())
    }

    /// The regular expression that it is subscribed to, if any.
    pub(super) fn regex(&self) -> Option<&str> {
        Some(self.subscribed_topic_regex.as_str()).filter(|regex| !regex.is_empty())
    }
}

/// The numbers of a group (`ConsumerGroupMetadata` and `ConsumerGroupTargetAssignmentMetadata`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredGroup {
    /// Rises with every change that a new target assignment must follow.
    pub group_epoch: i32,
    /// Hash of the topics subscribed to, as of `group_epoch`.
    pub metadata_hash: i64,
    /// The group epoch for which the target assignment was made.
    pub assignment_epoch: i32,
}

/// A whole group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConsumerGroup {
    /// The group's numbers.
    pub group: StoredGroup,
    /// Its members, in any order.
    pub members: Vec<StoredMember>,
}

/// What one input changed. To be written in one transaction: removals first, then the members as they are now. A `whole` change is
/// written in place of all that is stored of the group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerGroupChange {
    /// Whether it is the first of a group that was not restored. All of the group is in it; what a classic group of this id left goes.
    pub whole: bool,
    /// Ids of members that are gone.
    pub removed: Vec<String>,
    /// Members that are new or changed, whole.
    pub members: Vec<StoredMember>,
    /// The group's numbers, if they changed or were never written.
    pub group: Option<StoredGroup>,
    /// Of a group whose last member of this protocol is gone: in the same transaction the consumer group is deleted and this classic group
    /// stored in its place. It is the last change; what waits for replies gets them, and further requests are the classic group's.
    pub downgrade: Option<ClassicGroupImage>,
}

impl ConsumerGroupChange {
    /// Takes over a change that was made after this one: the two become one.
    pub fn append(&mut self, later: ConsumerGroupChange) {
        self.members.retain(|member| {
            let replaced = |other: &StoredMember| other.member_id == member.member_id;
            !later.removed.contains(&member.member_id) && !later.members.iter().any(replaced)
        });
        self.removed.extend(later.removed);
        self.members.extend(later.members);
        self.group = later.group.or(self.group);
        self.downgrade = later.downgrade.or(self.downgrade.take());
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == ConsumerGroupChange::default()
    }
}

/// A change with its place in the order of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persist {
    /// Rises by one with each change, from 1.
    pub token: u64,
    /// What to write.
    pub change: ConsumerGroupChange,
}
