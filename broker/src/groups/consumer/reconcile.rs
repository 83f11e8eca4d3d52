//! The next step of a member towards its target assignment (Kafka `CurrentAssignmentBuilder`). A partition is given to a member only when
//! no other member holds it, and a member that has to give up partitions keeps its epoch until it says that it did.

use uuid::Uuid;

use super::request::Partitions;
use super::stored::{AssignedPartitions, MemberState, StoredMember};

/// What a step depends on besides the member.
pub(super) struct Surroundings<'a> {
    /// The epoch of the target assignment.
    pub assignment_epoch: i32,
    /// What the member says it has now; `None`: what it said last.
    pub owned: Option<&'a Partitions>,
    /// Whether its subscription changed with this request.
    pub subscription_changed: bool,
    /// Whether it is subscribed to a topic that exists under this id.
    pub is_subscribed: &'a dyn Fn(&Uuid) -> bool,
    /// Whether another member holds a partition.
    pub is_held_by_other: &'a dyn Fn(Uuid, i32) -> bool,
}

/// Moves `member` as far as it can go.
pub(super) fn reconcile(member: &mut StoredMember, around: &Surroundings<'_>) {
    match member.state {
        MemberState::Stable if member.member_epoch != around.assignment_epoch => advance(member, around),
        MemberState::UnrevokedPartitions if around.may_still_own(&member.pending_revocation) => {
            if around.subscription_changed {
                give_up_unsubscribed(member, around);
            }
        }
        MemberState::Stable => {
            if around.subscription_changed {
                give_up_unsubscribed(member, around);
            }
        }
        MemberState::UnrevokedPartitions | MemberState::UnreleasedPartitions => advance(member, around),
    }
}

impl Surroundings<'_> {
    /// Whether the member may have any of `partitions`: it says so, or says nothing.
    fn may_still_own(&self, partitions: &AssignedPartitions) -> bool {
        let Some(owned) = self.owned else { return true };
        partitions.iter().any(|(topic, partitions)| {
            owned
                .get(topic)
                .is_some_and(|owned| partitions.keys().any(|partition| owned.contains(partition)))
        })
    }
}

/// Takes away what the member is no longer subscribed to, without waiting for a new target.
fn give_up_unsubscribed(member: &mut StoredMember, around: &Surroundings<'_>) {
    let (assigned, unsubscribed): (AssignedPartitions, AssignedPartitions) = member
        .assigned
        .clone()
        .into_iter()
        .partition(|(topic, _)| (around.is_subscribed)(topic));
    if unsubscribed.is_empty() {
        return;
    }
    let mut pending = member.pending_revocation.clone();
    for (topic, partitions) in unsubscribed {
        pending.entry(topic).or_default().extend(partitions);
    }
    member.assigned = assigned;
    member.previous_member_epoch = member.member_epoch;
    if around.may_still_own(&pending) {
        member.state = MemberState::UnrevokedPartitions;
        member.pending_revocation = pending;
    }
}

/// Compares what the member has with its target: first it gives up, then it gets.
fn advance(member: &mut StoredMember, around: &Surroundings<'_>) {
    let target: Partitions = member
        .target
        .iter()
        .filter(|(topic, _)| (around.is_subscribed)(topic))
        .map(|(id, set)| (*id, set.clone()))
        .collect();
    let (mut kept, revoked) = split(&member.assigned, &target);
    if !revoked.is_empty() && around.may_still_own(&revoked) {
        member.state = MemberState::UnrevokedPartitions;
        member.previous_member_epoch = member.member_epoch;
        member.assigned = kept;
        member.pending_revocation = revoked;
        return;
    }
    let unreleased = take_free(&mut kept, &target, around);
    member.state = if unreleased {
        MemberState::UnreleasedPartitions
    } else {
        MemberState::Stable
    };
    member.previous_member_epoch = member.member_epoch;
    member.member_epoch = around.assignment_epoch;
    member.assigned = kept;
    member.pending_revocation = AssignedPartitions::new();
}

/// What of `assigned` is in `target`, and what is not.
fn split(assigned: &AssignedPartitions, target: &Partitions) -> (AssignedPartitions, AssignedPartitions) {
    let mut kept = AssignedPartitions::new();
    let mut revoked = AssignedPartitions::new();
    for (topic, partitions) in assigned {
        for (partition, epoch) in partitions {
            let stays = target.get(topic).is_some_and(|target| target.contains(partition));
            let part = if stays { &mut kept } else { &mut revoked };
            part.entry(*topic).or_default().insert(*partition, *epoch);
        }
    }
    (kept, revoked)
}

/// Adds to `assigned` what of `target` nobody else holds. Returns whether something is left.
fn take_free(assigned: &mut AssignedPartitions, target: &Partitions, around: &Surroundings<'_>) -> bool {
    let mut left = false;
    for (topic, partitions) in target {
        for partition in partitions {
            if assigned.get(topic).is_some_and(|assigned| assigned.contains_key(partition)) {
                continue;
            }
            if (around.is_held_by_other)(*topic, *partition) {
                left = true;
            } else {
                assigned
                    .entry(*topic)
                    .or_default()
                    .insert(*partition, around.assignment_epoch);
            }
        }
    }
    left
}
