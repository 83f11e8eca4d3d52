//! A segment's new table: made beside the old one, filled, and put in its place. All in one transaction of the maintenance worker, which
//! has locked the bookkeeping tables and keeps the topic; what it does not finish leaves nothing.

use broker::storage::engine::{EngineResult, SegmentId};

use super::bookkeeping::{create_tables, drop_segment};
use super::error::missing;
use super::locks::{lock_for_drop, table_relations, Patience, SegmentRelations};
use super::names::{rewritten_index, rewritten_table, segment_index, segment_table, LOG_SCHEMA};
use crate::ffi::spi::{param, run};

/// Makes the new table.
pub fn begin(segment: SegmentId) -> EngineResult<SegmentRelations> {
    let (table, index) = (rewritten_table(segment), rewritten_index(segment));
    create_tables(&table, &index);
    table_relations(&table, &index).ok_or_else(|| missing(table))
}

/// Puts it in the place of the segment's and drops the segments that were merged into it.
pub fn finish(segment: SegmentId, merged: &[SegmentId], base_offsets: &[i64], origins: &[i64]) -> EngineResult<()> {
    for replaced in merged.iter().chain([&segment]) {
        lock_for_drop(*replaced, Patience::None)?;
    }
    for merged in merged {
        drop_segment(*merged, Patience::None)?;
    }
    let (table, index) = (segment_table(segment), segment_index(segment));
    run(&format!("DROP TABLE {LOG_SCHEMA}.{table}"), &[]);
    run(
        &format!("ALTER TABLE {LOG_SCHEMA}.{} RENAME TO {table}", rewritten_table(segment)),
        &[],
    );
    run(
        &format!("ALTER INDEX {LOG_SCHEMA}.{} RENAME TO {index}", rewritten_index(segment)),
        &[],
    );
    let key = || [param(segment.topic.0), param(segment.number)];
    run("DELETE FROM kafka.time_index WHERE topic = $1 AND segment = $2", &key());
    run(
        "SELECT 1 FROM kafka.segments WHERE topic = $1 AND number = $2 FOR UPDATE NOWAIT",
        &key(),
    );
    let [topic, number] = key();
    let changed = run(
        "UPDATE kafka.segments SET base_offsets = $3, origins = $4 WHERE topic = $1 AND number = $2",
        &[topic, number, param(base_offsets.to_vec()), param(origins.to_vec())],
    );
    match changed {
        1 => Ok(()),
        _ => Err(missing(format!("{segment:?}"))),
    }
}
