//! DescribeTopicPartitions, version 0: topics with their partitions, page by page (KIP-966).
//!
//! Topics are answered by name, each once; an empty list means all of them. A response has at most `response_partition_limit`
//! partitions, which is read as 1 below that and as [`limits::PARTITIONS_PER_DESCRIPTION`] above it; where there is more, the cursor
//! names the topic and partition with which to go on, and a request with it begins there. A cursor with a negative partition, or one
//! that is not among the topics of a request that names any, is INVALID_REQUEST (42) for all its topics. A topic that does not exist
//! is UNKNOWN_TOPIC_OR_PARTITION (3), an impossible name INVALID_TOPIC_EXCEPTION (17). There are no eligible leader replicas: there is
//! one replica, which leads.
//!
//! * 0: the request.

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{BrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::ResponseError;

use super::{operations, Context, RequestInfo};
use crate::catalog::names::{check_name, is_internal};
use crate::catalog::{Topic, Topics};
use crate::limits;

/// Answers the request.
pub async fn handle(
    context: &Context,
    _request: &RequestInfo,
    body: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let view = View {
        node: BrokerId(context.settings().node_id),
        leader_epoch: context.catalog.leader_epoch(),
        topics: &context.catalog.topics(),
    };
    view.respond(&body)
}

struct View<'a> {
    node: BrokerId,
    leader_epoch: i32,
    topics: &'a Topics,
}

impl View<'_> {
    fn respond(&self, body: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
        let (first, from) = match &body.cursor {
            Some(cursor) => (cursor.topic_name.as_str(), cursor.partition_index),
            None => ("", 0),
        };
        let all = body.topics.is_empty();
        let names: BTreeSet<&str> = if all {
            self.topics.iter().map(|topic| &*topic.name).collect()
        } else {
            body.topics.iter().map(|topic| topic.name.as_str()).collect()
        };
        let elsewhere = !all && body.cursor.is_some() && !names.contains(first);
        let Some(from) = usize::try_from(from).ok().filter(|_| !elsewhere) else {
            return refusal(body);
        };
        let mut page = Page {
            left: usize::try_from(body.response_partition_limit)
                .unwrap_or(0)
                .clamp(1, limits::PARTITIONS_PER_DESCRIPTION),
            topics: Vec::new(),
        };
        for name in names.range(first..) {
            let from = if *name == first { from } else { 0 };
            if let Some(next) = self.add(&mut page, name, from) {
                let cursor = Cursor::default().with_topic_name(topic_name(name)).with_partition_index(next);
                return page.close(Some(cursor));
            }
        }
        page.close(None)
    }

    /// Adds what there is room for of a topic; the partition to go on with if that is not everything.
    fn add(&self, page: &mut Page, name: &str, from: usize) -> Option<i32> {
        if page.left == 0 {
            return Some(0);
        }
        let Some(topic) = self.topics.by_name(name) else {
            page.topics.push(missing(name));
            return None;
        };
        let count = topic.partitions.len();
        let end = count.min(from.saturating_add(page.left));
        let partitions: Vec<_> = (from..end).map(|index| self.partition(index)).collect();
        page.left -= partitions.len();
        page.topics.push(described(topic).with_partitions(partitions));
        (end < count).then_some(end as i32)
    }

    fn partition(&self, index: usize) -> DescribeTopicPartitionsResponsePartition {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(index as i32)
            .with_leader_id(self.node)
            .with_leader_epoch(self.leader_epoch)
            .with_replica_nodes(vec![self.node])
            .with_isr_nodes(vec![self.node])
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    }
}

/// A response that is being filled.
struct Page {
    left: usize,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
}

impl Page {
    fn close(self, next: Option<Cursor>) -> DescribeTopicPartitionsResponse {
        DescribeTopicPartitionsResponse::default()
            .with_topics(self.topics)
            .with_next_cursor(next)
    }
}

fn described(topic: &Topic) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic::default()
        .with_name(Some(topic_name(&topic.name)))
        .with_topic_id(topic.id)
        .with_is_internal(is_internal(&topic.name))
        .with_topic_authorized_operations(operations::TOPIC)
}

fn missing(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error = match check_name(name) {
        Ok(()) => ResponseError::UnknownTopicOrPartition,
        Err(_) => ResponseError::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(topic_name(name)))
        .with_is_internal(is_internal(name))
        .with_topic_authorized_operations(operations::TOPIC)
}

