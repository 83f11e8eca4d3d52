//! ListGroups: all groups, by state (KIP-518) and by type (KIP-848).

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::ListGroupsRequest;
use kafka_test::connection::Connection;
use kafka_test::consumer_group::ConsumerMember;
use kafka_test::groups::{text, Member};
use kafka_test::offsets::commit_one;
use kafka_test::server::Server;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=5;
/// The first version with states.
const STATES_SINCE: i16 = 4;
/// The first version with types.
const TYPES_SINCE: i16 = 5;

/// Groups that pass the filters, of those that this test made.
fn listed(connection: &mut Connection, version: i16, states: &[&str], types: &[&str], own: &[&str]) -> Vec<ListedGroup> {
    let request = ListGroupsRequest::default()
        .with_states_filter(states.iter().map(|s| text(s)).collect())
        .with_types_filter(types.iter().map(|t| text(t)).collect());
    let reply = connection.call(version, &request);
    assert_eq!(reply.error_code, 0, "version {version}");
    let mut found = reply.groups;
    found.retain(|group| own.contains(&group.group_id.as_str()));
    found.sort_by_key(|group| own.iter().position(|name| *name == group.group_id.as_str()));
    found
}

/// A group of each kind: with a member, with offsets only, with a KIP-848 member.
fn three_groups(server: &Server) -> ([String; 3], Member, ConsumerMember) {
    let topic = server.topic("listed", 1);
    let names = [
        server.group("list-stable"),
        server.group("list-simple"),
        server.group("list-consumer"),
    ];
    let member = Member::stable_group(server, &names[0], 1).remove(0);
    assert_eq!(commit_one(&mut server.connect(), 9, &names[1], &topic, 0, 1), 0);
    let mut modern = ConsumerMember::new(server, &names[2]);
    modern.join(&[&topic]);
    (names, member, modern)
}

/// Goal: every version lists each group with its protocol type, and state and type where it has them.
#[test]
fn groups_are_listed() {
    let server = Server::shared();
    let (names, mut member, _modern) = three_groups(server);
    let own = [names[0].as_str(), &names[1], &names[2]];
    for version in VERSIONS {
        let found = listed(&mut member.connection, version, &[], &[], &own);
        let told: Vec<[&str; 4]> = found
            .iter()
            .map(|g| [g.group_id.as_str(), &g.protocol_type, &g.group_state, &g.group_type])
            .collect();
        let expected = [
            [own[0], "consumer", "Stable", "classic"],
            [own[1], "", "Empty", "classic"],
            [own[2], "consumer", "Stable", "consumer"],
        ]
        .map(|[name, protocol_type, state, kind]| {
            let state = if version >= STATES_SINCE { state } else { "" };
            [name, protocol_type, state, if version >= TYPES_SINCE { kind } else { "" }]
        });
        assert_eq!(told, expected, "version {version}");
    }
}

/// Goal: states and types filter, in any case of letters; what does not exist lists nothing.
#[test]
fn filters() {
    let server = Server::shared();
    let (names, mut member, _modern) = three_groups(server);
    let own = [names[0].as_str(), &names[1], &names[2]];
    let connection = &mut member.connection;
    let mut places = |version, states: &[&str], types: &[&str]| -> Vec<usize> {
        let found = listed(connection, version, states, types, &own);
        let place = |g: &ListedGroup| own.iter().position(|name| *name == g.group_id.as_str());
        found.iter().filter_map(place).collect()
    };
    for version in STATES_SINCE..=5 {
        assert_eq!(places(version, &["Stable"], &[]), [0, 2], "version {version}");
        assert_eq!(places(version, &["stable"], &[]), [0, 2], "version {version}");
        assert_eq!(places(version, &["Empty"], &[]), [1], "version {version}");
        assert_eq!(
            places(version, &["Empty", "Stable", "Dead"], &[]),
            [0, 1, 2],
            "version {version}"
        );
        assert!(places(version, &["PreparingRebalance"], &[]).is_empty());
        assert!(places(version, &["NoSuchState"], &[]).is_empty());
    }
    assert_eq!(places(5, &[], &["classic"]), [0, 1]);
    assert_eq!(places(5, &[], &["CONSUMER"]), [2]);
    assert_eq!(places(5, &["Stable"], &["classic"]), [0]);
    assert_eq!(places(5, &[], &["classic", "consumer"]), [0, 1, 2]);
    assert!(places(5, &[], &["share"]).is_empty());
    assert!(places(5, &[], &["no such type"]).is_empty());
}
