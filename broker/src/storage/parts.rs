//! A partition's log as parts of segments.

use super::engine::{SegmentId, SegmentRecord, TopicNumber};

/// The partition's parts of the segments that can hold `offset` and what follows it, in order.
pub fn segments_from(topic: TopicNumber, segments: &[SegmentRecord], partition: i32, offset: i64) -> Vec<SegmentPart> {
    let mut found: Vec<SegmentPart> = Vec::new();
    for segment in segments {
        let Some(part) = part_of(topic, segment, partition) else {
            continue;
        };
        if part.base <= offset {
            found.clear();
        }
        found.push(part);
    }
    found
}

/// A partition's part of a segment; `None` while that holds nothing.
pub fn part_of(topic: TopicNumber, segment: &SegmentRecord, partition: i32) -> Option<SegmentPart> {
    let number = segment.number;
    Some(SegmentPart {
        segment: SegmentId { topic, number },
        base: segment.base_offset(partition)?,
        origin: segment.origin(partition)?,
    })
}

/// A partition's part of a segment.
#[derive(Debug, Clone, Copy)]
pub struct SegmentPart {
    /// The segment.
    pub segment: SegmentId,
    /// The partition's first offset in it.
    pub base: i64,
    /// What relative offsets count from.
    pub origin: i64,
}

impl SegmentPart {
    /// Where `offset`, or what follows it in this part, is in the segment's index; `None` if it is beyond what an index can hold.
    pub fn relative(&self, offset: i64) -> Option<i32> {
        i32::try_from(offset.max(self.base) - self.origin).ok()
    }

    /// The offset of a place in the segment's index.
    pub fn offset(&self, relative: i32) -> i64 {
        self.origin + i64::from(relative)
    }
}
