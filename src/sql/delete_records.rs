//! `kafka.delete_records`: the same rules, locks and code as DeleteRecords, inside the caller's transaction. The broker moves the log start
//! at commit.

use broker::catalog::configs::TopicConfigs;
use broker::catalog::deletion::{check_topic, new_log_start};
use broker::storage::engine::{SegmentId, TopicNumber};
use pgrx::prelude::*;

use super::error::{raise, raise_deletion, raise_engine, raise_null};
use super::find::lock_topic;
use crate::ffi::commit_hook::notify_catalog_changed_at_commit;
use crate::ffi::scan::View;
use crate::ffi::spi::{param, query};
use crate::store::bookkeeping::set_log_starts;
use crate::store::locks::{Held, Patience};
use crate::store::log::{end_offset, PartitionLog};
use crate::store::topics::topic_configs;

/// Deletes the records of a partition before an offset, all for -1; returns the first offset that is left.
///
/// The end of the partition is that of what is committed, which can be ahead of the high watermark while a standby has not confirmed
/// it. This transaction's commit comes after it in the write-ahead log, so that the log start never outlives what it follows; the
/// broker shows neither before it is durable.
#[pg_extern]
fn delete_records(topic: Option<&str>, partition: Option<i32>, before_offset: Option<i64>) -> i64 {
    let name = topic.unwrap_or_else(|| raise_null("the name of a topic"));
    let partition = partition.unwrap_or_else(|| raise_null("the partition"));
    let before_offset = before_offset.unwrap_or_else(|| raise_null("the offset"));
    let topic = lock_topic(name);
    let configs = TopicConfigs::from_overrides(topic_configs(topic.number).unwrap_or_default());
    check_topic(name, &configs).unwrap_or_else(|error| raise_deletion(&error));
    if !(0..topic.partitions).contains(&partition) {
        raise(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("topic \"{name}\" has no partition {partition}"),
            &format!("Its partitions are 0 to {}.", topic.partitions - 1),
        )
    }
    let log_start = log_start(topic.number, partition);
    let end = end(topic.number, partition).max(log_start);
    let moved = new_log_start(log_start, end, before_offset).unwrap_or_else(|error| raise_deletion(&error));
    if moved > log_start {
        set_log_starts(topic.number, &[(partition, moved)], Patience::Waits).unwrap_or_else(|error| raise_engine(error));
        notify_catalog_changed_at_commit();
    }
    moved
}

fn log_start(topic: TopicNumber, partition: i32) -> i64 {
    let stored = query(
        "SELECT log_start_offset FROM kafka.log_starts WHERE topic = $1 AND partition = $2",
        &[param(topic.0), param(partition)],
        |row| row.get::<i64>(1),
    );
    stored.into_iter().flatten().next().unwrap_or(0)
}

/// The offset after the last record of a partition that is committed.
fn end(topic: TopicNumber, partition: i32) -> i64 {
    let active = query(
        "SELECT number, coalesce(base_offsets[$2 + 1], 0) FROM kafka.segments \
         WHERE topic = $1 AND base_offsets IS NOT NULL ORDER BY number DESC LIMIT 1",
        &[param(topic.0), param(partition)],
        |row| Some((row.get::<i32>(1)?, row.get::<i64>(2)?)),
    );
    let Some((number, base_offset)) = active.into_iter().flatten().next() else {
        return 0;
    };
    let last = Held::default()
        .readable(SegmentId { topic, number }, Patience::Waits)
        .and_then(|relations| {
            PartitionLog {
                relations,
                partition,
                view: View::Latest,
            }
            .last_header()
        })
        .unwrap_or_else(|error| raise_engine(error));
    last.and_then(|header| end_offset(&header)).unwrap_or(base_offset)
}
