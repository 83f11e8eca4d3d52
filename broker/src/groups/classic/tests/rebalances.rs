//! From joining members to a generation with a leader and an assignment.

use super::*;

/// Goal: members that come while the first rebalance collects them are one generation, with one leader that sees all.
#[test]
fn members_that_join_together_are_one_generation() {
    for count in 2..=8 {
        let ids: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
        let mut script = Script::new();
        let requests: Vec<Request> = ids.iter().map(|id| script.join(new_member(id))).collect();
        assert!(requests.iter().all(|request| script.is_parked(*request)));
        script.pass(Duration::from_secs(6));
        for (id, request) in ids.iter().zip(&requests) {
            let reply = script.joined(*request);
            assert_eq!((reply.error, reply.generation_id, &reply.member_id), (None, 1, id));
            assert_eq!(
                (reply.protocol_type.as_deref(), reply.protocol_name.as_deref()),
                (Some("consumer"), Some("range"))
            );
            assert_eq!((reply.leader.as_str(), reply.skip_assignment), ("m0", false));
            let shown: Vec<&str> = reply.members.iter().map(|member| member.member_id.as_str()).collect();
            let expected: &[String] = if id == "m0" { &ids } else { &[] };
            assert_eq!(shown, expected);
        }
    }
}

/// Goal: the first rebalance waits its delay once more whenever a member came in the last one, and never longer than the rebalance
/// timeout of the first member.
#[test]
fn the_first_rebalance_waits_while_members_come() {
    // (rebalance timeout, when further members join, when the generation is made), in milliseconds
    let cases: &[(i32, &[u64], u64)] = &[
        (60_000, &[], 3000),
        (60_000, &[1000], 6000),
        (60_000, &[1000, 2000, 4000], 9000),
        (60_000, &[2999, 5999, 8999], 12_000),
        (5_000, &[1000, 4000], 5000),
        (3_000, &[1000], 3000),
        (1_000, &[500], 3000),
    ];
    for (rebalance_timeout_ms, arrivals, end) in cases {
        let join = |id: &str| JoinRequest {
            rebalance_timeout_ms: *rebalance_timeout_ms,
            ..new_member(id)
        };
        let mut script = Script::new();
        let start = script.now;
        let first = script.join(join("m"));
        for at in *arrivals {
            script.pass(start + Duration::from_millis(*at) - script.now);
            script.join(join(&format!("m{at}")));
        }
        script.pass(start + Duration::from_millis(end - 1) - script.now);
        assert!(script.is_parked(first), "{arrivals:?} ended early");
        script.pass(Duration::from_millis(1));
        assert_eq!(script.joined(first).members.len(), arrivals.len() + 1, "{arrivals:?}");
    }
}

/// Goal: a later rebalance ends when all have joined again, without a delay.
#[test]
fn a_later_rebalance_ends_with_its_last_member() {
    let mut script = Script::stable(&["a", "b"]);
    let newcomer = script.join(new_member("c"));
    assert_eq!(script.heartbeat("a", 1), Err(ResponseError::RebalanceInProgress));
    let follower = script.join(known_member("b"));
    assert!(script.is_parked(newcomer) && script.is_parked(follower));
    let leader = script.join(known_member("a"));
    for request in [newcomer, follower, leader] {
        assert_eq!(script.joined(request).generation_id, 2);
    }
    assert_eq!(script.joined(leader).members.len(), 3);
    script.sync_all(2, &["a", "b", "c"]);
}

/// Goal: members that do not join again within the rebalance timeout are removed though they live, the leader too, and one of the
/// others leads.
#[test]
fn who_does_not_rejoin_is_removed() {
    for missing in ["a", "b"] {
        let other = if missing == "a" { "b" } else { "a" };
        let mut script = Script::stable(&["a", "b"]);
        let rejoined = script.join(with_protocols(known_member(other), &[("range", "other")]));
        let end = script.now + REBALANCE;
        while script.now + SESSION < end {
            script.pass(Duration::from_secs(9));
            assert_eq!(script.heartbeat(missing, 1), Err(ResponseError::RebalanceInProgress));
        }
        script.pass(end - script.now - Duration::from_millis(1));
        assert!(script.is_parked(rejoined));
        script.pass(Duration::from_millis(1));
        let reply = script.joined(rejoined);
        assert_eq!((reply.generation_id, &reply.leader[..], reply.members.len()), (2, other, 1));
        assert_eq!(script.heartbeat(missing, 2), Err(ResponseError::UnknownMemberId));
    }
}

