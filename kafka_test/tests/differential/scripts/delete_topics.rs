//! DeleteTopics: by name and by id, and what cannot be deleted.

use crate::codec::NIL;
use crate::script::Script;
use serde_json::{json, Value};

const UNKNOWN_ID: &str = "uuid:12345678-9abc-4def-8123-456789abcdef";

pub const SCRIPTS: &[Script] = &[
    Script::new("DeleteTopics", "by name", |s| {
        let (a, b, c) = (s.topic("a", 1), s.topic("b", 3), s.topic("c", 1));
        let unknown = s.name("unknown");
        s.call("one", by_names(&[&a]));
        s.call("some", by_names(&[&b, &unknown, &c]));
        s.call("again", by_names(&[&a, &b]));
        s.call_api(
            "gone",
            "Metadata",
            12,
            json!({"Topics": [{"Name": a}], "AllowAutoTopicCreation": false}),
        );
    }),
    Script::new("DeleteTopics", "twice in one request", |s| {
        let (a, b) = (s.topic("a", 1), s.topic("b", 1));
        s.call("the same", by_names(&[&a, &b, &a]));
        let unknown = s.name("unknown");
        s.call("unknown", by_names(&[&unknown, &unknown]));
    }),
    Script::new("DeleteTopics", "names", |s| {
        for name in ["", ".", "a b", "ä"] {
            s.call(&format!("{name:?}"), by_names(&[name]));
        }
    }),
    Script::new("DeleteTopics", "none", |s| {
        s.call("empty", by_names(&[]));
        s.call("null", json!({"Topics": null, "TopicNames": null, "TimeoutMs": 1000}));
    }),
    Script::new("DeleteTopics", "by id", |s| {
        let (a, b, c) = (s.topic("a", 1), s.topic("b", 1), s.topic("c", 1));
        let [id, other, third] = [&a, &b, &c].map(|name| s.id(name));
        s.call("unknown", deleting(&[identified(&UNKNOWN_ID.into())]));
        s.call("neither name nor id", deleting(&[json!({"Name": null, "TopicId": NIL})]));
        s.call("name and id", deleting(&[json!({"Name": a, "TopicId": id})]));
        s.call(
            "name and id beside a topic",
            deleting(&[json!({"Name": a, "TopicId": id}), identified(&other)]),
        );
        s.call("by name and by id", deleting(&[json!({"Name": a}), identified(&id)]));
        s.call("twice", deleting(&[identified(&id), identified(&id)]));
        s.call(
            "unknown twice",
            deleting(&[identified(&UNKNOWN_ID.into()), identified(&UNKNOWN_ID.into())]),
        );
        s.call(
            "one beside an unknown",
            deleting(&[identified(&third), identified(&UNKNOWN_ID.into())]),
        );
        s.call("again", deleting(&[identified(&third)]));
    })
    .since(6),
];

fn identified(id: &Value) -> Value {
    json!({"Name": null, "TopicId": id})
}

fn deleting(topics: &[Value]) -> Value {
    json!({"Topics": topics, "TimeoutMs": 20_000})
}

fn by_names(names: &[&str]) -> Value {
    let topics: Vec<Value> = names.iter().map(|name| json!({"Name": name})).collect();
    json!({"Topics": topics, "TopicNames": names, "TimeoutMs": 20_000})
}
