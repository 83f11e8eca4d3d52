//! Replicas that a client names itself (Kafka `ReplicationControlManager.validateManualPartitionAssignment`). There is one broker, so that
//! only a list of it alone is granted.

/// Why a list of replicas may not be: INVALID_REPLICA_ASSIGNMENT (39). The text is what the client sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentError {
    /// No brokers.
    #[error("The manual partition assignment includes an empty replica list.")]
    Empty,
    /// A broker that does not exist.
    #[error("The manual partition assignment includes broker {0}, but no such broker is registered.")]
    UnknownBroker(i32),
    /// A broker that is named more than once.
    #[error("The manual partition assignment includes the broker {0} more than once.")]
    Repeated(i32),
}

/// Whether a partition may be placed on these brokers; `node_id` is the only one that there is.
///
/// # Errors
/// [`AssignmentError`] of the lowest broker id that is wrong.
pub fn check_replicas(brokers: &[i32], node_id: i32) -> Result<(), AssignmentError> {
    if brokers.is_empty() {
        return Err(AssignmentError::Empty);
    }
    let mut sorted = brokers.to_vec();
    sorted.sort_unstable();
    let mut previous = None;
    for broker in sorted {
        if broker != node_id {
            return Err(AssignmentError::UnknownBroker(broker));
        }
        if previous == Some(broker) {
            return Err(AssignmentError::Repeated(broker));
        }
        previous = Some(broker);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_node_alone_is_granted() {
        assert_eq!(check_replicas(&[7], 7), Ok(()));
        assert_eq!(check_replicas(&[], 7), Err(AssignmentError::Empty));
        assert_eq!(check_replicas(&[8, 7, 7], 7), Err(AssignmentError::Repeated(7)));
        assert_eq!(check_replicas(&[7, 6, 8], 7), Err(AssignmentError::UnknownBroker(6)));
    }
}
