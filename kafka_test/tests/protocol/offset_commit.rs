//! OffsetCommit: who may commit what; names of topics up to version 9, ids from version 10 on.

use crate::code;
use kafka_protocol::messages::{DeleteGroupsRequest, OffsetCommitRequest};
use kafka_test::groups::{describe, group_id, rejoin_all, text, Joining, Member};
use kafka_test::offsets::{
    commit, commit_errors, commit_one, commit_request, committed, committing, fetch, fetch_request, fetched, OFFSET_FETCH,
};
use kafka_test::server::Server;
use kafka_test::topic::Topic;
use uuid::Uuid;

const VERSIONS: std::ops::RangeInclusive<i16> = 2..=10;
/// The first version with static members.
const STATIC_SINCE: i16 = 7;
/// The first version that tells a group that is not there from a wrong generation.
const GROUP_ID_NOT_FOUND_SINCE: i16 = 9;
/// The first version that names topics by id.
const TOPIC_IDS_SINCE: i16 = 10;
/// Characters of metadata that a broker keeps by default.
const LONGEST_METADATA: usize = 4096;

/// Goal: at every version a consumer without a group commits, the group exists from then on, and the reply names every topic and
/// partition as the request does.
#[test]
fn without_a_member() {
    let server = Server::shared();
    let topic = server.topic("simple", 3);
    let mut connection = server.connect();
    for version in VERSIONS {
        let group = server.group("simple");
        let partitions = vec![
            committing(2, 7, Some("note")),
            committing(0, 0, None),
            committing(1, i64::MAX, Some("")),
        ];
        let reply = commit(&mut connection, version, &commit_request(&group, &topic, partitions));
        assert_eq!(commit_errors(&reply), [0, 0, 0], "version {version}");
        let answered = &reply.topics[0];
        if version < TOPIC_IDS_SINCE {
            assert_eq!(answered.name.as_str(), topic.name, "version {version}");
        } else {
            assert_eq!(answered.topic_id, topic.id, "version {version}");
        }
        let order: Vec<i32> = answered.partitions.iter().map(|p| p.partition_index).collect();
        assert_eq!(order, [2, 0, 1], "version {version}");
        let offsets = [0, 1, 2].map(|partition| committed(&mut connection, &group, &topic, partition));
        assert_eq!(offsets, [0, i64::MAX, 7], "version {version}");
    }
}

/// Goal: a later commit replaces an earlier one, also with a smaller offset, and so does a second one in the same request.
#[test]
fn the_last_commit_counts() {
    let server = Server::shared();
    let topic = server.topic("last", 1);
    let group = server.group("last");
    let mut connection = server.connect();
    for (version, offset) in VERSIONS.zip([10, 20, 5, 6, 0, 30, 1, 2, 3]) {
        assert_eq!(commit_one(&mut connection, version, &group, &topic, 0, offset), 0);
        assert_eq!(committed(&mut connection, &group, &topic, 0), offset, "version {version}");
    }
    let twice = commit_request(&group, &topic, vec![committing(0, 8, None), committing(0, 4, None)]);
    assert_eq!(commit_errors(&commit(&mut connection, 10, &twice)), [0, 0]);
    assert_eq!(committed(&mut connection, &group, &topic, 0), 4);
}

/// Goal: topics, ids and partitions that do not exist fail alone; the others of the request are committed.
#[test]
fn unknown_partitions_fail_alone() {
    let server = Server::shared();
    let topic = server.topic("alone", 1);
    let mut connection = server.connect();
    for version in VERSIONS {
        let group = server.group("alone");
        let mut request = commit_request(&group, &topic, vec![committing(0, 3, None), committing(1, 3, None)]);
        let stranger = Topic {
            name: "no-such-topic".to_owned(),
            id: Uuid::new_v4(),
        };
        request
            .topics
            .extend(commit_request(&group, &stranger, vec![committing(0, 3, None)]).topics);
        let reply = commit(&mut connection, version, &request);
        let mut found: Vec<(bool, i32, i16)> = Vec::new();
        for answered in &reply.topics {
            let known = answered.name.as_str() == topic.name || answered.topic_id == topic.id;
            found.extend(answered.partitions.iter().map(|p| (known, p.partition_index, p.error_code)));
        }
        found.sort_unstable();
        let unknown = if version < TOPIC_IDS_SINCE {
            code::UNKNOWN_TOPIC_OR_PARTITION
        } else {
            code::UNKNOWN_TOPIC_ID
        };
        let expected = [(false, 0, unknown), (true, 0, 0), (true, 1, code::UNKNOWN_TOPIC_OR_PARTITION)];
        assert_eq!(found, expected, "version {version}");
        assert_eq!(committed(&mut connection, &group, &topic, 0), 3, "version {version}");
    }
}

