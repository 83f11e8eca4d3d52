//! Requests about nothing are answered with nothing, at every version, and at once.

use kafka_protocol::messages::*;
use kafka_protocol::protocol::StrBytes;
use kafka_test::server::Server;
use std::time::{Duration, Instant};

/// Goal: an empty list in a request is an empty list in its reply, without an error.
#[test]
fn nothing_asked_nothing_answered() {
    let mut connection = Server::shared().connect();
    for version in 3..=13 {
        let reply = connection.call(version, &ProduceRequest::default().with_acks(-1).with_timeout_ms(5_000));
        assert!(reply.responses.is_empty(), "Produce {version}");
    }
    for version in 1..=10 {
        assert!(
            connection.call(version, &ListOffsetsRequest::default()).topics.is_empty(),
            "ListOffsets {version}"
        );
    }
    for version in 2..=7 {
        assert!(
            connection
                .call(version, &CreateTopicsRequest::default().with_timeout_ms(5_000))
                .topics
                .is_empty(),
            "CreateTopics {version}"
        );
    }
    for version in 1..=6 {
        let reply = connection.call(version, &DeleteTopicsRequest::default().with_timeout_ms(5_000));
        assert!(reply.responses.is_empty(), "DeleteTopics {version}");
    }
    for version in 0..=2 {
        let reply = connection.call(version, &DeleteRecordsRequest::default().with_timeout_ms(5_000));
        assert!(reply.topics.is_empty(), "DeleteRecords {version}");
    }
    for version in 2..=4 {
        assert!(
            connection
                .call(version, &OffsetForLeaderEpochRequest::default())
                .topics
                .is_empty(),
            "OffsetForLeaderEpoch {version}"
        );
    }
    for version in 1..=4 {
        assert!(
            connection
                .call(version, &DescribeConfigsRequest::default())
                .results
                .is_empty(),
            "DescribeConfigs {version}"
        );
    }
    for version in 0..=2 {
        let reply = connection.call(version, &AlterConfigsRequest::default());
        assert!(reply.responses.is_empty(), "AlterConfigs {version}");
    }
    for version in 0..=1 {
        let reply = connection.call(version, &IncrementalAlterConfigsRequest::default());
        assert!(reply.responses.is_empty(), "IncrementalAlterConfigs {version}");
    }
}

/// Goal: the same for what changes or describes partitions.
#[test]
fn no_partitions_changed_or_described() {
    let mut connection = Server::shared().connect();
    for version in 0..=3 {
        let request = CreatePartitionsRequest::default().with_timeout_ms(5_000);
        assert!(
            connection.call(version, &request).results.is_empty(),
            "CreatePartitions {version}"
        );
    }
    for version in 0..=1 {
        let mut request = AlterPartitionReassignmentsRequest::default().with_timeout_ms(5_000);
        if version >= 1 {
            request = request.with_allow_replication_factor_change(false);
        }
        let reply = connection.call(version, &request);
        assert_eq!(reply, AlterPartitionReassignmentsResponse::default(), "version {version}");
    }
    for version in 0..=2 {
        let request = ElectLeadersRequest::default().with_topic_partitions(Some(vec![]));
        let reply = connection.call(version, &request);
        assert!(reply.replica_election_results.is_empty(), "ElectLeaders {version}");
        let reply = connection.call(version, &DescribeQuorumRequest::default());
        assert!(reply.topics.is_empty(), "DescribeQuorum {version}");
    }
}

/// Goal: a Fetch of no partition does not wait for bytes that cannot come.
#[test]
fn a_fetch_of_nothing_does_not_wait() {
    let mut connection = Server::shared().connect();
    let started = Instant::now();
    for version in 4..=18 {
        let reply = connection.call(version, &FetchRequest::default().with_max_wait_ms(20_000).with_min_bytes(1));
        assert_eq!((reply.error_code, reply.responses.len()), (0, 0), "version {version}");
    }
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

/// Goal: a Produce of nothing with acks=0 gets no reply, as every acks=0.
#[test]
fn an_unacknowledged_produce_of_nothing_is_silent() {
    let mut connection = Server::shared().connect();
    connection.send(9, &ProduceRequest::default().with_acks(0).with_timeout_ms(5_000));
    let versions = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("a"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    assert_eq!(connection.call(3, &versions).error_code, 0);
}
