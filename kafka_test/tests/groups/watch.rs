//! What the broker says of a group while members come and go: who owns what, and how long it rebalances.

use kafka_protocol::messages::describe_groups_response::DescribedGroupMember;
use kafka_protocol::messages::{ConsumerGroupDescribeRequest, ConsumerProtocolAssignment};
use kafka_protocol::protocol::Decodable;
use kafka_test::connection::Connection;
use kafka_test::groups::{describe, group_id};
use kafka_test::server::Server;
use std::collections::BTreeMap;
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(20);
/// The newest version of ConsumerGroupDescribe.
const CONSUMER_GROUP_DESCRIBE: i16 = 1;

/// A group as it was described for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Its state.
    pub state: String,
    /// Its epoch; -1 of a classic group, whose generation is not told.
    pub epoch: i32,
    /// What each member has; of a classic group only while it is stable.
    pub owned: BTreeMap<String, Vec<i32>>,
}

impl Sight {
    fn is_rebalancing(&self) -> bool {
        !matches!(self.state.as_str(), "Stable" | "Empty" | "Dead")
    }

    /// Whether this state of a rebalance is not the first of another one than `before` was in.
    fn goes_on_from(&self, before: &Sight) -> bool {
        let again = before.state == "CompletingRebalance" && self.state == "PreparingRebalance";
        self.is_rebalancing() && before.is_rebalancing() && self.epoch == before.epoch && !again
    }

    /// A partition that two members have.
    fn two_owners(&self) -> Option<i32> {
        let mut all: Vec<i32> = self.owned.values().flatten().copied().collect();
        all.sort_unstable();
        all.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }
}

/// What was seen first and last at these times.
type Seen = (Sight, Instant, Instant);

/// Looks at a group again and again, in a thread of its own.
pub struct Watch {
    ending: Sender<()>,
    thread: JoinHandle<Vec<Seen>>,
}

impl Watch {
    /// Begins with a group that need not exist, of the consumer protocol or a classic one.
    pub fn begin(server: &'static Server, group: &str, is_consumer: bool) -> Watch {
        let (ending, told) = channel();
        let group = group.to_owned();
        let look = if is_consumer { consumer_group } else { classic_group };
        let thread = std::thread::spawn(move || {
            let mut connection = server.connect();
            let mut seen: Vec<Seen> = Vec::new();
            while told.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let Some(sight) = look(&mut connection, &group) else {
                    continue;
                };
                let now = Instant::now();
                match seen.last_mut().filter(|(last, ..)| *last == sight) {
                    Some((.., until)) => *until = now,
                    None => seen.push((sight, now, now)),
                }
            }
            seen
        });
        Watch { ending, thread }
    }

    /// Ends it and checks what was seen: each partition had one owner at a time, all of them had one at some time, and each rebalance
    /// took no longer than this.
    pub fn check(self, partitions: usize, longest: Duration) {
        drop(self.ending);
        let seen = self.thread.join().expect("the group is described");
        for (sight, ..) in &seen {
            assert_eq!(sight.two_owners(), None, "a partition with two owners: {sight:?}");
        }
        let owned = |sight: &Sight| sight.owned.values().map(Vec::len).sum::<usize>();
        assert!(seen.iter().any(|(sight, ..)| owned(sight) == partitions), "{seen:?}");
        let rebalances = rebalances(&seen);
        let took = rebalances.iter().max().copied().unwrap_or_default();
        assert!(took <= longest, "a rebalance took {took:?}, not {longest:?}: {seen:?}");
    }
}

/// How long each rebalance was seen.
fn rebalances(seen: &[Seen]) -> Vec<Duration> {
    let mut found: Vec<(Instant, Instant)> = Vec::new();
    let mut before: Option<&Sight> = None;
    for (sight, from, until) in seen {
        let goes_on = before.is_some_and(|before| sight.goes_on_from(before));
        match found.last_mut().filter(|_| goes_on) {
            Some((_, end)) => *end = *until,
            None if sight.is_rebalancing() => found.push((*from, *until)),
            None => {}
        }
        before = Some(sight);
    }
    found.iter().map(|(from, until)| *until - *from).collect()
}

fn consumer_group(connection: &mut Connection, group: &str) -> Option<Sight> {
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id(group)]);
    let found = connection.call(CONSUMER_GROUP_DESCRIBE, &request).groups.remove(0);
    let members = found.members.into_iter().map(|member| {
        let topics = member.assignment.topic_partitions.into_iter();
        (
            member.member_id.to_string(),
            topics.flat_map(|topic| topic.partitions).collect(),
        )
    });
    (found.error_code == 0).then(|| Sight {
        state: found.group_state.to_string(),
        epoch: found.group_epoch,
        owned: members.collect(),
    })
}

fn classic_group(connection: &mut Connection, group: &str) -> Option<Sight> {
    let found = describe(connection, group);
    let members = found.members.into_iter();
    (found.error_code == 0).then(|| Sight {
        state: found.group_state.to_string(),
        epoch: -1,
        owned: members
            .map(|member| (member.member_id.to_string(), partitions_of(&member)))
            .collect(),
    })
}

/// What the leader of a classic group gave to a member.
fn partitions_of(member: &DescribedGroupMember) -> Vec<i32> {
    let mut bytes = member.member_assignment.clone();
    let Some((version, _)) = bytes.split_first_chunk() else {
        return Vec::new();
    };
    let version = i16::from_be_bytes(*version);
    drop(bytes.split_to(2));
    let assignment = ConsumerProtocolAssignment::decode(&mut bytes, version).expect("an assignment of a consumer");
    let topics = assignment.assigned_partitions.into_iter();
    topics.flat_map(|topic| topic.partitions).collect()
}

/// The checker finds what it is there for: two owners, and a rebalance's length, up to where the next begins.
#[test]
fn two_owners_and_long_rebalances_are_found() {
    let start = Instant::now();
    let sight = |state: &str, epoch, owned: &[&[i32]]| Sight {
        state: state.to_owned(),
        epoch,
        owned: owned
            .iter()
            .enumerate()
            .map(|(id, owned)| (id.to_string(), owned.to_vec()))
            .collect(),
    };
    assert_eq!(sight("Stable", 1, &[&[0, 2], &[1]]).two_owners(), None);
    assert_eq!(sight("Stable", 1, &[&[0, 2], &[1, 2]]).two_owners(), Some(2));
    let took = |states: &[(&str, i32)]| {
        let seen = (0..).zip(states).map(|(second, (state, epoch))| {
            let at = |seconds| start + Duration::from_secs(seconds);
            (sight(state, *epoch, &[]), at(second), at(second + 1))
        });
        let took = rebalances(&seen.collect::<Vec<_>>());
        took.iter().map(Duration::as_secs).collect::<Vec<_>>()
    };
    let (preparing, completing) = (("PreparingRebalance", -1), ("CompletingRebalance", -1));
    assert_eq!(
        took(&[("Stable", -1), preparing, completing, ("Stable", -1), preparing]),
        [2, 1]
    );
    assert_eq!(took(&[preparing, completing, preparing, completing]), [2, 2]);
    let reconciling = |epoch| ("Reconciling", epoch);
    assert_eq!(
        took(&[("Assigning", 1), reconciling(1), reconciling(2), ("Empty", 3)]),
        [2, 1]
    );
}