/// Goal: metadata of 4096 characters is kept, longer ones fail their partition alone.
#[test]
fn metadata_has_a_limit() {
    let server = Server::shared();
    let topic = server.topic("metadata", 2);
    let mut connection = server.connect();
    let (longest, longer) = ("ä".repeat(LONGEST_METADATA), "x".repeat(LONGEST_METADATA + 1));
    for version in VERSIONS {
        let group = server.group("metadata");
        let partitions = vec![committing(0, 1, Some(&longest)), committing(1, 1, Some(&longer))];
        let reply = commit(&mut connection, version, &commit_request(&group, &topic, partitions));
        assert_eq!(
            commit_errors(&reply),
            [0, code::OFFSET_METADATA_TOO_LARGE],
            "version {version}"
        );
        let request = fetch_request(OFFSET_FETCH, &group, (None, -1), Some(&[(&topic, &[0, 1])]));
        let (_, found) = fetched(OFFSET_FETCH, &fetch(&mut connection, OFFSET_FETCH, &request));
        assert_eq!(found[0].metadata.as_deref(), Some(longest.as_str()), "version {version}");
        assert_eq!(
            (found[1].offset, found[1].metadata.as_deref()),
            (-1, Some("")),
            "version {version}"
        );
    }
}

/// Goal: each commit of somebody who is not a member, or not of this generation, has its error in all its partitions.
#[test]
fn wrong_commits_are_refused() {
    let server = Server::shared();
    let topic = server.topic("wrong", 2);
    let group = server.group("wrong");
    let mut members = Member::stable_group(server, &group, 1);
    let id = members[0].id().to_owned();
    let connection = &mut members[0].connection;
    for version in VERSIONS {
        let mut error = |group: &str, generation, member: &str, instance: Option<&str>| {
            let partitions = vec![committing(0, 9, None), committing(1, 9, None)];
            let request = commit_request(group, &topic, partitions)
                .with_generation_id_or_member_epoch(generation)
                .with_member_id(text(member))
                .with_group_instance_id(instance.map(text));
            let errors = commit_errors(&commit(connection, version, &request));
            assert_eq!(errors.len(), 2, "version {version}");
            assert_eq!(errors[0], errors[1], "version {version}");
            errors[0]
        };
        assert_eq!(
            error(&group, -1, "", None),
            code::UNKNOWN_MEMBER_ID,
            "no member, and the group has some"
        );
        assert_eq!(error(&group, 1, "m", None), code::UNKNOWN_MEMBER_ID, "version {version}");
        assert_eq!(error(&group, 1, "", None), code::UNKNOWN_MEMBER_ID, "version {version}");
        for generation in [0, 2, -1] {
            assert_eq!(
                error(&group, generation, &id, None),
                code::ILLEGAL_GENERATION,
                "version {version}"
            );
        }
        if version >= STATIC_SINCE {
            assert_eq!(error(&group, 1, &id, Some("i")), code::UNKNOWN_MEMBER_ID, "version {version}");
        }
        let missing = if version >= GROUP_ID_NOT_FOUND_SINCE {
            code::GROUP_ID_NOT_FOUND
        } else {
            code::ILLEGAL_GENERATION
        };
        let nowhere = server.group("nowhere");
        assert_eq!(error(&nowhere, 1, "m", None), missing, "version {version}");
        assert_eq!(error(&group, 1, &id, None), 0, "version {version}");
    }
}

/// Goal: a static member's commit must carry the id that belongs to its name.
#[test]
fn a_wrong_id_of_a_static_member_is_fenced() {
    let server = Server::shared();
    let topic = server.topic("static", 1);
    let group = server.group("static");
    let mut members = Member::stable_group_of(server, vec![Joining::new(&group).instance("i")]);
    for version in STATIC_SINCE..=10 {
        let own = members[0].commit_request(&topic, 0, 5);
        let other = own.clone().with_member_id(text("other"));
        let connection = &mut members[0].connection;
        let mut error = |request: &OffsetCommitRequest| commit_errors(&commit(connection, version, request))[0];
        assert_eq!(error(&other), code::FENCED_INSTANCE_ID, "version {version}");
        assert_eq!(error(&own), 0, "version {version}");
    }
}

