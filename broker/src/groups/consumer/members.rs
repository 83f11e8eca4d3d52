//! The members of a group, with the indexes over them. Every change of a member goes through [`Members::put`] and [`Members::remove`], which
//! keep the indexes and note what has to be persisted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use uuid::Uuid;

use super::request::Partitions;
use super::stored::{ConsumerGroupChange, StoredMember};

/// A member and its timers, which begin anew after a restart.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub stored: StoredMember,
    /// When it is fenced unless it is heard of.
    pub session_deadline: Instant,
    /// When it is fenced unless it has left this epoch by revoking partitions.
    pub revocation: Option<Revocation>,
    /// When a member of the classic protocol is fenced unless it joins, which it was told to do.
    pub join_deadline: Option<Instant>,
    /// When a member of the classic protocol is fenced unless it syncs, having joined.
    pub sync_deadline: Option<Instant>,
}

/// The rebalance timeout of a member in [`super::MemberState::UnrevokedPartitions`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Revocation {
    pub deadline: Instant,
    pub member_epoch: i32,
}

impl Member {
    /// When something is to be done about this member unless it is heard of.
    pub fn deadline(&self) -> Instant {
        let revocation = self
            .revocation
            .filter(|revocation| revocation.member_epoch == self.stored.member_epoch);
        [
            revocation.map(|revocation| revocation.deadline),
            self.join_deadline,
            self.sync_deadline,
        ]
        .into_iter()
        .flatten()
        .fold(self.session_deadline, Instant::min)
    }
}

/// See the module's head. `members` is ordered, so that everything computed over it is deterministic.
#[derive(Debug, Default)]
pub(super) struct Members {
    members: BTreeMap<String, Member>,
    /// Instance id to member id.
    instances: BTreeMap<String, String>,
    /// Who holds a partition: a member that may have it, or has not said yet that it gave it up.
    holders: HashMap<(Uuid, i32), String>,
    touched: BTreeSet<String>,
    removed: BTreeSet<String>,
}

impl Members {
    pub fn len(&self) -> usize {
        self.members.len()
    }

    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub fn get(&self, member_id: &str) -> Option<&Member> {
        self.members.get(member_id)
    }

    pub fn by_instance(&self, instance_id: &str) -> Option<&Member> {
        self.instances
            .get(instance_id)
            .and_then(|member_id| self.members.get(member_id))
    }

    /// In the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Whether another member than `member_id` holds the partition.
    pub fn is_held_by_other(&self, member_id: &str, topic: Uuid, partition: i32) -> bool {
        self.holders
            .get(&(topic, partition))
            .is_some_and(|holder| holder != member_id)
    }

    /// Adds a member or replaces the one of this id.
    pub fn put(&mut self, member: Member) {
        let stored = &member.stored;
        let before = self.members.get(&stored.member_id);
        if before.is_none_or(|before| before.stored != *stored) {
            self.touched.insert(stored.member_id.clone());
            if let Some(before) = before {
                release(&mut self.holders, &before.stored);
            }
            for held in stored.held() {
                self.holders.insert(held, stored.member_id.clone());
            }
            if let Some(instance_id) = &stored.instance_id {
                self.instances.insert(instance_id.clone(), stored.member_id.clone());
            }
        }
        self.members.insert(stored.member_id.clone(), member);
    }

    /// Removes a member; its partitions are free then.
    pub fn remove(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        release(&mut self.holders, &member.stored);
        if let Some(instance_id) = &member.stored.instance_id {
            self.instances.remove(instance_id);
        }
        self.touched.remove(member_id);
        self.removed.insert(member_id.to_owned());
        Some(member)
    }

    /// Gives every member, in the order of their ids, its new target.
    pub fn set_targets(&mut self, targets: impl IntoIterator<Item = Partitions>) {
        for (member, target) in self.members.values_mut().zip(targets) {
            if member.stored.target != target {
                member.stored.target = target;
                self.touched.insert(member.stored.member_id.clone());
            }
        }
    }

    /// What changed since the last call.
    pub fn take_change(&mut self) -> ConsumerGroupChange {
        let touched = std::mem::take(&mut self.touched);
        ConsumerGroupChange {
            removed: std::mem::take(&mut self.removed).into_iter().collect(),
            members: touched
                .iter()
                .filter_map(|id| Some(self.members.get(id)?.stored.clone()))
                .collect(),
            ..ConsumerGroupChange::default()
        }
    }
}

fn release(holders: &mut HashMap<(Uuid, i32), String>, member: &StoredMember) {
    for held in member.held() {
        if holders.get(&held).is_some_and(|holder| *holder == member.member_id) {
            holders.remove(&held);
        }
    }
}