fn refusal(body: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refused = body.topics.iter().map(|topic| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ResponseError::InvalidRequest.code())
            .with_name(Some(topic.name.clone()))
    });
    DescribeTopicPartitionsResponse::default()
        .with_topics(refused.collect())
        .with_next_cursor(None)
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::encoding::assert_encodes;
    use crate::api::table::ApiKey;
    use crate::catalog::sample;
    use kafka_protocol::messages::describe_topic_partitions_request::{Cursor as RequestCursor, TopicRequest};

    fn ask(names: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsResponse {
        let topics = names.iter().map(|name| TopicRequest::default().with_name(topic_name(name)));
        let cursor = cursor.map(|(name, index)| {
            RequestCursor::default()
                .with_topic_name(topic_name(name))
                .with_partition_index(index)
        });
        let body = DescribeTopicPartitionsRequest::default()
            .with_topics(topics.collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor);
        let view = View {
            node: BrokerId(5),
            leader_epoch: 9,
            topics: &sample::topics(&[("b", 3), ("a", 2), ("__consumer_offsets", 1)]),
        };
        let response = view.respond(&body);
        assert_encodes(ApiKey::DescribeTopicPartitions, 0, &response);
        response
    }

    type Summary = (Vec<(String, i16, Vec<i32>)>, Option<(String, i32)>);

    /// (name, error, partitions) of each topic, and the next cursor.
    fn summary(response: &DescribeTopicPartitionsResponse) -> Summary {
        let topics = response.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| partition.partition_index);
            let name = topic.name.as_ref().unwrap().to_string();
            (name, topic.error_code, partitions.collect())
        });
        let next = response.next_cursor.as_ref();
        (
            topics.collect(),
            next.map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index)),
        )
    }

    fn check(response: &DescribeTopicPartitionsResponse, topics: &[(&str, i16, &[i32])], next: Option<(&str, i32)>) {
        let topics = topics
            .iter()
            .map(|(name, code, partitions)| ((*name).to_owned(), *code, partitions.to_vec()));
        let next = next.map(|(name, index)| (name.to_owned(), index));
        assert_eq!(summary(response), (topics.collect(), next));
    }

    #[test]
    fn topics_are_described_by_name_each_once() {
        let response = ask(&["b", "a", "none", "a b", "a"], 2000, None);
        let expected: &[(&str, i16, &[i32])] = &[("a", 0, &[0, 1]), ("a b", 17, &[]), ("b", 0, &[0, 1, 2]), ("none", 3, &[])];
        check(&response, expected, None);
        let topic = &response.topics[0];
        assert!(!topic.topic_id.is_nil() && topic.topic_authorized_operations == operations::TOPIC);
        let partition = &topic.partitions[1];
        assert_eq!((partition.leader_id, partition.leader_epoch), (BrokerId(5), 9));
        assert_eq!(partition.replica_nodes, [BrokerId(5)]);
        assert_eq!(partition.eligible_leader_replicas, Some(vec![]));
        let all = ask(&[], 2000, None);
        check(
            &all,
            &[("__consumer_offsets", 0, &[0]), ("a", 0, &[0, 1]), ("b", 0, &[0, 1, 2])],
            None,
        );
        assert!(all.topics[0].is_internal && !all.topics[1].is_internal);
    }

    #[test]
    fn pages_end_at_the_limit_and_go_on_at_the_cursor() {
        check(&ask(&["a", "b"], 1, None), &[("a", 0, &[0])], Some(("a", 1)));
        check(&ask(&["a", "b"], 2, None), &[("a", 0, &[0, 1])], Some(("b", 0)));
        check(&ask(&["a", "none"], 2, None), &[("a", 0, &[0, 1])], Some(("none", 0)));
        check(&ask(&["a"], 2, None), &[("a", 0, &[0, 1])], None);
        for limit in [0, -7, i32::MIN] {
            check(&ask(&["a"], limit, None), &[("a", 0, &[0])], Some(("a", 1)));
        }
        check(
            &ask(&["a", "b"], 2, Some(("a", 1))),
            &[("a", 0, &[1]), ("b", 0, &[0])],
            Some(("b", 1)),
        );
        check(&ask(&["a", "b"], 3, Some(("b", 1))), &[("b", 0, &[1, 2])], None);
        check(&ask(&[], 9, Some(("aa", 1))), &[("b", 0, &[0, 1, 2])], None);
        check(&ask(&["a"], 9, Some(("a", i32::MAX))), &[("a", 0, &[])], None);
    }

    /// Following the cursors gives every partition once, whatever the limit.
    #[test]
    fn paging_ends_with_every_partition_seen() {
        for limit in 1..8 {
            let mut cursor = None;
            let mut seen = Vec::new();
            for _ in 0..20 {
                let response = ask(
                    &[],
                    limit,
                    cursor.as_ref().map(|(name, index): &(String, i32)| (name.as_str(), *index)),
                );
                let (topics, next) = summary(&response);
                for (name, _, partitions) in topics {
                    seen.extend(partitions.into_iter().map(|index| (name.clone(), index)));
                }
                cursor = next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(cursor, None, "limit {limit}");
            let expected = [("__consumer_offsets", 1), ("a", 2), ("b", 3)]
                .iter()
                .flat_map(|(name, count)| (0..*count).map(|index| ((*name).to_owned(), index)));
            assert_eq!(seen, expected.collect::<Vec<_>>(), "limit {limit}");
        }
    }

    #[test]
    fn impossible_cursors_are_invalid_requests() {
        check(&ask(&["b"], 2, Some(("a", 0))), &[("b", 42, &[])], None);
        check(&ask(&["b"], 2, Some(("", 0))), &[("b", 42, &[])], None);
        check(&ask(&["b", "a"], 2, Some(("a", -1))), &[("b", 42, &[]), ("a", 42, &[])], None);
        check(&ask(&[], 2, Some(("a", -1))), &[], None);
    }
}
