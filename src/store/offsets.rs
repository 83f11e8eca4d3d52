//! Committed offsets of consumer groups, by SQL. No statement waits for a row: what another session has locked is found before it is
//! written.

use std::collections::{BTreeSet, HashMap, HashSet};

use broker::storage::engine::{EngineResult, TopicNumber};
use broker::storage::groups::{CommittedOffset, Expiry, OffsetKey};

use super::error::all;
use super::names::SCHEMA;
use crate::ffi::lock::relation_oid;
use crate::ffi::spi::{param, query_kept, run, IntoParam, Param, RowPlace};
use crate::ffi::update::Updates;

/// First key of the advisory locks on the offsets of groups: "kafg".
const OFFSETS_LOCKS: i32 = 0x6b61_6667;

/// Waits for the advisory lock under which offsets of a group are added, and holds it until the transaction's end: an offset that a
/// session has added and not committed would make the broker wait.
pub fn lock_offsets_of(group_id: &str) {
    run(
        "SELECT pg_catalog.pg_advisory_xact_lock($1, pg_catalog.hashtext($2))",
        &[param(OFFSETS_LOCKS), param(group_id.to_owned())],
    );
}

/// Takes those locks of groups, of which each is named once, without waiting; the groups whose lock another session has.
fn try_lock_offsets_of(group_ids: Vec<String>) -> HashSet<String> {
    let busy = query_kept(
        "SELECT n.group_id FROM unnest($2) AS n(group_id) \
          WHERE NOT pg_catalog.pg_try_advisory_xact_lock($1, pg_catalog.hashtext(n.group_id))",
        &[param(OFFSETS_LOCKS), param(group_ids)],
        |row| row.get::<String>(1),
    );
    busy.into_iter().flatten().collect()
}

/// Where the rows of committed offsets were when the broker last wrote them. Only a hint: whoever uses one looks whether the row is there
/// still.
///
/// It makes the time of a commit independent of the row's history: while a transaction of another session keeps old versions from being
/// removed, the index leads to all of them.
#[derive(Default)]
pub struct KnownRows {
    places: HashMap<OffsetKey, RowPlace>,
    bytes: usize,
}

/// Memory that known rows may take; what is beyond makes all be forgotten.
const KNOWN_ROWS_BYTES: usize = 16 * 1024 * 1024;
/// Memory of a known row beside the group's id.
const KNOWN_ROW_OVERHEAD_BYTES: usize = 96;

impl KnownRows {
    fn put(&mut self, key: &OffsetKey, place: RowPlace) {
        if let Some(known) = self.places.get_mut(key) {
            *known = place;
            return;
        }
        self.bytes += key.group_id.len() + KNOWN_ROW_OVERHEAD_BYTES;
        if self.bytes > KNOWN_ROWS_BYTES {
            *self = KnownRows::default();
        }
        self.places.insert(key.clone(), place);
    }
}

/// The table, and how many columns it has.
const COMMITTED_OFFSETS: &str = "committed_offsets";
const COLUMNS: i32 = 8;

/// Commits of offsets, and their places in the list that they come from.
type Commits<'a> = Vec<(usize, &'a (OffsetKey, CommittedOffset))>;

/// Stores offsets, each key once; the places of those that another session has locked.
pub fn commit_offsets(rows: &mut KnownRows, commits: &[(OffsetKey, CommittedOffset)]) -> Vec<usize> {
    let mut left: Commits = commits.iter().enumerate().collect();
    let written: HashSet<usize> = update_known(rows, &left).into_iter().collect();
    left.retain(|(place, _)| !written.contains(place));
    let locked = find_locked(&left);
    left.retain(|(place, _)| !locked.contains(place));
    put_offsets(rows, &left);
    locked.into_iter().collect()
}

