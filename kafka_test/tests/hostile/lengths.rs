//! Lengths that lie.

use crate::{Bystander, MIB};
use kafka_protocol::messages::create_topics_request::CreatableTopicConfig;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Request, StrBytes};
use kafka_test::batch::Batch;
use kafka_test::connection::encode_frame;
use kafka_test::requests::{fetch_request, list_offsets_request, produce_request, Reading};
use kafka_test::server::Server;
use kafka_test::topic::{creatable, topic_name, Topic};
use std::time::Duration;

fn frames<R: Request>(versions: std::ops::RangeInclusive<i16>, request: impl Fn(i16) -> R, found: &mut Vec<Vec<u8>>) {
    found.extend(versions.map(|v| encode_frame(v, v, 1, &request(v))));
}

/// A valid frame of every API and version that has arrays.
fn valid_frames(topic: &Topic) -> Vec<Vec<u8>> {
    let name = topic.topic_name();
    let text = StrBytes::from_static_str;
    let mut found = Vec::new();
    frames(
        3..=13,
        |v| produce_request(v, topic, 0, 1, &Batch::of(["x"]).encode()),
        &mut found,
    );
    frames(4..=18, |v| fetch_request(v, topic, Reading::from(0)), &mut found);
    frames(1..=10, |_| list_offsets_request(topic, 0, -1), &mut found);
    let asked = MetadataRequestTopic::default().with_name(Some(name.clone()));
    frames(
        0..=13,
        |v| {
            MetadataRequest::default()
                .with_allow_auto_topic_creation(v < 4)
                .with_topics(Some(vec![asked.clone()]))
        },
        &mut found,
    );
    frames(
        4..=6,
        |_| FindCoordinatorRequest::default().with_coordinator_keys(vec![text("group")]),
        &mut found,
    );
    let config = CreatableTopicConfig::default()
        .with_name(text("retention.ms"))
        .with_value(Some(text("1")));
    let made = creatable("never-made", 1, &[]).with_configs(vec![config]);
    frames(
        2..=7,
        |_| {
            CreateTopicsRequest::default()
                .with_validate_only(true)
                .with_topics(vec![made.clone()])
        },
        &mut found,
    );
    frames(
        1..=5,
        |_| DeleteTopicsRequest::default().with_topic_names(vec![topic_name("never-made")]),
        &mut found,
    );
    let state = DeleteTopicState::default().with_name(Some(topic_name("never-made")));
    frames(
        6..=6,
        |_| DeleteTopicsRequest::default().with_topics(vec![state.clone()]),
        &mut found,
    );
    let partition = DeleteRecordsPartition::default().with_offset(0);
    let deleted = DeleteRecordsTopic::default()
        .with_name(name.clone())
        .with_partitions(vec![partition]);
    frames(
        0..=2,
        |_| DeleteRecordsRequest::default().with_topics(vec![deleted.clone()]),
        &mut found,
    );
    let epoch = OffsetForLeaderTopic::default()
        .with_topic(name)
        .with_partitions(vec![OffsetForLeaderPartition::default()]);
    frames(
        2..=4,
        |_| OffsetForLeaderEpochRequest::default().with_topics(vec![epoch.clone()]),
        &mut found,
    );
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(text("t"))
        .with_configuration_keys(Some(vec![text("k")]));
    frames(
        1..=4,
        |_| DescribeConfigsRequest::default().with_resources(vec![resource.clone()]),
        &mut found,
    );
    found
}

/// Goal: a claim of 2^31-1 elements or bytes, at any place of any request in either encoding, gets an answer or a close; memory stays.
#[test]
fn a_claim_of_two_billion_elements_anywhere() {
    let server = Server::shared();
    let topic = server.topic("claims", 1);
    let mut bystander = Bystander::of(server);
    let plain = i32::MAX.to_be_bytes();
    let compact = [0xff, 0xff, 0xff, 0xff, 0x07];
    for frame in valid_frames(&topic) {
        let is_fetch = frame[1] == 1;
        for at in 4..frame.len() {
            let mut overwritten = frame.clone();
            let end = frame.len().min(at + 4);
            overwritten[at..end].copy_from_slice(&plain[..end - at]);
            let mut replaced = frame.clone();
            replaced.splice(at..at + 1, compact);
            for hostile in [overwritten, replaced] {
                let mut connection = server.connect();
                connection.send_frame(&hostile);
                // In a Fetch the claim may be the time to wait.
                let limit = if is_fetch {
                    Duration::from_millis(5)
                } else {
                    Duration::from_secs(10)
                };
                let reacted = connection.reacts_within(limit);
                assert!(reacted || is_fetch, "no answer and no close: {hostile:02x?}");
            }
        }
    }
    bystander.finds_all_well(server, 150 * MIB);
}

/// Goal: an element of one byte in the frame can be a large struct in memory: 90 MiB of them in one frame do not multiply.
#[test]
fn many_tiny_elements_do_not_multiply() {
    let server = Server::shared();
    let mut bystander = Bystander::of(server);
    // Metadata 12: header of version 2 without a client id, then a compact array of as many topics as there are bytes.
    for elements in [1 << 20, 90 << 20] {
        let mut frame = vec![0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 0];
        let mut count = elements as u64 + 1;
        while count >= 0x80 {
            frame.push(count as u8 | 0x80);
            count >>= 7;
        }
        frame.push(count as u8);
        frame.resize(frame.len() + elements, 0);
        let mut connection = server.connect();
        // The server may close while the frame is still being sent.
        let _ = connection.try_send_frame(&frame);
        assert!(connection.reacts_within(Duration::from_secs(30)), "no answer and no close");
    }
    bystander.finds_all_well(server, 300 * MIB);
}

/// Goal: a header that ends early is closed, at every length.
#[test]
fn a_truncated_header_is_closed() {
    let server = Server::shared();
    let mut bystander = Bystander::of(server);
    for frame in [
        encode_frame(12, 12, 1, &MetadataRequest::default()),
        encode_frame(1, 1, 1, &MetadataRequest::default()),
    ] {
        for length in 0..18 {
            let mut connection = server.connect();
            connection.send_frame(&frame[..length]);
            connection.assert_closed_within(Duration::from_secs(10), &format!("a header of {length} bytes"));
        }
    }
    bystander.finds_all_well(server, 50 * MIB);
}

/// Goal: 100 connections that announce 100 MiB and send nothing, or a little, cost nothing and are closed after the idle limit.
#[test]
fn an_announced_body_that_never_comes() {
    let server = Server::start_pg_kafka(&[("pg_kafka.connections_max_idle", "10s")]);
    let mut bystander = Bystander::of(&server);
    let mut waiting: Vec<_> = (0..100)
        .map(|i| {
            let mut connection = server.connect();
            connection.send_bytes(&(100u32 << 20).to_be_bytes());
            connection.send_bytes(&vec![0; i * 100]);
            connection
        })
        .collect();
    bystander.finds_all_well(&server, 50 * MIB);
    for connection in &mut waiting {
        connection.assert_closed_within(Duration::from_secs(20), "a frame without progress");
    }
    bystander.finds_all_well(&server, 50 * MIB);
}
