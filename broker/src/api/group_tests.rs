//! Consumer groups through their handlers, over a database thread on the model: restarts, failures of storage, and in modules of their
//! own changes of protocol. What the machines decide is tested with them.

mod protocol_changes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::encoding::assert_encodes;
use super::fixture::TestBroker;
use super::table::ApiKey;
use super::{
    consumer_group_describe, consumer_group_heartbeat, delete_groups, describe_groups, heartbeat, join_group, leave_group,
    list_groups, offset_commit, offset_fetch, sync_group,
};
use crate::limits;
use crate::settings::Settings;
use crate::storage::engine::{EngineError, SegmentId};
use crate::storage::model::{Call, ModelDatabase};

/// A subscription to the topic "t", and an assignment of its partitions 0 to 2, as consumers write them.
const SUBSCRIPTION: &[u8] = b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff";
const ASSIGNMENT: &[u8] = b"\0\0\0\0\0\x01\0\x01t\0\0\0\x03\0\0\0\0\0\0\0\x01\0\0\0\x02\xff\xff\xff\xff";

struct Bench {
    broker: Arc<TestBroker>,
}

fn failure() -> EngineError {
    EngineError::Database {
        sqlstate: "XX000".to_owned(),
        message: "ordered".to_owned(),
    }
}

fn group() -> GroupId {
    GroupId(StrBytes::from_static_str("g"))
}

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

impl Bench {
    async fn start(database: &ModelDatabase) -> Self {
        let settings = Settings {
            group_initial_rebalance_delay: Duration::ZERO,
            ..Settings::default()
        };
        let broker = Arc::new(TestBroker::on(database, settings));
        tokio::spawn(broker.context.groups.clone().run());
        let deadline = Instant::now() + Duration::from_secs(10);
        while broker.context.groups.group_ids().is_err() {
            assert!(Instant::now() < deadline, "groups are not read");
            tokio::task::yield_now().await;
        }
        Bench { broker }
    }