/// Goal: when the leader leaves, the others join again under another leader.
#[test]
fn a_leader_that_leaves_is_followed_by_another() {
    let mut script = Script::stable(&["a", "b", "c"]);
    assert_eq!(script.leave(&[leaving("a")]), Ok(vec![None]));
    assert_eq!(script.heartbeat("b", 1), Err(ResponseError::RebalanceInProgress));
    let rejoins = [script.join(known_member("c")), script.join(known_member("b"))];
    let leaders = rejoins.map(|request| script.joined(request).leader.clone());
    assert_eq!(leaders[0], leaders[1]);
    let with_members = rejoins.map(|request| script.joined(request).members.len());
    assert_eq!(with_members.iter().sum::<usize>(), 2, "one of them sees both");
}

/// Goal: a leader that joins a stable group again starts a rebalance, though nothing changed; a follower does not.
#[test]
fn only_a_leader_rebalances_without_a_change() {
    let mut script = Script::stable(&["a", "b"]);
    let follower = script.join(known_member("b"));
    assert_eq!(
        (script.joined(follower).generation_id, script.group.state()),
        (1, ClassicState::Stable)
    );
    let request = script.sync(sync_with("b", 1, &[]));
    assert_eq!(script.assignment(request), b"b", "it gets the assignment that it had");
    let leader = script.join(known_member("a"));
    assert!(script.is_parked(leader));
    assert_eq!(script.group.state(), ClassicState::PreparingRebalance);
}

/// Goal: a change of metadata that arrives after the join phase begins it anew, and who waits for its assignment is sent back.
#[test]
fn a_change_while_the_assignment_is_made_rebalances() {
    let mut script = Script::completing(&["a", "b"]);
    let waiting = script.sync(follower_sync(member("b", 1)));
    let changed = script.join(with_protocols(known_member("a"), &[("range", "other")]));
    assert!(script.is_parked(changed));
    assert_eq!(script.synced(waiting).error, Some(ResponseError::RebalanceInProgress));
    let rejoined = script.join(known_member("b"));
    assert_eq!(script.joined(rejoined).generation_id, 2);
    let seen = &script.joined(changed).members[0];
    assert_eq!(
        (seen.member_id.as_str(), &seen.metadata[..]),
        ("a", &subscription_to("other")[..])
    );
}

/// Goal: of two requests of one member that wait for the same thing, the later one gets it and the earlier one is answered at once.
#[test]
fn a_second_request_relieves_the_first() {
    let mut script = Script::stable(&["a", "b"]);
    let first = script.join(known_member("a"));
    let second = script.join(known_member("a"));
    assert_eq!(script.joined(first).error, Some(ResponseError::RebalanceInProgress));
    assert_eq!(script.joined(first).member_id, "a");
    script.join(known_member("b"));
    assert_eq!(script.joined(second).generation_id, 2);

    let first = script.sync(follower_sync(member("b", 2)));
    let second = script.sync(follower_sync(member("b", 2)));
    assert_eq!(script.synced(first).error, Some(ResponseError::RebalanceInProgress));
    script.sync(sync_with("a", 2, &["a", "b"]));
    assert_eq!(script.assignment(second), b"b");
}

/// Goal: the protocol is one that all support, by the first votes of the members, a name given twice counting once.
#[test]
fn the_protocol_is_chosen_by_vote() {
    let cases: &[(&[&[&str]], &str)] = &[
        (&[&["x", "y"], &["y", "x"], &["y", "x"]], "y"),
        (&[&["x", "y"], &["x", "y"], &["y", "x"]], "x"),
        (&[&["x", "y", "z"], &["z", "y"], &["y"]], "y"),
        (&[&["x", "x", "y"], &["y", "x"], &["y", "x"]], "y"),
        (&[&["x", "x", "y"], &["y"]], "y"),
    ];
    for (members, expected) in cases {
        let mut script = Script::new();
        let joins: Vec<Request> = (0..)
            .zip(*members)
            .map(|(number, names)| {
                let protocols: Vec<_> = names.iter().map(|name| (*name, "t")).collect();
                script.join(with_protocols(new_member(&format!("m{number}")), &protocols))
            })
            .collect();
        script.pass(Duration::from_secs(6));
        assert_eq!(
            script.joined(joins[0]).protocol_name.as_deref(),
            Some(*expected),
            "{members:?}"
        );
    }
}

