//! Jobs about consumer groups: one transaction for what waits, locks of other sessions, failures, durability.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::limits::GROUP_JOBS_PER_TURN;
use crate::storage::groups::{CommittedOffset, Expiry, GroupChange, GroupRecord, GroupType, MemberRecord, OffsetKey};

fn key(group_id: &str, partition: i32) -> OffsetKey {
    OffsetKey {
        group_id: group_id.to_owned(),
        topic: TopicNumber(1),
        partition,
    }
}

fn offset(offset: i64) -> CommittedOffset {
    CommittedOffset {
        offset,
        leader_epoch: -1,
        metadata: String::new(),
        committed_at_ms: 0,
        expires_at_ms: None,
    }
}

fn record(epoch: i32) -> GroupRecord {
    GroupRecord {
        group_type: GroupType::Classic,
        epoch,
        protocol_type: String::new(),
        protocol: String::new(),
        state: "{}".to_owned(),
    }
}

/// A reply that can be looked at without waiting for it.
type Pending<T> = Pin<Box<dyn Future<Output = Result<T, StorageError>>>>;

fn look<T>(reply: &mut Pending<T>) -> Option<Result<T, StorageError>> {
    match reply.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

impl Bench {
    fn commit(&self, group_id: &str, offsets: &[(i32, i64)]) -> Pending<()> {
        let offsets = offsets
            .iter()
            .map(|(partition, next)| (key(group_id, *partition), offset(*next)));
        Box::pin(self.runner.storage().commit_offsets(offsets.collect(), self.later()))
    }

    fn write(&self, group_id: &str, epoch: i32) -> Pending<()> {
        Box::pin(
            self.runner
                .storage()
                .write_group(group_id, GroupChange::Replace(record(epoch), Vec::new()), self.later()),
        )
    }

    /// The committed offsets of a group: (partition, offset).
    fn committed(&mut self, group_id: &str) -> Vec<(i32, i64)> {
        let fetch = self.runner.storage().committed_offsets(group_id, self.later());
        let offsets = self.run(fetch).unwrap();
        offsets
            .into_iter()
            .map(|(_, partition, committed)| (partition, committed.offset))
            .collect()
    }
}

#[test]
fn waiting_commits_share_a_transaction_and_each_row_is_written_once() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let mut replies = [
        bench.commit("a", &[(0, 1), (1, 1)]),
        bench.commit("b", &[(0, 7)]),
        bench.commit("a", &[(0, 2)]),
    ];
    database.take_calls();
    bench.turn();
    let calls = database.take_calls();
    let count = |call| calls.iter().filter(|made| **made == call).count();
    assert_eq!((count(Call::Commit), count(Call::CommitOffsets)), (1, 1));
    assert!(replies.iter_mut().all(|reply| look(reply) == Some(Ok(()))));
    assert_eq!(bench.committed("a"), [(0, 2), (1, 1)]);
    assert_eq!(bench.committed("b"), [(0, 7)]);
}

fn any_change() -> impl Strategy<Value = (&'static str, GroupChange)> {
    let member = |(id, state): (u8, u8)| MemberRecord {
        member_id: id.to_string(),
        instance_id: None,
        client_id: String::new(),
        client_host: String::new(),
        assignment: "{}".to_owned(),
        state: state.to_string(),
    };
    let members = || vec((0..4u8, any::<u8>()).prop_map(member), 0..4);
    let record = || any::<i32>().prop_map(record);
    let gone = vec((0..4u8).prop_map(|id| id.to_string()), 0..3);
    let change = prop_oneof![
        1 => Just(GroupChange::Delete),
        1 => Just(GroupChange::DeleteUnused),
        4 => (record(), members()).prop_map(|(record, members)| GroupChange::Replace(record, members)),
        8 => (record(), members(), gone).prop_map(|(group, members, gone)| GroupChange::Update {
            group: Some(group),
            members,
            gone,
        }),
    ];
    (prop_oneof![Just("a"), Just("b")], change)
}

