//! What is stored when, what waits for it, and what a failure undoes.

use super::*;

fn held(mut script: Script) -> Script {
    script.stores = false;
    script
}

/// A Stable group of a dynamic leader "a" and the static member "s" of instance "i", generation 2, whose writes are held.
fn with_static() -> Script {
    let mut script = Script::completing(&["a"]);
    script.join(static_member("i", "s"));
    script.join(known_member("a"));
    script.sync_all(2, &["a", "s"]);
    held(script)
}

/// Goal: nobody gets an assignment before it is stored, whole; then all do.
#[test]
fn an_assignment_is_given_out_when_it_is_stored() {
    let mut script = held(Script::completing(&["a", "b"]));
    let leader = script.sync(sync_with("a", 1, &["a", "b"]));
    let follower = script.sync(follower_sync(member("b", 1)));
    assert!(script.is_parked(leader) && script.is_parked(follower));
    assert_eq!(script.group.state(), ClassicState::CompletingRebalance);
    let stored = script.asked[0].group.clone();
    assert_eq!(
        (
            stored.generation_id,
            stored.leader.as_deref(),
            stored.protocol_name.as_deref()
        ),
        (1, Some("a"), Some("range"))
    );
    let member = &stored.members[1];
    assert_eq!(
        (&member.member_id[..], &member.metadata[..], &member.assignment[..]),
        ("b", &subscription_to("t")[..], &b"b"[..])
    );
    assert_eq!((member.session_timeout_ms, member.rebalance_timeout_ms), (10_000, 60_000));
    script.stored(Ok(()));
    assert_eq!(
        (script.assignment(leader), script.assignment(follower)),
        (&b"a"[..], &b"b"[..])
    );
    assert_eq!(script.group.state(), ClassicState::Stable);
}

/// Goal: an assignment that could not be stored is dropped, all who wait are told, and the group rebalances.
#[test]
fn an_assignment_that_is_not_stored_is_dropped() {
    let mut script = held(Script::completing(&["a", "b"]));
    let leader = script.sync(sync_with("a", 1, &["a", "b"]));
    let follower = script.sync(follower_sync(member("b", 1)));
    script.stored(Err(ResponseError::KafkaStorageError));
    for request in [leader, follower] {
        assert_eq!(script.synced(request).error, Some(ResponseError::NotCoordinator));
    }
    assert_eq!(script.group.state(), ClassicState::PreparingRebalance);
    let shown = script.group.describe();
    assert!(shown.members.iter().all(|member| member.assignment.is_empty()));
    script.stores = true;
    script.join(known_member("a"));
    script.join(known_member("b"));
    script.sync_all(2, &["a", "b"]);
}

/// Goal: the error of a write reaches clients as one on which they come again.
#[test]
fn errors_of_writes_are_retriable_ones() {
    use ResponseError::*;
    let cases = [
        (UnknownTopicOrPartition, CoordinatorNotAvailable),
        (NotEnoughReplicas, CoordinatorNotAvailable),
        (NotEnoughReplicasAfterAppend, CoordinatorNotAvailable),
        (RequestTimedOut, CoordinatorNotAvailable),
        (NotLeaderOrFollower, NotCoordinator),
        (KafkaStorageError, NotCoordinator),
        (MessageTooLarge, UnknownServerError),
        (RecordListTooLarge, UnknownServerError),
        (InvalidFetchSize, UnknownServerError),
        (InvalidRequest, InvalidRequest),
    ];
    for (of_write, of_client) in cases {
        let mut script = held(Script::completing(&["a"]));
        let leader = script.sync(sync_with("a", 1, &["a"]));
        script.stored(Err(of_write));
        assert_eq!(script.synced(leader).error, Some(of_client), "{of_write:?}");
    }
}

/// Goal: an outcome that comes after the group has moved on changes nothing, in whatever state it is by then.
#[test]
fn a_late_outcome_of_an_assignment_changes_nothing() {
    for outcome in [Ok(()), Err(ResponseError::RequestTimedOut)] {
        for steps in 1..=4 {
            let mut script = held(Script::completing(&["a", "b"]));
            let leader = script.sync(sync_with("a", 1, &["a", "b"]));
            let late = script.asked[0].token;
            let moves: [&dyn Fn(&mut Script); 4] = [
                &|script| {
                    script.join(new_member("c"));
                },
                &|script| {
                    script.leave(&[leaving("c")]).expect("it leaves");
                    script.join(known_member("a"));
                    script.join(known_member("b"));
                },
                &|script| {
                    script.sync(sync_with("a", 2, &["b"]));
                    script.stored(Ok(()));
                },
                &|script| {
                    script.leave(&[leaving("a"), leaving("b")]).expect("they leave");
                },
            ];
            for step in &moves[..steps] {
                step(&mut script);
            }
            assert_eq!(script.synced(leader).error, Some(ResponseError::RebalanceInProgress));
            let before = (script.group.describe(), script.group.generation_id(), script.replies.len());
            script.group.persisted(&script.settings, script.now, late, outcome);
            script.settle();
            let after = (script.group.describe(), script.group.generation_id(), script.replies.len());
            assert_eq!(after, before, "{steps} steps later");
        }
    }
}

/// Goal: a leader that sends its assignment again while it is written gets the one that is written, and nothing is written twice.
#[test]
fn an_assignment_is_written_once() {
    let mut script = held(Script::completing(&["a", "b"]));
    let first = script.sync(sync_with("a", 1, &["a", "b"]));
    let second = script.sync(sync_with("a", 1, &[]));
    assert_eq!(script.synced(first).error, Some(ResponseError::RebalanceInProgress));
    assert_eq!(script.asked.len(), 1);
    script.stored(Ok(()));
    assert_eq!(script.assignment(second), b"a");
}

