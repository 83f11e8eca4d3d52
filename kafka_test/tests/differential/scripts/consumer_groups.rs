//! Groups of KIP-848: ConsumerGroupHeartbeat and ConsumerGroupDescribe.

use crate::script::{Script, Session};
use crate::scripts::groups::{join, with};
use serde_json::{json, Value};

pub const SCRIPTS: &[Script] = &[
    Script::new("ConsumerGroupHeartbeat", "one member", |s| {
        s.ready_for_groups();
        let (topic, group) = (s.topic_for_members("t", 2), s.name("g"));
        s.call("join", joining(group.as_str(), "m", &topic));
        describe(s, &group);
        s.call("quiet", beating(group.as_str(), "m", 2));
        s.call(
            "all said",
            with(joining(group.as_str(), "m", &topic), json!({"MemberEpoch": 2})),
        );
        s.call("a later epoch", beating(group.as_str(), "m", 9));
        s.call("an earlier epoch", beating(group.as_str(), "m", 1));
        s.call("an unknown member", beating(group.as_str(), "n", 1));
        s.call("join again", joining(group.as_str(), "m", &topic));
        s.call("leave", beating(group.as_str(), "m", -1));
        s.call("left", beating(group.as_str(), "m", 2));
        s.call("leave again", beating(group.as_str(), "m", -1));
        describe(s, &group);
    }),
    Script::new("ConsumerGroupHeartbeat", "errors", |s| {
        s.ready_for_groups();
        let (topic, group) = (s.topic_for_members("t", 1), s.name("g"));
        let join_with = |other: Value| with(joining(group.as_str(), "m", &topic), other);
        s.call("empty group", joining("", "m", &topic));
        s.call("null group", joining(Value::Null, "m", &topic));
        s.call("no group", beating(group.as_str(), "m", 1));
        s.call("no group to leave", beating(group.as_str(), "m", -1));
        s.call(
            "no group to leave for a while",
            with(beating(group.as_str(), "m", -2), json!({"InstanceId": "i"})),
        );
        s.call("no member", beating(group.as_str(), "", 1));
        s.call("nobody leaves", beating(group.as_str(), "", -1));
        s.call("leave for a while without a name", beating(group.as_str(), "m", -2));
        s.call("epoch -3", beating(group.as_str(), "m", -3));
        for (what, other) in [
            ("empty name", json!({"InstanceId": ""})),
            ("empty rack", json!({"RackId": ""})),
            ("no timeout", json!({"RebalanceTimeoutMs": -1})),
            ("owned null", json!({"TopicPartitions": null})),
            (
                "owns something",
                json!({"TopicPartitions": [{"TopicId": s.id(&topic), "Partitions": [0]}]}),
            ),
            (
                "no subscription",
                json!({"SubscribedTopicNames": null, "SubscribedTopicRegex": null}),
            ),
            ("unknown assignor", json!({"ServerAssignor": "none such"})),
            ("empty assignor", json!({"ServerAssignor": ""})),
        ] {
            s.call(what, join_with(other));
        }
    }),
    Script::new("ConsumerGroupHeartbeat", "a static member", |s| {
        s.ready_for_groups();
        let (topic, group) = (s.topic_for_members("t", 2), s.name("g"));
        let fixed = |id: &str, name: &str| with(joining(group.as_str(), id, &topic), json!({"InstanceId": name}));
        let beat = |id: &str, epoch: i32, name: &str| with(beating(group.as_str(), id, epoch), json!({"InstanceId": name}));
        s.call("join", fixed("m", "i"));
        describe(s, &group);
        s.call("another before it left", fixed("n", "i"));
        s.call("another name", beat("m", 2, "j"));
        s.call("another id", beat("n", 2, "i"));
        s.call("leave for a while", beat("m", -2, "i"));
        s.call("come back", fixed("n", "i"));
        s.call("the old id", beat("m", 2, "i"));
        s.call("leave", beat("n", -1, "i"));
        describe(s, &group);
    }),
    Script::new("ConsumerGroupDescribe", "all", |s| {
        s.ready_for_groups();
        let (topic, group, unknown, classic) = (s.topic_for_members("t", 2), s.name("g"), s.name("unknown"), s.name("classic"));
        let asking = |groups: &[&str], operations: bool| json!({"GroupIds": groups, "IncludeAuthorizedOperations": operations});
        s.call("unknown", asking(&[&unknown], false));
        s.call("empty name", asking(&[""], false));
        s.call("none", asking(&[], false));
        s.call("null", json!({"GroupIds": null}));
        s.call_api("join", "ConsumerGroupHeartbeat", 1, joining(group.as_str(), "m", &topic));
        describe(s, &group);
        join(s, &classic);
        s.call("one", asking(&[&group], true));
        s.call("some", asking(&[&group, &unknown, &classic, ""], true));
        s.call_api("leave", "ConsumerGroupHeartbeat", 1, beating(group.as_str(), "m", -1));
        s.call("empty", asking(&[&group], false));
    }),
];

/// The heartbeat with which a member joins.
pub fn joining(group: impl Into<Value>, member: &str, topic: &str) -> Value {
    json!({
        "GroupId": group.into(),
        "MemberId": member,
        "MemberEpoch": 0,
        "RebalanceTimeoutMs": 30_000,
        "SubscribedTopicNames": [topic],
        "TopicPartitions": [],
    })
}

/// A heartbeat that says nothing new.
pub fn beating(group: impl Into<Value>, member: &str, epoch: i32) -> Value {
    json!({"GroupId": group.into(), "MemberId": member, "MemberEpoch": epoch})
}

/// Waits until both servers say the same, which they do when the group has settled.
pub fn describe(s: &mut Session, group: &str) {
    s.read_back("describe", "ConsumerGroupDescribe", 1, json!({"GroupIds": [group]}));
}
