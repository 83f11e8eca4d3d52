//! Classic groups: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and what DescribeGroups, ListGroups and DeleteGroups say of them. One
//! member at a time; several are in [`super::rebalances`].

use crate::codec::bytes;
use crate::script::{Script, Session};
use kafka_test::groups::subscription;
use serde_json::{json, Value};

/// Versions of the other APIs by which a script brings a group into a state; the newest, so that the group is the same at every version.
pub const JOIN: i16 = 9;
pub const SYNC: i16 = 5;
pub const LEAVE: i16 = 5;
const DESCRIBE: i16 = 6;

pub const SCRIPTS: &[Script] = &[
    Script::new("JoinGroup", "one member", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        // From version 4 on the first answer is an id only.
        s.call("first", joining(group.as_str(), ""));
        s.call("with the id", joining(group.as_str(), "$member1"));
        s.call("again", joining(group.as_str(), "$member1"));
        describe(s, &group);
        sync(s, &group, 1, "$member1");
        s.call("the leader of a stable group", joining(group.as_str(), "$member1"));
        describe(s, &group);
    }),
    Script::new("JoinGroup", "a static member", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        let fixed = |id: &str| with(joining(group.as_str(), id), json!({"GroupInstanceId": "i"}));
        s.call("first", fixed(""));
        s.call("another id", fixed("m"));
        s.call("without its name", joining(group.as_str(), "$member1"));
        sync(s, &group, 2, "$member1");
        describe(s, &group);
        s.call("again without an id", fixed(""));
        s.call("the old id", fixed("$member1"));
        describe(s, &group);
    })
    .since(5),
    Script::new("JoinGroup", "errors", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        for name in ["", &group] {
            for id in ["", "m"] {
                s.call(
                    &format!("session of 5,999 ms, group {name:?}, member {id:?}"),
                    with(joining(name, id), json!({"SessionTimeoutMs": 5_999})),
                );
            }
            s.call(&format!("unknown member, group {name:?}"), joining(name, "m"));
        }
        s.call("null group", joining(Value::Null, ""));
        s.call("null member", joining(group.as_str(), Value::Null));
        for timeout in [-1, 0, 1_800_001, i32::MAX] {
            s.call(
                &format!("session of {timeout} ms"),
                with(joining(group.as_str(), ""), json!({"SessionTimeoutMs": timeout})),
            );
        }
        s.call("no protocols", with(joining(group.as_str(), ""), json!({"Protocols": []})));
        s.call(
            "null protocols",
            with(joining(group.as_str(), ""), json!({"Protocols": null})),
        );
        s.call("no type", with(joining(group.as_str(), ""), json!({"ProtocolType": ""})));
        s.call("null type", with(joining(group.as_str(), ""), json!({"ProtocolType": null})));
        describe(s, &group);
    }),
    Script::new("JoinGroup", "protocols", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        let several = |id: &str, names: &[&str]| {
            let protocols: Vec<Value> = names
                .iter()
                .map(|name| json!({"Name": name, "Metadata": bytes(&subscription(&[], b""))}))
                .collect();
            with(joining(group.as_str(), id), json!({"Protocols": protocols}))
        };
        s.call("first", several("", &["b", "a"]));
        s.call("with the id", several("$member1", &["b", "a"]));
        s.call("changed", several("$member1", &["a"]));
        s.call("an empty name", several("$member1", &[""]));
        s.call(
            "another type",
            with(joining(group.as_str(), "$member1"), json!({"ProtocolType": "connect"})),
        );
        s.call("none", several("$member1", &[]));
        describe(s, &group);
    })
    .since(4),
    Script::new("JoinGroup", "other types", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        let connect = |id: &str, metadata: &[u8]| {
            let protocols = json!([{"Name": "default", "Metadata": bytes(metadata)}]);
            with(
                joining(group.as_str(), id),
                json!({"ProtocolType": "connect", "Protocols": protocols}),
            )
        };
        s.call("first", connect("", b"anything"));
        s.call("with the id", connect("$member1", b"anything"));
        s.call("something else", connect("$member1", b""));
        describe(s, &group);
    }),
    Script::new("SyncGroup", "one member", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        join(s, &group);
        let syncing = |generation: i32, id: &str| syncing(group.as_str(), generation, id, &[(id, b"assignment")]);
        for generation in [0, 2, -1] {
            s.call(&format!("generation {generation}"), syncing(generation, "$member1"));
        }
        s.call("unknown member", syncing(1, "m"));
        s.call("no member", syncing(1, ""));
        s.call("a name", with(syncing(1, "$member1"), json!({"GroupInstanceId": "i"})));
        s.call(
            "another type",
            with(syncing(1, "$member1"), json!({"ProtocolType": "connect"})),
        );
        s.call(
            "another protocol",
            with(syncing(1, "$member1"), json!({"ProtocolName": "roundrobin"})),
        );
        s.call(
            "no protocol",
            with(syncing(1, "$member1"), json!({"ProtocolType": null, "ProtocolName": null})),
        );
        s.call("right", syncing(1, "$member1"));
        s.call(
            "again with something else",
            self::syncing(group.as_str(), 1, "$member1", &[("$member1", b"other")]),
        );
        describe(s, &group);
    }),
    Script::new("SyncGroup", "assignments", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        join(s, &group);
        s.call("of another only", syncing(group.as_str(), 1, "$member1", &[("m", b"x")]));
        describe(s, &group);
        let group = s.name("h");
        join(s, &group);
        s.call(
            "twice",
            syncing(
                group.as_str(),
                1,
                "$member2",
                &[("$member2", b"first"), ("$member2", b"second")],
            ),
        );
        s.call(
            "null",
            with(syncing(group.as_str(), 1, "$member2", &[]), json!({"Assignments": null})),
        );
    }),
    Script::new("SyncGroup", "no group", |s| {
        s.ready_for_groups();
        s.call("empty name", syncing("", 1, "m", &[]));
        s.call("unknown", syncing(s.name("unknown").as_str(), 1, "m", &[]));
        s.call("null", syncing(Value::Null, 1, "m", &[]));
    }),
    Script::new("Heartbeat", "all", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        s.call("no group yet", beating(group.as_str(), 1, "m"));
        s.call("empty name", beating("", 1, "m"));
        s.call("null name", beating(Value::Null, 1, "m"));
        join(s, &group);
        for state in ["before the assignment", "stable"] {
            for (generation, id) in [
                (1, "$member1"),
                (0, "$member1"),
                (2, "$member1"),
                (-1, "$member1"),
                (1, "m"),
                (1, ""),
            ] {
                s.call(
                    &format!("{state}, generation {generation}, member {id:?}"),
                    beating(group.as_str(), generation, id),
                );
            }
            s.call(
                &format!("{state}, a name"),
                with(beating(group.as_str(), 1, "$member1"), json!({"GroupInstanceId": "i"})),
            );
            sync(s, &group, 1, "$member1");
        }
        leave(s, &group, "$member1");
        s.call("left", beating(group.as_str(), 1, "$member1"));
    }),
    Script::new("LeaveGroup", "all", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        let leaving = |group: Value, members: &[(&str, Option<&str>)]| {
            let list: Vec<Value> = members
                .iter()
                .map(|(id, name)| json!({"MemberId": id, "GroupInstanceId": name, "Reason": "why"}))
                .collect();
            json!({"GroupId": group, "MemberId": members.first().map_or("", |(id, _)| id), "Members": list})
        };
        s.call("no group yet", leaving(group.as_str().into(), &[("m", None)]));
        s.call("empty name", leaving("".into(), &[("m", None)]));
        s.call("null name", leaving(Value::Null, &[("m", None)]));
        join(s, &group);
        sync(s, &group, 1, "$member1");
        let own = |members: &[(&str, Option<&str>)]| leaving(group.as_str().into(), members);
        s.call("nobody", own(&[]));
        s.call("unknown", own(&[("m", None), ("", None), ("", Some("i")), ("m", Some("i"))]));
        s.call("null members", with(own(&[]), json!({"Members": null})));
        describe(s, &group);
        s.call("right, and again", own(&[("$member1", None), ("$member1", None)]));
        s.call("left", own(&[("$member1", None)]));
        describe(s, &group);
    }),
    Script::new("DescribeGroups", "all", |s| {
        s.ready_for_groups();
        let (group, unknown) = (s.name("g"), s.name("unknown"));
        let describing = |groups: &[&str], operations: bool| json!({"Groups": groups, "IncludeAuthorizedOperations": operations});
        s.call("unknown", describing(&[&unknown], false));
        s.call("empty name", describing(&[""], false));
        s.call("none", describing(&[], false));
        s.call("null", json!({"Groups": null}));
        join(s, &group);
        for state in ["before the assignment", "stable"] {
            s.call(state, describing(&[&group], false));
            s.call(&format!("{state}, with operations"), describing(&[&group, &unknown], true));
            sync(s, &group, 1, "$member1");
        }
        s.call("twice", describing(&[&group, &group], false));
        leave(s, &group, "$member1");
        s.call("empty", describing(&[&group], false));
    }),
    Script::new("ListGroups", "all", |s| {
        s.ready_for_groups();
        let group = s.name("g");
        join(s, &group);
        sync(s, &group, 1, "$member1");
        list(s, "all", json!({}));
        for states in [
            &["Stable"][..],
            &["stable"],
            &["Empty", "Dead"],
            &["none such"],
            &[""],
            &["Stable", "Stable"],
        ] {
            list(s, &format!("states {states:?}"), json!({"StatesFilter": states}));
        }
        for types in [&["classic"][..], &["CLASSIC", "share"], &["consumer"], &["none such"], &[""]] {
            list(s, &format!("types {types:?}"), json!({"TypesFilter": types}));
        }
        list(s, "null", json!({"StatesFilter": null, "TypesFilter": null}));
        leave(s, &group, "$member1");
        list(s, "empty", json!({"StatesFilter": ["Empty"], "TypesFilter": ["classic"]}));
    }),
    Script::new("DeleteGroups", "all", |s| {
        s.ready_for_groups();
        let (group, unknown) = (s.name("g"), s.name("unknown"));
        join(s, &group);
        s.call("with a member", json!({"GroupsNames": [group]}));
        leave(s, &group, "$member1");
        s.call("unknown and empty names", json!({"GroupsNames": [unknown, ""]}));
        s.call("without a member", json!({"GroupsNames": [group, unknown]}));
        s.call("again", json!({"GroupsNames": [group]}));
        s.call("none", json!({"GroupsNames": []}));
        s.call("null", json!({"GroupsNames": null}));
        describe(s, &group);
    }),
];

