//! The group against the table of Apache Kafka's answers.

use std::time::Duration;

use kafka_protocol::ResponseError;

use super::super::ClassicState;
use super::table::{table, Answer, Ask, STATES};
use super::*;

/// Goal: the table has an answer for every request in every state, and one only.
#[test]
fn every_pair_of_request_and_state_is_in_the_table() {
    let mut asked: Vec<Ask> = table().iter().map(|(ask, _)| *ask).collect();
    asked.sort();
    assert_eq!(asked, Ask::ALL, "requests with no row, or with two");
}

/// Goal: in each state each request gets the answer of Apache Kafka and leaves the state that Apache Kafka is in afterwards.
#[test]
fn every_request_in_every_state_is_answered_as_kafka_does() {
    for (ask, answers) in table() {
        for (state, (answer, after)) in STATES.into_iter().zip(answers) {
            let mut script = group_in(state);
            assert_eq!(put(&mut script, ask), answer, "{ask:?} in {state}");
            assert_eq!(script.group.state(), after, "after {ask:?} in {state}");
        }
    }
}

/// Goal: a request that is refused leaves all as it was: members, deadlines, what is to be stored.
#[test]
fn a_refused_request_changes_nothing() {
    use ResponseError::*;
    // These give an id out, or are a heartbeat all the same.
    let has_effect = |error: &ResponseError| matches!(error, MemberIdRequired | RebalanceInProgress);
    for (ask, answers) in table() {
        for (state, (answer, _)) in STATES.into_iter().zip(answers) {
            let mut script = group_in(state);
            let before = (script.group.describe(), script.group.next_timeout(), script.asked.len());
            script.now += Duration::from_millis(1);
            put(&mut script, ask);
            if matches!(&answer, Answer::Refused(error) if !has_effect(error)) {
                let after = (script.group.describe(), script.group.next_timeout(), script.asked.len());
                assert_eq!(after, before, "{ask:?} in {state}");
            }
        }
    }
}

/// The group that `Ask` describes. Its generation is 1, of an Empty one 2.
fn group_in(state: ClassicState) -> Script {
    let mut script = Script::new();
    script.join(new_member("L"));
    script.join(new_member("F"));
    script.join(static_member("i", "S"));
    script.pass(script.settings.initial_rebalance_delay * 2);
    if state != ClassicState::CompletingRebalance {
        script.sync_all(1, &["L", "F", "S"]);
    }
    match state {
        ClassicState::Empty => {
            script.leave(&[leaving("L"), leaving("F"), leaving("S")]).expect("they leave");
        }
        ClassicState::PreparingRebalance => {
            script.join(known_member("L"));
        }
        ClassicState::CompletingRebalance | ClassicState::Stable | ClassicState::Dead => {}
    }
    script.join(stranger("P"));
    if state == ClassicState::Dead {
        script.group.close(ResponseError::NotCoordinator);
    }
    assert_eq!(script.group.state(), state);
    script
}

fn put(script: &mut Script, ask: Ask) -> Answer {
    if let Some(request) = join_of(ask) {
        let request = script.join(request);
        return join_answer(script, request);
    }
    if let Some(request) = sync_of(ask) {
        let request = script.sync(request);
        return sync_answer(script, request);
    }
    if let Some(members) = leave_of(ask) {
        return match script.leave(&members) {
            Ok(errors) => Answer::Each(errors),
            Err(error) => Answer::Refused(error),
        };
    }
    if ask == Ask::Describe {
        return description(script);
    }
    match check(script, ask) {
        Ok(()) => Answer::Done,
        Err(error) => Answer::Refused(error),
    }
}

fn join_of(ask: Ask) -> Option<JoinRequest> {
    let changed = |request| with_protocols(request, &[("range", "another")]);
    let as_static = |instance_id: &str, id: &str| JoinRequest {
        instance_id: Some(instance_id.to_owned()),
        ..known_member(id)
    };
    Some(match ask {
        Ask::JoinNew => stranger("N"),
        Ask::JoinNewOld => new_member("N"),
        Ask::JoinPending => known_member("P"),
        Ask::JoinPendingAsStatic => as_static("p", "P"),
        Ask::JoinFollower => known_member("F"),
        Ask::JoinFollowerChanged => changed(known_member("F")),
        Ask::JoinLeader => known_member("L"),
        Ask::JoinLeaderChanged => changed(known_member("L")),
        Ask::JoinStaticKnown => as_static("i", "S"),
        Ask::JoinUnknown => known_member("X"),
        Ask::JoinStaticNew => static_member("new", "N"),
        Ask::JoinStaticAgain => static_member("i", "S2"),
        Ask::JoinStaticAgainOld => JoinRequest {
            supports_skip_assignment: false,
            ..static_member("i", "S2")
        },
        Ask::JoinStaticFenced => as_static("i", "X"),
        Ask::JoinStaticUnknown => as_static("x", "S"),
        Ask::JoinOtherType => JoinRequest {
            protocol_type: "connect".to_owned(),
            ..new_member("N")
        },
        Ask::JoinOtherProtocol => with_protocols(new_member("N"), &[("another", "t")]),
        Ask::JoinWithoutType => JoinRequest {
            protocol_type: String::new(),
            ..new_member("N")
        },
        Ask::JoinWithoutProtocols => with_protocols(new_member("N"), &[]),
        Ask::JoinShortSession => JoinRequest {
            session_timeout_ms: 5_999,
            ..new_member("N")
        },
        Ask::JoinLongSession => JoinRequest {
            session_timeout_ms: 1_800_001,
            ..new_member("N")
        },
        _ => return None,
    })
}

