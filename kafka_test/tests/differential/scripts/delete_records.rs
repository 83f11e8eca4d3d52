//! DeleteRecords: moving the log start, and offsets that cannot be it.

use crate::script::Script;
use kafka_test::batch::Batch;
use serde_json::{json, Value};

pub const SCRIPTS: &[Script] = &[
    Script::new("DeleteRecords", "offsets", |s| {
        let topic = s.topic("t", 1);
        s.call("in an empty partition, -1", deleting(&topic, &[(0, -1)]));
        s.call("in an empty partition, 1", deleting(&topic, &[(0, 1)]));
        for _ in 0..4 {
            s.append(&topic, 0, &Batch::of(["a", "b"]));
        }
        for offset in [0, 3, 2, 0, -2, i64::MIN, 9, i64::MAX, 8, -1, -1] {
            s.call(&format!("offset {offset}"), deleting(&topic, &[(0, offset)]));
            s.call_api(
                &format!("earliest after {offset}"),
                "ListOffsets",
                5,
                json!({"Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "Timestamp": -2}]}]}),
            );
        }
    }),
    Script::new("DeleteRecords", "partitions", |s| {
        let topic = s.topic("t", 3);
        for partition in 0..3 {
            s.append(&topic, partition, &Batch::of(["a", "b"]));
        }
        s.call("all", deleting(&topic, &[(2, 1), (0, 2), (1, -1)]));
        s.call("that do not exist", deleting(&topic, &[(3, 0), (-1, 0), (i32::MAX, 0)]));
        s.call("one that exists", deleting(&topic, &[(0, 2), (9, 0)]));
        s.call("twice", deleting(&topic, &[(2, 1), (2, 2)]));
        s.call("none", deleting(&topic, &[]));
    }),
    Script::new("DeleteRecords", "topics", |s| {
        let (topic, unknown) = (s.topic("t", 1), s.name("unknown"));
        s.append(&topic, 0, &Batch::of(["a", "b"]));
        s.call("unknown", deleting(&unknown, &[(0, 0)]));
        s.call("impossible name", deleting("a b", &[(0, 0)]));
        s.call("empty name", deleting("", &[(0, 0)]));
        s.call(
            "two",
            json!({"Topics": [one(&unknown, &[(0, 0)]), one(&topic, &[(0, 1)])], "TimeoutMs": 20_000}),
        );
        s.call(
            "twice",
            json!({"Topics": [one(&topic, &[(0, 1)]), one(&topic, &[(0, 2)])], "TimeoutMs": 20_000}),
        );
        s.call("none", json!({"Topics": [], "TimeoutMs": 20_000}));
        s.call("null", json!({"Topics": null, "TimeoutMs": 20_000}));
    }),
];

fn one(topic: &str, partitions: &[(i32, i64)]) -> Value {
    let list: Vec<Value> = partitions
        .iter()
        .map(|(index, offset)| json!({"PartitionIndex": index, "Offset": offset}))
        .collect();
    json!({"Name": topic, "Partitions": list})
}

fn deleting(topic: &str, partitions: &[(i32, i64)]) -> Value {
    json!({"Topics": [one(topic, partitions)], "TimeoutMs": 20_000})
}
