//! DescribeConfigs: topics with all their keys, and resources that do not exist.

use crate::allowed::Exception;
use crate::script::{Script, Session};
use serde_json::{json, Value};

const TOPIC: i8 = 2;
const WORDS: &[Exception] = &[Exception::intended(
    "**An unknown type of resource**",
    "Results[].ErrorMessage",
)];

pub const SCRIPTS: &[Script] = &[
    Script::new("DescribeConfigs", "of a topic", |s| {
        let plain = s.topic("plain", 1);
        let settings = [
            ("retention.ms", "1000"),
            ("cleanup.policy", "compact"),
            ("compression.type", "zstd"),
            ("max.message.bytes", "1048588"),
            ("flush.ms", "5"),
        ];
        let set = s.topic_with("set", 1, &settings);
        for topic in [&plain, &set] {
            for (synonyms, documentation) in [(false, false), (true, false), (false, true)] {
                let mut body = asking(&[resource(TOPIC, topic, Value::Null)]);
                (body["IncludeSynonyms"], body["IncludeDocumentation"]) = (synonyms.into(), documentation.into());
                let which = if topic == &set { "set" } else { "plain" };
                s.call(&format!("{which}, synonyms {synonyms}, documentation {documentation}"), body);
            }
        }
    }),
    Script::new("DescribeConfigs", "keys", |s| {
        let topic = s.topic("t", 1);
        for keys in [
            json!(["retention.ms"]),
            json!(["flush.ms", "retention.ms", "cleanup.policy"]),
            json!(["no.such.key"]),
            json!(["no.such.key", "retention.ms"]),
            json!(["retention.ms", "retention.ms"]),
            json!([""]),
            json!([]),
        ] {
            s.call(&format!("{keys}"), asking(&[resource(TOPIC, &topic, keys)]));
        }
    }),
    Script::new("DescribeConfigs", "resources", resources),
];

fn resources(s: &mut Session) {
    let (topic, unknown) = (s.topic("t", 1), s.name("unknown"));
    let keys = || json!(["retention.ms"]);
    for name in [unknown.as_str(), "", "a b", "..", "__consumer_offsetz"] {
        s.call(&format!("topic {name:?}"), asking(&[resource(TOPIC, name, keys())]));
    }
    for kind in [0, 1, 3, 5, 7, 9, 64, -1, i8::MIN, i8::MAX] {
        s.except(WORDS)
            .call(&format!("type {kind}"), asking(&[resource(kind, "1", keys())]));
    }
    for name in ["7", "-1", "x", "01", "1 "] {
        s.call(&format!("broker {name:?}"), asking(&[resource(4, name, keys())]));
        s.call(&format!("logger {name:?}"), asking(&[resource(8, name, keys())]));
    }
    s.call("logger of no broker", asking(&[resource(8, "", keys())]));
    s.call("defaults of brokers", asking(&[resource(4, "", keys())]));
    s.call(
        "a key that the broker does not have",
        asking(&[resource(4, "1", json!(["no.such.key"]))]),
    );
    s.call(
        "two",
        asking(&[resource(TOPIC, &unknown, keys()), resource(TOPIC, &topic, keys())]),
    );
    s.call("none", asking(&[]));
    s.call("null", json!({"Resources": null}));
}

fn resource(kind: i8, name: &str, keys: Value) -> Value {
    json!({"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys})
}

fn asking(resources: &[Value]) -> Value {
    json!({"Resources": resources})
}
