//! Consumer groups and committed offsets.

use super::batches::{in_transaction, make_topic, new_topic};
use crate::storage::engine::{Engine, TopicNumber};
use crate::storage::groups::{
    CommittedOffset, Expiry, GroupChange, GroupRecord, GroupType, MemberRecord, OffsetKey, StoredGroup,
};

fn new_group() -> String {
    format!("group {}", uuid::Uuid::new_v4())
}

fn record(epoch: i32) -> GroupRecord {
    GroupRecord {
        group_type: GroupType::Classic,
        epoch,
        protocol_type: "consumer".to_owned(),
        protocol: "range".to_owned(),
        state: format!(r#"{{"leader":"it's \"ü\" \\ {epoch}"}}"#),
    }
}

fn member(id: &str, client_id: &str) -> MemberRecord {
    MemberRecord {
        member_id: id.to_owned(),
        instance_id: (id == "b").then(|| "static".to_owned()),
        client_id: client_id.to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        assignment: r#"{"orders": [0, 2]}"#.to_owned(),
        state: r#"{"nul":"\u0000"}"#.to_owned(),
    }
}

fn offset(offset: i64) -> CommittedOffset {
    CommittedOffset {
        offset,
        leader_epoch: 65_537,
        metadata: "it's \"ü\" \\".to_owned(),
        committed_at_ms: 1_700_000_000_123,
        expires_at_ms: None,
    }
}

fn key(group_id: &str, topic: TopicNumber, partition: i32) -> OffsetKey {
    OffsetKey {
        group_id: group_id.to_owned(),
        topic,
        partition,
    }
}

fn load<E: Engine>(engine: &mut E, group_id: &str) -> Option<StoredGroup> {
    let mut found = in_transaction(engine, |engine| engine.load_groups(Some(group_id)).unwrap());
    assert!(found.len() <= 1);
    let mut group = found.pop()?;
    assert_eq!(group.group_id, group_id);
    group.changed_at_ms = 0;
    Some(group)
}

fn write<E: Engine>(engine: &mut E, group_id: &str, change: &GroupChange) {
    in_transaction(engine, |engine| {
        engine.lock_groups().unwrap();
        assert_eq!(engine.write_groups(&[(group_id.to_owned(), change.clone())]), Ok(vec![]));
    });
}

fn commit<E: Engine>(engine: &mut E, commits: &[(OffsetKey, CommittedOffset)]) {
    in_transaction(engine, |engine| {
        engine.lock_groups().unwrap();
        assert!(engine.commit_offsets(commits).unwrap().is_empty());
    });
}

fn committed<E: Engine>(engine: &mut E, group_id: &str) -> Vec<(TopicNumber, i32, CommittedOffset)> {
    in_transaction(engine, |engine| engine.committed_offsets(group_id).unwrap())
}

/// What was written comes back after a restart: all of it, members by id.
pub(super) fn a_group_comes_back_as_it_was_written<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let (group, other) = (new_group(), new_group());
    write(
        &mut engine,
        &group,
        &GroupChange::Replace(record(1), vec![member("b", "x"), member("a", "")]),
    );
    write(&mut engine, &other, &GroupChange::Replace(record(9), vec![]));
    engine.begin().unwrap();
    engine.write_groups(&[(group.clone(), GroupChange::Delete)]).unwrap();
    engine.rollback();
    drop(engine);
    let mut engine = open();
    let expected = StoredGroup {
        group_id: group.clone(),
        group: Some(record(1)),
        members: vec![member("a", ""), member("b", "x")],
        changed_at_ms: 0,
    };
    assert_eq!(load(&mut engine, &group), Some(expected));
    let all = in_transaction(&mut engine, |engine| engine.load_groups(None).unwrap());
    assert!(all.iter().any(|stored| stored.group_id == group && stored.members.len() == 2));
    assert!(all.iter().any(|stored| stored.group_id == other && stored.members.is_empty()));
    assert_eq!(load(&mut engine, &new_group()), None);
}

