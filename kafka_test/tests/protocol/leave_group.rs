//! LeaveGroup: members that go, one below version 3, several from it on (KIP-345).

use crate::code;
use kafka_test::groups::{await_state, describe, leave_errors, leave_request, Joining, Member};
use kafka_test::server::Server;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=5;
/// The first version about several members.
const SEVERAL_SINCE: i16 = 3;

/// Goal: at every version the last member that leaves empties the group, and cannot leave again.
#[test]
fn the_last_member_leaves_an_empty_group() {
    let server = Server::shared();
    for version in VERSIONS {
        let group = server.group("last");
        let mut members = Member::stable_group(server, &group, 1);
        let id = members[0].id().to_owned();
        let request = leave_request(version, &group, &[(&id, None)]);
        let reply = members[0].connection.call(version, &request);
        assert_eq!(leave_errors(version, &reply), [0], "version {version}");
        if version >= SEVERAL_SINCE {
            assert_eq!(
                (reply.members[0].member_id.as_str(), &reply.members[0].group_instance_id),
                (id.as_str(), &None)
            );
        }
        let described = describe(&mut members[0].connection, &group);
        assert_eq!((described.group_state.as_str(), described.members.len()), ("Empty", 0));
        assert_eq!(described.protocol_type.as_str(), "consumer");
        assert_eq!(members[0].heartbeat(), code::UNKNOWN_MEMBER_ID);
        let again = members[0].connection.call(version, &request);
        assert_eq!(leave_errors(version, &again), [code::UNKNOWN_MEMBER_ID], "version {version}");
    }
}

/// Goal: each wrong leave has its error.
#[test]
fn wrong_leaves_are_refused() {
    let server = Server::shared();
    let group = server.group("wrong-leave");
    let mut members = Member::stable_group(server, &group, 1);
    let connection = &mut members[0].connection;
    for version in VERSIONS {
        let nameless = connection.call(version, &leave_request(version, "", &[("m", None)]));
        assert_eq!(nameless.error_code, code::INVALID_GROUP_ID, "version {version}");
        assert!(nameless.members.is_empty());
        let nowhere = server.group("nowhere");
        let reply = connection.call(version, &leave_request(version, &nowhere, &[("m", None)]));
        assert_eq!(leave_errors(version, &reply), [code::UNKNOWN_MEMBER_ID], "version {version}");
        for id in ["m", ""] {
            let reply = connection.call(version, &leave_request(version, &group, &[(id, None)]));
            assert_eq!(leave_errors(version, &reply), [code::UNKNOWN_MEMBER_ID], "version {version}");
        }
        if version >= SEVERAL_SINCE {
            let reply = connection.call(version, &leave_request(version, &group, &[]));
            assert!(leave_errors(version, &reply).is_empty(), "version {version}");
        }
    }
    assert_eq!(members[0].heartbeat(), 0, "none of these touched the member");
}

/// Goal: several members leave in one request, each with its own answer: by id, by the name of a static member, or by both; a name with
/// another id is fenced.
#[test]
fn several_members_leave_at_once() {
    let server = Server::shared();
    for version in SEVERAL_SINCE..=5 {
        let group = server.group("several");
        let joinings = vec![
            Joining::new(&group),
            Joining::new(&group).instance("a"),
            Joining::new(&group).instance("b"),
            Joining::new(&group).instance("c"),
        ];
        let mut members = Member::stable_group_of(server, joinings);
        let ids: Vec<String> = members.iter().map(|m| m.id().to_owned()).collect();
        let leaving = [
            (ids[0].as_str(), None),
            ("", Some("a")),
            (ids[2].as_str(), Some("b")),
            ("other", Some("c")),
            ("", Some("d")),
            ("m", None),
        ];
        let reply = members[0].connection.call(version, &leave_request(version, &group, &leaving));
        let unknown = code::UNKNOWN_MEMBER_ID;
        assert_eq!(
            leave_errors(version, &reply),
            [0, 0, 0, code::FENCED_INSTANCE_ID, unknown, unknown],
            "version {version}"
        );
        let echoed: Vec<(&str, Option<&str>)> = reply
            .members
            .iter()
            .map(|m| (m.member_id.as_str(), m.group_instance_id.as_deref()))
            .collect();
        assert_eq!(echoed, leaving, "version {version}");
        let left = await_state(server, &group, "PreparingRebalance", 1);
        assert_eq!(left.members[0].member_id.as_str(), ids[3]);
    }
}

/// Goal: the rest of the group rebalances without the one that left, and a follower leads if it was the leader.
#[test]
fn the_rest_goes_on() {
    let server = Server::shared();
    let group = server.group("rest");
    let mut members = Member::stable_group(server, &group, 3);
    assert_eq!(members[0].leave(), 0);
    let mut rest = members.split_off(1);
    rest[0].heartbeat_until(code::REBALANCE_IN_PROGRESS);
    let joins: Vec<_> = rest.iter_mut().map(Member::send_join).collect();
    let replies: Vec<_> = rest.iter_mut().zip(joins).map(|(m, sent)| m.receive_join(sent)).collect();
    assert!(
        rest.iter().any(|m| m.id() == replies[0].leader.as_str()),
        "one of the rest leads"
    );
    assert_eq!(replies[0].leader, replies[1].leader);
    assert_eq!(
        replies.iter().map(|r| r.members.len()).sum::<usize>(),
        2,
        "told to the leader alone"
    );
}

/// Goal: a member that has an id and has not joined can go too, and its id is worth nothing then.
#[test]
fn a_pending_member_leaves() {
    let server = Server::shared();
    let group = server.group("pending");
    let mut member = Member::new(server, &group);
    member.identify();
    assert_eq!(member.leave(), 0);
    assert_eq!(member.join().error_code, code::UNKNOWN_MEMBER_ID);
}

/// Goal: a join that waits is answered when its member is taken out of the group.
#[test]
fn who_waits_and_is_taken_out_is_told() {
    let server = Server::shared();
    let group = server.group("taken-out");
    let _members = Member::stable_group(server, &group, 1);
    let mut second = Member::new(server, &group);
    second.identify();
    let joining = second.send_join();
    await_state(server, &group, "PreparingRebalance", 2);
    let request = leave_request(5, &group, &[(second.id(), None)]);
    assert_eq!(leave_errors(5, &server.connect().call(5, &request)), [0]);
    assert_eq!(second.receive_join(joining).error_code, code::UNKNOWN_MEMBER_ID);
}
