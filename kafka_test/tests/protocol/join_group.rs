//! JoinGroup: who may join, what each member is told, and when a join begins a new generation.

use crate::code;
use kafka_protocol::messages::JoinGroupResponse;
use kafka_test::connection::CLIENT_ID;
use kafka_test::groups::{await_state, describe, subscription, sync_all, Joining, Member, MEMBER_ID_REQUIRED_SINCE};
use kafka_test::server::Server;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=9;
/// The first version with static members.
const STATIC_SINCE: i16 = 5;
/// The first version whose reply names the protocol type, and null protocols.
const PROTOCOL_TYPE_SINCE: i16 = 7;

/// Goal: at every version the only member of a group leads its first generation and is told of itself alone.
#[test]
fn a_lone_member_leads() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in VERSIONS {
        let group = server.group("lone");
        let reply = Joining::new(&group).join(&mut connection, version);
        assert_eq!((reply.error_code, reply.generation_id), (0, 1), "version {version}");
        assert_eq!(reply.leader, reply.member_id, "version {version}");
        assert!(reply.member_id.starts_with(&format!("{CLIENT_ID}-")), "{}", reply.member_id);
        assert_eq!(reply.protocol_name.as_deref(), Some("range"), "version {version}");
        let protocol_type = (version >= PROTOCOL_TYPE_SINCE).then_some("consumer");
        assert_eq!(reply.protocol_type.as_deref(), protocol_type, "version {version}");
        assert!(!reply.skip_assignment);
        assert_eq!(reply.members.len(), 1, "version {version}");
        assert_eq!(reply.members[0].member_id, reply.member_id);
        assert_eq!(reply.members[0].metadata.to_vec(), subscription(&[], b""));
        assert_eq!(reply.members[0].group_instance_id, None);
    }
}

/// Goal: from version 4 on a dynamic member without an id is told one and joins with it only (KIP-394); before, it joins at once.
#[test]
fn a_first_join_gets_an_id() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in MEMBER_ID_REQUIRED_SINCE..=9 {
        let group = server.group("id-required");
        let reply = connection.call(version, &Joining::new(&group).request());
        assert_eq!(reply.error_code, code::MEMBER_ID_REQUIRED, "version {version}");
        assert!(reply.member_id.starts_with(&format!("{CLIENT_ID}-")), "{}", reply.member_id);
        assert_eq!((reply.generation_id, reply.leader.as_str(), reply.members.len()), (-1, "", 0));
        await_state(server, &group, "Empty", 0);
        let again = connection.call(version, &Joining::new(&group).request());
        assert_ne!(again.member_id, reply.member_id, "each join without an id gets its own");
        let joined = connection.call(version, &Joining::new(&group).member(&again.member_id).request());
        assert_eq!(
            (joined.error_code, &joined.member_id),
            (0, &again.member_id),
            "version {version}"
        );
    }
}

/// Goal: a static member joins at once, under an id that begins with its name (KIP-345).
#[test]
fn a_static_member_joins_at_once() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in STATIC_SINCE..=9 {
        let group = server.group("static");
        let reply = connection.call(version, &Joining::new(&group).instance("i-1").request());
        assert_eq!((reply.error_code, reply.generation_id), (0, 1), "version {version}");
        assert!(reply.member_id.starts_with("i-1-"), "{}", reply.member_id);
        assert_eq!(reply.members[0].group_instance_id.as_deref(), Some("i-1"));
    }
}