/// A list of groups, until both say the same: members that other scripts have left expire when they do.
fn list(s: &mut Session, step: &str, body: Value) {
    s.read_back(step, "ListGroups", s.version, body);
}

/// `body` with other fields, or other values of those that it has.
pub fn with(mut body: Value, other: Value) -> Value {
    if let (Some(fields), Value::Object(other)) = (body.as_object_mut(), other) {
        fields.extend(other);
    }
    body
}

/// A JoinGroup of a member that knows "range".
pub fn joining(group: impl Into<Value>, member: impl Into<Value>) -> Value {
    json!({
        "GroupId": group.into(),
        "SessionTimeoutMs": 30_000,
        "RebalanceTimeoutMs": 30_000,
        "MemberId": member.into(),
        "ProtocolType": "consumer",
        "Protocols": [{"Name": "range", "Metadata": bytes(&subscription(&[], b""))}],
    })
}

/// A SyncGroup of the leader, or of a follower who assigns nothing.
pub fn syncing(group: impl Into<Value>, generation: i32, member: &str, assignments: &[(&str, &[u8])]) -> Value {
    let list: Vec<Value> = assignments
        .iter()
        .map(|(id, of)| json!({"MemberId": id, "Assignment": bytes(of)}))
        .collect();
    json!({
        "GroupId": group.into(),
        "GenerationId": generation,
        "MemberId": member,
        "ProtocolType": "consumer",
        "ProtocolName": "range",
        "Assignments": list,
    })
}

