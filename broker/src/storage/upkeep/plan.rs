//! What there is to do for the segments of a topic: pure, from what the tables say; the time is a parameter.

use super::facts::{Part, TopicFacts};
use crate::catalog::configs::TopicConfigs;
use crate::storage::engine::{SegmentId, SegmentRecord, TopicRecord};

/// Segments that are to become one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// The one that is written anew.
    pub segment: SegmentId,
    /// The ones right before it, ascending, whose live batches it takes in.
    pub merged: Vec<SegmentId>,
    /// Bytes of live batches, at most about.
    pub bytes: u64,
}

/// The segment to make ahead, if one is due: the one that is being filled is more than half full, or the broker wants to leave it.
pub fn next_segment(topic: &TopicRecord, configs: &TopicConfigs, wanted: bool) -> Option<SegmentId> {
    let last = topic.segments.last()?;
    let due = last.base_offsets.is_some() && (wanted || last.bytes > configs.segment_bytes() / 2);
    due.then(|| id_of(topic, last).next())
}

/// The segments that hold nothing at or above any log start. The one that is being filled has no filled successor and stays.
pub fn dead_segments(topic: &TopicRecord) -> Vec<SegmentId> {
    let pairs = topic.segments.windows(2);
    let dead = pairs.filter(|pair| is_dead(topic, &pair[0], &pair[1]));
    dead.map(|pair| id_of(topic, &pair[0])).collect()
}

fn is_dead(topic: &TopicRecord, segment: &SegmentRecord, successor: &SegmentRecord) -> bool {
    let mut partitions = (0..).zip(&topic.partitions);
    partitions.all(|(index, partition)| {
        let (begin, end) = (segment.base_offset(index), successor.base_offset(index));
        let live_from = begin.map(|begin| begin.max(partition.log_start_offset));
        live_from.zip(end).is_some_and(|(live_from, end)| end <= live_from)
    })
}

/// The log starts that retention moves: (partition, offset).
///
/// As Kafka's `UnifiedLog.deleteOldSegments` for each partition, with its part of a segment in the place of a file: first by size, a part
/// goes if what remains is still at least `retention.bytes`; then by time, if the largest timestamp of a part is older than
/// `retention.ms`; each from the oldest on, until one stays.
pub fn log_starts(topic: &TopicRecord, configs: &TopicConfigs, facts: &TopicFacts, now_ms: i64) -> Vec<(i32, i64)> {
    if !configs.delete {
        return Vec::new();
    }
    let partitions = (0..).zip(topic.partitions.iter().zip(&facts.partitions));
    let moved = partitions.filter_map(|(index, (partition, parts))| {
        let before = partition.log_start_offset;
        let kept: Vec<_> = parts
            .iter()
            .filter(|part| part.bytes > 0 && part.end_offset > before)
            .collect();
        let by_size = past_size(&kept, configs.retention_bytes);
        let by_time = past_time(&kept[by_size..], configs.retention_ms, now_ms);
        let last = (by_size + by_time).checked_sub(1)?;
        Some((index, kept[last].end_offset))
    });
    moved.collect()
}

/// How many parts go because of the size of all.
fn past_size(parts: &[&Part], retention_bytes: Option<u64>) -> usize {
    let Some(limit) = retention_bytes else { return 0 };
    let all: u64 = parts.iter().map(|part| part.bytes).sum();
    let mut surplus = all.checked_sub(limit);
    let goes = |part: &&&Part| {
        surplus = surplus.and_then(|surplus| surplus.checked_sub(part.bytes));
        surplus.is_some()
    };
    parts.iter().take_while(goes).count()
}

/// How many parts go because of their age. What has no timestamps has no age.
fn past_time(parts: &[&Part], retention_ms: Option<i64>, now_ms: i64) -> usize {
    let Some(limit) = retention_ms else { return 0 };
    let goes =
        |part: &&&Part| part.surveyed && part.max_timestamp_ms >= 0 && now_ms.saturating_sub(part.max_timestamp_ms) > limit;
    parts.iter().take_while(goes).count()
}

/// What to rewrite first: a sealed segment of which less than half is live. It takes in segments before it as long as they are not larger
/// than what it has, so that few are copied often and few small ones remain; what is copied is at most half of `segment.bytes`.
pub fn rewrite(topic: &TopicRecord, configs: &TopicConfigs, facts: &TopicFacts) -> Option<Rewrite> {
    let limit = configs.segment_bytes() / 2;
    let sealed = sealed_segments(topic);
    let place = sealed.iter().position(|segment| {
        let (all, live) = facts.sizes(segment.number);
        0 < live && live < all.div_ceil(2) && live <= limit && facts.is_surveyed(segment.number)
    })?;
    let target = sealed[place];
    let mut bytes = facts.sizes(target.number).1;
    let mut merged = Vec::new();
    for segment in sealed[..place].iter().rev() {
        let (_, live) = facts.sizes(segment.number);
        let fits =
            live <= bytes && bytes + live <= limit && facts.is_surveyed(segment.number) && in_reach(topic, segment, target);
        if !fits {
            break;
        }
        bytes += live;
        merged.insert(0, id_of(topic, segment));
    }
    Some(Rewrite {
        segment: id_of(topic, target),
        merged,
        bytes,
    })
}

