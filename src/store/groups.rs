//! Consumer groups, by SQL. No statement waits for a row: what another session has locked is found before it is written.

use broker::storage::engine::EngineResult;
use broker::storage::groups::{GroupChange, GroupRecord, GroupType, MemberRecord, StoredGroup};

use super::error::all;
use crate::ffi::spi::{param, query, run, run_kept, Param, ResultRow};

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
    run_kept(
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
    run_kept(
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

fn text(value: &str) -> Param {
    param(value.to_owned())
}