/// A Heartbeat.
pub fn beating(group: impl Into<Value>, generation: i32, member: &str) -> Value {
    json!({"GroupId": group.into(), "GenerationId": generation, "MemberId": member})
}

/// A member joins a group that has none; it is the next `$member`.
pub fn join(s: &mut Session, group: &str) {
    let outcomes = s.call_api("join", "JoinGroup", JOIN, joining(group, ""));
    let id = outcomes.kafka.tree()["MemberId"].clone();
    s.call_api("join with the id", "JoinGroup", JOIN, joining(group, id));
}

/// The leader assigns something to itself.
pub fn sync(s: &mut Session, group: &str, generation: i32, member: &str) {
    let body = syncing(group, generation, member, &[(member, b"assignment")]);
    s.call_api("sync", "SyncGroup", SYNC, body);
}

/// A member leaves.
pub fn leave(s: &mut Session, group: &str, member: &str) {
    let body = json!({"GroupId": group, "Members": [{"MemberId": member, "GroupInstanceId": null}]});
    s.call_api("leave", "LeaveGroup", LEAVE, body);
}

/// Compares what is told of a group.
pub fn describe(s: &mut Session, group: &str) {
    // Apache Kafka describes what is committed, which may be a little behind what it has answered.
    s.read_back("describe", "DescribeGroups", DESCRIBE, json!({"Groups": [group]}));
}
