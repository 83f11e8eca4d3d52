//! Members that are silent, in each state.

use super::*;

const ALMOST: Duration = Duration::from_millis(9_999);
const MOMENT: Duration = Duration::from_millis(1);

/// Goal: an id that was given out is worth nothing after its session timeout.
#[test]
fn an_id_that_nobody_joins_with_expires() {
    let mut script = Script::new();
    script.join(stranger("a"));
    script.pass(ALMOST);
    assert!(script.group.next_timeout().is_some());
    script.pass(MOMENT);
    assert_eq!(script.group.next_timeout(), None);
    let late = script.join(known_member("a"));
    assert_eq!(script.joined(late).error, Some(ResponseError::UnknownMemberId));
}

/// Goal: a member of a stable group that is silent for its session timeout is removed and the others rebalance; a heartbeat, and a
/// commit of offsets, begin the time anew, a transactional commit does not.
#[test]
fn a_silent_member_of_a_stable_group_is_removed() {
    let mut script = Script::stable(&["a", "b", "c"]);
    script.pass(ALMOST);
    assert_eq!(script.heartbeat("a", 1), Ok(()));
    assert_eq!(script.group.check_offset_commit(script.now, &member("b", 1)), Ok(()));
    assert_eq!(script.group.check_txn_offset_commit(&member("c", 1)), Ok(()));
    script.pass(MOMENT);
    assert_eq!(script.member_ids(), ["a", "b"]);
    assert_eq!(script.group.state(), ClassicState::PreparingRebalance);
}

/// Goal: a member that expires while the others have joined again ends the rebalance.
#[test]
fn a_silent_member_does_not_hold_a_rebalance() {
    let mut script = Script::stable(&["a", "b"]);
    let rejoined = script.join(known_member("a"));
    script.pass(ALMOST);
    assert!(script.is_parked(rejoined));
    script.pass(MOMENT);
    assert_eq!(
        (script.joined(rejoined).generation_id, script.joined(rejoined).members.len()),
        (2, 1)
    );
}

/// Goal: a member that expires while the assignment is made sends those who wait for it back.
#[test]
fn a_silent_member_ends_the_wait_for_an_assignment() {
    let mut script = Script::completing(&["a", "b"]);
    let waiting = script.sync(follower_sync(member("b", 1)));
    script.pass(ALMOST);
    assert!(script.is_parked(waiting));
    script.pass(MOMENT);
    assert_eq!(script.synced(waiting).error, Some(ResponseError::RebalanceInProgress));
    assert_eq!(script.member_ids(), ["b"]);
}

/// Goal: who waits for an answer does not expire, and has a whole session from the answer on.
#[test]
fn a_parked_member_does_not_expire() {
    let mut script = Script::stable(&["a", "b"]);
    let rejoined = script.join(known_member("a"));
    for _ in 0..5 {
        script.pass(ALMOST);
        assert_eq!(script.heartbeat("b", 1), Err(ResponseError::RebalanceInProgress));
    }
    script.join(known_member("b"));
    assert_eq!(script.joined(rejoined).generation_id, 2);
    let waiting = script.sync(follower_sync(member("b", 2)));
    for _ in 0..3 {
        script.pass(ALMOST);
        assert_eq!(script.heartbeat("a", 2), Ok(()));
    }
    script.sync(sync_with("a", 2, &["b"]));
    assert_eq!(script.assignment(waiting), b"b");
    script.pass(ALMOST);
    assert_eq!(script.heartbeat("b", 2), Ok(()));
}

/// Goal: a new member gives its place back after five minutes, though its request is parked: its client may be gone. Its request is
/// answered so that a client that is there comes again.
#[test]
fn a_new_member_waits_five_minutes_at_most() {
    let mut script = Script::stable(&["a"]);
    let newcomer = script.join(JoinRequest {
        rebalance_timeout_ms: 3_600_000,
        ..new_member("b")
    });
    let start = script.now;
    while script.now < start + NEW_MEMBER_JOIN_TIMEOUT - SESSION {
        script.pass(SESSION - MOMENT);
        assert_eq!(script.heartbeat("a", 1), Err(ResponseError::RebalanceInProgress));
    }
    assert!(script.is_parked(newcomer));
    script.pass(start + NEW_MEMBER_JOIN_TIMEOUT - script.now);
    assert_eq!(script.joined(newcomer).error, Some(ResponseError::UnknownMemberId));
    assert_eq!(script.joined(newcomer).member_id, "");
    assert_eq!(script.member_ids(), ["a"]);
}

