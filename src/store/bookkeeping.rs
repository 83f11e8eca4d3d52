//! What is known of segments and partitions beside the log itself. The caller has locked the bookkeeping tables and keeps the topic.

use broker::storage::engine::EngineError::Damaged;
use broker::storage::engine::{
    EngineError, EngineResult, PartFacts, SegmentAge, SegmentId, TimeIndexEntry, TopicNumber, TransactionIds,
};
use uuid::Uuid;

use super::error::missing;
use super::locks::{lock_for_drop, lock_to_change, Patience};
use super::names::{segment_index, segment_table, LOG_SCHEMA};
use crate::ffi::durability::timeline;
use crate::ffi::spi::{param, query, run, run_kept};

/// Makes a segment's table, its index and its row.
pub fn create_segment(segment: SegmentId) {
    create_tables(&segment_table(segment), &segment_index(segment));
    let values = [param(segment.topic.0), param(segment.number)];
    run("INSERT INTO kafka.segments (topic, number) VALUES ($1, $2)", &values);
}

/// Makes a table like a segment's and its index. Its `data` is of STORAGE PLAIN by the template, so it has no TOAST table; autovacuum is
/// off, as nothing in it ever dies.
pub fn create_tables(table: &str, index: &str) {
    run(
        &format!(
            "CREATE TABLE {LOG_SCHEMA}.{table} (LIKE kafka.segment_template INCLUDING STORAGE) USING heap \
             WITH (autovacuum_enabled = off, vacuum_truncate = off)"
        ),
        &[],
    );
    run(
        &format!("CREATE UNIQUE INDEX {index} ON {LOG_SCHEMA}.{table} USING btree (partition, base_offset, piece)"),
        &[],
    );
}

/// Drops a segment's table and all rows about it.
pub fn drop_segment(segment: SegmentId, patience: Patience) -> EngineResult<()> {
    lock_for_drop(segment, patience)?;
    run(&format!("DROP TABLE IF EXISTS {LOG_SCHEMA}.{}", segment_table(segment)), &[]);
    let key = || [param(segment.topic.0), param(segment.number)];
    run("DELETE FROM kafka.time_index WHERE topic = $1 AND segment = $2", &key());
    match run("DELETE FROM kafka.segments WHERE topic = $1 AND number = $2", &key()) {
        1 => Ok(()),
        _ => Err(missing(format!("{segment:?}"))),
    }
}

/// Stores the base offsets of a segment that has none.
pub fn activate_segment(segment: SegmentId, base_offsets: &[i64]) -> EngineResult<()> {
    let key = || [param(segment.topic.0), param(segment.number)];
    run(
        "SELECT 1 FROM kafka.segments WHERE topic = $1 AND number = $2 FOR UPDATE NOWAIT",
        &key(),
    );
    let [topic, number] = key();
    let changed = run(
        "UPDATE kafka.segments SET base_offsets = $3 WHERE topic = $1 AND number = $2 AND base_offsets IS NULL",
        &[topic, number, param(base_offsets.to_vec())],
    );
    match changed {
        1 => Ok(()),
        _ => Err(Damaged(format!("{segment:?} is missing or active already"))),
    }
}

/// Adds entries to the time index.
pub fn add_time_index(segment: SegmentId, entries: &[TimeIndexEntry]) {
    run_kept(
        "INSERT INTO kafka.time_index (topic, segment, partition, start_offset, end_offset, bytes, max_timestamp) \
         SELECT $1, $2, e.* FROM unnest($3, $4, $5, $6, $7) AS e",
        &[
            param(segment.topic.0),
            param(segment.number),
            param(entries.iter().map(|entry| entry.partition).collect::<Vec<_>>()),
            param(entries.iter().map(|entry| entry.start_offset).collect::<Vec<_>>()),
            param(entries.iter().map(|entry| entry.end_offset).collect::<Vec<_>>()),
            param(entries.iter().map(|entry| stored_bytes(entry.bytes)).collect::<Vec<_>>()),
            param(entries.iter().map(|entry| entry.max_timestamp_ms).collect::<Vec<_>>()),
        ],
    );
}

