//! Topics: made, dropped and loaded. The broker and the SQL functions share this code; what differs is their patience.

use std::collections::BTreeMap;

use broker::storage::engine::EngineError::Damaged;
use broker::storage::engine::{EngineResult, NewTopic, PartitionRecord, SegmentId, SegmentRecord, TopicNumber, TopicRecord};
use uuid::Uuid;

use super::bookkeeping::{activate_segment, create_segment};
use super::error::missing;
use super::locks::{lock_for_drop, lock_to_change, lock_topic_name, lock_topic_row, Patience};
use super::names::{segment_index, segment_table, LOG_SCHEMA};
use super::offsets::forget_topic;
use crate::ffi::lock::{relation_bytes, relation_oid, try_lock, unlock, LockMode};
use crate::ffi::spi::{param, query, run, ResultRow};

/// Stores a topic and makes its first segment.
pub fn create_topic(topic: &NewTopic, patience: Patience) -> EngineResult<TopicNumber> {
    lock_topic_name(&topic.name, patience)?;
    let number = query(
        "INSERT INTO kafka.topics (name, topic_id, partitions) VALUES ($1, $2, $3) RETURNING id",
        &[
            param(topic.name.clone()),
            param(pgrx::Uuid::from_bytes(topic.id.into_bytes())),
            param(topic.partitions),
        ],
        |row| row.get::<i32>(1),
    );
    let number = number
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| missing("the number of a new topic"))?;
    let number = TopicNumber(number);
    if !topic.configs.is_empty() {
        set_topic_configs(number, &topic.configs);
    }
    let first = SegmentId {
        topic: number,
        number: 1,
    };
    create_segment(first);
    activate_segment(first, &vec![0; usize::try_from(topic.partitions).unwrap_or_default()])?;
    Ok(number)
}

/// The overridden configs of a topic; `None` if there is no such topic.
pub fn topic_configs(topic: TopicNumber) -> Option<BTreeMap<String, String>> {
    const QUERY: &str = "
        SELECT (SELECT array_agg(c.name ORDER BY c.name) FROM kafka.topic_configs c WHERE c.topic = t.id),
               (SELECT array_agg(c.value ORDER BY c.name) FROM kafka.topic_configs c WHERE c.topic = t.id)
          FROM kafka.topics t
         WHERE t.id = $1";
    let found = query(QUERY, &[param(topic.0)], |row| {
        list::<String>(row, 1).into_iter().zip(list::<String>(row, 2)).collect()
    });
    found.into_iter().next()
}

/// Makes these the overridden configs of a topic. Whoever calls holds the lock on the topic's name, so no row of them is locked but by
/// hand, and then the NOWAIT ends it.
pub fn set_topic_configs(topic: TopicNumber, configs: &BTreeMap<String, String>) {
    let (names, values): (Vec<String>, Vec<String>) = configs.clone().into_iter().unzip();
    run(
        "SELECT 1 FROM kafka.topic_configs WHERE topic = $1 FOR UPDATE NOWAIT",
        &[param(topic.0)],
    );
    run(
        "DELETE FROM kafka.topic_configs WHERE topic = $1 AND name <> ALL ($2)",
        &[param(topic.0), param(names.clone())],
    );
    run(
        "INSERT INTO kafka.topic_configs AS c (topic, name, value) SELECT $1, n.* FROM unnest($2, $3) AS n \
         ON CONFLICT (topic, name) DO UPDATE SET value = excluded.value WHERE c.value <> excluded.value",
        &[param(topic.0), param(names), param(values)],
    );
}

/// Raises the number of partitions to `count`, unless there are as many already; returns what it was. Nothing is stored of a partition
/// before it is written: it begins at 0 in the segment that is being filled.
pub fn add_partitions(topic: TopicNumber, count: i32, patience: Patience) -> EngineResult<i32> {
    lock_to_change(topic, patience)?;
    let before = query(
        "SELECT partitions FROM kafka.topics WHERE id = $1",
        &[param(topic.0)],
        |row| row.get::<i32>(1),
    );
    let before = before
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| missing(format!("topic number {}", topic.0)))?;
    if before < count {
        run(
            "UPDATE kafka.topics SET partitions = $2 WHERE id = $1",
            &[param(topic.0), param(count)],
        );
    }
    Ok(before)
}

/// Drops a topic. Locks the topic's row before the segments are listed, so that none is made meanwhile, and all segments before any row
/// is changed, so that whoever writes a segment never meets a changed row. A segment whose table is gone is no obstacle.
pub fn delete_topic(topic: TopicNumber, patience: Patience) -> EngineResult<()> {
    let name = query("SELECT name FROM kafka.topics WHERE id = $1", &[param(topic.0)], |row| {
        row.get::<String>(1)
    });
    let name = name
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| missing(format!("topic number {}", topic.0)))?;
    lock_topic_name(&name, patience)?;
    lock_topic_row(topic, "FOR UPDATE", patience)?;
    let numbers = query(
        "SELECT number FROM kafka.segments WHERE topic = $1 ORDER BY number",
        &[param(topic.0)],
        |row| row.get(1),
    );
    let segments: Vec<_> = numbers
        .into_iter()
        .flatten()
        .map(|number| SegmentId { topic, number })
        .collect();
    for segment in &segments {
        lock_for_drop(*segment, patience)?;
    }
    for segment in &segments {
        run(&format!("DROP TABLE IF EXISTS {LOG_SCHEMA}.{}", segment_table(*segment)), &[]);
    }
    for table in [
        "producer_snapshots",
        "time_index",
        "segments",
        "leader_epochs",
        "log_starts",
        "topic_configs",
    ] {
        run(&format!("DELETE FROM kafka.{table} WHERE topic = $1"), &[param(topic.0)]);
    }
    forget_topic(topic);
    run("DELETE FROM kafka.topics WHERE id = $1", &[param(topic.0)]);
    Ok(())
}

