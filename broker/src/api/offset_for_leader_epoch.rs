//! OffsetForLeaderEpoch, versions 2-4: where a leader epoch ends, by which consumers notice that a log was cut off (KIP-320).
//!
//! The current epoch ends at the high watermark, which is the log end, since nothing else is ever shown. `replica_id` changes nothing:
//! there is one replica.
//!
//! * 2: current leader epoch: an older one is FENCED_LEADER_EPOCH (74), a newer one UNKNOWN_LEADER_EPOCH (75).
//! * 3: replica id.
//! * 4: flexible (KIP-482).

use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderPartition;
use kafka_protocol::messages::offset_for_leader_epoch_response::{EpochEndOffset, OffsetForLeaderTopicResult};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicName};
use kafka_protocol::ResponseError;

use super::{Context, RequestInfo};
use crate::catalog::Topics;
use crate::log::epochs::check_epoch;

/// No epoch.
const NO_EPOCH: i32 = -1;

/// Answers the request.
pub async fn handle(
    context: &Context,
    _request: &RequestInfo,
    body: OffsetForLeaderEpochRequest,
) -> OffsetForLeaderEpochResponse {
    respond(&context.catalog.topics(), context.catalog.leader_epoch(), body)
}

fn respond(topics: &Topics, leader_epoch: i32, body: OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
    let results = body.topics.into_iter().map(|asked| {
        let partitions = asked.partitions.iter().map(|wanted| {
            let answer = EpochEndOffset::default().with_partition(wanted.partition);
            match end_offset(topics, leader_epoch, &asked.topic, wanted) {
                Ok((epoch, end_offset)) => answer.with_leader_epoch(epoch).with_end_offset(end_offset),
                Err(error) => answer.with_error_code(error.code()),
            }
        });
        let partitions = partitions.collect();
        OffsetForLeaderTopicResult::default()
            .with_topic(asked.topic)
            .with_partitions(partitions)
    });
    OffsetForLeaderEpochResponse::default().with_topics(results.collect())
}

fn end_offset(
    topics: &Topics,
    leader_epoch: i32,
    topic: &TopicName,
    wanted: &OffsetForLeaderPartition,
) -> Result<(i32, i64), ResponseError> {
    let partition = topics
        .by_name(topic)
        .and_then(|topic| topic.partition(wanted.partition))
        .filter(|partition| !partition.is_deleted())
        .ok_or(ResponseError::UnknownTopicOrPartition)?;
    check_epoch(wanted.current_leader_epoch, leader_epoch)?;
    if wanted.leader_epoch == NO_EPOCH {
        return Ok((NO_EPOCH, -1));
    }
    Ok(partition.end_offset_for_epoch(wanted.leader_epoch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::table::ApiKey;
    use crate::catalog::configs::TopicConfigs;
    use crate::catalog::Topic;
    use crate::log::partition::Partition;
    use crate::storage::engine::TopicNumber;
    use kafka_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderTopic;
    use kafka_protocol::protocol::StrBytes;
    use std::sync::Arc;
    use uuid::Uuid;

    fn ask(version: i16, topic: &'static str, partition: i32, current: i32, epoch: i32) -> (i16, i32, i64) {
        let number = TopicNumber(1);
        let mut topics = Topics::default();
        topics.insert(Arc::new(Topic {
            number,
            id: Uuid::new_v4(),
            name: "t".into(),
            configs: TopicConfigs::default(),
            partitions: vec![Arc::new(Partition::new(number, 0, 0, 30, &[(2, 0), (5, 10)], 9))],
        }));
        let wanted = OffsetForLeaderPartition::default()
            .with_partition(partition)
            .with_current_leader_epoch(current)
            .with_leader_epoch(epoch);
        let topic = OffsetForLeaderTopic::default()
            .with_topic(TopicName(StrBytes::from_static_str(topic)))
            .with_partitions(vec![wanted]);
        let response = respond(&topics, 9, OffsetForLeaderEpochRequest::default().with_topics(vec![topic]));
        assert_encodes(ApiKey::OffsetForLeaderEpoch, version, &response);
        let answer = &response.topics[0].partitions[0];
        (answer.error_code, answer.leader_epoch, answer.end_offset)
    }

    #[test]
    fn every_version_tells_where_epochs_end() {
        for version in ApiKey::OffsetForLeaderEpoch.api().served.iter() {
            assert_eq!(ask(version, "t", 0, -1, 9), (0, 9, 30));
            assert_eq!(ask(version, "t", 0, 9, 5), (0, 5, 30));
            assert_eq!(ask(version, "t", 0, 9, 4), (0, 2, 10));
            assert_eq!(ask(version, "t", 0, 9, 1), (0, 1, 0));
            assert_eq!(ask(version, "t", 0, 9, 10), (0, -1, -1));
            assert_eq!(ask(version, "t", 0, 9, -1), (0, -1, -1));
        }
    }

    #[test]
    fn unknown_partitions_and_other_epochs_are_refused() {
        assert_eq!(ask(4, "t", 1, -1, 9), (3, -1, -1));
        assert_eq!(ask(4, "none", 0, -1, 9), (3, -1, -1));
        assert_eq!(ask(4, "t", 0, 8, 9), (74, -1, -1));
        assert_eq!(ask(4, "t", 0, 10, 9), (75, -1, -1));
    }
}
