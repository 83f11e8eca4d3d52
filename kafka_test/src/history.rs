//! What must hold between what producers were told and what the log holds, whatever was killed meanwhile. Pure: no clients, no clock.
//!
//! The invariants are those of Jepsen's Kafka workload that a log without transactions has: nothing lost, nothing twice, nothing
//! foreign, offsets dense, the order of each producer kept.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Name of the topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
}

/// What a producer was told about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Written, at this offset.
    Acknowledged(i64),
    /// Surely not written.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// One value that a producer sent once. Values are unique over a history, and each producer's ascend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Who sent it.
    pub producer: usize,
    /// The value.
    pub value: u64,
    /// Where it was sent to.
    pub place: Place,
    /// What became of it.
    pub outcome: Outcome,
}

/// A record as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Its offset.
    pub offset: i64,
    /// Its value.
    pub value: u64,
}

/// What each partition holds, as read from its beginning to its end.
pub type Logs = BTreeMap<Place, Vec<Read>>;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A partition's offsets are not 0, 1, 2, ...: this one stands where `expected` should.
    NotDense {
        /// Where.
        place: Place,
        /// The offset that should follow.
        expected: i64,
        /// The offset that does.
        found: i64,
    },
    /// A value stands at two offsets.
    Twice {
        /// The value.
        value: u64,
        /// Where first, and at which offset.
        first: (Place, i64),
        /// Where again.
        second: (Place, i64),
    },
    /// A value that nobody sent.
    Foreign {
        /// Where.
        place: Place,
        /// What was read.
        read: Read,
    },
    /// A value in another partition than it was sent to.
    Strayed {
        /// The value.
        value: u64,
        /// Where it was sent.
        sent_to: Place,
        /// Where it is.
        found_in: Place,
    },
    /// An acknowledged value that nobody can read.
    Lost {
        /// What was told.
        attempt: Attempt,
    },
    /// An acknowledged value at another offset than was told.
    Moved {
        /// What was told.
        attempt: Attempt,
        /// Where it is.
        found: i64,
    },
    /// A value that surely was not written is there.
    WrittenAfterAll {
        /// What was told.
        attempt: Attempt,
        /// Where it is.
        found: i64,
    },
    /// Acknowledged values of one producer stand in another order than they were sent in.
    OutOfOrder {
        /// Who.
        producer: usize,
        /// Where.
        place: Place,
        /// The value sent first, and its offset.
        earlier: (u64, i64),
        /// The value sent later, and its smaller offset.
        later: (u64, i64),
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Everything about these attempts and logs that must not be; empty if all is well.
pub fn violations(attempts: &[Attempt], logs: &Logs) -> Vec<Violation> {
    let mut found = sparse_offsets(logs);
    let (stands, mut twice) = index(logs);
    found.append(&mut twice);
    found.extend(not_as_told(attempts, &stands));
    found.extend(never_sent(attempts, logs));
    found.extend(out_of_order(attempts));
    found
}

/// Reads that contradict the log: what a consumer saw while things were killed must be there at the end as well.
pub fn not_in_log(seen: &Logs, logs: &Logs) -> Vec<(Place, Read)> {
    let stands = |place: &Place, read: &Read| {
        usize::try_from(read.offset)
            .ok()
            .and_then(|at| logs.get(place)?.get(at))
            .is_some_and(|there| there == read)
    };
    let reads = seen
        .iter()
        .flat_map(|(place, reads)| reads.iter().map(move |read| (place, read)));
    reads
        .filter(|(place, read)| !stands(place, read))
        .map(|(place, read)| (place.clone(), *read))
        .collect()
}

fn sparse_offsets(logs: &Logs) -> Vec<Violation> {
    let mut found = Vec::new();
    for (place, reads) in logs {
        let mut expected = 0;
        for read in reads {
            if read.offset != expected {
                found.push(Violation::NotDense {
                    place: place.clone(),
                    expected,
                    found: read.offset,
                });
            }
            expected = read.offset + 1;
        }
    }
    found
}

type Stands<'a> = HashMap<u64, (&'a Place, i64)>;

/// Where each value stands first, and what stands more than once.
fn index(logs: &Logs) -> (Stands<'_>, Vec<Violation>) {
    let mut stands = Stands::new();
    let mut twice = Vec::new();
    for (place, reads) in logs {
        for read in reads {
            match stands.get(&read.value) {
                Some((first_place, first_offset)) => twice.push(Violation::Twice {
                    value: read.value,
                    first: ((*first_place).clone(), *first_offset),
                    second: (place.clone(), read.offset),
                }),
                None => drop(stands.insert(read.value, (place, read.offset))),
            }
        }
    }
    (stands, twice)
}

fn not_as_told(attempts: &[Attempt], stands: &Stands<'_>) -> Vec<Violation> {
    let mut found = Vec::new();
    for attempt in attempts {
        let stand = stands.get(&attempt.value);
        if let Some((place, _)) = stand.filter(|(place, _)| **place != attempt.place) {
            found.push(Violation::Strayed {
                value: attempt.value,
                sent_to: attempt.place.clone(),
                found_in: (*place).clone(),
            });
            continue;
        }
        let attempt = attempt.clone();
        match (attempt.outcome, stand) {
            (Outcome::Acknowledged(_), None) => found.push(Violation::Lost { attempt }),
            (Outcome::Acknowledged(told), Some((_, at))) if told != *at => found.push(Violation::Moved { attempt, found: *at }),
            (Outcome::Failed, Some((_, at))) => found.push(Violation::WrittenAfterAll { attempt, found: *at }),
            _ => {}
        }
    }
    found
}