/// Goal: each wrong join has its error at every version, and none changes the group.
#[test]
fn wrong_joins_are_refused() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in VERSIONS {
        let group = server.group("wrong");
        let mut error = |joining: Joining| {
            let reply: JoinGroupResponse = connection.call(version, &joining.request());
            assert_eq!((reply.generation_id, reply.members.len()), (-1, 0), "version {version}");
            (reply.error_code, reply.member_id.to_string())
        };
        let lasting = |session_timeout_ms| Joining {
            session_timeout_ms,
            ..Joining::new(&group)
        };
        let (id, none) = ("somebody".to_owned(), String::new());
        assert_eq!(error(Joining::new("")), (code::INVALID_GROUP_ID, none.clone()));
        assert_eq!(error(Joining::new("").member(&id)), (code::INVALID_GROUP_ID, id.clone()));
        assert_eq!(error(lasting(5_999)).0, code::INVALID_SESSION_TIMEOUT);
        assert_eq!(error(lasting(1_800_001)).0, code::INVALID_SESSION_TIMEOUT);
        assert_eq!(error(lasting(-1).member(&id)), (code::INVALID_SESSION_TIMEOUT, id.clone()));
        assert_eq!(
            error(Joining::new(&group).member(&id)),
            (code::UNKNOWN_MEMBER_ID, id.clone()),
            "a group that nobody made"
        );
        let typeless = Joining {
            protocol_type: String::new(),
            ..Joining::new(&group)
        };
        assert_eq!(error(typeless), (code::INCONSISTENT_GROUP_PROTOCOL, none.clone()));
        assert_eq!(
            error(Joining::new(&group).protocols(&[])),
            (code::INCONSISTENT_GROUP_PROTOCOL, none.clone())
        );

        let reply = Joining::new(&group).join(&mut server.connect(), version);
        assert_eq!((reply.error_code, reply.generation_id), (0, 1), "version {version}");
        assert_eq!(error(Joining::new(&group).member(&id)), (code::UNKNOWN_MEMBER_ID, id.clone()));
        let other_type = Joining {
            protocol_type: "connect".to_owned(),
            ..Joining::new(&group)
        };
        assert_eq!(error(other_type).0, code::INCONSISTENT_GROUP_PROTOCOL);
        let stranger = Joining::new(&group).protocols(&[("roundrobin", b"")]);
        assert_eq!(error(stranger).0, code::INCONSISTENT_GROUP_PROTOCOL);
        await_state(server, &group, "CompletingRebalance", 1);
    }
}

/// Goal: sessions as short and as long as the broker allows are granted.
#[test]
fn the_limits_of_sessions_are_allowed() {
    let server = Server::shared();
    for session_timeout_ms in [6_000, 1_800_000] {
        let mut joining = Joining {
            session_timeout_ms,
            ..Joining::new(&server.group("sessions"))
        };
        assert_eq!(
            joining.join(&mut server.connect(), 9).error_code,
            0,
            "{session_timeout_ms} ms"
        );
    }
}

/// Goal: an unknown static member's id is unknown, and an id that is not the one of its name is fenced.
#[test]
fn a_wrong_id_of_a_static_member_is_fenced() {
    let server = Server::shared();
    for version in STATIC_SINCE..=9 {
        let group = server.group("static-ids");
        let mut connection = server.connect();
        let joined = connection.call(version, &Joining::new(&group).instance("a").request());
        assert_eq!(joined.error_code, 0);
        let mut error = |joining: Joining| connection.call(version, &joining.request()).error_code;
        let by = |instance: &str, id: &str| Joining::new(&group).instance(instance).member(id);
        assert_eq!(error(by("a", "other")), code::FENCED_INSTANCE_ID, "version {version}");
        assert_eq!(
            error(by("b", &joined.member_id)),
            code::UNKNOWN_MEMBER_ID,
            "version {version}"
        );
        assert_eq!(error(by("a", &joined.member_id)), 0, "version {version}");
    }
}

/// Goal: the protocol is one that all members know, by the votes of their first choices among those; the leader alone is told who is in
/// the group, with what each said for that protocol.
#[test]
fn members_choose_a_protocol_by_vote() {
    let server = Server::shared();
    let group = server.group("vote");
    // Each says something else for each protocol.
    let know = |number: usize, names: &[&str]| {
        let said: Vec<Vec<u8>> = names.iter().map(|name| subscription(&[name], &[number as u8])).collect();
        let protocols: Vec<(&str, &[u8])> = names.iter().zip(&said).map(|(name, said)| (*name, said.as_slice())).collect();
        Joining::new(&group).protocols(&protocols)
    };
    let joinings = [know(0, &["a", "b", "c"]), know(1, &["x", "b", "c"]), know(2, &["c", "b"])];
    let mut members: Vec<Member> = joinings.into_iter().map(|joining| Member::with(server, joining)).collect();
    let first = members[0].join();
    assert_eq!(first.protocol_name.as_deref(), Some("a"));
    let mut waiting = Vec::new();
    for (number, member) in members.iter_mut().enumerate().skip(1) {
        member.identify();
        waiting.push(member.send_join());
        await_state(server, &group, "PreparingRebalance", number + 1);
    }
    let leader = members[0].join();
    let told: Vec<(&str, &[u8])> = leader
        .members
        .iter()
        .map(|m| (m.member_id.as_str(), m.metadata.as_ref()))
        .collect();
    let expected: Vec<Vec<u8>> = (0..3).map(|number| subscription(&["b"], &[number])).collect();
    assert_eq!(leader.protocol_name.as_deref(), Some("b"));
    for (member, metadata) in members.iter().zip(&expected) {
        assert!(told.contains(&(member.id(), metadata.as_slice())), "{metadata:?} in {told:?}");
    }
    assert_eq!(told.len(), 3);
    for (member, sent) in members[1..].iter_mut().zip(waiting) {
        let reply = member.receive_join(sent);
        assert_eq!((reply.error_code, reply.generation_id), (0, leader.generation_id));
        assert_eq!(
            (reply.protocol_name.as_deref(), &reply.leader),
            (Some("b"), &leader.member_id)
        );
        assert!(reply.members.is_empty(), "a follower is told of nobody");
    }
}

