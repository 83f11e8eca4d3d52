//! AlterConfigs and IncrementalAlterConfigs: every operation, what is refused and how, and that configs of topics take effect.

use crate::code;
use kafka_protocol::messages::alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{AlterConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_test::batch::{now_ms, Batch, LOG_APPEND_TIME};
use kafka_test::compression::Codec;
use kafka_test::configs::{
    alter, alter_all, alteration, altered, described, text, Op, BROKER, BROKER_LOGGER, DEFAULT_CONFIG, TOPIC, TOPIC_CONFIG,
};
use kafka_test::connection::Connection;
use kafka_test::patience::eventually;
use kafka_test::requests::{append, produce_bytes, read_all, PRODUCE};
use kafka_test::server::Server;
use kafka_test::topic::{unique_name, Topic};

/// A change of one config.
type Change<'a> = (&'a str, Op<'a>);

/// A value and its source.
fn value(connection: &mut Connection, topic: &Topic, key: &str) -> (String, i8) {
    let (value, source) = described(connection, TOPIC, &topic.name, key);
    (value.unwrap_or_default(), source)
}

fn set_to(value: &str) -> (String, i8) {
    (value.to_owned(), TOPIC_CONFIG)
}

/// The part of an AlterConfigs request that is about one resource.
fn replacement(kind: i8, name: &str, configs: &[(&str, Option<&str>)]) -> AlterConfigsResource {
    let config =
        |(key, value): &(&str, Option<&str>)| AlterableConfig::default().with_name(text(key)).with_value(value.map(text));
    AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(configs.iter().map(config).collect())
}

/// Goal: every version sets and deletes, and what is not named stays.
#[test]
fn set_and_delete() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in 0..=1 {
        let topic = server.topic_with("alter-set", 1, &[("retention.ms", "5000"), ("segment.ms", "60000")]);
        let changes = [
            ("retention.ms", Op::Delete),
            ("flush.ms", Op::Set("7")),
            ("preallocate", Op::Delete),
        ];
        let told = alter_all(&mut connection, version, vec![alteration(TOPIC, &topic.name, &changes)]);
        assert_eq!(told, [(0, None)], "version {version}");
        eventually("the change is seen", || {
            (value(&mut connection, &topic, "flush.ms") == set_to("7")).then_some(())
        });
        assert_eq!(
            value(&mut connection, &topic, "retention.ms"),
            ("604800000".to_owned(), DEFAULT_CONFIG)
        );
        assert_eq!(value(&mut connection, &topic, "segment.ms"), set_to("60000"));
        assert_ne!(value(&mut connection, &topic, "preallocate").1, TOPIC_CONFIG);
    }
}

/// Goal: lists grow and shrink from what is effective, each element at most once.
#[test]
fn append_and_subtract() {
    const KEY: &str = "cleanup.policy";
    let server = Server::shared();
    let topic = server.topic("alter-list", 1);
    let mut connection = server.connect();
    for (op, expected) in [
        (Op::Append("compact"), "delete,compact"),
        (Op::Append("delete,compact"), "delete,compact"),
        (Op::Subtract("delete"), "compact"),
        (Op::Subtract("delete"), "compact"),
        (Op::Subtract("compact"), ""),
        (Op::Append("delete"), "delete"),
        (Op::Set(" compact , delete "), "compact,delete"),
    ] {
        assert_eq!(alter(&mut connection, &topic.name, &[(KEY, op)]), (0, None), "{op:?}");
        eventually(&format!("{KEY} is {expected} after {op:?}"), || {
            (value(&mut connection, &topic, KEY) == set_to(expected)).then_some(())
        });
    }
}

