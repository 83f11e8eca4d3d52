//! Committed offsets: OffsetCommit, OffsetFetch, OffsetDelete.

use crate::codec::NIL;
use crate::script::{Script, Session};
use crate::scripts::groups::{join, leave, sync, with};
use serde_json::{json, Value};

const UNKNOWN_ID: &str = "uuid:12345678-9abc-4def-8123-456789abcdef";
/// The first version of OffsetFetch that asks for several groups.
const GROUPS_SINCE: i16 = 8;

pub const SCRIPTS: &[Script] = &[
    Script::new("OffsetCommit", "of nobody", |s| {
        let (topic, group) = start(s);
        s.call("two partitions", commit_all(s, &group, &topic, &[(1, 5), (0, 7)]));
        s.call("a smaller offset", commit_all(s, &group, &topic, &[(0, 3)]));
        s.call("one twice", commit_all(s, &group, &topic, &[(0, 8), (0, 9)]));
        for offset in [0, -1, -2, i64::MIN, i64::MAX] {
            s.call(&format!("offset {offset}"), commit_all(s, &group, &topic, &[(0, offset)]));
            read_back(s, &group);
        }
        let body = committing(
            group.as_str(),
            -1,
            "",
            entries(
                s,
                &topic,
                json!([
                    {"PartitionIndex": 0, "CommittedOffset": 1, "CommittedLeaderEpoch": 5, "CommittedMetadata": null},
                    {"PartitionIndex": 1, "CommittedOffset": 1, "CommittedLeaderEpoch": -5, "CommittedMetadata": "ä note"},
                ]),
            ),
        );
        s.call("epochs and metadata", body);
        for retention in [0, 1, i64::MAX] {
            s.call(
                &format!("retention {retention}"),
                with(
                    commit_all(s, &group, &topic, &[(1, 2)]),
                    json!({"RetentionTimeMs": retention}),
                ),
            );
        }
        read_back(s, &group);
    }),
    Script::new("OffsetCommit", "metadata", |s| {
        let (topic, group) = start(s);
        for length in [4096, 4097] {
            for unit in ["x", "ä", "\u{1f980}"] {
                let metadata = unit.repeat(length / unit.encode_utf16().count());
                let partitions = json!([
                    {"PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": metadata},
                    {"PartitionIndex": 1, "CommittedOffset": 2, "CommittedMetadata": "short"},
                ]);
                s.call(
                    &format!("{length} of {unit}"),
                    committing(group.as_str(), -1, "", entries(s, &topic, partitions)),
                );
            }
        }
        read_back(s, &group);
    }),
    Script::new("OffsetCommit", "places", |s| {
        let (topic, group) = start(s);
        for partition in [2, -1, i32::MAX] {
            s.call(
                &format!("partition {partition}"),
                commit_all(s, &group, &topic, &[(0, 1), (partition, 1)]),
            );
        }
        let partitions = json!([{"PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": ""}]);
        for (what, name, id) in [
            ("unknown", s.name("unknown"), UNKNOWN_ID.to_owned()),
            ("empty", String::new(), NIL.to_owned()),
            ("impossible", "a b".to_owned(), UNKNOWN_ID.to_owned()),
        ] {
            let topics = json!([
                {"Name": name, "TopicId": id, "Partitions": partitions},
                {"Name": topic, "TopicId": s.id(&topic), "Partitions": partitions},
            ]);
            s.call(&format!("{what} and known"), committing(group.as_str(), -1, "", topics));
        }
        let twice = json!([
            {"Name": topic, "TopicId": s.id(&topic), "Partitions": partitions},
            {"Name": topic, "TopicId": s.id(&topic), "Partitions": partitions},
        ]);
        s.call("a topic twice", committing(group.as_str(), -1, "", twice));
        s.call(
            "no partitions",
            committing(group.as_str(), -1, "", entries(s, &topic, json!([]))),
        );
        s.call(
            "null partitions",
            committing(group.as_str(), -1, "", entries(s, &topic, Value::Null)),
        );
        s.call("no topics", committing(group.as_str(), -1, "", json!([])));
        s.call("null topics", committing(group.as_str(), -1, "", Value::Null));
        read_back(s, &group);
    }),
    Script::new("OffsetCommit", "members", |s| {
        let (topic, group) = start(s);
        let by = |s: &Session, group: Value, generation: i32, member: &str| {
            let partitions = json!([{"PartitionIndex": 0, "CommittedOffset": 1, "CommittedMetadata": ""}]);
            committing(group, generation, member, entries(s, &topic, partitions))
        };
        let own = || Value::from(group.as_str());
        for (generation, member) in [(0, ""), (1, "m"), (-1, "m"), (-2, "")] {
            s.call(
                &format!("no group, {generation} {member:?}"),
                by(s, s.name("none").into(), generation, member),
            );
        }
        s.call("null group", by(s, Value::Null, -1, ""));
        join(s, &group);
        for state in ["before the assignment", "stable"] {
            for (generation, member) in [
                (1, "$member1"),
                (0, "$member1"),
                (2, "$member1"),
                (-1, "$member1"),
                (1, "m"),
                (1, ""),
                (-1, ""),
                (-1, "m"),
            ] {
                s.call(&format!("{state}, {generation} {member:?}"), by(s, own(), generation, member));
            }
            s.call(
                &format!("{state}, a name"),
                with(by(s, own(), 1, "$member1"), json!({"GroupInstanceId": "i"})),
            );
            sync(s, &group, 1, "$member1");
        }
        leave(s, &group, "$member1");
        for (generation, member) in [(1, "$member1"), (-1, ""), (-1, "m"), (1, ""), (2, "")] {
            s.call(&format!("empty, {generation} {member:?}"), by(s, own(), generation, member));
        }
        read_back(s, &group);
    }),
    Script::new("OffsetFetch", "partitions and topics", |s| {
        let (topic, group) = start(s);
        s.call("no group", fetching(s, &[(&group, asked(s, &topic, &[0, 1]))]));
        s.call("all of no group", fetching(s, &[(&group, Value::Null)]));
        let committed = commit_all(s, &group, &topic, &[(0, 5)]);
        s.call_api("commit", "OffsetCommit", 9, committed);
        for stable in [false, true] {
            let stable = json!({"RequireStable": stable});
            s.call(
                "some",
                with(fetching(s, &[(&group, asked(s, &topic, &[1, 0, 7, -1]))]), stable.clone()),
            );
            s.call("all", with(fetching(s, &[(&group, Value::Null)]), stable));
        }
        s.call("one twice", fetching(s, &[(&group, asked(s, &topic, &[0, 0]))]));
        s.call("no partitions", fetching(s, &[(&group, asked(s, &topic, &[]))]));
        s.call("no topics", fetching(s, &[(&group, json!([]))]));
        for (what, name, id) in [
            ("unknown", "unknown", UNKNOWN_ID),
            ("nil", "", NIL),
            ("impossible", "a b", UNKNOWN_ID),
        ] {
            let topics = match s.version >= GROUPS_SINCE {
                true => json!([{"Name": name, "TopicId": id, "PartitionIndexes": [0, 1]}]),
                false => json!([{"Name": name, "PartitionIndexes": [0, 1]}]),
            };
            s.call(&format!("topic {what}"), fetching(s, &[(&group, topics)]));
        }
        s.call("null group", fetching_null(s));
    }),
    Script::new("OffsetFetch", "groups and members", |s| {
        let (topic, group) = start(s);
        let committed = commit_all(s, &group, &topic, &[(0, 5)]);
        s.call_api("commit", "OffsetCommit", 9, committed);
        let all = asked(s, &topic, &[0]);
        s.call(
            "two and one twice",
            fetching(
                s,
                &[(&group, all.clone()), (&s.name("other"), all.clone()), (&group, Value::Null)],
            ),
        );
        s.call("none", json!({"Groups": []}));
        s.call("null", json!({"Groups": null}));
        for (member, epoch) in [(json!("m"), -1), (Value::Null, 0), (json!(""), 5), (json!("m"), 5)] {
            let body = json!({"Groups": [{"GroupId": group, "MemberId": member, "MemberEpoch": epoch, "Topics": all}]});
            s.call(&format!("member {member} epoch {epoch}"), body);
        }
    })
    .since(GROUPS_SINCE),
    Script::new("OffsetDelete", "all", |s| {
        let (topic, group) = start(s);
        let deleting = |group: Value, topics: Value| json!({"GroupId": group, "Topics": topics});
        let own = || Value::from(group.as_str());
        let both = json!([{"Name": topic, "Partitions": [{"PartitionIndex": 0}, {"PartitionIndex": 1}]}]);
        s.call("no group", deleting(own(), both.clone()));
        s.call("empty name", deleting("".into(), both.clone()));
        s.call("null name", deleting(Value::Null, both.clone()));
        let committed = commit_all(s, &group, &topic, &[(0, 5)]);
        s.call_api("commit", "OffsetCommit", 9, committed);
        let one = |name: &str, partitions: &[i32]| {
            let list: Vec<Value> = partitions.iter().map(|index| json!({"PartitionIndex": index})).collect();
            json!({"Name": name, "Partitions": list})
        };
        s.call(
            "that are not there",
            deleting(own(), json!([one(&topic, &[2, -1]), one("unknown", &[0]), one("a b", &[0])])),
        );
        s.call("nothing", deleting(own(), json!([])));
        s.call("null", deleting(own(), Value::Null));
        s.call("no partitions", deleting(own(), json!([one(&topic, &[])])));
        s.call("both", deleting(own(), both.clone()));
        s.call("again, one twice", deleting(own(), json!([one(&topic, &[0, 0])])));
        read_back(s, &group);
    }),
];

