//! SyncGroup: what the leader assigns reaches each member as it is.

use crate::code;
use bytes::Bytes;
use kafka_protocol::messages::SyncGroupRequest;
use kafka_test::groups::{await_state, describe, rejoin_all, sync_request, text, Joining, Member};
use kafka_test::server::Server;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=5;
/// The first version that names the protocol.
const PROTOCOL_SINCE: i16 = 5;

fn named(request: SyncGroupRequest, protocol_type: &str, protocol: &str) -> SyncGroupRequest {
    request
        .with_protocol_type(Some(text(protocol_type)))
        .with_protocol_name(Some(text(protocol)))
}

/// Goal: at every version a lone leader gets back what it assigned to itself, byte by byte, and the group is stable.
#[test]
fn the_leader_gets_its_own_assignment() {
    let server = Server::shared();
    for version in VERSIONS {
        let group = server.group("own");
        let mut connection = server.connect();
        let joined = Joining::new(&group).join(&mut connection, 5);
        let assignment: Vec<u8> = (0..=255).collect();
        let request = sync_request(&group, 1, &joined.member_id, &[(&joined.member_id, &assignment)]);
        let request = named(request, "consumer", "range");
        for what in ["first", "again in the stable group"] {
            let reply = connection.call(version, &request);
            assert_eq!(reply.error_code, 0, "version {version}, {what}");
            assert_eq!(reply.assignment.as_ref(), assignment, "version {version}, {what}");
            let told = (version >= PROTOCOL_SINCE).then_some(("consumer", "range"));
            assert_eq!(reply.protocol_type.as_deref(), told.map(|(t, _)| t), "version {version}");
            assert_eq!(reply.protocol_name.as_deref(), told.map(|(_, n)| n), "version {version}");
        }
        assert_eq!(describe(&mut connection, &group).group_state.as_str(), "Stable");
    }
}

/// Goal: followers wait for the leader, each gets its own; who was left out gets nothing.
#[test]
fn followers_wait_for_the_leader() {
    let server = Server::shared();
    let group = server.group("followers");
    let mut members = Member::stable_group(server, &group, 3);
    rejoin_all(server, &mut members);
    let ids: Vec<String> = members.iter().map(|m| m.id().to_owned()).collect();
    let early = members[1].send_sync(&[(&ids[1], b"of a follower, not heard")]);
    let left_out = members[2].send_sync(&[]);
    let own = members[0].sync(&[(&ids[0], b"zero"), (&ids[1], b"one"), ("nobody", b"lost")]);
    assert_eq!((own.error_code, own.assignment.as_ref()), (0, b"zero".as_slice()));
    assert_eq!(members[1].receive_sync(early).assignment.as_ref(), b"one");
    let nothing = members[2].receive_sync(left_out);
    assert_eq!((nothing.error_code, nothing.assignment), (0, Bytes::new()));
}

/// Goal: each wrong sync has its error at every version, and none reaches the group.
#[test]
fn wrong_syncs_are_refused() {
    let server = Server::shared();
    for version in VERSIONS {
        let group = server.group("wrong-sync");
        let mut connection = server.connect();
        let mut error = |request: SyncGroupRequest| {
            let reply = connection.call(version, &request);
            assert_eq!(reply.assignment, Bytes::new(), "version {version}");
            reply.error_code
        };
        let request = |generation, member: &str| named(sync_request(&group, generation, member, &[]), "consumer", "range");
        let empty = named(sync_request("", 1, "m", &[]), "consumer", "range");
        assert_eq!(error(empty), code::INVALID_GROUP_ID, "version {version}");
        assert_eq!(
            error(request(1, "m")),
            code::UNKNOWN_MEMBER_ID,
            "version {version}, no such group"
        );
        let joined = Joining::new(&group).join(&mut server.connect(), 5);
        assert_eq!(joined.generation_id, 1);
        assert_eq!(error(request(1, "m")), code::UNKNOWN_MEMBER_ID, "version {version}");
        assert_eq!(error(request(1, "")), code::UNKNOWN_MEMBER_ID, "version {version}");
        for generation in [0, 2, -1] {
            assert_eq!(error(request(generation, &joined.member_id)), code::ILLEGAL_GENERATION);
        }
        if version >= 3 {
            let fenced = request(1, &joined.member_id).with_group_instance_id(Some(text("i")));
            assert_eq!(error(fenced), code::UNKNOWN_MEMBER_ID, "version {version}");
        }
        await_state(server, &group, "CompletingRebalance", 1);
    }
}

/// Goal: a version 5 must name a protocol and its type (KIP-559), and the right ones.
#[test]
fn the_protocol_must_be_the_group_s() {
    let server = Server::shared();
    let group = server.group("protocol-names");
    let mut connection = server.connect();
    let joined = Joining::new(&group).join(&mut connection, 5);
    let request = || sync_request(&group, 1, &joined.member_id, &[]);
    let mut error = |request: SyncGroupRequest| connection.call(5, &request).error_code;
    assert_eq!(error(request()), code::INCONSISTENT_GROUP_PROTOCOL, "neither");
    assert_eq!(
        error(request().with_protocol_type(Some(text("consumer")))),
        code::INCONSISTENT_GROUP_PROTOCOL
    );
    assert_eq!(error(named(request(), "connect", "range")), code::INCONSISTENT_GROUP_PROTOCOL);
    assert_eq!(
        error(named(request(), "consumer", "roundrobin")),
        code::INCONSISTENT_GROUP_PROTOCOL
    );
    assert_eq!(error(named(request(), "consumer", "range")), 0);
}

/// Goal: a sync that waits is told when a new rebalance begins; a sync during one is told at once.
#[test]
fn a_rebalance_ends_a_sync() {
    let server = Server::shared();
    let group = server.group("interrupted");
    let mut members = Member::stable_group(server, &group, 2);
    rejoin_all(server, &mut members);
    let waiting = members[1].send_sync(&[]);
    let mut third = Member::new(server, &group);
    third.identify();
    let joining = third.send_join();
    assert_eq!(members[1].receive_sync(waiting).error_code, code::REBALANCE_IN_PROGRESS);
    assert_eq!(members[0].sync(&[]).error_code, code::REBALANCE_IN_PROGRESS);
    let rejoining: Vec<_> = members.iter_mut().map(Member::send_join).collect();
    for (member, sent) in members.iter_mut().zip(rejoining) {
        assert_eq!(member.receive_join(sent).error_code, 0);
    }
    assert_eq!(third.receive_join(joining).error_code, 0);
}
