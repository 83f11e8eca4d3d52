//! Heartbeat: what keeps a member in its group, and how it hears of a rebalance.

use crate::code;
use kafka_protocol::messages::HeartbeatRequest;
use kafka_test::groups::{heartbeat_request, text, Joining, Member};
use kafka_test::server::Server;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=4;
/// The first version with static members.
const STATIC_SINCE: i16 = 3;

/// Goal: a member's heartbeat is granted at every version, before the leader has assigned and after it.
#[test]
fn a_member_is_alive() {
    let server = Server::shared();
    let group = server.group("alive");
    let mut member = Member::new(server, &group);
    assert_eq!(member.join().error_code, 0);
    let id = member.id().to_owned();
    for state in ["CompletingRebalance", "Stable"] {
        for version in VERSIONS {
            let reply = member.connection.call(version, &heartbeat_request(&group, 1, &id));
            assert_eq!(reply.error_code, 0, "version {version} in {state}");
        }
        assert_eq!(member.sync(&[(&id, b"all")]).error_code, 0);
    }
}

/// Goal: each wrong heartbeat has its error at every version.
#[test]
fn wrong_heartbeats_are_refused() {
    let server = Server::shared();
    let group = server.group("wrong-heartbeat");
    let mut members = Member::stable_group(server, &group, 1);
    let id = members[0].id().to_owned();
    for version in VERSIONS {
        let mut error = |request: HeartbeatRequest| members[0].connection.call(version, &request).error_code;
        assert_eq!(
            error(heartbeat_request("", 1, &id)),
            code::INVALID_GROUP_ID,
            "version {version}"
        );
        let nowhere = heartbeat_request(&server.group("nowhere"), 1, &id);
        assert_eq!(error(nowhere), code::UNKNOWN_MEMBER_ID, "version {version}");
        assert_eq!(
            error(heartbeat_request(&group, 1, "m")),
            code::UNKNOWN_MEMBER_ID,
            "version {version}"
        );
        assert_eq!(
            error(heartbeat_request(&group, 1, "")),
            code::UNKNOWN_MEMBER_ID,
            "version {version}"
        );
        for generation in [0, 2, -1] {
            let request = heartbeat_request(&group, generation, &id);
            assert_eq!(error(request), code::ILLEGAL_GENERATION, "version {version}");
        }
        if version >= STATIC_SINCE {
            let request = heartbeat_request(&group, 1, &id).with_group_instance_id(Some(text("i")));
            assert_eq!(error(request), code::UNKNOWN_MEMBER_ID, "version {version}");
        }
        assert_eq!(error(heartbeat_request(&group, 1, &id)), 0, "version {version}");
    }
}

/// Goal: a static member's heartbeat must carry the id that belongs to its name.
#[test]
fn a_wrong_id_of_a_static_member_is_fenced() {
    let server = Server::shared();
    let group = server.group("static-heartbeat");
    let mut member = Member::with(server, Joining::new(&group).instance("i"));
    assert_eq!(member.join().error_code, 0);
    let id = member.id().to_owned();
    for version in STATIC_SINCE..=4 {
        let mut error = |id: &str| {
            let request = heartbeat_request(&group, 1, id).with_group_instance_id(Some(text("i")));
            member.connection.call(version, &request).error_code
        };
        assert_eq!(error("other"), code::FENCED_INSTANCE_ID, "version {version}");
        assert_eq!(error(&id), 0, "version {version}");
    }
}

/// Goal: in a rebalance every version says so, until the member has joined again.
#[test]
fn a_rebalance_is_announced() {
    let server = Server::shared();
    let group = server.group("announced");
    let mut members = Member::stable_group(server, &group, 1);
    let mut second = Member::new(server, &group);
    second.identify();
    let joining = second.send_join();
    members[0].heartbeat_until(code::REBALANCE_IN_PROGRESS);
    let id = members[0].id().to_owned();
    for version in VERSIONS {
        let reply = members[0].connection.call(version, &heartbeat_request(&group, 1, &id));
        assert_eq!(reply.error_code, code::REBALANCE_IN_PROGRESS, "version {version}");
    }
    assert_eq!(members[0].join().generation_id, 2);
    assert_eq!(second.receive_join(joining).generation_id, 2);
    assert_eq!(members[0].heartbeat(), 0);
    let old = members[0].connection.call(4, &heartbeat_request(&group, 1, &id));
    assert_eq!(old.error_code, code::ILLEGAL_GENERATION, "the generation before");
}
