//! What is stored of idempotent producers. The caller has locked the bookkeeping tables and, to write a snapshot, keeps the topic.

use broker::storage::engine::EngineError::Damaged;
use broker::storage::engine::{EngineResult, ProducerSnapshot, TopicNumber};

use super::bookkeeping::cluster_id;
use super::error::missing;
use crate::ffi::durability::timeline;
use crate::ffi::spi::{param, query, run};

/// Stores snapshots, each in place of the partition's last one. Only the broker writes these rows; the NOWAIT ends it where one is locked
/// by hand.
pub fn store_snapshots(topic: TopicNumber, snapshots: &[ProducerSnapshot]) {
    let partitions: Vec<i32> = snapshots.iter().map(|snapshot| snapshot.partition).collect();
    run(
        "SELECT 1 FROM kafka.producer_snapshots WHERE topic = $1 AND partition = ANY ($2) FOR UPDATE NOWAIT",
        &[param(topic.0), param(partitions.clone())],
    );
    run(
        "INSERT INTO kafka.producer_snapshots (topic, partition, \"offset\", state) \
         SELECT $1, s.* FROM unnest($2, $3, $4) AS s \
         ON CONFLICT (topic, partition) DO UPDATE SET \"offset\" = excluded.\"offset\", state = excluded.state",
        &[
            param(topic.0),
            param(partitions),
            param(snapshots.iter().map(|snapshot| snapshot.offset).collect::<Vec<_>>()),
            param(snapshots.iter().map(|snapshot| snapshot.state.clone()).collect::<Vec<_>>()),
        ],
    );
}

/// The snapshots of a topic, ascending by partition.
pub fn snapshots(topic: TopicNumber) -> EngineResult<Vec<ProducerSnapshot>> {
    let stored = query(
        "SELECT partition, \"offset\", state FROM kafka.producer_snapshots WHERE topic = $1 ORDER BY partition",
        &[param(topic.0)],
        |row| {
            Some(ProducerSnapshot {
                partition: row.get(1)?,
                offset: row.get(2)?,
                state: row.get(3)?,
            })
        },
    );
    stored
        .into_iter()
        .collect::<Option<_>>()
        .ok_or_else(|| Damaged("null in kafka.producer_snapshots".to_owned()))
}

/// Takes producer ids: the first of `count` that nobody was given, on this timeline or another.
pub fn allocate_ids(count: i64) -> EngineResult<i64> {
    cluster_id()?;
    run("SELECT 1 FROM kafka.cluster FOR UPDATE NOWAIT", &[]);
    let floor = (i64::from(timeline()) - 1) << 32;
    let taken = query(
        "UPDATE kafka.cluster SET next_producer_id = greatest(next_producer_id, $1) + $2 RETURNING next_producer_id - $2",
        &[param(floor), param(count)],
        |row| row.get::<i64>(1),
    );
    taken
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| missing("the row of kafka.cluster"))
}
