//! Classic groups that become consumer groups, and the way back.

use std::time::{Duration, Instant};

use super::super::protocol::write_assignment;
use super::*;

fn classic_member(member_id: &str, assignment: Bytes) -> ClassicGroupMember {
    ClassicGroupMember {
        member_id: member_id.to_owned(),
        instance_id: None,
        client_id: "client".to_owned(),
        client_host: "/127.0.0.1".to_owned(),
        rebalance_timeout_ms: 10_000,
        session_timeout_ms: 20_000,
        protocols: vec![protocol("range", subscription(&["a"], &[]))],
        assignment,
    }
}

fn image(script: &Script) -> ClassicGroupImage {
    let assignment = |partitions: &[i32]| {
        write_assignment(
            &script.of(&[("a", partitions)]).unwrap(),
            &subscription(&["a"], &[]),
            &script.topics,
        )
    };
    ClassicGroupImage {
        generation_id: 7,
        protocol_type: "consumer".to_owned(),
        protocol_name: Some("range".to_owned()),
        members: vec![
            classic_member("c1", assignment(&[0, 1])),
            classic_member("c2", assignment(&[2])),
        ],
        rebalance: false,
    }
}

fn upgrade(script: &mut Script, image: &ClassicGroupImage) -> Result<(), HeartbeatError> {
    script.group = ConsumerGroup::upgrade("group", image, &script.settings, &script.topics, script.now)?;
    Ok(())
}

/// A new client joins a classic group: its members go on, are told to join again, and hand over what they must.
#[test]
fn a_classic_group_is_upgraded() {
    let mut script = Script::new(&[("a", 3)]);
    let image = image(&script);
    upgrade(&mut script, &image).unwrap();
    assert!(script.group.is_unwritten());
    script.send(join("x", &["a"]));
    let change = script.group.poll_persist().unwrap().change;
    assert!(change.whole, "it takes the place of the classic group");
    assert_eq!(
        (
            change.members.len(),
            change.removed.len(),
            change.group.map(|group| group.group_epoch)
        ),
        (3, 0, Some(8))
    );
    script.group.persisted(1);
    let reply = heartbeat_reply(script.group.poll_reply().unwrap().1).unwrap();
    assert_eq!((reply.member_epoch, reply.assignment), (8, Some(Partitions::new())));
    for (id, owned) in [("c1", &[0, 1][..]), ("c2", &[2])] {
        assert_eq!(script.classic_beat(&member(id, 7)), Err(ResponseError::RebalanceInProgress));
        let epoch = script.joined(classic_join(id, owned));
        let kept = script.classic_sync(member(id, epoch)).unwrap();
        let kept: Vec<i32> = kept.values().flatten().copied().collect();
        assert_eq!(kept.len(), 1);
        if epoch == 7 {
            assert_eq!(script.classic_beat(&member(id, 7)), Err(ResponseError::RebalanceInProgress));
            assert_eq!(script.joined(classic_join(id, &kept)), 8);
        }
    }
    assert_eq!(script.accepted(beat("x", 8)).1.unwrap().values().flatten().count(), 1);
    assert_eq!(script.group.state(), ConsumerGroupState::Stable);
}

/// A join that is refused upgrades nothing.
#[test]
fn a_refused_join_does_not_upgrade() {
    let mut script = Script::new(&[("a", 3)]);
    let image = image(&script);
    upgrade(&mut script, &image).unwrap();
    assert_eq!(
        script.refused(join("x", &["a"]).regex("(")),
        ResponseError::InvalidRegularExpression
    );
    assert!(script.group.is_unwritten());
    assert_eq!(script.group.poll_persist(), None);
}

/// Groups that cannot be upgraded.
#[test]
fn what_cannot_be_upgraded() {
    let mut script = Script::new(&[("a", 3)]);
    let good = image(&script);
    let refused = |script: &mut Script, image: &ClassicGroupImage| {
        let error = upgrade(script, image).unwrap_err();
        assert_eq!(error.code(), ResponseError::GroupIdNotFound);
        error.to_string()
    };
    let mut other = good.clone();
    other.protocol_type = "connect".to_owned();
    assert!(refused(&mut script, &other).contains("does not use the consumer embedded protocol"));
    let mut malformed = good.clone();
    malformed.members[0].assignment = Bytes::from_static(&[0]);
    assert!(refused(&mut script, &malformed).contains("malformed"));
    malformed.members[0] = classic_member("c1", Bytes::new());
    malformed.members[1].protocols[0].metadata = Bytes::new();
    assert!(refused(&mut script, &malformed).contains("malformed"));
    let mut custom = good.clone();
    custom.members[0].assignment = Bytes::from_static(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 7]);
    assert!(refused(&mut script, &custom).contains("custom assignor"));
    script.settings.max_size = 1;
    assert!(refused(&mut script, &good).contains("maximum size"));
    script.settings.max_size = 2;
    script.settings.migration = MigrationPolicy::Downgrade;
    assert!(refused(&mut script, &good).contains("disabled"));
    script.settings.migration = MigrationPolicy::Upgrade;
    assert!(upgrade(&mut script, &good).is_ok());
}

