//! Changes of groups and commits of offsets that follow each other in the queue: what they come to is written at once, each group and
//! each row once.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::groups::Outcome;
use crate::limits::GROUP_BATCH_BYTES;
use crate::storage::engine::{Engine, EngineResult};
use crate::storage::group_jobs::GroupTask;
use crate::storage::groups::{CommittedOffset, GroupChange, GroupRecord, MemberRecord, OffsetKey};

/// What tasks come to that are done together.
#[derive(Default)]
pub(super) struct GroupBatch<'a> {
    tasks: Vec<&'a GroupTask>,
    groups: BTreeMap<&'a str, Folded<'a>>,
    offsets: HashMap<&'a OffsetKey, &'a CommittedOffset>,
    bytes: usize,
}

impl<'a> GroupBatch<'a> {
    /// Adds the task that follows; `false`: it cannot be done together with those before it.
    ///
    /// Groups and offsets do not depend on each other, but for a deletion, which takes the offsets along.
    pub(super) fn take(&mut self, task: &'a GroupTask) -> bool {
        if self.bytes > GROUP_BATCH_BYTES {
            return false;
        }
        match task {
            GroupTask::Write { group_id, change, .. } => match change {
                GroupChange::Delete => return false,
                GroupChange::Replace(group, members) => {
                    self.bytes += bytes_of(members);
                    self.groups.entry(group_id).or_default().replace(group, members);
                }
                GroupChange::Update { group, members, gone } => {
                    self.bytes += bytes_of(members);
                    self.groups.entry(group_id).or_default().update(group.as_ref(), members, gone);
                }
            },
            GroupTask::Commit { offsets, .. } => {
                self.bytes += offsets.iter().map(|(_, offset)| offset.metadata.len()).sum::<usize>();
                self.offsets.extend(offsets.iter().map(|(key, offset)| (key, offset)));
            }
            _ => return false,
        }
        self.tasks.push(task);
        true
    }

    /// Writes all of it, and what comes of each task in turn.
    pub(super) fn write<E: Engine>(self, engine: &mut E) -> EngineResult<Vec<Outcome>> {
        let changes: Vec<_> = self
            .groups
            .into_iter()
            .map(|(group_id, folded)| (group_id.to_owned(), folded.into_change()))
            .collect();
        let mut offsets: Vec<_> = self
            .offsets
            .into_iter()
            .map(|(key, offset)| (key.clone(), offset.clone()))
            .collect();
        // Everyone who locks several of these rows does it in this order.
        offsets.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (mut locked_groups, mut locked_offsets) = (HashSet::new(), HashSet::new());
        if !changes.is_empty() {
            let locked = engine.write_groups(&changes)?;
            locked_groups.extend(locked.into_iter().map(|place| &changes[place].0[..]));
        }
        if !offsets.is_empty() {
            let locked = engine.commit_offsets(&offsets)?;
            locked_offsets.extend(locked.into_iter().map(|place| &offsets[place].0));
        }
        let outcome = |task: &GroupTask| match task {
            GroupTask::Write { group_id, .. } if locked_groups.contains(&group_id[..]) => Outcome::Locked(HashSet::new()),
            GroupTask::Commit { offsets, .. } => commit_outcome(offsets, &locked_offsets),
            _ => Outcome::Done,
        };
        Ok(self.tasks.into_iter().map(outcome).collect())
    }
}

fn commit_outcome(offsets: &[(OffsetKey, CommittedOffset)], locked: &HashSet<&OffsetKey>) -> Outcome {
    let keys = offsets.iter().map(|(key, _)| key);
    let left: HashSet<_> = keys.filter(|key| locked.contains(key)).cloned().collect();
    match left.is_empty() {
        true => Outcome::Done,
        false => Outcome::Locked(left),
    }
}

fn bytes_of(members: &[MemberRecord]) -> usize {
    members
        .iter()
        .map(|member| member.state.len() + member.assignment.len())
        .sum()
}

/// What the changes of one group come to.
#[derive(Default)]
struct Folded<'a> {
    /// All members are in `members`: what else there was is gone.
    whole: bool,
    group: Option<&'a GroupRecord>,
    /// `None`: gone.
    members: BTreeMap<&'a str, Option<&'a MemberRecord>>,
}

impl<'a> Folded<'a> {
    fn replace(&mut self, group: &'a GroupRecord, members: &'a [MemberRecord]) {
        *self = Folded {
            whole: true,
            ..Folded::default()
        };
        self.update(Some(group), members, &[]);
    }

    fn update(&mut self, group: Option<&'a GroupRecord>, members: &'a [MemberRecord], gone: &'a [String]) {
        self.group = group.or(self.group);
        self.members.extend(gone.iter().map(|member_id| (&member_id[..], None)));
        let put = members.iter().map(|member| (&member.member_id[..], Some(member)));
        self.members.extend(put);
    }

    fn into_change(self) -> GroupChange {
        let members = self.members.values().flatten().copied().cloned().collect();
        match self.group {
            Some(group) if self.whole => GroupChange::Replace(group.clone(), members),
            group => GroupChange::Update {
                group: group.cloned(),
                members,
                gone: self
                    .members
                    .into_iter()
                    .filter(|(_, member)| member.is_none())
                    .map(|(member_id, _)| member_id.to_owned())
                    .collect(),
            },
        }
    }
}
