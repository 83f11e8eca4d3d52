//! Members with a `group.instance.id` (KIP-345, KIP-814).

use super::*;

/// A Stable group of the static members "a", "b" (instances "ia", "ib"), of which "a" is the leader.
fn stable_static() -> Script {
    let mut script = Script::new();
    script.join(static_member("ia", "a"));
    script.join(static_member("ib", "b"));
    script.pass(Duration::from_secs(6));
    script.sync_all(1, &["a", "b"]);
    script
}

/// Goal: static members that restart one after the other get their assignments back under new ids, in the same generation, and each
/// new id is stored.
#[test]
fn a_rolling_restart_does_not_rebalance() {
    let mut script = stable_static();
    for round in 0..3 {
        for (instance_id, assigned) in [("ia", b"a"), ("ib", b"b")] {
            let id = format!("{instance_id}-{round}");
            let join = script.join(static_member(instance_id, &id));
            let reply = script.joined(join);
            assert_eq!((reply.error, reply.generation_id, &reply.member_id), (None, 1, &id));
            let sync = script.sync(follower_sync(static_ref(instance_id, &id, 1)));
            assert_eq!(script.assignment(sync), assigned);
            let stored = &script.asked.last().expect("the new id is stored").group;
            assert!(stored
                .members
                .iter()
                .any(|member| member.member_id == id && member.assignment[..] == assigned[..]));
        }
    }
    assert_eq!(
        (script.group.state(), script.member_ids()),
        (ClassicState::Stable, vec!["ia-2".to_owned(), "ib-2".to_owned()])
    );
}

/// Goal: a leader that restarts learns that it is the leader and has nothing to assign; an old client is led to believe that another
/// is the leader.
#[test]
fn a_restarted_leader_does_not_assign() {
    let mut script = stable_static();
    let join = script.join(static_member("ia", "a2"));
    let reply = script.joined(join);
    assert_eq!(
        (&reply.leader[..], reply.skip_assignment, reply.members.len()),
        ("a2", true, 2)
    );

    let join = script.join(JoinRequest {
        supports_skip_assignment: false,
        ..static_member("ia", "a3")
    });
    let reply = script.joined(join);
    assert_eq!(
        (&reply.leader[..], reply.skip_assignment, reply.members.len()),
        ("a2", false, 0)
    );
    assert_eq!(reply.member_id, "a3");

    let join = script.join(static_member("ib", "b2"));
    let reply = script.joined(join);
    assert_eq!(
        (&reply.leader[..], reply.skip_assignment, reply.members.len()),
        ("a3", false, 0)
    );
}

/// Goal: from the moment that its instance is taken over, the old member is fenced, in what it sends and in what it has parked.
#[test]
fn the_old_member_is_fenced() {
    let mut script = Script::completing(&["a"]);
    let joining = script.join(static_member("ib", "b"));
    let again = script.join(static_member("ib", "b2"));
    assert_eq!(script.joined(joining).error, Some(ResponseError::FencedInstanceId));
    assert_eq!(script.joined(joining).member_id, "b");
    script.join(known_member("a"));
    assert_eq!(script.joined(again).generation_id, 2);

    let syncing = script.sync(follower_sync(static_ref("ib", "b2", 2)));
    let again = script.join(static_member("ib", "b3"));
    assert_eq!(script.synced(syncing).error, Some(ResponseError::FencedInstanceId));
    assert!(script.is_parked(again), "the leader may be assigning to the old id");
    assert_eq!(script.group.state(), ClassicState::PreparingRebalance);
    let fenced = script.group.heartbeat(script.now, &static_ref("ib", "b2", 2));
    assert_eq!(fenced, Err(ResponseError::FencedInstanceId));
    assert_eq!(script.heartbeat("b2", 2), Err(ResponseError::UnknownMemberId));
}

/// Goal: a static member that comes back with other protocols rebalances the group if another protocol wins by that, and not else.
#[test]
fn a_changed_protocol_rebalances() {
    let mut script = Script::new();
    script.join(with_protocols(static_member("ia", "a"), &[("x", "t"), ("y", "t")]));
    script.pass(Duration::from_secs(3));
    script.sync(SyncRequest {
        protocol_name: Some("x".to_owned()),
        ..sync_with("a", 1, &["a"])
    });
    let join = script.join(with_protocols(static_member("ia", "a2"), &[("x", "u")]));
    assert_eq!(
        (script.joined(join).generation_id, script.group.state()),
        (1, ClassicState::Stable)
    );
    let join = script.join(with_protocols(static_member("ia", "a3"), &[("y", "u"), ("x", "u")]));
    let reply = script.joined(join);
    assert_eq!(
        (reply.generation_id, reply.protocol_name.as_deref(), &reply.leader[..]),
        (2, Some("y"), "a3")
    );
}

