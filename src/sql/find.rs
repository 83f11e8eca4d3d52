//! The topic that a function is to change, by its name.

use broker::storage::engine::TopicNumber;

use super::error::raise_engine;
use super::topics::existing;
use crate::ffi::spi::{param, query};
use crate::store::locks::{lock_to_change, Held, Patience};

/// A topic whose row is locked.
pub struct LockedTopic {
    /// Its number.
    pub number: TopicNumber,
    /// How many partitions it has.
    pub partitions: i32,
}

/// Takes the locks under which a topic's partitions and their log starts are changed, in the broker's order, and waits for them.
pub fn lock_topic(name: &str) -> LockedTopic {
    Held::default()
        .bookkeeping(Patience::Waits)
        .unwrap_or_else(|error| raise_engine(error));
    let number = existing(name);
    lock_to_change(number, Patience::Waits).unwrap_or_else(|error| raise_engine(error));
    let partitions = query(
        "SELECT partitions FROM kafka.topics WHERE id = $1",
        &[param(number.0)],
        |row| row.get::<i32>(1),
    );
    let partitions = partitions.into_iter().next().flatten();
    LockedTopic {
        number,
        partitions: partitions.unwrap_or(0),
    }
}
