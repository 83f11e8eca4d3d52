//! A classic member beside a new one, step by step.

use std::time::Duration;

use super::*;

/// A classic member is told to join whenever it can move on, and gets partitions only when they are free.
#[test]
fn both_protocols_share_a_topic() {
    let mut script = Script::new(&[("a", 2)]);
    let both = script.of(&[("a", &[0, 1])]).unwrap();
    script.accepted(join("x", &["a"]));
    let need = script.classic_join(classic_join("", &[]));
    assert_eq!(
        (need.member_id.as_str(), need.result),
        ("fresh", Err(ResponseError::MemberIdRequired))
    );
    assert_eq!(script.group.members.len(), 1);
    let joined = script.classic_join(classic_join("fresh", &[])).result.unwrap();
    assert_eq!((joined.generation_id, joined.protocol_name.as_str()), (3, "range"));
    assert_eq!(script.classic_sync(member("fresh", 3)), Ok(Partitions::new()));
    assert_eq!(script.classic_beat(&member("fresh", 3)), Ok(()), "x has everything still");
    let kept = script.accepted(beat("x", 2).owning(&both)).1.unwrap();
    script.accepted(beat("x", 2).owning(&kept));
    assert_eq!(
        script.classic_beat(&member("fresh", 3)),
        Err(ResponseError::RebalanceInProgress)
    );
    assert_eq!(script.joined(classic_join("fresh", &[])), 3);
    let given = script.classic_sync(member("fresh", 3)).unwrap();
    assert_eq!(given, script.member("fresh").target);
    assert_eq!(script.group.state(), ConsumerGroupState::Stable);
    let description = script.group.describe(&script.settings, &script.topics);
    assert_eq!(
        description.members.iter().map(|member| member.is_classic).collect::<Vec<_>>(),
        [true, false]
    );

    assert_eq!(script.accepted(join("y", &["a"])).0, 4);
    let had = given.values().next().unwrap().iter().copied().collect::<Vec<_>>();
    assert_eq!(
        script.classic_beat(&member("fresh", 3)),
        Err(ResponseError::RebalanceInProgress)
    );
    let epoch = script.joined(classic_join("fresh", &had));
    assert!(epoch == 3 || epoch == 4);
}

/// Who is told to join and does not, or joins and does not sync, or is silent for its own session timeout, is fenced.
#[test]
fn the_timeouts_of_classic_members() {
    let group = || {
        let mut script = Script::new(&[("a", 2)]);
        script.accepted(join("x", &[]));
        script.joined(classic_join("c", &[]));
        script
    };
    let is_there = |script: &Script| script.group.members.get("c").is_some();
    let pass = |script: &mut Script, seconds| {
        script.accepted(beat("x", script.member("x").member_epoch));
        script.sleep(Duration::from_secs(seconds));
    };

    let mut script = group();
    pass(&mut script, 9);
    assert!(is_there(&script));
    pass(&mut script, 1);
    assert!(!is_there(&script), "it did not sync");

    let mut script = group();
    script.classic_sync(member("c", 2)).unwrap();
    pass(&mut script, 19);
    assert!(is_there(&script));
    pass(&mut script, 1);
    assert!(!is_there(&script), "it was silent");

    let mut script = group();
    script.classic_sync(member("c", 2)).unwrap();
    script.topics.set("a", 4);
    script.accepted(beat("x", 1));
    for _ in 0..10 {
        assert_eq!(script.classic_beat(&member("c", 2)), Err(ResponseError::RebalanceInProgress));
        pass(&mut script, 1);
    }
    assert!(!is_there(&script), "it did not join");

    let mut script = group();
    script.classic_sync(member("c", 2)).unwrap();
    script.topics.set("a", 4);
    script.accepted(beat("x", 1));
    assert_eq!(script.classic_beat(&member("c", 2)), Err(ResponseError::RebalanceInProgress));
    assert_eq!(script.joined(classic_join("c", &[0, 1])), 3);
    script.classic_sync(member("c", 3)).unwrap();
    pass(&mut script, 19);
    assert!(is_there(&script), "it joined and synced");
}

/// A classic member that has to revoke is told to join by its heartbeats, at the newest epoch too, and only then has a time to do so.
#[test]
fn a_classic_member_revokes_by_joining() {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("x", &[]));
    script.joined(classic_join("c", &[]));
    script.settings.assignment_interval = Duration::from_secs(60);
    let unsubscribed = ClassicJoin {
        protocols: vec![protocol("range", subscription(&[], &[("a", &[0, 1])]))],
        ..classic_join("c", &[])
    };
    assert_eq!(script.joined(unsubscribed), 2);
    assert_eq!(script.member("c").state, MemberState::UnrevokedPartitions);
    assert_eq!(script.group.group.assignment_epoch, 2);
    assert_eq!(script.classic_sync(member("c", 2)), Ok(Partitions::new()));
    script.sleep(Duration::from_secs(11));
    assert_eq!(script.classic_beat(&member("c", 2)), Err(ResponseError::RebalanceInProgress));
    script.sleep(Duration::from_secs(9));
    assert_eq!(script.classic_beat(&member("c", 2)), Err(ResponseError::RebalanceInProgress));
    script.sleep(Duration::from_secs(1));
    assert_eq!(script.classic_beat(&member("c", 2)), Err(ResponseError::UnknownMemberId));
}