/// Goal: a leader that takes the generation, lives on and never assigns is removed after the rebalance timeout, and so are followers
/// that never ask for their assignment, also when the group is stable already.
#[test]
fn members_that_do_not_sync_are_removed() {
    for leader_syncs in [false, true] {
        let mut script = Script::completing(&["a", "b", "c"]);
        let waiting = script.sync(follower_sync(member("c", 1)));
        if leader_syncs {
            script.sync(sync_with("a", 1, &["c"]));
        }
        let end = script.now + REBALANCE;
        while script.now + SESSION < end {
            script.pass(SESSION - MOMENT);
            for id in ["a", "b", "c"] {
                assert_eq!(script.heartbeat(id, 1), Ok(()));
            }
        }
        script.pass(end - script.now - MOMENT);
        assert_eq!(script.member_ids().len(), 3);
        script.pass(MOMENT);
        if leader_syncs {
            assert_eq!(script.assignment(waiting), b"c");
            assert_eq!(script.member_ids(), ["a", "c"]);
        } else {
            assert_eq!(script.synced(waiting).error, Some(ResponseError::RebalanceInProgress));
            assert_eq!(script.member_ids(), ["c"]);
        }
        assert_eq!(script.group.state(), ClassicState::PreparingRebalance);
    }
}

/// Goal: members that all sync in time are left alone when that time is over.
#[test]
fn members_that_sync_are_kept() {
    let mut script = Script::stable(&["a", "b"]);
    let end = script.now + REBALANCE * 2;
    while script.now < end {
        script.pass(SESSION - MOMENT);
        for id in ["a", "b"] {
            assert_eq!(script.heartbeat(id, 1), Ok(()));
        }
    }
}

/// Goal: a group whose members all vanish becomes Empty in a new generation, and that is stored.
#[test]
fn a_group_whose_members_vanish_is_empty_and_stored() {
    for mut script in [Script::stable(&["a", "b"]), Script::completing(&["a", "b"])] {
        script.pass(Duration::from_secs(3600));
        assert_eq!((script.group.state(), script.group.generation_id()), (ClassicState::Empty, 2));
        let stored = &script.asked.last().expect("the empty group is stored").group;
        assert_eq!(
            (stored.generation_id, &stored.protocol_type[..], stored.members.len()),
            (2, "consumer", 0)
        );
        assert_eq!((&stored.protocol_name, &stored.leader), (&None, &None));
        assert_eq!(script.group.next_timeout(), None);
    }
}

/// Goal: members that leave before the first rebalance ends leave an Empty group behind when its delay is over.
#[test]
fn a_first_rebalance_may_end_without_members() {
    let mut script = Script::new();
    let join = script.join(new_member("a"));
    assert_eq!(script.leave(&[leaving("a")]), Ok(vec![None]));
    assert_eq!(script.joined(join).error, Some(ResponseError::UnknownMemberId));
    assert_eq!(script.group.state(), ClassicState::PreparingRebalance);
    script.pass(Duration::from_secs(3));
    assert_eq!((script.group.state(), script.group.generation_id()), (ClassicState::Empty, 1));
}

/// Goal: a member that leaves while its SyncGroup is parked leaves no request unanswered.
#[test]
fn a_member_that_leaves_is_answered() {
    let mut script = Script::completing(&["a", "b"]);
    let parked = script.sync(follower_sync(member("b", 1)));
    assert_eq!(script.leave(&[leaving("b")]), Ok(vec![None]));
    assert_eq!(script.synced(parked).error, Some(ResponseError::UnknownMemberId));
}

/// Goal: a rebalance does away with the time to sync of the generation before: the group wakes for its own deadline only.
#[test]
fn a_rebalance_ends_the_time_to_sync() {
    let patient = |request| JoinRequest {
        session_timeout_ms: 600_000,
        ..request
    };
    let mut script = Script::new();
    script.join(patient(new_member("a")));
    script.join(patient(new_member("b")));
    script.pass(Duration::from_secs(6));
    assert_eq!(script.group.next_timeout(), Some(script.now + REBALANCE), "the time to sync");
    script.pass(Duration::from_secs(1));
    script.join(patient(with_protocols(known_member("a"), &[("range", "other")])));
    assert_eq!(script.group.next_timeout(), Some(script.now + REBALANCE), "the time to join");
}
