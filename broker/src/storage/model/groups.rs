//! Groups and committed offsets of the engine in memory.

use std::collections::{BTreeMap, BTreeSet};

use super::{Call, ModelDatabase, ModelEngine};
use crate::storage::engine::{EngineError, EngineResult, TopicNumber};
use crate::storage::groups::{
    CommittedOffset, Expiry, GroupChange, GroupRecord, GroupStorage, MemberRecord, OffsetKey, StoredGroup,
};

/// The tables of groups.
#[derive(Clone, Default)]
pub(super) struct GroupTables {
    groups: BTreeMap<String, Group>,
    offsets: BTreeMap<OffsetKey, CommittedOffset>,
}

#[derive(Clone)]
struct Group {
    record: GroupRecord,
    members: BTreeMap<String, MemberRecord>,
}

/// What other sessions hold of them.
#[derive(Default)]
pub(super) struct HeldGroups {
    tables: bool,
    groups: BTreeSet<String>,
    offsets: BTreeSet<OffsetKey>,
    /// Those that are free once that is found out.
    offsets_once: BTreeSet<OffsetKey>,
}

impl HeldGroups {
    /// Whether any of these offsets is locked now.
    fn meets(&mut self, named: impl Fn(&OffsetKey) -> bool) -> bool {
        let before = self.offsets_once.len();
        self.offsets_once.retain(|key| !named(key));
        self.offsets_once.len() < before || self.offsets.iter().any(named)
    }
}

impl ModelDatabase {
    /// Another session has the tables of groups locked, while `held`.
    pub fn hold_groups(&self, held: bool) {
        self.shared().groups_held.tables = held;
    }

    /// Another session has the rows of a group locked, while `held`.
    pub fn hold_group(&self, group_id: &str, held: bool) {
        let mut shared = self.shared();
        if held {
            shared.groups_held.groups.insert(group_id.to_owned());
        } else {
            shared.groups_held.groups.remove(group_id);
        }
    }

    /// Another session has the row of a committed offset locked, while `held`.
    pub fn hold_offset(&self, key: &OffsetKey, held: bool) {
        let mut shared = self.shared();
        if held {
            shared.groups_held.offsets.insert(key.clone());
        } else {
            shared.groups_held.offsets.remove(key);
        }
    }

    /// Another session has the row of a committed offset locked until that is first found out.
    pub fn hold_offset_once(&self, key: &OffsetKey) {
        self.shared().groups_held.offsets_once.insert(key.clone());
    }
}

impl GroupTables {
    /// Deletes the offsets of a topic that is deleted.
    pub(super) fn forget_topic(&mut self, topic: TopicNumber) {
        self.offsets.retain(|key, _| key.topic != topic);
    }

    fn stored(&self, group_id: &str) -> StoredGroup {
        let group = self.groups.get(group_id);
        StoredGroup {
            group_id: group_id.to_owned(),
            group: group.map(|group| group.record.clone()),
            members: group
                .map(|group| group.members.values().cloned().collect())
                .unwrap_or_default(),
            changed_at_ms: 0,
        }
    }

    fn write(&mut self, group_id: &str, change: &GroupChange) -> EngineResult<()> {
        let by_id = |members: &[MemberRecord]| {
            let entry = |member: &MemberRecord| (member.member_id.clone(), member.clone());
            members.iter().map(entry).collect::<BTreeMap<_, _>>()
        };
        match change {
            GroupChange::Replace(record, members) => {
                let group = Group {
                    record: record.clone(),
                    members: by_id(members),
                };
                self.groups.insert(group_id.to_owned(), group);
            }
            GroupChange::Update { group, members, gone } => {
                if let (Some(record), false) = (group, self.groups.contains_key(group_id)) {
                    let group = Group {
                        record: record.clone(),
                        members: BTreeMap::new(),
                    };
                    self.groups.insert(group_id.to_owned(), group);
                }
                let Some(stored) = self.groups.get_mut(group_id) else {
                    return Err(super::database_error("42704", format!("group {group_id} does not exist")));
                };
                if let Some(record) = group {
                    stored.record = record.clone();
                }
                stored.members.extend(by_id(members));
                for member_id in gone {
                    stored.members.remove(member_id);
                }
            }
            GroupChange::Delete => {
                self.groups.remove(group_id);
                self.offsets.retain(|key, _| key.group_id != group_id);
            }
            GroupChange::DeleteUnused => {
                if !self.offsets.keys().any(|key| key.group_id == group_id) {
                    self.groups.remove(group_id);
                }
            }
        }
        Ok(())
    }
}

