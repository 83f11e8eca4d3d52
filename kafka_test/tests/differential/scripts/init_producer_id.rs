//! InitProducerId for transactions, which is refused. Ids for idempotent producers are in `producers`.

use crate::allowed::Exception;
use crate::script::Script;
use serde_json::json;

const NO_TRANSACTIONS: &[Exception] = &[
    Exception::intended("**InitProducerId with a transactional id**", "ErrorCode"),
    Exception::intended("**InitProducerId with a transactional id**", "ProducerId"),
    Exception::intended("**InitProducerId with a transactional id**", "ProducerEpoch"),
];

pub const SCRIPTS: &[Script] = &[Script::new("InitProducerId", "with a transactional id", |s| {
    s.kafka_ready_for_transactions();
    s.ready_for_producers();
    let id = s.name("t");
    s.except(NO_TRANSACTIONS)
        .call("new", json!({"TransactionalId": id, "TransactionTimeoutMs": 60_000}));
})];
