//! What SQL sees and changes of consumer groups, and sessions that hold locks on it; for pg_kafka only.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use std::time::{Duration, Instant};

use kafka_test::batch::Batch;
use kafka_test::consumer_group::ConsumerMember;
use kafka_test::groups::Member;
use kafka_test::offsets::{commit, commit_errors, commit_one, commit_request, committed, committing};
use kafka_test::patience::{eventually, try_within, PATIENCE};
use kafka_test::requests::append;
use kafka_test::server::Server;
use kafka_test::sql::session;
use kafka_test::topic::Topic;
use postgres::error::SqlState;
use postgres::{Client, IsolationLevel};

const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const COMMIT_VERSION: i16 = 9;

/// A topic of two partitions with five records in each, a second apart, years ago: it keeps them.
fn filled(server: &Server) -> Topic {
    let topic = server.topic_with("grouped", 2, &[("retention.ms", "-1")]);
    let mut connection = server.connect();
    for partition in 0..2 {
        for n in 0..5 {
            let mut batch = Batch::of(["x"]);
            batch.base_timestamp = 1_700_000_000_000 + n * 1000;
            append(&mut connection, &topic, partition, &batch);
        }
    }
    topic
}

/// Partition, member, committed offset and lag.
type Lag = (i32, Option<String>, Option<i64>, Option<i64>);

/// The rows of a group in `kafka.consumer_lag`.
fn lag(session: &mut Client, group: &str) -> Vec<Lag> {
    let sql = "SELECT partition, member_id, committed_offset, lag FROM kafka.consumer_lag WHERE group_id = $1 ORDER BY partition";
    let rows = session.query(sql, &[&group]).unwrap();
    rows.iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect()
}

/// (state, members, committed partitions, type) of a group in `kafka.consumer_groups`.
fn shown(session: &mut Client, group: &str) -> Option<(String, i64, i64, String)> {
    let sql = "SELECT state, members, committed_partitions, type FROM kafka.consumer_groups WHERE group_id = $1";
    let row = session.query_opt(sql, &[&group]).unwrap()?;
    Some((row.get(0), row.get(1), row.get(2), row.get(3)))
}

