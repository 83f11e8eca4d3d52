//! Consumer groups, by SQL. No statement waits for a row: what another session has locked is found before it is written.

use std::collections::HashSet;

use broker::storage::engine::EngineResult;
use broker::storage::groups::{GroupChange, GroupRecord, GroupType, MemberRecord, StoredGroup};

use super::error::all;
use crate::ffi::spi::{param, query, query_kept, run, run_kept, Param, ResultRow};

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

/// Changes groups, each named once; the places of those that another session has locked. Whoever wants to keep a group as it is locks
/// its row in `kafka.groups`; members are not looked at, of which there may be many.
pub fn write_groups(changes: &[(String, GroupChange)]) -> Vec<usize> {
    let locked = find_locked(changes.iter().map(|(group_id, _)| group_id.clone()).collect());
    let mut busy = Vec::new();
    let mut writes = Writes::default();
    for (place, (group_id, change)) in changes.iter().enumerate() {
        let written = !locked.contains(group_id)
            && match change {
                GroupChange::Delete => delete_group(group_id),
                GroupChange::DeleteUnused => {
                    delete_unused(group_id);
                    true
                }
                _ => {
                    writes.add(group_id, change);
                    true
                }
            };
        if !written {
            busy.push(place);
        }
    }
    writes.write();
    busy
}

/// Those of these groups whose rows another session has locked. The others' rows are locked here then.
fn find_locked(group_ids: Vec<String>) -> HashSet<String> {
    const THERE: &str = "SELECT g.group_id FROM kafka.groups g WHERE g.group_id = ANY ($1)";
    const MINE: &str = "SELECT g.group_id FROM kafka.groups g WHERE g.group_id = ANY ($1) FOR UPDATE SKIP LOCKED";
    let rows = |statement| {
        let rows = query_kept(statement, &[param(group_ids.clone())], |row| row.get::<String>(1));
        rows.into_iter().flatten().collect::<HashSet<_>>()
    };
    let mine = rows(MINE);
    if mine.len() == group_ids.len() {
        return HashSet::new();
    }
    let mut locked = rows(THERE);
    locked.retain(|group_id| !mine.contains(group_id));
    locked
}

/// Deletes a group whose row is locked here, and its offsets; `false`: another session has locked one of those.
fn delete_group(group_id: &str) -> bool {
    let offsets = |suffix: &str| {
        run(
            &format!("SELECT 1 FROM kafka.committed_offsets WHERE group_id = $1{suffix}"),
            &[text(group_id)],
        )
    };
    if offsets(" FOR UPDATE SKIP LOCKED") < offsets("") {
        return false;
    }
    for table in ["members", "groups", "committed_offsets"] {
        run(&format!("DELETE FROM kafka.{table} WHERE group_id = $1"), &[text(group_id)]);
    }
    true
}

/// Deletes a group whose row is locked here, if it has no offsets. One that a session commits meanwhile is left alone.
fn delete_unused(group_id: &str) {
    let offsets = "SELECT 1 FROM kafka.committed_offsets WHERE group_id = $1 LIMIT 1";
    if run(offsets, &[text(group_id)]) > 0 {
        return;
    }
    for table in ["members", "groups"] {
        run(&format!("DELETE FROM kafka.{table} WHERE group_id = $1"), &[text(group_id)]);
    }
}

/// Changes of several groups, by table.
#[derive(Default)]
struct Writes<'a> {
    groups: Vec<(&'a str, &'a GroupRecord)>,
    members: Vec<(&'a str, &'a MemberRecord)>,
    gone: Vec<(String, String)>,
    /// Groups of which no other members stay, and members that do.
    whole: Vec<String>,
    stay: HashSet<(&'a str, &'a str)>,
}

impl<'a> Writes<'a> {
    fn add(&mut self, group_id: &'a str, change: &'a GroupChange) {
        let members = match change {
            GroupChange::Replace(group, members) => {
                self.groups.push((group_id, group));
                self.whole.push(group_id.to_owned());
                self.stay
                    .extend(members.iter().map(|member| (group_id, &member.member_id[..])));
                members
            }
            GroupChange::Update { group, members, gone } => {
                self.groups.extend(group.iter().map(|group| (group_id, group)));
                self.gone
                    .extend(gone.iter().map(|member_id| (group_id.to_owned(), member_id.clone())));
                members
            }
            GroupChange::Delete | GroupChange::DeleteUnused => return,
        };
        self.members.extend(members.iter().map(|member| (group_id, member)));
    }