/// A replacement leaves nothing of what was; an update changes what it names.
pub(super) fn a_group_changes_whole_or_in_part<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let group = new_group();
    let members = vec![member("a", ""), member("b", ""), member("c", "")];
    write(&mut engine, &group, &GroupChange::Replace(record(1), members));
    let update = GroupChange::Update {
        group: None,
        members: vec![member("b", "changed"), member("d", "new")],
        gone: vec!["a".to_owned(), "never was".to_owned()],
    };
    write(&mut engine, &group, &update);
    let stored = load(&mut engine, &group).unwrap();
    assert_eq!(stored.group, Some(record(1)));
    assert_eq!(stored.members, [member("b", "changed"), member("c", ""), member("d", "new")]);
    write(&mut engine, &group, &GroupChange::Replace(record(2), vec![member("c", "")]));
    let stored = load(&mut engine, &group).unwrap();
    assert_eq!((stored.group, stored.members), (Some(record(2)), vec![member("c", "")]));
    let new = new_group();
    let update = GroupChange::Update {
        group: Some(record(3)),
        members: vec![member("a", "")],
        gone: vec![],
    };
    write(&mut engine, &new, &update);
    assert_eq!(load(&mut engine, &new).unwrap().group, Some(record(3)));
}

/// Several groups change in one call, each by its own change.
pub(super) fn groups_change_together<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let [replaced, updated, deleted, added] = [(); 4].map(|()| new_group());
    let before = || GroupChange::Replace(record(1), vec![member("a", ""), member("b", "")]);
    let changes = vec![
        (replaced.clone(), before()),
        (updated.clone(), before()),
        (deleted.clone(), before()),
    ];
    let written = |engine: &mut E, changes: &[(String, GroupChange)]| {
        in_transaction(engine, |engine| assert_eq!(engine.write_groups(changes), Ok(vec![])));
    };
    written(&mut engine, &changes);
    let update = GroupChange::Update {
        group: None,
        members: vec![member("c", "")],
        gone: vec!["a".to_owned()],
    };
    let changes = [
        (added.clone(), GroupChange::Replace(record(7), vec![member("a", "new")])),
        (deleted.clone(), GroupChange::Delete),
        (updated.clone(), update),
        (
            replaced.clone(),
            GroupChange::Replace(record(2), vec![member("b", "changed")]),
        ),
    ];
    written(&mut engine, &changes);
    let mut left = |group_id| load(&mut engine, group_id).map(|stored| (stored.group, stored.members));
    assert_eq!(left(&added), Some((Some(record(7)), vec![member("a", "new")])));
    assert_eq!(left(&deleted), None);
    assert_eq!(
        left(&updated),
        Some((Some(record(1)), vec![member("b", ""), member("c", "")]))
    );
    assert_eq!(left(&replaced), Some((Some(record(2)), vec![member("b", "changed")])));
}

/// A group that is deleted takes its offsets along, and no other's.
pub(super) fn a_deleted_group_takes_its_offsets_along<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = make_topic(&mut engine, &new_topic(1)).topic;
    let (group, other) = (new_group(), new_group());
    for id in [&group, &other] {
        write(&mut engine, id, &GroupChange::Replace(record(1), vec![member("a", "")]));
        commit(&mut engine, &[(key(id, topic, 0), offset(5))]);
    }
    write(&mut engine, &group, &GroupChange::Delete);
    assert_eq!(load(&mut engine, &group), None);
    assert_eq!(committed(&mut engine, &group), []);
    assert_eq!(committed(&mut engine, &other), [(topic, 0, offset(5))]);
}

/// A group that is to go if it is unused goes, but not if it has offsets, however new.
pub(super) fn a_group_is_deleted_if_it_is_unused<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = make_topic(&mut engine, &new_topic(1)).topic;
    let (used, unused) = (new_group(), new_group());
    let deletion = |group: &String| [(group.clone(), GroupChange::DeleteUnused)];
    for id in [&used, &unused] {
        write(&mut engine, id, &GroupChange::Replace(record(1), vec![member("a", "")]));
    }
    in_transaction(&mut engine, |engine| {
        engine.lock_groups().unwrap();
        assert_eq!(engine.commit_offsets(&[(key(&used, topic, 0), offset(5))]), Ok(vec![]));
        assert_eq!(engine.write_groups(&deletion(&used)), Ok(vec![]));
    });
    write(&mut engine, &unused, &GroupChange::DeleteUnused);
    let stored = load(&mut engine, &used).unwrap();
    assert_eq!((stored.group, stored.members), (Some(record(1)), vec![member("a", "")]));
    assert_eq!(committed(&mut engine, &used), [(topic, 0, offset(5))]);
    assert_eq!(load(&mut engine, &unused), None);
}