    async fn join(&self, member_id: &str) -> JoinGroupResponse {
        let body = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_member_id(text(member_id))
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![JoinGroupRequestProtocol::default()
                .with_name(text("range"))
                .with_metadata(Bytes::from_static(SUBSCRIPTION))]);
        let response = join_group::handle(&self.broker.context, &self.broker.request(9), body).await;
        assert_encodes(ApiKey::JoinGroup, 9, &response);
        response
    }

    async fn sync(&self, member_id: &str, generation_id: i32) -> SyncGroupResponse {
        let assignment = SyncGroupRequestAssignment::default()
            .with_member_id(text(member_id))
            .with_assignment(Bytes::from_static(ASSIGNMENT));
        let body = SyncGroupRequest::default()
            .with_group_id(group())
            .with_generation_id(generation_id)
            .with_member_id(text(member_id))
            .with_protocol_type(Some(text("consumer")))
            .with_protocol_name(Some(text("range")))
            .with_assignments(vec![assignment]);
        let response = sync_group::handle(&self.broker.context, &self.broker.request(5), body).await;
        assert_encodes(ApiKey::SyncGroup, 5, &response);
        response
    }

    /// A group of one member, Stable: member id and generation.
    async fn stable(&self) -> (String, i32) {
        let asked = self.join("").await;
        assert_eq!(asked.error_code, 79);
        let joined = self.join(&asked.member_id).await;
        assert_eq!((joined.error_code, &joined.leader), (0, &joined.member_id));
        let synced = self.sync(&joined.member_id, joined.generation_id).await;
        assert_eq!((synced.error_code, &synced.assignment[..]), (0, ASSIGNMENT));
        (joined.member_id.to_string(), joined.generation_id)
    }

    async fn heartbeat(&self, member_id: &str, generation_id: i32) -> i16 {
        let body = HeartbeatRequest::default()
            .with_group_id(group())
            .with_generation_id(generation_id)
            .with_member_id(text(member_id));
        heartbeat::handle(&self.broker.context, &self.broker.request(4), body)
            .await
            .error_code
    }

    async fn leave(&self, member_id: &str) -> i16 {
        let body = LeaveGroupRequest::default()
            .with_group_id(group())
            .with_member_id(text(member_id));
        leave_group::handle(&self.broker.context, &self.broker.request(2), body)
            .await
            .error_code
    }

    async fn commit(&self, version: i16, member_id: &str, epoch: i32, topic: &str, partition: i32, offset: i64) -> i16 {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(partition)
            .with_committed_offset(offset)
            .with_committed_metadata(Some(text("metadata")));
        let asked = OffsetCommitRequestTopic::default().with_partitions(vec![partition]);
        let asked = match version >= 10 {
            true => asked.with_topic_id(self.topic_id(topic)),
            false => asked.with_name(TopicName(text(topic))),
        };
        let body = OffsetCommitRequest::default()
            .with_group_id(group())
            .with_generation_id_or_member_epoch(epoch)
            .with_member_id(text(member_id))
            .with_topics(vec![asked]);
        let response = offset_commit::handle(&self.broker.context, &self.broker.request(version), body).await;
        assert_encodes(ApiKey::OffsetCommit, version, &response);
        response.topics[0].partitions[0].error_code
    }

    fn topic_id(&self, topic: &str) -> Uuid {
        let topics = self.broker.context.catalog.topics();
        topics.by_name(topic).map_or(Uuid::from_u128(7), |topic| topic.id)
    }

    /// Everything that the group has committed: (partition, offset).
    async fn committed(&self, version: i16) -> Vec<(i32, i64)> {
        self.fetched(version, None).await.unwrap()
    }

    /// What the group has committed in partition 0 of a topic, or everything: (partition, offset), or the error of the group.
    async fn fetched(&self, version: i16, topic: Option<&str>) -> Result<Vec<(i32, i64)>, i16> {
        let of_group = topic.map(|topic| {
            let asked = offset_fetch_request::OffsetFetchRequestTopics::default().with_partition_indexes(vec![0]);
            vec![asked.with_name(TopicName(text(topic)))]
        });
        let of_only = topic.map(|topic| {
            let asked = offset_fetch_request::OffsetFetchRequestTopic::default().with_partition_indexes(vec![0]);
            vec![asked.with_name(TopicName(text(topic)))]
        });
        let asked = offset_fetch_request::OffsetFetchRequestGroup::default()
            .with_group_id(group())
            .with_member_epoch(-1)
            .with_topics(of_group);
        let body = match version >= 8 {
            true => OffsetFetchRequest::default().with_groups(vec![asked]),
            false => OffsetFetchRequest::default().with_group_id(group()).with_topics(of_only),
        };
        let response = offset_fetch::handle(&self.broker.context, &self.broker.request(version), body).await;
        assert_encodes(ApiKey::OffsetFetch, version, &response);
        let group = match version < 8 {
            true => {
                let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
                let found = partitions.map(|part| (part.partition_index, part.committed_offset));
                (response.error_code, found.collect())
            }
            false => {
                let partitions = response.groups[0].topics.iter().flat_map(|topic| &topic.partitions);
                let found = partitions.map(|part| (part.partition_index, part.committed_offset));
                (response.groups[0].error_code, found.collect())
            }
        };
        match group {
            (0, found) => Ok(found),
            (error, _) => Err(error),
        }
    }

    async fn state(&self) -> String {
        let body = DescribeGroupsRequest::default().with_groups(vec![group()]);
        let response = describe_groups::handle(&self.broker.context, &self.broker.request(5), body).await;
        assert_encodes(ApiKey::DescribeGroups, 5, &response);
        response.groups[0].group_state.to_string()
    }

    async fn listed(&self) -> Vec<(String, String)> {
        let response = list_groups::handle(&self.broker.context, &self.broker.request(5), ListGroupsRequest::default()).await;
        assert_encodes(ApiKey::ListGroups, 5, &response);
        let shown = |group: list_groups_response::ListedGroup| (group.group_type.to_string(), group.group_state.to_string());
        response.groups.into_iter().map(shown).collect()
    }

    async fn delete(&self) -> i16 {
        let body = DeleteGroupsRequest::default().with_groups_names(vec![group(), group()]);
        let response = delete_groups::handle(&self.broker.context, &self.broker.request(2), body).await;
        assert_eq!(response.results.len(), 1);
        response.results[0].error_code
    }

    /// A heartbeat of the new protocol: error, epoch, assigned partitions.
    async fn beat(&self, member_id: &str, epoch: i32) -> (i16, i32, Option<usize>) {
        let mut body = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(group())
            .with_member_id(text(member_id))
            .with_member_epoch(epoch);
        if epoch == 0 {
            body = body
                .with_rebalance_timeout_ms(30_000)
                .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
                .with_topic_partitions(Some(Vec::new()));
        }
        let response = consumer_group_heartbeat::handle(&self.broker.context, &self.broker.request(1), body).await;
        assert_encodes(ApiKey::ConsumerGroupHeartbeat, 1, &response);
        let assigned = response.assignment.map(|assignment| {
            let topics = assignment.topic_partitions.iter();
            topics.map(|topic| topic.partitions.len()).sum()
        });
        (response.error_code, response.member_epoch, assigned)
    }

    async fn described(&self) -> consumer_group_describe_response::DescribedGroup {
        let body = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
        let mut response = consumer_group_describe::handle(&self.broker.context, &self.broker.request(1), body).await;
        assert_encodes(ApiKey::ConsumerGroupDescribe, 1, &response);
        response.groups.remove(0)
    }
}

