//! The leader epochs of a partition (Kafka's `LeaderEpochFileCache`): which epoch began at which offset.

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

#[cfg(test)]
mod tests {
    use super::*;

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
