//! OffsetForLeaderEpoch: where an epoch ends.

use crate::script::Script;
use kafka_test::batch::Batch;
use serde_json::{json, Value};

pub const SCRIPTS: &[Script] = &[
    Script::new("OffsetForLeaderEpoch", "epochs", |s| {
        let (filled, empty) = (s.topic("t", 1), s.topic("empty", 1));
        s.append(&filled, 0, &Batch::of(["a", "b"]));
        for topic in [&filled, &empty] {
            for epoch in [
                json!("$epoch"),
                json!("$epoch+1"),
                json!("$epoch+5"),
                json!(-1),
                json!(-2),
                json!(i32::MAX),
            ] {
                for current in [json!(-1), json!("$epoch"), json!("$epoch+1")] {
                    let step = format!("epoch {epoch}, current {current}, empty {}", topic == &empty);
                    s.call(&step, asking(json!([entry(topic, &[(0, &current, &epoch)])])));
                }
            }
        }
    }),
    Script::new("OffsetForLeaderEpoch", "places", |s| {
        let (topic, unknown) = (s.topic("t", 2), s.name("unknown"));
        let none = json!(-1);
        let epoch = json!("$epoch");
        let at = |index: i32| (index, &none, &epoch);
        s.call("some", asking(json!([entry(&topic, &[at(5), at(1), at(-1), at(0)])])));
        s.call("twice", asking(json!([entry(&topic, &[at(0), at(0)])])));
        s.call("unknown", asking(json!([entry(&unknown, &[at(0)])])));
        s.call("impossible", asking(json!([entry("a b", &[at(0)]), entry("", &[at(0)])])));
        s.call(
            "two topics",
            asking(json!([entry(&unknown, &[at(0)]), entry(&topic, &[at(0)])])),
        );
        s.call(
            "a topic twice",
            asking(json!([entry(&topic, &[at(0)]), entry(&topic, &[at(1)])])),
        );
        s.call("no partitions", asking(json!([entry(&topic, &[])])));
        s.call("no topics", asking(json!([])));
        s.call("null topics", asking(Value::Null));
    }),
    Script::new("OffsetForLeaderEpoch", "replicas", |s| {
        let topic = s.topic("t", 1);
        for replica in [-1, -2, 1, 7] {
            let mut body = asking(json!([entry(&topic, &[(0, &json!(-1), &json!("$epoch"))])]));
            body["ReplicaId"] = replica.into();
            s.call(&format!("replica {replica}"), body);
        }
    })
    .since(3),
];

/// Partitions with the epoch that the client holds for the current one, and the epoch that it asks about.
fn entry(topic: &str, partitions: &[(i32, &Value, &Value)]) -> Value {
    let list = partitions
        .iter()
        .map(|(index, current, epoch)| json!({"Partition": index, "CurrentLeaderEpoch": current, "LeaderEpoch": epoch}));
    json!({"Topic": topic, "Partitions": list.collect::<Vec<_>>()})
}

fn asking(topics: Value) -> Value {
    json!({"ReplicaId": -2, "Topics": topics})
}