/// Goal: a static member that does not join a rebalance keeps its place in the new generation, until it is silent or does not sync.
#[test]
fn a_static_member_outlives_a_rebalance() {
    let mut script = Script::new();
    for (instance_id, id) in [("ia", "a"), ("ib", "b")] {
        script.join(JoinRequest {
            session_timeout_ms: 600_000,
            ..static_member(instance_id, id)
        });
    }
    script.pass(Duration::from_secs(6));
    script.sync_all(1, &["a", "b"]);
    let rejoined = script.join(JoinRequest {
        session_timeout_ms: 600_000,
        ..known_member("a")
    });
    script.pass(REBALANCE);
    assert_eq!(script.joined(rejoined).generation_id, 2);
    assert_eq!(
        script.joined(rejoined).members.len(),
        2,
        "the one that did not join is a member still"
    );
    script.sync(sync_with("a", 2, &["a", "b"]));
    script.pass(REBALANCE);
    assert_eq!(script.member_ids(), ["a"], "it did not sync");
}

/// Goal: a rebalance that no member joins is tried again and again until the sessions end, at a bounded rate even if the members
/// allow no time for it.
#[test]
fn a_rebalance_that_nobody_joins_ends_with_the_sessions() {
    for rebalance_timeout_ms in [0, 60_000] {
        let mut stored = stable_static().asked.last().expect("it is stored").group.clone();
        for member in &mut stored.members {
            member.rebalance_timeout_ms = rebalance_timeout_ms;
        }
        let start = Instant::now();
        let mut script = Script::of(ClassicGroup::restore("g", stored, start));
        script.now = start;
        script.leave(&[leaving_instance("ia")]).expect("it leaves");
        let mut wakes = 0;
        while let Some(deadline) = script.group.next_timeout() {
            script.now = deadline;
            script.group.handle_timeout(&script.settings, script.now);
            wakes += 1;
        }
        assert!(wakes <= 1 + SESSION.as_secs(), "it woke {wakes} times");
        assert_eq!((script.group.state(), script.now), (ClassicState::Empty, start + SESSION));
    }
}

/// Goal: members that allow no time for a rebalance are removed when it ends: that is also their time to sync.
#[test]
fn no_time_to_rebalance_is_no_time_to_sync() {
    let mut script = Script::new();
    let join = script.join(JoinRequest {
        rebalance_timeout_ms: 0,
        ..static_member("ia", "a")
    });
    script.pass(Duration::from_secs(3));
    assert_eq!(script.joined(join).generation_id, 1);
    assert_eq!(script.group.state(), ClassicState::Empty);
}

/// Goal: an operator removes static members by their instance ids.
#[test]
fn a_static_member_is_removed_by_its_instance_id() {
    let mut script = stable_static();
    assert_eq!(
        script.leave(&[leaving_instance("ia"), leaving_instance("ib")]),
        Ok(vec![None, None])
    );
    assert_eq!(script.group.state(), ClassicState::Empty);
    let join = script.join(static_member("ia", "a2"));
    assert!(script.is_parked(join), "it is a new member");
}

/// Goal: a member that came back and had taken over an id that never synced is not removed when the time to sync is over.
#[test]
fn the_new_id_does_not_inherit_the_time_to_sync() {
    let mut script = Script::completing(&["a"]);
    script.join(static_member("ib", "b"));
    script.join(known_member("a"));
    script.sync(sync_with("a", 2, &["a", "b"]));
    assert_eq!(script.group.state(), ClassicState::Stable);
    script.join(static_member("ib", "b2"));
    let end = script.now + REBALANCE * 2;
    while script.now < end {
        script.pass(Duration::from_secs(9));
        assert_eq!(script.heartbeat("a", 2), Ok(()));
        assert_eq!(script.heartbeat("b2", 2), Ok(()));
    }
}
