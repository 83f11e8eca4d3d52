//! OffsetFetch: committed offsets of one group up to version 7, of several from version 8 on, topics by id from version 10 on.

use crate::code;
use kafka_test::groups::{rejoin_all, Member};
use kafka_test::offsets::{
    commit, commit_errors, commit_one, commit_request, committing, fetch, fetch_request, fetched, Committed,
};
use kafka_test::server::Server;
use kafka_test::topic::Topic;
use uuid::Uuid;

const VERSIONS: std::ops::RangeInclusive<i16> = 1..=10;
/// The first version that can ask for all topics.
const ALL_TOPICS_SINCE: i16 = 2;
/// The first version with leader epochs.
const LEADER_EPOCHS_SINCE: i16 = 5;
/// The first version that can ask for stable offsets only.
const REQUIRE_STABLE_SINCE: i16 = 7;
/// The first version that asks for several groups.
const GROUPS_SINCE: i16 = 8;
/// The first version with the member and its epoch.
const MEMBER_SINCE: i16 = 9;
/// The first version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 10;

/// What a version says about one partition.
fn expected(version: i16, topic: &Topic, partition: i32, offset: i64, epoch: i32, metadata: &str) -> Committed {
    let by_id = version >= TOPIC_IDS_SINCE;
    Committed {
        topic: if by_id { String::new() } else { topic.name.clone() },
        topic_id: if by_id { topic.id } else { Uuid::nil() },
        partition,
        offset,
        leader_epoch: if version >= LEADER_EPOCHS_SINCE { epoch } else { -1 },
        metadata: Some(metadata.to_owned()),
        error_code: 0,
    }
}

/// Goal: every version tells offset, leader epoch and metadata as they were committed, and -1 of a partition without an offset.
#[test]
fn what_was_committed_is_told() {
    let server = Server::shared();
    let topic = server.topic("told", 3);
    let group = server.group("told");
    let mut connection = server.connect();
    let partitions = vec![
        committing(0, 11, Some("note")).with_committed_leader_epoch(4),
        committing(1, 12, None),
    ];
    let reply = commit(&mut connection, 10, &commit_request(&group, &topic, partitions));
    assert_eq!(commit_errors(&reply), [0, 0]);
    for version in VERSIONS {
        let request = fetch_request(version, &group, (None, -1), Some(&[(&topic, &[2, 1, 0, 7])]));
        let found = fetched(version, &fetch(&mut connection, version, &request));
        let all = vec![
            expected(version, &topic, 0, 11, 4, "note"),
            expected(version, &topic, 1, 12, -1, ""),
            expected(version, &topic, 2, -1, -1, ""),
            expected(version, &topic, 7, -1, -1, ""),
        ];
        assert_eq!(found, (0, all), "version {version}");
    }
}

/// Goal: from version 2 on null asks for all that the group has, and an empty list for nothing.
#[test]
fn all_topics_of_a_group() {
    let server = Server::shared();
    let (first, second) = (server.topic("all-a", 2), server.topic("all-b", 1));
    let group = server.group("all");
    let mut connection = server.connect();
    for (topic, partition, offset) in [(&first, 1, 5), (&second, 0, 6)] {
        assert_eq!(commit_one(&mut connection, 9, &group, topic, partition, offset), 0);
    }
    for version in ALL_TOPICS_SINCE..=10 {
        let request = fetch_request(version, &group, (None, -1), None);
        let (error, found) = fetched(version, &fetch(&mut connection, version, &request));
        let mut all = vec![
            expected(version, &first, 1, 5, -1, ""),
            expected(version, &second, 0, 6, -1, ""),
        ];
        all.sort_by(|a, b| (&a.topic, a.topic_id).cmp(&(&b.topic, b.topic_id)));
        assert_eq!((error, found), (0, all), "version {version}");
        let nothing = fetch_request(version, &group, (None, -1), Some(&[]));
        assert_eq!(fetched(version, &fetch(&mut connection, version, &nothing)), (0, vec![]));
    }
}

