//! CreatePartitions, DescribeTopicPartitions, the reassignments, ElectLeaders, DescribeLogDirs, DescribeQuorum and UpdateFeatures.

use crate::allowed::Exception;
use crate::script::{Script, Session};
use serde_json::{json, Value};

const LOG_DIRS: &[Exception] = &[Exception::intended("**DescribeLogDirs**", "Results[].LogDir")];
const QUORUM: &[Exception] = &[
    Exception::intended("**DescribeQuorum**", "Topics"),
    Exception::intended("**DescribeQuorum**", "Nodes"),
];
pub const SCRIPTS: &[Script] = &[
    Script::new("CreatePartitions", "counts", create_partitions),
    Script::new("DescribeTopicPartitions", "topics and cursors", describe_topic_partitions),
    Script::new("ListPartitionReassignments", "topics", |s| {
        let (topic, unknown) = (s.topic("t", 2), s.name("unknown"));
        for (step, topics) in [
            ("all", Value::Null),
            ("none", json!([])),
            ("one", json!([{"Name": topic, "PartitionIndexes": [0, 1, 9]}])),
            ("unknown", json!([{"Name": unknown, "PartitionIndexes": [0]}])),
        ] {
            s.call(step, json!({"Topics": topics, "TimeoutMs": 10_000}));
        }
    }),
    Script::new("AlterPartitionReassignments", "cancelled", |s| {
        let (topic, unknown) = (s.topic("t", 1), s.name("unknown"));
        for (step, name, index) in [
            ("one", &topic, 0),
            ("unknown partition", &topic, 9),
            ("unknown topic", &unknown, 0),
        ] {
            let partitions = json!([{"PartitionIndex": index, "Replicas": null}]);
            s.call(
                step,
                json!({"Topics": [{"Name": name, "Partitions": partitions}], "TimeoutMs": 10_000}),
            );
        }
        s.call("none", json!({"Topics": [], "TimeoutMs": 10_000}));
    }),
    Script::new("ElectLeaders", "partitions", |s| {
        let (topic, unknown) = (s.topic("t", 2), s.name("unknown"));
        for (step, name, indexes) in [
            ("some", &topic, json!([0, 1])),
            ("unknown partition", &topic, json!([9])),
            ("unknown topic", &unknown, json!([0])),
        ] {
            let topics = json!([{"Topic": name, "Partitions": indexes}]);
            s.call(
                step,
                json!({"ElectionType": 0, "TopicPartitions": topics, "TimeoutMs": 10_000}),
            );
        }
        s.call("none", json!({"ElectionType": 0, "TopicPartitions": [], "TimeoutMs": 10_000}));
    }),
    Script::new("DescribeLogDirs", "topics", |s| {
        let (topic, unknown) = (s.topic("t", 2), s.name("unknown"));
        for (step, name, indexes) in [
            ("some", &topic, json!([0, 1])),
            ("unknown partition", &topic, json!([9])),
            ("unknown topic", &unknown, json!([0])),
        ] {
            s.except(LOG_DIRS)
                .call(step, json!({"Topics": [{"Topic": name, "Partitions": indexes}]}));
        }
    }),
    Script::new("DescribeQuorum", "partitions", |s| {
        for (topic, index) in [("__cluster_metadata", 0), ("__cluster_metadata", 1), ("other", 0)] {
            let topics = json!([{"TopicName": topic, "Partitions": [{"PartitionIndex": index}]}]);
            s.except(QUORUM).call(&format!("{topic} {index}"), json!({"Topics": topics}));
        }
    }),
    Script::new("UpdateFeatures", "unknown", |s| {
        let update = json!([{"Feature": "no.such.feature", "MaxVersionLevel": 1, "UpgradeType": 1, "AllowDowngrade": false}]);
        s.call("unknown", json!({"timeoutMs": 10_000, "FeatureUpdates": update}));
    }),
];

fn create_partitions(s: &mut Session) {
    let (topic, unknown) = (s.topic("t", 2), s.name("unknown"));
    let one = |name: &str, count: i32, assignments: Value| json!({"Name": name, "Count": count, "Assignments": assignments});
    let assigned = |brokers: &[&[i32]]| brokers.iter().map(|b| json!({"BrokerIds": b})).collect::<Value>();
    for (step, entry) in [
        ("more", one(&topic, 3, Value::Null)),
        ("as many", one(&topic, 3, Value::Null)),
        ("fewer", one(&topic, 1, Value::Null)),
        ("zero", one(&topic, 0, Value::Null)),
        ("negative", one(&topic, -1, Value::Null)),
        ("unknown topic", one(&unknown, 3, Value::Null)),
        ("impossible name", one("a b", 3, Value::Null)),
        ("assigned", one(&topic, 4, assigned(&[&[1]]))),
        ("assigned too few", one(&topic, 6, assigned(&[&[1]]))),
        ("assigned too many", one(&topic, 5, assigned(&[&[1], &[1]]))),
        ("unknown broker", one(&topic, 5, assigned(&[&[7]]))),
        ("a broker twice", one(&topic, 5, assigned(&[&[1, 1]]))),
        ("no broker", one(&topic, 5, assigned(&[&[]]))),
    ] {
        for validate in [true, false] {
            let body = json!({"Topics": [entry], "TimeoutMs": 20_000, "ValidateOnly": validate});
            s.call(&format!("{step}, validate {validate}"), body);
        }
    }
    let twice = json!([one(&topic, 5, Value::Null), one(&topic, 6, Value::Null)]);
    s.call("twice", json!({"Topics": twice, "TimeoutMs": 20_000}));
    s.call("none", json!({"Topics": [], "TimeoutMs": 20_000}));
}

fn describe_topic_partitions(s: &mut Session) {
    let (a, b, unknown) = (s.topic("a", 2), s.topic("b", 3), s.name("unknown"));
    let named = |names: &[&str]| names.iter().map(|name| json!({"Name": name})).collect::<Value>();
    s.call("one", json!({"Topics": named(&[&a])}));
    s.call("two", json!({"Topics": named(&[&b, &a])}));
    s.call("twice", json!({"Topics": named(&[&a, &a])}));
    s.call("unknown", json!({"Topics": named(&[&unknown, &a])}));
    s.call("impossible name", json!({"Topics": named(&["a b"])}));
    for limit in [1, 2, 3, 4, 5, 2000] {
        s.call(
            &format!("at most {limit}"),
            json!({"Topics": named(&[&a, &b]), "ResponsePartitionLimit": limit}),
        );
    }
    for (name, index) in [(&a, 0), (&a, 1), (&b, 2), (&b, 9), (&unknown, 0), (&b, -1)] {
        let cursor = json!({"TopicName": name, "PartitionIndex": index});
        s.call(
            &format!("from {index}"),
            json!({"Topics": named(&[&a, &b]), "ResponsePartitionLimit": 2, "Cursor": cursor}),
        );
    }
}
