//! `kafka.reset_offsets`: where a consumer group goes on, set inside the caller's transaction.

use broker::storage::engine::TopicNumber;
use pgrx::iter::TableIterator;
use pgrx::prelude::*;

use super::error::{raise, raise_engine, raise_null};
use super::topics::existing;
use crate::ffi::spi::{param, query, run};
use crate::store::locks::{Held, Patience};
use crate::store::offsets::lock_offsets_of;

/// Where a group is to go on.
enum Target {
    Earliest,
    Latest,
    Offset(i64),
    /// The first record of this time or later; a text that Postgres reads as `timestamptz`.
    Time(String),
}

impl Target {
    fn parse(text: &str) -> Target {
        let text = text.trim();
        match text.parse() {
            Ok(offset) => Target::Offset(offset),
            Err(_) if text.eq_ignore_ascii_case("earliest") => Target::Earliest,
            Err(_) if text.eq_ignore_ascii_case("latest") => Target::Latest,
            Err(_) => Target::Time(text.to_owned()),
        }
    }
}

/// Sets the committed offset of each partition of a topic; returns partition, the offset before (null if there was none) and now.
///
/// The group has no members, as far as its last rebalance says. One that joins meanwhile fetches its offsets after this transaction: its
/// rebalance is stored before, and that waits for the group's row.
#[pg_extern]
#[allow(clippy::type_complexity, reason = "the columns of the SQL function")]
fn reset_offsets(
    group: Option<&str>,
    topic: Option<&str>,
    to: Option<&str>,
) -> TableIterator<'static, (name!(partition, i32), name!(old_offset, Option<i64>), name!(new_offset, i64))> {
    let group = group.unwrap_or_else(|| raise_null("the group"));
    let topic = topic.unwrap_or_else(|| raise_null("the name of a topic"));
    let target = Target::parse(to.unwrap_or_else(|| raise_null("the place to go on from")));
    lock_empty_group(group);
    let number = existing(topic);
    let offsets: Vec<(i32, i64)> = partitions(topic)
        .into_iter()
        .map(|(partition, start, end)| (partition, resolve(&target, number, partition, start, end)))
        .collect();
    let before = old_offsets(group, number);
    let (partitions, new): (Vec<i32>, Vec<i64>) = offsets.iter().copied().unzip();
    run(
        "INSERT INTO kafka.committed_offsets (group_id, topic, partition, committed_offset) \
         SELECT $1, $2, n.partition, n.committed_offset FROM unnest($3, $4) AS n(partition, committed_offset) \
         ON CONFLICT (group_id, topic, partition) DO UPDATE SET committed_offset = excluded.committed_offset, leader_epoch = -1, \
         metadata = '', committed_at = now(), expires_at = NULL",
        &[param(group.to_owned()), param(number.0), param(partitions), param(new)],
    );
    let rows = offsets.into_iter().map(move |(partition, new)| {
        let old = before.iter().find(|(of, _)| *of == partition).map(|(_, old)| *old);
        (partition, old, new)
    });
    TableIterator::new(rows)
}

/// Keeps the broker from storing members and offsets of the group until the transaction's end, and makes sure that it has no members.
fn lock_empty_group(group: &str) {
    let mut held = Held::default();
    held.bookkeeping(Patience::Waits)
        .and_then(|()| held.groups(Patience::Waits))
        .unwrap_or_else(|error| raise_engine(error));
    lock_offsets_of(group);
    run(
        "SELECT 1 FROM kafka.groups WHERE group_id = $1 FOR UPDATE",
        &[param(group.to_owned())],
    );
    let members = run("SELECT 1 FROM kafka.members WHERE group_id = $1", &[param(group.to_owned())]);
    if members > 0 {
        raise(
            PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
            format!("consumer group \"{group}\" has {members} members"),
            "Stop its consumers first; kafka.group_members shows them. One that was killed leaves after its session timeout.",
        )
    }
}

/// Partition, log start offset and end offset of each partition.
fn partitions(topic: &str) -> Vec<(i32, i64, i64)> {
    let rows = query(
        "SELECT partition, log_start_offset, end_offset FROM kafka.partitions WHERE topic = $1 ORDER BY partition",
        &[param(topic.to_owned())],
        |row| Some((row.get(1)?, row.get(2)?, row.get(3)?)),
    );
    rows.into_iter().flatten().collect()
}

fn old_offsets(group: &str, topic: TopicNumber) -> Vec<(i32, i64)> {
    let rows = query(
        "SELECT partition, committed_offset FROM kafka.committed_offsets WHERE group_id = $1 AND topic = $2 FOR UPDATE",
        &[param(group.to_owned()), param(topic.0)],
        |row| Some((row.get(1)?, row.get(2)?)),
    );
    rows.into_iter().flatten().collect()
}

/// The offset in one partition. An offset outside of its log is an error: a consumer would start where its auto.offset.reset says.
fn resolve(target: &Target, topic: TopicNumber, partition: i32, start: i64, end: i64) -> i64 {
    match target {
        Target::Earliest => start,
        Target::Latest => end,
        Target::Offset(offset) if (start..=end).contains(offset) => *offset,
        Target::Offset(offset) => raise(
            PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
            format!("offset {offset} is not in partition {partition}, which has {start} to {end}"),
            "The view kafka.partitions shows the offsets of each partition.",
        ),
        Target::Time(time) => {
            let found = query(
                "SELECT m.\"offset\" FROM (SELECT (r.record).* FROM (SELECT kafka.partition_messages($1, $2, $3, $4) AS record) r) m \
                 WHERE m.\"timestamp\" >= $5::timestamptz LIMIT 1",
                &[
                    param(topic.0),
                    param(partition),
                    param(start),
                    param(end),
                    param(time.clone()),
                ],
                |row| row.get::<i64>(1),
            );
            found.into_iter().flatten().next().unwrap_or(end)
        }
    }
}
