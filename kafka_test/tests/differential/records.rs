//! Record batches as a tree, so that they are compared field by field like all else of a reply.

use crate::codec::bytes;
use kafka_test::batch::Stored;
use serde_json::{json, Value};

/// The whole batches of a Fetch reply, with their records, and how many bytes of an incomplete one follow.
pub fn tree(raw: &[u8]) -> Value {
    let batches = Stored::all(raw);
    let whole: usize = batches.iter().map(|batch| batch.bytes.len()).sum();
    json!({
        "Batches": batches.iter().map(batch).collect::<Vec<_>>(),
        "BytesBehind": raw.len() - whole,
    })
}

fn batch(stored: &Stored) -> Value {
    let raw = &stored.bytes;
    let records: Vec<Value> = stored
        .records()
        .into_iter()
        .map(|record| {
            let headers = record
                .headers
                .iter()
                .map(|(name, value)| json!([name, value.as_deref().map(bytes)]));
            json!({
                "OffsetDelta": record.offset_delta,
                "TimestampDelta": record.timestamp_delta,
                "Key": record.key.as_deref().map(bytes),
                "Value": record.value.as_deref().map(bytes),
                "Headers": headers.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "BaseOffset": stored.base_offset,
        "Length": raw.len(),
        "PartitionLeaderEpoch": stored.leader_epoch,
        "Crc": bytes(&raw[17..21]),
        "Attributes": stored.attributes,
        "LastOffsetDelta": stored.last_offset_delta,
        "BaseTimestamp": stored.base_timestamp,
        "MaxTimestamp": stored.max_timestamp,
        "ProducerId": stored.producer_id,
        "ProducerEpoch": bytes(&raw[51..53]),
        "BaseSequence": bytes(&raw[53..57]),
        "Records": records,
    })
}
