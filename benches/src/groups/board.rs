//! Where the members of all groups stand, so that the moment is seen at which every group is stable.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

/// The groups of a measurement. A group is stable when all its members have one generation (or epoch) and every partition one owner
/// among them.
pub struct Board {
    groups: Mutex<Vec<Group>>,
    partitions: usize,
    changed: Notify,
}

#[derive(Default)]
struct Group {
    /// Numbers of those that belong to it, whether they have joined or not.
    members: HashSet<usize>,
    /// By the member's number: its generation, and how many partitions it has.
    standings: HashMap<usize, (i32, usize)>,
    stable: Option<Instant>,
}

impl Board {
    /// So many groups of so many members each, numbered from 0, none of which has joined; each group is to share so many partitions.
    pub fn new(groups: usize, members: usize, partitions: usize) -> Self {
        let group = || Group {
            members: (0..members).collect(),
            ..Group::default()
        };
        Board {
            groups: Mutex::new((0..groups).map(|_| group()).collect()),
            partitions,
            changed: Notify::new(),
        }
    }

    /// A member has an assignment.
    pub fn settled(&self, group: usize, member: usize, generation: i32, partitions: usize) {
        let mut groups = self.groups();
        let Some(found) = groups.get_mut(group).filter(|group| group.members.contains(&member)) else {
            return;
        };
        if found.standings.insert(member, (generation, partitions)) == Some((generation, partitions)) {
            return;
        }
        found.look(self.partitions);
        drop(groups);
        self.changed.notify_one();
    }

    /// A member has none: it joins again, or leaves.
    pub fn unsettled(&self, group: usize, member: usize) {
        if let Some(found) = self.groups().get_mut(group) {
            found.standings.remove(&member);
            found.stable = None;
        }
    }

    /// One member of a group is about to leave, another to join.
    pub fn replace(&self, group: usize, old: usize, new: usize) {
        if let Some(found) = self.groups().get_mut(group) {
            found.members.remove(&old);
            found.members.insert(new);
            found.standings.remove(&old);
            found.stable = None;
        }
    }

    /// Waits until every group is stable: the moment at which the last one became so.
    pub async fn all_stable(&self) -> Instant {
        loop {
            let stable: Option<Vec<Instant>> = self.groups().iter().map(|group| group.stable).collect();
            if let Some(last) = stable.and_then(|all| all.into_iter().max()) {
                return last;
            }
            self.changed.notified().await;
        }
    }

    /// How many groups are not stable, for a message.
    pub fn unstable(&self) -> usize {
        self.groups().iter().filter(|group| group.stable.is_none()).count()
    }

    fn groups(&self) -> MutexGuard<'_, Vec<Group>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn look(&mut self, partitions: usize) {
        let mut standings = self.standings.values();
        let first = standings.next().map(|(generation, _)| *generation);
        let stable = self.standings.len() == self.members.len()
            && standings.all(|(generation, _)| Some(*generation) == first)
            && self.standings.values().map(|(_, owned)| owned).sum::<usize>() == partitions;
        self.stable = stable.then(|| self.stable.unwrap_or_else(Instant::now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_stable_when_all_members_have_one_generation_and_all_partitions() {
        let board = Board::new(1, 2, 10);
        assert_eq!(board.unstable(), 1);
        board.settled(0, 0, 1, 10);
        board.settled(0, 1, 2, 5);
        assert_eq!(board.unstable(), 1, "two generations");
        board.settled(0, 0, 2, 5);
        assert_eq!(board.unstable(), 0);
        board.unsettled(0, 0);
        assert_eq!(board.unstable(), 1, "a member joins again");
        board.settled(0, 0, 3, 4);
        board.settled(0, 1, 3, 5);
        assert_eq!(board.unstable(), 1, "a partition without an owner");
        board.replace(0, 1, 2);
        board.settled(0, 1, 3, 6);
        assert_eq!(board.unstable(), 1, "one that leaves does not count");
        board.settled(0, 2, 3, 6);
        assert_eq!(board.unstable(), 0);
    }
}