fn never_sent(attempts: &[Attempt], logs: &Logs) -> Vec<Violation> {
    let sent: std::collections::HashSet<u64> = attempts.iter().map(|attempt| attempt.value).collect();
    let reads = logs
        .iter()
        .flat_map(|(place, reads)| reads.iter().map(move |read| (place, read)));
    reads
        .filter(|(_, read)| !sent.contains(&read.value))
        .map(|(place, read)| Violation::Foreign {
            place: place.clone(),
            read: *read,
        })
        .collect()
}

fn out_of_order(attempts: &[Attempt]) -> Vec<Violation> {
    let mut acknowledged: BTreeMap<(usize, &Place), Vec<(u64, i64)>> = BTreeMap::new();
    for attempt in attempts {
        if let Outcome::Acknowledged(offset) = attempt.outcome {
            let told = acknowledged.entry((attempt.producer, &attempt.place)).or_default();
            told.push((attempt.value, offset));
        }
    }
    let mut found = Vec::new();
    for ((producer, place), mut told) in acknowledged {
        told.sort_unstable();
        for pair in told.windows(2).filter(|pair| pair[0].1 >= pair[1].1) {
            found.push(Violation::OutOfOrder {
                producer,
                place: place.clone(),
                earlier: pair[0],
                later: pair[1],
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> Place {
        Place {
            topic: "t".into(),
            partition,
        }
    }

    fn attempt(value: u64, outcome: Outcome) -> Attempt {
        Attempt {
            producer: 1,
            value,
            place: place(0),
            outcome,
        }
    }

    fn log(partition: i32, reads: &[(i64, u64)]) -> Logs {
        let reads = reads.iter().map(|&(offset, value)| Read { offset, value }).collect();
        Logs::from([(place(partition), reads)])
    }

    fn names(attempts: &[Attempt], logs: &Logs) -> Vec<String> {
        let name = |v: &Violation| v.to_string().split([' ', '{']).next().unwrap().to_owned();
        violations(attempts, logs).iter().map(name).collect()
    }

    use Outcome::{Acknowledged, Failed, Unknown};

    /// A history in which everything is as it may be: acknowledged values where they were told, unknown ones there or not.
    #[test]
    fn a_sound_history_has_no_violation() {
        let attempts = [
            attempt(10, Acknowledged(0)),
            attempt(11, Unknown),
            attempt(12, Unknown),
            attempt(13, Failed),
            attempt(14, Acknowledged(2)),
        ];
        assert_eq!(names(&attempts, &log(0, &[(0, 10), (1, 12), (2, 14)])), [""; 0]);
        assert_eq!(names(&[], &Logs::new()), [""; 0]);
    }

    /// Each kind of damage is found, and only that.
    #[test]
    fn each_violation_is_found() {
        let one = [attempt(10, Acknowledged(0))];
        let cases: [(&[Attempt], Logs, &[&str]); 9] = [
            (&one, Logs::new(), &["Lost"]),
            (&one, log(0, &[(0, 10), (1, 10)]), &["Twice"]),
            (&[attempt(10, Unknown)], log(0, &[(0, 10), (1, 10)]), &["Twice"]),
            (&[attempt(10, Acknowledged(1))], log(0, &[(0, 10)]), &["Moved"]),
            (&[attempt(10, Failed)], log(0, &[(0, 10)]), &["WrittenAfterAll"]),
            (&[attempt(10, Unknown)], log(0, &[(1, 10)]), &["NotDense"]),
            (&one, log(0, &[(0, 10), (1, 11)]), &["Foreign"]),
            (&one, log(1, &[(0, 10)]), &["Strayed"]),
            (
                &[attempt(10, Acknowledged(1)), attempt(11, Acknowledged(0))],
                log(0, &[(0, 11), (1, 10)]),
                &["OutOfOrder"],
            ),
        ];
        for (attempts, logs, expected) in cases {
            assert_eq!(names(attempts, &logs), expected, "{attempts:?} {logs:?}");
        }
    }

    /// One offset that is acknowledged to two values is found, because one of them is not there.
    #[test]
    fn one_offset_for_two_values_is_found() {
        let attempts = [attempt(10, Acknowledged(0)), attempt(11, Acknowledged(0))];
        assert_eq!(names(&attempts, &log(0, &[(0, 10)])), ["Lost", "OutOfOrder"]);
    }

    /// A read that the log does not confirm is found: another value at its offset, or nothing there.
    #[test]
    fn reads_are_held_against_the_log() {
        let end = log(0, &[(0, 10), (1, 11)]);
        assert_eq!(not_in_log(&log(0, &[(0, 10), (1, 11)]), &end), []);
        for wrong in [(1, 12), (2, 11), (-1, 10)] {
            assert_eq!(not_in_log(&log(0, &[wrong]), &end).len(), 1, "{wrong:?}");
        }
        assert_eq!(not_in_log(&log(1, &[(0, 10)]), &end).len(), 1);
    }
}
