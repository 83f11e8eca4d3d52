//! Server-side assignors (Kafka `org.apache.kafka.coordinator.group.assignor`): who is to have which partition. Deterministic: the same
//! input gives the same targets.

mod heterogeneous;
mod homogeneous;
mod range;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use uuid::Uuid;

use super::request::Partitions;

/// The assignors that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Assignor {
    /// `range`: of each topic a run of partitions per member, in the same order of members for every topic, so that topics with equally many
    /// partitions and the same subscribers are co-partitioned. Static members come first, by instance id. Not sticky.
    Range,
    /// `uniform`: as balanced as the subscriptions allow, and members keep what they can.
    Uniform,
}

impl Assignor {
    /// Its name in requests and configs.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::Uniform => "uniform",
        }
    }

    /// The assignor of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Assignor::Range, Assignor::Uniform]
            .into_iter()
            .find(|assignor| assignor.name() == name)
    }

    /// The target of each member, in the order of `group.members`. Every partition of a topic that has a subscriber goes to exactly one of
    /// its subscribers.
    pub(super) fn assign(self, group: &GroupSpec<'_>) -> Vec<Partitions> {
        if group.members.is_empty() {
            return Vec::new();
        }
        match self {
            Assignor::Range => range::assign(group),
            Assignor::Uniform if group.subscriptions.len() == 1 => homogeneous::assign(group),
            Assignor::Uniform => heterogeneous::assign(group),
        }
    }
}

/// A topic that somebody is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TopicSpec {
    pub id: Uuid,
    pub partitions: i32,
}

/// A member as an assignor sees it.
#[derive(Debug)]
pub(super) struct MemberSpec<'a> {
    pub member_id: &'a str,
    pub instance_id: Option<&'a str>,
    /// Index into [`GroupSpec::subscriptions`].
    pub subscription: usize,
    /// Its target before.
    pub current: &'a Partitions,
}

/// A group as an assignor sees it.
#[derive(Debug)]
pub(super) struct GroupSpec<'a> {
    /// Topics that exist and that somebody is subscribed to, by id.
    pub topics: Vec<TopicSpec>,
    /// The different subscriptions, as indexes into `topics`.
    pub subscriptions: Vec<BTreeSet<usize>>,
    /// By id.
    pub members: Vec<MemberSpec<'a>>,
}

impl GroupSpec<'_> {
    fn topic_index(&self, id: &Uuid) -> Option<usize> {
        self.topics.binary_search_by(|topic| topic.id.cmp(id)).ok()
    }

    /// The partitions of `member`'s target before that it is still subscribed to, as (index of the topic, partition).
    fn kept<'s>(&'s self, member: &'s MemberSpec<'_>) -> impl Iterator<Item = (usize, i32)> + 's {
        let subscription = &self.subscriptions[member.subscription];
        member
            .current
            .iter()
            .filter_map(move |(id, partitions)| {
                Some((self.topic_index(id).filter(|topic| subscription.contains(topic))?, partitions))
            })
            .flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic, *partition)))
            .filter(|(topic, partition)| (0..self.topics[*topic].partitions).contains(partition))
    }
}

/// Who has which partition while an assignor works. Members and topics are indexes.
struct Owners {
    by_topic: Vec<Vec<Option<usize>>>,
}

impl Owners {
    /// Nobody has anything.
    fn none(group: &GroupSpec<'_>) -> Self {
        let owners_of = |topic: &TopicSpec| vec![None; slot(topic.partitions)];
        Owners {
            by_topic: group.topics.iter().map(owners_of).collect(),
        }
    }

    fn get(&self, topic: usize, partition: i32) -> Option<usize> {
        self.by_topic[topic][slot(partition)]
    }

    fn set(&mut self, topic: usize, partition: i32, member: usize) {
        self.by_topic[topic][slot(partition)] = Some(member);
    }

    /// The partitions of `topic` that nobody has.
    fn free(&self, topic: usize) -> impl Iterator<Item = i32> + '_ {
        (0..)
            .zip(&self.by_topic[topic])
            .filter(|(_, owner)| owner.is_none())
            .map(|(partition, _)| partition)
    }

    fn into_targets(self, group: &GroupSpec<'_>) -> Vec<Partitions> {
        let mut targets = vec![Partitions::new(); group.members.len()];
        for (topic, owners) in group.topics.iter().zip(self.by_topic) {
            for (partition, owner) in (0..).zip(owners) {
                if let Some(member) = owner {
                    targets[member].entry(topic.id).or_default().insert(partition);
                }
            }
        }
        targets
    }
}

/// A partition or a number of partitions as an index; neither is ever negative.
fn slot(partition: i32) -> usize {
    usize::try_from(partition).unwrap_or_default()
}
