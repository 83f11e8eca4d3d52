//! Produce of idempotent producers: what is next, what is a repetition, what is out of order.

use crate::script::{produce, Script, Session};
use kafka_test::batch::Batch;
use kafka_test::compression::Codec;
use serde_json::json;

/// A batch of `records` records.
fn batch(producer_id: i64, producer_epoch: i16, base_sequence: i32, records: usize) -> Batch {
    Batch {
        producer_id,
        producer_epoch,
        base_sequence,
        ..Batch::of(vec!["a"; records])
    }
}

fn send(s: &mut Session, topic: &str, (producer, epoch, sequence, records): (i64, i16, i32, usize)) {
    let step = format!("producer {producer} epoch {epoch} sequence {sequence} records {records}");
    let batch = batch(producer, epoch, sequence, records);
    s.call(&step, produce(topic, 0, -1, &batch.encode()));
}

pub const SCRIPTS: &[Script] = &[
    Script::new("Produce", "sequences", |s| {
        let topic = s.topic("t", 1);
        for sequence in 0..7 {
            send(s, &topic, (1, 0, 2 * sequence, 2));
        }
        // The last five again, one that is older, other cuts, a gap, the next.
        for sequence in [12, 10, 8, 6, 4, 2, 0] {
            send(s, &topic, (1, 0, sequence, 2));
        }
        for (sequence, records) in [(12, 1), (13, 1), (10, 4), (13, 2), (15, 1), (14, 1)] {
            send(s, &topic, (1, 0, sequence, records));
        }
    })
    .since(3),
    Script::new("Produce", "producer epochs", |s| {
        let topic = s.topic("t", 1);
        for (epoch, sequence) in [(2, 0), (3, 1), (3, 0), (2, 1), (2, 0), (3, 0), (3, 1), (-1, 2), (i16::MAX, 0)] {
            send(s, &topic, (1, epoch, sequence, 1));
        }
        for (epoch, sequence) in [(-1, 5), (-1, 5), (-1, 9), (0, 3), (-2, 0)] {
            send(s, &topic, (2, epoch, sequence, 1));
        }
        send(s, &topic, (3, -2, 0, 1));
    })
    .since(3),
    Script::new("Produce", "the largest sequences", |s| {
        let topic = s.topic("t", 1);
        for (sequence, records) in [(i32::MAX - 1, 1), (i32::MAX, 1), (0, 1), (i32::MAX, 1), (1, 1)] {
            send(s, &topic, (1, 0, sequence, records));
        }
        for (sequence, records) in [(i32::MAX - 1, 5), (2, 1), (3, 1), (i32::MAX - 1, 5)] {
            send(s, &topic, (2, 0, sequence, records));
        }
    })
    .since(3),
    Script::new("Produce", "repetitions", |s| {
        let topic = s.topic_with("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
        let other = s.topic_with("u", 1, &[("compression.type", "gzip")]);
        for step in ["first", "again"] {
            for topic in [&topic, &other] {
                s.call(step, produce(topic, 0, -1, &batch(1, 0, 0, 3).encode()));
            }
            s.call(step, produce(&topic, 0, 1, &batch(1, 0, 3, 1).encode()));
        }
        s.call(
            "in another codec",
            produce(&topic, 0, -1, &batch(1, 0, 0, 3).compressed(Codec::Gzip).encode()),
        );
        let deleted =
            json!({"Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "Offset": -1}]}], "TimeoutMs": 30_000});
        s.call_api("deletion", "DeleteRecords", 2, deleted);
        s.call("after a deletion", produce(&topic, 0, -1, &batch(1, 0, 0, 3).encode()));
        s.call("a gap after a deletion", produce(&topic, 0, -1, &batch(1, 0, 9, 3).encode()));
        s.call("next after a deletion", produce(&topic, 0, -1, &batch(1, 0, 4, 1).encode()));
    })
    .since(3),
];
