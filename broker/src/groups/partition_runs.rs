//! Partitions in JSON: as runs of numbers that follow each other, because a member of a large topic may have a thousand of them, and every
//! change of it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// The first and the last of each run, in the order in which they come.
pub(super) fn runs(partitions: impl IntoIterator<Item = i32>) -> Vec<(i32, i32)> {
    let alike = partitions.into_iter().map(|partition| (partition, ()));
    runs_alike(alike).into_iter().map(|(first, last, ())| (first, last)).collect()
}

/// The same of partitions that have something to them; a run is of what is alike.
fn runs_alike<T: PartialEq + Copy>(partitions: impl IntoIterator<Item = (i32, T)>) -> Vec<(i32, i32, T)> {
    let mut runs: Vec<(i32, i32, T)> = Vec::new();
    for (partition, value) in partitions {
        match runs.last_mut() {
            Some((_, last, of)) if last.checked_add(1) == Some(partition) && *of == value => *last = partition,
            _ => runs.push((partition, partition, value)),
        }
    }
    runs
}

/// For `#[serde(with = ...)]` of [`super::consumer`]'s `Partitions`.
pub(super) mod sets {
    use super::*;
    use crate::groups::consumer::Partitions;

    pub(in crate::groups) fn serialize<S: Serializer>(partitions: &Partitions, serializer: S) -> Result<S::Ok, S::Error> {
        let by_topic = partitions.iter().map(|(topic, set)| (topic, runs(set.iter().copied())));
        by_topic.collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub(in crate::groups) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Partitions, D::Error> {
        let by_topic = BTreeMap::<Uuid, Vec<(i32, i32)>>::deserialize(deserializer)?;
        let sets = by_topic.into_iter().map(|(topic, runs)| {
            let partitions = runs.into_iter().flat_map(|(first, last)| first..=last);
            (topic, partitions.collect())
        });
        Ok(sets.collect())
    }
}

/// For `#[serde(with = ...)]` of [`super::consumer`]'s `AssignedPartitions`.
pub(super) mod assigned {
    use super::*;
    use crate::groups::consumer::AssignedPartitions;

    pub(in crate::groups) fn serialize<S: Serializer>(assigned: &AssignedPartitions, serializer: S) -> Result<S::Ok, S::Error> {
        let by_topic = assigned.iter().map(|(topic, partitions)| {
            let partitions = partitions.iter().map(|(partition, epoch)| (*partition, *epoch));
            (topic, runs_alike(partitions))
        });
        by_topic.collect::<BTreeMap<_, _>>().serialize(serializer)
    }

    pub(in crate::groups) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AssignedPartitions, D::Error> {
        let by_topic = BTreeMap::<Uuid, Vec<(i32, i32, i32)>>::deserialize(deserializer)?;
        let maps = by_topic.into_iter().map(|(topic, runs)| {
            let partitions = runs
                .into_iter()
                .flat_map(|(first, last, epoch)| (first..=last).map(move |partition| (partition, epoch)));
            (topic, partitions.collect())
        });
        Ok(maps.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::consumer::{AssignedPartitions, Partitions};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Stored {
        #[serde(with = "super::sets")]
        target: Partitions,
        #[serde(with = "super::assigned")]
        assigned: AssignedPartitions,
    }

    #[test]
    fn runs_are_of_numbers_that_follow_each_other() {
        assert_eq!(runs([]), []);
        assert_eq!(runs([3]), [(3, 3)]);
        assert_eq!(runs([0, 1, 2, 5, 7, 8]), [(0, 2), (5, 5), (7, 8)]);
        assert_eq!(runs([2, 1, 1]), [(2, 2), (1, 1), (1, 1)]);
        assert_eq!(runs([i32::MAX, i32::MIN]), [(i32::MAX, i32::MAX), (i32::MIN, i32::MIN)]);
    }

    #[test]
    fn partitions_come_back_from_their_runs() {
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let stored = Stored {
            target: [(one, [0, 1, 2, 9].into()), (other, [].into())].into(),
            assigned: [(one, (0..1000).map(|partition| (partition, partition / 500)).collect())].into(),
        };
        let json = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<Stored>(&json).unwrap(), stored);
        assert!(
            json.contains("[[0,2],[9,9]]") && json.contains("[[0,499,0],[500,999,1]]"),
            "{json}"
        );
    }
}
