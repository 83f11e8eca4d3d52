//! The `range` assignor (Kafka `RangeAssignor`).

use super::{slot, GroupSpec, Owners};
use crate::groups::consumer::request::Partitions;

pub(super) fn assign(group: &GroupSpec<'_>) -> Vec<Partitions> {
    let mut order: Vec<usize> = (0..group.members.len()).collect();
    order.sort_by_key(|index| {
        let member = &group.members[*index];
        (member.instance_id.is_none(), member.instance_id.unwrap_or(member.member_id))
    });
    let mut owners = Owners::none(group);
    for (topic, spec) in group.topics.iter().enumerate() {
        let is_subscriber = |member: &&usize| group.subscriptions[group.members[**member].subscription].contains(&topic);
        let subscribers: Vec<usize> = order.iter().filter(is_subscriber).copied().collect();
        for partition in 0..spec.partitions {
            owners.set(
                topic,
                partition,
                subscribers[range_of(partition, slot(spec.partitions), subscribers.len())],
            );
        }
    }
    owners.into_targets(group)
}

/// Which of `ranges` consecutive ranges, the first of them longer by one where it does not come out even, has `partition`.
fn range_of(partition: i32, partitions: usize, ranges: usize) -> usize {
    let (length, longer) = (partitions / ranges, partitions % ranges);
    let in_longer = longer * (length + 1);
    match slot(partition) {
        partition if partition < in_longer => partition / (length + 1),
        partition => longer + (partition - in_longer) / length,
    }
}