/// Updates the rows that are where they were, and not locked; their places in the list. None where operators have added to the table what
/// an UPDATE has to look after.
fn update_known(rows: &mut KnownRows, commits: &Commits<'_>) -> Vec<usize> {
    let known = commits
        .iter()
        .filter_map(|(place, commit)| Some((*place, *commit, *rows.places.get(&commit.0)?)));
    let known: Vec<_> = known.collect();
    if known.is_empty() {
        return Vec::new();
    }
    let table = relation_oid(SCHEMA, COMMITTED_OFFSETS);
    let Some(mut updates) = table.and_then(|table| Updates::open(table, COLUMNS)) else {
        return Vec::new();
    };
    let commits: Commits = known.iter().map(|(place, commit, _)| (*place, *commit)).collect();
    let mut params = columns(&commits);
    params.push(param(known.iter().map(|(_, _, row)| *row).collect::<Vec<_>>()));
    params.push(param(known.iter().map(|(place, ..)| *place as i64).collect::<Vec<_>>()));
    let written = query_kept(
        "SELECT n.place, o.locked_row, o.group_id, o.topic, o.partition, n.committed_offset, n.leader_epoch, n.metadata, \
                to_timestamp(n.committed_at / 1000.0), to_timestamp(nullif(n.expires_at, -1) / 1000.0) \
           FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             AS n(group_id, topic, partition, committed_offset, leader_epoch, metadata, committed_at, expires_at, known_row, place) \
          CROSS JOIN LATERAL ( \
            SELECT r.ctid AS locked_row, r.group_id, r.topic, r.partition FROM kafka.committed_offsets r \
             WHERE r.ctid = n.known_row FOR NO KEY UPDATE SKIP LOCKED) o \
          WHERE o.group_id = n.group_id AND o.topic = n.topic AND o.partition = n.partition",
        &params,
        |row| {
            let (place, locked) = (row.get::<i64>(1)?, row.get::<RowPlace>(2)?);
            Some((usize::try_from(place).ok()?, updates.put(locked, row, 3)))
        },
    );
    updates.finish();
    let written = written.into_iter().flatten();
    let now_at: HashMap<usize, RowPlace> = written.collect();
    for (place, (key, _)) in &commits {
        match now_at.get(place) {
            Some(row) => rows.put(key, *row),
            None => {
                rows.places.remove(key);
            }
        }
    }
    now_at.into_keys().collect()
}

/// The places of those commits that another session has locked: the row, or the adding of rows to its group. The others' rows are locked
/// here then.
fn find_locked(commits: &Commits<'_>) -> HashSet<usize> {
    if commits.is_empty() {
        return HashSet::new();
    }
    let groups: BTreeSet<&str> = commits.iter().map(|(_, (key, _))| &key.group_id[..]).collect();
    let busy = try_lock_offsets_of(groups.into_iter().map(str::to_owned).collect());
    let of_busy_groups = commits.iter().filter(|(_, (key, _))| busy.contains(&key.group_id));
    let mut locked: HashSet<usize> = of_busy_groups.map(|(place, _)| *place).collect();
    const THERE: &str = "SELECT n.place FROM unnest($1, $2, $3, $4) AS n(group_id, topic, partition, place) \
                         JOIN kafka.committed_offsets o USING (group_id, topic, partition)";
    const MINE: &str = "SELECT n.place FROM unnest($1, $2, $3, $4) AS n(group_id, topic, partition, place) \
                        JOIN kafka.committed_offsets o USING (group_id, topic, partition) FOR NO KEY UPDATE OF o SKIP LOCKED";
    let rows = |statement| -> HashSet<usize> {
        let params = [
            param(commits.iter().map(|(_, (key, _))| key.group_id.clone()).collect::<Vec<_>>()),
            param(commits.iter().map(|(_, (key, _))| key.topic.0).collect::<Vec<_>>()),
            param(commits.iter().map(|(_, (key, _))| key.partition).collect::<Vec<_>>()),
            param(commits.iter().map(|(place, _)| *place as i64).collect::<Vec<_>>()),
        ];
        let rows = query_kept(statement, &params, |row| {
            row.get::<i64>(1).and_then(|place| usize::try_from(place).ok())
        });
        rows.into_iter().flatten().collect()
    };
    let mine = rows(MINE);
    if mine.len() < commits.len() {
        locked.extend(rows(THERE).difference(&mine));
    }
    locked
}

/// Adds or updates rows that nobody else has locked.
fn put_offsets(rows: &mut KnownRows, commits: &Commits<'_>) {
    if commits.is_empty() {
        return;
    }
    let written = query_kept(
        "INSERT INTO kafka.committed_offsets \
                (group_id, topic, partition, committed_offset, leader_epoch, metadata, committed_at, expires_at) \
         SELECT n.group_id, n.topic, n.partition, n.committed_offset, n.leader_epoch, n.metadata, \
                to_timestamp(n.committed_at / 1000.0), to_timestamp(nullif(n.expires_at, -1) / 1000.0) \
           FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) \
             AS n(group_id, topic, partition, committed_offset, leader_epoch, metadata, committed_at, expires_at) \
         ON CONFLICT (group_id, topic, partition) DO UPDATE SET committed_offset = excluded.committed_offset, \
         leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, committed_at = excluded.committed_at, \
         expires_at = excluded.expires_at \
         RETURNING group_id, topic, partition, ctid",
        &columns(commits),
        |row| {
            let (group_id, topic, partition) = (row.get(1)?, TopicNumber(row.get(2)?), row.get(3)?);
            Some((
                OffsetKey {
                    group_id,
                    topic,
                    partition,
                },
                row.get::<RowPlace>(4)?,
            ))
        },
    );
    for (key, row) in written.into_iter().flatten() {
        rows.put(&key, row);
    }
}

