//! Records: the console producer and consumer, kafka-get-offsets.sh, kafka-delete-records.sh, kafka-log-dirs.sh.

use crate::check::{check, outputs, without};
use crate::deviation::{Deviation, MESSAGE_OF_A_LARGE_BATCH};
use crate::json_file::JsonFile;
use kafka_test::topic::unique_name;

/// Writes records with the console producer to both brokers, which must say the same.
fn produce(topic: &str, options: &str, input: &str) {
    produce_but_for(&[], topic, options, input);
}

fn produce_but_for(deviations: &[Deviation], topic: &str, options: &str, input: &str) {
    let command = format!("kafka-console-producer.sh --topic {topic} --timeout 10 --request-timeout-ms 30000 {options}");
    let [ours, apache] = outputs(&command, input).map(|output| without(output, deviations));
    assert_eq!(ours, apache, "{command}");
    assert_eq!(ours.status, 0, "{command}: {ours:?}");
}

/// These partitions and offsets, for kafka-delete-records.sh.
fn offsets(partitions: &[(&str, i32, i64)]) -> JsonFile {
    let partitions: Vec<String> = partitions
        .iter()
        .map(|(topic, partition, offset)| format!(r#"{{"topic":"{topic}","partition":{partition},"offset":{offset}}}"#))
        .collect();
    JsonFile::new(&format!(r#"{{"partitions":[{}],"version":1}}"#, partitions.join(",")))
}

/// Goal: what the console producer writes in any codec the console consumer reads, with all that it can print.
#[test]
fn console_round_trip() {
    let t = unique_name("tool-console");
    check(&format!(
        "0 kafka-topics.sh --create --topic {t} --partitions 1
         0 kafka-topics.sh --list --topic {t}"
    ));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let input = format!("h:{codec}|{codec}:first\nh:|{codec}:second\nx:1,y:2|{codec}:\n");
        let options = "--reader-property parse.key=true --reader-property key.separator=: \
                       --reader-property parse.headers=true --reader-property headers.delimiter=|";
        produce(&t, &format!("--compression-codec {codec} {options}"), &input);
    }
    produce(&t, "--sync --request-required-acks 1", "acks 1\n");
    produce(&t, "--request-required-acks 0", "acks 0\n");
    check(&format!(
        "0 kafka-console-consumer.sh --topic {t} --partition 0 --offset earliest --max-messages 17
         0 kafka-console-consumer.sh --topic {t} --partition 0 --offset earliest --max-messages 17 \
           --formatter-property print.key=true --formatter-property print.offset=true --formatter-property print.partition=true \
           --formatter-property print.timestamp=true --formatter-property print.headers=true --formatter-property null.literal=NULL
         0 kafka-console-consumer.sh --topic {t} --partition 0 --offset 3 --max-messages 2 --isolation-level read_committed
         0 kafka-console-consumer.sh --topic {t} --partition 0 --offset latest --timeout-ms 300
         0 kafka-console-consumer.sh --topic {t} --partition 0 --offset 1000 --max-messages 1 --timeout-ms 600"
    ));
}

/// Goal: a record that the broker refuses is reported in the same words.
#[test]
fn refused_records() {
    let t = unique_name("tool-refusal");
    check(&format!(
        "0 kafka-topics.sh --create --topic {t}-compact --partitions 1 --config cleanup.policy=compact
         0 kafka-topics.sh --create --topic {t}-small --partitions 1 --config max.message.bytes=100
         0 kafka-topics.sh --create --topic {t}-old --partitions 1 --config message.timestamp.before.max.ms=0
         0 kafka-topics.sh --list --topic {t}.*"
    ));
    produce(&format!("{t}-compact"), "", "without a key\n");
    let long = "long ".repeat(40);
    produce_but_for(&[MESSAGE_OF_A_LARGE_BATCH], &format!("{t}-small"), "", &long);
    produce(&format!("{t}-old"), "--command-property linger.ms=200", "old\n");
    produce("bad/name", "--max-block-ms 3000", "never\n");
    check(&format!("0 kafka-get-offsets.sh --topic-partitions {t}.*"));
}

/// Goal: offsets by every sentinel and by time, before and after records are deleted.
#[test]
fn offsets_and_deletion() {
    let t = unique_name("tool-offsets");
    check(&format!(
        "0 kafka-topics.sh --create --topic {t} --partitions 1
         0 kafka-topics.sh --create --topic {t}-three --partitions 3
         0 kafka-topics.sh --create --topic {t}-compact --partitions 1 --config cleanup.policy=compact
         0 kafka-topics.sh --list --topic {t}.*"
    ));
    // The last record alone has the largest timestamp.
    produce(&t, "", "a\nb\nc\nd\n");
    produce(&t, "", "e\n");
    let by_time = [
        "-1",
        "-2",
        "earliest",
        "latest",
        "max-timestamp",
        "earliest-local",
        "latest-tiered",
        "0",
        "99999999999999",
    ]
    .map(|time| format!("0 kafka-get-offsets.sh --topic {t} --time {time}\n"))
    .concat();
    let some = offsets(&[(&t, 0, 3), (&format!("{t}-three"), 1, -1)]);
    let beyond = offsets(&[(&t, 0, 6)]);
    let negative = offsets(&[(&t, 0, -2)]);
    let twice = offsets(&[(&t, 0, 4), (&t, 0, 4)]);
    let compact = offsets(&[(&format!("{t}-compact"), 0, 0)]);
    check(&format!(
        "0 kafka-get-offsets.sh --topic {t}.*
         {by_time}
         0 kafka-get-offsets.sh --topic-partitions {t}-three:0-2,{t}
         0 kafka-get-offsets.sh --topic {t}-three --partitions 1,9
         1 kafka-get-offsets.sh --topic {t}-unknown
         1 kafka-get-offsets.sh --topic {t} --time never
         0 kafka-delete-records.sh --offset-json-file {some}
         {by_time}
         0 kafka-delete-records.sh --offset-json-file {beyond}
         0 kafka-delete-records.sh --offset-json-file {negative}
         1 kafka-delete-records.sh --offset-json-file {twice}
         0 kafka-delete-records.sh --offset-json-file {compact}
         {by_time}
         0 kafka-console-consumer.sh --topic {t} --partition 0 --offset earliest --max-messages 2"
    ));
}

/// Goal: the folder of the log with each partition in it, by broker and topic; sizes are each broker's own.
#[test]
fn log_dirs() {
    let t = unique_name("tool-dirs");
    check(&format!(
        "0 kafka-topics.sh --create --topic {t} --partitions 1
         0 kafka-topics.sh --list --topic {t}"
    ));
    produce(&t, "", "a\nb\n");
    check(&format!(
        "0 kafka-log-dirs.sh --describe --topic-list {t}
         0 kafka-log-dirs.sh --describe --topic-list {t},{t}-unknown --broker-list 1
         0 kafka-log-dirs.sh --describe --topic-list {t}-unknown
         1 kafka-log-dirs.sh --describe --broker-list 1,2"
    ));
}
