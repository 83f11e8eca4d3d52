//! OffsetCommit, versions 2-10: stores how far a group has come, durably before the answer.
//!
//! Metadata that holds NUL is INVALID_REQUEST (42): a text of the database cannot.
//!
//! * 2: retention time, which counts for these offsets instead of the setting.
//! * 3: throttle time.
//! * 4: the reply is sent before throttling (KIP-219).
//! * 5: no retention time (KIP-211).
//! * 6: leader epochs (KIP-320).
//! * 7: static members (KIP-345).
//! * 8: flexible (KIP-482).
//! * 9: the new consumer group protocol (KIP-848): GROUP_ID_NOT_FOUND (69) instead of ILLEGAL_GENERATION (22) where there is no group.
//! * 10: topic ids (KIP-848).

use std::collections::HashMap;

use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::{GroupId, OffsetCommitRequest, OffsetCommitResponse, TopicName};
use kafka_protocol::ResponseError;
use uuid::Uuid;

use super::group_requests::{check_names, code_of, member_ref, nullable_text, text_of, uuid};
use super::{Context, RequestInfo};
use crate::catalog::{Topic, Topics};
use crate::clock::now_ms;
use crate::groups::offsets::{Commit, PartitionOffset};
use crate::limits;
use crate::storage::groups::CommittedOffset;
use crate::wire::cursor::{Cursor, Malformed};

/// The end of the year 9999, milliseconds since 1970: a retention time beyond that, which the database has no time for, ends then.
const NEVER_MS: i64 = 253_402_300_799_000;

/// First version with topic ids.
pub(super) const TOPIC_IDS: i16 = 10;

/// A topic of the request, and what of it may be committed.
struct Checked<'a> {
    asked: &'a OffsetCommitRequestTopic,
    topic: &'a Topic,
    partitions: Vec<&'a OffsetCommitRequestPartition>,
}

/// Decodes version 10, which the codec does not know; the body is validated.
///
/// # Errors
/// The body ends early.
pub fn decode_with_topic_ids(body: &[u8]) -> Result<OffsetCommitRequest, Malformed> {
    let mut cursor = Cursor::new(body);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text_of(&mut cursor)?))
        .with_generation_id_or_member_epoch(cursor.int32()?)
        .with_member_id(text_of(&mut cursor)?)
        .with_group_instance_id(nullable_text(&mut cursor)?);
    let mut topics = Vec::new();
    for _ in 0..cursor.compact_length()?.unwrap_or(0) {
        let topic_id = uuid(&mut cursor)?;
        let mut partitions = Vec::new();
        for _ in 0..cursor.compact_length()?.unwrap_or(0) {
            let partition = OffsetCommitRequestPartition::default()
                .with_partition_index(cursor.int32()?)
                .with_committed_offset(cursor.int64()?)
                .with_committed_leader_epoch(cursor.int32()?)
                .with_committed_metadata(nullable_text(&mut cursor)?);
            cursor.skip_tagged_fields()?;
            partitions.push(partition);
        }
        cursor.skip_tagged_fields()?;
        let topic = OffsetCommitRequestTopic::default().with_topic_id(topic_id);
        topics.push(topic.with_partitions(partitions));
    }
    Ok(request.with_topics(topics))
}

/// Answers the request. In versions with topic ids `topic_id` is set in each topic, and its name is empty.
pub async fn handle(context: &Context, request: &RequestInfo, body: OffsetCommitRequest) -> OffsetCommitResponse {
    let topics = context.catalog.topics();
    let mut response = Response::default();
    let checked: Vec<_> = body
        .topics
        .iter()
        .filter_map(|asked| check_topic(&topics, request.version, asked, &mut response))
        .collect();
    if checked.is_empty() {
        return response.finish();
    }
    let committed_at_ms = now_ms();
    let expires_at_ms =
        (body.retention_time_ms >= 0).then(|| committed_at_ms.saturating_add(body.retention_time_ms).min(NEVER_MS));
    let mut offsets = Vec::new();
    let mut outcomes = Vec::new();
    for Checked { topic, partitions, .. } in &checked {
        for partition in partitions {
            let offset = committed_offset(partition, committed_at_ms, expires_at_ms);
            outcomes.push(offset.as_ref().map(|_| ()).map_err(|error| *error));
            offsets.extend(offset.map(|offset| PartitionOffset {
                topic: topic.number,
                topic_id: topic.id,
                partition: partition.partition_index,
                offset,
            }));
        }
    }
    let refused = commit(context, request.version, &body, offsets).await.err();
    let mut outcomes = outcomes.into_iter();
    let without_errors = response.topics.is_empty();
    for topic in checked {
        if without_errors {
            response.places.clear();
        }
        for partition in topic.partitions {
            let outcome = outcomes.next().unwrap_or(Ok(()));
            let outcome = refused.map_or(outcome, Err);
            response.add(topic.asked, partition.partition_index, code_of(&outcome));
        }
    }
    response.finish()
}