    fn write(mut self) {
        if !self.whole.is_empty() {
            let were = query_kept(
                "SELECT m.group_id, m.member_id FROM kafka.members m WHERE m.group_id = ANY ($1)",
                &[param(std::mem::take(&mut self.whole))],
                |row| Some((row.get::<String>(1)?, row.get::<String>(2)?)),
            );
            let gone = were.into_iter().flatten();
            self.gone
                .extend(gone.filter(|(group_id, member_id)| !self.stay.contains(&(&group_id[..], &member_id[..]))));
        }
        put_groups(&self.groups);
        delete_members(self.gone);
        put_members(&self.members);
    }
}

fn put_groups(groups: &[(&str, &GroupRecord)]) {
    if groups.is_empty() {
        return;
    }
    let column = |of: fn(&GroupRecord) -> &str| param(groups.iter().map(|(_, group)| of(group).to_owned()).collect::<Vec<_>>());
    run_kept(
        "INSERT INTO kafka.groups (group_id, type, epoch, protocol_type, protocol, changed_at, state) \
         SELECT n.group_id, n.type, n.epoch, n.protocol_type, n.protocol, clock_timestamp(), n.state::json \
           FROM unnest($1, $2, $3, $4, $5, $6) AS n(group_id, type, epoch, protocol_type, protocol, state) \
         ON CONFLICT (group_id) DO UPDATE SET type = excluded.type, epoch = excluded.epoch, \
         protocol_type = excluded.protocol_type, protocol = excluded.protocol, changed_at = excluded.changed_at, \
         state = excluded.state",
        &[
            param(groups.iter().map(|(group_id, _)| (*group_id).to_owned()).collect::<Vec<_>>()),
            column(|group| group.group_type.name()),
            param(groups.iter().map(|(_, group)| group.epoch).collect::<Vec<_>>()),
            column(|group| &group.protocol_type),
            column(|group| &group.protocol),
            column(|group| &group.state),
        ],
    );
}

/// Deletes members, by group and member id, that may be gone already.
fn delete_members(gone: Vec<(String, String)>) {
    if gone.is_empty() {
        return;
    }
    let (group_ids, member_ids): (Vec<_>, Vec<_>) = gone.into_iter().unzip();
    run_kept(
        "DELETE FROM kafka.members m USING unnest($1, $2) AS g(group_id, member_id) \
          WHERE m.group_id = g.group_id AND m.member_id = g.member_id",
        &[param(group_ids), param(member_ids)],
    );
}

/// Adds members or updates them, each where it differs from what is there.
fn put_members(members: &[(&str, &MemberRecord)]) {
    if members.is_empty() {
        return;
    }
    let column =
        |of: fn(&MemberRecord) -> &str| param(members.iter().map(|(_, member)| of(member).to_owned()).collect::<Vec<_>>());
    run_kept(
        "INSERT INTO kafka.members AS m (group_id, member_id, instance_id, client_id, client_host, assignment, state) \
         SELECT n.group_id, n.member_id, n.instance_id, n.client_id, n.client_host, n.assignment::jsonb, n.state::json \
           FROM unnest($1, $2, $3, $4, $5, $6, $7) \
             AS n(group_id, member_id, instance_id, client_id, client_host, assignment, state) \
         ON CONFLICT (group_id, member_id) DO UPDATE SET instance_id = excluded.instance_id, client_id = excluded.client_id, \
         client_host = excluded.client_host, assignment = excluded.assignment, state = excluded.state \
         WHERE (m.instance_id, m.client_id, m.client_host, m.assignment, m.state::text) IS DISTINCT FROM \
         (excluded.instance_id, excluded.client_id, excluded.client_host, excluded.assignment, excluded.state::text)",
        &[
            param(members.iter().map(|(group_id, _)| (*group_id).to_owned()).collect::<Vec<_>>()),
            column(|member| &member.member_id),
            param(
                members
                    .iter()
                    .map(|(_, member)| member.instance_id.clone())
                    .collect::<Vec<_>>(),
            ),
            column(|member| &member.client_id),
            column(|member| &member.client_host),
            column(|member| &member.assignment),
            column(|member| &member.state),
        ],
    );
}

fn text(value: &str) -> Param {
    param(value.to_owned())
}
