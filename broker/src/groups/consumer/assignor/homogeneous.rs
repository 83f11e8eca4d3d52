//! The `uniform` assignor where all members have the same subscription (Kafka `UniformHomogeneousAssignmentBuilder`): each gets the same
//! number of partitions, or one more, and keeps of what it has as much as that allows.

use super::{slot, GroupSpec, Owners};
use crate::groups::consumer::request::Partitions;

pub(super) fn assign(group: &GroupSpec<'_>) -> Vec<Partitions> {
    let mut owners = Owners::none(group);
    let room = keep(group, &mut owners);
    let mut takers = room
        .into_iter()
        .enumerate()
        .flat_map(|(member, room)| std::iter::repeat_n(member, room));
    for topic in 0..group.topics.len() {
        let free: Vec<i32> = owners.free(topic).collect();
        for (partition, member) in free.into_iter().zip(takers.by_ref()) {
            owners.set(topic, partition, member);
        }
    }
    owners.into_targets(group)
}

/// Lets each member keep what it has, up to its share, and returns how many more each must get. The shares add up to all partitions.
fn keep(group: &GroupSpec<'_>, owners: &mut Owners) -> Vec<usize> {
    let members = group.members.len();
    let total: usize = group.topics.iter().map(|topic| slot(topic.partitions)).sum();
    let share = total / members;
    let mut larger_shares = total % members;
    let mut room = Vec::with_capacity(members);
    for (index, member) in group.members.iter().enumerate() {
        let limit = share + usize::from(larger_shares > 0);
        let mut kept = 0;
        for (topic, partition) in group.kept(member) {
            if kept < limit && owners.get(topic, partition).is_none() {
                owners.set(topic, partition, index);
                kept += 1;
            }
        }
        // A larger share goes to who can keep it, or to the last ones when there is no choice left.
        let takes_larger = larger_shares > 0 && (kept > share || members - index <= larger_shares);
        larger_shares -= usize::from(takes_larger);
        room.push(share + usize::from(takes_larger) - kept);
    }
    room
}
