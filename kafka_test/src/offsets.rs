//! Committed offsets: OffsetCommit and OffsetFetch at every version, also the ones with topic ids (10), whose requests the
//! kafka-protocol crate cannot encode.

use crate::connection::Connection;
use crate::groups::{group_id, text, Member};
use crate::topic::Topic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse};
use uuid::Uuid;

/// The newest version of OffsetCommit.
pub const OFFSET_COMMIT: i16 = 10;
/// The newest version of OffsetFetch.
pub const OFFSET_FETCH: i16 = 10;
/// The first version of both that names topics by id.
const TOPIC_IDS_SINCE: i16 = 10;
/// The first version of OffsetFetch that asks for several groups.
const GROUPS_SINCE: i16 = 8;

/// The offset of a partition that is to be committed.
pub fn committing(partition: i32, offset: i64, metadata: Option<&str>) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition::default()
        .with_partition_index(partition)
        .with_committed_offset(offset)
        .with_committed_metadata(metadata.map(text))
}

/// A commit of no member ("simple consumer"): generation -1, no id. Every version takes from it what it has.
pub fn commit_request(group: &str, topic: &Topic, partitions: Vec<OffsetCommitRequestPartition>) -> OffsetCommitRequest {
    let entry = OffsetCommitRequestTopic::default()
        .with_name(topic.topic_name())
        .with_topic_id(topic.id)
        .with_partitions(partitions);
    OffsetCommitRequest::default()
        .with_group_id(group_id(group))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![entry])
}

/// Sends an OffsetCommit at any version and awaits its reply.
pub fn commit(connection: &mut Connection, version: i16, request: &OffsetCommitRequest) -> OffsetCommitResponse {
    if version < TOPIC_IDS_SINCE {
        return connection.call(version, request);
    }
    connection.call_body::<OffsetCommitRequest>(version, &commit_body(request))
}

/// Errors of a commit's partitions, in the order of the reply.
pub fn commit_errors(reply: &OffsetCommitResponse) -> Vec<i16> {
    let partitions = reply.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

/// Commits the offset of one partition for no member and gives the error.
pub fn commit_one(connection: &mut Connection, version: i16, group: &str, topic: &Topic, partition: i32, offset: i64) -> i16 {
    let request = commit_request(group, topic, vec![committing(partition, offset, Some(""))]);
    let errors = commit_errors(&commit(connection, version, &request));
    assert_eq!(errors.len(), 1, "partitions in the reply to a commit of one");
    errors[0]
}

impl Member {
    /// A commit of this member.
    pub fn commit_request(&self, topic: &Topic, partition: i32, offset: i64) -> OffsetCommitRequest {
        commit_request(&self.joining.group, topic, vec![committing(partition, offset, Some(""))])
            .with_generation_id_or_member_epoch(self.generation)
            .with_member_id(text(self.id()))
            .with_group_instance_id(self.joining.instance_id.as_deref().map(text))
    }

    /// Commits the offset of one partition and gives the error.
    pub fn commit(&mut self, topic: &Topic, partition: i32, offset: i64) -> i16 {
        let request = self.commit_request(topic, partition, offset);
        commit_errors(&commit(&mut self.connection, OFFSET_COMMIT, &request))[0]
    }
}

/// Who asks for offsets, from version 9 on: member id and epoch.
pub type Asking<'a> = (Option<&'a str>, i32);

/// A committed offset as OffsetFetch tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The topic's name, empty where the version has ids.
    pub topic: String,
    /// The topic's id, nil where the version has names.
    pub topic_id: Uuid,
    /// Partition.
    pub partition: i32,
    /// The offset, or -1.
    pub offset: i64,
    /// The leader epoch that was committed with it, or -1.
    pub leader_epoch: i32,
    /// What was committed with it.
    pub metadata: Option<String>,
    /// Kafka error code.
    pub error_code: i16,
}

/// An OffsetFetch of one group: partitions of topics, or null for all that it has.
pub fn fetch_request(
    version: i16,
    group: &str,
    (member_id, member_epoch): Asking<'_>,
    topics: Option<&[(&Topic, &[i32])]>,
) -> OffsetFetchRequest {
    if version < GROUPS_SINCE {
        let entry = |(topic, partitions): &(&Topic, &[i32])| {
            OffsetFetchRequestTopic::default()
                .with_name(topic.topic_name())
                .with_partition_indexes(partitions.to_vec())
        };
        return OffsetFetchRequest::default()
            .with_group_id(group_id(group))
            .with_topics(topics.map(|topics| topics.iter().map(entry).collect()));
    }
    let entry = |(topic, partitions): &(&Topic, &[i32])| {
        OffsetFetchRequestTopics::default()
            .with_name(topic.topic_name())
            .with_topic_id(topic.id)
            .with_partition_indexes(partitions.to_vec())
    };
    let asked = OffsetFetchRequestGroup::default()
        .with_group_id(group_id(group))
        .with_member_id(member_id.map(text))
        .with_member_epoch(member_epoch)
        .with_topics(topics.map(|topics| topics.iter().map(entry).collect()));
    OffsetFetchRequest::default().with_groups(vec![asked])
}