/// Segments that have a successor which is filled.
fn sealed_segments(topic: &TopicRecord) -> Vec<&SegmentRecord> {
    let pairs = topic.segments.windows(2);
    pairs
        .filter(|pair| pair[1].base_offsets.is_some())
        .map(|pair| &pair[0])
        .collect()
}

/// Whether all offsets of `segment` can be counted from the origins of `target`.
fn in_reach(topic: &TopicRecord, segment: &SegmentRecord, target: &SegmentRecord) -> bool {
    let mut partitions = 0..i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
    partitions.all(|index| {
        let distance = segment
            .base_offset(index)
            .zip(target.origin(index))
            .map(|(base, origin)| base - origin);
        distance.is_some_and(|distance| i32::try_from(distance).is_ok())
    })
}

fn id_of(topic: &TopicRecord, segment: &SegmentRecord) -> SegmentId {
    SegmentId {
        topic: topic.number,
        number: segment.number,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::storage::engine::{PartitionRecord, TopicNumber};

    const SEGMENT_BYTES: u64 = 1 << 20;

    fn topic(log_starts: &[i64], segments: &[(Option<&[i64]>, u64)]) -> TopicRecord {
        let partition = |start: &i64| PartitionRecord {
            log_start_offset: *start,
            epochs: Vec::new(),
        };
        let segment = |(index, (bases, bytes)): (usize, &(Option<&[i64]>, u64))| SegmentRecord {
            number: index as i32 + 1,
            base_offsets: bases.map(<[i64]>::to_vec),
            origins: None,
            bytes: *bytes,
        };
        TopicRecord {
            number: TopicNumber(7),
            id: Uuid::from_u128(1),
            name: "t".to_owned(),
            configs: BTreeMap::new(),
            partitions: log_starts.iter().map(partition).collect(),
            segments: segments.iter().enumerate().map(segment).collect(),
        }
    }

    fn configs(pairs: &[(&str, i64)]) -> TopicConfigs {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), value.to_string()));
        let segment = ("segment.bytes".to_owned(), SEGMENT_BYTES.to_string());
        TopicConfigs::from_overrides(pairs.chain([segment]).collect())
    }

    fn numbers(segments: &[SegmentId]) -> Vec<i32> {
        segments.iter().map(|segment| segment.number).collect()
    }

    #[test]
    fn the_next_segment_is_made_at_half_or_when_it_is_wanted() {
        let next = |bytes, ready, wanted| {
            let mut segments: Vec<(Option<&[i64]>, u64)> = vec![(Some(&[0]), bytes)];
            segments.extend(ready);
            next_segment(&topic(&[0], &segments), &configs(&[]), wanted).map(|segment| segment.number)
        };
        assert_eq!(next(SEGMENT_BYTES / 2, None, false), None);
        assert_eq!(next(SEGMENT_BYTES / 2 + 1, None, false), Some(2));
        assert_eq!(next(1, None, true), Some(2));
        assert_eq!(next(2 * SEGMENT_BYTES, Some((None, 0)), true), None, "one ahead is enough");
    }

    #[test]
    fn segments_without_live_offsets_are_dropped() {
        let segments: &[(Option<&[i64]>, u64)] = &[
            (Some(&[0, 0]), 9),
            (Some(&[5, 3]), 9),
            (Some(&[8, 3]), 9),
            (Some(&[9, 6]), 9),
            (None, 0),
        ];
        let dead = |log_starts: &[i64]| numbers(&dead_segments(&topic(log_starts, segments)));
        assert_eq!(dead(&[5, 2]), [] as [i32; 0]);
        assert_eq!(dead(&[5, 3]), [1]);
        assert_eq!(dead(&[9, 2]), [2], "also between live ones");
        assert_eq!(dead(&[99, 99]), [1, 2, 3], "the one that is being filled stays");
        let added = topic(&[5, 0], &[(Some(&[0]), 9), (Some(&[5]), 9)]);
        assert_eq!(numbers(&dead_segments(&added)), [1], "a partition added later holds nothing");
    }

    /// Parts of one partition: 10 offsets each, of these sizes and largest timestamps.
    fn parts(parts: &[(u64, i64)]) -> Vec<Part> {
        let part = |(index, (bytes, max_timestamp_ms)): (i64, &(u64, i64))| Part {
            segment: index as i32 + 1,
            end_offset: 10 * (index + 1),
            bytes: *bytes,
            live_bytes: *bytes,
            max_timestamp_ms: *max_timestamp_ms,
            surveyed: true,
        };
        (0..).zip(parts).map(part).collect()
    }

    fn moved(log_start: i64, parts: Vec<Part>, pairs: &[(&str, i64)]) -> Option<i64> {
        let facts = TopicFacts { partitions: vec![parts] };
        let topic = topic(&[log_start], &[]);
        log_starts(&topic, &configs(pairs), &facts, 1000)
            .first()
            .map(|(_, offset)| *offset)
    }

    #[test]
    fn parts_go_while_what_remains_is_enough() {
        let by_size = |limit| moved(0, parts(&[(10, 999), (10, 999), (5, 999)]), &[("retention.bytes", limit)]);
        assert_eq!(by_size(25), None);
        assert_eq!(by_size(16), None);
        assert_eq!(by_size(15), Some(10));
        assert_eq!(by_size(5), Some(20));
        assert_eq!(by_size(0), Some(30), "the active part too");
        let parts = parts(&[(10, 999), (10, 999), (5, 999)]);
        assert_eq!(
            moved(10, parts, &[("retention.bytes", 15)]),
            None,
            "what is deleted does not count"
        );
    }

    #[test]
    fn parts_go_when_all_of_them_is_older_than_retention() {
        let by_time = |times: &[i64]| {
            moved(
                0,
                parts(&times.iter().map(|time| (1, *time)).collect::<Vec<_>>()),
                &[("retention.ms", 100)],
            )
        };
        assert_eq!(by_time(&[900, 0]), None, "the first stays, so all do");
        assert_eq!(by_time(&[899, 900]), Some(10));
        assert_eq!(by_time(&[100, 899]), Some(20), "the active part too");
        assert_eq!(by_time(&[5000, 100]), None, "a time in the future keeps");
        assert_eq!(by_time(&[-1, 100]), None, "no time has no age");
        let mut unknown = parts(&[(1, 100)]);
        unknown[0].surveyed = false;
        assert_eq!(moved(0, unknown, &[("retention.ms", 100)]), None);
    }

    #[test]
    fn both_rules_count_and_none_of_them_for_a_compacted_topic() {
        let three = || parts(&[(10, 999), (10, 100), (10, 999)]);
        assert_eq!(moved(0, three(), &[("retention.bytes", 20), ("retention.ms", 100)]), Some(20));
        assert_eq!(moved(0, three(), &[("retention.bytes", -1), ("retention.ms", -1)]), None);
        let facts = TopicFacts {
            partitions: vec![three()],
        };
        let policy = |policy: &str| {
            let overrides = [("cleanup.policy", policy), ("retention.bytes", "0")];
            let overrides = overrides.map(|(key, value)| (key.to_owned(), value.to_owned()));
            TopicConfigs::from_overrides(overrides.into())
        };
        assert_eq!(log_starts(&topic(&[0], &[]), &policy("compact"), &facts, 1000), []);
        assert_eq!(
            log_starts(&topic(&[0], &[]), &policy("compact,delete"), &facts, 1000),
            [(0, 30)]
        );
    }

    /// Segments of one partition with these sizes: (all, live).
    fn rewritten(sizes: &[(u64, u64)]) -> Option<(i32, Vec<i32>, u64)> {
        let bases: Vec<_> = (0..=sizes.len() as i64).map(|index| [10 * index]).collect();
        let segments: Vec<_> = bases.iter().map(|bases| (Some(&bases[..]), 9)).collect();
        let mut partition = parts(&sizes.iter().map(|(all, _)| (*all, 0)).collect::<Vec<_>>());
        for (part, (_, live)) in partition.iter_mut().zip(sizes) {
            part.live_bytes = *live;
        }
        let facts = TopicFacts {
            partitions: vec![partition],
        };
        let rewrite = rewrite(&topic(&[0], &segments), &configs(&[]), &facts)?;
        Some((rewrite.segment.number, numbers(&rewrite.merged), rewrite.bytes))
    }

    #[test]
    fn a_segment_of_which_less_than_half_lives_is_rewritten() {
        assert_eq!(rewritten(&[(100, 50), (100, 0)]), None);
        assert_eq!(rewritten(&[(100, 50), (100, 49)]), Some((2, vec![], 49)));
        assert_eq!(rewritten(&[(100, 49), (100, 49)]), Some((1, vec![], 49)), "the oldest first");
        let half = SEGMENT_BYTES / 2;
        assert_eq!(rewritten(&[(4 * half, half + 1)]), None, "not more than half of a segment");
    }

    #[test]
    fn small_segments_before_it_are_taken_in() {
        assert_eq!(rewritten(&[(5, 5), (4, 4), (3, 3), (100, 2)]), Some((4, vec![], 2)));
        assert_eq!(rewritten(&[(99, 99), (6, 6), (4, 4), (100, 4)]), Some((4, vec![2, 3], 14)));
        let half = SEGMENT_BYTES / 2;
        assert_eq!(rewritten(&[(half - 9, half - 9), (half, 10)]), Some((2, vec![], 10)));
    }
}
