//! What the members of a group said, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A line of a member (src/bin/group_member.rs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// These partitions are its own from now on.
    Assigned(Vec<i32>),
    /// They are not any more.
    Revoked(Vec<i32>),
    /// It read the record of this value.
    Record { partition: i32, offset: i64, value: u64 },
    /// Everything below this offset is committed.
    Committed { partition: i32, offset: i64 },
    /// Errors, commits that were refused, the end.
    Other(String),
}

/// A line, when it was said and by which member.
#[derive(Debug, Clone)]
pub struct Event {
    /// Nanoseconds since 1970, by the one clock of the machine.
    pub at: u128,
    /// Number of the member, in the order in which they were started.
    pub member: usize,
    /// What it said.
    pub said: Said,
}

impl Event {
    /// Reads a line.
    pub fn parse(member: usize, line: &str) -> Event {
        let mut words = line.split(' ');
        let at = words.next().and_then(|word| word.parse().ok());
        let at = at.unwrap_or_else(|| panic!("member {member} said {line:?}"));
        let kind = words.next().unwrap_or_default();
        let numbers: Vec<i64> = words.map_while(|word| word.parse().ok()).collect();
        let partitions = || numbers.iter().map(|n| *n as i32).collect();
        let said = match (kind, numbers.as_slice()) {
            ("assigned", _) => Said::Assigned(partitions()),
            ("revoked", _) => Said::Revoked(partitions()),
            ("record", [partition, offset, value]) => Said::Record {
                partition: *partition as i32,
                offset: *offset,
                value: *value as u64,
            },
            ("committed", [partition, offset]) => Said::Committed {
                partition: *partition as i32,
                offset: *offset,
            },
            _ => Said::Other(line.to_owned()),
        };
        Event { at, member, said }
    }
}

/// What each of these members owns after these events.
pub fn owned(events: &[Event], members: &[usize]) -> BTreeMap<usize, BTreeSet<i32>> {
    let mut owned: BTreeMap<usize, BTreeSet<i32>> = members.iter().map(|member| (*member, BTreeSet::new())).collect();
    for event in events {
        let Some(partitions) = owned.get_mut(&event.member) else {
            continue;
        };
        match &event.said {
            Said::Assigned(more) => partitions.extend(more),
            Said::Revoked(less) => partitions.retain(|partition| !less.contains(partition)),
            _ => {}
        }
    }
    owned
}

/// The values that the group has read.
pub fn values(events: &[Event]) -> BTreeSet<u64> {
    let value = |event: &Event| match event.said {
        Said::Record { value, .. } => Some(value),
        _ => None,
    };
    events.iter().filter_map(value).collect()
}

/// What was said of a partition, but for its records, and of everything that went wrong.
fn told_of(partition: i32, events: &[Event]) -> String {
    let of_it = |event: &&Event| match &event.said {
        Said::Assigned(partitions) | Said::Revoked(partitions) => partitions.contains(&partition),
        Said::Committed { partition: of, .. } => *of == partition,
        Said::Record { .. } => false,
        Said::Other(_) => true,
    };
    let lines = events.iter().filter(of_it);
    let lines: Vec<String> = lines
        .map(|event| format!("{} member {} {:?}", event.at, event.member, event.said))
        .collect();
    lines.join("\n")
}

/// Panics if a member read a record again that had been committed before the member got the partition.
pub fn assert_committed_is_not_read_again(events: &[Event]) {
    let mut events = events.to_vec();
    events.sort_by_key(|event| event.at);
    let mut committed: HashMap<i32, i64> = HashMap::new();
    // Where each member must begin: what was committed when it got the partition.
    let mut begins: HashMap<(usize, i32), i64> = HashMap::new();
    for event in &events {
        match &event.said {
            Said::Assigned(partitions) => {
                for partition in partitions {
                    let offset = committed.get(partition).copied().unwrap_or(0);
                    begins.insert((event.member, *partition), offset);
                }
            }
            Said::Committed { partition, offset } => {
                committed.insert(*partition, *offset);
            }
            Said::Record { partition, offset, .. } => {
                let begin = begins.get(&(event.member, *partition));
                let begin = begin.unwrap_or_else(|| panic!("member {} reads {partition} without having it", event.member));
                assert!(
                    offset >= begin,
                    "member {} read offset {offset} of partition {partition} at {}, of which {begin} was committed when it got it:\n{}",
                    event.member,
                    event.at,
                    told_of(*partition, &events)
                );
            }
            Said::Revoked(_) | Said::Other(_) => {}
        }
    }
}

/// The checker finds what it is there for.
#[test]
fn a_record_that_was_committed_is_found() {
    let lines = |second: &str| {
        let first = ["1 assigned 0", "2 record 0 0 7", "3 committed 0 1", "4 revoked 0"];
        let mut events: Vec<Event> = first.iter().map(|line| Event::parse(0, line)).collect();
        events.extend(["5 assigned 0", second].map(|line| Event::parse(1, line)));
        events
    };
    assert_committed_is_not_read_again(&lines("6 record 0 1 8"));
    let again = std::panic::catch_unwind(|| assert_committed_is_not_read_again(&lines("6 record 0 0 7")));
    assert!(again.is_err());
    let good = lines("6 record 0 1 8");
    assert_eq!(values(&good), BTreeSet::from([7, 8]));
    assert_eq!(
        owned(&good, &[0, 1]),
        BTreeMap::from([(0, BTreeSet::new()), (1, BTreeSet::from([0]))])
    );
}
