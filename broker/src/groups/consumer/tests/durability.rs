//! What is written, and that no reply leaves before what was changed until then is durable.

use super::*;

/// Replies leave in order, each when all changes before it are durable, also those that changed nothing or are refusals.
#[test]
fn replies_wait_for_the_changes_before_them() {
    let mut script = Script::new(&[("a", 1)]);
    let refused_first = script.send(beat("m1", 1));
    assert_eq!(script.group.poll_reply().unwrap().0, refused_first, "nothing to wait for");
    let first = script.send(join("m1", &["a"]));
    let unchanged = script.send(beat("m1", 2));
    let refused = script.send(beat("m9", 2));
    let second = script.send(join("m2", &["a"]));
    assert_eq!(script.group.undurable(), Some(2));
    assert!(script.group.poll_reply().is_none());
    let tokens: Vec<u64> = std::iter::from_fn(|| script.group.poll_persist())
        .map(|persist| persist.token)
        .collect();
    assert_eq!(tokens, [1, 2]);
    script.group.persisted(1);
    let answered: Vec<u32> = std::iter::from_fn(|| script.group.poll_reply())
        .map(|(waiter, _)| waiter)
        .collect();
    assert_eq!(answered, [first, unchanged, refused]);
    script.group.persisted(2);
    assert_eq!(script.group.poll_reply().unwrap().0, second);
    assert_eq!(script.group.undurable(), None);
}

/// A group that is closed answers everything once, what waits and what comes.
#[test]
fn closing_answers_everything() {
    let mut script = Script::new(&[("a", 1)]);
    let first = script.send(join("m1", &["a"]));
    script.group.close(ResponseError::NotCoordinator);
    let second = script.send(beat("m1", 2));
    for waiter in [first, second] {
        let (answered, reply) = script.group.poll_reply().unwrap();
        assert_eq!(
            (answered, heartbeat_reply(reply).unwrap_err().code()),
            (waiter, ResponseError::NotCoordinator)
        );
    }
    assert!(script.group.poll_reply().is_none() && script.group.poll_persist().is_none());
}

/// Only the first change is the whole group, also if later ones are merged into it; none of a group that was restored.
#[test]
fn the_first_change_is_whole() {
    let mut script = Script::new(&[("a", 1)]);
    script.send(join("m1", &["a"]));
    script.send(join("m2", &["a"]));
    script.send(beat("m1", LEAVE_EPOCH));
    let changes: Vec<_> = std::iter::from_fn(|| script.group.poll_persist()).collect();
    let whole: Vec<bool> = changes.iter().map(|persist| persist.change.whole).collect();
    assert_eq!(whole, [true, false, false]);
    let mut changes = changes.into_iter().map(|persist| persist.change);
    let mut merged = changes.next().unwrap();
    changes.for_each(|change| merged.append(change));
    assert_eq!(
        (merged.whole, merged.members, merged.group),
        (true, vec![script.member("m2").clone()], Some(script.group.group))
    );
    let stored = StoredConsumerGroup {
        group: script.group.group,
        members: vec![script.member("m2").clone()],
    };
    script.group = ConsumerGroup::restore("group", stored, &script.settings, &script.topics, script.now);
    script.send(join("m3", &["a"]));
    assert!(!script.group.poll_persist().unwrap().change.whole);
}

/// Only what changed is written: members whole, the group's numbers when they changed.
#[test]
fn only_changes_are_written() {
    let mut script = Script::new(&[("a", 2)]);
    script.send(join("m1", &["a"]));
    let change = script.group.poll_persist().unwrap().change;
    assert_eq!(
        (change.members, change.removed),
        (vec![script.member("m1").clone()], Vec::new())
    );
    assert_eq!(change.group, Some(script.group.group));
    script.send(beat("m1", 2));
    assert_eq!(script.group.poll_persist(), None);
    script.send(join("m2", &["a"]));
    let change = script.group.poll_persist().unwrap().change;
    assert_eq!(change.members.len(), 2, "the target of m1 changed");
    script.send(beat("m2", LEAVE_EPOCH));
    let change = script.group.poll_persist().unwrap().change;
    assert_eq!(
        (
            change.members.len(),
            change.removed,
            change.group.map(|group| group.group_epoch)
        ),
        (0, vec!["m2".to_owned()], Some(4))
    );
    script.now += Duration::from_secs(45);
    script.group.handle_timeout(&script.settings, &script.topics, script.now);
    let change = script.group.poll_persist().unwrap().change;
    assert_eq!(
        (change.removed, change.group.map(|group| group.metadata_hash)),
        (vec!["m1".to_owned()], Some(0))
    );
}

/// A refused request makes no group; an accepted one does.
#[test]
fn a_refused_join_makes_no_group() {
    let mut script = Script::new(&[("a", 1)]);
    script.settings.max_size = 0;
    assert_eq!(script.refused(join("m1", &["a"])), ResponseError::GroupMaxSizeReached);
    assert!(script.group.is_unwritten());
    script.settings.max_size = 1;
    script.accepted(join("m1", &["a"]));
    assert!(!script.group.is_unwritten());
}

/// A group that is built from all that was written is the group, except for its timers, which begin anew.
#[test]
fn a_group_is_restored_from_what_was_written() {
    let mut script = Script::new(&[("a", 2)]);
    let both = script.of(&[("a", &[0, 1])]).unwrap();
    script.accepted(join("m1", &["a"]).instance("i1"));
    script.accepted(join("m2", &["a"]));
    script.accepted(beat("m1", 2).owning(&both));
    script.sleep(Duration::from_secs(5));
    let stored = StoredConsumerGroup {
        group: script.group.group,
        members: script.group.members.iter().map(|member| member.stored.clone()).collect(),
    };
    let before = script.group.describe(&script.settings, &script.topics);
    script.group = ConsumerGroup::restore("group", stored, &script.settings, &script.topics, script.now);
    assert_eq!(script.group.describe(&script.settings, &script.topics), before);
    assert_eq!(script.group.poll_persist(), None);
    assert_eq!(script.group.next_timeout(), Some(script.now + Duration::from_secs(10)));
    assert_eq!(script.accepted(beat("m2", 3)), (3, None), "m1 has it still");
    assert_eq!(
        script.refused(join("m9", &["a"]).instance("i1")),
        ResponseError::UnreleasedInstanceId
    );
    script.sleep(Duration::from_secs(10));
    assert_eq!(script.accepted(beat("m2", 3)), (4, Some(both)));
}

/// Numbers of stored states are Kafka's.
#[test]
fn states_are_stored_as_numbers() {
    let numbers = [0, 1, 2, 3].map(MemberState::from_number);
    assert_eq!(
        numbers,
        [
            Some(MemberState::Stable),
            Some(MemberState::UnrevokedPartitions),
            Some(MemberState::UnreleasedPartitions),
            None
        ]
    );
}