/// Goal: an id that was given out holds a rebalance open, until it is joined with, given back or its time is over.
#[test]
fn a_rebalance_waits_for_ids_that_were_given_out() {
    for ends_with in ["join", "leave", "time"] {
        let mut script = Script::stable(&["a"]);
        let asked = script.join(stranger("b"));
        assert_eq!(script.joined(asked).error, Some(ResponseError::MemberIdRequired));
        assert_eq!(script.joined(asked).member_id, "b");
        let rejoined = script.join(known_member("a"));
        assert!(script.is_parked(rejoined), "before {ends_with}");
        match ends_with {
            "join" => assert!(script.join(known_member("b")) > rejoined),
            "leave" => assert_eq!(script.leave(&[leaving("b")]), Ok(vec![None])),
            _ => script.pass(SESSION),
        }
        assert_eq!(script.joined(rejoined).generation_id, 2, "after {ends_with}");
    }
}

/// Goal: members that the leader forgets get an empty assignment, and parts for strangers are not stored.
#[test]
fn an_assignment_is_for_the_members() {
    let mut script = Script::completing(&["a", "b"]);
    let follower = script.sync(follower_sync(member("b", 1)));
    let leader = script.sync(sync_with("a", 1, &["a", "stranger"]));
    assert_eq!(
        (script.assignment(leader), script.assignment(follower)),
        (&b"a"[..], &b""[..])
    );
    let stored = &script.asked.last().expect("the assignment is stored").group;
    let assignments: Vec<_> = stored
        .members
        .iter()
        .map(|member| (&member.member_id[..], &member.assignment[..]))
        .collect();
    assert_eq!(assignments, [("a", &b"a"[..]), ("b", &b""[..])]);
}

/// Goal: the group knows its topics from the generation on, knows none when it is empty, and fears the worst when it cannot read them.
#[test]
fn subscriptions_are_those_of_the_generation() {
    let mut script = Script::new();
    assert!(!script.group.is_subscribed_to("t"), "a group that never had members");
    script.join(with_protocols(new_member("a"), &[("range", "t"), ("other", "u")]));
    script.join(with_protocols(new_member("b"), &[("range", "v")]));
    script.pass(Duration::from_secs(6));
    assert_eq!(
        ["t", "u", "v", "w"].map(|topic| script.group.is_subscribed_to(topic)),
        [true, false, true, false]
    );
    script.leave(&[leaving("a"), leaving("b")]).expect("they leave");
    assert!(!script.group.is_subscribed_to("t"), "an empty group");

    let mut script = Script::new();
    script.join(JoinRequest {
        protocols: vec![protocol("range", "not a subscription")],
        ..new_member("a")
    });
    script.pass(Duration::from_secs(3));
    assert!(script.group.is_subscribed_to("anything"));
}

/// Goal: of a group of another type offsets are not deleted while it has members, and no topic counts as subscribed.
#[test]
fn other_protocol_types_hide_their_topics() {
    let mut script = Script::new();
    script.join(JoinRequest {
        protocol_type: "connect".to_owned(),
        ..new_member("a")
    });
    script.pass(Duration::from_secs(3));
    assert!(!script.group.is_subscribed_to("t"));
    assert_eq!(script.group.check_offset_delete(), Err(ResponseError::NonEmptyGroup));
}

/// Goal: what is parked when the group ends is answered, and no deadline is left.
#[test]
fn a_group_that_ends_answers_everybody() {
    let mut script = Script::completing(&["a", "b"]);
    let sync = script.sync(follower_sync(member("b", 1)));
    script.group.close(ResponseError::NotCoordinator);
    script.settle();
    assert_eq!(script.synced(sync).error, Some(ResponseError::NotCoordinator));

    let mut script = Script::stable(&["a", "b"]);
    let join = script.join(known_member("a"));
    script.group.close(ResponseError::NotCoordinator);
    script.settle();
    assert_eq!(script.joined(join).error, Some(ResponseError::NotCoordinator));
    assert_eq!(script.joined(join).member_id, "a");
    assert_eq!(
        (script.group.state(), script.group.next_timeout()),
        (ClassicState::Dead, None)
    );
}
