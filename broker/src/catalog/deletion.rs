//! Whether records may be deleted from the start of a partition (KIP-107; Kafka `ReplicaManager.deleteRecordsOnLocalLog`). Pure:
//! DeleteRecords, the database thread and `kafka.delete_records` of SQL ask here.

use kafka_protocol::ResponseError;

use super::configs::TopicConfigs;
use super::names::is_internal;

/// The offset that stands for the end of what may be read.
const HIGH_WATERMARK: i64 = -1;

/// Why records may not be deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeletionError {
    /// A topic of Kafka's own.
    #[error("topic {0} is internal")]
    Internal(String),
    /// Compaction is the only clean-up of the topic.
    #[error("topic {0} is only compacted")]
    CompactOnly(String),
    /// An offset that the partition does not have.
    #[error("offset {wanted} is not between 0 and {end}, the end of the partition")]
    OutOfRange {
        /// The offset.
        wanted: i64,
        /// The end of what may be read.
        end: i64,
    },
}

impl DeletionError {
    /// The error code for clients.
    pub fn code(&self) -> ResponseError {
        match self {
            DeletionError::Internal(_) => ResponseError::InvalidTopicException,
            DeletionError::CompactOnly(_) => ResponseError::PolicyViolation,
            DeletionError::OutOfRange { .. } => ResponseError::OffsetOutOfRange,
        }
    }
}

/// Whether records of this topic may be deleted at all.
///
/// # Errors
/// [`DeletionError::Internal`], [`DeletionError::CompactOnly`].
pub fn check_topic(name: &str, configs: &TopicConfigs) -> Result<(), DeletionError> {
    if is_internal(name) {
        return Err(DeletionError::Internal(name.to_owned()));
    }
    if configs.compact && !configs.delete {
        return Err(DeletionError::CompactOnly(name.to_owned()));
    }
    Ok(())
}

/// The log start offset after records before `wanted` are deleted from a partition with `log_start..end`: `wanted`, -1 for `end`, or
/// `log_start` if that is further.
///
/// # Errors
/// [`DeletionError::OutOfRange`] beyond `end` or below -1.
pub fn new_log_start(log_start: i64, end: i64, wanted: i64) -> Result<i64, DeletionError> {
    let offset = if wanted == HIGH_WATERMARK { end } else { wanted };
    if offset < 0 || offset > end {
        return Err(DeletionError::OutOfRange { wanted, end });
    }
    Ok(offset.max(log_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_start_moves_forward_within_the_log() {
        assert_eq!(new_log_start(2, 5, 3), Ok(3));
        assert_eq!(new_log_start(2, 5, -1), Ok(5));
        assert_eq!(new_log_start(2, 5, 5), Ok(5));
        assert_eq!(new_log_start(2, 5, 1), Ok(2));
        for wanted in [6, -2, i64::MAX, i64::MIN] {
            assert_eq!(new_log_start(2, 5, wanted).unwrap_err().code().code(), 1);
        }
    }

    #[test]
    fn some_topics_keep_their_records() {
        let configs = |policy: &str| TopicConfigs::from_overrides([("cleanup.policy".to_owned(), policy.to_owned())].into());
        let code = |name, policy| check_topic(name, &configs(policy)).map_err(|error| error.code().code());
        assert_eq!(code("t", "delete"), Ok(()));
        assert_eq!(code("t", "compact,delete"), Ok(()));
        assert_eq!(code("t", "compact"), Err(44));
        assert_eq!(code("__consumer_offsets", "delete"), Err(17));
    }
}
