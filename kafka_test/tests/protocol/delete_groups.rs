//! DeleteGroups: groups without members, with their offsets.

use crate::code;
use kafka_protocol::messages::DeleteGroupsRequest;
use kafka_test::connection::Connection;
use kafka_test::groups::{describe, group_id, Member};
use kafka_test::offsets::{commit_one, committed};
use kafka_test::server::Server;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=2;

/// Group and error, sorted by group.
fn delete(connection: &mut Connection, version: i16, groups: &[&str]) -> Vec<(String, i16)> {
    let request = DeleteGroupsRequest::default().with_groups_names(groups.iter().map(|name| group_id(name)).collect());
    let results = connection.call(version, &request).results;
    let mut found: Vec<_> = results.iter().map(|r| (r.group_id.to_string(), r.error_code)).collect();
    found.sort_unstable();
    found
}

/// Goal: groups without members go with their offsets; one with members and one that is not there fail alone.
#[test]
fn groups_without_members_go() {
    let server = Server::shared();
    let topic = server.topic("gone", 1);
    for version in VERSIONS {
        let [empty, simple, busy, nowhere] = ["a-empty", "b-simple", "c-busy", "d-nowhere"].map(|name| server.group(name));
        let mut members = Member::stable_group(server, &busy, 1);
        let mut gone = Member::stable_group(server, &empty, 1);
        assert_eq!([gone[0].commit(&topic, 0, 1), gone[0].leave()], [0, 0]);
        let connection = &mut members[0].connection;
        assert_eq!(commit_one(connection, 9, &simple, &topic, 0, 2), 0);
        let found = delete(connection, version, &[&busy, &nowhere, &empty, &simple]);
        let expected = [
            (empty.clone(), 0),
            (simple.clone(), 0),
            (busy.clone(), code::NON_EMPTY_GROUP),
            (nowhere.clone(), code::GROUP_ID_NOT_FOUND),
        ];
        assert_eq!(found, expected, "version {version}");
        for group in [&empty, &simple] {
            assert_eq!(describe(connection, group).group_state.as_str(), "Dead", "version {version}");
            assert_eq!(committed(connection, group, &topic, 0), -1, "version {version}");
        }
        let again = delete(connection, version, &[&empty]);
        assert_eq!(again, [(empty.clone(), code::GROUP_ID_NOT_FOUND)], "version {version}");
        assert_eq!(members[0].heartbeat(), 0);
    }
}

/// Goal: nothing asked, nothing answered.
#[test]
fn no_groups() {
    let mut connection = Server::shared().connect();
    for version in VERSIONS {
        assert!(delete(&mut connection, version, &[]).is_empty(), "version {version}");
    }
}
