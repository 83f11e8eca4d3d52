//! For tests: topics without a database.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::configs::TopicConfigs;
use super::{Topic, Topics};
use crate::log::partition::Partition;
use crate::storage::engine::TopicNumber;

/// Topics of these names and numbers of partitions, empty, at leader epoch 1.
pub(crate) fn topics(wanted: &[(&str, i32)]) -> Topics {
    let mut topics = Topics::default();
    for (number, (name, partitions)) in (1..).zip(wanted) {
        topics.insert(Arc::new(topic(number, name, *partitions, &[])));
    }
    topics
}

/// One topic, with overrides.
pub(crate) fn topic(number: i32, name: &str, partitions: i32, overrides: &[(&str, &str)]) -> Topic {
    let number = TopicNumber(number);
    let overrides: BTreeMap<_, _> = overrides
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Topic {
        number,
        id: Uuid::new_v4(),
        name: name.into(),
        configs: TopicConfigs::from_overrides(overrides),
        partitions: (0..partitions)
            .map(|index| Arc::new(Partition::new(number, index, 0, 0, &[], 1)))
            .collect(),
    }
}