/// Goal: each refusal has Kafka's code and sentence, and one bad config keeps the good ones beside it from being changed.
#[test]
fn refused_configs() {
    let server = Server::shared();
    let topic = server.topic("alter-refused", 1);
    let mut connection = server.connect();
    let cases: &[(&[Change<'_>], i16, &str)] = &[
        (&[("x.y", Op::Set("5"))], code::INVALID_CONFIG, "Unknown topic config name: x.y"),
        (
            &[("segment.ms", Op::Set("7")), ("retention.ms", Op::Set("x"))],
            code::INVALID_CONFIG,
            "Invalid value x for configuration retention.ms: Not a number of type LONG",
        ),
        (
            &[("segment.bytes", Op::Set("5"))],
            code::INVALID_CONFIG,
            "Invalid value 5 for configuration segment.bytes: Value must be at least 1048576",
        ),
        (
            &[("compression.type", Op::Set("rar"))],
            code::INVALID_CONFIG,
            "Invalid value rar for configuration compression.type: String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
        ),
        (
            &[("cleanup.policy", Op::Append("purge"))],
            code::INVALID_CONFIG,
            "Invalid value purge for configuration cleanup.policy: String must be one of: compact, delete",
        ),
        (
            &[("cleanup.policy", Op::Append(""))],
            code::INVALID_CONFIG,
            "Configuration 'cleanup.policy' values must not be empty.",
        ),
        (
            &[("min.compaction.lag.ms", Op::Set("77")), ("max.compaction.lag.ms", Op::Set("7"))],
            code::INVALID_CONFIG,
            "conflict topic config setting min.compaction.lag.ms (77) > max.compaction.lag.ms (7)",
        ),
        (
            &[("retention.ms", Op::Append("5"))],
            code::INVALID_CONFIG,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            &[("x.y", Op::Subtract("5"))],
            code::INVALID_CONFIG,
            "Can't SUBTRACT to key x.y because its type is not LIST.",
        ),
        (
            &[("remote.storage.enable", Op::Set("true"))],
            code::INVALID_CONFIG,
            "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
        ),
        (
            &[("retention.ms", Op::Raw(0, None)), ("x", Op::Raw(2, None))],
            code::INVALID_REQUEST,
            "Null value not supported for : retention.ms, x",
        ),
        (
            &[("retention.ms", Op::Set("1")), ("retention.ms", Op::Delete)],
            code::INVALID_REQUEST,
            "Error due to duplicate config keys",
        ),
    ];
    for (changes, error, message) in cases {
        for version in 0..=1 {
            let told = alter_all(&mut connection, version, vec![alteration(TOPIC, &topic.name, changes)]);
            assert_eq!(told, [(*error, Some((*message).to_owned()))], "version {version}");
        }
    }
    assert_eq!(alter(&mut connection, &topic.name, &[("x.y", Op::Delete)]), (0, None));
    assert_eq!(value(&mut connection, &topic, "segment.ms").1, DEFAULT_CONFIG);
}

/// Goal: what does not exist or cannot be altered is refused, in the order of the request, and the good one beside it is altered.
#[test]
fn refused_resources() {
    let server = Server::shared();
    let topic = server.topic("alter-beside", 1);
    let missing = unique_name("missing");
    let mut connection = server.connect();
    for version in 0..=1 {
        let set = [("retention.ms", Op::Set("5000"))];
        let told = alter_all(
            &mut connection,
            version,
            vec![
                alteration(TOPIC, &missing, &set),
                alteration(TOPIC, &missing.replace("missing", "absent"), &[("x", Op::Set("1"))]),
                alteration(TOPIC, "", &set),
                alteration(TOPIC, "a b", &set),
                alteration(BROKER, "7", &[]),
                alteration(BROKER, "one", &[]),
                alteration(BROKER_LOGGER, "7", &[]),
                alteration(BROKER_LOGGER, "1", &[("no.such.logger", Op::Set("INFO"))]),
                alteration(3, "x", &[]),
                alteration(TOPIC, &topic.name, &set),
            ],
        );
        let told: Vec<(i16, String)> = told
            .into_iter()
            .map(|(code, message)| (code, message.unwrap_or_default()))
            .collect();
        let expected = [
            (
                code::UNKNOWN_TOPIC_OR_PARTITION,
                format!("The topic '{missing}' does not exist."),
            ),
            (code::INVALID_CONFIG, "Unknown topic config name: x".to_owned()),
            (code::INVALID_REQUEST, "Default topic resources are not allowed.".to_owned()),
            (code::INVALID_TOPIC, "Topic name is invalid: 'a b' ".to_owned()),
            (
                code::INVALID_REQUEST,
                "Unexpected broker id, expected 1, but received 7".to_owned(),
            ),
            (code::INVALID_REQUEST, "Node id must be an integer, but it is: one".to_owned()),
            (
                code::INVALID_REQUEST,
                "Unexpected node id. Expected 1, but received 7".to_owned(),
            ),
            (code::INVALID_CONFIG, "Logger no.such.logger does not exist!".to_owned()),
            (code::INVALID_REQUEST, "Unknown resource type 3".to_owned()),
            (0, String::new()),
        ];
        assert_eq!(told.len(), expected.len());
        for ((code, message), (expected_code, begin)) in told.iter().zip(&expected) {
            assert_eq!(code, expected_code, "version {version}: {message}");
            assert!(message.starts_with(begin), "{message:?} instead of {begin:?}");
        }
    }
}

/// Goal: a resource that is named twice is refused in both places and not altered, what stands between them is not affected.
#[test]
fn resources_named_twice() {
    let server = Server::shared();
    let (twice, once) = (server.topic("alter-twice", 1), server.topic("alter-once", 1));
    let mut connection = server.connect();
    let set = [("retention.ms", Op::Set("5000"))];
    let resources = [&twice, &once, &twice].map(|topic| alteration(TOPIC, &topic.name, &set));
    let told = alter_all(&mut connection, 1, resources.to_vec());
    let refused = (
        code::INVALID_REQUEST,
        Some("Each resource must appear at most once.".to_owned()),
    );
    assert_eq!(told, [refused.clone(), (0, None), refused]);
    eventually("the other is altered", || {
        (value(&mut connection, &once, "retention.ms") == set_to("5000")).then_some(())
    });
    assert_eq!(value(&mut connection, &twice, "retention.ms").1, DEFAULT_CONFIG);
}

/// Goal: a dry run answers as the real one and changes nothing.
#[test]
fn dry_runs() {
    let server = Server::shared();
    let topic = server.topic("alter-dry", 1);
    let mut connection = server.connect();
    for version in 0..=1 {
        let resources = vec![
            alteration(TOPIC, &topic.name, &[("retention.ms", Op::Set("5000"))]),
            alteration(TOPIC, &unique_name("missing"), &[]),
        ];
        let request = IncrementalAlterConfigsRequest::default()
            .with_resources(resources)
            .with_validate_only(true);
        let reply = connection.call(version, &request);
        let codes: Vec<i16> = reply.responses.iter().map(|r| r.error_code).collect();
        assert_eq!(codes, [0, code::UNKNOWN_TOPIC_OR_PARTITION]);
    }
    for version in 0..=2 {
        let request = AlterConfigsRequest::default()
            .with_resources(vec![replacement(TOPIC, &topic.name, &[("retention.ms", Some("5000"))])])
            .with_validate_only(true);
        assert_eq!(connection.call(version, &request).responses[0].error_code, 0);
    }
    // A change after them is seen, so they would be too.
    altered(&mut connection, &topic.name, &[("segment.ms", Op::Set("5000"))]);
    assert_eq!(value(&mut connection, &topic, "retention.ms").1, DEFAULT_CONFIG);
}

/// Goal: AlterConfigs sets what it names and takes away what it does not.
#[test]
fn replacing_all_configs() {
    let server = Server::shared();
    let mut connection = server.connect();
    for version in 0..=2 {
        let topic = server.topic_with("alter-all", 1, &[("retention.ms", "5000"), ("segment.ms", "60000")]);
        let replace = |connection: &mut Connection, configs: &[(&str, Option<&str>)]| {
            let request = AlterConfigsRequest::default().with_resources(vec![replacement(TOPIC, &topic.name, configs)]);
            let reply = connection.call(version, &request);
            (
                reply.responses[0].error_code,
                reply.responses[0].error_message.as_ref().map(ToString::to_string),
            )
        };
        let configs = [("segment.ms", Some("70000")), ("flush.ms", Some("7"))];
        assert_eq!(replace(&mut connection, &configs), (0, None), "version {version}");
        eventually("the change is seen", || {
            (value(&mut connection, &topic, "flush.ms") == set_to("7")).then_some(())
        });
        assert_eq!(value(&mut connection, &topic, "segment.ms"), set_to("70000"));
        assert_eq!(value(&mut connection, &topic, "retention.ms").1, DEFAULT_CONFIG);
        let refused = |message: &str| Some(message.to_owned());
        assert_eq!(
            replace(&mut connection, &[("segment.ms", None)]),
            (code::INVALID_REQUEST, refused("Null value not supported for : segment.ms"))
        );
        assert_eq!(
            replace(&mut connection, &[("segment.ms", Some("1")), ("segment.ms", Some("2"))]),
            (code::INVALID_REQUEST, refused("Error due to duplicate config keys"))
        );
        assert_eq!(
            replace(&mut connection, &[("x", Some("1"))]),
            (code::INVALID_CONFIG, refused("Unknown topic config name: x"))
        );
        assert_eq!(replace(&mut connection, &[]), (0, None));
        eventually("all is taken away", || {
            (value(&mut connection, &topic, "flush.ms").1 == DEFAULT_CONFIG).then_some(())
        });
        assert_eq!(value(&mut connection, &topic, "segment.ms").1, DEFAULT_CONFIG);
    }
}

/// Goal: what AlterConfigs refuses: resources that are not there or that it does not know.
#[test]
fn replacing_configs_of_what_is_not_there() {
    let mut connection = Server::shared().connect();
    for version in 0..=2 {
        let resources = vec![
            replacement(TOPIC, &unique_name("missing"), &[("retention.ms", Some("1"))]),
            replacement(TOPIC, "", &[]),
            replacement(TOPIC, "a b", &[]),
            replacement(BROKER, "7", &[]),
            replacement(BROKER_LOGGER, "1", &[]),
            replacement(0, "x", &[]),
        ];
        let reply = connection.call(version, &AlterConfigsRequest::default().with_resources(resources));
        let codes: Vec<i16> = reply.responses.iter().map(|r| r.error_code).collect();
        let expected = [
            code::UNKNOWN_TOPIC_OR_PARTITION,
            code::INVALID_REQUEST,
            code::INVALID_TOPIC,
            code::INVALID_REQUEST,
            code::INVALID_REQUEST,
            code::INVALID_REQUEST,
        ];
        assert_eq!(codes, expected, "version {version}");
    }
}

/// Goal: a setting that can only be given at the start of the broker is refused with its name; a request that gives none is fine.
#[test]
fn settings_of_the_broker() {
    let mut connection = Server::shared().connect();
    for name in ["1", ""] {
        let told = alter_all(
            &mut connection,
            1,
            vec![alteration(BROKER, name, &[("num.partitions", Op::Set("7"))])],
        );
        let (error, message) = &told[0];
        let message = message.as_deref().unwrap_or_default();
        assert_eq!(*error, code::INVALID_REQUEST, "{message}");
        assert!(
            message.starts_with("Cannot update these configs dynamically: [num.partitions]"),
            "{message}"
        );
        assert_eq!(
            alter_all(&mut connection, 1, vec![alteration(BROKER, name, &[])]),
            [(0, None)]
        );
    }
    assert_eq!(
        described(&mut connection, BROKER, "1", "num.partitions").0.as_deref(),
        Some("3")
    );
}

/// Goal: a smaller max.message.bytes refuses the next batch, and its default takes it again.
#[test]
fn the_largest_batch_changes() {
    let server = Server::shared();
    let topic = server.topic("alter-max", 1);
    let mut connection = server.connect();
    let large = Batch::of(["x".repeat(2_000)]);
    append(&mut connection, &topic, 0, &large);
    for (op, expected) in [(Op::Set("1000"), code::MESSAGE_TOO_LARGE), (Op::Delete, 0)] {
        altered(&mut connection, &topic.name, &[("max.message.bytes", op)]);
        eventually(&format!("max.message.bytes is obeyed after {op:?}"), || {
            let reply = produce_bytes(&mut connection, PRODUCE, &topic, 0, -1, &large.encode());
            (reply.error_code == expected).then_some(())
        });
    }
}

/// Goal: message.timestamp.type decides whose time the next batch bears; what is stored keeps its own.
#[test]
fn the_kind_of_timestamps_changes() {
    let server = Server::shared();
    let topic = server.topic("alter-time", 1);
    let mut connection = server.connect();
    let old = now_ms() - 60_000;
    let batch = Batch::of(["a"]).at(old);
    append(&mut connection, &topic, 0, &batch);
    altered(
        &mut connection,
        &topic.name,
        &[("message.timestamp.type", Op::Set("LogAppendTime"))],
    );
    let stamped = eventually("the broker's time is used", || {
        let reply = produce_bytes(&mut connection, PRODUCE, &topic, 0, -1, &batch.encode());
        (reply.log_append_time_ms != -1).then_some(reply)
    });
    assert!(stamped.log_append_time_ms > old + 30_000);
    altered(&mut connection, &topic.name, &[("message.timestamp.type", Op::Delete)]);
    eventually("the producer's time is used again", || {
        let reply = produce_bytes(&mut connection, PRODUCE, &topic, 0, -1, &batch.encode());
        (reply.log_append_time_ms == -1).then_some(())
    });
    let stored = read_all(&mut connection, &topic, 0, 0);
    let at = stored.iter().find(|b| b.base_offset == stamped.base_offset).unwrap();
    assert_eq!(
        (at.attributes & LOG_APPEND_TIME, at.max_timestamp),
        (LOG_APPEND_TIME, stamped.log_append_time_ms)
    );
    for batch in [&stored[0], stored.last().unwrap()] {
        assert_eq!((batch.attributes & LOG_APPEND_TIME, batch.max_timestamp), (0, old));
    }
}

/// Goal: the limits of a producer's timestamps, in both directions, are those that were set last.
#[test]
fn the_limits_of_timestamps_change() {
    let server = Server::shared();
    let topic = server.topic("alter-limits", 1);
    let mut connection = server.connect();
    for (key, distance) in [
        ("message.timestamp.before.max.ms", -600_000),
        ("message.timestamp.after.max.ms", 600_000),
    ] {
        let batch = Batch::of(["a"]).at(now_ms() + distance);
        append(&mut connection, &topic, 0, &batch);
        for (op, expected) in [(Op::Set("1000"), code::INVALID_TIMESTAMP), (Op::Delete, 0)] {
            altered(&mut connection, &topic.name, &[(key, op)]);
            eventually(&format!("{key} is obeyed after {op:?}"), || {
                let reply = produce_bytes(&mut connection, PRODUCE, &topic, 0, -1, &batch.encode());
                (reply.error_code == expected).then_some(())
            });
        }
    }
}

/// Goal: compression.type rebuilds the batches that come after it was set, to each codec and to none, and `producer` ends that.
#[test]
fn the_codec_of_stored_batches_changes() {
    let server = Server::shared();
    let topic = server.topic("alter-codec", 1);
    let mut connection = server.connect();
    let sent = Batch::of(["a", "b", "c"]).compressed(Codec::Snappy);
    for (name, codec) in [
        ("gzip", Codec::Gzip),
        ("lz4", Codec::Lz4),
        ("zstd", Codec::Zstd),
        ("uncompressed", Codec::None),
        ("producer", Codec::Snappy),
    ] {
        altered(&mut connection, &topic.name, &[("compression.type", Op::Set(name))]);
        let stored = eventually(&format!("a batch is stored as {name}"), || {
            let offset = append(&mut connection, &topic, 0, &sent);
            let stored = read_all(&mut connection, &topic, 0, offset).remove(0);
            (stored.codec() == codec).then_some(stored)
        });
        let values: Vec<_> = stored.records().into_iter().filter_map(|r| r.value).collect();
        assert_eq!(values, [b"a", b"b", b"c"], "{name}");
    }
}

/// Goal: from the moment a topic is compacted, records need keys; min.insync.replicas=1 changes nothing.
#[test]
fn a_topic_becomes_compacted() {
    let server = Server::shared();
    let topic = server.topic("alter-policy", 1);
    let mut connection = server.connect();
    let (keyless, keyed) = (Batch::of(["a"]), Batch::of(["a"]).keyed("k"));
    append(&mut connection, &topic, 0, &keyless);
    let changes = [("cleanup.policy", Op::Set("compact")), ("min.insync.replicas", Op::Set("1"))];
    altered(&mut connection, &topic.name, &changes);
    eventually("a record without a key is refused", || {
        let reply = produce_bytes(&mut connection, PRODUCE, &topic, 0, -1, &keyless.encode());
        (reply.error_code == code::INVALID_RECORD).then_some(())
    });
    append(&mut connection, &topic, 0, &keyed);
    altered(&mut connection, &topic.name, &[("cleanup.policy", Op::Delete)]);
    eventually("a record without a key is taken", || {
        let reply = produce_bytes(&mut connection, PRODUCE, &topic, 0, -1, &keyless.encode());
        (reply.error_code == 0).then_some(())
    });
}
