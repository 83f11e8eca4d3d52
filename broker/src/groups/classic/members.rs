//! The members of a classic group: who is there, who is the leader, who has yet to join or to sync, what all of them support.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::member::{milliseconds, Interests, Member};

/// The members by id, with the sets and counts that every request asks for (the collections of Kafka's `ClassicGroup`).
#[derive(Debug)]
pub(super) struct Members<W> {
    by_id: BTreeMap<Arc<str>, Member<W>>,
    by_instance: HashMap<String, Arc<str>>,
    leader: Option<Arc<str>>,
    /// Ids that were given out and not yet joined with.
    pending_join: BTreeSet<Arc<str>>,
    /// Members of the current generation that have not sent SyncGroup.
    pub(super) pending_sync: BTreeSet<Arc<str>>,
    parked_joins: usize,
    /// How many members support each protocol.
    supporters: HashMap<String, usize>,
}

impl<W> Members<W> {
    pub(super) fn new() -> Self {
        Members {
            by_id: BTreeMap::new(),
            by_instance: HashMap::new(),
            leader: None,
            pending_join: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            parked_joins: 0,
            supporters: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// In the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member<W>> {
        self.by_id.values()
    }

    pub(super) fn ids(&self) -> Vec<Arc<str>> {
        self.by_id.keys().cloned().collect()
    }

    pub(super) fn get(&self, id: &str) -> Option<&Member<W>> {
        self.by_id.get(id)
    }

    pub(super) fn set_assignment(&mut self, id: &str, assignment: bytes::Bytes) {
        if let Some(member) = self.by_id.get_mut(id) {
            member.assignment = assignment;
        }
    }

    pub(super) fn id_of_instance(&self, instance_id: &str) -> Option<Arc<str>> {
        self.by_instance.get(instance_id).cloned()
    }

    /// Adds a member that is not there, and whose instance is not. The first one becomes the leader.
    pub(super) fn add(&mut self, member: Member<W>) {
        let id = member.id.clone();
        self.pending_join.remove(&id);
        if let Some(instance_id) = &member.instance_id {
            self.by_instance.insert(instance_id.clone(), id.clone());
        }
        self.leader.get_or_insert_with(|| id.clone());
        self.parked_joins += usize::from(member.parked_join.is_some());
        self.count_support(&member.interests, true);
        self.by_id.insert(id, member);
    }

    /// Removes a member. If it was the leader, another member is.
    pub(super) fn remove(&mut self, id: &str) -> Option<Member<W>> {
        let member = self.by_id.remove(id)?;
        self.count_support(&member.interests, false);
        self.parked_joins -= usize::from(member.parked_join.is_some());
        self.pending_sync.remove(id);
        if let Some(instance_id) = &member.instance_id {
            self.by_instance.remove(instance_id);
        }
        if self.is_leader(id) {
            self.leader = self.by_id.keys().next().cloned();
        }
        Some(member)
    }

    /// Gives a member another id, and with it the leadership if it had that. It must have nothing parked. Whether the old id had yet
    /// to sync is forgotten: the new one is as any member that comes back into a stable group.
    pub(super) fn rename(&mut self, old_id: &str, new_id: Arc<str>) {
        let Some(mut member) = self.by_id.remove(old_id) else { return };
        self.pending_sync.remove(old_id);
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.by_instance.insert(instance_id.clone(), new_id.clone());
        }
        member.id = new_id.clone();
        member.is_new = false;
        self.by_id.insert(new_id, member);
    }

    /// Changes what a member supports and its timeouts; returns what was before.
    pub(super) fn set_interests(&mut self, id: &str, interests: Interests) -> Option<Interests> {
        self.count_support(&interests, true);
        let member = self.by_id.get_mut(id)?;
        let before = std::mem::replace(&mut member.interests, interests);
        self.count_support(&before, false);
        Some(before)
    }

