//! The leader epochs of a partition (Kafka's `LeaderEpochFileCache`): which epoch began at which offset.

use kafka_protocol::ResponseError;

/// See the module's head. Never empty: the current epoch is always the last entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochHistory {
    starts: Vec<(i32, i64)>,
}

impl EpochHistory {
    /// `stored` ascending (epoch, start offset); `current` begins at `end_offset` unless it is stored already.
    pub fn new(stored: &[(i32, i64)], current: i32, end_offset: i64) -> Self {
        let mut starts: Vec<_> = stored
            .iter()
            .copied()
            .filter(|(epoch, start)| *epoch < current && *start < end_offset)
            .collect();
        starts.push((current, end_offset));
        EpochHistory { starts }
    }

    /// (largest epoch not above `requested`, offset at which the next larger one begins): the current epoch ends at `log_end_offset`;
    /// above it (-1, -1); below the first (requested, start of the first).
    pub fn end_offset_for(&self, requested: i32, log_end_offset: i64) -> (i32, i64) {
        let next = self.starts.partition_point(|(epoch, _)| *epoch <= requested);
        match (next.checked_sub(1).map(|floor| self.starts[floor]), self.starts.get(next)) {
            (Some((epoch, _)), None) if epoch == requested => (epoch, log_end_offset),
            (_, None) => (-1, -1),
            (Some((epoch, _)), Some((_, start))) => (epoch, *start),
            (None, Some((_, start))) => (requested, *start),
        }
    }

    /// The epoch in which `offset` was written, or would be.
    pub fn epoch_of(&self, offset: i64) -> i32 {
        let next = self.starts.partition_point(|(_, start)| *start <= offset).max(1);
        self.starts[next - 1].0
    }
}

/// The check of a client's idea of the leader epoch (KIP-320): -1 is none.
///
/// # Errors
/// FENCED_LEADER_EPOCH (74) below the current one, UNKNOWN_LEADER_EPOCH (75) above.
pub fn check_epoch(requested: i32, current: i32) -> Result<(), ResponseError> {
    match requested {
        -1 => Ok(()),
        epoch if epoch < current => Err(ResponseError::FencedLeaderEpoch),
        epoch if epoch > current => Err(ResponseError::UnknownLeaderEpoch),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_that_a_client_knows_is_checked_as_kafka_does() {
        assert_eq!(check_epoch(-1, 5), Ok(()));
        assert_eq!(check_epoch(5, 5), Ok(()));
        assert_eq!(check_epoch(4, 5), Err(ResponseError::FencedLeaderEpoch));
        assert_eq!(check_epoch(6, 5), Err(ResponseError::UnknownLeaderEpoch));
    }

    #[test]
    fn answers_as_kafka_does() {
        let history = EpochHistory::new(&[(2, 0), (5, 10)], 9, 30);
        assert_eq!(history.end_offset_for(9, 40), (9, 40));
        assert_eq!(history.end_offset_for(10, 40), (-1, -1));
        assert_eq!(history.end_offset_for(5, 40), (5, 30));
        assert_eq!(history.end_offset_for(7, 40), (5, 30));
        assert_eq!(history.end_offset_for(2, 40), (2, 10));
        assert_eq!(history.end_offset_for(1, 40), (1, 0));
        assert_eq!(history.epoch_of(9), 2);
        assert_eq!(history.epoch_of(29), 5);
        assert_eq!(history.epoch_of(30), 9);
    }
}
