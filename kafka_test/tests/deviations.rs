//! Where pg_kafka differs from Apache Kafka on purpose: each entry of docs/deviations.md that a client can see. For pg_kafka only.
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_topic_partitions_request::TopicRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterConfigsRequest, ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeConfigsRequest, DescribeLogDirsRequest, DescribeQuorumRequest, DescribeTopicPartitionsRequest,
    FindCoordinatorRequest, MetadataRequest, UpdateFeaturesRequest,
};
use kafka_protocol::protocol::StrBytes;
use kafka_test::batch::Batch;
use kafka_test::configs::{alter_all, alteration, altered, described, text, Op, BROKER, CLIENT_METRICS, GROUP, TOPIC};
use kafka_test::consumer_group::{joining, ConsumerMember};
use kafka_test::groups::{Joining, Member};
use kafka_test::offsets::{commit, commit_errors, commit_one, commit_request, committing};
use kafka_test::requests::append;
use kafka_test::server::{Server, DEFAULT_PARTITIONS};
use kafka_test::sql::session;
use kafka_test::topic::{creatable, metadata_of, topic_name, unique_name};

const INVALID_CONFIG: i16 = 40;
const INVALID_REQUEST: i16 = 42;
const UNRELEASED_INSTANCE_ID: i16 = 111;

/// Goal: the Metadata request that makes a topic describes it in the same answer.
#[test]
fn auto_creation_answers_at_once() {
    let mut connection = Server::shared().connect();
    for version in [1, 9, 13] {
        let name = unique_name("at-once");
        let asked = MetadataRequestTopic::default().with_name(Some(topic_name(&name)));
        let request = MetadataRequest::default()
            .with_allow_auto_topic_creation(true)
            .with_topics(Some(vec![asked]));
        let found = connection.call(version, &request).topics.remove(0);
        assert_eq!(
            (found.error_code, found.partitions.len() as i32),
            (0, DEFAULT_PARTITIONS),
            "version {version}"
        );
        assert_eq!(metadata_of(&mut connection, &name).error_code, 0);
    }
}

/// Goal: a topic with neither name nor id is INVALID_REQUEST.
#[test]
fn neither_name_nor_id() {
    let mut connection = Server::shared().connect();
    for version in [12, 13] {
        let asked = MetadataRequestTopic::default().with_name(None);
        let reply = connection.call(version, &MetadataRequest::default().with_topics(Some(vec![asked])));
        assert_eq!(reply.topics[0].error_code, INVALID_REQUEST, "version {version}");
    }
}

/// Goal: DeleteTopics answers in the order of the request.
#[test]
fn deletions_are_answered_in_order() {
    let server = Server::shared();
    let names: Vec<String> = (0..8)
        .map(|i| {
            if i % 2 == 0 {
                server.topic("ordered", 1).name
            } else {
                unique_name("missing")
            }
        })
        .collect();
    let topics = names
        .iter()
        .map(|n| DeleteTopicState::default().with_name(Some(topic_name(n))))
        .collect();
    let reply = server
        .connect()
        .call(6, &DeleteTopicsRequest::default().with_timeout_ms(20_000).with_topics(topics));
    let answered: Vec<String> = reply
        .responses
        .iter()
        .map(|r| r.name.as_ref().unwrap().0.to_string())
        .collect();
    assert_eq!(answered, names);
    let codes: Vec<i16> = reply.responses.iter().map(|r| r.error_code).collect();
    assert_eq!(codes, [0, 3, 0, 3, 0, 3, 0, 3]);
}

/// Goal: a setting of the broker is refused with the way to change it, whether Kafka could change it or not; there is none to delete.
#[test]
fn settings_are_changed_in_postgres() {
    let mut connection = Server::shared().connect();
    for key in [
        "num.partitions",
        "log.cleaner.threads",
        "pg_kafka.default_partitions",
        "no.such.key",
    ] {
        for op in [Op::Set("7"), Op::Append("7"), Op::Subtract("7")] {
            let told = alter_all(&mut connection, 1, vec![alteration(BROKER, "1", &[(key, op)])]);
            let message = told[0].1.as_deref().unwrap_or_default();
            assert_eq!(told[0].0, INVALID_REQUEST, "{key}: {message}");
            assert!(message.contains(key) && message.contains("ALTER SYSTEM SET"), "{message}");
        }
        let told = alter_all(&mut connection, 1, vec![alteration(BROKER, "1", &[(key, Op::Delete)])]);
        assert_eq!(told, [(0, None)]);
    }
}

/// Goal: client metrics and groups have no configs here.
#[test]
fn client_metrics_and_groups_cannot_be_altered() {
    let mut connection = Server::shared().connect();
    for kind in [CLIENT_METRICS, GROUP] {
        let told = alter_all(&mut connection, 1, vec![alteration(kind, "x", &[])]);
        assert_eq!(told[0].0, INVALID_REQUEST, "{kind}");
    }
}

