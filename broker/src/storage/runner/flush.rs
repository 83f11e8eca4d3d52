//! Flushing what was committed without: a commit of appends flushes by itself, unless enough waits for the next one to be made meanwhile.

use super::Runner;
use crate::limits::OVERLAP_BYTES;
use crate::storage::engine::{Engine, LogPosition};

/// Commits of this turn and of the one before that no commit has flushed.
#[derive(Default)]
pub(super) struct Unflushed {
    /// The last one of this turn.
    pub now: Option<LogPosition>,
    /// The last one of the turn before, with which the engine has begun then.
    pub before: Option<LogPosition>,
}

impl<E: Engine> Runner<E> {
    /// Whether the flush of a commit that is made now is to overlap the next one's work. Small groups gain nothing by it: they would only
    /// become smaller.
    pub(super) fn flush_overlaps(&self) -> bool {
        self.queue.append_bytes() >= OVERLAP_BYTES || self.appends_wait()
    }

    /// Sees to it that all that was committed is flushed, or will be in the next turn. Answers what was committed in the turn before as soon
    /// as that is flushed.
    pub(super) fn flush_commits(&mut self) {
        let overlaps = self.flush_overlaps();
        if let Some(now) = self.unflushed.now.filter(|_| overlaps) {
            self.engine.begin_flush(now);
        }
        if let Some(before) = self.unflushed.before.take() {
            self.flush(before);
            self.complete_durable();
        }
        if overlaps {
            self.unflushed.before = self.unflushed.now.take();
        } else if let Some(now) = self.unflushed.now.take() {
            self.flush(now);
        }
    }

    fn flush(&mut self, position: LogPosition) {
        if let Err(error) = self.engine.flush(position) {
            tracing::error!(%error, "the write-ahead log was not flushed");
            self.unflushed.now = self.unflushed.now.max(Some(position));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use bytes::Bytes;

    use super::Runner;
    use crate::limits::OVERLAP_BYTES;
    use crate::settings::Settings;
    use crate::storage::engine::TopicNumber;
    use crate::storage::jobs::Append;
    use crate::storage::model::ModelDatabase;

    /// Goal: what came since the turn began counts by its bytes, until it is taken.
    #[test]
    fn enough_must_wait() {
        let mut runner = Runner::open(ModelDatabase::default().open(), Arc::new(|| {}), &Settings::default()).unwrap();
        for (bytes, overlaps) in [(OVERLAP_BYTES - 1, false), (1, true)] {
            drop(runner.storage().append(Append {
                topic: TopicNumber(1),
                partition: 0,
                bytes: Bytes::from(vec![0; bytes]),
                last_offset_delta: 0,
                max_timestamp_ms: 0,
                producer: None,
                early_reply: false,
                deadline: Instant::now(),
                charge: None,
                growth_charge: None,
            }));
            assert_eq!(runner.flush_overlaps(), overlaps);
        }
        runner.turn(Instant::now());
        assert!(!runner.flush_overlaps());
    }
}