impl GroupStorage for ModelEngine {
    fn lock_groups(&mut self) -> EngineResult<()> {
        self.inside(Call::LockGroups, |_, shared| match shared.groups_held.tables {
            true => Err(EngineError::Busy("groups".to_owned())),
            false => Ok(()),
        })
    }

    fn load_groups(&mut self, group_id: Option<&str>) -> EngineResult<Vec<StoredGroup>> {
        self.groups(Call::LoadGroups, |tables, _| {
            let with_offsets = tables.offsets.keys().map(|key| &key.group_id);
            let ids: BTreeSet<_> = tables.groups.keys().chain(with_offsets).collect();
            let wanted = ids.into_iter().filter(|id| group_id.is_none_or(|wanted| wanted == *id));
            Ok(wanted.map(|id| tables.stored(id)).collect())
        })
    }

    fn write_groups(&mut self, changes: &[(String, GroupChange)]) -> EngineResult<Vec<usize>> {
        self.groups(Call::WriteGroups, |tables, held| {
            let mut locked = Vec::new();
            for (place, (group_id, change)) in changes.iter().enumerate() {
                if held.groups.contains(group_id) {
                    locked.push(place);
                } else {
                    tables.write(group_id, change)?;
                }
            }
            Ok(locked)
        })
    }

    fn commit_offsets(&mut self, commits: &[(OffsetKey, CommittedOffset)]) -> EngineResult<Vec<usize>> {
        self.groups(Call::CommitOffsets, |tables, held| {
            let mut locked = Vec::new();
            for (place, (key, offset)) in commits.iter().enumerate() {
                if held.meets(|held| held == key) {
                    locked.push(place);
                } else {
                    tables.offsets.insert(key.clone(), offset.clone());
                }
            }
            Ok(locked)
        })
    }

    fn committed_offsets(&mut self, group_id: &str) -> EngineResult<Vec<(TopicNumber, i32, CommittedOffset)>> {
        self.groups(Call::CommittedOffsets, |tables, _| {
            let of_group = tables.offsets.iter().filter(|(key, _)| key.group_id == group_id);
            Ok(of_group
                .map(|(key, offset)| (key.topic, key.partition, offset.clone()))
                .collect())
        })
    }

    fn delete_offsets(&mut self, group_id: &str, partitions: &[(TopicNumber, i32)]) -> EngineResult<bool> {
        self.groups(Call::DeleteOffsets, |tables, held| {
            let named = |key: &OffsetKey| key.group_id == group_id && partitions.contains(&(key.topic, key.partition));
            if held.meets(named) {
                return Ok(false);
            }
            tables.offsets.retain(|key, _| !named(key));
            Ok(true)
        })
    }

    fn expire_offsets(&mut self, expiry: &Expiry) -> EngineResult<bool> {
        self.groups(Call::ExpireOffsets, |tables, held| {
            tables.offsets.retain(|key, offset| {
                let due = match offset.expires_at_ms {
                    Some(at) => at <= expiry.now_ms,
                    None => offset.committed_at_ms < expiry.committed_before_ms,
                };
                let kept = expiry.kept_topics.contains(&key.topic) || held.offsets.contains(key);
                key.group_id != expiry.group_id || !due || kept
            });
            Ok(tables.offsets.keys().any(|key| key.group_id == expiry.group_id))
        })
    }
}

impl ModelEngine {
    /// A call on the tables of groups.
    fn groups<T>(
        &mut self,
        call: Call,
        body: impl FnOnce(&mut GroupTables, &mut HeldGroups) -> EngineResult<T>,
    ) -> EngineResult<T> {
        self.inside(call, |work, shared| {
            if shared.groups_held.tables {
                return Err(EngineError::Busy("groups".to_owned()));
            }
            work.wrote |= !matches!(call, Call::LoadGroups | Call::CommittedOffsets);
            body(&mut work.state.groups, &mut shared.groups_held)
        })
    }
}
