//! kafka-configs.sh for topics and brokers.

use crate::brokers::Brokers;
use crate::check::{check, check_but_for, output, outputs, without};
use crate::deviation::MIN_INSYNC_REPLICAS;
use kafka_test::topic::unique_name;

/// Goal: configs of a topic are set, replaced, taken back and described with value, source and synonyms.
#[test]
fn topics() {
    let t = unique_name("tool-configs");
    check_but_for(
        &[MIN_INSYNC_REPLICAS],
        &format!(
            "0 kafka-topics.sh --create --topic {t} --partitions 1 --config retention.ms=100000
             0 kafka-topics.sh --list --topic {t}
             0 kafka-configs.sh --describe --topic {t}
             0 kafka-configs.sh --describe --entity-type topics --entity-name {t} --all
             0 kafka-configs.sh --alter --topic {t} --add-config max.message.bytes=12345,retention.ms=5000
             0 kafka-configs.sh --describe --topic {t}
             0 kafka-configs.sh --alter --topic {t} --add-config cleanup.policy=[compact,delete]
             0 kafka-configs.sh --describe --topic {t}
             0 kafka-configs.sh --alter --topic {t} --delete-config retention.ms --add-config min.insync.replicas=2
             0 kafka-configs.sh --describe --topic {t}
             0 kafka-configs.sh --alter --topic {t} --delete-config segment.ms,no.such.key
             0 kafka-configs.sh --alter --topic {t} --delete-config max.message.bytes,cleanup.policy
             0 kafka-configs.sh --describe --topic {t} --all
             0 kafka-configs.sh --describe --topic {t}-unknown"
        ),
    );
}

/// Goal: every key takes a value that is not its default, and gives it back.
#[test]
fn every_key_of_a_topic() {
    let t = unique_name("tool-keys");
    let settings = [
        "cleanup.policy=compact",
        "compression.gzip.level=3",
        "compression.lz4.level=5",
        "compression.type=lz4",
        "compression.zstd.level=7",
        "delete.retention.ms=11",
        "file.delete.delay.ms=12",
        "flush.messages=13",
        "flush.ms=14",
        "follower.replication.throttled.replicas=0:1",
        "index.interval.bytes=15",
        "leader.replication.throttled.replicas=*",
        "max.compaction.lag.ms=17",
        "max.message.bytes=18",
        "message.timestamp.after.max.ms=19",
        "message.timestamp.before.max.ms=20",
        "message.timestamp.type=LogAppendTime",
        "min.cleanable.dirty.ratio=0.25",
        "min.compaction.lag.ms=16",
        "preallocate=true",
        "retention.bytes=22",
        "retention.ms=23",
        "segment.bytes=2000000",
        "segment.index.bytes=25",
        "segment.jitter.ms=26",
        "segment.ms=27",
        "unclean.leader.election.enable=true",
    ];
    let keys = settings.map(|setting| setting.split('=').next().unwrap_or_default());
    check_but_for(
        &[MIN_INSYNC_REPLICAS],
        &format!(
            "0 kafka-topics.sh --create --topic {t} --partitions 1
             0 kafka-topics.sh --list --topic {t}
             0 kafka-configs.sh --alter --topic {t} --add-config {}
             0 kafka-configs.sh --describe --topic {t} --all
             0 kafka-topics.sh --describe --topic {t}
             0 kafka-configs.sh --alter --topic {t} --delete-config {}
             0 kafka-configs.sh --describe --topic {t} --all",
            settings.join(","),
            keys.join(",")
        ),
    );
}

