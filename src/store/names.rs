//! Names of what a segment consists of, and of the bookkeeping tables.

use broker::storage::engine::SegmentId;

/// Schema of the bookkeeping tables and functions.
pub const SCHEMA: &str = "kafka";
/// Schema of the segments.
pub const LOG_SCHEMA: &str = "kafka_log";

/// The bookkeeping tables, in the order in which everyone locks them.
pub const BOOKKEEPING: [&str; 9] = [
    "topics",
    "cluster",
    "topic_configs",
    "log_starts",
    "leader_epochs",
    "segments",
    "time_index",
    "producer_snapshots",
    "segment_template",
];

/// The tables of consumer groups, in the order in which everyone locks them, after those of bookkeeping.
pub const GROUPS: [&str; 3] = ["groups", "members", "committed_offsets"];

/// Name of a segment's table in [`LOG_SCHEMA`].
pub fn segment_table(segment: SegmentId) -> String {
    format!("t{}_s{}", segment.topic.0, segment.number)
}

/// Name of the table that is to take the place of a segment's.
pub fn rewritten_table(segment: SegmentId) -> String {
    format!("{}_rewritten", segment_table(segment))
}

/// Name of the index of that table.
pub fn rewritten_index(segment: SegmentId) -> String {
    format!("{}_key", rewritten_table(segment))
}

/// Name of the index of a segment's table.
pub fn segment_index(segment: SegmentId) -> String {
    format!("{}_key", segment_table(segment))
}
