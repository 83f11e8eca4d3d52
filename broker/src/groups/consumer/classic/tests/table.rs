//! Every situation of a member against every kind of request of the classic protocol. As in the table for heartbeats, no pair can be missing.

use super::*;
use crate::groups::consumer::MemberState::{Stable, UnreleasedPartitions, UnrevokedPartitions};

/// Where the member `c` is, in a group with a member `x` of the new protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Situation {
    /// It is not there.
    Absent,
    /// It uses the new protocol.
    Consumer,
    /// It has its target.
    Current,
    /// There is a newer target.
    Behind,
    /// It has partitions to revoke.
    Unrevoked,
    /// It waits for partitions that `x` has.
    Waiting,
    /// The partitions that it waited for are free.
    Free,
    /// As `Current`, with instance id `i`.
    Static,
    /// It was static, and `n` took its place.
    Replaced,
}

use Situation::{Absent, Behind, Consumer, Current, Free, Replaced, Static, Unrevoked, Waiting};

const SITUATIONS: [Situation; 9] = [Absent, Consumer, Current, Behind, Unrevoked, Waiting, Free, Static, Replaced];

type Answer = Option<ResponseError>;

const YES: Answer = None;
const UNKNOWN: Answer = Some(ResponseError::UnknownMemberId);
const FENCED: Answer = Some(ResponseError::FencedInstanceId);
const ILLEGAL: Answer = Some(ResponseError::IllegalGeneration);
const AGAIN: Answer = Some(ResponseError::RebalanceInProgress);
const NEED_ID: Answer = Some(ResponseError::MemberIdRequired);
const OTHER: Answer = Some(ResponseError::InconsistentGroupProtocol);

