//! OffsetFetch, versions 1-10: how far groups have come. What is not committed is offset -1 without an error, also where there is no
//! group or no topic. While a topic that is asked for cannot be read, after a start, it is not known to be none: a consumer that was told so
//! would begin anew, or at the end. It is COORDINATOR_LOAD_IN_PROGRESS (14) then, after which clients ask again.
//!
//! * 1: one group, partitions by topic name.
//! * 2: null topics are all topics; an error of the whole group.
//! * 3: throttle time.
//! * 4: the reply is sent before throttling (KIP-219).
//! * 5: leader epochs (KIP-320).
//! * 6: flexible (KIP-482).
//! * 7: `require_stable` (KIP-447); all offsets are stable, since they are never part of a transaction.
//! * 8: several groups (KIP-709).
//! * 9: member id and epoch of the new consumer group protocol (KIP-848); a classic group does not look at them.
//! * 10: topic ids (KIP-848).

use std::collections::HashMap;

use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{GroupId, OffsetFetchRequest, OffsetFetchResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::group_requests::{check_names, nullable_text, text, text_of, uuid};
use super::{Context, RequestInfo};
use crate::catalog::{Topic, Topics};
use crate::limits;
use crate::storage::engine::TopicNumber;
use crate::storage::group_jobs::GroupOffsets;
use crate::storage::groups::CommittedOffset;
use crate::wire::cursor::{Cursor, Malformed};

const GROUP_ERROR: i16 = 2;
const SEVERAL_GROUPS: i16 = 8;
/// First version with topic ids.
pub(super) const TOPIC_IDS: i16 = 10;

/// What is not committed.
const NO_OFFSET: i64 = -1;
const NO_EPOCH: i32 = -1;

/// Decodes version 10, which the codec does not know; the body is validated.
///
/// # Errors
/// The body ends early.
pub fn decode_with_topic_ids(body: &[u8]) -> Result<OffsetFetchRequest, Malformed> {
    let mut cursor = Cursor::new(body);
    let mut groups = Vec::new();
    for _ in 0..cursor.compact_length()?.unwrap_or(0) {
        let group = OffsetFetchRequestGroup::default()
            .with_group_id(GroupId(text_of(&mut cursor)?))
            .with_member_id(nullable_text(&mut cursor)?)
            .with_member_epoch(cursor.int32()?);
        let topics = match cursor.compact_length()? {
            None => None,
            Some(count) => Some((0..count).map(|_| decode_topic(&mut cursor)).collect::<Result<_, _>>()?),
        };
        cursor.skip_tagged_fields()?;
        groups.push(group.with_topics(topics));
    }
    let require_stable = cursor.take(1)? != [0];
    Ok(OffsetFetchRequest::default()
        .with_groups(groups)
        .with_require_stable(require_stable))
}

fn decode_topic(cursor: &mut Cursor<'_>) -> Result<OffsetFetchRequestTopics, Malformed> {
    let topic_id = uuid(cursor)?;
    let count = cursor.compact_length()?.unwrap_or(0);
    let partitions = (0..count).map(|_| cursor.int32()).collect::<Result<_, _>>()?;
    cursor.skip_tagged_fields()?;
    Ok(OffsetFetchRequestTopics::default()
        .with_topic_id(topic_id)
        .with_partition_indexes(partitions))
}

/// Answers the request. In versions with topic ids `topic_id` is set in each topic, and its name is empty.
pub async fn handle(context: &Context, request: &RequestInfo, body: OffsetFetchRequest) -> OffsetFetchResponse {
    if request.version < SEVERAL_GROUPS {
        let topics = body.topics.map(|topics| {
            let as_later = topics.into_iter().map(|topic| {
                OffsetFetchRequestTopics::default()
                    .with_name(topic.name)
                    .with_partition_indexes(topic.partition_indexes)
            });
            as_later.collect()
        });
        let asked = OffsetFetchRequestGroup::default()
            .with_group_id(body.group_id)
            .with_topics(topics);
        let group = fetch_group(context, request.version, asked, &mut limits::GROUP_RESPONSE_BYTES.clone()).await;
        return single(request.version, group);
    }
    let mut left = limits::GROUP_RESPONSE_BYTES;
    let mut groups = Vec::with_capacity(body.groups.len());
    for asked in body.groups {
        groups.push(fetch_group(context, request.version, asked, &mut left).await);
    }
    OffsetFetchResponse::default().with_groups(groups)
}

async fn fetch_group(
    context: &Context,
    version: i16,
    asked: OffsetFetchRequestGroup,
    left: &mut usize,
) -> OffsetFetchResponseGroup {
    let group = OffsetFetchResponseGroup::default().with_group_id(asked.group_id.clone());
    let offsets = match check_names(&asked.group_id, false, []) {
        Err(error) => Err(error),
        Ok(()) if *left == 0 => Err(ResponseError::InvalidRequest),
        Ok(()) => {
            let member_id = asked.member_id.as_ref().map(|id| id.as_str());
            context
                .groups
                .committed_offsets(&asked.group_id, member_id, asked.member_epoch)
                .await
        }
    };
    let offsets = match offsets {
        Ok(offsets) => offsets,
        Err(error) => return refuse(version, group, asked.topics, error),
    };
    let topics = context.catalog.topics();
    if is_unread(&topics, version, asked.topics.as_deref(), &offsets) {
        return refuse(version, group, asked.topics, ResponseError::CoordinatorLoadInProgress);
    }
    let answer = match asked.topics {
        Some(asked) => named(&topics, version, asked, offsets),
        None => all(&topics, version, offsets),
    };
    let size = |topic: &OffsetFetchResponseTopics| topic.partitions.iter().map(size_of).sum::<usize>() + topic.name.len();
    *left = left.saturating_sub(answer.iter().map(size).sum());
    group.with_topics(answer)
}

/// Whether a topic is asked for that is there and not served. Ids that are not served have an error of their own.
fn is_unread(topics: &Topics, version: i16, asked: Option<&[OffsetFetchRequestTopics]>, offsets: &GroupOffsets) -> bool {
    match asked {
        Some(asked) => version < TOPIC_IDS && asked.iter().any(|topic| topics.is_unread_name(&topic.name)),
        None => offsets.iter().any(|(number, ..)| topics.is_unread(*number)),
    }
}

fn size_of(partition: &OffsetFetchResponsePartitions) -> usize {
    40 + partition.metadata.as_ref().map_or(0, |metadata| metadata.len())
}

/// The first version has no error of the group: each partition has it.
fn refuse(
    version: i16,
    group: OffsetFetchResponseGroup,
    asked: Option<Vec<OffsetFetchRequestTopics>>,
    error: ResponseError,
) -> OffsetFetchResponseGroup {
    if version >= GROUP_ERROR {
        return group.with_error_code(error.code());
    }
    let topics = asked.unwrap_or_default().into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter().map(|index| failed(*index, error));
        OffsetFetchResponseTopics::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    group.with_topics(topics.collect())
}

/// The partitions that were asked for; topics whose id is unknown come last, as with Kafka.
fn named(
    topics: &Topics,
    version: i16,
    asked: Vec<OffsetFetchRequestTopics>,
    offsets: GroupOffsets,
) -> Vec<OffsetFetchResponseTopics> {
    let committed: HashMap<(TopicNumber, i32), CommittedOffset> = offsets
        .into_iter()
        .map(|(topic, partition, offset)| ((topic, partition), offset))
        .collect();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for topic in asked {
        let found = match version >= TOPIC_IDS {
            true => topics.by_id(&topic.topic_id),
            false => topics.by_name(&topic.name),
        };
        let answer = OffsetFetchResponseTopics::default()
            .with_name(topic.name)
            .with_topic_id(topic.topic_id);
        if version >= TOPIC_IDS && found.is_none() {
            let partitions = topic
                .partition_indexes
                .iter()
                .map(|index| failed(*index, ResponseError::UnknownTopicId));
            unknown.push(answer.with_partitions(partitions.collect()));
            continue;
        }
        let offset_of = |index| committed.get(&(found?.number, index));
        let partitions = topic
            .partition_indexes
            .iter()
            .map(|index| partition(*index, offset_of(*index)));
        known.push(answer.with_partitions(partitions.collect()));
    }
    known.extend(unknown);
    known
}

/// Everything that is committed in topics that there are.
fn all(topics: &Topics, version: i16, offsets: GroupOffsets) -> Vec<OffsetFetchResponseTopics> {
    let by_number: HashMap<TopicNumber, &Topic> = topics.iter().map(|topic| (topic.number, topic.as_ref())).collect();
    let mut answers: Vec<OffsetFetchResponseTopics> = Vec::new();
    let mut last = None;
    for (number, index, offset) in &offsets {
        let Some(topic) = by_number.get(number) else { continue };
        if last != Some(*number) {
            last = Some(*number);
            let answer = OffsetFetchResponseTopics::default();
            answers.push(match version >= TOPIC_IDS {
                true => answer.with_topic_id(topic.id),
                false => answer.with_name(TopicName(text(topic.name.to_string()))),
            });
        }
        if let Some(answer) = answers.last_mut() {
            answer.partitions.push(partition(*index, Some(offset)));
        }
    }
    answers
}

fn partition(index: i32, offset: Option<&CommittedOffset>) -> OffsetFetchResponsePartitions {
    let answer = OffsetFetchResponsePartitions::default().with_partition_index(index);
    match offset {
        Some(offset) => answer
            .with_committed_offset(offset.offset)
            .with_committed_leader_epoch(offset.leader_epoch)
            .with_metadata(Some(text(offset.metadata.clone()))),
        None => answer
            .with_committed_offset(NO_OFFSET)
            .with_committed_leader_epoch(NO_EPOCH)
            .with_metadata(Some(StrBytes::default())),
    }
}

fn failed(index: i32, error: ResponseError) -> OffsetFetchResponsePartitions {
    partition(index, None).with_error_code(error.code())
}

/// The answer of a version with one group.
fn single(version: i16, group: OffsetFetchResponseGroup) -> OffsetFetchResponse {
    let topics = group.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.into_iter().map(|partition| {
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition.partition_index)
                .with_committed_offset(partition.committed_offset)
                .with_committed_leader_epoch(partition.committed_leader_epoch)
                .with_metadata(partition.metadata)
                .with_error_code(partition.error_code)
        });
        OffsetFetchResponseTopic::default()
            .with_partitions(partitions.collect())
            .with_name(topic.name)
    });
    let response = OffsetFetchResponse::default().with_topics(topics.collect());
    match version >= GROUP_ERROR {
        true => response.with_error_code(group.error_code),
        false => response,
    }
}