/// Goal: while members are awaited a member of the generation may commit what it gives up; between the join and the assignment it is
/// told to wait.
#[test]
fn commits_during_a_rebalance() {
    let server = Server::shared();
    let topic = server.topic("rebalance", 1);
    let group = server.group("rebalance");
    let mut members = Member::stable_group(server, &group, 1);
    let mut second = Member::new(server, &group);
    second.identify();
    let joining = second.send_join();
    members[0].heartbeat_until(code::REBALANCE_IN_PROGRESS);
    let before = members[0].commit_request(&topic, 0, 0);
    for version in VERSIONS {
        let request = members[0].commit_request(&topic, 0, i64::from(version));
        let errors = commit_errors(&commit(&mut members[0].connection, version, &request));
        assert_eq!(errors, [0], "version {version}");
        assert_eq!(committed(&mut members[0].connection, &group, &topic, 0), i64::from(version));
    }
    assert_eq!(members[0].join().generation_id, 2);
    assert_eq!(second.receive_join(joining).generation_id, 2);
    for version in VERSIONS {
        let request = second.commit_request(&topic, 0, 99);
        let errors = commit_errors(&commit(&mut second.connection, version, &request));
        assert_eq!(errors, [code::REBALANCE_IN_PROGRESS], "version {version}");
        let errors = commit_errors(&commit(&mut members[0].connection, version, &before));
        assert_eq!(errors, [code::ILLEGAL_GENERATION], "version {version}");
    }
    assert_eq!(committed(&mut second.connection, &group, &topic, 0), 10);
}

/// Goal: what was committed outlives the member, its generation and the last member of the group.
#[test]
fn offsets_outlive_members() {
    let server = Server::shared();
    let topic = server.topic("outlive", 1);
    let group = server.group("outlive");
    let mut members = Member::stable_group(server, &group, 2);
    assert_eq!(members[1].commit(&topic, 0, 42), 0);
    rejoin_all(server, &mut members);
    assert_eq!(committed(&mut members[0].connection, &group, &topic, 0), 42);
    assert_eq!([members[0].leave(), members[1].leave()], [0, 0]);
    assert_eq!(committed(&mut members[0].connection, &group, &topic, 0), 42);
    assert_eq!(
        commit_one(&mut members[0].connection, 10, &group, &topic, 0, 43),
        0,
        "an empty group takes commits of nobody"
    );
    assert_eq!(committed(&mut members[0].connection, &group, &topic, 0), 43);
}

/// Goal: the empty name, which nobody can join under, is a group for offsets as any other: they are committed, told and deleted.
#[test]
fn the_empty_name_has_offsets() {
    let server = Server::shared();
    let topic = server.topic("nameless", 1);
    // Waits for the coordinator.
    server.group("nameless");
    let mut connection = server.connect();
    for version in VERSIONS {
        assert_eq!(commit_one(&mut connection, version, "", &topic, 0, 7), 0, "version {version}");
        for fetching in 1..=10 {
            let request = fetch_request(fetching, "", (None, -1), Some(&[(&topic, &[0])]));
            let (error, found) = fetched(fetching, &fetch(&mut connection, fetching, &request));
            assert_eq!(
                (error, found[0].error_code, found[0].offset),
                (0, 0, 7),
                "OffsetFetch {fetching}"
            );
        }
        let described = describe(&mut connection, "");
        assert_eq!((described.error_code, described.group_state.as_str()), (0, "Empty"));
        let request = DeleteGroupsRequest::default().with_groups_names(vec![group_id("")]);
        for error in [0, code::GROUP_ID_NOT_FOUND] {
            assert_eq!(connection.call(2, &request).results[0].error_code, error, "version {version}");
        }
        assert_eq!(committed(&mut connection, "", &topic, 0), -1, "version {version}");
    }
}

/// Goal: an empty request is answered with nothing, whoever sends it.
#[test]
fn nothing_to_commit() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in VERSIONS {
        let request = OffsetCommitRequest::default()
            .with_group_id(group_id("no-such-group"))
            .with_generation_id_or_member_epoch(5);
        assert!(
            commit(&mut connection, version, &request).topics.is_empty(),
            "version {version}"
        );
    }
}