/// Goal: the outcome of a write is that of all that were asked for before it: those may never have been written for themselves.
#[test]
fn the_newest_write_stands_for_all() {
    let mut script = held(Script::new());
    script.join(static_member("ia", "a"));
    script.join(static_member("ib", "b"));
    script.pass(Duration::from_secs(6));
    script.sync(sync_with("a", 1, &["a", "b"]));
    script.stored(Ok(()));
    let first = script.join(static_member("ia", "a2"));
    let second = script.join(static_member("ib", "b2"));
    assert!(script.is_parked(first) && script.is_parked(second));
    let newest = &script.asked.last().expect("asked").group;
    assert_eq!(
        newest.members.iter().map(|member| &member.member_id[..]).collect::<Vec<_>>(),
        ["a2", "b2"]
    );
    script.stored(Ok(()));
    assert_eq!([first, second].map(|request| script.joined(request).error), [None, None]);
}

/// Goal: of writes that are asked for and not yet taken, only the newest state is put out.
#[test]
fn only_the_newest_state_is_put_out() {
    let mut script = with_static();
    script.group.join(&script.settings, script.now, static_member("i", "s2"), 100);
    script.group.join(&script.settings, script.now, static_member("i", "s3"), 101);
    let persist = script.group.poll_persist().expect("a write");
    assert!(persist.group.members.iter().any(|member| member.member_id == "s3"));
    assert_eq!(script.group.poll_persist(), None);
}

/// Goal: a static member whose new id could not be stored is told so, and the old id, protocols and timeouts are back.
#[test]
fn a_replacement_that_is_not_stored_is_undone() {
    let mut script = with_static();
    let before = script.group.describe();
    let join = script.join(JoinRequest {
        session_timeout_ms: 20_000,
        ..with_protocols(static_member("i", "s2"), &[("range", "other"), ("new", "t")])
    });
    assert!(script.is_parked(join));
    script.stored(Err(ResponseError::RequestTimedOut));
    let reply = script.joined(join);
    assert_eq!(
        (reply.error, &reply.member_id[..]),
        (Some(ResponseError::CoordinatorNotAvailable), "")
    );
    assert_eq!((reply.generation_id, &reply.leader[..], reply.members.len()), (2, "a", 0));
    assert_eq!(script.group.describe(), before);
    assert_eq!(script.group.heartbeat(script.now, &static_ref("i", "s", 2)), Ok(()));
    let end = script.now + SESSION;
    assert_eq!(script.heartbeat("a", 2), Ok(()));
    assert_eq!(script.group.next_timeout(), Some(end), "the session has the old length");
}

/// Goal: a second restart before the first is stored fences the first, and its failure leads back to the member before both.
#[test]
fn a_second_replacement_takes_the_place_of_the_first() {
    let mut script = with_static();
    let first = script.join(static_member("i", "s2"));
    let second = script.join(static_member("i", "s3"));
    assert_eq!(script.joined(first).error, Some(ResponseError::FencedInstanceId));
    let earlier = script.asked[script.asked.len() - 2].token;
    script.group.persisted(&script.settings, script.now, earlier, Ok(()));
    script.settle();
    assert!(script.is_parked(second), "its own id is not stored yet");
    script.stored(Err(ResponseError::KafkaStorageError));
    assert_eq!(script.joined(second).error, Some(ResponseError::NotCoordinator));
    assert_eq!(script.member_ids(), ["a", "s"]);
}

/// Goal: a rebalance answers a static member whose new id is being stored; the outcome, which comes later, changes nothing.
#[test]
fn a_rebalance_overtakes_a_replacement() {
    for outcome in [Ok(()), Err(ResponseError::KafkaStorageError)] {
        let mut script = with_static();
        let join = script.join(static_member("i", "s2"));
        let token = script.asked.last().expect("asked").token;
        script.leave(&[leaving("a")]).expect("it leaves");
        let reply = script.joined(join).clone();
        assert_eq!((reply.generation_id, &reply.leader[..], reply.members.len()), (3, "s2", 1));
        script.group.persisted(&script.settings, script.now, token, outcome);
        script.settle();
        assert_eq!(
            (script.group.state(), script.member_ids()),
            (ClassicState::CompletingRebalance, vec!["s2".to_owned()])
        );
    }
}

/// Goal: a static member whose new id takes long to be stored has a whole session when it is answered, and is not removed before.
#[test]
fn a_slow_write_does_not_cost_a_session() {
    let mut script = with_static();
    let join = script.join(static_member("i", "s2"));
    for _ in 0..3 {
        script.pass(SESSION - Duration::from_secs(1));
        assert_eq!(script.heartbeat("a", 2), Ok(()));
    }
    script.stored(Ok(()));
    assert_eq!(script.joined(join).member_id, "s2");
    let end = script.now + SESSION;
    script.pass(Duration::from_secs(9));
    assert_eq!(script.heartbeat("a", 2), Ok(()));
    script.pass(end - script.now);
    assert_eq!(script.member_ids(), ["a"], "silent for a session after the answer");
}

/// Goal: a group that ends asks for nothing to be stored any more, and outcomes that come later do nothing.
#[test]
fn a_group_that_ends_stores_nothing() {
    let mut script = held(Script::completing(&["a"]));
    let leader = script.requests + 1;
    script.group.sync(sync_with("a", 1, &["a"]), leader);
    script.group.close(ResponseError::NotCoordinator);
    assert_eq!(script.group.poll_persist(), None);
    script.group.persisted(&script.settings, script.now, 1, Ok(()));
    script.settle();
    assert_eq!(script.synced(leader).error, Some(ResponseError::NotCoordinator));
    assert_eq!(script.group.state(), ClassicState::Dead);
}
