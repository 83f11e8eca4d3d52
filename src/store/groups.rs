//! Consumer groups and committed offsets, by SQL. No statement waits for a row: what another session has locked is found before it is
//! written.

use std::collections::{BTreeSet, HashSet};

use broker::storage::engine::EngineError::{Busy, Damaged};
use broker::storage::engine::{EngineResult, TopicNumber};
use broker::storage::groups::{
    CommittedOffset, Expiry, GroupChange, GroupRecord, GroupType, MemberRecord, OffsetKey, StoredGroup,
};

use super::locks::Patience;
use crate::ffi::spi::{param, query, run, Param, ResultRow};

/// All groups, or the one of this id.
pub fn load_groups(group_id: Option<&str>) -> EngineResult<Vec<StoredGroup>> {
    const QUERY: &str = "
        SELECT i.group_id, g.type, g.epoch, g.protocol_type, g.protocol, g.state::text,
               coalesce((extract(epoch FROM g.changed_at) * 1000)::int8, 0)
          FROM (SELECT group_id FROM kafka.groups UNION SELECT group_id FROM kafka.committed_offsets) i
          LEFT JOIN kafka.groups g USING (group_id)
         WHERE $1 IS NULL OR i.group_id = $1
         ORDER BY i.group_id";
    let wanted = || [param(group_id.map(str::to_owned))];
    let mut groups: Vec<StoredGroup> = all(query(QUERY, &wanted(), read_group), "kafka.groups")?;
    let members = all(
        query(
            "SELECT group_id, member_id, instance_id, client_id, client_host, assignment::text, state::text FROM kafka.members \
             WHERE $1 IS NULL OR group_id = $1 ORDER BY group_id, member_id",
            &wanted(),
            read_member,
        ),
        "kafka.members",
    )?;
    for (group_id, member) in members {
        if let Ok(place) = groups.binary_search_by(|group| group.group_id.cmp(&group_id)) {
            groups[place].members.push(member);
        }
    }
    Ok(groups)
}

/// `None`: a value is missing that is never null, or one stands there that nobody writes.
fn read_group(row: &ResultRow) -> Option<StoredGroup> {
    let group = match row.get::<String>(2) {
        None => None,
        Some(kind) => Some(GroupRecord {
            group_type: GroupType::from_name(&kind)?,
            epoch: row.get(3)?,
            protocol_type: row.get(4)?,
            protocol: row.get(5)?,
            state: row.get(6)?,
        }),
    };
    Some(StoredGroup {
        group_id: row.get(1)?,
        group,
        members: Vec::new(),
        changed_at_ms: row.get(7)?,
    })
}

fn read_member(row: &ResultRow) -> Option<(String, MemberRecord)> {
    let member = MemberRecord {
        member_id: row.get(2)?,
        instance_id: row.get(3),
        client_id: row.get(4)?,
        client_host: row.get(5)?,
        assignment: row.get(6)?,
        state: row.get(7)?,
    };
    Some((row.get(1)?, member))
}

fn all<T>(rows: Vec<Option<T>>, table: &str) -> EngineResult<Vec<T>> {
    rows.into_iter()
        .collect::<Option<_>>()
        .ok_or_else(|| Damaged(format!("a row of {table} that the broker did not write")))
}

/// Changes a group; `false`: another session has locked it. Whoever wants to keep a group as it is locks its row in `kafka.groups`; members
/// are not looked at, of which there may be many.
pub fn write_group(group_id: &str, change: &GroupChange) -> bool {
    let free = match change {
        GroupChange::Delete => lock_rows("groups", group_id) && lock_rows("committed_offsets", group_id),
        GroupChange::Replace(..) | GroupChange::Update { .. } => lock_rows("groups", group_id),
    };
    if !free {
        return false;
    }
    match change {
        GroupChange::Replace(group, members) => {
            put_group(group_id, group);
            let kept: Vec<String> = members.iter().map(|member| member.member_id.clone()).collect();
            run(
                "DELETE FROM kafka.members WHERE group_id = $1 AND member_id <> ALL ($2)",
                &[text(group_id), param(kept)],
            );
            put_members(group_id, members);
        }
        GroupChange::Update { group, members, gone } => {
            if let Some(group) = group {
                put_group(group_id, group);
            }
            if !gone.is_empty() {
                run(
                    "DELETE FROM kafka.members WHERE group_id = $1 AND member_id = ANY ($2)",
                    &[text(group_id), param(gone.clone())],
                );
            }
            put_members(group_id, members);
        }
        GroupChange::Delete => {
            for table in ["members", "groups", "committed_offsets"] {
                run(&format!("DELETE FROM kafka.{table} WHERE group_id = $1"), &[text(group_id)]);
            }
        }
    }
    true
}