async fn commit(
    context: &Context,
    version: i16,
    body: &OffsetCommitRequest,
    offsets: Vec<PartitionOffset>,
) -> Result<(), ResponseError> {
    check_names(
        &body.group_id,
        false,
        [Some(&body.member_id), body.group_instance_id.as_ref()],
    )?;
    let commit = Commit {
        version,
        member: member_ref(
            &body.member_id,
            body.group_instance_id.as_ref(),
            body.generation_id_or_member_epoch,
        ),
        offsets,
    };
    context.groups.commit_offsets(&body.group_id, commit).await
}

/// Sorts out partitions that there are not, which are answered here; `None` if nothing is left.
fn check_topic<'a>(
    topics: &'a Topics,
    version: i16,
    asked: &'a OffsetCommitRequestTopic,
    response: &mut Response,
) -> Option<Checked<'a>> {
    let (found, unknown) = match version >= TOPIC_IDS {
        true => (topics.by_id(&asked.topic_id), ResponseError::UnknownTopicId),
        false => (topics.by_name(&asked.name), ResponseError::UnknownTopicOrPartition),
    };
    let Some(topic) = found else {
        for partition in &asked.partitions {
            response.add(asked, partition.partition_index, unknown.code());
        }
        return None;
    };
    let (there, missing): (Vec<_>, Vec<_>) = asked
        .partitions
        .iter()
        .partition(|partition| topic.partition(partition.partition_index).is_some());
    for partition in missing {
        response.add(
            asked,
            partition.partition_index,
            ResponseError::UnknownTopicOrPartition.code(),
        );
    }
    (!there.is_empty()).then_some(Checked {
        asked,
        topic,
        partitions: there,
    })
}

fn committed_offset(
    partition: &OffsetCommitRequestPartition,
    committed_at_ms: i64,
    expires_at_ms: Option<i64>,
) -> Result<CommittedOffset, ResponseError> {
    let metadata = partition.committed_metadata.clone().unwrap_or_default();
    if metadata.encode_utf16().count() > limits::OFFSET_METADATA_CHARACTERS {
        return Err(ResponseError::OffsetMetadataTooLarge);
    }
    if metadata.contains('\0') {
        return Err(ResponseError::InvalidRequest);
    }
    Ok(CommittedOffset {
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: metadata.to_string(),
        committed_at_ms,
        expires_at_ms,
    })
}

/// The answer as it grows: each topic once, in the order in which it is first answered. But where no partition is missing, a topic that is
/// named twice is answered twice (Kafka `OffsetCommitResponse.Builder.merge`).
#[derive(Default)]
struct Response {
    topics: Vec<OffsetCommitResponseTopic>,
    places: HashMap<(TopicName, Uuid), usize>,
}

impl Response {
    fn add(&mut self, asked: &OffsetCommitRequestTopic, partition: i32, error_code: i16) {
        let place = *self.places.entry((asked.name.clone(), asked.topic_id)).or_insert_with(|| {
            let topic = OffsetCommitResponseTopic::default()
                .with_name(asked.name.clone())
                .with_topic_id(asked.topic_id);
            self.topics.push(topic);
            self.topics.len() - 1
        });
        let answer = OffsetCommitResponsePartition::default()
            .with_partition_index(partition)
            .with_error_code(error_code);
        self.topics[place].partitions.push(answer);
    }

    fn finish(self) -> OffsetCommitResponse {
        OffsetCommitResponse::default().with_topics(self.topics)
    }
}