/// Goal: what is refused is refused in the same words and changes nothing.
#[test]
fn refused_configs_of_topics() {
    let t = unique_name("tool-wrong");
    check(&format!(
        "0 kafka-topics.sh --create --topic {t} --partitions 1
         0 kafka-topics.sh --list --topic {t}
         1 kafka-configs.sh --alter --topic {t} --add-config no.such.key=1
         1 kafka-configs.sh --alter --topic {t} --add-config retention.ms=many
         1 kafka-configs.sh --alter --topic {t} --add-config min.cleanable.dirty.ratio=1.1
         1 kafka-configs.sh --alter --topic {t} --add-config segment.bytes=1,max.message.bytes=1000
         1 kafka-configs.sh --alter --topic {t} --add-config cleanup.policy=[compact,shred]
         1 kafka-configs.sh --alter --topic {t} --add-config compression.type=rar
         1 kafka-configs.sh --alter --topic {t} --add-config preallocate=perhaps
         1 kafka-configs.sh --alter --topic {t} --add-config min.compaction.lag.ms=2,max.compaction.lag.ms=1
         1 kafka-configs.sh --alter --topic {t} --add-config remote.storage.enable=true
         1 kafka-configs.sh --alter --topic {t} --add-config follower.replication.throttled.replicas=abc
         1 kafka-configs.sh --alter --topic {t} --add-config max.message.bytes
         1 kafka-configs.sh --alter --topic {t}-unknown --add-config retention.ms=1
         0 kafka-configs.sh --describe --topic {t}"
    ));
}

/// Goal: a broker has no dynamic configs, taking away what is not there changes nothing, and a broker that is not there is said so.
#[test]
fn brokers() {
    check_but_for(
        &[MIN_INSYNC_REPLICAS],
        "0 kafka-configs.sh --describe --entity-type brokers
         0 kafka-configs.sh --describe --entity-type brokers --entity-default
         0 kafka-configs.sh --describe --entity-type brokers --entity-name 1
         0 kafka-configs.sh --describe --broker 2
         0 kafka-configs.sh --alter --broker 1 --delete-config log.cleaner.threads
         0 kafka-configs.sh --alter --broker-defaults --delete-config log.cleaner.threads
         1 kafka-configs.sh --alter --broker 1 --add-config log.cleaner.threads
         1 kafka-configs.sh --alter --broker-logger 1 --add-config no.such.logger=DEBUG",
    );
}

/// Goal: settings are changed in Postgres, and whoever tries it here is told so.
#[test]
fn settings_are_not_changed_by_clients() {
    let brokers = Brokers::shared();
    for who in ["--broker 1", "--broker-defaults"] {
        let refused = output(
            &brokers.ours,
            &format!("kafka-configs.sh --alter {who} --add-config message.max.bytes=2000000"),
            "",
        );
        assert_eq!(refused.status, 1, "{refused:?}");
        assert!(refused.err.contains("InvalidRequestException"), "{refused:?}");
        assert!(refused.err.contains("ALTER SYSTEM"), "{refused:?}");
    }
}

/// Keys of the broker whose values are the broker's own, or whose defaults are, as docs/configuration.md lists them.
const OWN_VALUES: [&str; 9] = [
    "advertised.listeners",
    "broker.id",
    "listeners",
    "max.connections",
    "max.connections.per.ip",
    "node.id",
    "num.network.threads",
    "num.partitions",
    "queued.max.request.bytes",
];

/// Goal: what a broker says of itself under Kafka's keys is what Apache Kafka says.
#[test]
fn all_configs_of_a_broker() {
    let command = "kafka-configs.sh --describe --broker 1 --all";
    let [ours, apache] = outputs(command, "").map(|output| without(output, &[MIN_INSYNC_REPLICAS]));
    assert_eq!((ours.status, apache.status), (0, 0), "{ours:?}");
    assert_eq!(ours.err, apache.err);
    let apache: Vec<&str> = apache.out.lines().collect();
    let mut keys = Vec::new();
    for line in ours.out.lines() {
        let key = line.trim().split('=').next().unwrap_or_default();
        if OWN_VALUES.contains(&key) {
            let start = format!("  {key}=");
            assert!(
                apache.iter().any(|other| other.starts_with(&start)),
                "{key} is no key of Kafka"
            );
        } else if !key.starts_with("pg_kafka.") {
            assert!(apache.contains(&line), "Apache Kafka does not say {line}");
        }
        keys.push(key);
    }
    for key in OWN_VALUES
        .into_iter()
        .chain(["pg_kafka.port", "log.retention.ms", "message.max.bytes"])
    {
        assert!(keys.contains(&key), "{key} is missing");
    }
}
