//! Fetch: what is read from where, within which bounds, and what cannot be read.

use crate::allowed::Exception;
use crate::codec::NIL;
use crate::script::{Script, Session};
use kafka_test::batch::Batch;
use kafka_test::compression::Codec;
use serde_json::{json, Value};

const UNKNOWN_ID: &str = "uuid:12345678-9abc-4def-8123-456789abcdef";

const ISOLATION: &[Exception] = &[Exception::intended("**Isolation levels that do not exist**", "Responses")];
const ISOLATION_7: &[Exception] = &[
    Exception::intended("**Isolation levels that do not exist**", "Responses"),
    Exception::intended("**Isolation levels that do not exist**", "ErrorCode"),
];
const NEGATIVE: &[Exception] = &[Exception::intended("**Negative limits of a Fetch**", "Responses")];
const TWICE: &[Exception] = &[Exception::intended(
    "**A partition that one request names twice**",
    "Responses",
)];
const FOLLOWERS: &[Exception] = &[Exception::intended("**Followers**", "Responses")];

pub const SCRIPTS: &[Script] = &[
    Script::new("Fetch", "offsets", |s| {
        let topic = filled(s, 1);
        for offset in [0, 1, 2, 3, 5, 6, 7, -1, -2, i64::MIN, i64::MAX] {
            s.call(&format!("from {offset}"), one(&topic, 0, offset));
        }
    }),
    Script::new("Fetch", "after the log start moved", |s| {
        let topic = filled(s, 1);
        let partitions = json!([{"PartitionIndex": 0, "Offset": 3}]);
        s.call_api(
            "delete",
            "DeleteRecords",
            2,
            json!({"Topics": [{"Name": topic, "Partitions": partitions}], "TimeoutMs": 20_000}),
        );
        for offset in [0, 2, 3, 4, 6] {
            s.call(&format!("from {offset}"), one(&topic, 0, offset));
        }
    }),
    Script::new("Fetch", "empty partition", |s| {
        let topic = s.topic("t", 1);
        for offset in [0, 1, -1] {
            s.call(&format!("from {offset}"), one(&topic, 0, offset));
        }
    }),
    Script::new("Fetch", "isolation", |s| {
        let topic = filled(s, 1);
        for isolation in [0, 1, 2, -1] {
            for offset in [0, 6, 9] {
                let mut body = one(&topic, 0, offset);
                body["IsolationLevel"] = isolation.into();
                if !(0..=1).contains(&isolation) {
                    let entry = if s.version >= 7 { ISOLATION_7 } else { ISOLATION };
                    s.except(entry);
                }
                s.call(&format!("isolation {isolation} from {offset}"), body);
            }
        }
        let mut unknown = one(&topic, 9, 0);
        unknown["IsolationLevel"] = 1.into();
        s.call("unknown partition", unknown);
    }),
    Script::new("Fetch", "places", |s| {
        let topic = filled(s, 2);
        for index in [2, -1, i32::MAX] {
            s.call(&format!("partition {index}"), one(&topic, index, 0));
        }
        let all: Vec<Value> = [1, 7, 0].iter().map(|index| partition(*index, 0)).collect();
        s.call("some partitions", fetch(json!([entry(s, &topic, &all)])));
        let twice = entry(s, &topic, &[partition(0, 0), partition(0, 2)]);
        s.except(TWICE).call("a partition twice", fetch(json!([twice])));
        let (first, second) = (entry(s, &topic, &[partition(0, 0)]), entry(s, &topic, &[partition(1, 0)]));
        s.except(TWICE).call("a topic twice", fetch(json!([first, second])));
        s.call("no partitions", fetch(json!([entry(s, &topic, &[])])));
        s.call("no topics", fetch(json!([])));
        s.call("null topics", fetch(Value::Null));
    }),
    Script::new("Fetch", "topics that do not exist", |s| {
        let topic = filled(s, 1);
        for name in [s.name("unknown").as_str(), "", "a b"] {
            let unknown = json!({"Topic": name, "TopicId": UNKNOWN_ID, "Partitions": [partition(0, 0)]});
            s.call(&format!("{name:?}"), fetch(json!([unknown])));
            s.call(
                &format!("{name:?} beside a topic"),
                fetch(json!([unknown, entry(s, &topic, &[partition(0, 0)])])),
            );
        }
        let nil = json!({"Topic": topic, "TopicId": NIL, "Partitions": [partition(0, 0)]});
        s.call("no id", fetch(json!([nil])));
    }),
    Script::new("Fetch", "bytes", |s| {
        let topic = filled(s, 2);
        let size = Batch::of(["a", "b"]).encode().len() as i32;
        for bytes in [0, 1, size - 1, size, size + 1, 2 * size, -1, i32::MIN, i32::MAX] {
            let mut body = one(&topic, 0, 0);
            body["MaxBytes"] = bytes.into();
            negative(s, bytes);
            s.call(&format!("{bytes} of all"), body);
            let mut body = one(&topic, 0, 0);
            body["Topics"][0]["Partitions"][0]["PartitionMaxBytes"] = bytes.into();
            negative(s, bytes);
            s.call(&format!("{bytes} of the partition"), body);
            let mut body = fetch(json!([entry(s, &topic, &[partition(1, 0), partition(0, 0)])]));
            body["MaxBytes"] = bytes.into();
            negative(s, bytes);
            s.call(&format!("{bytes} of two partitions"), body);
            let mut body = fetch(json!([entry(s, &topic, &[partition(1, 0), partition(0, 0)])]));
            body["Topics"][0]["Partitions"][0]["PartitionMaxBytes"] = bytes.into();
            negative(s, bytes);
            s.call(&format!("{bytes} of the first of two"), body);
        }
    }),
    Script::new("Fetch", "waiting", |s| {
        let topic = filled(s, 1);
        for (wait, least) in [
            (0, 0),
            (0, i32::MAX),
            (50, 0),
            (50, 1),
            (50, -1),
            (50, i32::MAX),
            (-1, 1),
            (i32::MIN, 1),
        ] {
            for offset in [0, 6] {
                let mut body = one(&topic, 0, offset);
                body["MaxWaitMs"] = wait.into();
                body["MinBytes"] = least.into();
                s.call(&format!("{wait} ms for {least} bytes from {offset}"), body);
            }
        }
    }),
    Script::new("Fetch", "codecs", |s| {
        let topic = s.topic("t", 1);
        for codec in Codec::ALL {
            s.append(&topic, 0, &Batch::of(["aaaa", "bbbb"]).compressed(codec));
        }
        s.call("all", one(&topic, 0, 0));
        s.call("inside", one(&topic, 0, 3));
    }),
    Script::new("Fetch", "leader epochs", |s| {
        let topic = filled(s, 1);
        for epoch in [
            json!(-1),
            json!("$epoch"),
            json!("$epoch+1"),
            json!("$epoch+5"),
            json!(i32::MAX),
        ] {
            for (index, offset) in [(0, 0), (0, 99), (5, 0)] {
                let mut body = one(&topic, index, offset);
                body["Topics"][0]["Partitions"][0]["CurrentLeaderEpoch"] = epoch.clone();
                s.call(&format!("epoch {epoch}, partition {index}, offset {offset}"), body);
            }
        }
    })
    .since(9),
    Script::new("Fetch", "last fetched epochs", |s| {
        let topic = filled(s, 1);
        for epoch in [json!(-1), json!("$epoch"), json!("$epoch+1")] {
            let mut body = one(&topic, 0, 2);
            body["Topics"][0]["Partitions"][0]["LastFetchedEpoch"] = epoch.clone();
            if epoch == "$epoch+1" {
                s.except(FOLLOWERS);
            }
            s.call(&format!("epoch {epoch}"), body);
        }
    })
    .since(12),
    Script::new("Fetch", "racks", |s| {
        let topic = filled(s, 1);
        let mut body = one(&topic, 0, 0);
        body["RackId"] = "r".into();
        s.call("a rack", body);
    })
    .since(11),
    Script::new("Fetch", "cluster ids", |s| {
        let topic = filled(s, 1);
        let mut body = one(&topic, 0, 0);
        body["ClusterId"] = "another".into();
        s.call("another cluster", body);
    })
    .since(12),
    Script::new("Fetch", "replicas", |s| {
        let topic = filled(s, 1);
        for replica in [-2, -3, 7] {
            let mut body = one(&topic, 0, 0);
            body["ReplicaId"] = replica.into();
            if replica >= 0 && s.version < 15 {
                s.except(FOLLOWERS);
            }
            s.call(&format!("replica {replica}"), body);
        }
    }),
];

/// What may differ in the answer to the next request if its limit is negative.
fn negative(s: &mut Session, bytes: i32) {
    if bytes < 0 {
        s.except(NEGATIVE);
    }
}

/// A topic with three batches of two records in each partition.
fn filled(s: &mut Session, partitions: i32) -> String {
    let topic = s.topic("t", partitions);
    for partition in 0..partitions {
        for _ in 0..3 {
            s.append(&topic, partition, &Batch::of(["a", "b"]));
        }
    }
    topic
}

fn partition(index: i32, offset: i64) -> Value {
    json!({"Partition": index, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20})
}

fn entry(s: &Session, topic: &str, partitions: &[Value]) -> Value {
    json!({"Topic": topic, "TopicId": s.id(topic), "Partitions": partitions})
}

fn fetch(topics: Value) -> Value {
    json!({"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "SessionEpoch": -1, "Topics": topics})
}

fn one(topic: &str, index: i32, offset: i64) -> Value {
    fetch(json!([{"Topic": topic, "TopicId": format!("$id:{topic}"), "Partitions": [partition(index, offset)]}]))
}
