//! The `uniform` assignor where subscriptions differ (Kafka `UniformHeterogeneousAssignmentBuilder`): members keep what they have, free
//! partitions go to the subscriber with the fewest, then partitions move from the most to the least loaded subscribers of a topic while
//! that makes them more even.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{GroupSpec, Owners, TopicSpec};
use crate::groups::consumer::request::Partitions;

/// Rounds over all topics after which the balance is taken as it is; each makes it better, and few are ever needed.
const MAX_ROUNDS: usize = 16;

pub(super) fn assign(group: &GroupSpec<'_>) -> Vec<Partitions> {
    let mut state = Balance::new(group);
    let order = state.topic_order(&group.topics);
    for topic in &order {
        state.assign_free(*topic);
    }
    let shared: Vec<usize> = order
        .into_iter()
        .filter(|topic| state.subscribers[*topic].len() > 1)
        .collect();
    for _ in 0..MAX_ROUNDS {
        let moved: usize = shared.iter().map(|topic| state.balance(*topic)).sum();
        if moved == 0 {
            break;
        }
    }
    state.owners.into_targets(group)
}

struct Balance {
    owners: Owners,
    /// Members subscribed to each topic.
    subscribers: Vec<Vec<usize>>,
    /// Partitions of each member.
    loads: Vec<usize>,
}

impl Balance {
    fn new(group: &GroupSpec<'_>) -> Self {
        let mut state = Balance {
            owners: Owners::none(group),
            subscribers: vec![Vec::new(); group.topics.len()],
            loads: vec![0; group.members.len()],
        };
        for (index, member) in group.members.iter().enumerate() {
            for topic in &group.subscriptions[member.subscription] {
                state.subscribers[*topic].push(index);
            }
            for (topic, partition) in group.kept(member) {
                if state.owners.get(topic, partition).is_none() {
                    state.give(topic, partition, index);
                }
            }
        }
        state
    }

    fn give(&mut self, topic: usize, partition: i32, member: usize) {
        self.owners.set(topic, partition, member);
        self.loads[member] += 1;
    }

    /// The topics with the most partitions per subscriber first: their subscribers have the least choice.
    fn topic_order(&self, topics: &[TopicSpec]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..topics.len()).collect();
        order.sort_by(|a, b| {
            // a.partitions / a.subscribers against b.partitions / b.subscribers, without fractions.
            let weight = |one: usize, other: usize| i64::from(topics[one].partitions) * self.subscribers[other].len() as i64;
            weight(*b, *a)
                .cmp(&weight(*a, *b))
                .then(self.subscribers[*a].len().cmp(&self.subscribers[*b].len()))
                .then(a.cmp(b))
        });
        order
    }

    fn by_load<'s>(&'s self, members: impl Iterator<Item = &'s usize> + 's) -> BTreeSet<(usize, usize)> {
        members.map(|member| (self.loads[*member], *member)).collect()
    }

    fn assign_free(&mut self, topic: usize) {
        let mut by_load = self.by_load(self.subscribers[topic].iter());
        let free: Vec<i32> = self.owners.free(topic).collect();
        for partition in free {
            if let Some((load, member)) = by_load.pop_first() {
                self.give(topic, partition, member);
                by_load.insert((load + 1, member));
            }
        }
    }

    /// Moves partitions of one topic while a subscriber that has one has at least two more in all than another subscriber. Returns how
    /// many were moved.
    fn balance(&mut self, topic: usize) -> usize {
        let mut by_load = self.by_load(self.subscribers[topic].iter());
        if let (Some((least, _)), Some((most, _))) = (by_load.first(), by_load.last()) {
            if most - least < 2 {
                return 0;
            }
        }
        let mut partitions: BTreeMap<usize, Vec<i32>> = BTreeMap::new();
        for (partition, owner) in (0..).zip(&self.owners.by_topic[topic]) {
            if let Some(member) = owner {
                partitions.entry(*member).or_default().push(partition);
            }
        }
        let mut givers: BTreeSet<_> = partitions
            .keys()
            .map(|member| (Reverse(self.loads[*member]), *member))
            .collect();
        let mut moved = 0;
        while let (Some((Reverse(most), giver)), Some((least, taker))) = (givers.first().copied(), by_load.first().copied()) {
            let Some(partition) = (most >= least + 2)
                .then(|| partitions.get_mut(&giver).and_then(Vec::pop))
                .flatten()
            else {
                break;
            };
            givers.remove(&(Reverse(most), giver));
            if partitions.get(&giver).is_some_and(|left| !left.is_empty()) {
                givers.insert((Reverse(most - 1), giver));
            }
            givers.remove(&(Reverse(least), taker));
            givers.insert((Reverse(least + 1), taker));
            by_load.remove(&(most, giver));
            by_load.insert((most - 1, giver));
            by_load.remove(&(least, taker));
            by_load.insert((least + 1, taker));
            partitions.entry(taker).or_default().push(partition);
            self.loads[giver] -= 1;
            self.give(topic, partition, taker);
            moved += 1;
        }
        moved
    }
}