type Row = (&'static str, fn(&mut Script, i32) -> Answer, [Answer; SITUATIONS.len()]);

#[rustfmt::skip]
const TABLE: [Row; 18] = [
    //                                                                                   Absent   Consumer Current  Behind   Unrevoked Waiting Free     Static   Replaced
    ("joins", |script, _| script.classic_join(classic_join("c", &[])).result.err(),       [YES,     YES,     YES,     YES,     YES,     YES,     YES,     YES,     YES]),
    ("joins as i", |script, _| script.classic_join(as_instance(classic_join("c", &[]), "i")).result.err(),
                                                                                          [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, YES,     FENCED]),
    ("joins as i without id", |script, _| script.classic_join(as_instance(classic_join("", &[]), "i")).result.err(),
                                                                                          [YES,     YES,     YES,     YES,     YES,     YES,     YES,     YES,     YES]),
    ("joins without id", |script, _| script.classic_join(classic_join("", &[])).result.err(), [NEED_ID; 9]),
    ("joins without id in an old version", |script, _| script.classic_join(old(classic_join("", &[]))).result.err(), [YES; 9]),
    ("joins with another type", |script, _| script.classic_join(connect(classic_join("c", &[]))).result.err(), [OTHER; 9]),
    ("syncs", |script, epoch| script.classic_sync(member("c", epoch)).err(),              [UNKNOWN, UNKNOWN, YES,     AGAIN,   YES,     YES,     YES,     YES,     UNKNOWN]),
    ("syncs ahead", |script, epoch| script.classic_sync(member("c", epoch + 1)).err(),    [UNKNOWN, UNKNOWN, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, UNKNOWN]),
    ("syncs behind", |script, epoch| script.classic_sync(member("c", epoch - 1)).err(),   [UNKNOWN, UNKNOWN, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, UNKNOWN]),
    ("syncs as i", |script, epoch| script.classic_sync(instance("c", epoch)).err(),       [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, YES,     FENCED]),
    ("syncs for another protocol", |script, epoch| script.sync(protocols(epoch, "consumer", "sticky")).err(),
                                                                                          [UNKNOWN, UNKNOWN, OTHER,   OTHER,   OTHER,   OTHER,   OTHER,   OTHER,   UNKNOWN]),
    ("syncs for another type", |script, epoch| script.sync(protocols(epoch, "connect", "range")).err(),
                                                                                          [UNKNOWN, UNKNOWN, OTHER,   OTHER,   OTHER,   OTHER,   OTHER,   OTHER,   UNKNOWN]),
    ("beats", |script, epoch| script.classic_beat(&member("c", epoch)).err(),             [UNKNOWN, UNKNOWN, YES,     AGAIN,   AGAIN,   YES,     AGAIN,   YES,     UNKNOWN]),
    ("beats ahead", |script, epoch| script.classic_beat(&member("c", epoch + 1)).err(),   [UNKNOWN, UNKNOWN, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, ILLEGAL, UNKNOWN]),
    ("beats as i", |script, epoch| script.classic_beat(&instance("c", epoch)).err(),      [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, YES,     FENCED]),
    ("leaves", |script, _| script.classic_leave(vec![leaving("c", None)])[0].err(),       [UNKNOWN, YES,     YES,     YES,     YES,     YES,     YES,     YES,     UNKNOWN]),
    ("leaves as i", |script, _| script.classic_leave(vec![leaving("c", Some("i"))])[0].err(),
                                                                                          [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, YES,     FENCED]),
    ("is removed as i", |script, _| script.classic_leave(vec![leaving("", Some("i"))])[0].err(),
                                                                                          [UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, YES,     YES]),
];

fn old(mut join: ClassicJoin) -> ClassicJoin {
    join.requires_known_member_id = false;
    join
}

fn connect(mut join: ClassicJoin) -> ClassicJoin {
    join.protocol_type = "connect".to_owned();
    join
}

fn instance(member_id: &str, generation_id: i32) -> ClassicMemberRef {
    ClassicMemberRef {
        instance_id: Some("i".to_owned()),
        ..member(member_id, generation_id)
    }
}

fn protocols(generation_id: i32, protocol_type: &str, protocol_name: &str) -> ClassicSync {
    ClassicSync {
        member: member("c", generation_id),
        protocol_type: Some(protocol_type.to_owned()),
        protocol_name: Some(protocol_name.to_owned()),
    }
}

/// The group, and the epoch that `c` knows.
fn build(situation: Situation) -> (Script, i32) {
    let mut script = Script::new(&[("a", 2)]);
    if situation == Unrevoked {
        script.accepted(join("x", &[]));
        script.joined(classic_join("c", &[]));
        script.accepted(join("x", &["a"]));
        let epoch = script.joined(classic_join("c", &[0, 1]));
        return (script, epoch);
    }
    script.accepted(join("x", &["a"]));
    let first = match situation {
        Static | Replaced => as_instance(classic_join("", &[]), "i"),
        _ => classic_join("c", &[]),
    };
    match situation {
        Absent => return (script, 3),
        Consumer => drop(script.accepted(join("c", &["a"]))),
        Static | Replaced => {
            let named_c = ClassicJoin {
                fresh_member_id: "c".to_owned(),
                ..first
            };
            script.joined(named_c);
        }
        _ => drop(script.joined(first)),
    }
    if situation != Waiting {
        let kept = script.member("x").target.clone();
        script.accepted(beat("x", 2).owning(&kept));
    }
    if matches!(situation, Current | Behind | Static | Replaced) {
        let is_static = matches!(situation, Static | Replaced);
        let again = classic_join("c", &[]);
        script.joined(if is_static { as_instance(again, "i") } else { again });
    }
    if situation == Behind {
        script.topics.set("a", 4);
        script.accepted(beat("x", 3));
    }
    if situation == Replaced {
        script.joined(ClassicJoin {
            fresh_member_id: "n".to_owned(),
            ..as_instance(classic_join("", &[]), "i")
        });
    }
    (script, 3)
}

/// Each request in each situation gets Kafka's answer, and a refusal changes nothing that is stored.
#[test]
fn every_request_in_every_situation() {
    for (column, situation) in SITUATIONS.into_iter().enumerate() {
        for (name, ask, answers) in &TABLE {
            let (mut script, epoch) = build(situation);
            let before = script.group.describe(&script.settings, &script.topics);
            let answer = ask(&mut script, epoch);
            assert_eq!(answer, answers[column], "{situation:?} {name}");
            let after = script.group.describe(&script.settings, &script.topics);
            assert!(answer.is_none() || before == after, "{situation:?} {name}");
        }
    }
}

/// The situations are what they are called.
#[test]
fn the_situations_are_what_they_are_called() {
    let expected = [
        (Absent, None),
        (Consumer, Some((UnreleasedPartitions, 3, false))),
        (Current, Some((Stable, 3, true))),
        (Behind, Some((Stable, 3, true))),
        (Unrevoked, Some((UnrevokedPartitions, 2, true))),
        (Waiting, Some((UnreleasedPartitions, 3, true))),
        (Free, Some((UnreleasedPartitions, 3, true))),
        (Static, Some((Stable, 3, true))),
        (Replaced, None),
    ];
    assert_eq!(expected.map(|(situation, _)| situation), SITUATIONS);
    for (situation, expected) in expected {
        let (script, epoch) = build(situation);
        let member = script.group.members.get("c").map(|member| &member.stored);
        assert_eq!(
            member.map(|member| (member.state, member.member_epoch, member.classic.is_some())),
            expected,
            "{situation:?}"
        );
        assert!(member.is_none_or(|member| member.member_epoch == epoch));
    }
}
