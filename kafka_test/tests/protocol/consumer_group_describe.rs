//! ConsumerGroupDescribe (KIP-848): state, epochs and members with what they own and will own.

use crate::code;
use kafka_protocol::messages::consumer_group_describe_response::DescribedGroup;
use kafka_protocol::messages::ConsumerGroupDescribeRequest;
use kafka_test::connection::{Connection, CLIENT_ID};
use kafka_test::consumer_group::{joining, settle, ConsumerMember};
use kafka_test::groups::{describe, group_id, subscription, text, Joining, Member};
use kafka_test::server::Server;

const VERSIONS: std::ops::RangeInclusive<i16> = 0..=1;
/// READ, DELETE, DESCRIBE, DESCRIBE_CONFIGS and ALTER_CONFIGS as bits.
const ALL_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

fn consumer_describe(connection: &mut Connection, version: i16, groups: &[&str], operations: bool) -> Vec<DescribedGroup> {
    let request = ConsumerGroupDescribeRequest::default()
        .with_group_ids(groups.iter().map(|name| group_id(name)).collect())
        .with_include_authorized_operations(operations);
    let mut found = connection.call(version, &request).groups;
    found.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    found
}

/// Goal: a settled group is told with its epochs and each member's subscription and partitions, now and to be.
#[test]
fn a_settled_group() {
    let server = Server::shared();
    let topic = server.topic("settled", 2);
    let group = server.group("settled");
    let mut first = ConsumerMember::new(server, &group);
    let mut second = ConsumerMember::new(server, &group);
    second.instance_id = Some("i".to_owned());
    first.join(&[&topic]);
    let request = joining(&group, &second.id, &[&topic])
        .with_instance_id(Some(text("i")))
        .with_rack_id(Some(text("r")));
    assert_eq!(second.send(&request).error_code, 0);
    settle(&mut [&mut first, &mut second], &[1, 1]);
    for version in VERSIONS {
        let found = consumer_describe(&mut server.connect(), version, &[&group], false).remove(0);
        assert_eq!(
            (found.error_code, found.group_id.as_str(), found.group_state.as_str()),
            (0, group.as_str(), "Stable")
        );
        assert_eq!(
            (found.group_epoch, found.assignment_epoch),
            (first.epoch, first.epoch),
            "version {version}"
        );
        assert_eq!(found.assignor_name.as_str(), "uniform");
        assert_eq!(found.authorized_operations, i32::MIN, "not asked for");
        assert_eq!(found.members.len(), 2);
        for (member, number) in [(&first, 0), (&second, 1)] {
            let told = found.members.iter().find(|m| m.member_id.as_str() == member.id).unwrap();
            assert_eq!(told.member_epoch, member.epoch);
            assert_eq!(
                (told.client_id.as_str(), told.client_host.as_str()),
                (CLIENT_ID, "/127.0.0.1")
            );
            assert_eq!(told.instance_id.as_deref(), (number == 1).then_some("i"));
            assert_eq!(told.rack_id.as_deref(), (number == 1).then_some("r"));
            assert_eq!(told.subscribed_topic_names.len(), 1);
            assert_eq!(told.subscribed_topic_names[0].as_str(), topic.name);
            assert_eq!(told.subscribed_topic_regex.as_deref().unwrap_or_default(), "");
            for assignment in [&told.assignment, &told.target_assignment] {
                assert_eq!(assignment.topic_partitions.len(), 1, "version {version}");
                let owned = &assignment.topic_partitions[0];
                assert_eq!((owned.topic_id, owned.topic_name.as_str()), (topic.id, topic.name.as_str()));
                assert_eq!(owned.partitions, member.owned[&topic.id]);
            }
            assert_eq!(told.member_type, if version >= 1 { 1 } else { -1 }, "version {version}");
        }
    }
}

/// Goal: a classic member of the group is told as one, with an id of the group's kind; versions without types tell none.
#[test]
fn a_classic_member_of_the_group() {
    let server = Server::shared();
    let topic = server.topic("upgraded", 1);
    let group = server.group("upgraded");
    let mut member = ConsumerMember::new(server, &group);
    member.join(&[&topic]);
    let reads = subscription(&[&topic.name], b"");
    let mut classic = Member::with(server, Joining::new(&group).protocols(&[("range", &reads)]));
    classic.identify();
    assert_eq!(classic.id().len(), 22, "base64 of a UUID: {}", classic.id());
    assert_eq!(classic.join().error_code, 0);
    for (version, types) in [(0, [-1, -1]), (1, [1, 0])] {
        let found = consumer_describe(&mut server.connect(), version, &[&group], false).remove(0);
        let told = [member.id.as_str(), classic.id()].map(|id| {
            let told = found.members.iter().find(|m| m.member_id.as_str() == id);
            told.map(|member| member.member_type)
        });
        assert_eq!(told, types.map(Some), "version {version}");
    }
}

/// Goal: what the asker may do is told on request.
#[test]
fn operations_are_told_on_request() {
    let server = Server::shared();
    let topic = server.topic("operations", 1);
    let group = server.group("operations");
    let mut member = ConsumerMember::new(server, &group);
    member.join(&[&topic]);
    for version in VERSIONS {
        let found = consumer_describe(&mut member.connection, version, &[&group], true).remove(0);
        assert_eq!(
            (found.error_code, found.authorized_operations),
            (0, ALL_OPERATIONS),
            "version {version}"
        );
    }
}

/// Goal: a group of the other kind, one that is not there and one without a name fail alone; after its last member has left a group is
/// empty.
#[test]
fn groups_that_are_none() {
    let server = Server::shared();
    let topic = server.topic("none", 1);
    let [classic, empty, nowhere] = ["a-classic", "b-empty", "c-nowhere"].map(|name| server.group(name));
    let mut members = Member::stable_group(server, &classic, 1);
    let mut gone = ConsumerMember::new(server, &empty);
    gone.join(&[&topic]);
    assert_eq!(gone.leave(), 0);
    for version in VERSIONS {
        let found = consumer_describe(&mut members[0].connection, version, &[&classic, "", &nowhere, &empty], false);
        let told: Vec<(&str, i16, &str)> = found
            .iter()
            .map(|g| (g.group_id.as_str(), g.error_code, g.group_state.as_str()))
            .collect();
        let expected = [
            ("", code::INVALID_GROUP_ID, ""),
            (classic.as_str(), code::GROUP_ID_NOT_FOUND, ""),
            (empty.as_str(), 0, "Empty"),
            (nowhere.as_str(), code::GROUP_ID_NOT_FOUND, ""),
        ];
        assert_eq!(told, expected, "version {version}");
        assert!(consumer_describe(&mut members[0].connection, version, &[], false).is_empty());
    }
    let other_way = describe(&mut members[0].connection, &empty);
    assert_eq!(
        other_way.error_code,
        code::GROUP_ID_NOT_FOUND,
        "DescribeGroups knows classic groups only"
    );
}