/// Sends an OffsetFetch at any version and awaits its reply.
pub fn fetch(connection: &mut Connection, version: i16, request: &OffsetFetchRequest) -> OffsetFetchResponse {
    if version < TOPIC_IDS_SINCE {
        return connection.call(version, request);
    }
    connection.call_body::<OffsetFetchRequest>(version, &fetch_body(request))
}

/// Error and offsets of a reply about one group, sorted by topic and partition.
pub fn fetched(version: i16, reply: &OffsetFetchResponse) -> (i16, Vec<Committed>) {
    let (error, mut found): (i16, Vec<Committed>) = if version < GROUPS_SINCE {
        let partitions = reply
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
        let found = partitions.map(|(topic, p)| Committed {
            topic: topic.name.to_string(),
            topic_id: Uuid::nil(),
            partition: p.partition_index,
            offset: p.committed_offset,
            leader_epoch: p.committed_leader_epoch,
            metadata: p.metadata.as_ref().map(ToString::to_string),
            error_code: p.error_code,
        });
        (reply.error_code, found.collect())
    } else {
        assert_eq!(reply.groups.len(), 1, "groups in the reply to an OffsetFetch of one");
        let group = &reply.groups[0];
        let partitions = group
            .topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(move |p| (topic, p)));
        let found = partitions.map(|(topic, p)| Committed {
            topic: topic.name.to_string(),
            topic_id: topic.topic_id,
            partition: p.partition_index,
            offset: p.committed_offset,
            leader_epoch: p.committed_leader_epoch,
            metadata: p.metadata.as_ref().map(ToString::to_string),
            error_code: p.error_code,
        });
        (group.error_code, found.collect())
    };
    found.sort_by(|a, b| (&a.topic, a.topic_id, a.partition).cmp(&(&b.topic, b.topic_id, b.partition)));
    (error, found)
}

/// The committed offset of one partition, -1 for none; panics on an error.
pub fn committed(connection: &mut Connection, group: &str, topic: &Topic, partition: i32) -> i64 {
    let request = fetch_request(OFFSET_FETCH, group, (None, -1), Some(&[(topic, &[partition])]));
    let (error, found) = fetched(OFFSET_FETCH, &fetch(connection, OFFSET_FETCH, &request));
    assert_eq!((error, found.len(), found[0].error_code), (0, 1, 0), "offset of {group}");
    found[0].offset
}

/// Writes what the flexible versions are made of: compact lengths, and no tagged fields.
#[derive(Default)]
struct Compact(Vec<u8>);

impl Compact {
    fn length(&mut self, length: Option<usize>) {
        let mut rest = length.map_or(0, |length| length + 1);
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    fn string(&mut self, value: Option<&str>) {
        self.length(value.map(str::len));
        self.0.extend(value.unwrap_or_default().as_bytes());
    }

    fn i32(&mut self, value: i32) {
        self.0.extend(value.to_be_bytes());
    }

    fn no_tags(&mut self) {
        self.0.push(0);
    }
}

/// The body of OffsetCommit 10 (common/message/OffsetCommitRequest.json of kafka-clients).
fn commit_body(request: &OffsetCommitRequest) -> Vec<u8> {
    let mut out = Compact::default();
    out.string(Some(&request.group_id));
    out.i32(request.generation_id_or_member_epoch);
    out.string(Some(&request.member_id));
    out.string(request.group_instance_id.as_deref());
    out.length(Some(request.topics.len()));
    for topic in &request.topics {
        out.0.extend(topic.topic_id.as_bytes());
        out.length(Some(topic.partitions.len()));
        for partition in &topic.partitions {
            out.i32(partition.partition_index);
            out.0.extend(partition.committed_offset.to_be_bytes());
            out.i32(partition.committed_leader_epoch);
            out.string(partition.committed_metadata.as_deref());
            out.no_tags();
        }
        out.no_tags();
    }
    out.no_tags();
    out.0
}

/// The body of OffsetFetch 10 (common/message/OffsetFetchRequest.json of kafka-clients).
fn fetch_body(request: &OffsetFetchRequest) -> Vec<u8> {
    let mut out = Compact::default();
    out.length(Some(request.groups.len()));
    for group in &request.groups {
        out.string(Some(&group.group_id));
        out.string(group.member_id.as_deref());
        out.i32(group.member_epoch);
        out.length(group.topics.as_ref().map(Vec::len));
        for topic in group.topics.iter().flatten() {
            out.0.extend(topic.topic_id.as_bytes());
            out.length(Some(topic.partition_indexes.len()));
            for partition in &topic.partition_indexes {
                out.i32(*partition);
            }
            out.no_tags();
        }
        out.no_tags();
    }
    out.0.push(request.require_stable.into());
    out.no_tags();
    out.0
}