/// Locks the rows of a group in a table; `false` if another session has one of them.
fn lock_rows(table: &str, group_id: &str) -> bool {
    let rows = |suffix: &str| {
        run(
            &format!("SELECT 1 FROM kafka.{table} WHERE group_id = $1{suffix}"),
            &[text(group_id)],
        )
    };
    rows(" FOR UPDATE SKIP LOCKED") == rows("")
}

fn put_group(group_id: &str, group: &GroupRecord) {
    run(
        "INSERT INTO kafka.groups (group_id, type, epoch, protocol_type, protocol, changed_at, state) \
         VALUES ($1, $2, $3, $4, $5, clock_timestamp(), $6::json) \
         ON CONFLICT (group_id) DO UPDATE SET type = excluded.type, epoch = excluded.epoch, \
         protocol_type = excluded.protocol_type, protocol = excluded.protocol, changed_at = excluded.changed_at, \
         state = excluded.state",
        &[
            text(group_id),
            text(group.group_type.name()),
            param(group.epoch),
            text(&group.protocol_type),
            text(&group.protocol),
            text(&group.state),
        ],
    );
}

fn put_members(group_id: &str, members: &[MemberRecord]) {
    if members.is_empty() {
        return;
    }
    let column = |of: fn(&MemberRecord) -> String| param(members.iter().map(of).collect::<Vec<_>>());
    run(
        "INSERT INTO kafka.members AS m (group_id, member_id, instance_id, client_id, client_host, assignment, state) \
         SELECT $1, n.member_id, n.instance_id, n.client_id, n.client_host, n.assignment::jsonb, n.state::json \
           FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[]) \
             AS n(member_id, instance_id, client_id, client_host, assignment, state) \
         ON CONFLICT (group_id, member_id) DO UPDATE SET instance_id = excluded.instance_id, client_id = excluded.client_id, \
         client_host = excluded.client_host, assignment = excluded.assignment, state = excluded.state \
         WHERE (m.instance_id, m.client_id, m.client_host, m.assignment, m.state::text) IS DISTINCT FROM \
         (excluded.instance_id, excluded.client_id, excluded.client_host, excluded.assignment, excluded.state::text)",
        &[
            text(group_id),
            column(|member| member.member_id.clone()),
            param(members.iter().map(|member| member.instance_id.clone()).collect::<Vec<_>>()),
            column(|member| member.client_id.clone()),
            column(|member| member.client_host.clone()),
            column(|member| member.assignment.clone()),
            column(|member| member.state.clone()),
        ],
    );
}

/// First key of the advisory locks on the offsets of groups: "kafg".
const OFFSETS_LOCKS: i32 = 0x6b61_6667;

/// Takes the advisory lock under which offsets of a group are added, until the transaction's end: an offset that a session has added and
/// not committed would make the broker wait.
pub fn lock_offsets_of(group_id: &str, patience: Patience) -> EngineResult<()> {
    const KEYS: &str = "($1, pg_catalog.hashtext($2))";
    let keys = || [param(OFFSETS_LOCKS), text(group_id)];
    let had = match patience {
        Patience::None => {
            let statement = format!("SELECT pg_catalog.pg_try_advisory_xact_lock{KEYS}");
            query(&statement, &keys(), |row| row.get::<bool>(1)) == [Some(true)]
        }
        Patience::Waits => run(&format!("SELECT pg_catalog.pg_advisory_xact_lock{KEYS}"), &keys()) == 1,
    };
    had.then_some(())
        .ok_or_else(|| Busy(format!("the offsets of group {group_id}")))
}

