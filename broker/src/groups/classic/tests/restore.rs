//! Groups that come back from the storage.

use super::*;

fn restored(stored: StoredClassicGroup) -> Script {
    let now = Instant::now();
    let script = Script::of(ClassicGroup::restore("g", stored, now));
    Script { now, ..script }
}

fn last_stored(script: &Script) -> StoredClassicGroup {
    script.asked.last().expect("it is stored").group.clone()
}

/// Goal: a group with members comes back Stable, as it was, and its members go on without a rebalance.
#[test]
fn members_go_on_after_a_restart() {
    let mut script = Script::stable(&["a", "b"]);
    script.join(static_member("i", "s"));
    script.join(known_member("a"));
    script.join(known_member("b"));
    script.sync_all(2, &["a", "b", "s"]);
    let before = script.group.describe();
    let mut script = restored(last_stored(&script));
    assert_eq!((script.group.describe(), script.group.generation_id()), (before, 2));
    assert!(script.group.is_subscribed_to("t") && !script.group.is_subscribed_to("u"));
    assert_eq!(script.heartbeat("a", 2), Ok(()));
    assert_eq!(script.group.heartbeat(script.now, &static_ref("i", "s", 2)), Ok(()));
    assert_eq!(script.group.check_offset_commit(script.now, &member("b", 2)), Ok(()));
    let sync = script.sync(follower_sync(member("b", 2)));
    assert_eq!(script.assignment(sync), b"b");
    let again = script.join(static_member("i", "s2"));
    assert_eq!((script.joined(again).generation_id, script.joined(again).error), (2, None));
}

/// Goal: sessions start anew with the restart, and a rebalance afterwards makes the next generation.
#[test]
fn a_restored_group_rebalances() {
    let mut script = restored(last_stored(&Script::stable(&["a", "b"])));
    script.pass(SESSION - Duration::from_millis(1));
    assert_eq!(script.heartbeat("b", 1), Ok(()));
    script.pass(Duration::from_millis(1));
    assert_eq!(script.member_ids(), ["b"], "the leader was silent");
    let join = script.join(known_member("b"));
    let reply = script.joined(join);
    assert_eq!((reply.generation_id, &reply.leader[..], reply.members.len()), (2, "b", 1));
}

/// Goal: a leader other than the first member is the leader still.
#[test]
fn the_leader_is_restored() {
    let mut stored = last_stored(&Script::stable(&["a", "b"]));
    stored.leader = Some("b".to_owned());
    let mut script = restored(stored.clone());
    let follower = script.join(known_member("a"));
    assert_eq!(&script.joined(follower).leader[..], "b");
    stored.leader = Some("nobody".to_owned());
    let mut script = restored(stored);
    let follower = script.join(known_member("b"));
    assert_eq!(&script.joined(follower).leader[..], "a", "a leader that is no member");
}

/// Goal: a restored member without a rebalance timeout has its session timeout for it.
#[test]
fn an_old_member_has_its_session_timeout_to_rebalance() {
    let mut stored = last_stored(&Script::stable(&["a", "b"]));
    for member in &mut stored.members {
        member.rebalance_timeout_ms = -1;
    }
    let mut script = restored(stored);
    let start = script.now;
    script.join(JoinRequest {
        rebalance_timeout_ms: 1000,
        ..known_member("a")
    });
    script.pass(Duration::from_secs(5));
    assert_eq!(script.heartbeat("b", 1), Err(ResponseError::RebalanceInProgress));
    script.pass(start + SESSION - script.now);
    assert_eq!((script.group.generation_id(), script.member_ids()), (2, vec!["a".to_owned()]));
}

/// Goal: a group without members comes back Empty, with its generation and type.
#[test]
fn an_empty_group_is_restored() {
    let mut script = Script::stable(&["a"]);
    script.leave(&[leaving("a")]).expect("it leaves");
    let mut script = restored(last_stored(&script));
    assert_eq!((script.group.state(), script.group.generation_id()), (ClassicState::Empty, 2));
    assert_eq!(
        (script.group.protocol_type(), script.group.next_timeout()),
        (Some("consumer"), None)
    );
    let join = script.join(JoinRequest {
        protocol_type: "connect".to_owned(),
        ..new_member("c")
    });
    script.pass(Duration::from_secs(3));
    assert_eq!(script.joined(join).generation_id, 3);
    assert_eq!(script.group.protocol_type(), Some("connect"));
}

/// Goal: a group that never had members has no protocol type.
#[test]
fn a_group_for_offsets_only_is_restored() {
    let stored = StoredClassicGroup {
        generation_id: 0,
        protocol_type: String::new(),
        protocol_name: None,
        leader: None,
        members: Vec::new(),
    };
    let script = restored(stored);
    assert_eq!(
        (script.group.protocol_type(), script.group.describe().protocol_type),
        (None, String::new())
    );
    assert_eq!(script.group.check_delete(), Ok(()));
}