#[tokio::test]
async fn members_go_on_after_a_restart_and_offsets_are_there() {
    let database = ModelDatabase::default();
    let bench = Bench::start(&database).await;
    bench.broker.create_topic("t", 3, &[]).await;
    let (member_id, generation_id) = bench.stable().await;
    for (version, offset) in (2..=10).zip(1..) {
        let code = bench.commit(version, &member_id, generation_id, "t", 2, offset).await;
        assert_eq!(code, 0, "version {version}");
    }
    drop(bench);
    let bench = Bench::start(&database).await;
    assert_eq!(bench.state().await, "Stable");
    assert_eq!(bench.heartbeat(&member_id, generation_id).await, 0);
    assert_eq!(bench.heartbeat(&member_id, generation_id + 1).await, 22);
    for version in 2..=10 {
        assert_eq!(bench.committed(version).await, [(2, 9)], "version {version}");
    }
    assert_eq!(bench.delete().await, 68);
    assert_eq!(bench.leave(&member_id).await, 0);
    assert_eq!(bench.state().await, "Empty");
    assert_eq!(bench.delete().await, 0);
    assert_eq!(bench.delete().await, 69);
    assert_eq!((bench.committed(8).await, bench.state().await), (vec![], "Dead".to_owned()));
    drop(bench);
    assert_eq!(Bench::start(&database).await.listed().await, []);
}