/// Stores offsets, each key once; the places of those that another session has locked.
pub fn commit_offsets(commits: &[(OffsetKey, CommittedOffset)]) -> Vec<usize> {
    let groups: BTreeSet<&str> = commits.iter().map(|(key, _)| &key.group_id[..]).collect();
    let busy: BTreeSet<&str> = groups
        .into_iter()
        .filter(|group_id| lock_offsets_of(group_id, Patience::None).is_err())
        .collect();
    let of_busy_groups = (0..commits.len()).filter(|place| busy.contains(&commits[*place].0.group_id[..]));
    let mut locked: HashSet<usize> = of_busy_groups.collect();
    let mine = places(commits, " FOR UPDATE OF o SKIP LOCKED");
    if mine.len() < commits.len() {
        let there = places(commits, "");
        locked.extend(there.difference(&mine));
    }
    let free: Vec<_> = (0..commits.len())
        .filter(|place| !locked.contains(place))
        .map(|place| &commits[place])
        .collect();
    let locked = locked.into_iter().collect();
    if free.is_empty() {
        return locked;
    }
    run(
        "INSERT INTO kafka.committed_offsets \
                (group_id, topic, partition, committed_offset, leader_epoch, metadata, committed_at, expires_at) \
         SELECT n.group_id, n.topic, n.partition, n.committed_offset, n.leader_epoch, n.metadata, \
                to_timestamp(n.committed_at / 1000.0), to_timestamp(nullif(n.expires_at, -1) / 1000.0) \
           FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) \
             AS n(group_id, topic, partition, committed_offset, leader_epoch, metadata, committed_at, expires_at) \
         ON CONFLICT (group_id, topic, partition) DO UPDATE SET committed_offset = excluded.committed_offset, \
         leader_epoch = excluded.leader_epoch, metadata = excluded.metadata, committed_at = excluded.committed_at, \
         expires_at = excluded.expires_at",
        &[
            param(free.iter().map(|(key, _)| key.group_id.clone()).collect::<Vec<_>>()),
            param(free.iter().map(|(key, _)| key.topic.0).collect::<Vec<_>>()),
            param(free.iter().map(|(key, _)| key.partition).collect::<Vec<_>>()),
            param(free.iter().map(|(_, offset)| offset.offset).collect::<Vec<_>>()),
            param(free.iter().map(|(_, offset)| offset.leader_epoch).collect::<Vec<_>>()),
            param(free.iter().map(|(_, offset)| offset.metadata.clone()).collect::<Vec<_>>()),
            param(free.iter().map(|(_, offset)| offset.committed_at_ms).collect::<Vec<_>>()),
            param(
                free.iter()
                    .map(|(_, offset)| offset.expires_at_ms.unwrap_or(-1))
                    .collect::<Vec<_>>(),
            ),
        ],
    );
    locked
}

/// The places of those commits whose rows are there and can be locked as `suffix` says.
fn places(commits: &[(OffsetKey, CommittedOffset)], suffix: &str) -> HashSet<usize> {
    let rows = query(
        &format!(
            "SELECT n.place FROM unnest($1, $2, $3) WITH ORDINALITY AS n(group_id, topic, partition, place) \
             JOIN kafka.committed_offsets o USING (group_id, topic, partition){suffix}"
        ),
        &[
            param(commits.iter().map(|(key, _)| key.group_id.clone()).collect::<Vec<_>>()),
            param(commits.iter().map(|(key, _)| key.topic.0).collect::<Vec<_>>()),
            param(commits.iter().map(|(key, _)| key.partition).collect::<Vec<_>>()),
        ],
        |row| row.get::<i64>(1).and_then(|place| usize::try_from(place - 1).ok()),
    );
    rows.into_iter().flatten().collect()
}

/// The offsets that a group has committed.
pub fn committed_offsets(group_id: &str) -> EngineResult<Vec<(TopicNumber, i32, CommittedOffset)>> {
    let rows = query(
        "SELECT o.topic, o.partition, o.committed_offset, o.leader_epoch, o.metadata, \
                (extract(epoch FROM o.committed_at) * 1000)::int8, (extract(epoch FROM o.expires_at) * 1000)::int8 \
           FROM kafka.committed_offsets o WHERE o.group_id = $1 \
          ORDER BY o.topic, o.partition",
        &[text(group_id)],
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
    let params = || [text(group_id), param(topics.clone()), param(numbers.clone())];
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
            text(&expiry.group_id),
            param(expiry.kept_topics.iter().map(|topic| topic.0).collect::<Vec<_>>()),
            param(expiry.committed_before_ms),
            param(expiry.now_ms),
        ],
    );
    run(
        "SELECT 1 FROM kafka.committed_offsets WHERE group_id = $1 LIMIT 1",
        &[text(&expiry.group_id)],
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

fn text(value: &str) -> Param {
    param(value.to_owned())
}
