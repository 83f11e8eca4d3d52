//! What the view `kafka.partitions` asks of the log.

use broker::storage::engine::{SegmentId, TopicNumber};
use pgrx::prelude::*;

use super::error::raise_engine;
use crate::ffi::scan::View;
use crate::store::locks::{Held, Patience};
use crate::store::log::{end_offset, PartitionLog};

/// The offset after a partition's last record in a segment, as the statement's snapshot sees it; `base_offset` if it has none there.
#[pg_extern]
fn segment_end_offset(topic: i32, segment: i32, partition: i32, base_offset: i64) -> i64 {
    let segment = SegmentId {
        topic: TopicNumber(topic),
        number: segment,
    };
    let last = Held::default().readable(segment, Patience::Waits).and_then(|relations| {
        PartitionLog {
            relations,
            partition,
            view: View::Statement,
        }
        .last_header()
    });
    match last {
        Ok(Some(header)) => end_offset(&header).unwrap_or(base_offset),
        Ok(None) => base_offset,
        Err(error) => raise_engine(error),
    }
}