/// Offsets are added and replaced, whatever else the group is; a group that has only offsets is one.
pub(super) fn offsets_come_back_as_they_were_committed<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = make_topic(&mut engine, &new_topic(3)).topic;
    let second = make_topic(&mut engine, &new_topic(1)).topic;
    let group = new_group();
    commit(
        &mut engine,
        &[(key(&group, topic, 2), offset(5)), (key(&group, topic, 0), offset(i64::MAX))],
    );
    let expiring = CommittedOffset {
        expires_at_ms: Some(1_700_000_000_999),
        leader_epoch: -1,
        metadata: String::new(),
        ..offset(4)
    };
    commit(
        &mut engine,
        &[(key(&group, second, 0), offset(0)), (key(&group, topic, 2), expiring.clone())],
    );
    engine.begin().unwrap();
    engine.commit_offsets(&[(key(&group, topic, 1), offset(1))]).unwrap();
    engine.rollback();
    drop(engine);
    let mut engine = open();
    let expected = [(topic, 0, offset(i64::MAX)), (topic, 2, expiring), (second, 0, offset(0))];
    assert_eq!(committed(&mut engine, &group), expected);
    let simple = StoredGroup {
        group_id: group.clone(),
        group: None,
        members: vec![],
        changed_at_ms: 0,
    };
    assert_eq!(load(&mut engine, &group), Some(simple));
}

/// Named offsets are deleted, those of a deleted topic go with it.
pub(super) fn offsets_are_deleted<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = make_topic(&mut engine, &new_topic(3)).topic;
    let second = make_topic(&mut engine, &new_topic(1)).topic;
    let group = new_group();
    let commits: Vec<_> = (0..3).map(|partition| (key(&group, topic, partition), offset(7))).collect();
    commit(&mut engine, &commits);
    commit(&mut engine, &[(key(&group, second, 0), offset(8))]);
    in_transaction(&mut engine, |engine| {
        assert!(engine.delete_offsets(&group, &[(topic, 1), (topic, 9), (second, 1)]).unwrap());
    });
    assert_eq!(
        committed(&mut engine, &group),
        [(topic, 0, offset(7)), (topic, 2, offset(7)), (second, 0, offset(8))]
    );
    in_transaction(&mut engine, |engine| engine.delete_topic(topic).unwrap());
    assert_eq!(committed(&mut engine, &group), [(second, 0, offset(8))]);
}

/// Old offsets expire, and those whose own time has come; not those of topics that are kept.
pub(super) fn offsets_expire<E: Engine>(open: &mut dyn FnMut() -> E) {
    let mut engine = open();
    let topic = make_topic(&mut engine, &new_topic(4)).topic;
    let kept = make_topic(&mut engine, &new_topic(1)).topic;
    let group = new_group();
    let at = |committed_at_ms, expires_at_ms| CommittedOffset {
        committed_at_ms,
        expires_at_ms,
        ..offset(1)
    };
    let commits = [
        (key(&group, topic, 0), at(1_000, None)),
        (key(&group, topic, 1), at(2_000, None)),
        (key(&group, topic, 2), at(1_000, Some(9_000))),
        (key(&group, topic, 3), at(5_000, Some(8_000))),
        (key(&group, kept, 0), at(1_000, None)),
    ];
    commit(&mut engine, &commits);
    let mut expire = |kept_topics: Vec<_>, committed_before_ms, now_ms| {
        let expiry = Expiry {
            group_id: group.clone(),
            committed_before_ms,
            kept_topics,
            now_ms,
        };
        in_transaction(&mut engine, |engine| engine.expire_offsets(&expiry).unwrap())
    };
    assert!(expire(vec![kept], 2_000, 8_000));
    assert!(expire(vec![kept], 1_000, 8_999));
    let mut left = committed(&mut engine, &group);
    left.iter_mut().for_each(|(_, _, offset)| offset.leader_epoch = 65_537);
    assert_eq!(
        left,
        [
            (topic, 1, at(2_000, None)),
            (topic, 2, at(1_000, Some(9_000))),
            (kept, 0, at(1_000, None))
        ]
    );
    let expiry = Expiry {
        group_id: group.clone(),
        committed_before_ms: i64::from(i32::MAX),
        kept_topics: vec![],
        now_ms: 9_000,
    };
    assert!(!in_transaction(&mut engine, |engine| engine.expire_offsets(&expiry).unwrap()));
    assert_eq!(load(&mut engine, &group), None);
}
