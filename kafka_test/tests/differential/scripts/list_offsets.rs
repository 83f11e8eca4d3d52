//! ListOffsets: the ends of a partition, offsets by time, sentinels of every version.

use crate::allowed::Exception;
use crate::script::{Script, Session};
use kafka_test::batch::{Batch, Record};
use kafka_test::compression::Codec;
use serde_json::{json, Value};

const ISOLATION: &[Exception] = &[Exception::intended("**Isolation levels that do not exist**", "Topics")];
const DELETED: &[Exception] = &[Exception::intended("**The largest timestamp**", "Topics")];

pub const SCRIPTS: &[Script] = &[
    Script::new("ListOffsets", "sentinels", |s| {
        let (filled, empty) = (filled(s), s.topic("empty", 1));
        for time in [-1, -2, -3, -4, -5, -6, -7, -100, i64::MIN] {
            s.call(&format!("{time}"), asking(&filled, &[(0, time)]));
            s.call(&format!("{time} of an empty partition"), asking(&empty, &[(0, time)]));
        }
    }),
    Script::new("ListOffsets", "times", |s| {
        let topic = filled(s);
        for time in [
            0,
            999,
            1000,
            1001,
            1004,
            1005,
            1006,
            1999,
            2000,
            2001,
            2002,
            2003,
            9_999,
            i64::MAX,
        ] {
            s.call(&format!("{time}"), asking(&topic, &[(0, time)]));
        }
    }),
    Script::new("ListOffsets", "after the log start moved", |s| {
        let topic = filled(s);
        let partitions = json!([{"PartitionIndex": 0, "Offset": 4}]);
        s.call_api(
            "delete",
            "DeleteRecords",
            2,
            json!({"Topics": [{"Name": topic, "Partitions": partitions}], "TimeoutMs": 20_000}),
        );
        for time in [-1, -2, -3, -4, -5, 0, 1001, 2000] {
            s.call(&format!("{time}"), asking(&topic, &[(0, time)]));
        }
        let all = json!([{"PartitionIndex": 0, "Offset": -1}]);
        s.call_api(
            "delete all",
            "DeleteRecords",
            2,
            json!({"Topics": [{"Name": topic, "Partitions": all}], "TimeoutMs": 20_000}),
        );
        for time in [-1, -2, -3, -4, 0] {
            if time == -3 && s.version >= 7 {
                s.except(DELETED);
            }
            s.call(&format!("{time} when all is deleted"), asking(&topic, &[(0, time)]));
        }
    }),
    Script::new("ListOffsets", "places", |s| {
        let topic = filled(s);
        let unknown = s.name("unknown");
        for index in [1, -1, i32::MAX] {
            s.call(&format!("partition {index}"), asking(&topic, &[(index, -1)]));
        }
        s.call("some", asking(&topic, &[(5, -1), (0, -2), (1, 0)]));
        s.call("twice", asking(&topic, &[(0, -1), (0, -2)]));
        s.call("twice beside one", asking(&topic, &[(0, -1), (0, -1), (1, -1)]));
        s.call("thrice", asking(&topic, &[(0, -1), (0, -1), (0, -1)]));
        s.call("unknown twice", asking(&topic, &[(9, -1), (9, -1)]));
        for name in [unknown.as_str(), "", "a b"] {
            s.call(&format!("topic {name:?}"), asking(name, &[(0, -1)]));
        }
        let (one, other) = (entry(&topic, &[(0, -1)]), entry(&unknown, &[(0, -1)]));
        s.call("two topics", json!({"ReplicaId": -1, "Topics": [other, one]}));
        s.call("a topic twice", json!({"ReplicaId": -1, "Topics": [one, one]}));
        s.call("no partitions", asking(&topic, &[]));
        s.call("no topics", json!({"ReplicaId": -1, "Topics": []}));
        s.call("null topics", json!({"ReplicaId": -1, "Topics": null}));
    }),
    Script::new("ListOffsets", "isolation and replicas", |s| {
        let topic = filled(s);
        for (isolation, replica) in [(0, -1), (1, -1), (2, -1), (-1, -1), (0, -2), (1, -2), (0, -3), (0, 1), (0, 7)] {
            for time in [-1, -2, 1001] {
                let mut body = asking(&topic, &[(0, time)]);
                (body["IsolationLevel"], body["ReplicaId"]) = (isolation.into(), replica.into());
                if !(0..=1).contains(&isolation) {
                    s.except(ISOLATION);
                }
                s.call(&format!("isolation {isolation} replica {replica} time {time}"), body);
            }
        }
    }),
    Script::new("ListOffsets", "leader epochs", |s| {
        let topic = filled(s);
        for epoch in [json!(-1), json!("$epoch"), json!("$epoch+1"), json!(i32::MAX)] {
            for (index, time) in [(0, -1), (0, -2), (0, 1001), (0, -100), (7, -1)] {
                let mut body = asking(&topic, &[(index, time)]);
                body["Topics"][0]["Partitions"][0]["CurrentLeaderEpoch"] = epoch.clone();
                s.call(&format!("epoch {epoch}, partition {index}, time {time}"), body);
            }
        }
    })
    .since(4),
    Script::new("ListOffsets", "timeouts", |s| {
        let topic = filled(s);
        for timeout in [0, -1, 1_000, i32::MAX] {
            let mut body = asking(&topic, &[(0, 1001)]);
            body["TimeoutMs"] = timeout.into();
            s.call(&format!("timeout {timeout}"), body);
        }
    })
    .since(10),
];

/// A topic whose partition 0 has records at offsets 0-2 (1000, 1005, 1002), 3-5 compressed (2000, 2002, 2001) and 6 (1500), which it keeps,
/// old as they are.
fn filled(s: &mut Session) -> String {
    let topic = s.topic_with("t", 2, &[("retention.ms", "-1")]);
    let batch = |base: i64, deltas: &[i64]| {
        let records = deltas.iter().enumerate().map(|(i, delta)| Record {
            offset_delta: i as i32,
            timestamp_delta: *delta,
            value: Some(vec![b'v']),
            ..Record::default()
        });
        Batch::with_records(records.collect()).at(base)
    };
    s.append(&topic, 0, &batch(1000, &[0, 5, 2]));
    s.append(&topic, 0, &batch(2000, &[0, 2, 1]).compressed(Codec::Gzip));
    s.append(&topic, 0, &batch(1500, &[0]));
    topic
}

fn entry(topic: &str, partitions: &[(i32, i64)]) -> Value {
    let list: Vec<Value> = partitions
        .iter()
        .map(|(index, time)| json!({"PartitionIndex": index, "Timestamp": time}))
        .collect();
    json!({"Name": topic, "Partitions": list})
}

fn asking(topic: &str, partitions: &[(i32, i64)]) -> Value {
    json!({"ReplicaId": -1, "Topics": [entry(topic, partitions)]})
}