/// Goal: a group that nobody made has no offsets, which is not an error.
#[test]
fn unknown_groups_have_no_offsets() {
    let server = Server::shared();
    let topic = server.topic("unknown-group", 1);
    let group = server.group("unknown-group");
    let mut connection = server.connect();
    for version in VERSIONS {
        let asked: &[(&Topic, &[i32])] = &[(&topic, &[0])];
        let request = fetch_request(version, &group, (None, -1), Some(asked));
        let found = fetched(version, &fetch(&mut connection, version, &request));
        assert_eq!(
            found,
            (0, vec![expected(version, &topic, 0, -1, -1, "")]),
            "version {version}"
        );
        if version >= ALL_TOPICS_SINCE {
            let all = fetch_request(version, &group, (None, -1), None);
            assert_eq!(fetched(version, &fetch(&mut connection, version, &all)), (0, vec![]));
        }
    }
}

/// Goal: a topic that does not exist has no offset, by name; by id it is unknown.
#[test]
fn unknown_topics_have_no_offsets() {
    let server = Server::shared();
    let group = server.group("unknown-topic");
    let mut connection = server.connect();
    let stranger = Topic {
        name: "no-such-topic".to_owned(),
        id: Uuid::new_v4(),
    };
    for version in VERSIONS {
        let request = fetch_request(version, &group, (None, -1), Some(&[(&stranger, &[0, 3])]));
        let (error, found) = fetched(version, &fetch(&mut connection, version, &request));
        let unknown = if version < TOPIC_IDS_SINCE {
            0
        } else {
            code::UNKNOWN_TOPIC_ID
        };
        let told: Vec<(i64, i16)> = found.iter().map(|c| (c.offset, c.error_code)).collect();
        assert_eq!((error, told), (0, vec![(-1, unknown), (-1, unknown)]), "version {version}");
    }
}

/// Goal: from version 8 on one request asks for several groups, each with topics of its own, in their order.
#[test]
fn several_groups_at_once() {
    let server = Server::shared();
    let topic = server.topic("groups", 1);
    let [one, two, nowhere] = ["one", "two", "nowhere"].map(|name| server.group(name));
    let mut connection = server.connect();
    assert_eq!(commit_one(&mut connection, 9, &one, &topic, 0, 1), 0);
    assert_eq!(commit_one(&mut connection, 9, &two, &topic, 0, 2), 0);
    for version in GROUPS_SINCE..=10 {
        let mut request = fetch_request(version, &one, (None, -1), None);
        let asked: &[(&Topic, &[i32])] = &[(&topic, &[0])];
        request
            .groups
            .extend(fetch_request(version, &two, (None, -1), Some(asked)).groups);
        request
            .groups
            .extend(fetch_request(version, &nowhere, (None, -1), Some(asked)).groups);
        let reply = fetch(&mut connection, version, &request);
        let told: Vec<(&str, i16, Option<i64>)> = reply
            .groups
            .iter()
            .map(|g| {
                let first = g.topics.first().and_then(|t| t.partitions.first());
                (g.group_id.as_str(), g.error_code, first.map(|p| p.committed_offset))
            })
            .collect();
        assert_eq!(
            told,
            [
                (one.as_str(), 0, Some(1)),
                (two.as_str(), 0, Some(2)),
                (nowhere.as_str(), 0, Some(-1))
            ],
            "version {version}"
        );
    }
}

/// Goal: offsets that are stable anyway are told to who requires that, whatever the state of the group, and a member and epoch of a
/// classic group mean nothing.
#[test]
fn anybody_may_ask_in_any_state() {
    let server = Server::shared();
    let topic = server.topic("any-state", 1);
    let group = server.group("any-state");
    let mut members = Member::stable_group(server, &group, 2);
    assert_eq!(members[0].commit(&topic, 0, 3), 0);
    for state in ["Stable", "CompletingRebalance"] {
        for version in REQUIRE_STABLE_SINCE..=10 {
            let who = if version >= MEMBER_SINCE {
                (Some("m"), 77)
            } else {
                (None, -1)
            };
            let request = fetch_request(version, &group, who, Some(&[(&topic, &[0])])).with_require_stable(true);
            let found = fetched(version, &fetch(&mut members[1].connection, version, &request));
            let told = (0, vec![expected(version, &topic, 0, 3, -1, "")]);
            assert_eq!(found, told, "version {version} in {state}");
        }
        if state == "Stable" {
            rejoin_all(server, &mut members);
        }
    }
}