proptest! {
    /// Changes that wait together leave what they leave one by one, in fewer statements.
    #[test]
    fn waiting_changes_of_groups_are_written_together(changes in vec(any_change(), 1..12)) {
        let left = |together: bool| {
            let database = ModelDatabase::default();
            let mut bench = Bench::open(&database);
            database.take_calls();
            let mut replies = Vec::new();
            for (group_id, change) in &changes {
                let reply = bench.runner.storage().write_group(group_id, change.clone(), bench.later());
                replies.push(Box::pin(reply) as Pending<()>);
                if !together {
                    bench.turn();
                }
            }
            bench.turn();
            assert!(replies.iter_mut().all(|reply| look(reply) == Some(Ok(()))));
            let writes = database.take_calls().iter().filter(|call| **call == Call::WriteGroups).count();
            let load = bench.runner.storage().load_groups(None, bench.later());
            (bench.run(load).unwrap(), writes)
        };
        let ((together, writes), (one_by_one, _)) = (left(true), left(false));
        prop_assert_eq!(together, one_by_one);
        let is_deletion = |change: &GroupChange| matches!(change, GroupChange::Delete | GroupChange::DeleteUnused);
        let deletions = changes.iter().filter(|(_, change)| is_deletion(change)).count();
        prop_assert!(writes <= 2 * deletions + 1);
    }
}

/// The flush of the appends is that of the commits about groups too. Where nothing is appended after all, they are flushed by themselves.
#[test]
fn commits_share_the_flush_of_the_appends() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, 1 << 20);
    for (locked, flushes) in [(false, 0), (true, 1)] {
        let segment = SegmentId { topic, number: 1 };
        if locked {
            database.hold_segment(segment);
        }
        let mut commit = bench.commit("a", &[(0, 1)]);
        let mut append = bench.submit(topic, 0, batch(1, 100, 0));
        database.take_calls();
        bench.turn();
        let flushed = database.take_calls().iter().filter(|call| **call == Call::Flush).count();
        assert_eq!(flushed, flushes, "locked: {locked}");
        assert_eq!(look(&mut commit), Some(Ok(())));
        assert_eq!(answered(&mut append).is_none(), locked);
    }
}

/// What could not be flushed is not answered, and is flushed later.
#[test]
fn a_failed_flush_is_tried_again() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let topic = bench.create("a", 1, 1 << 20);
    database.hold_durability(true);
    database.hold_segment(SegmentId { topic, number: 1 });
    let mut commit = bench.commit("a", &[(0, 1)]);
    let _append = bench.submit(topic, 0, batch(1, 100, 0));
    database.fail(Some(Call::Flush), 0, failure());
    bench.turn();
    assert_eq!(look(&mut commit), None);
    database.hold_durability(false);
    database.take_calls();
    bench.turn();
    assert!(database.take_calls().contains(&Call::Flush));
    assert_eq!(look(&mut commit), Some(Ok(())));
}

#[test]
fn a_fetch_sees_the_commits_before_it_and_no_later_one() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let _first = bench.commit("a", &[(0, 1)]);
    let fetch = bench.runner.storage().committed_offsets("a", bench.later());
    let _second = bench.commit("a", &[(0, 2)]);
    let seen = bench.run(fetch).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].2.offset, 1);
    assert_eq!(bench.committed("a"), [(0, 2)]);
}

#[test]
fn nothing_about_groups_is_answered_before_it_is_durable() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    database.hold_durability(true);
    let mut commit = bench.commit("a", &[(0, 1)]);
    let mut write = bench.write("a", 1);
    bench.turn();
    let mut fetch: Pending<_> = Box::pin(bench.runner.storage().committed_offsets("a", bench.later()));
    bench.turn();
    assert!(look(&mut commit).is_none() && look(&mut write).is_none() && look(&mut fetch).is_none());
    database.hold_durability(false);
    bench.turn();
    assert_eq!(look(&mut commit), Some(Ok(())));
    assert_eq!(look(&mut write), Some(Ok(())));
    assert_eq!(look(&mut fetch).unwrap().unwrap().len(), 1);
}