/// Goal: an operation that does not exist is INVALID_REQUEST.
#[test]
fn unknown_operations_on_configs() {
    let server = Server::shared();
    let topic = server.topic("operations", 1);
    for number in [-1, 4, 9] {
        let changes = [("retention.ms", Op::Raw(number, Some("1")))];
        let told = alter_all(&mut server.connect(), 1, vec![alteration(TOPIC, &topic.name, &changes)]);
        assert_eq!(told[0].0, INVALID_REQUEST, "operation {number}");
    }
}

/// Goal: an AlterConfigs that names a resource twice is answered in both places.
#[test]
fn altering_a_resource_twice() {
    let server = Server::shared();
    let topic = server.topic("twice", 1);
    let resource = AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(text(&topic.name));
    for version in 0..=2 {
        let request = AlterConfigsRequest::default().with_resources(vec![resource.clone(), resource.clone()]);
        let codes: Vec<i16> = server
            .connect()
            .call(version, &request)
            .responses
            .iter()
            .map(|r| r.error_code)
            .collect();
        assert_eq!(codes, [INVALID_REQUEST; 2]);
    }
}

/// Goal: min.insync.replicas is a default, and set it is stored and described without an effect.
#[test]
fn min_insync_replicas_has_no_effect() {
    let server = Server::shared();
    let topic = server.topic("in-sync", 1);
    let mut connection = server.connect();
    let key = "min.insync.replicas";
    assert_eq!(described(&mut connection, TOPIC, &topic.name, key), (Some("1".to_owned()), 5));
    altered(&mut connection, &topic.name, &[(key, Op::Set("3"))]);
    append(&mut connection, &topic, 0, &Batch::of(["x"]));
}

/// Goal: all partitions of all topics have the same leader epoch.
#[test]
fn one_leader_epoch_for_all() {
    let server = Server::shared();
    let (first, second) = (server.topic("epoch", 3), server.topic("epoch", 1));
    let mut connection = server.connect();
    let mut epochs: Vec<i32> = [first, second]
        .iter()
        .flat_map(|t| metadata_of(&mut connection, &t.name).partitions)
        .map(|p| p.leader_epoch)
        .collect();
    epochs.dedup();
    assert_eq!(epochs.len(), 1, "{epochs:?}");
}

/// Goal: configs without effect are kept and described; tiered storage is refused.
#[test]
fn configs_without_effect_are_kept() {
    let server = Server::shared();
    let configs = [
        ("flush.messages", "5"),
        ("preallocate", "true"),
        ("segment.index.bytes", "4096"),
        ("min.insync.replicas", "2"),
    ];
    let topic = server.topic_with("kept", 1, &configs);
    let mut connection = server.connect();
    let resource = DescribeConfigsResource::default()
        .with_resource_type(2)
        .with_resource_name(StrBytes::from_string(topic.name))
        .with_configuration_keys(None);
    let result = connection
        .call(4, &DescribeConfigsRequest::default().with_resources(vec![resource]))
        .results
        .remove(0);
    for (name, value) in configs {
        let found = result.configs.iter().find(|c| c.name.as_str() == name).unwrap();
        assert_eq!((found.value.as_deref(), found.config_source), (Some(value), 1), "{name}");
    }
    let tiered = creatable(&unique_name("tiered"), 1, &[("remote.storage.enable", "true")]);
    let reply = connection.call(
        7,
        &CreateTopicsRequest::default()
            .with_timeout_ms(5_000)
            .with_topics(vec![tiered]),
    );
    assert_eq!(reply.topics[0].error_code, INVALID_CONFIG);
}

/// Goal: the broker's resource has the settings under their own names, read only; loggers are an empty list, groups and client metrics
/// are refused, and a resource named twice is answered once.
#[test]
fn resources_of_the_broker() {
    let mut connection = Server::shared().connect();
    let resource = |kind: i8, name: &'static str| {
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(StrBytes::from_static_str(name))
            .with_configuration_keys(None)
    };
    let mut ask = |resources| {
        connection
            .call(4, &DescribeConfigsRequest::default().with_resources(resources))
            .results
    };
    let broker = ask(vec![resource(4, "1"), resource(4, "1")]);
    assert_eq!(broker.len(), 1, "named twice, answered once");
    let found = |name: &str| {
        broker[0]
            .configs
            .iter()
            .find(|c| c.name.as_str() == name)
            .unwrap_or_else(|| panic!("{name} is missing"))
    };
    assert_eq!(found("pg_kafka.default_partitions").value.as_deref(), Some("3"));
    assert!(broker[0].configs.iter().all(|c| c.read_only));
    let loggers = ask(vec![resource(8, "1")]);
    assert_eq!((loggers[0].error_code, loggers[0].configs.len()), (0, 0));
    for kind in [16, 32] {
        assert_eq!(
            ask(vec![resource(kind, "x")])[0].error_code,
            INVALID_REQUEST,
            "resource type {kind}"
        );
    }
}

