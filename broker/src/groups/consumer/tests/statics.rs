//! Static members (KIP-345 in KIP-848).

use super::*;

fn script() -> Script {
    let mut script = Script::new(&[("a", 2)]);
    script.accepted(join("m1", &["a"]).instance("i1"));
    script
}

/// A static member that comes back under another member id takes over what it was assigned, without a new target; nobody else gets it
/// meanwhile.
#[test]
fn a_static_member_comes_back() {
    let mut script = script();
    script.accepted(join("m2", &["a"]));
    let kept = script.member("m1").target.clone();
    let theirs = script.accepted(beat("m1", 2).owning(&kept)).1.unwrap();
    assert_eq!(script.accepted(beat("m2", 3)).1.unwrap(), script.member("m2").target);
    let leave = beat("m1", LEAVE_STATIC_EPOCH).instance("i1");
    assert_eq!(script.accepted(leave.clone()), (LEAVE_STATIC_EPOCH, None));
    assert_eq!(script.accepted(leave), (LEAVE_STATIC_EPOCH, None), "twice is once");
    assert_eq!(script.group.state(), ConsumerGroupState::Reconciling);
    assert_eq!(script.accepted(beat("m2", 3)), (3, None));
    assert_eq!(script.accepted(join("m3", &["a"]).instance("i1")), (3, Some(theirs)));
    assert_eq!(script.group.group.group_epoch, 3);
    assert_eq!(script.group.state(), ConsumerGroupState::Stable);
    assert_eq!(script.refused(beat("m1", 3)), ResponseError::UnknownMemberId);
    assert_eq!(script.refused(beat("m1", 3).instance("i1")), ResponseError::FencedInstanceId);
    assert_eq!(
        script.refused(beat("m1", LEAVE_EPOCH).instance("i1")),
        ResponseError::FencedInstanceId
    );
}

/// What a member that goes away had still to revoke is free.
#[test]
fn going_away_revokes_what_was_to_be_revoked() {
    let mut script = script();
    let both = script.of(&[("a", &[0, 1])]).unwrap();
    script.accepted(join("m2", &["a"]));
    script.accepted(beat("m1", 2).owning(&both));
    script.accepted(beat("m1", LEAVE_STATIC_EPOCH).instance("i1"));
    assert_eq!(script.accepted(beat("m2", 3)).1.unwrap(), script.member("m2").target);
    script.sleep(Duration::from_secs(10));
    assert_eq!(script.group.members.len(), 2, "its time to revoke no longer counts");
    assert_eq!(script.accepted(join("m1", &["a"]).instance("i1")).0, 3);
    assert_eq!(script.group.state(), ConsumerGroupState::Stable);
}

/// A static member that does not come back within the session timeout is gone.
#[test]
fn a_static_member_that_stays_away_is_fenced() {
    let mut script = script();
    script.accepted(join("m2", &["a"]));
    script.accepted(beat("m1", LEAVE_STATIC_EPOCH).instance("i1"));
    script.sleep(Duration::from_secs(44));
    script.accepted(beat("m2", 3));
    script.sleep(Duration::from_secs(1));
    assert_eq!(script.accepted(beat("m2", 3)), (4, script.of(&[("a", &[0, 1])])));
}

/// The reply to a static member's join was lost, or it was fenced: it joins again under its member id and gets what it has. (4.3.1 answers
/// UNRELEASED_INSTANCE_ID; fixed by Kafka's pull request 23542.)
#[test]
fn a_static_member_may_join_again() {
    let mut script = script();
    let both = script.of(&[("a", &[0, 1])]);
    assert_eq!(script.accepted(join("m1", &["a"]).instance("i1")), (2, both.clone()));
    script.accepted(beat("m1", LEAVE_STATIC_EPOCH).instance("i1"));
    for _ in 0..2 {
        assert_eq!(
            script.accepted(join("m1", &["a"]).instance("i1")),
            (2, both.clone()),
            "after it was away"
        );
    }
    script.accepted(beat("m1", LEAVE_STATIC_EPOCH).instance("i1"));
    for _ in 0..2 {
        assert_eq!(
            script.accepted(join("m2", &["a"]).instance("i1")),
            (2, both.clone()),
            "under another id"
        );
    }
    assert_eq!(script.group.group.group_epoch, 2);
}

/// A member id keeps its instance id, and an instance id its member, until one of them ends.
#[test]
fn identities_do_not_mix() {
    let mut script = script();
    script.accepted(join("m2", &["a"]));
    assert_eq!(
        script.refused(join("m3", &["a"]).instance("i1")),
        ResponseError::UnreleasedInstanceId
    );
    assert_eq!(
        script.refused(join("m1", &["a"]).instance("i2")),
        ResponseError::InvalidRequest
    );
    assert_eq!(
        script.refused(join("m2", &["a"]).instance("i1")),
        ResponseError::InvalidRequest
    );
    assert_eq!(script.refused(beat("m2", 3).instance("i2")), ResponseError::UnknownMemberId);
    assert_eq!(script.refused(beat("m2", 3).instance("i1")), ResponseError::FencedInstanceId);
    script.accepted(beat("m1", LEAVE_EPOCH).instance("i1"));
    assert_eq!(script.accepted(join("m3", &["a"]).instance("i1")).0, 5);
}
