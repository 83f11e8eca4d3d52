//! Whether partitions may be added to a topic (Kafka `ReplicationControlManager.createPartitions`). Pure: CreatePartitions and
//! `kafka.add_partitions` of SQL ask the same question here.

use kafka_protocol::ResponseError;

use super::assignment::{check_replicas, AssignmentError};
use crate::limits;

/// Why partitions may not be added. The text is what the client sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// As many are there as were asked for.
    #[error("Topic already has {0} partition(s).")]
    Equal(i32),
    /// More are there than were asked for.
    #[error("The topic {topic} currently has {current} partition(s); {wanted} would not be an increase.")]
    Fewer {
        /// The topic.
        topic: String,
        /// How many it has.
        current: i32,
        /// How many it was to have.
        wanted: i32,
    },
    /// Another number of assignments than of partitions to add.
    #[error("Attempted to add {added} additional partition(s), but only {assigned} assignment(s) were specified.")]
    Assignments {
        /// Partitions to add.
        added: i32,
        /// Assignments given.
        assigned: usize,
    },
    /// Assignments that cannot be.
    #[error(transparent)]
    Assignment(#[from] AssignmentError),
    /// More than [`limits::PARTITIONS_PER_CREATE`].
    #[error("Excessively large number of partitions per request.")]
    TooMany,
}

impl AddError {
    /// The error code for clients.
    pub fn code(&self) -> ResponseError {
        match self {
            AddError::Equal(_) | AddError::Fewer { .. } => ResponseError::InvalidPartitions,
            AddError::Assignments { .. } | AddError::Assignment(_) => ResponseError::InvalidReplicaAssignment,
            AddError::TooMany => ResponseError::PolicyViolation,
        }
    }
}

/// How many partitions a topic that has `current` gets to have `wanted`.
///
/// # Errors
/// [`AddError::Equal`], [`AddError::Fewer`].
pub fn check_count(topic: &str, current: i32, wanted: i32) -> Result<i32, AddError> {
    if wanted == current {
        return Err(AddError::Equal(current));
    }
    if wanted < current {
        return Err(AddError::Fewer {
            topic: topic.to_owned(),
            current,
            wanted,
        });
    }
    Ok(wanted - current)
}

/// Whether the brokers given for each of `added` partitions are this one.
///
/// # Errors
/// [`AddError::Assignments`], [`AddError::Assignment`].
pub fn check_assignments(assignments: &[Vec<i32>], added: i32, node_id: i32) -> Result<(), AddError> {
    if usize::try_from(added) != Ok(assignments.len()) {
        return Err(AddError::Assignments {
            added,
            assigned: assignments.len(),
        });
    }
    for brokers in assignments {
        check_replicas(brokers, node_id)?;
    }
    Ok(())
}

/// Whether the partitions that one request adds to all its topics stay within [`limits::PARTITIONS_PER_CREATE`]; if not, none is added.
///
/// # Errors
/// [`AddError::TooMany`].
pub fn check_total(added: impl IntoIterator<Item = i32>) -> Result<(), AddError> {
    let total: i64 = added.into_iter().map(i64::from).sum();
    if total > limits::PARTITIONS_PER_CREATE as i64 {
        return Err(AddError::TooMany);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_increase_is_granted() {
        assert_eq!(check_count("t", 3, 5), Ok(2));
        assert_eq!(check_count("t", 3, 3), Err(AddError::Equal(3)));
        for wanted in [2, 0, -1, i32::MIN] {
            let error = check_count("t", 3, wanted).unwrap_err();
            assert_eq!(error.code().code(), 37);
            let text = format!("The topic t currently has 3 partition(s); {wanted} would not be an increase.");
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn assignments_are_one_per_added_partition_and_name_this_node() {
        assert_eq!(check_assignments(&[vec![7], vec![7]], 2, 7), Ok(()));
        for wrong in [
            &[vec![7]][..],
            &[vec![7], vec![8]],
            &[vec![7], vec![]],
            &[vec![7], vec![7, 7]],
        ] {
            assert_eq!(check_assignments(wrong, 2, 7).unwrap_err().code().code(), 39, "{wrong:?}");
        }
    }

    #[test]
    fn a_request_has_a_limit_of_partitions() {
        assert_eq!(check_total([9_999, 1]), Ok(()));
        let error = check_total([i32::MAX, i32::MAX]).unwrap_err();
        assert_eq!(error.code().code(), 44);
    }
}