fn reset(session: &mut Client, group: &str, topic: &str, to: &str) -> Result<Vec<(i32, Option<i64>, i64)>, postgres::Error> {
    let sql = "SELECT partition, old_offset, new_offset FROM kafka.reset_offsets($1, $2, $3) ORDER BY partition";
    let rows = session.query(sql, &[&group, &topic, &to])?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// Goal: lag counts what is left after the committed offset, for partitions that are committed or assigned.
#[test]
fn lag_is_what_is_left() {
    let server = Server::shared();
    let topic = filled(server);
    let mut session = session(server);
    let group = server.group("lag");
    assert_eq!(shown(&mut session, &group), None);
    let mut connection = server.connect();
    assert_eq!(commit_one(&mut connection, COMMIT_VERSION, &group, &topic, 1, 3), 0);
    assert_eq!(lag(&mut session, &group), [(1, None, Some(3), Some(2))]);
    let only_offsets = ("Empty".to_owned(), 0, 1, "classic".to_owned());
    assert_eq!(shown(&mut session, &group), Some(only_offsets));

    let mut member = ConsumerMember::new(server, &group);
    member.join(&[&topic]);
    let id = Some(member.id.clone());
    let expected = [(0, id.clone(), None, None), (1, id, Some(3), Some(2))];
    let mut rows = Vec::new();
    try_within(PATIENCE, || {
        let reply = member.heartbeat();
        assert_eq!(reply.error_code, 0, "heartbeat: {:?}", reply.error_message);
        rows = lag(&mut session, &group);
        (rows == expected).then_some(())
    });
    assert_eq!(rows, expected, "the assignment is shown");
    let settled = ("Stable".to_owned(), 1, 1, "consumer".to_owned());
    assert_eq!(shown(&mut session, &group), Some(settled));
    member.leave();
    assert_eq!(lag(&mut session, &group), [(1, None, Some(3), Some(2))]);
}

/// Goal: members of a classic group are shown with their clients; what they assign each other is opaque if it is no consumers'.
#[test]
fn members_are_shown() {
    let server = Server::shared();
    let group = server.group("shown");
    let members = Member::stable_group(server, &group, 3);
    let sql = "SELECT member_id, client_host FROM kafka.group_members WHERE group_id = $1 ORDER BY member_id";
    let rows = session(server).query(sql, &[&group]).unwrap();
    let mut ids: Vec<&str> = members.iter().map(Member::id).collect();
    ids.sort_unstable();
    assert_eq!(rows.iter().map(|row| row.get::<_, &str>(0)).collect::<Vec<_>>(), ids);
    assert!(rows.iter().all(|row| row.get::<_, &str>(1) == "/127.0.0.1"));
}

/// Goal: a group goes on where it is told, whichever way that is said; each partition with what was there before.
#[test]
fn offsets_are_reset() {
    let server = Server::shared();
    let topic = filled(server);
    let group = server.group("reset");
    let mut session = session(server);
    let mut connection = server.connect();
    assert_eq!(commit_one(&mut connection, COMMIT_VERSION, &group, &topic, 1, 3), 0);
    let mut to = |target: &str| reset(&mut session, &group, &topic.name, target).unwrap();
    assert_eq!(to("latest"), [(0, None, 5), (1, Some(3), 5)]);
    assert_eq!(to("earliest"), [(0, Some(5), 0), (1, Some(5), 0)]);
    assert_eq!(to("4"), [(0, Some(0), 4), (1, Some(0), 4)]);
    assert_eq!(to("2023-11-14 22:13:21.5+00"), [(0, Some(4), 2), (1, Some(4), 2)]);
    assert_eq!(to("2100-01-01"), [(0, Some(2), 5), (1, Some(2), 5)]);
    assert_eq!(committed(&mut connection, &group, &topic, 0), 5);
    let mut transaction = session.transaction().unwrap();
    let sql = "SELECT count(*) FROM kafka.reset_offsets($1, $2, 'earliest')";
    assert_eq!(
        transaction.query_one(sql, &[&group, &topic.name]).unwrap().get::<_, i64>(0),
        2
    );
    transaction.rollback().unwrap();
    assert_eq!(committed(&mut connection, &group, &topic, 0), 5);
}

/// Goal: what cannot be reset is an error with its SQLSTATE, and changes nothing.
#[test]
fn resets_are_refused_with_a_reason() {
    let server = Server::shared();
    let topic = filled(server);
    let group = server.group("refused");
    let mut session = session(server);
    let mut member = ConsumerMember::new(server, &group);
    member.join(&[&topic]);
    let mut refused = |target: &str, topic: &str| {
        let error = reset(&mut session, &group, topic, target).unwrap_err();
        let error = error.as_db_error().unwrap().clone();
        assert!(error.hint().is_some(), "{error}");
        error.code().clone()
    };
    assert_eq!(refused("earliest", &topic.name), SqlState::OBJECT_IN_USE);
    member.leave();
    assert_eq!(refused("6", &topic.name), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
    assert_eq!(refused("-1", &topic.name), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
    assert_eq!(refused("earliest", "no such topic"), SqlState::UNDEFINED_OBJECT);
    assert_eq!(
        reset(&mut session, &group, &topic.name, "yesterdayish").unwrap_err().code(),
        Some(&SqlState::INVALID_DATETIME_FORMAT)
    );
    assert_eq!(lag(&mut session, &group), []);
    let null = session.query("SELECT kafka.reset_offsets(NULL, 'a', 'b')", &[]).unwrap_err();
    assert_eq!(null.code(), Some(&SqlState::NULL_VALUE_NOT_ALLOWED));
}

/// Runs `work` while a transaction of `session` that ran `sql` is open, and rolls it back.
fn holding(session: &mut Client, sql: &str, work: impl FnOnce()) {
    let mut transaction = session.transaction().unwrap();
    transaction.batch_execute(sql).unwrap();
    work();
    transaction.rollback().unwrap();
}

/// Goal: a row that a session has locked, or added and not committed, holds up its own group's commits only, and those get an error on
/// which clients try again; when it is free they succeed.
#[test]
fn locked_offsets_hold_up_nobody_else() {
    let server = Server::start_pg_kafka(&[]);
    let topic = filled(&server);
    let (locked, free) = (server.group("locked"), server.group("free"));
    let mut connection = server.connect();
    for group in [&locked, &free] {
        assert_eq!(commit_one(&mut connection, COMMIT_VERSION, group, &topic, 0, 1), 0);
    }
    let mut session = session(&server);
    let row = format!("SELECT FROM kafka.committed_offsets WHERE group_id = '{locked}' FOR UPDATE");
    let added = format!("SELECT kafka.reset_offsets('{locked}', '{}', 'latest')", topic.name);
    for sql in [row, added] {
        holding(&mut session, &sql, || {
            let begun = Instant::now();
            let mut waiting = server.connect();
            let (waiting_group, waiting_topic) = (locked.clone(), topic.clone());
            let waits = std::thread::spawn(move || {
                commit_one(&mut waiting, COMMIT_VERSION, &waiting_group, &waiting_topic, 1, 2)
                    + commit_one(&mut waiting, COMMIT_VERSION, &waiting_group, &waiting_topic, 0, 2)
            });
            let (mut count, mut slow) = (0, 0);
            while !waits.is_finished() {
                let before = Instant::now();
                assert_eq!(commit_one(&mut connection, COMMIT_VERSION, &free, &topic, 0, 3), 0);
                append(&mut connection, &topic, 0, &Batch::of(["x"]));
                assert_eq!(committed(&mut connection, &free, &topic, 0), 3);
                // One may be: a disk may stand still, while a broker that waits for locks waits a second again and again.
                slow += usize::from(before.elapsed() > Duration::from_secs(1));
                assert!(slow <= 1, "others wait {:?}", before.elapsed());
                count += 1;
            }
            assert!(waits.join().unwrap() >= COORDINATOR_NOT_AVAILABLE, "{sql}");
            assert!(count > 3, "only {count} in {:?}", begun.elapsed());
        });
        assert_eq!(commit_one(&mut connection, COMMIT_VERSION, &locked, &topic, 0, 4), 0);
    }
    holding(&mut session, "LOCK TABLE kafka.committed_offsets", || {
        append(&mut connection, &topic, 0, &Batch::of(["x"]));
        assert_eq!(
            commit_one(&mut connection, COMMIT_VERSION, &free, &topic, 0, 5),
            COORDINATOR_NOT_AVAILABLE
        );
    });
    assert_eq!(commit_one(&mut connection, COMMIT_VERSION, &free, &topic, 0, 5), 0);
}

/// Goal: a topic's offsets go with it; a topic of the same name has none.
#[test]
fn offsets_go_with_their_topic() {
    let server = Server::shared();
    let topic = filled(server);
    let group = server.group("dropped");
    let mut connection = server.connect();
    assert_eq!(commit_one(&mut connection, COMMIT_VERSION, &group, &topic, 0, 3), 0);
    let mut session = session(server);
    session.execute("SELECT kafka.drop_topic($1)", &[&topic.name]).unwrap();
    let count = "SELECT count(*) FROM kafka.committed_offsets WHERE group_id = $1";
    assert_eq!(session.query_one(count, &[&group]).unwrap().get::<_, i64>(0), 0);
    session.execute("SELECT kafka.create_topic($1, 2)", &[&topic.name]).unwrap();
    assert_eq!(lag(&mut session, &group), []);
}

/// Commits one offset again and again, beside a session that keeps all versions of its row. What the broker did with the table: updates
/// that were HOT, look-ups in its index, pages that it looked at.
fn commit_beside_a_snapshot(commits: i64, metadata: &str) -> [i64; 3] {
    let server = Server::start_pg_kafka(&[]);
    let topic = filled(&server);
    let group = server.group("pinned");
    let mut pinning = session(&server);
    let mut pinned = pinning
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .start()
        .unwrap();
    pinned.execute("SELECT FROM kafka.committed_offsets", &[]).unwrap();
    let mut connection = server.connect();
    for offset in 0..commits {
        let request = commit_request(&group, &topic, vec![committing(0, offset % 5, Some(metadata))]);
        assert_eq!(commit_errors(&commit(&mut connection, COMMIT_VERSION, &request)), [0]);
    }
    let mut session = session(&server);
    let sql = "SELECT n_tup_upd, n_tup_hot_upd, idx_scan, heap_blks_hit + heap_blks_read
                 FROM pg_stat_user_tables JOIN pg_statio_user_tables USING (relid) WHERE relid = 'kafka.committed_offsets'::regclass";
    eventually("the broker reports what it did", || {
        let row = session.query_one(sql, &[]).unwrap();
        (row.get::<_, i64>(0) == commits - 1).then(|| [1, 2, 3].map(|column| row.get::<_, i64>(column)))
    })
}

/// Goal: while a session keeps old versions of an offset's row, a commit looks neither for the row nor at its versions.
#[test]
fn commits_do_not_search_old_versions() {
    const COMMITS: i64 = 300;
    let [hot, looked_up, _] = commit_beside_a_snapshot(COMMITS, "");
    assert!(hot >= COMMITS * 9 / 10, "{hot} of {COMMITS} updates were HOT");
    assert!(
        looked_up <= COMMITS / 10,
        "{looked_up} look-ups in the index for {COMMITS} commits"
    );
}

/// Goal: the same where a page holds few versions, so that most updates add to the index, which is not asked whether the key is new.
#[test]
fn commits_that_move_to_other_pages_do_not_search_old_versions() {
    const COMMITS: i64 = 600;
    let [_, looked_up, pages] = commit_beside_a_snapshot(COMMITS, &"m".repeat(1900));
    assert!(
        looked_up <= COMMITS / 10,
        "{looked_up} look-ups in the index for {COMMITS} commits"
    );
    assert!(pages <= COMMITS * 10, "{pages} pages were looked at for {COMMITS} commits");
}

/// Goal: what operators add to the table hears of each commit, an index and a trigger, and one key in place of another is as good.
#[test]
fn what_operators_add_hears_of_commits() {
    let server = Server::start_pg_kafka(&[]);
    let topic = filled(&server);
    let group = server.group("added");
    let mut connection = server.connect();
    let mut commit_all = || {
        for offset in 0..5 {
            assert_eq!(commit_one(&mut connection, COMMIT_VERSION, &group, &topic, 0, offset), 0);
        }
    };
    let mut session = session(&server);
    // From the second on the broker knows the row's place.
    commit_all();

    session
        .batch_execute("CREATE INDEX added ON kafka.committed_offsets (committed_offset); SET enable_seqscan = off")
        .unwrap();
    commit_all();
    let found = "SELECT count(*) FROM kafka.committed_offsets WHERE committed_offset = 4";
    let plan = session.query(&format!("EXPLAIN {found}"), &[]).unwrap();
    let plan: Vec<&str> = plan.iter().map(|line| line.get(0)).collect();
    assert!(plan.iter().any(|line| line.contains("added")), "{plan:?}");
    assert_eq!(
        session.query_one(found, &[]).unwrap().get::<_, i64>(0),
        1,
        "the index has the row"
    );

    session
        .batch_execute(
            "DROP INDEX kafka.added;
             CREATE TABLE heard (committed_offset int8);
             CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO public.heard VALUES (new.committed_offset); RETURN new; END';
             CREATE TRIGGER added AFTER UPDATE ON kafka.committed_offsets FOR EACH ROW EXECUTE FUNCTION hear()",
        )
        .unwrap();
    commit_all();
    let heard = session.query("SELECT committed_offset FROM heard", &[]).unwrap();
    let heard: Vec<i64> = heard.iter().map(|row| row.get(0)).collect();
    assert_eq!(heard, [0, 1, 2, 3, 4]);

    session
        .batch_execute(
            "DROP TRIGGER added ON kafka.committed_offsets;
             ALTER TABLE kafka.committed_offsets DROP CONSTRAINT committed_offsets_pkey;
             CREATE UNIQUE INDEX added ON kafka.committed_offsets (group_id, topic, partition)",
        )
        .unwrap();
    commit_all();
    assert_eq!(lag(&mut session, &group), [(0, None, Some(4), Some(1))]);
}