/// A consumer that is told of no offset begins where it likes; while a topic cannot be read, it is told to ask again.
#[tokio::test]
async fn offsets_of_a_topic_that_cannot_be_read_are_not_said_to_be_none() {
    let database = ModelDatabase::default();
    let bench = Bench::start(&database).await;
    bench.broker.create_topic("t", 1, &[]).await;
    bench.broker.create_topic("read", 1, &[]).await;
    for topic in ["t", "read"] {
        assert_eq!(bench.commit(9, "", -1, topic, 0, 5).await, 0);
    }
    let topic = bench.broker.context.catalog.topics().by_name("t").unwrap().number;
    drop(bench);
    let held = SegmentId { topic, number: 1 };
    database.hold_segment(held);
    let bench = Bench::start(&database).await;
    for version in 2..=9 {
        assert_eq!(bench.fetched(version, Some("t")).await, Err(14), "version {version}");
        assert_eq!(bench.fetched(version, None).await, Err(14), "version {version}");
        assert_eq!(bench.fetched(version, Some("read")).await, Ok(vec![(0, 5)]));
        assert_eq!(bench.fetched(version, Some("nowhere")).await, Ok(vec![(0, -1)]));
    }
    assert_eq!(bench.fetched(10, None).await, Err(14));
    database.release_segment(held);
    let deadline = Instant::now() + Duration::from_secs(10);
    while bench.fetched(8, Some("t")).await == Err(14) {
        assert!(Instant::now() < deadline, "the topic is not read");
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.fetched(8, Some("t")).await, Ok(vec![(0, 5)]));
}

#[tokio::test]
async fn partitions_that_there_are_not_and_bad_metadata_are_refused_alone() {
    let bench = Bench::start(&ModelDatabase::default()).await;
    bench.broker.create_topic("t", 1, &[]).await;
    assert_eq!(bench.commit(9, "", -1, "t", 1, 5).await, 3);
    assert_eq!(bench.commit(9, "", -1, "nowhere", 0, 5).await, 3);
    assert_eq!(bench.commit(10, "", -1, "nowhere", 0, 5).await, 100);
    assert_eq!(bench.listed().await, []);
    assert_eq!(bench.commit(9, "", -1, "t", 0, 5).await, 0);
    assert_eq!(bench.listed().await, [("classic".to_owned(), "Empty".to_owned())]);
    assert_eq!(bench.commit(9, "nobody", 3, "t", 0, 6).await, 25);
    assert_eq!(bench.committed(9).await, [(0, 5)]);
}

/// An assignment that is not stored is not told; the members join again.
#[tokio::test]
async fn a_classic_group_that_cannot_be_stored_rebalances() {
    let database = ModelDatabase::default();
    let bench = Bench::start(&database).await;
    let asked = bench.join("").await;
    let joined = bench.join(&asked.member_id).await;
    database.fail(Call::WriteGroups, 0, failure());
    let synced = bench.sync(&joined.member_id, joined.generation_id).await;
    assert_ne!(synced.error_code, 0);
    assert_eq!(bench.state().await, "PreparingRebalance");
    let again = bench.join(&asked.member_id).await;
    assert_eq!((again.error_code, again.generation_id), (0, joined.generation_id + 1));
    assert_eq!(bench.sync(&again.member_id, again.generation_id).await.error_code, 0);
}

#[tokio::test]
async fn a_group_that_cannot_be_deleted_stays() {
    let database = ModelDatabase::default();
    let bench = Bench::start(&database).await;
    bench.broker.create_topic("t", 1, &[]).await;
    assert_eq!(bench.commit(9, "", -1, "t", 0, 5).await, 0);
    database.fail(Call::WriteGroups, 0, failure());
    assert_eq!(bench.delete().await, 16);
    assert_eq!(bench.committed(9).await, [(0, 5)]);
    assert_eq!(bench.delete().await, 0);
    assert_eq!(bench.listed().await, []);
}

