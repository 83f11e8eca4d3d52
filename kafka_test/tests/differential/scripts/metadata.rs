//! Metadata: which topics, named how, and topics made on demand.

use crate::allowed::Exception;
use crate::codec::NIL;
use crate::script::Script;
use serde_json::{json, Value};

const UNKNOWN_ID: &str = "uuid:12345678-9abc-4def-8123-456789abcdef";

const MADE_AT_ONCE: &[Exception] = &[Exception::intended("**Auto-creation**", "Topics")];
const NEITHER: &[Exception] = &[Exception::intended("**Metadata 12 and 13**", "Topics")];
const NEITHER_13: &[Exception] = &[
    Exception::intended("**Metadata 12 and 13**", "Topics"),
    Exception::intended("**Metadata 12 and 13**", "ErrorCode"),
];

pub const SCRIPTS: &[Script] = &[
    Script::new("Metadata", "all", |s| {
        s.topic("a", 2);
        s.topic("b", 1);
        s.call("null", json!({"Topics": null, "AllowAutoTopicCreation": false}));
        s.call("empty", json!({"Topics": [], "AllowAutoTopicCreation": false}));
    }),
    Script::new("Metadata", "by name", |s| {
        let (a, b) = (s.topic("a", 3), s.topic("b", 1));
        s.call("one", asking(&[named(&a)]));
        s.call("two", asking(&[named(&b), named(&a)]));
        s.call("twice", asking(&[named(&a), named(&a)]));
    }),
    Script::new("Metadata", "authorized operations", |s| {
        let a = s.topic("a", 1);
        for (cluster, topic) in [(true, false), (false, true), (true, true)] {
            let mut body = asking(&[named(&a)]);
            body["IncludeClusterAuthorizedOperations"] = cluster.into();
            body["IncludeTopicAuthorizedOperations"] = topic.into();
            s.call(&format!("cluster {cluster} topic {topic}"), body);
        }
        let mut body = asking(&[named(&s.name("unknown")), named("a b")]);
        body["IncludeTopicAuthorizedOperations"] = true.into();
        if s.version >= 4 {
            s.call("of topics that do not exist", body);
        }
    }),
    Script::new("Metadata", "impossible names", |s| {
        let long = "n".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "ä", "a\u{0}", long.as_str()] {
            s.call(&format!("{name:?}"), asking(&[named(name)]));
            s.call(&format!("{name:?}, to be made"), on_demand(name));
        }
        let a = s.topic("a", 1);
        s.call("beside a topic", asking(&[named("a b"), named(&a), named("..")]));
    }),
    Script::new("Metadata", "unknown", |s| {
        let (known, unknown) = (s.topic("a", 1), s.name("unknown"));
        s.call("alone", asking(&[named(&unknown)]));
        s.call("beside a topic", asking(&[named(&unknown), named(&known)]));
        s.call("twice", asking(&[named(&unknown), named(&unknown)]));
    })
    .since(4),
    Script::new("Metadata", "made on demand", |s| {
        let name = s.name("new");
        s.except(MADE_AT_ONCE).call("first", on_demand(&name));
        s.ready(&name);
        s.call("then", on_demand(&name));
    }),
    Script::new("Metadata", "early ids", |s| {
        let a = s.topic("a", 1);
        let id = s.id(&a);
        s.call("id alone", asking(&[json!({"Name": null, "TopicId": id})]));
        s.call("name and id", asking(&[json!({"Name": a, "TopicId": id})]));
        s.call("neither", asking(&[json!({"Name": null})]));
        s.call("beside a topic", asking(&[named(&a), json!({"Name": null, "TopicId": id})]));
    })
    .since(10)
    .until(11),
    Script::new("Metadata", "by id", |s| {
        let (a, b) = (s.topic("a", 2), s.topic("b", 1));
        let (id, other) = (s.id(&a), s.id(&b));
        s.call("one", asking(&[identified(&id)]));
        s.call("two", asking(&[identified(&id), identified(&other)]));
        s.call("twice", asking(&[identified(&id), identified(&id)]));
        s.call("unknown", asking(&[identified(&UNKNOWN_ID.into())]));
        s.call(
            "unknown beside a topic",
            asking(&[identified(&UNKNOWN_ID.into()), identified(&id)]),
        );
        s.call("unknown, to be made", json!({"Topics": [identified(&UNKNOWN_ID.into())]}));
        s.call("name and id", asking(&[json!({"Name": a, "TopicId": id})]));
        s.call("name and another id", asking(&[json!({"Name": a, "TopicId": other})]));
        s.call("a name and an id", asking(&[named(&a), identified(&other)]));
        s.call("the same by name and by id", asking(&[named(&a), identified(&id)]));
        s.except(if s.version >= 13 { NEITHER_13 } else { NEITHER })
            .call("neither", asking(&[json!({"Name": null})]));
    })
    .since(12),
];

fn named(name: &str) -> Value {
    json!({"Name": name})
}

fn identified(id: &Value) -> Value {
    json!({"Name": null, "TopicId": id})
}

fn asking(topics: &[Value]) -> Value {
    json!({"Topics": topics, "AllowAutoTopicCreation": false})
}

fn on_demand(name: &str) -> Value {
    json!({"Topics": [{"Name": name, "TopicId": NIL}], "AllowAutoTopicCreation": true})
}