/// Goal: the new consumer groups are the one feature; what has the lowest level 0 is listed as supported from version 4 on.
#[test]
fn one_feature() {
    let request = ApiVersionsRequest::default()
        .with_client_software_name(StrBytes::from_static_str("kafka-test"))
        .with_client_software_version(StrBytes::from_static_str("1"));
    let mut connection = Server::shared().connect();
    for (version, listed) in [(3, 0), (4, 1)] {
        let reply = connection.call(version, &request);
        let finalized = reply.finalized_features.iter();
        let finalized: Vec<_> = finalized
            .map(|feature| (feature.name.to_string(), feature.max_version_level))
            .collect();
        assert_eq!(finalized, [("group.version".to_owned(), 1)], "version {version}");
        assert_eq!((reply.supported_features.len(), reply.finalized_features_epoch), (listed, 1));
    }
}

/// Goal: coordinators of transactions and share groups are INVALID_REQUEST.
#[test]
fn only_groups_have_coordinators() {
    let mut connection = Server::shared().connect();
    for kind in [1, 2] {
        let request = FindCoordinatorRequest::default()
            .with_key_type(kind)
            .with_coordinator_keys(vec![StrBytes::from_static_str("k")]);
        assert_eq!(
            connection.call(6, &request).coordinators[0].error_code,
            INVALID_REQUEST,
            "key type {kind}"
        );
    }
}

/// Goal: more than 10,000 partitions in one CreatePartitions are POLICY_VIOLATION.
#[test]
fn partitions_per_request_are_limited() {
    let server = Server::shared();
    let topic = server.topic("too-many", 1);
    let wanted = CreatePartitionsTopic::default()
        .with_name(topic.topic_name())
        .with_count(10_002)
        .with_assignments(None);
    let mut connection = server.connect();
    for dry in [true, false] {
        let request = CreatePartitionsRequest::default()
            .with_timeout_ms(5_000)
            .with_validate_only(dry)
            .with_topics(vec![wanted.clone()]);
        assert_eq!(connection.call(3, &request).results[0].error_code, 44);
    }
    assert_eq!(metadata_of(&mut connection, &topic.name).partitions.len(), 1);
}

/// Goal: DescribeTopicPartitions of an empty name is INVALID_TOPIC for that name alone.
#[test]
fn an_empty_name_is_described_as_invalid() {
    let server = Server::shared();
    let topic = server.topic("beside-empty", 1);
    let topics = ["", &topic.name].map(|name| TopicRequest::default().with_name(topic_name(name)));
    let request = DescribeTopicPartitionsRequest::default().with_topics(topics.to_vec());
    let reply = server.connect().call(0, &request);
    let codes: Vec<i16> = reply.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(codes, [17, 0]);
}

/// Goal: features that Kafka knows are unknown here but for group.version, which has one level; of several the first is named.
#[test]
fn no_feature_can_be_updated() {
    let mut connection = Server::shared().connect();
    for feature in ["metadata.version", "share.version", "transaction.version"] {
        let update = |feature| {
            FeatureUpdateKey::default()
                .with_feature(StrBytes::from_static_str(feature))
                .with_max_version_level(1)
        };
        let request = UpdateFeaturesRequest::default().with_feature_updates(vec![update(feature), update("other")]);
        let reply = connection.call(2, &request);
        assert_eq!(reply.error_code, 95);
        let message = reply.error_message.unwrap();
        assert!(
            message.contains(&format!("1 for feature {feature}. Local controller 1 does not")),
            "{message}"
        );
    }
    let lowered = FeatureUpdateKey::default()
        .with_feature(StrBytes::from_static_str("group.version"))
        .with_max_version_level(0)
        .with_upgrade_type(2);
    let reply = connection.call(2, &UpdateFeaturesRequest::default().with_feature_updates(vec![lowered]));
    assert_eq!(reply.error_code, 95);
    assert!(reply.error_message.unwrap().contains("no other level"));
}