/// The columns of commits as eight parameters.
fn columns(commits: &Commits<'_>) -> Vec<Param> {
    fn column<T>(commits: &Commits<'_>, of: impl Fn(&OffsetKey, &CommittedOffset) -> T) -> Param
    where
        Vec<T>: IntoParam,
    {
        param(commits.iter().map(|(_, (key, offset))| of(key, offset)).collect::<Vec<T>>())
    }
    vec![
        column(commits, |key, _| key.group_id.clone()),
        column(commits, |key, _| key.topic.0),
        column(commits, |key, _| key.partition),
        column(commits, |_, offset| offset.offset),
        column(commits, |_, offset| offset.leader_epoch),
        column(commits, |_, offset| offset.metadata.clone()),
        column(commits, |_, offset| offset.committed_at_ms),
        column(commits, |_, offset| offset.expires_at_ms.unwrap_or(-1)),
    ]
}

/// The offsets that a group has committed.
pub fn committed_offsets(group_id: &str) -> EngineResult<Vec<(TopicNumber, i32, CommittedOffset)>> {
    let rows = query_kept(
        "SELECT o.topic, o.partition, o.committed_offset, o.leader_epoch, o.metadata, \
                (extract(epoch FROM o.committed_at) * 1000)::int8, (extract(epoch FROM o.expires_at) * 1000)::int8 \
           FROM kafka.committed_offsets o WHERE o.group_id = $1 \
          ORDER BY o.topic, o.partition",
        &[param(group_id.to_owned())],
        |row| {
            let offset = CommittedOffset {
                offset: row.get(3)?,
                leader_epoch: row.get(4)?,
                metadata: row.get(5)?,
                committed_at_ms: row.get(6)?,
                expires_at_ms: row.get(7),
            };
            Some((TopicNumber(row.get(1)?), row.get(2)?, offset))
        },
    );
    all(rows, "kafka.committed_offsets")
}

/// Deletes committed offsets; `false`: another session has locked one of them.
pub fn delete_offsets(group_id: &str, partitions: &[(TopicNumber, i32)]) -> bool {
    const OF_THESE: &str = "kafka.committed_offsets o USING unnest($2, $3) AS n(topic, partition) \
                            WHERE o.group_id = $1 AND o.topic = n.topic AND o.partition = n.partition";
    let (topics, numbers): (Vec<i32>, Vec<i32>) = partitions.iter().map(|(topic, partition)| (topic.0, *partition)).unzip();
    let params = || [param(group_id.to_owned()), param(topics.clone()), param(numbers.clone())];
    let rows = |suffix: &str| {
        let of_these = OF_THESE.replacen(" USING ", ", ", 1);
        run(&format!("SELECT 1 FROM {of_these}{suffix}"), &params())
    };
    if rows(" FOR UPDATE OF o SKIP LOCKED") < rows("") {
        return false;
    }
    run(&format!("DELETE FROM {OF_THESE}"), &params());
    true
}

/// Deletes offsets that expire, but for locked ones; whether the group has any left.
pub fn expire_offsets(expiry: &Expiry) -> bool {
    run(
        "DELETE FROM kafka.committed_offsets WHERE ctid = ANY (ARRAY(\
            SELECT ctid FROM kafka.committed_offsets WHERE group_id = $1 AND topic <> ALL ($2) \
               AND CASE WHEN expires_at IS NULL THEN committed_at < to_timestamp($3 / 1000.0) \
                        ELSE expires_at <= to_timestamp($4 / 1000.0) END \
               FOR UPDATE SKIP LOCKED))",
        &[
            param(expiry.group_id.clone()),
            param(expiry.kept_topics.iter().map(|topic| topic.0).collect::<Vec<_>>()),
            param(expiry.committed_before_ms),
            param(expiry.now_ms),
        ],
    );
    run(
        "SELECT 1 FROM kafka.committed_offsets WHERE group_id = $1 LIMIT 1",
        &[param(expiry.group_id.clone())],
    ) > 0
}

/// Deletes the offsets committed in a topic that is dropped. One that another session has locked stays: the topic's number is never used
/// again, so nobody sees it, and in time it expires.
pub fn forget_topic(topic: TopicNumber) {
    run(
        "DELETE FROM kafka.committed_offsets WHERE ctid = ANY (ARRAY(\
            SELECT ctid FROM kafka.committed_offsets WHERE topic = $1 FOR UPDATE SKIP LOCKED))",
        &[param(topic.0)],
    );
}