/// The time index of a partition in a segment, ascending.
pub fn time_index(segment: SegmentId, partition: i32) -> EngineResult<Vec<TimeIndexEntry>> {
    let entries = query(
        "SELECT start_offset, end_offset, bytes, max_timestamp FROM kafka.time_index \
         WHERE topic = $1 AND segment = $2 AND partition = $3 ORDER BY start_offset",
        &[param(segment.topic.0), param(segment.number), param(partition)],
        |row| {
            Some(TimeIndexEntry {
                partition,
                start_offset: row.get(1)?,
                end_offset: row.get(2)?,
                bytes: u64::try_from(row.get::<i64>(3)?).ok()?,
                max_timestamp_ms: row.get(4)?,
            })
        },
    );
    entries.into_iter().collect::<Option<_>>().ok_or_else(nonsense)
}

/// The sums of a topic's time index.
pub fn part_facts(topic: TopicNumber) -> EngineResult<Vec<PartFacts>> {
    const QUERY: &str = "
        SELECT i.segment, i.partition, sum(i.end_offset - i.start_offset)::int8, sum(i.bytes)::int8,
               coalesce(sum(i.bytes) FILTER (WHERE i.end_offset > coalesce(l.log_start_offset, 0)), 0)::int8, max(i.max_timestamp)
          FROM kafka.time_index i
          LEFT JOIN kafka.log_starts l ON l.topic = i.topic AND l.partition = i.partition
         WHERE i.topic = $1
         GROUP BY i.segment, i.partition
         ORDER BY i.segment, i.partition";
    let facts = query(QUERY, &[param(topic.0)], |row| {
        Some(PartFacts {
            segment: row.get(1)?,
            partition: row.get(2)?,
            offsets: row.get(3)?,
            bytes: u64::try_from(row.get::<i64>(4)?).ok()?,
            live_bytes: u64::try_from(row.get::<i64>(5)?).ok()?,
            max_timestamp_ms: row.get(6)?,
        })
    });
    facts.into_iter().collect::<Option<_>>().ok_or_else(nonsense)
}

/// How far transaction ids are.
pub fn transaction_ids() -> EngineResult<TransactionIds> {
    const QUERY: &str = "
        SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8,
               pg_catalog.current_setting('autovacuum_freeze_max_age')::int4";
    let ids = query(QUERY, &[], |row| {
        Some(TransactionIds {
            next: u64::try_from(row.get::<i64>(1)?).ok()?,
            freeze_max_age: u32::try_from(row.get::<i32>(2)?).ok()?,
        })
    });
    ids.into_iter()
        .next()
        .flatten()
        .ok_or_else(|| Damaged("no transaction ids".to_owned()))
}

/// The ages of a topic's segments, ascending. A page of which the visibility map says that all see it was gone through by a VACUUM, and
/// those of segments freeze: autovacuum is off for them.
pub fn segment_ages(topic: TopicNumber) -> EngineResult<Vec<SegmentAge>> {
    const QUERY: &str = "
        SELECT s.number, pg_catalog.age(c.relfrozenxid), c.relpages > 0 AND c.relallvisible >= c.relpages
          FROM kafka.segments s
          JOIN pg_catalog.pg_class c ON c.relname = pg_catalog.format('t%s_s%s', s.topic, s.number)::name
               AND c.relnamespace = 'kafka_log'::regnamespace
         WHERE s.topic = $1
         ORDER BY s.number";
    let ages = query(QUERY, &[param(topic.0)], |row| {
        Some(SegmentAge {
            segment: row.get(1)?,
            transactions: u32::try_from(row.get::<i32>(2)?).unwrap_or(0),
            is_frozen: row.get(3)?,
        })
    });
    ages.into_iter().collect::<Option<_>>().ok_or_else(nonsense)
}

fn nonsense() -> EngineError {
    Damaged("null or nonsense about segments".to_owned())
}