    /// Parks a member's JoinGroup; returns the one that was parked before.
    pub(super) fn park_join(&mut self, id: &str, waiter: W) -> Option<W> {
        let parked = &mut self.by_id.get_mut(id)?.parked_join;
        let before = parked.replace(waiter);
        self.parked_joins += usize::from(before.is_none());
        before
    }

    pub(super) fn take_parked_join(&mut self, id: &str) -> Option<W> {
        let waiter = self.by_id.get_mut(id)?.parked_join.take();
        self.parked_joins -= usize::from(waiter.is_some());
        waiter
    }

    /// Parks a member's SyncGroup; returns the one that was parked before.
    pub(super) fn park_sync(&mut self, id: &str, waiter: W) -> Option<W> {
        self.by_id.get_mut(id)?.parked_sync.replace(waiter)
    }

    pub(super) fn take_parked_sync(&mut self, id: &str) -> Option<W> {
        self.by_id.get_mut(id)?.parked_sync.take()
    }

    /// Makes a member part of the new generation, whose assignment it has yet to ask for.
    pub(super) fn enter_generation(&mut self, id: &Arc<str>) {
        if let Some(member) = self.by_id.get_mut(id) {
            member.is_new = false;
            self.pending_sync.insert(id.clone());
        }
    }

    pub(super) fn parked_joins(&self) -> usize {
        self.parked_joins
    }

    /// Whether every member's JoinGroup is parked and no id that was given out is missing.
    pub(super) fn have_all_joined(&self) -> bool {
        self.parked_joins == self.by_id.len() && self.pending_join.is_empty()
    }

    pub(super) fn add_pending_join(&mut self, id: Arc<str>) {
        self.pending_join.insert(id);
    }

    pub(super) fn remove_pending_join(&mut self, id: &str) -> bool {
        self.pending_join.remove(id)
    }

    pub(super) fn is_pending_join(&self, id: &str) -> bool {
        self.pending_join.contains(id)
    }

    pub(super) fn pending_joins(&self) -> usize {
        self.pending_join.len()
    }

    pub(super) fn leader(&self) -> Option<&str> {
        self.leader.as_deref()
    }

    pub(super) fn is_leader(&self, id: &str) -> bool {
        self.leader() == Some(id)
    }

    /// Makes `id` the leader if it is a member.
    pub(super) fn set_leader(&mut self, id: &str) {
        if let Some((id, _)) = self.by_id.get_key_value(id) {
            self.leader = Some(id.clone());
        }
    }

    /// Sees to it that the leader is one whose JoinGroup is parked. False if there is none such.
    pub(super) fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |member: &Member<W>| member.parked_join.is_some();
        if self.leader().and_then(|id| self.get(id)).is_some_and(has_joined) {
            return true;
        }
        match self.by_id.values().find(|member| has_joined(member)) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    /// The longest rebalance timeout of a member.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let longest = self.iter().map(|member| member.interests.rebalance_timeout_ms).max();
        milliseconds(longest.unwrap_or(0))
    }

    pub(super) fn is_supported_by_all(&self, protocol: &str) -> bool {
        self.supporters.get(protocol).copied().unwrap_or(0) == self.by_id.len()
    }

    /// The protocol that most members prefer among those that all support. Of several the first by name: Kafka's choice is arbitrary.
    pub(super) fn choose_protocol(&self) -> Option<String> {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.iter() {
            let mut names = member.interests.protocols.iter().map(|protocol| protocol.name.as_str());
            if let Some(vote) = names.find(|name| self.is_supported_by_all(name)) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        let most = votes.values().max()?;
        votes
            .iter()
            .find(|(_, count)| *count == most)
            .map(|(name, _)| (*name).to_owned())
    }

    fn count_support(&mut self, interests: &Interests, is_added: bool) {
        for name in interests.protocol_names() {
            if is_added {
                *self.supporters.entry(name.to_owned()).or_default() += 1;
            } else if let Some(count) = self.supporters.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.supporters.remove(name);
                }
            }
        }
    }
}