/// Goal: the sizes of a topic's partitions add up to what PostgreSQL says of its segments, and the directory is PostgreSQL's.
#[test]
fn sizes_are_those_of_the_segments() {
    let server = Server::shared();
    let topic = server.topic("weighed", 3);
    let mut connection = server.connect();
    for partition in [0, 1, 1, 1] {
        append(&mut connection, &topic, partition, &Batch::of(["x".repeat(30_000).as_str()]));
    }
    let asked = DescribableLogDirTopic::default()
        .with_topic(topic.topic_name())
        .with_partitions(vec![0, 1, 2]);
    let request = DescribeLogDirsRequest::default().with_topics(Some(vec![asked]));
    let result = connection.call(4, &request).results.remove(0);
    let sizes: Vec<i64> = result.topics[0].partitions.iter().map(|p| p.partition_size).collect();
    let mut session = session(server);
    let sql = "SELECT sum(pg_relation_size(format('kafka_log.t%s_s%s', t.id, s.number)::regclass)
                        + pg_relation_size(format('kafka_log.t%s_s%s_key', t.id, s.number)::regclass))::int8,
                      current_setting('data_directory')
                 FROM kafka.topics t JOIN kafka.segments s ON s.topic = t.id WHERE t.name = $1 AND s.base_offsets IS NOT NULL";
    let row = session.query_one(sql, &[&topic.name]).unwrap();
    assert_eq!(sizes.iter().sum::<i64>(), row.get::<_, i64>(0), "{sizes:?}");
    assert!(sizes[1] > 2 * sizes[0] && sizes[2] == 0, "{sizes:?}");
    assert_eq!(result.log_dir.as_str(), row.get::<_, String>(1));
}

/// Goal: the offsets of the quorum are positions in the write-ahead log, its epoch is that of the topics.
#[test]
fn the_quorum_s_log_is_the_write_ahead_log() {
    let server = Server::shared();
    let topic = server.topic("quorum", 1);
    let mut connection = server.connect();
    let mut session = session(server);
    let mut flushed = || -> i64 {
        let sql = "SELECT (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::int8";
        session.query_one(sql, &[]).unwrap().get(0)
    };
    let asked = TopicData::default()
        .with_topic_name(topic_name("__cluster_metadata"))
        .with_partitions(vec![PartitionData::default()]);
    let before = flushed();
    let reply = connection.call(2, &DescribeQuorumRequest::default().with_topics(vec![asked]));
    let partition = &reply.topics[0].partitions[0];
    assert!((before..=flushed()).contains(&partition.high_watermark));
    let epoch = metadata_of(&mut connection, &topic.name).partitions[0].leader_epoch;
    assert_eq!(partition.leader_epoch, epoch);
    let listener = &reply.nodes[0].listeners[0];
    assert!(server.bootstrap.ends_with(&format!(":{}", listener.port)));
}

/// Goal: a protocol that a member names twice counts once, and a subscription that claims more than it has is answered.
#[test]
fn odd_protocols_of_members_are_answered() {
    let server = Server::shared();
    let group = server.group("odd");
    let claims_too_much: &[u8] = b"\0\0\x7f\xff\xff\xff";
    for protocols in [[("a", claims_too_much), ("b", b"")], [("a", b""), ("a", b"")]] {
        let mut member = Member::with(server, Joining::new(&group).protocols(&protocols));
        let joined = member.join();
        assert_eq!((joined.error_code, joined.protocol_name.as_deref()), (0, Some("a")));
        assert_eq!(member.sync(&[(member.id().to_owned().as_str(), b"x")]).error_code, 0);
        assert_eq!(member.leave(), 0);
    }
}

/// Goal: NUL stands in no name of a group, and in no metadata of an offset.
#[test]
fn names_with_nul_are_refused() {
    let server = Server::shared();
    let topic = server.topic("nul", 1);
    let mut connection = server.connect();
    assert_eq!(commit_one(&mut connection, 9, "g\0", &topic, 0, 1), 24);
    let group = server.group("nul");
    let request = commit_request(&group, &topic, vec![committing(0, 1, Some("a\0b"))]);
    assert_eq!(commit_errors(&commit(&mut connection, 9, &request)), [INVALID_REQUEST]);
    let mut joining = Joining::new(&group).instance("i\0");
    assert_eq!(joining.join(&mut connection, 9).error_code, INVALID_REQUEST);
}

/// Goal: a static member of the consumer protocol whose join was answered may join again under its id, and nobody else under its name.
#[test]
fn a_static_member_joins_again() {
    let server = Server::shared();
    let topic = server.topic("static-again", 1);
    let group = server.group("static-again");
    let mut member = ConsumerMember::new(server, &group);
    member.instance_id = Some("i".to_owned());
    let joined = member.join(&[&topic]);
    assert_eq!(member.join(&[&topic]).member_epoch, joined.member_epoch);
    let mut other = ConsumerMember::new(server, &group);
    let request = joining(&group, &other.id, &[&topic]).with_instance_id(Some(text("i")));
    assert_eq!(other.send(&request).error_code, UNRELEASED_INSTANCE_ID);
}