fn join_answer(script: &Script, request: Request) -> Answer {
    if script.is_parked(request) {
        return Answer::Parked;
    }
    let reply = script.joined(request);
    if let Some(error) = reply.error {
        assert_eq!((reply.generation_id, reply.members.len(), reply.leader.as_str()), (-1, 0, ""));
        return Answer::Refused(error);
    }
    assert_eq!(
        (reply.generation_id, reply.protocol_name.as_deref(), reply.leader.as_str()),
        (1, Some("range"), "L")
    );
    Answer::Joined {
        with_members: !reply.members.is_empty(),
    }
}

fn sync_of(ask: Ask) -> Option<SyncRequest> {
    let of = |id| follower_sync(member(id, 1));
    Some(match ask {
        Ask::SyncLeader => sync_with("L", 1, &["L", "F", "S"]),
        Ask::SyncFollower => of("F"),
        Ask::SyncStatic => follower_sync(static_ref("i", "S", 1)),
        Ask::SyncFenced => follower_sync(static_ref("i", "F", 1)),
        Ask::SyncUnknown => of("X"),
        Ask::SyncPending => of("P"),
        Ask::SyncWrongGeneration => follower_sync(member("F", 0)),
        Ask::SyncOtherType => SyncRequest {
            protocol_type: Some("connect".to_owned()),
            ..of("F")
        },
        Ask::SyncOtherProtocol => SyncRequest {
            protocol_name: Some("another".to_owned()),
            ..of("F")
        },
        Ask::SyncWithoutProtocol => SyncRequest {
            protocol_name: None,
            ..of("F")
        },
        Ask::SyncOld => SyncRequest {
            requires_protocol: false,
            protocol_type: None,
            protocol_name: None,
            ..of("F")
        },
        _ => return None,
    })
}

fn sync_answer(script: &Script, request: Request) -> Answer {
    if script.is_parked(request) {
        return Answer::Parked;
    }
    match script.synced(request) {
        SyncReply { error: Some(error), .. } => Answer::Refused(*error),
        SyncReply { assignment, .. } => {
            assert_eq!(assignment.len(), 1, "each member is assigned its id");
            Answer::Assigned
        }
    }
}

fn leave_of(ask: Ask) -> Option<Vec<LeavingMember>> {
    Some(match ask {
        Ask::LeaveFollower => vec![leaving("F")],
        Ask::LeaveLeader => vec![leaving("L")],
        Ask::LeaveStatic => vec![leaving_instance("i")],
        Ask::LeaveFenced => vec![LeavingMember {
            member_id: "F".to_owned(),
            ..leaving_instance("i")
        }],
        Ask::LeaveUnknown => vec![leaving("X")],
        Ask::LeaveUnknownInstance => vec![leaving_instance("x")],
        Ask::LeavePending => vec![leaving("P")],
        Ask::LeaveBatch => vec![leaving("F"), leaving("X"), leaving_instance("i")],
        Ask::LeaveAll => vec![leaving("L"), leaving("F"), leaving("S"), leaving("P")],
        _ => return None,
    })
}

fn check(script: &mut Script, ask: Ask) -> Result<(), ResponseError> {
    let now = script.now;
    let group = &mut script.group;
    let outside = member("", -1);
    match ask {
        Ask::Heartbeat => group.heartbeat(now, &member("F", 1)),
        Ask::HeartbeatStatic => group.heartbeat(now, &static_ref("i", "S", 1)),
        Ask::HeartbeatFenced => group.heartbeat(now, &static_ref("i", "F", 1)),
        Ask::HeartbeatUnknown => group.heartbeat(now, &member("X", 1)),
        Ask::HeartbeatPending => group.heartbeat(now, &member("P", 1)),
        Ask::HeartbeatWrongGeneration => group.heartbeat(now, &member("F", 0)),
        Ask::Commit => group.check_offset_commit(now, &member("F", 1)),
        Ask::CommitStatic => group.check_offset_commit(now, &static_ref("i", "S", 1)),
        Ask::CommitFenced => group.check_offset_commit(now, &static_ref("i", "F", 1)),
        Ask::CommitUnknown => group.check_offset_commit(now, &member("X", 1)),
        Ask::CommitWrongGeneration => group.check_offset_commit(now, &member("F", 2)),
        Ask::CommitOutside => group.check_offset_commit(now, &outside),
        Ask::CommitMemberOutside => group.check_offset_commit(now, &member("F", -1)),
        Ask::TxnCommit => group.check_txn_offset_commit(&member("F", 1)),
        Ask::TxnCommitFenced => group.check_txn_offset_commit(&static_ref("i", "F", 1)),
        Ask::TxnCommitUnknown => group.check_txn_offset_commit(&member("X", 1)),
        Ask::TxnCommitWrongGeneration => group.check_txn_offset_commit(&member("F", 0)),
        Ask::TxnCommitOutside => group.check_txn_offset_commit(&outside),
        Ask::Delete => group.check_delete(),
        Ask::OffsetDelete => group.check_offset_delete(),
        other => panic!("{other:?} is put elsewhere"),
    }
}

fn description(script: &Script) -> Answer {
    let shown = script.group.describe();
    assert_eq!(
        (shown.state, shown.protocol_type.as_str()),
        (script.group.state(), "consumer")
    );
    let protocol = shown.protocol == "range";
    for member in &shown.members {
        assert_eq!(!member.metadata.is_empty(), protocol);
        assert_eq!(
            (member.client_id.as_str(), member.client_host.as_str()),
            ("client", "/127.0.0.1")
        );
    }
    Answer::Described {
        members: shown.members.len(),
        protocol,
        assignment: shown.members.iter().any(|member| !member.assignment.is_empty()),
    }
}
