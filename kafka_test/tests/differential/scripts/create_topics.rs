//! CreateTopics: what is made, and every way to ask for what cannot be.

use crate::script::{Script, Session};
use serde_json::{json, Value};

pub const SCRIPTS: &[Script] = &[
    Script::new("CreateTopics", "made", |s| {
        let (a, b, c) = (s.name("a"), s.name("b"), s.name("c"));
        s.call("one", creating(&[plain(&a)]));
        s.call("again", creating(&[plain(&a)]));
        s.call("two and one that exists", creating(&[plain(&b), plain(&a), plain(&c)]));
        for name in [&a, &b, &c] {
            s.ready(name);
        }
        s.call_api(
            "described",
            "Metadata",
            12,
            json!({"Topics": [{"Name": a}, {"Name": b}, {"Name": c}]}),
        );
    }),
    Script::new("CreateTopics", "defaults", |s| {
        for (partitions, factor) in [(-1, -1), (-1, 1), (2, -1)] {
            let name = s.name(&format!("{partitions}.{factor}"));
            s.call(
                &format!("{partitions} partitions, factor {factor}"),
                creating(&[sized(&name, partitions, factor)]),
            );
        }
    }),
    Script::new("CreateTopics", "sizes", |s| {
        for (partitions, factor) in [
            (0, 1),
            (-2, 1),
            (i32::MIN, 1),
            (1, 0),
            (1, -2),
            (1, 2),
            (1, 3),
            (0, 0),
            (-1, 2),
            (0, -1),
        ] {
            let name = s.name(&format!("{partitions}.{factor}"));
            s.call(
                &format!("{partitions} partitions, factor {factor}"),
                creating(&[sized(&name, partitions, factor)]),
            );
        }
    }),
    Script::new("CreateTopics", "validate only", |s| {
        let (a, exists) = (s.name("a"), s.topic("exists", 1));
        let topics = [plain(&a), plain(&exists), plain("a b"), sized(&s.name("zero"), 0, 1)];
        let mut body = creating(&topics);
        body["validateOnly"] = true.into();
        s.call("validated", body.clone());
        s.call("again", body);
        s.call_api(
            "not made",
            "Metadata",
            12,
            json!({"Topics": [{"Name": a}], "AllowAutoTopicCreation": false}),
        );
    }),
    Script::new("CreateTopics", "names", |s| {
        for name in ["", ".", "..", "a b", "a/b", "ä", "a\u{0}", "a:b", "a\nb"] {
            s.call(&format!("{name:?}"), creating(&[plain(name)]));
        }
        s.call("249 characters", validating(&[plain(&"n".repeat(249))]));
        s.call("250 characters", creating(&[plain(&"n".repeat(250))]));
        s.call("internal", validating(&[plain("__cluster_metadata")]));
    }),
    Script::new("CreateTopics", "names that collide", |s| {
        let (dot, line) = (s.name("c.d"), s.name("c_d"));
        s.call("with a dot", creating(&[plain(&dot)]));
        s.call("with an underscore", creating(&[plain(&line)]));
        let (dot, line) = (s.name("e.f"), s.name("e_f"));
        s.call("both at once", creating(&[plain(&dot), plain(&line)]));
    }),
    Script::new("CreateTopics", "twice in one request", |s| {
        let (a, b) = (s.name("a"), s.name("b"));
        s.call("the same", creating(&[plain(&a), plain(&b), plain(&a)]));
        s.call("different", creating(&[sized(&a, 1, 1), sized(&a, 2, 1)]));
        s.call("impossible", creating(&[plain("a b"), plain("a b")]));
    }),
    Script::new("CreateTopics", "none", |s| {
        s.call("empty", creating(&[]));
        s.call("null", json!({"Topics": null, "timeoutMs": 1000}));
    }),
    Script::new("CreateTopics", "timeouts", |s| {
        for timeout in [30_000, i32::MAX] {
            let mut body = validating(&[plain(&s.name("a"))]);
            body["timeoutMs"] = timeout.into();
            s.call(&format!("{timeout} ms"), body);
        }
    }),
    Script::new("CreateTopics", "assignments", assignments),
    Script::new("CreateTopics", "configs", configs),
    Script::new("CreateTopics", "configs that are reported", |s| {
        let settings = [
            ("cleanup.policy", "compact,delete"),
            ("retention.ms", "1000"),
            ("retention.bytes", "-1"),
            ("max.message.bytes", "1048588"),
            ("compression.type", "zstd"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.insync.replicas", "1"),
            ("preallocate", "TRUE"),
            ("segment.bytes", "2097152"),
            ("min.cleanable.dirty.ratio", "0.25"),
        ];
        let configs: Vec<Value> = settings
            .iter()
            .map(|(name, value)| json!({"Name": name, "Value": value}))
            .collect();
        s.call("made", creating(&[configured(&s.name("a"), json!(configs))]));
    }),
];

fn assignments(s: &mut Session) {
    let cases = [
        ("one partition", json!([[0, [1]]])),
        ("two partitions", json!([[0, [1]], [1, [1]]])),
        ("out of order", json!([[1, [1]], [0, [1]]])),
        ("a gap", json!([[0, [1]], [2, [1]]])),
        ("not from 0", json!([[1, [1]]])),
        ("negative", json!([[-1, [1]]])),
        ("a partition twice", json!([[0, [1]], [0, [1]]])),
        ("no broker", json!([[0, []]])),
        ("an unknown broker", json!([[0, [7]]])),
        ("a negative broker", json!([[0, [-1]]])),
        ("a broker twice", json!([[0, [1, 1]]])),
        ("an unknown broker beside", json!([[0, [1, 7]]])),
        ("different factors", json!([[0, [1]], [1, [1, 2]]])),
    ];
    for (step, pairs) in cases {
        let assigned = |partitions, factor| {
            let pairs = pairs.as_array().unwrap().iter();
            let list: Vec<Value> = pairs
                .map(|pair| json!({"PartitionIndex": pair[0], "BrokerIds": pair[1]}))
                .collect();
            json!({"NumPartitions": partitions, "ReplicationFactor": factor, "Assignments": list})
        };
        for (partitions, factor) in [(-1, -1), (1, 1), (1, -1), (-1, 1)] {
            let mut topic = assigned(partitions, factor);
            topic["Name"] = s.name(&format!("{}.{partitions}.{factor}", step.replace(' ', "-"))).into();
            s.call(
                &format!("{step}, {partitions} partitions, factor {factor}"),
                creating(&[topic]),
            );
        }
    }
}

fn configs(s: &mut Session) {
    let cases = [
        ("unknown", json!([["no.such.key", "1"]])),
        ("empty name", json!([["", "1"]])),
        ("null", json!([["retention.ms", null]])),
        ("unknown and null", json!([["no.such.key", null]])),
        ("twice", json!([["retention.ms", "1"], ["retention.ms", "2"]])),
        ("not a number", json!([["retention.ms", "soon"]])),
        ("empty number", json!([["retention.ms", ""]])),
        ("number with spaces", json!([["retention.ms", " 5 "]])),
        ("number with plus", json!([["retention.ms", "+5"]])),
        ("too small", json!([["retention.ms", "-2"]])),
        ("too large", json!([["max.message.bytes", "2147483648"]])),
        ("fraction", json!([["max.message.bytes", "1.5"]])),
        ("not a ratio", json!([["min.cleanable.dirty.ratio", "1.5"]])),
        ("not a boolean", json!([["preallocate", "yes"]])),
        ("not a policy", json!([["cleanup.policy", "keep"]])),
        ("policy twice", json!([["cleanup.policy", "delete,delete"]])),
        ("policy with spaces", json!([["cleanup.policy", " compact , delete "]])),
        ("empty policy", json!([["cleanup.policy", ""]])),
        ("not a codec", json!([["compression.type", "brotli"]])),
        ("codec in capitals", json!([["compression.type", "GZIP"]])),
        ("level out of range", json!([["compression.gzip.level", "10"]])),
        ("level", json!([["compression.zstd.level", "-5"]])),
        ("not a type of time", json!([["message.timestamp.type", "Whenever"]])),
        ("time in small letters", json!([["message.timestamp.type", "logappendtime"]])),
        ("segment too small", json!([["segment.bytes", "13"]])),
        ("segment below a megabyte", json!([["segment.bytes", "1048575"]])),
        ("segment.ms zero", json!([["segment.ms", "0"]])),
        ("no replicas", json!([["min.insync.replicas", "0"]])),
        ("replicas", json!([["min.insync.replicas", "3"]])),
        ("throttled", json!([["leader.replication.throttled.replicas", "*"]])),
        (
            "throttled partitions",
            json!([["follower.replication.throttled.replicas", "0:1,1:1"]]),
        ),
        ("not throttled", json!([["follower.replication.throttled.replicas", "x"]])),
        ("removed", json!([["message.format.version", "3.0"]])),
        ("removed bound", json!([["message.timestamp.difference.max.ms", "1"]])),
        (
            "lag",
            json!([["min.compaction.lag.ms", "10"], ["max.compaction.lag.ms", "5"]]),
        ),
        ("tiered", json!([["remote.storage.enable", "true"]])),
        ("not tiered", json!([["remote.storage.enable", "false"]])),
        ("local retention", json!([["local.retention.ms", "5"]])),
        (
            "local retention above",
            json!([["local.retention.ms", "10"], ["retention.ms", "5"]]),
        ),
        ("the second is wrong", json!([["retention.ms", "5"], ["flush.ms", "x"]])),
    ];
    for (step, pairs) in cases {
        let pairs = pairs.as_array().unwrap().iter();
        let list: Vec<Value> = pairs.map(|pair| json!({"Name": pair[0], "Value": pair[1]})).collect();
        s.call(step, validating(&[configured(&s.name("a"), json!(list))]));
    }
    let topics = [
        configured(&s.name("bad"), json!([{"Name": "no.such.key", "Value": "1"}])),
        plain(&s.name("good")),
    ];
    s.call("one topic of two", validating(&topics));
}

fn sized(name: &str, partitions: i32, factor: i16) -> Value {
    json!({"Name": name, "NumPartitions": partitions, "ReplicationFactor": factor})
}

fn plain(name: &str) -> Value {
    sized(name, 2, 1)
}

fn configured(name: &str, configs: Value) -> Value {
    let mut topic = sized(name, 1, 1);
    topic["Configs"] = configs;
    topic
}

fn creating(topics: &[Value]) -> Value {
    json!({"Topics": topics, "timeoutMs": 20_000})
}

fn validating(topics: &[Value]) -> Value {
    json!({"Topics": topics, "timeoutMs": 20_000, "validateOnly": true})
}
