//! AlterConfigs and IncrementalAlterConfigs: what a topic's configs become, read back, and what is refused.

use crate::script::{Script, Session};
use serde_json::{json, Value};

const TOPIC: i8 = 2;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub const SCRIPTS: &[Script] = &[
    Script::new("AlterConfigs", "topics", |s| {
        let topic = s.topic_with("t", 1, &[("retention.ms", "1000"), ("flush.ms", "7")]);
        for (step, configs) in [
            ("replaced", json!([["retention.ms", "2000"]])),
            ("not a number", json!([["retention.ms", "soon"]])),
            ("unknown", json!([["no.such.key", "1"]])),
            ("null", json!([["retention.ms", null]])),
            ("twice", json!([["flush.ms", "1"], ["flush.ms", "2"]])),
            ("none", json!([])),
        ] {
            for validate in [true, false] {
                let configs: Vec<Value> = pairs(&configs, |name, value| json!({"Name": name, "Value": value}));
                let resource = json!({"ResourceType": TOPIC, "ResourceName": topic, "Configs": configs});
                s.call(&format!("{step}, validate {validate}"), altering(&[resource], validate));
                described(s, &topic);
            }
        }
        let unknown = json!({"ResourceType": TOPIC, "ResourceName": s.name("unknown"), "Configs": []});
        s.call("unknown topic", altering(&[unknown], false));
        s.call("no resources", altering(&[], false));
    }),
    Script::new("IncrementalAlterConfigs", "topics", |s| {
        let topic = s.topic_with("t", 1, &[("retention.ms", "1000")]);
        for (step, operations) in [
            ("set", json!([["retention.ms", SET, "2000"]])),
            (
                "set two",
                json!([["flush.ms", SET, "5"], ["max.message.bytes", SET, "2000000"]]),
            ),
            ("not a number", json!([["retention.ms", SET, "soon"]])),
            ("unknown", json!([["no.such.key", SET, "1"]])),
            ("null", json!([["retention.ms", SET, null]])),
            ("append", json!([["cleanup.policy", APPEND, "compact"]])),
            ("append again", json!([["cleanup.policy", APPEND, "compact"]])),
            ("subtract", json!([["cleanup.policy", SUBTRACT, "delete"]])),
            ("subtract what is not there", json!([["cleanup.policy", SUBTRACT, "delete"]])),
            ("append to a number", json!([["retention.ms", APPEND, "1"]])),
            ("subtract from a number", json!([["retention.ms", SUBTRACT, "1"]])),
            ("delete", json!([["retention.ms", DELETE, null]])),
            ("delete again", json!([["retention.ms", DELETE, ""]])),
            ("twice", json!([["flush.ms", SET, "1"], ["flush.ms", DELETE, null]])),
            ("none", json!([])),
        ] {
            for validate in [true, false] {
                let rows = operations.as_array().unwrap().iter();
                let configs: Vec<Value> = rows
                    .map(|row| json!({"Name": row[0], "ConfigOperation": row[1], "Value": row[2]}))
                    .collect();
                let resource = json!({"ResourceType": TOPIC, "ResourceName": topic, "Configs": configs});
                s.call(&format!("{step}, validate {validate}"), altering(&[resource], validate));
                described(s, &topic);
            }
        }
        let set = json!([{"Name": "retention.ms", "ConfigOperation": SET, "Value": "1"}]);
        let unknown = json!({"ResourceType": TOPIC, "ResourceName": s.name("unknown"), "Configs": set});
        let known = json!({"ResourceType": TOPIC, "ResourceName": topic, "Configs": set});
        s.call("unknown topic", altering(std::slice::from_ref(&unknown), false));
        s.call("unknown beside a topic", altering(&[unknown, known], false));
        s.call("no resources", altering(&[], false));
    }),
];

fn pairs(configs: &Value, make: impl Fn(&Value, &Value) -> Value) -> Vec<Value> {
    configs
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| make(&pair[0], &pair[1]))
        .collect()
}

fn altering(resources: &[Value], validate: bool) -> Value {
    json!({"Resources": resources, "ValidateOnly": validate})
}

/// What both say that the configs are now.
fn described(s: &mut Session, topic: &str) {
    let keys = json!(["retention.ms", "flush.ms", "cleanup.policy", "max.message.bytes"]);
    let resource = json!({"ResourceType": TOPIC, "ResourceName": topic, "ConfigurationKeys": keys});
    s.read_back("read back", "DescribeConfigs", 4, json!({"Resources": [resource]}));
}