/// Goal: in a stable group a follower that joins with what it said before gets the current generation at once.
#[test]
fn an_unchanged_follower_begins_nothing() {
    let server = Server::shared();
    let group = server.group("unchanged");
    let mut members = Member::stable_group(server, &group, 2);
    let leader = members[0].id().to_owned();
    let generation = members[0].generation;
    let id = members[1].id().to_owned();
    for version in VERSIONS {
        let request = Joining::new(&group).member(&id).request();
        let reply = members[1].connection.call(version, &request);
        assert_eq!((reply.error_code, reply.generation_id), (0, generation), "version {version}");
        assert_eq!((reply.leader.as_str(), reply.members.len()), (leader.as_str(), 0));
    }
    let described = describe(&mut members[1].connection, &group);
    assert_eq!(described.group_state.as_str(), "Stable");
    assert_eq!(members[1].sync(&[]).assignment.as_ref(), b"1", "its assignment is kept");
}

/// Goal: in a stable group a follower that says something new, and a leader that says anything, begin a new generation.
#[test]
fn changes_and_the_leader_begin_a_generation() {
    let server = Server::shared();
    let group = server.group("changed");
    let mut members = Member::stable_group(server, &group, 2);
    let generation = members[0].generation;
    let more = subscription(&["more"], b"");
    members[1].joining = members[1].joining.clone().protocols(&[("range", &more)]);
    let sent = members[1].send_join();
    members[0].heartbeat_until(code::REBALANCE_IN_PROGRESS);
    let leading = members[0].join();
    assert_eq!(members[1].receive_join(sent).generation_id, generation + 1);
    assert!(leading.members.iter().any(|m| m.metadata == more));
    sync_all(&mut members);

    let sent = members[0].send_join();
    members[1].heartbeat_until(code::REBALANCE_IN_PROGRESS);
    assert_eq!(members[1].join().generation_id, generation + 2);
    assert_eq!(members[0].receive_join(sent).generation_id, generation + 2);
}

/// Goal: before the leader has assigned, a member that joins again unchanged gets the same answer again, the leader with the members.
#[test]
fn a_lost_answer_is_given_again() {
    let server = Server::shared();
    for version in VERSIONS {
        let group = server.group("again");
        let mut connection = server.connect();
        let mut joining = Joining::new(&group);
        let first = joining.join(&mut connection, version);
        let again = connection.call(version, &joining.member(&first.member_id).request());
        assert_eq!(again, first, "version {version}");
    }
}

/// Goal: a join that waits for others does not keep its server from answering other connections, and a leader that never comes is
/// not waited for longer than the rebalance timeout.
#[test]
fn who_does_not_rejoin_in_time_is_out() {
    let server = Server::shared();
    let group = server.group("slow");
    let brief = Joining {
        rebalance_timeout_ms: 10_000,
        ..Joining::new(&group)
    };
    let mut members = Member::stable_group_of(server, vec![brief.clone(), brief.clone()]);
    let mut newcomer = Member::with(server, brief);
    let joined = newcomer.join();
    assert_eq!((joined.error_code, joined.generation_id), (0, members[0].generation + 1));
    assert_eq!((joined.members.len(), joined.leader.as_str()), (1, newcomer.id()));
    assert_eq!(members[0].heartbeat(), code::UNKNOWN_MEMBER_ID);
    assert_eq!(members[1].join().error_code, code::UNKNOWN_MEMBER_ID);
}