/// All topics in one statement, so in one snapshot. Arrays of equal length stand for the rows of the other tables.
const LOAD_TOPICS: &str = "
SELECT t.id, t.topic_id, t.name, t.partitions,
       (SELECT array_agg(c.name ORDER BY c.name) FROM kafka.topic_configs c WHERE c.topic = t.id),
       (SELECT array_agg(c.value ORDER BY c.name) FROM kafka.topic_configs c WHERE c.topic = t.id),
       (SELECT array_agg(l.partition ORDER BY l.partition) FROM kafka.log_starts l WHERE l.topic = t.id),
       (SELECT array_agg(l.log_start_offset ORDER BY l.partition) FROM kafka.log_starts l WHERE l.topic = t.id),
       (SELECT array_agg(e.partition ORDER BY e.partition, e.epoch) FROM kafka.leader_epochs e WHERE e.topic = t.id),
       (SELECT array_agg(e.epoch ORDER BY e.partition, e.epoch) FROM kafka.leader_epochs e WHERE e.topic = t.id),
       (SELECT array_agg(e.start_offset ORDER BY e.partition, e.epoch) FROM kafka.leader_epochs e WHERE e.topic = t.id),
       (SELECT array_agg(s.number ORDER BY s.number) FROM kafka.segments s WHERE s.topic = t.id),
       (SELECT array_agg(array_to_string(s.base_offsets, ',') ORDER BY s.number) FROM kafka.segments s WHERE s.topic = t.id),
       (SELECT array_agg(array_to_string(s.origins, ',') ORDER BY s.number) FROM kafka.segments s WHERE s.topic = t.id)
  FROM kafka.topics t
 ORDER BY t.id";

/// All topics, as committed, with the sizes of their segments.
pub fn load_topics() -> EngineResult<Vec<TopicRecord>> {
    let loaded = query(LOAD_TOPICS, &[], |row| {
        topic_record(row).ok_or_else(|| Damaged("null or nonsense in kafka.topics".to_owned()))
    });
    let mut topics = loaded.into_iter().collect::<EngineResult<Vec<_>>>()?;
    for topic in &mut topics {
        for segment in &mut topic.segments {
            segment.bytes = segment_bytes(SegmentId {
                topic: topic.number,
                number: segment.number,
            });
        }
    }
    Ok(topics)
}

fn topic_record(row: &ResultRow) -> Option<TopicRecord> {
    let count = usize::try_from(row.get::<i32>(4)?).ok()?;
    let mut partitions = vec![
        PartitionRecord {
            log_start_offset: 0,
            epochs: Vec::new()
        };
        count
    ];
    let configs: BTreeMap<String, String> = list::<String>(row, 5).into_iter().zip(list::<String>(row, 6)).collect();
    for (partition, offset) in list::<i32>(row, 7).into_iter().zip(list::<i64>(row, 8)) {
        partitions.get_mut(usize::try_from(partition).ok()?)?.log_start_offset = offset;
    }
    let epochs = list::<i32>(row, 10).into_iter().zip(list::<i64>(row, 11));
    for (partition, epoch) in list::<i32>(row, 9).into_iter().zip(epochs) {
        partitions.get_mut(usize::try_from(partition).ok()?)?.epochs.push(epoch);
    }
    let mut segments = Vec::new();
    let texts = |column| row.get::<Vec<Option<String>>>(column).unwrap_or_default();
    let offsets = texts(13).into_iter().zip(texts(14));
    for (number, (base_offsets, origins)) in list::<i32>(row, 12).into_iter().zip(offsets) {
        segments.push(SegmentRecord {
            number,
            base_offsets: offsets_in(base_offsets)?,
            origins: offsets_in(origins)?,
            bytes: 0,
        });
    }
    Some(TopicRecord {
        number: TopicNumber(row.get(1)?),
        id: Uuid::from_bytes(*row.get::<pgrx::Uuid>(2)?.as_bytes()),
        name: row.get(3)?,
        configs,
        partitions,
        segments,
    })
}

/// The outer `None`: it is no list of offsets.
fn offsets_in(text: Option<String>) -> Option<Option<Vec<i64>>> {
    match text {
        None => Some(None),
        Some(text) => Some(Some(text.split(',').map(str::parse).collect::<Result<_, _>>().ok()?)),
    }
}

fn list<T>(row: &ResultRow, column: i32) -> Vec<T>
where
    Vec<T>: pgrx::datum::FromDatum,
{
    row.get(column).unwrap_or_default()
}

/// Size of a segment's heap, 0 if the segment is gone.
fn segment_bytes(segment: SegmentId) -> u64 {
    size_of(&segment_table(segment))
}

/// Size of a segment's heap and index, 0 if the segment is gone.
pub fn segment_size(segment: SegmentId) -> u64 {
    segment_bytes(segment) + size_of(&segment_index(segment))
}

/// Size of a relation of the log, 0 if it is gone. The lock is given back at once, as there may be more segments than the lock table
/// holds; where another session has the relation to itself, the size is looked at without.
fn size_of(relation: &str) -> u64 {
    let Some(oid) = relation_oid(LOG_SCHEMA, relation) else {
        return 0;
    };
    let locked = try_lock(oid, LockMode::AccessShare);
    let bytes = relation_bytes(oid).unwrap_or(0);
    if locked {
        unlock(oid, LockMode::AccessShare);
    }
    bytes
}