/// A row that a session has locked delays its commit alone; what is written of that commit is not written again over a later one.
#[test]
fn a_locked_offset_delays_nobody_else() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let mut first = bench.commit("a", &[(0, 1), (1, 1)]);
    bench.run(&mut first).unwrap();
    database.hold_offset(&key("a", 0), true);
    let mut locked = bench.commit("a", &[(0, 2), (1, 2)]);
    let mut other = bench.commit("b", &[(0, 5)]);
    bench.turn();
    assert_eq!(look(&mut other), Some(Ok(())));
    assert_eq!(look(&mut locked), None);
    let mut later = bench.commit("a", &[(1, 3)]);
    bench.turn();
    assert_eq!(look(&mut later), Some(Ok(())));
    assert_eq!(bench.committed("a"), [(0, 1), (1, 3)]);
    database.hold_offset(&key("a", 0), false);
    bench.run(&mut locked).unwrap();
    assert_eq!(bench.committed("a"), [(0, 2), (1, 3)]);
}

/// Jobs that are tried one by one stay in order: what one of them leaves, because of a lock that is gone by then, no later one overtakes.
#[test]
fn a_retry_one_by_one_keeps_the_order() {
    let busy = || EngineError::Busy("ordered".to_owned());
    let of_the_first = |lock: &str, database: &ModelDatabase| match lock {
        "row" => database.hold_offset_once(&key("a", 0)),
        "statement" => database.fail(Call::CommitOffsets, 1, busy()),
        _ => database.fail(Call::LockGroups, 1, busy()),
    };
    for lock in ["row", "statement", "tables"] {
        let database = ModelDatabase::default();
        let mut bench = Bench::open(&database);
        let [mut first, mut second] = [5, 6].map(|next| bench.commit("a", &[(0, next)]));
        let mut other = bench.commit("b", &[(0, 7)]);
        database.fail(Call::CommitOffsets, 0, failure());
        of_the_first(lock, &database);
        bench.turn();
        assert_eq!(look(&mut other), Some(Ok(())), "{lock}");
        bench.turn();
        assert_eq!((look(&mut first), look(&mut second)), (Some(Ok(())), Some(Ok(()))), "{lock}");
        assert_eq!(bench.committed("a"), [(0, 6)], "{lock}");
    }
}

/// Nor does a commit overtake what deletes offsets.
#[test]
fn a_retry_one_by_one_deletes_no_later_commit() {
    for first in ["deletion of the offset", "deletion of the group", "expiry"] {
        let database = ModelDatabase::default();
        let mut bench = Bench::open(&database);
        let mut before = bench.commit("a", &[(0, 1)]);
        bench.run(&mut before).unwrap();
        let (storage, later) = (bench.runner.storage(), bench.later());
        let mut deletion: Pending<()> = match first {
            "deletion of the offset" => Box::pin(storage.delete_offsets("a", vec![(TopicNumber(1), 0)], later)),
            "deletion of the group" => Box::pin(storage.write_group("a", GroupChange::Delete, later)),
            _ => {
                let expiry = Expiry {
                    group_id: "a".to_owned(),
                    committed_before_ms: i64::MAX,
                    kept_topics: vec![],
                    now_ms: 0,
                };
                let expired = storage.expire_offsets(expiry, later);
                Box::pin(async { expired.await.map(|_| ()) })
            }
        };
        let mut commit = bench.commit("a", &[(0, 2)]);
        database.fail(Call::Commit, 0, failure());
        database.fail(Call::LockGroups, 1, EngineError::Busy("ordered".to_owned()));
        bench.turn();
        bench.turn();
        assert_eq!(
            (look(&mut deletion), look(&mut commit)),
            (Some(Ok(())), Some(Ok(()))),
            "{first}"
        );
        assert_eq!(bench.committed("a"), [(0, 2)], "{first}");
    }
}

/// A deletion that met a lock is not done after a commit that was asked for behind it.
#[test]
fn no_commit_overtakes_a_deletion() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let mut before = bench.commit("a", &[(0, 1)]);
    bench.run(&mut before).unwrap();
    database.hold_offset_once(&key("a", 0));
    let storage = bench.runner.storage();
    let mut deletion: Pending<()> = Box::pin(storage.delete_offsets("a", vec![(TopicNumber(1), 0)], bench.later()));
    let mut commit = bench.commit("a", &[(0, 2)]);
    bench.turn();
    bench.turn();
    assert_eq!((look(&mut deletion), look(&mut commit)), (Some(Ok(())), Some(Ok(()))));
    assert_eq!(bench.committed("a"), [(0, 2)]);
}

