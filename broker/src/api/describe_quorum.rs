//! DescribeQuorum, versions 0-2: who keeps the metadata, and how far (KIP-595).
//!
//! Metadata are in the database, so the quorum of `__cluster_metadata` is this node: leader and only voter, without observers, in the
//! leader epoch of the broker. Offsets are positions in PostgreSQL's write-ahead log, in bytes: everything below the high watermark is durable.
//! Any other partition, or another number of them than one, is UNKNOWN_TOPIC_OR_PARTITION (3) for all that were asked for.
//!
//! * 0: the request.
//! * 1: times of the last fetch (KIP-836), which for the leader are now.
//! * 2: error messages, directory ids, the voters' endpoints (KIP-853). A directory has no id here, as in a Kafka with a static quorum.

use kafka_protocol::messages::describe_quorum_response::{Listener, Node, PartitionData, ReplicaState, TopicData};
use kafka_protocol::messages::{BrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::create_topics::admin_code;
use super::endpoint::{endpoint, Endpoint};
use super::{Context, RequestInfo};
use crate::clock::now_ms;

/// Kafka's topic of cluster metadata, which has this one partition.
const METADATA_TOPIC: &str = "__cluster_metadata";
const METADATA_PARTITION: i32 = 0;

/// Answers the request.
pub async fn handle(context: &Context, request: &RequestInfo, body: DescribeQuorumRequest) -> DescribeQuorumResponse {
    if !asks_for_metadata(&body) {
        let error = ResponseError::UnknownTopicOrPartition;
        return refusal(&body, error, "This server does not host this topic-partition.");
    }
    let position = match context.storage.durable_position().await {
        Ok(position) => position,
        Err(error) => return refusal(&body, admin_code(&error), &error.to_string()),
    };
    let quorum = Quorum {
        endpoint: endpoint(&context.settings(), &request.peer),
        leader_epoch: context.catalog.leader_epoch(),
        end: i64::try_from(position.0).unwrap_or(i64::MAX),
        now_ms: now_ms(),
    };
    quorum.describe(request.version)
}

fn asks_for_metadata(body: &DescribeQuorumRequest) -> bool {
    let [topic] = &body.topics[..] else { return false };
    let [partition] = &topic.partitions[..] else { return false };
    topic.topic_name.as_str() == METADATA_TOPIC && partition.partition_index == METADATA_PARTITION
}

fn refusal(body: &DescribeQuorumRequest, error: ResponseError, message: &str) -> DescribeQuorumResponse {
    let topics = body.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            PartitionData::default()
                .with_partition_index(partition.partition_index)
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_string(message.to_owned())))
        });
        TopicData::default()
            .with_topic_name(topic.topic_name.clone())
            .with_partitions(partitions.collect())
    });
    DescribeQuorumResponse::default().with_topics(topics.collect())
}

struct Quorum {
    endpoint: Endpoint,
    leader_epoch: i32,
    /// The end of what is durable, in bytes of the write-ahead log.
    end: i64,
    now_ms: i64,
}

impl Quorum {
    fn describe(self, version: i16) -> DescribeQuorumResponse {
        let node = BrokerId(self.endpoint.node_id);
        let voter = ReplicaState::default()
            .with_replica_id(node)
            .with_log_end_offset(self.end)
            .with_last_fetch_timestamp(self.now_ms)
            .with_last_caught_up_timestamp(self.now_ms);
        let partition = PartitionData::default()
            .with_partition_index(METADATA_PARTITION)
            .with_leader_id(node)
            .with_leader_epoch(self.leader_epoch)
            .with_high_watermark(self.end)
            .with_current_voters(vec![voter]);
        let topic = TopicData::default()
            .with_topic_name(StrBytes::from_static_str(METADATA_TOPIC).into())
            .with_partitions(vec![partition]);
        let response = DescribeQuorumResponse::default().with_topics(vec![topic]);
        if version < 2 {
            return response;
        }
        let listener = Listener::default()
            .with_name(StrBytes::from_static_str("PLAINTEXT"))
            .with_host(self.endpoint.host)
            .with_port(u16::try_from(self.endpoint.port).unwrap_or_default());
        let node = Node::default().with_node_id(node).with_listeners(vec![listener]);
        response.with_nodes(vec![node])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::fixture::TestBroker;
    use crate::api::table::ApiKey;
    use kafka_protocol::messages::describe_quorum_request::{PartitionData as Asked, TopicData as AskedTopic};

    async fn ask(broker: &TestBroker, version: i16, topics: &[(&'static str, &[i32])]) -> DescribeQuorumResponse {
        let topic = |(name, partitions): &(&'static str, &[i32])| {
            let asked = partitions.iter().map(|index| Asked::default().with_partition_index(*index));
            AskedTopic::default()
                .with_topic_name(StrBytes::from_static_str(name).into())
                .with_partitions(asked.collect())
        };
        let body = DescribeQuorumRequest::default().with_topics(topics.iter().map(topic).collect());
        let response = handle(&broker.context, &broker.request(version), body).await;
        assert_encodes(ApiKey::DescribeQuorum, version, &response);
        response
    }

    /// The quorum is this node, and its log grows with what is written.
    #[tokio::test]
    async fn this_node_is_the_quorum() {
        let broker = TestBroker::start();
        let mut before = -1;
        for version in ApiKey::DescribeQuorum.api().served.iter() {
            broker.create_topic(&format!("t{version}"), 1, &[]).await;
            let response = ask(&broker, version, &[(METADATA_TOPIC, &[0])]).await;
            let partition = &response.topics[0].partitions[0];
            assert_eq!((response.error_code, partition.error_code, partition.leader_id.0), (0, 0, 1));
            assert_eq!(partition.leader_epoch, broker.context.catalog.leader_epoch());
            assert_eq!((partition.current_voters.len(), partition.observers.len()), (1, 0));
            assert_eq!(partition.current_voters[0].log_end_offset, partition.high_watermark);
            assert!(
                partition.high_watermark > before,
                "{} after {before}",
                partition.high_watermark
            );
            before = partition.high_watermark;
            assert_eq!(response.nodes.len(), usize::from(version >= 2));
        }
    }

    #[tokio::test]
    async fn other_partitions_are_unknown() {
        let broker = TestBroker::start();
        for version in ApiKey::DescribeQuorum.api().served.iter() {
            let wrong: [&[(&str, &[i32])]; 4] = [
                &[("t", &[0])],
                &[(METADATA_TOPIC, &[1])],
                &[(METADATA_TOPIC, &[0, 1])],
                &[(METADATA_TOPIC, &[0]), ("t", &[0])],
            ];
            for asked in wrong {
                let response = ask(&broker, version, asked).await;
                let mut partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
                assert!(partitions.all(|partition| partition.error_code == 3), "{asked:?}");
                assert_eq!((response.error_code, response.topics.len()), (0, asked.len()));
            }
            assert!(ask(&broker, version, &[]).await.topics.is_empty());
            assert!(ask(&broker, version, &[(METADATA_TOPIC, &[])]).await.topics[0]
                .partitions
                .is_empty());
        }
    }
}
