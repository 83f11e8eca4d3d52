//! What there is to do for the segments of topics besides appending: pure, from what the tables say. The maintenance worker does it.

use super::engine::{SegmentId, SegmentRecord, TopicRecord};
use crate::catalog::configs::TopicConfigs;

/// One thing to do, in a transaction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chore {
    /// Make the next segment ahead: the one that is being filled is more than half full.
    Create(SegmentId),
    /// Drop a segment, which holds nothing at or above any log start.
    Drop(SegmentId),
}

/// All that is to be done for these topics, segments to be made first.
pub fn chores(topics: &[TopicRecord]) -> Vec<Chore> {
    let creates = topics.iter().filter_map(next_segment).map(Chore::Create);
    let drops = topics.iter().flat_map(expired_segments).map(Chore::Drop);
    creates.chain(drops).collect()
}

/// The segment to make ahead, if one is due.
fn next_segment(topic: &TopicRecord) -> Option<SegmentId> {
    let last = topic.segments.last()?;
    let limit = TopicConfigs::from_overrides(topic.configs.clone()).segment_bytes();
    let due = last.base_offsets.is_some() && last.bytes > limit / 2;
    due.then(|| SegmentId {
        topic: topic.number,
        number: last.number + 1,
    })
}

/// The segments whose successor begins at or below the log start of every partition. The one that is being filled has no filled
/// successor and stays.
fn expired_segments(topic: &TopicRecord) -> Vec<SegmentId> {
    let pairs = topic.segments.windows(2);
    let expired = pairs.take_while(|pair| successor_covers(topic, &pair[1]));
    expired
        .map(|pair| SegmentId {
            topic: topic.number,
            number: pair[0].number,
        })
        .collect()
}

fn successor_covers(topic: &TopicRecord, successor: &SegmentRecord) -> bool {
    let Some(bases) = &successor.base_offsets else {
        return false;
    };
    let mut partitions = topic.partitions.iter().enumerate();
    // A partition beyond the list was added after the successor was begun, so nothing of it is in earlier segments.
    partitions.all(|(index, partition)| bases.get(index).is_none_or(|base| *base <= partition.log_start_offset))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::storage::engine::{PartitionRecord, TopicNumber};

    fn topic(log_starts: &[i64], segments: &[(Option<&[i64]>, u64)]) -> TopicRecord {
        let partition = |start: &i64| PartitionRecord {
            log_start_offset: *start,
            epochs: Vec::new(),
        };
        let segment = |(index, (bases, bytes)): (usize, &(Option<&[i64]>, u64))| SegmentRecord {
            number: index as i32 + 1,
            base_offsets: bases.map(<[i64]>::to_vec),
            bytes: *bytes,
        };
        TopicRecord {
            number: TopicNumber(7),
            id: Uuid::from_u128(1),
            name: "t".to_owned(),
            configs: BTreeMap::from([("segment.bytes".to_owned(), "1048576".to_owned())]),
            partitions: log_starts.iter().map(partition).collect(),
            segments: segments.iter().enumerate().map(segment).collect(),
        }
    }

    fn check(topic: TopicRecord, creates: &[i32], drops: &[i32]) {
        let id = |number: &i32| SegmentId {
            topic: topic.number,
            number: *number,
        };
        let mut expected: Vec<Chore> = creates.iter().map(|number| Chore::Create(id(number))).collect();
        expected.extend(drops.iter().map(|number| Chore::Drop(id(number))));
        assert_eq!(chores(&[topic]), expected);
    }

    /// The next segment is made when the last one is more than half full, and not before.
    #[test]
    fn next_segment_is_made_at_half() {
        check(topic(&[0], &[(Some(&[0]), 524_288)]), &[], &[]);
        check(topic(&[0], &[(Some(&[0]), 524_289)]), &[2], &[]);
    }

    /// A segment that is there already, empty, is not made again.
    #[test]
    fn one_segment_ahead_is_enough() {
        check(topic(&[0], &[(Some(&[0]), 2_000_000), (None, 0)]), &[], &[]);
    }

    /// Segments below every log start go, in order, and the one that is being filled stays.
    #[test]
    fn expired_segments_are_dropped() {
        let segments: &[(Option<&[i64]>, u64)] = &[(Some(&[0, 0]), 9), (Some(&[5, 3]), 9), (Some(&[8, 6]), 9), (None, 0)];
        check(topic(&[5, 2], segments), &[], &[]);
        check(topic(&[5, 3], segments), &[], &[1]);
        check(topic(&[9, 6], segments), &[], &[1, 2]);
        check(topic(&[99, 99], segments), &[], &[1, 2]);
    }

    /// A partition added later holds nothing in the segments before it.
    #[test]
    fn added_partition_does_not_keep_segments() {
        check(topic(&[5, 0], &[(Some(&[0]), 9), (Some(&[5]), 9)]), &[], &[1]);
    }
}
