//! Which member a heartbeat is of, and whether it may be (Kafka `getOrMaybeSubscribeDynamicConsumerGroupMember`,
//! `getOrMaybeSubscribeStaticConsumerGroupMember`, `throwIfConsumerGroupMemberEpochIsInvalid`).
//!
//! One thing is as in Kafka's pull request 23542 and not as in 4.3.1: a static member that joins under the member id that the group knows it
//! by (its join's reply was lost, or it was fenced) is let in again as a dynamic member is, where 4.3.1 answers UNRELEASED_INSTANCE_ID,
//! which ends the client; and a member id cannot change its instance id.

use super::error::HeartbeatError;
use super::request::{HeartbeatRequest, Partitions, JOIN_EPOCH, LEAVE_STATIC_EPOCH};
use super::settings::ConsumerSettings;
use super::stored::{AssignedPartitions, StoredMember};
use super::ConsumerGroup;

/// A member whose request is accepted.
pub(super) struct Entry {
    /// The member as it is, or as it is to begin.
    pub member: StoredMember,
    /// The id of the static member whose place it takes.
    pub replaces: Option<String>,
}

impl Entry {
    /// `member_id` in the place of a static member, at epoch 0 with what that was assigned.
    pub fn replacing(owner: &StoredMember, member_id: &str) -> Self {
        Entry {
            member: StoredMember {
                member_id: member_id.to_owned(),
                member_epoch: JOIN_EPOCH,
                previous_member_epoch: JOIN_EPOCH,
                ..owner.clone()
            },
            replaces: Some(owner.member_id.clone()),
        }
    }
}

impl From<StoredMember> for Entry {
    fn from(member: StoredMember) -> Self {
        Entry { member, replaces: None }
    }
}

impl<W> ConsumerGroup<W> {
    /// A group that is full serves only who is in it.
    pub(super) fn check_room(&self, settings: &ConsumerSettings, member_id: &str) -> Result<(), HeartbeatError> {
        if self.members.len() >= settings.max_size && self.members.get(member_id).is_none() {
            return Err(HeartbeatError::GroupMaxSizeReached(settings.max_size));
        }
        Ok(())
    }

    /// The member that the request, which is no leave, is of.
    pub(super) fn enter(&self, request: &HeartbeatRequest) -> Result<Entry, HeartbeatError> {
        if request.member_epoch == JOIN_EPOCH {
            return self.join(request);
        }
        let member = self.existing(request)?;
        check_epoch(member, request.member_epoch, request.owned.as_ref())?;
        Ok(member.clone().into())
    }

    /// The member of a request that is no join.
    pub(super) fn existing(&self, request: &HeartbeatRequest) -> Result<&StoredMember, HeartbeatError> {
        self.member_of(&request.member_id, request.instance_id.as_deref())
    }

    /// The member of these two ids.
    pub(super) fn member_of(&self, member_id: &str, instance_id: Option<&str>) -> Result<&StoredMember, HeartbeatError> {
        let Some(instance_id) = instance_id else {
            let member = self.members.get(member_id).ok_or_else(|| HeartbeatError::UnknownMember {
                member_id: member_id.to_owned(),
                group_id: self.group_id.clone(),
            })?;
            return Ok(&member.stored);
        };
        let owner = self.members.by_instance(instance_id);
        let owner = &owner
            .ok_or_else(|| HeartbeatError::UnknownInstance(instance_id.to_owned()))?
            .stored;
        if owner.member_id != member_id {
            return Err(HeartbeatError::FencedInstance {
                member_id: member_id.to_owned(),
                instance_id: instance_id.to_owned(),
                owner: owner.member_id.clone(),
            });
        }
        Ok(owner)
    }

    fn join(&self, request: &HeartbeatRequest) -> Result<Entry, HeartbeatError> {
        if let Some(known) = self.members.get(&request.member_id) {
            if request.instance_id.is_some() && request.instance_id != known.stored.instance_id {
                return Err(HeartbeatError::InvalidRequest("InstanceId can't be changed."));
            }
            return Ok(back(known.stored.clone()).into());
        }
        let Some(owner) = request
            .instance_id
            .as_ref()
            .and_then(|instance_id| self.members.by_instance(instance_id))
        else {
            return Ok(StoredMember::new(&request.member_id).into());
        };
        // A classic member does not say that it goes away: it is replaced at once.
        if owner.stored.classic.is_none() && owner.stored.member_epoch != LEAVE_STATIC_EPOCH {
            return Err(HeartbeatError::UnreleasedInstance {
                member_id: request.member_id.clone(),
                instance_id: owner.stored.instance_id.clone().unwrap_or_default(),
                owner: owner.stored.member_id.clone(),
            });
        }
        Ok(Entry::replacing(&owner.stored, &request.member_id))
    }
}

/// A static member that was away begins at epoch 0, with what it was assigned; others are where they are.
fn back(mut member: StoredMember) -> StoredMember {
    if member.member_epoch == LEAVE_STATIC_EPOCH {
        member.member_epoch = JOIN_EPOCH;
        member.previous_member_epoch = JOIN_EPOCH;
    }
    member
}

/// The epoch must be the member's, or the one before if the reply that gave the new one may have been lost: then the client has nothing
/// that it was not assigned.
fn check_epoch(member: &StoredMember, received: i32, owned: Option<&Partitions>) -> Result<(), HeartbeatError> {
    let retried = || received == member.previous_member_epoch && owned.is_some_and(|owned| is_within(owned, &member.assigned));
    if received == member.member_epoch || received < member.member_epoch && retried() {
        return Ok(());
    }
    Err(HeartbeatError::FencedMemberEpoch {
        received,
        known: member.member_epoch,
    })
}

fn is_within(owned: &Partitions, assigned: &AssignedPartitions) -> bool {
    owned.iter().all(|(topic, partitions)| {
        let Some(assigned) = assigned.get(topic) else { return false };
        partitions.iter().all(|partition| assigned.contains_key(partition))
    })
}
