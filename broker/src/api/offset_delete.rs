//! OffsetDelete, version 0: deletes committed offsets of partitions that the group's members do not subscribe to (KIP-496).

use std::sync::Arc;

use kafka_protocol::messages::offset_delete_request::OffsetDeleteRequestTopic;
use kafka_protocol::messages::offset_delete_response::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use kafka_protocol::ResponseError;

use super::group_requests::{check_names, code_of};
use super::{Context, RequestInfo};
use crate::catalog::Topics;
use crate::storage::engine::TopicNumber;

/// Answers the request.
pub async fn handle(context: &Context, _request: &RequestInfo, body: OffsetDeleteRequest) -> OffsetDeleteResponse {
    let topics = context.catalog.topics();
    let there: Vec<_> = body
        .topics
        .iter()
        .flat_map(|topic| partitions_of(&topics, topic).flatten())
        .collect();
    let deleted = match check_names(&body.group_id, true, []) {
        Ok(()) => context.groups.delete_offsets(&body.group_id, there).await,
        Err(error) => Err(error),
    };
    let outcomes = match deleted {
        Ok(outcomes) => outcomes,
        Err(error) => return OffsetDeleteResponse::default().with_error_code(error.code()),
    };
    let mut outcomes = outcomes.into_iter();
    let named = body.topics.iter().filter(|topic| !topic.partitions.is_empty());
    let answers = named.map(|topic| {
        let partitions = topic
            .partitions
            .iter()
            .zip(partitions_of(&topics, topic))
            .map(|(asked, found)| {
                let outcome = match found {
                    Some(_) => outcomes.next().unwrap_or(Ok(())),
                    None => Err(ResponseError::UnknownTopicOrPartition),
                };
                OffsetDeleteResponsePartition::default()
                    .with_partition_index(asked.partition_index)
                    .with_error_code(code_of(&outcome))
            });
        OffsetDeleteResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name.clone())
    });
    OffsetDeleteResponse::default().with_topics(answers.collect())
}

/// The partitions of a topic of the request, `None` for those that there are not.
fn partitions_of<'a>(
    topics: &'a Topics,
    asked: &'a OffsetDeleteRequestTopic,
) -> impl Iterator<Item = Option<(TopicNumber, Arc<str>, i32)>> + 'a {
    let topic = topics.by_name(&asked.name);
    asked.partitions.iter().map(move |partition| {
        let index = partition.partition_index;
        topic?.partition(index)?;
        Some((topic?.number, topic?.name.clone(), index))
    })
}
