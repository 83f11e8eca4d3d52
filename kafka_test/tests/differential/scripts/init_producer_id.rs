//! InitProducerId: ids for idempotent producers, and what is refused.

use crate::allowed::Exception;
use crate::script::Script;
use serde_json::json;

const NO_TRANSACTIONS: &[Exception] = &[
    Exception::intended("**InitProducerId with a transactional id**", "ErrorCode"),
    Exception::intended("**InitProducerId with a transactional id**", "ProducerId"),
    Exception::intended("**InitProducerId with a transactional id**", "ProducerEpoch"),
];

pub const SCRIPTS: &[Script] = &[
    Script::new("InitProducerId", "without a transactional id", |s| {
        s.kafka_ready_for_producers();
        for timeout in [60_000, 0, -1, i32::MAX] {
            let body = json!({"TransactionalId": null, "TransactionTimeoutMs": timeout});
            s.call(&format!("timeout {timeout}"), body);
        }
        s.call("empty", json!({"TransactionalId": "", "TransactionTimeoutMs": 60_000}));
    }),
    Script::new("InitProducerId", "with an id", |s| {
        s.kafka_ready_for_producers();
        for (id, epoch) in [(-1, -1), (7, 0), (7, -1), (-1, 0), (-2, -2), (i64::MAX, i16::MAX)] {
            let body = json!({"TransactionalId": null, "ProducerId": id, "ProducerEpoch": epoch});
            s.call(&format!("id {id} epoch {epoch}"), body);
            let body = json!({"TransactionalId": "", "ProducerId": id, "ProducerEpoch": epoch});
            s.call(&format!("id {id} epoch {epoch}, empty transactional id"), body);
        }
    })
    .since(3),
    Script::new("InitProducerId", "with a transactional id", |s| {
        s.kafka_ready_for_transactions();
        s.kafka_ready_for_producers();
        let id = s.name("t");
        s.except(NO_TRANSACTIONS)
            .call("new", json!({"TransactionalId": id, "TransactionTimeoutMs": 60_000}));
    }),
];