#[test]
fn locked_groups_and_tables_are_waited_for_until_the_deadline() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    database.hold_group("a", true);
    let (mut held, mut free) = (bench.write("a", 1), bench.write("b", 1));
    assert_eq!(bench.turn(), Next::Sleep(super::super::SET_ASIDE_PAUSE));
    assert_eq!((look(&mut held), look(&mut free)), (None, Some(Ok(()))));
    database.hold_group("a", false);
    bench.turn();
    assert_eq!(look(&mut held), Some(Ok(())));

    database.hold_groups(true);
    let mut commit = bench.commit("a", &[(0, 1)]);
    let topic = bench.create("t", 1, MIB);
    assert_eq!(bench.append(topic, 0, batch(1, 100, 0)), Ok(0));
    assert_eq!(look(&mut commit), None);
    bench.now += Duration::from_secs(60);
    bench.turn();
    assert_eq!(look(&mut commit), Some(Err(StorageError::TimedOut)));
    database.hold_groups(false);
    assert_eq!(bench.committed("a"), []);
}

#[test]
fn a_failure_fails_its_own_job_only() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let mut bad = bench.write("bad", 1);
    let mut good = bench.write("good", 1);
    let mut commit = bench.commit("good", &[(0, 1)]);
    // The first attempt, with all three, and the second, of the first alone.
    database.fail(Call::WriteGroups, 0, failure());
    database.fail(Call::WriteGroups, 1, failure());
    bench.turn();
    assert_eq!(look(&mut bad), Some(Err(StorageError::Engine(failure()))));
    assert_eq!(look(&mut good), Some(Ok(())));
    assert_eq!(look(&mut commit), Some(Ok(())));
    let load = bench.runner.storage().load_groups(None, bench.later());
    let loaded = bench.run(load).unwrap();
    assert_eq!(loaded.iter().map(|group| &group.group_id[..]).collect::<Vec<_>>(), ["good"]);
}

#[test]
fn too_little_free_disk_refuses_commits_and_no_fetch() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let mut before = bench.commit("a", &[(0, 1)]);
    bench.run(&mut before).unwrap();
    let full = FreeSpace {
        place: "the data directory",
        bytes: 0,
    };
    let now = bench.now;
    bench.runner.disk_measured(&[full], now);
    let mut refused = bench.commit("a", &[(0, 2)]);
    bench.turn();
    assert_eq!(look(&mut refused), Some(Err(StorageError::DiskFull)));
    assert_eq!(bench.committed("a"), [(0, 1)]);
}

#[test]
fn many_jobs_are_done_in_several_transactions() {
    let database = ModelDatabase::default();
    let mut bench = Bench::open(&database);
    let count = GROUP_JOBS_PER_TURN + 1;
    let mut replies: Vec<_> = (0..count).map(|n| bench.commit("a", &[(0, n as i64)])).collect();
    assert_eq!(bench.turn(), Next::Again);
    assert_eq!(look(&mut replies[count - 1]), None);
    bench.turn();
    assert!(replies.iter_mut().all(|reply| look(reply) == Some(Ok(()))));
    assert_eq!(bench.committed("a"), [(0, count as i64 - 1)]);

    // As many jobs that cannot be done keep nobody else waiting.
    database.hold_offset(&key("a", 0), true);
    let mut stuck: Vec<_> = (0..count).map(|n| bench.commit("a", &[(0, n as i64)])).collect();
    bench.turn();
    let mut other = bench.commit("b", &[(0, 1)]);
    bench.turn();
    assert_eq!(look(&mut other), Some(Ok(())));
    database.hold_offset(&key("a", 0), false);
    bench.turn();
    bench.turn();
    assert!(stuck.iter_mut().all(|reply| look(reply) == Some(Ok(()))));
    assert_eq!(bench.committed("a"), [(0, count as i64 - 1)]);
}