#[tokio::test]
async fn a_consumer_group_lives_through_restarts_and_failed_writes() {
    let database = ModelDatabase::default();
    let bench = Bench::start(&database).await;
    bench.broker.create_topic("t", 3, &[]).await;
    let (code, epoch, assigned) = bench.beat("member", 0).await;
    assert_eq!((code, assigned), (0, Some(3)));
    assert_eq!(bench.beat("member", epoch).await, (0, epoch, None));
    assert_eq!(bench.commit(10, "member", epoch, "t", 0, 5).await, 0);
    assert_eq!(bench.commit(10, "member", epoch + 1, "t", 0, 6).await, 113);
    assert_eq!(bench.described().await.members.len(), 1);
    assert_eq!(bench.state().await, "Dead");
    drop(bench);

    let bench = Bench::start(&database).await;
    assert_eq!(bench.beat("member", epoch).await, (0, epoch, None));
    assert_eq!(bench.listed().await, [("consumer".to_owned(), "Stable".to_owned())]);
    database.fail(Call::WriteGroups, 0, failure());
    assert_eq!(bench.beat("second", 0).await.0, 15);
    // The group goes on from what is stored, when that is read again.
    let deadline = Instant::now() + Duration::from_secs(10);
    let answer = loop {
        let answer = bench.beat("member", epoch).await;
        if answer.0 != 15 {
            break answer;
        }
        assert!(Instant::now() < deadline, "the group is not read again");
        tokio::task::yield_now().await;
    };
    assert_eq!(answer, (0, epoch, None));
    assert_eq!(bench.described().await.members.len(), 1);
    assert_eq!(bench.beat("member", -1).await.0, 0);
    assert_eq!(bench.committed(10).await, [(0, 5)]);
}

/// What a member sends is bounded, and what all take is counted: nothing is left when they are gone.
#[tokio::test]
async fn members_take_bounded_memory() {
    let bench = Bench::start(&ModelDatabase::default()).await;
    bench.broker.create_topic("t", 1, &[]).await;
    let size = || bench.broker.context.groups.size_bytes();
    assert_eq!(size(), 0);
    let protocol = |bytes: usize| {
        JoinGroupRequestProtocol::default()
            .with_name(text("range"))
            .with_metadata(Bytes::from(vec![0; bytes]))
    };
    let request = bench.broker.request(3);
    let join = |bytes| {
        let body = JoinGroupRequest::default()
            .with_group_id(group())
            .with_session_timeout_ms(30_000)
            .with_rebalance_timeout_ms(30_000)
            .with_protocol_type(text("consumer"))
            .with_protocols(vec![protocol(bytes)]);
        join_group::handle(&bench.broker.context, &request, body)
    };
    assert_eq!(join(limits::GROUP_MEMBER_BYTES).await.error_code, 42);
    assert_eq!(size(), 0);
    let joined = join(limits::GROUP_MEMBER_BYTES / 2).await;
    assert_eq!(joined.error_code, 0);
    assert!(size() > limits::GROUP_MEMBER_BYTES / 2);
    assert_eq!(bench.leave(&joined.member_id).await, 0);
    assert_eq!(bench.delete().await, 0);
    assert_eq!(size(), 0);

    let names = (0..20_000).map(|n| TopicName(text(&format!("a topic with a name {n}"))));
    let body = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text("member"))
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(names.collect()))
        .with_topic_partitions(Some(Vec::new()));
    let response = consumer_group_heartbeat::handle(&bench.broker.context, &bench.broker.request(1), body).await;
    assert_eq!(response.error_code, 42);
    assert_eq!(bench.beat("member", 0).await.0, 0);
    assert!(size() > 0);
    assert_eq!(bench.beat("member", -1).await.0, 0);
    assert_eq!(bench.delete().await, 0);
    assert_eq!(size(), 0);
}

/// A commit is answered when it is durable, and a client that waits too long is told to try again.
#[tokio::test(start_paused = true)]
async fn what_a_missing_standby_has_not_confirmed_is_not_acknowledged() {
    let database = ModelDatabase::default();
    let bench = Bench::start(&database).await;
    bench.broker.create_topic("t", 1, &[]).await;
    database.hold_durability(true);
    assert_eq!(bench.commit(9, "", -1, "t", 0, 5).await, 15);
    database.hold_durability(false);
    tokio::time::resume();
    assert_eq!(bench.commit(9, "", -1, "t", 0, 6).await, 0);
    assert_eq!(bench.committed(9).await, [(0, 6)]);
}
