//! Fetch sessions (KIP-227): which requests go on with one, and what their answers have.

use crate::allowed::Exception;
use crate::script::{Script, Session};
use kafka_test::batch::Batch;
use serde_json::{json, Value};

const IMPOSSIBLE_ID: &[Exception] = &[
    Exception::intended("**Session ids that no session can have**", "ErrorCode"),
    Exception::intended("**Session ids that no session can have**", "SessionId"),
];

pub const SCRIPTS: &[Script] = &[
    Script::new("Fetch", "sessions begin and end", |s| {
        let topic = filled(s);
        for (id, epoch) in [
            (json!(0), -1),
            (json!(1), -1),
            (json!(-1), -1),
            (json!(0), 0),
            (json!(1), 0),
            (json!("$session1"), 0),
            (json!("$session1"), 1),
            (json!("$session2"), -1),
            (json!("$session2"), 1),
            (json!("$session3"), 1),
        ] {
            let step = format!("session {id} epoch {epoch}");
            s.call(&step, of(id, epoch, json!([entry(s, &topic, &[(0, 0)])])));
        }
    })
    .since(7),
    Script::new("Fetch", "sessions without partitions", |s| {
        s.call("a new one", of(json!(0), 0, json!([])));
        s.call("its second request", of(json!("$session1"), 1, json!([])));
        s.call("its third request", of(json!("$session1"), 2, json!([])));
    })
    .since(7),
    Script::new("Fetch", "epochs of sessions", |s| {
        let topic = filled(s);
        s.call("a new one", of(json!(0), 0, json!([entry(s, &topic, &[(0, 6)])])));
        for epoch in [0, 1, 2, 7, -2, i32::MIN, i32::MAX] {
            s.call(&format!("epoch {epoch} of none"), of(json!(0), epoch, json!([])));
            s.call(
                &format!("epoch {epoch} of an unknown one"),
                of(json!(12345), epoch, json!([])),
            );
        }
        for epoch in [2, 1, 1, 3, 2, i32::MIN, -2, i32::MAX, 3, 4] {
            s.call(&format!("epoch {epoch}"), of(json!("$session1"), epoch, json!([])));
        }
        for id in [-1, i32::MIN, i32::MAX] {
            if id != -1 {
                s.except(IMPOSSIBLE_ID);
            }
            s.call(&format!("session {id}"), of(json!(id), 1, json!([])));
        }
    })
    .since(7),
    Script::new("Fetch", "sessions and names of topics", |s| {
        let topic = filled(s);
        let other = if s.version >= 13 { 12 } else { 13 };
        s.call("a new one", of(json!(0), 0, json!([entry(s, &topic, &[(0, 6)])])));
        for (step, version, epoch) in [
            ("other names and epoch", other, 2),
            ("other names", other, 1),
            ("the same names", s.version, 1),
            ("other names, to close it", other, -1),
            ("closed", s.version, 2),
        ] {
            let body = of(json!("$session1"), epoch, json!([entry(s, &topic, &[(0, 6)])]));
            s.call_api(step, "Fetch", version, body);
        }
    })
    .since(7),
    Script::new("Fetch", "news in sessions", |s| {
        let topic = filled(s);
        let mut talk = Talk { epoch: 0 };
        talk.say(s, "a new one", &topic, &[(0, 6), (1, 6), (2, 0)], &[]);
        talk.say(s, "the same", &topic, &[], &[]);
        talk.say(s, "what it has", &topic, &[(2, 6)], &[]);
        talk.say(s, "nothing", &topic, &[], &[]);
        s.append(&topic, 1, &Batch::of(["c"]));
        talk.say(s, "a batch", &topic, &[], &[]);
        talk.say(s, "the batch again", &topic, &[], &[]);
        talk.say(s, "behind the batch", &topic, &[(1, 7)], &[]);
        let deleting =
            json!({"TimeoutMs": 20_000, "Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "Offset": 2}]}]});
        s.call_api("delete records", "DeleteRecords", 2, deleting);
        talk.say(s, "a log start", &topic, &[], &[]);
        talk.say(s, "the log start again", &topic, &[], &[]);
        talk.say(s, "below the log start", &topic, &[(0, 1)], &[]);
        talk.say(s, "below it again", &topic, &[], &[]);
        talk.say(s, "at the end", &topic, &[(0, 6)], &[]);
        talk.say(s, "nothing more", &topic, &[], &[]);
        for partition in 0..3 {
            s.append(&topic, partition, &Batch::of(["d"]));
        }
        talk.say(s, "three batches", &topic, &[], &[]);
    })
    .since(7),
    Script::new("Fetch", "partitions of sessions", |s| {
        let topic = filled(s);
        let mut talk = Talk { epoch: 0 };
        talk.say(s, "one", &topic, &[(0, 6)], &[]);
        talk.say(s, "two more", &topic, &[(1, 6), (2, 6)], &[]);
        talk.say(s, "one that does not exist", &topic, &[(3, 0)], &[]);
        talk.say(s, "that one again", &topic, &[], &[]);
        talk.say(s, "without it", &topic, &[], &[3]);
        s.append(&topic, 1, &Batch::of(["c"]));
        talk.say(s, "without the one with news", &topic, &[], &[1, 1, 9]);
        talk.say(s, "with it", &topic, &[(1, 6)], &[]);
        talk.say(s, "changed and forgotten at once", &topic, &[(1, 7)], &[1]);
        talk.say(s, "twice", &topic, &[(1, 0), (1, 7)], &[]);
        talk.say(s, "all", &topic, &[(0, 0)], &[0, 1, 2]);
        talk.say(s, "gone", &topic, &[], &[]);
    })
    .since(7),
    Script::new("Fetch", "topics of sessions", |s| {
        let (topic, other) = (filled(s), s.topic("other", 1));
        let unknown = json!({
            "Topic": s.name("unknown"),
            "TopicId": "uuid:12345678-9abc-4def-8123-456789abcdef",
            "Partitions": [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20}],
        });
        let all = json!([entry(s, &topic, &[(0, 6)]), unknown, entry(s, &other, &[(0, 0)])]);
        s.call("a new one", of(json!(0), 0, all));
        s.call("again", of(json!("$session1"), 1, json!([])));
        s.append(&other, 0, &Batch::of(["a"]));
        s.call("a batch", of(json!("$session1"), 2, json!([])));
        let mut body = of(json!("$session1"), 3, json!([]));
        body["ForgottenTopicsData"] = json!([
            {"Topic": other, "TopicId": s.id(&other), "Partitions": [0]},
            {"Topic": s.name("unknown"), "TopicId": "uuid:12345678-9abc-4def-8123-456789abcdef", "Partitions": [0]},
        ]);
        s.call("without two of three", body);
        s.call("the third", of(json!("$session1"), 4, json!([entry(s, &topic, &[(0, 4)])])));
    })
    .since(7),
    Script::new("Fetch", "limits and waits in sessions", |s| {
        let topic = filled(s);
        let all = json!([entry(s, &topic, &[(0, 0), (1, 0), (2, 0)])]);
        s.call("a new one", of(json!(0), 0, all));
        for epoch in 1..7 {
            let mut body = of(json!("$session1"), epoch, json!([]));
            body["MaxBytes"] = 1.into();
            s.call(&format!("one batch, request {epoch}"), body);
        }
        let end = json!([entry(s, &topic, &[(0, 6), (1, 6), (2, 6)])]);
        for (epoch, wait, least, topics) in [
            (7, 50, 1, end),
            (8, 50, 1, json!([])),
            (9, 0, 1, json!([])),
            (10, 50, 0, json!([])),
        ] {
            let mut body = of(json!("$session1"), epoch, topics);
            (body["MaxWaitMs"], body["MinBytes"]) = (wait.into(), least.into());
            s.call(&format!("{wait} ms for {least} bytes"), body);
        }
        s.append(&topic, 2, &Batch::of(["c"]));
        let mut body = of(json!("$session1"), 11, json!([]));
        (body["MaxWaitMs"], body["MinBytes"]) = (50.into(), i32::MAX.into());
        s.call("less than the least", body);
    })
    .since(7),
];

/// A talk in the first session of a script.
struct Talk {
    epoch: i32,
}

impl Talk {
    fn say(&mut self, s: &mut Session, step: &str, topic: &str, partitions: &[(i32, i64)], forgotten: &[i32]) {
        let topics = match partitions {
            [] => json!([]),
            _ => json!([entry(s, topic, partitions)]),
        };
        let id = if self.epoch == 0 { json!(0) } else { json!("$session1") };
        let mut body = of(id, self.epoch, topics);
        if !forgotten.is_empty() {
            body["ForgottenTopicsData"] = json!([{"Topic": topic, "TopicId": s.id(topic), "Partitions": forgotten}]);
        }
        s.call(step, body);
        self.epoch += 1;
    }
}

/// A topic of three partitions with three batches of two records each.
fn filled(s: &mut Session) -> String {
    let topic = s.topic("t", 3);
    for partition in 0..3 {
        for _ in 0..3 {
            s.append(&topic, partition, &Batch::of(["a", "b"]));
        }
    }
    topic
}

fn entry(s: &Session, topic: &str, partitions: &[(i32, i64)]) -> Value {
    let partition =
        |(index, offset): &(i32, i64)| json!({"Partition": index, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20});
    let partitions: Vec<_> = partitions.iter().map(partition).collect();
    json!({"Topic": topic, "TopicId": s.id(topic), "Partitions": partitions})
}

/// A Fetch of these topics in a session.
fn of(id: Value, epoch: i32, topics: Value) -> Value {
    json!({
        "MaxWaitMs": 0,
        "MinBytes": 0,
        "MaxBytes": 1 << 20,
        "SessionId": id,
        "SessionEpoch": epoch,
        "Topics": topics,
    })
}
