//! When a sealed segment is frozen, before PostgreSQL must do it against the wraparound of transaction ids: soon after it was sealed, or
//! never, if retention drops it before that is due by the rate at which ids are used. Freezing writes a segment a second time. Pure.

use crate::catalog::configs::TopicConfigs;
use crate::storage::engine::{SegmentAge, SegmentId, TopicRecord, TransactionIds};

/// For so long at least the use of transaction ids is measured before anything is said about it.
const MEASURED_MS: i64 = 60_000;
/// After so long the measurement begins anew, from half of it.
const WINDOW_MS: i64 = 24 * 3_600_000;

/// How fast transaction ids are used.
#[derive(Debug, Clone, Copy, Default)]
pub struct IdRate {
    /// Time and next id at the beginning of the measurement, later, and now.
    samples: Option<[(i64, u64); 3]>,
}

impl IdRate {
    /// The next id is `next_id` now.
    pub fn sample(&mut self, next_id: u64, now_ms: i64) {
        let now = (now_ms, next_id);
        let [mut first, mut middle, _] = self.samples.unwrap_or([now; 3]);
        if now_ms - middle.0 >= WINDOW_MS / 2 {
            (first, middle) = (middle, now);
        }
        self.samples = Some([first, middle, now]);
    }

    /// Ids that are used in a time at this rate; `None` while it was not measured for long enough.
    fn used_in(&self, time_ms: i64) -> Option<u64> {
        let [first, _, now] = self.samples?;
        let measured_ms = now.0 - first.0;
        if measured_ms < MEASURED_MS {
            return None;
        }
        let used = i128::from(now.1.saturating_sub(first.1)) * i128::from(time_ms) / i128::from(measured_ms);
        Some(u64::try_from(used).unwrap_or(u64::MAX))
    }
}

/// The oldest sealed segment that is to be frozen now. What retention drops in time is not: a time that all segments live is known from
/// `retention.ms` only.
pub fn due(
    topic: &TopicRecord,
    configs: &TopicConfigs,
    ages: &[SegmentAge],
    ids: TransactionIds,
    rate: &IdRate,
) -> Option<SegmentId> {
    let lives_for_ms = configs.retention_ms.filter(|_| configs.delete);
    let is_due = |age: u32| match lives_for_ms {
        None => true,
        Some(time_ms) => rate
            .used_in(time_ms)
            .is_some_and(|used| u64::from(age).saturating_add(used) >= u64::from(ids.freeze_max_age)),
    };
    let sealed = topic.segments.windows(2).filter(|pair| pair[1].base_offsets.is_some());
    let numbers = sealed.map(|pair| pair[0].number);
    let mut open = numbers.filter(|number| {
        let age = ages.iter().find(|age| age.segment == *number);
        age.is_some_and(|age| !age.is_frozen && is_due(age.transactions))
    });
    open.next().map(|number| SegmentId {
        topic: topic.number,
        number,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::storage::engine::{SegmentRecord, TopicNumber};

    const DAY_MS: i64 = 24 * 3_600_000;
    const IDS: TransactionIds = TransactionIds {
        next: 0,
        freeze_max_age: 200_000_000,
    };

    fn rate(ids_per_second: u64) -> IdRate {
        let mut rate = IdRate::default();
        rate.sample(7, 0);
        rate.sample(7 + ids_per_second * 100, 100_000);
        rate
    }

    /// Which of three segments, the last of which is being filled, is to be frozen.
    fn due_of(configs: &[(&str, &str)], ages: [(u32, bool); 3], rate: &IdRate) -> Option<i32> {
        let segment = |number| SegmentRecord {
            number,
            base_offsets: Some(vec![0]),
            origins: None,
            bytes: 1,
        };
        let topic = TopicRecord {
            number: TopicNumber(7),
            id: Uuid::from_u128(1),
            name: "t".to_owned(),
            configs: BTreeMap::new(),
            partitions: Vec::new(),
            segments: (1..4).map(segment).collect(),
        };
        let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let configs = TopicConfigs::from_overrides(configs.collect());
        let age = |(segment, (transactions, is_frozen))| SegmentAge {
            segment,
            transactions,
            is_frozen,
        };
        let ages: Vec<_> = (1..4).zip(ages).map(age).collect();
        due(&topic, &configs, &ages, IDS, rate).map(|segment| segment.number)
    }

    #[test]
    fn what_is_kept_for_ever_is_frozen_once_it_is_sealed() {
        let forever = [("retention.ms", "-1")];
        let due = |ages| due_of(&forever, ages, &IdRate::default());
        assert_eq!(due([(0, false), (0, false), (0, false)]), Some(1));
        assert_eq!(due([(0, true), (0, false), (0, false)]), Some(2));
        assert_eq!(
            due([(0, true), (0, true), (0, false)]),
            None,
            "the one that is being filled is not"
        );
    }

    #[test]
    fn what_retention_drops_in_time_is_not_frozen() {
        let week = [("retention.ms", "604800000")];
        let due = |age, rate| due_of(&week, [(age, false); 3], &rate);
        assert_eq!(due(0, rate(100)), None, "60 million ids in a week");
        assert_eq!(due(150_000_000, rate(100)), Some(1));
        assert_eq!(due(0, rate(1000)), Some(1), "600 million ids in a week");
        assert_eq!(due(0, IdRate::default()), None, "not known yet");
        let compacted = [("cleanup.policy", "compact"), week[0]];
        assert_eq!(
            due_of(&compacted, [(0, false); 3], &IdRate::default()),
            Some(1),
            "retention drops nothing of it"
        );
    }

    #[test]
    fn the_rate_follows_what_is_used() {
        let mut rate = IdRate::default();
        rate.sample(0, 0);
        assert_eq!(rate.used_in(1000), None);
        rate.sample(59, 59_999);
        assert_eq!(rate.used_in(1000), None, "too short");
        rate.sample(1_000_000, 1_000_000);
        assert_eq!(rate.used_in(5000), Some(5000));
        for hour in 1..=48 {
            rate.sample(1_000_000, 1_000_000 + hour * 3_600_000);
        }
        assert_eq!(rate.used_in(DAY_MS), Some(0), "two days without any");
    }
}
