//! Changes of groups and commits of offsets that follow each other in the queue: what they come to is written at once, each group and
//! each row once.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::groups::Outcome;
use crate::limits::GROUP_BATCH_BYTES;
use crate::storage::engine::{Engine, EngineResult};
use crate::storage::group_jobs::GroupTask;
use crate::storage::groups::{CommittedOffset, GroupChange, GroupRecord, MemberRecord, OffsetKey};

/// What another session had locked so far in a transaction, or in those that take its place when it failed. It counts as locked until the
/// end, even if it is free by then: what comes later must not be written before what was set aside.
#[derive(Default)]
pub(super) struct Locked {
    groups: HashSet<String>,
    offsets: HashSet<OffsetKey>,
    /// Groups all of whose offsets count as locked.
    all_offsets: HashSet<String>,
}

impl Locked {
    /// Adds all that a task writes or deletes which was set aside.
    pub(super) fn add(&mut self, task: &GroupTask) {
        match task {
            GroupTask::Write { group_id, change, .. } => {
                self.groups.insert(group_id.clone());
                if !matches!(change, GroupChange::Replace(..) | GroupChange::Update { .. }) {
                    self.all_offsets.insert(group_id.clone());
                }
            }
            GroupTask::Expire { expiry, .. } => {
                self.all_offsets.insert(expiry.group_id.clone());
            }
            GroupTask::Commit { offsets, .. } => self.offsets.extend(offsets.iter().map(|(key, _)| key.clone())),
            GroupTask::DeleteOffsets {
                group_id, partitions, ..
            } => self.offsets.extend(partitions.iter().map(|(topic, partition)| OffsetKey {
                group_id: group_id.clone(),
                topic: *topic,
                partition: *partition,
            })),
            GroupTask::Load { .. } | GroupTask::Fetch { .. } => {}
        }
    }

    fn has_offset(&self, key: &OffsetKey) -> bool {
        self.offsets.contains(key) || self.all_offsets.contains(&key.group_id)
    }

    /// Whether anything of this group was locked.
    pub(super) fn is_of(&self, group_id: &str) -> bool {
        let whole = self.groups.contains(group_id) || self.all_offsets.contains(group_id);
        whole || self.offsets.iter().any(|key| key.group_id == group_id)
    }
}

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
    /// Groups and offsets do not depend on each other, but for a deletion, which takes the offsets along or depends on there being none.
    pub(super) fn take(&mut self, task: &'a GroupTask) -> bool {
        if self.bytes > GROUP_BATCH_BYTES {
            return false;
        }
        match task {
            GroupTask::Write { group_id, change, .. } => match change {
                GroupChange::Delete | GroupChange::DeleteUnused => return false,
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

    /// Writes all of it but what is `locked`, to which it adds, and says what comes of each task in turn.
    pub(super) fn write<E: Engine>(self, engine: &mut E, locked: &mut Locked) -> EngineResult<Vec<Outcome>> {
        let groups = self.groups.into_iter();
        let changes: Vec<_> = groups
            .filter(|(group_id, _)| !locked.groups.contains(*group_id))
            .map(|(group_id, folded)| (group_id.to_owned(), folded.into_change()))
            .collect();
        let offsets = self.offsets.into_iter();
        let mut offsets: Vec<_> = offsets
            .filter(|(key, _)| !locked.has_offset(key))
            .map(|(key, offset)| (key.clone(), offset.clone()))
            .collect();
        // Everyone who locks several of these rows does it in this order.
        offsets.sort_by(|(a, _), (b, _)| a.cmp(b));
        if !changes.is_empty() {
            let busy = engine.write_groups(&changes)?;
            locked.groups.extend(busy.into_iter().map(|place| changes[place].0.clone()));
        }
        if !offsets.is_empty() {
            let busy = engine.commit_offsets(&offsets)?;
            locked.offsets.extend(busy.into_iter().map(|place| offsets[place].0.clone()));
        }
        let outcome = |task: &GroupTask| match task {
            GroupTask::Write { group_id, .. } if locked.groups.contains(group_id) => Outcome::Locked(HashSet::new()),
            GroupTask::Commit { offsets, .. } => commit_outcome(offsets, locked),
            _ => Outcome::Done,
        };
        Ok(self.tasks.into_iter().map(outcome).collect())
    }
}

fn commit_outcome(offsets: &[(OffsetKey, CommittedOffset)], locked: &Locked) -> Outcome {
    let keys = offsets.iter().map(|(key, _)| key);
    let left: HashSet<_> = keys.filter(|key| locked.has_offset(key)).cloned().collect();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::engine::{CommitMode, TopicNumber};
    use crate::storage::groups::GroupStorage;
    use crate::storage::model::ModelDatabase;

    /// What was locked before in the transaction is not written although it is free by now; the rest is.
    #[test]
    fn what_was_locked_stays_locked() {
        let key = |partition| OffsetKey {
            group_id: "g".to_owned(),
            topic: TopicNumber(1),
            partition,
        };
        let offset = CommittedOffset {
            offset: 7,
            leader_epoch: -1,
            metadata: String::new(),
            committed_at_ms: 0,
            expires_at_ms: None,
        };
        let (reply, _) = tokio::sync::oneshot::channel();
        let task = GroupTask::Commit {
            offsets: [0, 1].map(|partition| (key(partition), offset.clone())).into(),
            reply,
        };
        let mut locked = Locked::default();
        locked.offsets.insert(key(0));
        let mut engine = ModelDatabase::default().open();
        engine.begin().unwrap();
        engine.lock_groups().unwrap();
        let mut batch = GroupBatch::default();
        assert!(batch.take(&task));
        let outcomes = batch.write(&mut engine, &mut locked).unwrap();
        assert!(matches!(&outcomes[..], [Outcome::Locked(left)] if *left == HashSet::from([key(0)])));
        let written = engine.committed_offsets("g").unwrap();
        assert_eq!(written, [(TopicNumber(1), 1, offset)]);
        engine.commit(CommitMode::Flush).unwrap();
        assert!(locked.is_of("g") && !locked.is_of("other"));
    }
}
