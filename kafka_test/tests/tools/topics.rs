//! kafka-topics.sh: create, describe, list, delete. More partitions are in [`crate::partitions`].

use crate::check::{check, check_but_for};
use crate::deviation::{Deviation, MIN_INSYNC_REPLICAS};
use kafka_test::topic::unique_name;

/// Goal: a topic is made, listed, described and deleted; what exists is not made again, what does not is neither described nor deleted.
#[test]
fn topics_live_and_die() {
    let t = unique_name("tool-topic");
    check_but_for(
        &[MIN_INSYNC_REPLICAS],
        &format!(
            "0 kafka-topics.sh --create --topic {t} --partitions 2 --replication-factor 1
             0 kafka-topics.sh --list --topic {t}
             1 kafka-topics.sh --create --topic {t} --partitions 2
             0 kafka-topics.sh --create --topic {t} --if-not-exists
             0 kafka-topics.sh --create --topic {t}-default
             0 kafka-topics.sh --create --topic {t}-assigned --replica-assignment 1,1,1
             0 kafka-topics.sh --create --topic {t}-configs --partitions 1 --config retention.ms=100000 --config cleanup.policy=compact
             0 kafka-topics.sh --list --topic {t}.*
             0 kafka-topics.sh --list --exclude-internal --topic {t}.*
             0 kafka-topics.sh --describe --topic {t}.*
             0 kafka-topics.sh --describe --topic {t}-configs
             0 kafka-topics.sh --describe --topic {t}-default --partition-size-limit-per-response 1
             0 kafka-topics.sh --describe --under-replicated-partitions --topic {t}.*
             0 kafka-topics.sh --describe --unavailable-partitions --topic {t}.*
             0 kafka-topics.sh --describe --under-min-isr-partitions --topic {t}.*
             0 kafka-topics.sh --describe --at-min-isr-partitions --topic {t}.*
             1 kafka-topics.sh --describe --topic {t}-unknown
             0 kafka-topics.sh --describe --topic {t}-unknown --if-exists
             1 kafka-topics.sh --describe --topic-id AAAAAAAAAAAAAAAAAAAAAQ
             0 kafka-topics.sh --delete --topic {t}-assigned
             0 kafka-topics.sh --list --topic {t}.*
             1 kafka-topics.sh --delete --topic {t}-assigned
             0 kafka-topics.sh --delete --topic {t}-assigned --if-exists"
        ),
    );
}

/// Goal: only topics with configs of their own are told.
#[test]
fn topics_with_overrides() {
    let t = unique_name("tool-overrides");
    // There every topic seems to have one.
    let without_others = Deviation {
        remove: |text| {
            let text = (MIN_INSYNC_REPLICAS.remove)(text);
            let lines = text.lines().filter(|line| !line.ends_with("Configs: "));
            lines.map(|line| line.to_owned() + "\n").collect()
        },
        ..MIN_INSYNC_REPLICAS
    };
    check_but_for(
        &[without_others],
        &format!(
            "0 kafka-topics.sh --create --topic {t} --partitions 1
             0 kafka-topics.sh --create --topic {t}-with --partitions 1 --config flush.ms=7 --config segment.bytes=2000000
             0 kafka-topics.sh --describe --topics-with-overrides --topic {t}.*"
        ),
    );
}

/// Goal: what cannot be made is refused in the same words.
#[test]
fn refused_topics() {
    let t = unique_name("tool-refused");
    let too_long = "n".repeat(250);
    check(&format!(
        "1 kafka-topics.sh --create --topic bad/name --partitions 1
         1 kafka-topics.sh --create --topic . --partitions 1
         1 kafka-topics.sh --create --topic .. --partitions 1
         1 kafka-topics.sh --create --topic {too_long} --partitions 1
         1 kafka-topics.sh --create --topic {t} --partitions 0
         1 kafka-topics.sh --create --topic {t} --partitions 1 --replication-factor 2
         1 kafka-topics.sh --create --topic {t} --replica-assignment 7
         1 kafka-topics.sh --create --topic {t} --replica-assignment 1:1
         1 kafka-topics.sh --create --topic {t} --partitions 1 --config retention.ms=many
         1 kafka-topics.sh --create --topic {t} --partitions 1 --config retention.ms=-2
         1 kafka-topics.sh --create --topic {t} --partitions 1 --config cleanup.policy=shred
         1 kafka-topics.sh --create --topic {t} --partitions 1 --config no.such.key=1
         1 kafka-topics.sh --create --topic {t} --partitions 1 --config min.compaction.lag.ms=2 --config max.compaction.lag.ms=1
         0 kafka-topics.sh --list --topic {t}.*
         0 kafka-topics.sh --create --topic {t}.dotted --partitions 1
         1 kafka-topics.sh --create --topic {} --partitions 1",
        format!("{t}.dotted").replace('.', "_")
    ));
}