/// Bytes as int8 holds them; no log is as large as to be cut.
fn stored_bytes(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Stores where an epoch of these partitions starts.
pub fn add_epoch_starts(topic: TopicNumber, epoch: i32, starts: &[(i32, i64)]) {
    let (partitions, offsets): (Vec<i32>, Vec<i64>) = starts.iter().copied().unzip();
    run(
        "INSERT INTO kafka.leader_epochs (topic, partition, epoch, start_offset) \
         SELECT $1, s.partition, $2, s.start_offset FROM unnest($3, $4) AS s(partition, start_offset)",
        &[param(topic.0), param(epoch), param(partitions), param(offsets)],
    );
}

/// Moves log start offsets forward; what is further already stays. Rows exist only for partitions whose log start was ever moved. Whoever
/// moves one holds the topic's row, so that the broker meets no new row of a session that has not committed, for which it would wait.
pub fn set_log_starts(topic: TopicNumber, starts: &[(i32, i64)], patience: Patience) -> EngineResult<()> {
    lock_to_change(topic, patience)?;
    let (partitions, offsets): (Vec<i32>, Vec<i64>) = starts.iter().copied().unzip();
    run(
        &format!(
            "SELECT 1 FROM kafka.log_starts WHERE topic = $1 AND partition = ANY ($2) FOR UPDATE{}",
            patience.row_lock_suffix()
        ),
        &[param(topic.0), param(partitions.clone())],
    );
    run(
        "INSERT INTO kafka.log_starts AS l (topic, partition, log_start_offset) \
         SELECT $1, s.partition, s.start_offset FROM unnest($2, $3) AS s(partition, start_offset) \
         ON CONFLICT (topic, partition) DO UPDATE SET log_start_offset = greatest(l.log_start_offset, excluded.log_start_offset)",
        &[param(topic.0), param(partitions), param(offsets)],
    );
    Ok(())
}

/// The cluster id. Made when it is first asked for and not by the install script: a restore of a dump creates the extension first
/// and brings the row of the dumped cluster after it.
pub fn cluster_id() -> EngineResult<String> {
    run(
        "INSERT INTO kafka.cluster (cluster_id, leader_epoch) SELECT $1, 0 WHERE NOT EXISTS (SELECT FROM kafka.cluster)",
        &[param(new_cluster_id())],
    );
    let stored = query("SELECT cluster_id FROM kafka.cluster", &[], |row| row.get::<String>(1));
    stored
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| missing("the row of kafka.cluster"))
}

/// Raises the leader epoch (design I9).
pub fn next_leader_epoch() -> EngineResult<i32> {
    cluster_id()?;
    run("SELECT 1 FROM kafka.cluster FOR UPDATE NOWAIT", &[]);
    let floor = i32::try_from(timeline() << 16).map_err(|_| Damaged(format!("timeline {} has no leader epochs", timeline())))?;
    let stored = query(
        "UPDATE kafka.cluster SET leader_epoch = greatest(leader_epoch, $1) + 1 RETURNING leader_epoch",
        &[param(floor)],
        |row| row.get::<i32>(1),
    );
    stored
        .into_iter()
        .next()
        .flatten()
        .ok_or_else(|| missing("the row of kafka.cluster"))
}

/// A random UUID in base64url without padding, as Kafka's `Uuid.toString`; never one that begins with '-', which tools would take for
/// an option (`Uuid.randomUuid`).
fn new_cluster_id() -> String {
    loop {
        let text = base64url(Uuid::new_v4().as_u128());
        if !text.starts_with('-') {
            return text;
        }
    }
}

/// 128 bits as 22 characters of base64url (RFC 4648, section 5), most significant first, without padding.
fn base64url(bits: u128) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let character = |index: u32| {
        let sextet = if index == 21 {
            (bits << 4) & 0x3f
        } else {
            bits >> (122 - 6 * index) & 0x3f
        };
        char::from(ALPHABET[sextet as usize])
    };
    (0..22).map(character).collect()
}
