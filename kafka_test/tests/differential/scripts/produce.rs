//! Produce: what is stored as it came, what the broker changes, and every batch that it refuses.

use crate::allowed::Exception;
use crate::codec::{bytes, NIL};
use crate::script::{produce, Script, Session};
use kafka_test::batch::{now_ms, Batch, Record, CONTROL, LOG_APPEND_TIME, TRANSACTIONAL};
use kafka_test::compression::Codec;
use serde_json::{json, Value};

const UNKNOWN_ID: &str = "uuid:12345678-9abc-4def-8123-456789abcdef";

const TWICE: &[Exception] = &[Exception::intended(
    "**A partition that one request names twice**",
    "Responses",
)];
const GAPS: &[Exception] = &[Exception::intended("**Compressed batches with gaps**", "Responses")];
const HUGE: &[Exception] = &[Exception::intended("**A length near 2^31**", "Responses")];
const NULL: &[Exception] = &[Exception::intended("**Null records**", "")];

pub const SCRIPTS: &[Script] = &[
    Script::new("Produce", "stored", |s| {
        let topic = s.topic("t", 2);
        for acks in [-1, 1] {
            s.call(
                &format!("acks {acks}"),
                produce(&topic, 0, acks, &Batch::of(["a", "b", "c"]).encode()),
            );
            s.call(
                &format!("acks {acks} again"),
                produce(&topic, 0, acks, &Batch::of(["d"]).keyed("k").encode()),
            );
        }
        read_back(s, &topic);
    }),
    Script::new("Produce", "acks", |s| {
        let topic = s.topic("t", 1);
        for acks in [2, -2, i16::MAX, i16::MIN] {
            s.call(&format!("acks {acks}"), produce(&topic, 0, acks, &Batch::of(["a"]).encode()));
        }
        s.tell(produce(&topic, 0, 0, &Batch::of(["silent"]).encode()));
        s.call("after acks 0", produce(&topic, 0, -1, &Batch::of(["b"]).encode()));
        read_back(s, &topic);
    })
    .since(3),
    Script::new("Produce", "errors with acks 0", |s| {
        let topic = s.topic("t", 2);
        s.tell(produce(&topic, 9, 0, &Batch::of(["a"]).encode()));
        s.call(
            "after an unknown partition",
            produce(&topic, 0, -1, &Batch::of(["b"]).encode()),
        );
        s.call("on a new connection", produce(&topic, 1, -1, &Batch::of(["c"]).encode()));
    })
    .since(3),
    Script::new("Produce", "places", |s| {
        let topic = s.topic("t", 2);
        let records = bytes(&Batch::of(["a"]).encode());
        for partition in [2, -1, i32::MAX] {
            s.call(
                &format!("partition {partition}"),
                produce(&topic, partition, -1, &Batch::of(["a"]).encode()),
            );
        }
        for name in [
            s.name("unknown").as_str(),
            "",
            "a b",
            "__consumer_offsets",
            "__cluster_metadata",
        ] {
            let body = many(json!([{"Name": name, "TopicId": UNKNOWN_ID, "PartitionData": [{"Index": 0, "Records": records}]}]));
            if !name.starts_with("__") || s.version < 13 {
                s.call(&format!("topic {name:?}"), body);
            }
        }
        let nil = json!([{"Name": topic, "TopicId": NIL, "PartitionData": [{"Index": 0, "Records": records}]}]);
        s.call("no id", many(nil));
        let partitions = json!([
            {"Index": 1, "Records": records}, {"Index": 7, "Records": records}, {"Index": 0, "Records": records},
        ]);
        s.call(
            "some partitions",
            many(json!([{"Name": topic, "TopicId": s.id(&topic), "PartitionData": partitions}])),
        );
        let twice = json!([{"Index": 0, "Records": records}, {"Index": 0, "Records": records}]);
        let other = s.topic("twice", 2);
        let body = many(json!([{"Name": other, "TopicId": s.id(&other), "PartitionData": twice}]));
        s.except(TWICE).call("a partition twice", body);
        let topic = s.topic("again", 2);
        let entry =
            |index: i32| json!({"Name": topic, "TopicId": s.id(&topic), "PartitionData": [{"Index": index, "Records": records}]});
        let entries = json!([entry(0), entry(1), entry(0)]);
        s.except(TWICE).call("a topic twice", many(entries));
    })
    .since(3),
    Script::new("Produce", "nothing", |s| {
        let topic = s.topic("t", 1);
        s.call("no topics", many(json!([])));
        s.call(
            "no partitions",
            many(json!([{"Name": topic, "TopicId": s.id(&topic), "PartitionData": []}])),
        );
        let with = |records: Value| {
            many(json!([{"Name": topic, "TopicId": s.id(&topic), "PartitionData": [{"Index": 0, "Records": records}]}]))
        };
        let (null, empty) = (with(Value::Null), with(bytes(&[])));
        // Kafka leaves it without an answer, which takes as long as the patience of this test: once is enough.
        if s.version == 13 {
            s.except(NULL).call("null records", null);
        }
        s.call("empty records", empty);
        s.call("null topics", many(Value::Null));
    })
    .since(3),
    Script::new("Produce", "timeouts", |s| {
        let topic = s.topic("t", 1);
        for timeout in [0, -1, i32::MIN, i32::MAX] {
            let mut body = produce(&topic, 0, -1, &Batch::of(["a"]).encode());
            body["TimeoutMs"] = timeout.into();
            s.call(&format!("timeout {timeout}"), body);
        }
    })
    .since(3),
    Script::new("Produce", "transactional ids", |s| {
        let topic = s.topic("t", 1);
        for (step, id, flags) in [
            ("id, plain batch", json!("tx"), 0),
            ("no id, transactional batch", Value::Null, TRANSACTIONAL),
            ("empty id, plain batch", json!(""), 0),
        ] {
            let mut body = produce(&topic, 0, -1, &flagged(flags).encode());
            body["TransactionalId"] = id;
            s.call(step, body);
        }
        let mut one_of_two = produce(&topic, 0, -1, &flagged(TRANSACTIONAL).encode());
        let plain = json!({"Index": 1, "Records": bytes(&Batch::of(["a"]).encode())});
        one_of_two["TopicData"][0]["PartitionData"]
            .as_array_mut()
            .unwrap()
            .push(plain);
        s.call("one partition of two", one_of_two);
    })
    .since(3),
    Script::new("Produce", "malformed batches", malformed).since(3),
    Script::new("Produce", "codecs", |s| {
        for codec in Codec::ALL {
            let topic = s.topic(codec.name(), 1);
            let batch = || Batch::of(["aaaa", "bbbb", "aaaa"]).compressed(codec);
            s.call(codec.name(), produce(&topic, 0, -1, &batch().encode()));
            let mut damaged = batch().encode();
            let middle = (61 + damaged.len()) / 2;
            damaged[middle] ^= 0x55;
            let crc = crc32c::crc32c(&damaged[21..]);
            damaged[17..21].copy_from_slice(&crc.to_be_bytes());
            s.call(&format!("{}, damaged", codec.name()), produce(&topic, 0, -1, &damaged[..61]));
            read_back(s, &topic);
        }
    })
    .since(3),
    Script::new("Produce", "topic configs", topic_configs).since(3),
    Script::new("Produce", "versions that are only advertised", |s| {
        let topic = s.topic("t", 1);
        s.call("produce", produce(&topic, 0, -1, &Batch::of(["a"]).encode()));
    })
    .until(2),
];