/// A topic of two partitions and the name of a group.
fn start(s: &mut Session) -> (String, String) {
    s.ready_for_groups();
    (s.topic("t", 2), s.name("g"))
}

fn entries(s: &Session, topic: &str, partitions: Value) -> Value {
    json!([{"Name": topic, "TopicId": s.id(topic), "Partitions": partitions}])
}

fn committing(group: impl Into<Value>, generation: i32, member: &str, topics: Value) -> Value {
    json!({"GroupId": group.into(), "GenerationIdOrMemberEpoch": generation, "MemberId": member, "Topics": topics})
}

/// A commit of nobody: partitions and offsets.
fn commit_all(s: &Session, group: &str, topic: &str, offsets: &[(i32, i64)]) -> Value {
    let partitions: Vec<Value> = offsets
        .iter()
        .map(|(partition, offset)| json!({"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": ""}))
        .collect();
    committing(group, -1, "", entries(s, topic, partitions.into()))
}

/// A topic's partitions as the session's version of OffsetFetch lists them.
fn asked(s: &Session, topic: &str, partitions: &[i32]) -> Value {
    match s.version >= GROUPS_SINCE {
        true => json!([{"Name": topic, "TopicId": s.id(topic), "PartitionIndexes": partitions}]),
        false => json!([{"Name": topic, "PartitionIndexes": partitions}]),
    }
}

/// An OffsetFetch of groups, the first of them below version 8.
fn fetching(s: &Session, groups: &[(&str, Value)]) -> Value {
    if s.version < GROUPS_SINCE {
        let (group, topics) = &groups[0];
        return json!({"GroupId": group, "Topics": topics});
    }
    let list: Vec<Value> = groups
        .iter()
        .map(|(group, topics)| json!({"GroupId": group, "Topics": topics}))
        .collect();
    json!({"Groups": list})
}

fn fetching_null(s: &Session) -> Value {
    match s.version >= GROUPS_SINCE {
        true => json!({"Groups": [{"GroupId": null, "Topics": null}]}),
        false => json!({"GroupId": null, "Topics": null}),
    }
}

fn read_back(s: &mut Session, group: &str) {
    let body = json!({"Groups": [{"GroupId": group, "Topics": null}]});
    s.read_back("offsets", "OffsetFetch", 9, body);
}