/// A static member may be replaced by one of the other protocol without leaving.
#[test]
fn static_members_change_sides() {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("x", &[]));
    script.accepted(join("m1", &["a"]).instance("i1"));
    let both = script.of(&[("a", &[0, 1])]).unwrap();
    assert_eq!(script.joined(as_instance(classic_join("", &[]), "i1")), 2);
    assert_eq!(
        script.classic_sync(member("fresh", 2)),
        Ok(both.clone()),
        "it has what the one before had"
    );
    assert_eq!(script.accepted(join("m2", &["a"]).instance("i1")), (2, Some(both)));
    assert_eq!(script.group.group.group_epoch, 2);
    script.sleep(Duration::from_secs(44));
    assert_eq!(script.group.members.len(), 2, "the timers of the classic member are gone");
}

/// A member id that changes to the new protocol has no timers of the classic one any more.
#[test]
fn a_member_changes_to_the_new_protocol() {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("x", &[]));
    script.joined(classic_join("c", &[]));
    script.accepted(join("c", &["a"]));
    script.sleep(Duration::from_secs(44));
    assert_eq!(script.group.members.len(), 2);
    assert_eq!(script.classic_beat(&member("c", 2)), Err(ResponseError::UnknownMemberId));
}

/// What a JoinGroup is refused for, apart from who sends it.
#[test]
fn refused_joins() {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("x", &["a"]));
    let refused = |script: &mut Script, join| script.classic_join(join).result.unwrap_err();
    let with = |protocols| ClassicJoin {
        protocols,
        ..classic_join("c", &[])
    };
    assert_eq!(
        refused(&mut script, with(Vec::new())),
        ResponseError::InconsistentGroupProtocol
    );
    for (id, told) in [("", ""), ("c", "c")] {
        let nothing = ClassicJoin {
            protocols: Vec::new(),
            ..classic_join(id, &[])
        };
        assert_eq!(script.classic_join(nothing).member_id, told, "no id is given out");
    }
    let malformed = with(vec![protocol("range", Bytes::from_static(&[0, 0, 0]))]);
    assert_eq!(refused(&mut script, malformed), ResponseError::UnknownServerError);
    script.joined(with(vec![
        protocol("range", subscription(&["a"], &[])),
        protocol("sticky", Bytes::new()),
    ]));
    script.joined(ClassicJoin {
        protocols: vec![protocol("sticky", subscription(&["a"], &[])), protocol("range", Bytes::new())],
        ..classic_join("d", &[])
    });
    script.joined(classic_join("d", &[]));
    let sticky = |member_id| ClassicJoin {
        protocols: vec![protocol("sticky", subscription(&["a"], &[]))],
        ..classic_join(member_id, &[])
    };
    assert_eq!(refused(&mut script, sticky("e")), ResponseError::InconsistentGroupProtocol);
    script.settings.max_size = 3;
    assert_eq!(
        refused(&mut script, classic_join("e", &[])),
        ResponseError::GroupMaxSizeReached
    );
    script.joined(classic_join("d", &[]));
    script.settings.migration = MigrationPolicy::Disabled;
    assert_eq!(
        refused(&mut script, classic_join("d", &[])),
        ResponseError::InconsistentGroupProtocol
    );
}

/// A classic member's wrong generation is told in its own words, and its OffsetCommit may be of any version.
#[test]
fn offsets_of_classic_members() {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("x", &[]));
    script.joined(classic_join("c", &[]));
    let commit = |member_epoch| OffsetCommit {
        member_id: "c",
        instance_id: None,
        member_epoch,
        transactional: false,
        version: 2,
    };
    let a = script.topics.id("a");
    let check = |epoch| script.group.check_offset_commit(&commit(epoch))?.check_partition(&a, 0);
    let illegal = Err(ResponseError::IllegalGeneration);
    assert_eq!((check(2), check(3), check(1)), (Ok(()), illegal, illegal));
    assert_eq!(script.group.check_offset_fetch(Some("c"), 1), illegal);
}

/// A group that is closed answers each request in its own kind.
#[test]
fn closing_answers_every_kind() {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("x", &[]));
    let (settings, topics, now) = (script.settings.clone(), script.topics.clone(), script.now);
    script.group.classic_join(&settings, &topics, now, classic_join("c", &[]), 1);
    script.group.close(ResponseError::NotCoordinator);
    let error = ResponseError::NotCoordinator;
    assert!(matches!(script.reply(), Reply::ClassicJoin(reply) if reply.result == Err(error)));
    assert_eq!(script.classic_join(classic_join("c", &[])).result, Err(error));
    assert_eq!(script.classic_sync(member("c", 2)), Err(error));
    assert_eq!(script.classic_beat(&member("c", 2)), Err(error));
    script
        .group
        .classic_leave(&settings, &topics, now, vec![leaving("c", None)], 1);
    assert_eq!(script.reply(), Reply::ClassicLeave(Err(error)));
    assert_eq!(script.refused(beat("x", 1)), error);
}
