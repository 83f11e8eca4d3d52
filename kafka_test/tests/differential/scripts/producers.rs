//! Idempotent producers: InitProducerId, and which sequence numbers Produce accepts.

use crate::script::{produce, Script, Session};
use kafka_test::batch::Batch;
use serde_json::json;

/// An id that no broker has given: a partition that knows nothing of it accepts it, so both servers can be sent the same batches.
const PRODUCER_ID: i64 = 1 << 60;

pub const SCRIPTS: &[Script] = &[
    Script::new("InitProducerId", "all", |s| {
        s.ready_for_producers();
        for timeout in [60_000, 0, -1, i32::MAX] {
            s.call(
                &format!("timeout {timeout}"),
                json!({"TransactionalId": null, "TransactionTimeoutMs": timeout}),
            );
        }
        s.call(
            "empty transactional id",
            json!({"TransactionalId": "", "TransactionTimeoutMs": 60_000}),
        );
        for (id, epoch) in [(5, -1), (-1, 5), (-2, -2), (5, 5), (5, i16::MAX)] {
            let body = json!({"TransactionalId": null, "TransactionTimeoutMs": 60_000, "ProducerId": id, "ProducerEpoch": epoch});
            s.call(&format!("id {id} epoch {epoch}"), body);
        }
    }),
    Script::new("Produce", "sequences", |s| {
        let topic = s.topic("t", 1);
        // Epoch, first sequence number and records of each batch.
        for (epoch, sequence, records) in [
            (0, 3, 2),
            (0, 5, 1),
            (0, 5, 1),
            (0, 3, 2),
            (0, 7, 1),
            (0, 4, 1),
            (0, 6, 1),
            (0, 7, 1),
            (0, 8, 1),
            (0, 9, 1),
            (0, 3, 2),
            (0, 5, 1),
            (0, 5, 2),
            (2, 10, 1),
            (2, 0, 1),
            (2, 0, 1),
            (0, 10, 1),
            (1, 0, 1),
            (2, 1, 1),
        ] {
            send(s, &topic, epoch, sequence, records);
        }
    })
    .since(3),
    Script::new("Produce", "sequences that wrap", |s| {
        let topic = s.topic("t", 1);
        for (sequence, records) in [(i32::MAX - 1, 2), (1, 1), (0, 1), (i32::MAX - 1, 2), (1, 1)] {
            send(s, &topic, 0, sequence, records);
        }
        let topic = s.topic("u", 1);
        for (sequence, records) in [(i32::MAX - 1, 4), (i32::MAX - 1, 4), (1, 1), (2, 1), (2, 1)] {
            send(s, &topic, 0, sequence, records);
        }
    })
    .since(3),
    Script::new("Produce", "wrong producers", |s| {
        let topic = s.topic("t", 1);
        for (id, epoch, sequence) in [
            (5, 0, -1),
            (5, -1, 0),
            (-1, 0, 0),
            (-2, 0, 0),
            (5, -2, 0),
            (5, 0, -2),
            (5, i16::MAX, 0),
            (i64::MAX, 0, i32::MAX),
        ] {
            let batch = Batch {
                producer_id: id,
                producer_epoch: epoch,
                base_sequence: sequence,
                ..Batch::of(["a"])
            };
            s.call(
                &format!("id {id} epoch {epoch} sequence {sequence}"),
                produce(&topic, 0, -1, &batch.encode()),
            );
        }
    })
    .since(3),
];

fn send(s: &mut Session, topic: &str, epoch: i16, sequence: i32, records: usize) {
    let batch = Batch {
        producer_id: PRODUCER_ID,
        producer_epoch: epoch,
        base_sequence: sequence,
        ..Batch::of(vec!["a"; records])
    };
    let step = format!("epoch {epoch}, {records} from {sequence}");
    s.call(&step, produce(topic, 0, -1, &batch.encode()));
}
