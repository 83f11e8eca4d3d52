//! `group.max.size` (KIP-389) and the bound on ids that were given out.

use super::*;

fn refused(script: &mut Script, request: JoinRequest) -> Option<ResponseError> {
    let request = script.join(request);
    if script.is_parked(request) {
        return None;
    }
    script.joined(request).error
}

const FULL: Option<ResponseError> = Some(ResponseError::GroupMaxSizeReached);

/// Goal: a full group takes no new member in any state, and its members come and go as before.
#[test]
fn a_full_group_takes_no_more() {
    for state in [
        ClassicState::CompletingRebalance,
        ClassicState::Stable,
        ClassicState::PreparingRebalance,
    ] {
        let mut script = Script::completing(&["a", "b"]);
        script.settings.max_size = 2;
        if state != ClassicState::CompletingRebalance {
            script.sync_all(1, &["a", "b"]);
        }
        if state == ClassicState::PreparingRebalance {
            script.join(known_member("a"));
            script.join(stranger("p"));
            script.join(known_member("b"));
        }
        assert_eq!(script.group.state(), state);
        assert_eq!(refused(&mut script, new_member("c")), FULL, "{state}");
        assert_eq!(refused(&mut script, stranger("c")), FULL, "{state}");
        assert_eq!(refused(&mut script, static_member("i", "c")), FULL, "{state}");
        assert_eq!(refused(&mut script, known_member("a")), None, "{state}");
        assert_eq!(refused(&mut script, known_member("b")), None, "{state}");
    }
}

/// Goal: in a rebalance those are refused who come last, and the rebalance does not wait for them.
#[test]
fn the_last_to_rejoin_are_refused() {
    let mut script = Script::stable(&["a", "b", "c"]);
    script.settings.max_size = 2;
    let kept = [script.join(known_member("a")), script.join(known_member("c"))];
    assert!(kept.iter().all(|request| script.is_parked(*request)));
    assert_eq!(refused(&mut script, known_member("b")), FULL);
    for request in kept {
        let reply = script.joined(request);
        assert_eq!((reply.error, reply.generation_id), (None, 2));
    }
    assert_eq!(script.member_ids(), ["a", "c"]);
    assert_eq!(refused(&mut script, known_member("b")), FULL, "it is no member any more");
}

/// Goal: a group that was stored larger than it may be now rebalances down to its size.
#[test]
fn a_restored_group_shrinks() {
    let script = Script::stable(&["a", "b", "c"]);
    let stored = script.asked.last().expect("it is stored").group.clone();
    let mut script = Script::of(ClassicGroup::restore("g", stored, script.now));
    script.settings.max_size = 3;
    script.group.shrink(&script.settings, script.now);
    assert_eq!(script.group.state(), ClassicState::Stable, "not larger than allowed");
    script.settings.max_size = 2;
    script.group.shrink(&script.settings, script.now);
    assert_eq!(script.heartbeat("a", 1), Err(ResponseError::RebalanceInProgress));
    assert_eq!(refused(&mut script, known_member("a")), None);
    assert_eq!(refused(&mut script, known_member("b")), None);
    assert_eq!(refused(&mut script, known_member("c")), FULL);
    assert_eq!(script.member_ids(), ["a", "b"]);
}

/// Goal: ids are given out up to a bound, and again when one is used or expires.
#[test]
fn ids_are_given_out_up_to_a_bound() {
    let mut script = Script::new();
    for number in 0..PENDING_MEMBERS_PER_GROUP {
        assert_eq!(
            refused(&mut script, stranger(&format!("p{number}"))),
            Some(ResponseError::MemberIdRequired)
        );
    }
    assert_eq!(
        refused(&mut script, stranger("q")),
        Some(ResponseError::CoordinatorNotAvailable)
    );
    assert_eq!(refused(&mut script, known_member("p0")), None);
    assert_eq!(refused(&mut script, stranger("q")), Some(ResponseError::MemberIdRequired));
    assert_eq!(
        refused(&mut script, stranger("r")),
        Some(ResponseError::CoordinatorNotAvailable)
    );
    script.pass(SESSION);
    assert_eq!(refused(&mut script, stranger("r")), Some(ResponseError::MemberIdRequired));
}

/// Goal: the session timeout has to lie within the settings, bounds included, as they are at the time.
#[test]
fn session_timeouts_have_bounds() {
    let mut script = Script::new();
    let ask = |script: &mut Script, session_timeout_ms| {
        let request = JoinRequest {
            session_timeout_ms,
            ..stranger(&format!("m{}", script.requests))
        };
        refused(script, request)
    };
    let invalid = Some(ResponseError::InvalidSessionTimeout);
    let given = Some(ResponseError::MemberIdRequired);
    let outcomes = [i32::MIN, -1, 5_999, 6_000, 1_800_000, 1_800_001].map(|timeout| ask(&mut script, timeout));
    assert_eq!(outcomes, [invalid, invalid, invalid, given, given, invalid]);
    script.settings.min_session_timeout = Duration::from_millis(1);
    assert_eq!(ask(&mut script, 1), given);
    assert_eq!(ask(&mut script, 0), invalid);
}