fn many(topics: Value) -> Value {
    json!({"Acks": -1, "TimeoutMs": 20_000, "TopicData": topics})
}

fn flagged(flags: i16) -> Batch {
    Batch {
        flags,
        ..Batch::of(["a"])
    }
}

/// What both have stored, byte for byte.
fn read_back(s: &mut Session, topic: &str) {
    let partition = json!({"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 1 << 20});
    let topics = json!([{"Topic": topic, "Partitions": [partition]}]);
    s.call_api(
        "read back",
        "Fetch",
        12,
        json!({"MaxWaitMs": 0, "MaxBytes": 1 << 20, "SessionEpoch": -1, "Topics": topics}),
    );
}

fn malformed(s: &mut Session) {
    let topic = s.topic("t", 1);
    let batch = || Batch::of(["a", "b"]);
    let record = |offset_delta: i32, timestamp_delta: i64| Record {
        offset_delta,
        timestamp_delta,
        value: Some(vec![7]),
        ..Record::default()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("wrong checksum", Batch { crc: Some(1), ..batch() }.encode()),
        ("magic 0", Batch { magic: 0, ..batch() }.encode()),
        ("magic 1", Batch { magic: 1, ..batch() }.encode()),
        ("magic 3", Batch { magic: 3, ..batch() }.encode()),
        ("magic -1", Batch { magic: -1, ..batch() }.encode()),
        (
            "base offset 5",
            Batch {
                base_offset: 5,
                ..batch()
            }
            .encode(),
        ),
        (
            "base offset -1",
            Batch {
                base_offset: -1,
                ..batch()
            }
            .encode(),
        ),
        (
            "leader epoch 9",
            Batch {
                leader_epoch: 9,
                ..batch()
            }
            .encode(),
        ),
        ("control batch", flagged(CONTROL).encode()),
        ("control batch of a transaction", flagged(CONTROL | TRANSACTIONAL).encode()),
        ("broker's time", flagged(LOG_APPEND_TIME).encode()),
        ("unknown attributes", flagged(1 << 9).encode()),
        ("horizon of deletion", flagged(1 << 6).encode()),
        ("codec 5", flagged(5).encode()),
        ("codec 7", flagged(7).encode()),
        (
            "count too small",
            Batch {
                record_count: Some(1),
                ..batch()
            }
            .encode(),
        ),
        (
            "count too large",
            Batch {
                record_count: Some(3),
                ..batch()
            }
            .encode(),
        ),
        (
            "count zero",
            Batch {
                record_count: Some(0),
                ..batch()
            }
            .encode(),
        ),
        (
            "count negative",
            Batch {
                record_count: Some(-1),
                ..batch()
            }
            .encode(),
        ),
        (
            "no records",
            Batch {
                records: vec![],
                ..batch()
            }
            .encode(),
        ),
        (
            "last delta too small",
            Batch {
                last_offset_delta: Some(0),
                ..batch()
            }
            .encode(),
        ),
        (
            "last delta too large",
            Batch {
                last_offset_delta: Some(2),
                ..batch()
            }
            .encode(),
        ),
        (
            "last delta negative",
            Batch {
                last_offset_delta: Some(-1),
                ..batch()
            }
            .encode(),
        ),
        (
            "count and last delta too large",
            Batch {
                record_count: Some(3),
                last_offset_delta: Some(2),
                ..batch()
            }
            .encode(),
        ),
        (
            "offset deltas with a gap",
            Batch::with_records(vec![record(0, 0), record(2, 0)]).encode(),
        ),
        (
            "offset deltas with a gap, told",
            Batch {
                last_offset_delta: Some(2),
                record_count: Some(3),
                ..Batch::with_records(vec![record(0, 0), record(2, 0)])
            }
            .encode(),
        ),
        (
            "offset deltas descending",
            Batch::with_records(vec![record(1, 0), record(0, 0)]).encode(),
        ),
        (
            "offset deltas the same",
            Batch::with_records(vec![record(0, 0), record(0, 0)]).encode(),
        ),
        (
            "timestamps descending",
            Batch::with_records(vec![record(0, 5), record(1, -5)]).encode(),
        ),
        (
            "wrong largest timestamp",
            Batch {
                max_timestamp: Some(1),
                ..batch()
            }
            .encode(),
        ),
        ("no timestamp", batch().at(-1).encode()),
        ("negative timestamp", batch().at(-5).encode()),
        ("long ago", batch().at(1).encode()),
        ("two hours ahead", batch().at(now_ms() + 7_200_000).encode()),
        (
            "producer without sequence",
            Batch {
                producer_id: 5,
                producer_epoch: 0,
                base_sequence: -1,
                ..batch()
            }
            .encode(),
        ),
        ("two batches", [batch().encode(), batch().encode()].concat()),
        ("a byte behind", [batch().encode(), vec![0]].concat()),
        ("a header behind", [batch().encode(), vec![0; 61]].concat()),
        ("cut in the records", batch().encode()[..65].to_vec()),
        ("cut in the header", batch().encode()[..40].to_vec()),
        ("header alone", batch().encode()[..61].to_vec()),
        ("11 bytes", batch().encode()[..11].to_vec()),
        ("17 bytes", batch().encode()[..17].to_vec()),
        ("zeros", vec![0; 100]),
        ("ones", vec![0xff; 100]),
        (
            "text",
            b"what is this, if not a record batch of the newest format that there is?".to_vec(),
        ),
    ];
    for (step, records) in cases {
        s.call(step, produce(&topic, 0, -1, &records));
    }
    for (step, length) in [
        ("length zero", 0i32),
        ("length 13", 13),
        ("length 48", 48),
        ("length negative", -1),
        ("length huge", i32::MAX),
        ("length one less", -100),
        ("length one more", -200),
    ] {
        let mut records = batch().encode();
        let length = match length {
            -100 => records.len() as i32 - 13,
            -200 => records.len() as i32 - 11,
            other => other,
        };
        records[8..12].copy_from_slice(&length.to_be_bytes());
        if length == i32::MAX {
            s.except(HUGE);
        }
        s.call(step, produce(&topic, 0, -1, &records));
    }
    let gaps = s.topic("gaps", 1);
    for codec in &Codec::ALL[1..] {
        let mut records = batch().compressed(*codec).encode();
        records.truncate(records.len() - 3);
        let length = records.len() as i32 - 12;
        records[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c::crc32c(&records[21..]);
        records[17..21].copy_from_slice(&crc.to_be_bytes());
        s.call(&format!("{} that is cut", codec.name()), produce(&topic, 0, -1, &records));
        for (what, records) in [
            ("with a gap", Batch::with_records(vec![record(0, 0), record(2, 0)])),
            (
                "with a wrong count",
                Batch {
                    record_count: Some(1),
                    last_offset_delta: Some(0),
                    ..batch()
                },
            ),
            (
                "with a count too large",
                Batch {
                    record_count: Some(3),
                    last_offset_delta: Some(2),
                    ..batch()
                },
            ),
        ] {
            let target = if what == "with a gap" { &gaps } else { &topic };
            if what == "with a gap" {
                s.except(GAPS);
            }
            s.call(
                &format!("{} {what}", codec.name()),
                produce(target, 0, -1, &records.compressed(*codec).encode()),
            );
        }
    }
    read_back(s, &topic);
}

fn topic_configs(s: &mut Session) {
    let compacted = s.topic_with("compacted", 1, &[("cleanup.policy", "compact")]);
    s.call("no key", produce(&compacted, 0, -1, &Batch::of(["a", "b"]).encode()));
    s.call("key", produce(&compacted, 0, -1, &Batch::of(["a"]).keyed("k").encode()));
    let mut second_without = Batch::of(["a", "b", "c"]).keyed("k");
    second_without.records[1].key = None;
    s.call(
        "one of three without key",
        produce(&compacted, 0, -1, &second_without.encode()),
    );
    s.call(
        "no key, compressed",
        produce(&compacted, 0, -1, &Batch::of(["a"]).compressed(Codec::Gzip).encode()),
    );

    let small = s.topic_with("small", 1, &[("max.message.bytes", "100")]);
    s.call("100 bytes", produce(&small, 0, -1, &Batch::of(["x".repeat(32)]).encode()));
    s.call("101 bytes", produce(&small, 0, -1, &Batch::of(["x".repeat(33)]).encode()));
    s.call(
        "too large and wrong",
        produce(
            &small,
            0,
            -1,
            &Batch {
                crc: Some(1),
                ..Batch::of(["x".repeat(333)])
            }
            .encode(),
        ),
    );

    let broker_time = s.topic_with("time", 1, &[("message.timestamp.type", "LogAppendTime")]);
    s.call(
        "broker's time",
        produce(&broker_time, 0, -1, &Batch::of(["a"]).at(1).encode()),
    );
    s.call(
        "broker's time, compressed",
        produce(&broker_time, 0, -1, &Batch::of(["a"]).compressed(Codec::Lz4).encode()),
    );

    let narrow = [
        ("message.timestamp.before.max.ms", "60000"),
        ("message.timestamp.after.max.ms", "60000"),
    ];
    let bounded = s.topic_with("bounded", 1, &narrow);
    s.call("in time", produce(&bounded, 0, -1, &Batch::of(["a"]).encode()));
    s.call(
        "too early",
        produce(&bounded, 0, -1, &Batch::of(["a", "b"]).at(1_000).encode()),
    );
    s.call(
        "too late",
        produce(&bounded, 0, -1, &Batch::of(["a", "b"]).at(now_ms() + 100_000).encode()),
    );
    s.call("without time", produce(&bounded, 0, -1, &Batch::of(["a"]).at(-1).encode()));

    let gzip = s.topic_with("gzip", 1, &[("compression.type", "gzip")]);
    s.call("recompressed", produce(&gzip, 0, -1, &Batch::of(["a", "b"]).encode()));
    let plain = s.topic_with("plain", 1, &[("compression.type", "uncompressed")]);
    s.call(
        "decompressed",
        produce(&plain, 0, -1, &Batch::of(["a", "b"]).compressed(Codec::Snappy).encode()),
    );
    read_back(s, &plain);
}
