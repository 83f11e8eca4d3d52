//! DescribeGroups: state, protocol and members of classic groups.

use crate::code;
use kafka_protocol::messages::describe_groups_response::DescribedGroup;
use kafka_protocol::messages::DescribeGroupsRequest;
use kafka_test::connection::{Connection, CLIENT_ID};
use kafka_test::groups::{await_state, group_id, subscription, Joining, Member};
use kafka_test::offsets::commit_one;
use kafka_test::server::Server;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=6;
/// The first version that tells what the asker may do.
const OPERATIONS_SINCE: i16 = 3;
/// The first version with static members.
const STATIC_SINCE: i16 = 4;
/// The first version with an error for a group that is not there.
const GROUP_ID_NOT_FOUND_SINCE: i16 = 6;
/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS as bits: what there is to do with a group.
const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

fn describe(connection: &mut Connection, version: i16, groups: &[&str]) -> Vec<DescribedGroup> {
    let request = DescribeGroupsRequest::default().with_groups(groups.iter().map(|name| group_id(name)).collect());
    let mut found = connection.call(version, &request).groups;
    found.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    found
}

/// Goal: a stable group is told with its protocol and each member's id, client, subscription and assignment, at every version.
#[test]
fn a_stable_group() {
    let server = Server::shared();
    let group = server.group("stable");
    let joinings = vec![Joining::new(&group), Joining::new(&group).instance("i")];
    let mut members = Member::stable_group_of(server, joinings);
    let ids: Vec<String> = members.iter().map(|m| m.id().to_owned()).collect();
    for version in VERSIONS {
        let found = describe(&mut members[0].connection, version, &[&group]).remove(0);
        assert_eq!((found.error_code, found.group_id.as_str()), (0, group.as_str()));
        let said = [&found.group_state, &found.protocol_type, &found.protocol_data].map(|text| text.as_str());
        assert_eq!(said, ["Stable", "consumer", "range"], "version {version}");
        assert_eq!(found.authorized_operations, i32::MIN, "not asked for");
        assert_eq!(found.members.len(), 2, "version {version}");
        for (number, id) in ids.iter().enumerate() {
            let member = found.members.iter().find(|m| m.member_id.as_str() == id).unwrap();
            assert_eq!(member.client_id.as_str(), CLIENT_ID);
            assert_eq!(member.client_host.as_str(), "/127.0.0.1");
            assert_eq!(member.member_metadata, subscription(&[], b""));
            assert_eq!(member.member_assignment.as_ref(), number.to_string().as_bytes());
            let name = (number == 1 && version >= STATIC_SINCE).then_some("i");
            assert_eq!(member.group_instance_id.as_deref(), name, "version {version}");
        }
    }
}

/// Goal: what the asker may do with a group is told if asked for, and not otherwise.
#[test]
fn operations_are_told_on_request() {
    let server = Server::shared();
    let group = server.group("operations");
    let mut members = Member::stable_group(server, &group, 1);
    for version in OPERATIONS_SINCE..=6 {
        let request = DescribeGroupsRequest::default()
            .with_groups(vec![group_id(&group)])
            .with_include_authorized_operations(true);
        let found = members[0].connection.call(version, &request).groups.remove(0);
        assert_eq!(found.authorized_operations, ALL_OPERATIONS, "version {version}");
    }
}

/// Goal: the states a group goes through are told as they are: no protocol and no subscriptions before there is a choice.
#[test]
fn states_of_a_group() {
    let server = Server::shared();
    let group = server.group("states");
    let topic = server.topic("states", 1);
    let mut connection = server.connect();
    assert_eq!(commit_one(&mut connection, 9, &group, &topic, 0, 1), 0);
    let simple = describe(&mut connection, 5, &[&group]).remove(0);
    let said = |found: &DescribedGroup| {
        let said = [&found.group_state, &found.protocol_type, &found.protocol_data].map(|text| text.to_string());
        (said, found.members.len())
    };
    let state = |state: &str, protocol_type: &str, protocol: &str| [state, protocol_type, protocol].map(str::to_owned);
    assert_eq!(said(&simple), (state("Empty", "", ""), 0), "offsets and no member ever");

    let mut member = Member::new(server, &group);
    assert_eq!(member.join().error_code, 0);
    let completing = describe(&mut connection, 5, &[&group]).remove(0);
    assert_eq!(said(&completing), (state("CompletingRebalance", "consumer", ""), 1));
    assert!(completing.members[0].member_metadata.is_empty(), "told of stable groups only");
    let id = member.id().to_owned();
    assert_eq!(member.sync(&[(&id, b"all")]).error_code, 0);
    assert_eq!(
        said(&describe(&mut connection, 5, &[&group])[0]),
        (state("Stable", "consumer", "range"), 1)
    );

    let mut second = Member::new(server, &group);
    second.identify();
    let joining = second.send_join();
    let preparing = await_state(server, &group, "PreparingRebalance", 2);
    assert_eq!(said(&preparing), (state("PreparingRebalance", "consumer", ""), 2));
    assert_eq!(member.join().error_code, 0);
    assert_eq!(second.receive_join(joining).error_code, 0);
    assert_eq!([member.leave(), second.leave()], [0, 0]);
    assert_eq!(
        said(&describe(&mut connection, 5, &[&group])[0]),
        (state("Empty", "consumer", ""), 0)
    );
}

/// Goal: a group that is not there is Dead, which is an error from version 6 on, and several groups are told at once.
#[test]
fn groups_that_are_not_there() {
    let server = Server::shared();
    let group = server.group("there");
    let mut members = Member::stable_group(server, &group, 1);
    let nowhere = server.group("nowhere");
    for version in VERSIONS {
        let found = describe(&mut members[0].connection, version, &["0-nowhere", &nowhere, &group]);
        assert_eq!(found.len(), 3, "version {version}");
        let error = if version >= GROUP_ID_NOT_FOUND_SINCE {
            code::GROUP_ID_NOT_FOUND
        } else {
            0
        };
        for (missing, name) in found.iter().zip(["0-nowhere", &nowhere]) {
            assert_eq!(
                (missing.error_code, missing.group_id.as_str()),
                (error, name),
                "version {version}"
            );
            assert_eq!(
                (missing.group_state.as_str(), missing.members.len()),
                ("Dead", 0),
                "version {version}"
            );
            let message = (version >= GROUP_ID_NOT_FOUND_SINCE).then(|| format!("Group {name} not found."));
            assert_eq!(missing.error_message.as_deref(), message.as_deref(), "version {version}");
        }
        assert_eq!(
            (found[2].error_code, found[2].group_state.as_str()),
            (0, "Stable"),
            "version {version}"
        );
        assert!(describe(&mut members[0].connection, version, &[]).is_empty());
    }
}