/// A group of `x` and of two classic members that have `a`.
fn mixed(x: HeartbeatRequest) -> Script {
    let mut script = Script::new(&[("a", 3)]);
    let image = image(&script);
    upgrade(&mut script, &image).unwrap();
    script.accepted(x);
    for (id, owned) in [("c1", &[0, 1][..]), ("c2", &[2])] {
        let epoch = script.joined(classic_join(id, owned));
        script.classic_sync(member(id, epoch)).unwrap();
    }
    script
}

fn downgrade_of(script: &mut Script) -> ClassicGroupImage {
    let persist = script.group.poll_persist().unwrap();
    let group = persist.change.downgrade.unwrap();
    assert_eq!((persist.change.group, persist.change.members), (None, Vec::new()));
    assert!(group
        .members
        .iter()
        .all(|member| persist.change.removed.contains(&member.member_id)));
    assert!(script.group.poll_persist().is_none());
    assert_eq!(
        (script.group.members.len(), script.group.next_timeout()),
        (0, None::<Instant>)
    );
    script.group.persisted(persist.token);
    group
}

/// When the last new member leaves, or is fenced, the others are a classic group that rebalances.
#[test]
fn a_group_is_downgraded_when_the_last_new_member_ends() {
    for leaves in [true, false] {
        let mut script = mixed(join("x", &[]));
        if leaves {
            script.send(beat("x", LEAVE_EPOCH));
        } else {
            for _ in 0..3 {
                script.now += Duration::from_secs(15);
                for id in ["c1", "c2"] {
                    let waits = script.classic_beat(&member(id, 7));
                    assert_eq!(waits, Ok(()));
                }
                script.group.handle_timeout(&script.settings, &script.topics, script.now);
            }
        }
        let group = downgrade_of(&mut script);
        assert_eq!(
            (group.generation_id, group.protocol_name.as_deref(), group.rebalance),
            (7, Some("range"), true)
        );
        let ids: Vec<&str> = group.members.iter().map(|member| member.member_id.as_str()).collect();
        assert_eq!(ids, ["c1", "c2"]);
        let (named, _) = read_assignment(&group.members[0].assignment).unwrap();
        assert_eq!(Some(by_id(&named, &script.topics)), script.of(&[("a", &[0, 1])]));
        assert_eq!(
            (group.members[0].session_timeout_ms, group.members[0].rebalance_timeout_ms),
            (20_000, 10_000)
        );
        if leaves {
            assert!(heartbeat_reply(script.group.poll_reply().unwrap().1).is_ok());
        }
        assert_eq!(
            script.classic_beat(&member("c1", 7)),
            Err(ResponseError::CoordinatorLoadInProgress)
        );
    }
}

/// A LeaveGroup may end the last new member too; members of both kinds leave with it.
#[test]
fn a_group_is_downgraded_by_a_leave_group() {
    let mut script = mixed(join("x", &[]));
    let members = vec![leaving("x", None), leaving("c1", None), leaving("c9", None)];
    script
        .group
        .classic_leave(&script.settings, &script.topics, script.now, members, 9);
    let group = downgrade_of(&mut script);
    assert_eq!(group.members.len(), 1);
    let Some((9, Reply::ClassicLeave(Ok(left)))) = script.group.poll_reply() else {
        panic!("no reply")
    };
    assert_eq!(
        left.iter().map(|left| left.result.is_ok()).collect::<Vec<_>>(),
        [true, true, false]
    );
}

/// A static member of the new protocol that comes back as a classic one may be the last, too. Nothing is rebalanced if nothing changed.
#[test]
fn a_group_is_downgraded_when_the_last_new_member_is_replaced() {
    let mut script = mixed(join("x", &[]).instance("i"));
    let mut request = as_instance(classic_join("", &[]), "i");
    request.protocols[0].metadata = subscription(&[], &[]);
    script
        .group
        .classic_join(&script.settings, &script.topics, script.now, request, 9);
    let group = downgrade_of(&mut script);
    assert_eq!((group.members.len(), group.rebalance), (3, false));
    let Some((9, Reply::ClassicJoin(reply))) = script.group.poll_reply() else {
        panic!("no reply")
    };
    assert_eq!(reply.result.unwrap().generation_id, group.generation_id);

    let mut script = mixed(join("x", &[]).instance("i"));
    script.group.classic_join(
        &script.settings,
        &script.topics,
        script.now,
        as_instance(classic_join("", &[]), "i"),
        9,
    );
    assert!(downgrade_of(&mut script).rebalance, "its subscription changed");
}

/// Without the policy, or if the group is too large for a classic one, it stays a consumer group.
#[test]
fn what_is_not_downgraded() {
    for (policy, classic_max_size) in [(MigrationPolicy::Upgrade, 9), (MigrationPolicy::Bidirectional, 1)] {
        let mut script = mixed(join("x", &[]));
        script.settings.migration = policy;
        script.settings.classic_max_size = classic_max_size;
        script.accepted(beat("x", LEAVE_EPOCH));
        assert_eq!(script.group.members.len(), 2);
    }
    let mut script = Script::new(&[("a", 1)]);
    script.accepted(join("x", &[]));
    script.accepted(beat("x", LEAVE_EPOCH));
    assert_eq!(script.group.state(), ConsumerGroupState::Empty, "nobody is left");
}
