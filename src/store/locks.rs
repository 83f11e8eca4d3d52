//! Who waits for whom: the broker never does, sessions do. Both take the same locks in the same order.

use std::collections::HashMap;

use broker::catalog::names::collision_key;
use broker::storage::engine::{EngineError, EngineResult, SegmentId, TopicNumber};

use super::error::missing;
use super::names::{segment_index, segment_table, BOOKKEEPING, GROUPS, LOG_SCHEMA, SCHEMA};
use crate::ffi::lock::{self, LockMode, Oid};
use crate::ffi::spi::{param, query, run};

/// First key of the advisory locks on topic names: "kafk".
const TOPIC_NAME_LOCKS: i32 = 0x6b61_666b;

/// What to do where another session holds a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Give up with `Busy` (design I8).
    None,
    /// Wait, as SQL does. Only in sessions.
    Waits,
}

impl Patience {
    fn lock(self, relation: Oid, mode: LockMode) -> bool {
        match self {
            Patience::None => lock::try_lock(relation, mode),
            Patience::Waits => {
                lock::lock(relation, mode);
                true
            }
        }
    }

    /// What ends a statement that locks rows.
    pub fn row_lock_suffix(self) -> &'static str {
        match self {
            Patience::None => " NOWAIT",
            Patience::Waits => "",
        }
    }
}

/// The two relations of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRelations {
    /// The table.
    pub heap: Oid,
    /// Its index.
    pub index: Oid,
}

impl SegmentRelations {
    /// As the scan takes it.
    pub fn pair(self) -> (Oid, Oid) {
        (self.heap, self.index)
    }
}

/// Locks held by the running transaction.
#[derive(Debug, Clone, Default)]
pub struct Held {
    segments: HashMap<SegmentId, (SegmentRelations, LockMode)>,
    bookkeeping: bool,
    groups: bool,
}

impl Held {
    /// The relations of a segment, locked at least for reading.
    pub fn readable(&mut self, segment: SegmentId, patience: Patience) -> EngineResult<SegmentRelations> {
        match self.segments.get(&segment) {
            Some((relations, _)) => Ok(*relations),
            None => self.take(segment, LockMode::AccessShare, patience),
        }
    }

    /// The relations of a segment if this transaction has locked it for writing.
    pub fn writable(&self, segment: SegmentId) -> Option<SegmentRelations> {
        self.segments
            .get(&segment)
            .filter(|(_, mode)| *mode == LockMode::RowExclusive)
            .map(|(relations, _)| *relations)
    }

    /// Locks a segment for writing.
    pub fn write(&mut self, segment: SegmentId, patience: Patience) -> EngineResult<SegmentRelations> {
        match self.writable(segment) {
            Some(relations) => Ok(relations),
            None => self.take(segment, LockMode::RowExclusive, patience),
        }
    }

    fn take(&mut self, segment: SegmentId, mode: LockMode, patience: Patience) -> EngineResult<SegmentRelations> {
        let table = segment_table(segment);
        let gone = || EngineError::Busy(format!("{LOG_SCHEMA}.{table}"));
        let heap = lock::relation_oid(LOG_SCHEMA, &table).ok_or_else(gone)?;
        if !patience.lock(heap, mode) || !lock::exists(heap) {
            return Err(gone());
        }
        let index = lock::relation_oid(LOG_SCHEMA, &segment_index(segment)).ok_or_else(gone)?;
        if !patience.lock(index, mode) || !lock::exists(index) {
            return Err(gone());
        }
        let relations = SegmentRelations { heap, index };
        self.segments.insert(segment, (relations, mode));
        Ok(relations)
    }

    /// Locks the bookkeeping tables for reading and writing, so that no statement on them waits for a table lock.
    pub fn bookkeeping(&mut self, patience: Patience) -> EngineResult<()> {
        if self.bookkeeping {
            return Ok(());
        }
        lock_tables(&BOOKKEEPING, patience)?;
        self.bookkeeping = true;
        Ok(())
    }

    /// Locks the tables of groups for reading and writing.
    pub fn groups(&mut self, patience: Patience) -> EngineResult<()> {
        if self.groups {
            return Ok(());
        }
        lock_tables(&GROUPS, patience)?;
        self.groups = true;
        Ok(())
    }

    /// Keeps a topic from being dropped until the transaction's end. The lock on a segment that is written does that already: a drop
    /// takes all of them before it changes a row.
    pub fn keep_topic(&mut self, topic: TopicNumber, patience: Patience) -> EngineResult<()> {
        if self
            .segments
            .iter()
            .any(|(segment, (_, mode))| segment.topic == topic && *mode == LockMode::RowExclusive)
        {
            return Ok(());
        }
        lock_topic_row(topic, "FOR KEY SHARE", patience)
    }
}

/// The relations of a table of the log that this transaction has made.
pub fn table_relations(table: &str, index: &str) -> Option<SegmentRelations> {
    Some(SegmentRelations {
        heap: lock::relation_oid(LOG_SCHEMA, table)?,
        index: lock::relation_oid(LOG_SCHEMA, index)?,
    })
}

fn lock_tables(tables: &[&str], patience: Patience) -> EngineResult<()> {
    for table in tables {
        let oid = lock::relation_oid(SCHEMA, table).ok_or_else(|| missing(format!("{SCHEMA}.{table}")))?;
        if !patience.lock(oid, LockMode::RowExclusive) {
            return Err(EngineError::Busy(format!("{SCHEMA}.{table}")));
        }
    }
    Ok(())
}

/// Locks a topic's row in `kafka.topics`.
pub fn lock_topic_row(topic: TopicNumber, strength: &str, patience: Patience) -> EngineResult<()> {
    let statement = format!(
        "SELECT 1 FROM kafka.topics WHERE id = $1 {strength}{}",
        patience.row_lock_suffix()
    );
    match run(&statement, &[param(topic.0)]) {
        1 => Ok(()),
        _ => Err(missing(format!("topic number {}", topic.0))),
    }
}

/// Locks a topic's row for changing its partitions or their log starts: one session at a time, beside appends and segments that are
/// made.
pub fn lock_to_change(topic: TopicNumber, patience: Patience) -> EngineResult<()> {
    lock_topic_row(topic, "FOR NO KEY UPDATE", patience)
}

/// Locks a segment's table, if it is there, against everyone, for dropping it.
pub fn lock_for_drop(segment: SegmentId, patience: Patience) -> EngineResult<()> {
    let table = segment_table(segment);
    match lock::relation_oid(LOG_SCHEMA, &table) {
        Some(oid) if !patience.lock(oid, LockMode::AccessExclusive) => Err(EngineError::Busy(format!("{LOG_SCHEMA}.{table}"))),
        _ => Ok(()),
    }
}

/// Takes the advisory lock under which a topic of this name is made or dropped. Names that Kafka holds to collide ('.' and '_') share
/// it, and so may, by chance, others.
pub fn lock_topic_name(name: &str, patience: Patience) -> EngineResult<()> {
    let hash = collision_key(name).bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let keys = || [param(TOPIC_NAME_LOCKS), param(hash as i32)];
    let had = match patience {
        Patience::None => {
            query("SELECT pg_catalog.pg_try_advisory_xact_lock($1, $2)", &keys(), |row| {
                row.get::<bool>(1)
            }) == [Some(true)]
        }
        Patience::Waits => run("SELECT pg_catalog.pg_advisory_xact_lock($1, $2)", &keys()) == 1,
    };
    had.then_some(())
        .ok_or_else(|| EngineError::Busy(format!("topic name {name}")))
}
