//! Command lines of Kafka's tools, run against both brokers and compared.

use crate::brokers::Brokers;
use crate::deviation::Deviation;
use crate::jvm::{Jvm, Output};
use crate::mask::masked;
use kafka_test::patience::PATIENCE;
use kafka_test::server::Server;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// The scripts of Kafka's distribution and the main classes they start.
const TOOLS: [(&str, &str); 15] = [
    ("kafka-topics.sh", "org.apache.kafka.tools.TopicCommand"),
    ("kafka-configs.sh", "kafka.admin.ConfigCommand"),
    ("kafka-get-offsets.sh", "org.apache.kafka.tools.GetOffsetShell"),
    ("kafka-delete-records.sh", "org.apache.kafka.tools.DeleteRecordsCommand"),
    ("kafka-log-dirs.sh", "org.apache.kafka.tools.LogDirsCommand"),
    (
        "kafka-broker-api-versions.sh",
        "org.apache.kafka.tools.BrokerApiVersionsCommand",
    ),
    ("kafka-metadata-quorum.sh", "org.apache.kafka.tools.MetadataQuorumCommand"),
    ("kafka-cluster.sh", "org.apache.kafka.tools.ClusterTool"),
    ("kafka-features.sh", "org.apache.kafka.tools.FeatureCommand"),
    ("kafka-leader-election.sh", "org.apache.kafka.tools.LeaderElectionCommand"),
    (
        "kafka-reassign-partitions.sh",
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    ),
    ("kafka-console-producer.sh", "org.apache.kafka.tools.ConsoleProducer"),
    ("kafka-console-consumer.sh", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
    (
        "kafka-consumer-groups.sh",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ),
    ("ClientCompatibilityTest", "org.apache.kafka.tools.ClientCompatibilityTest"),
];

/// Runs command lines, one a line: the expected exit status, the script, its arguments without `--bootstrap-server`. Both brokers must
/// give that status and the same output. Panics with all that differs.
pub fn check(lines: &str) {
    check_but_for(&[], lines);
}

/// Like [`check`], but for these deviations; each must be there.
pub fn check_but_for(deviations: &[Deviation], lines: &str) {
    let mut found = vec![false; deviations.len()];
    let mut wrong = Vec::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (status, command) = line.split_once(' ').expect("status and command");
        let status: i32 = status.parse().unwrap_or_else(|_| panic!("{line}: no exit status in front"));
        let [ours, apache] = settled(command, deviations);
        for (deviation, found) in deviations.iter().zip(&mut found) {
            *found |= (deviation.remove)(&apache.out) != apache.out;
        }
        let [ours, apache] = [ours, apache].map(|output| without(output, deviations));
        if ours != apache || apache.status != status {
            wrong.push(report(command, status, &ours, &apache));
        }
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deviations.md");
    let page = std::fs::read_to_string(page).unwrap_or_else(|e| panic!("{page}: {e}"));
    for (deviation, found) in deviations.iter().zip(found) {
        assert!(
            page.contains(deviation.entry),
            "docs/deviations.md has no entry {}",
            deviation.entry
        );
        assert!(found, "nothing shows the deviation {}", deviation.entry);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs one command line against both brokers with this standard input, and gives what they said, masked: pg_kafka's first.
pub fn outputs(command: &str, input: &str) -> [Output; 2] {
    Brokers::shared().each().map(|server| output(server, command, input))
}

/// Runs one command line against one broker.
pub fn output(server: &Server, command: &str, input: &str) -> Output {
    static JVM: OnceLock<Mutex<Jvm>> = OnceLock::new();
    let mut words = command.split_whitespace();
    let script = words.next().expect("a script");
    let (_, main_class) = TOOLS
        .iter()
        .find(|(name, _)| *name == script)
        .unwrap_or_else(|| panic!("{script} is not known"));
    let mut arguments: Vec<String> = words.map(str::to_owned).collect();
    // This one wants its verb first.
    let place = usize::from(script == "kafka-cluster.sh");
    arguments.splice(place..place, ["--bootstrap-server".to_owned(), server.bootstrap.clone()]);
    let mut jvm = JVM
        .get_or_init(|| Mutex::new(Jvm::start()))
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let output = jvm.call(main_class, input, &arguments);
    Output {
        status: output.status,
        out: masked(&output.out, server),
        err: masked(&output.err, server),
    }
}

/// What both brokers say; a command that only looks is repeated while they differ.
fn settled(command: &str, deviations: &[Deviation]) -> [Output; 2] {
    let only_looks = ["--describe", "--list", "describe ", "get-offsets"]
        .iter()
        .any(|word| command.contains(word));
    let start = Instant::now();
    loop {
        let both = outputs(command, "");
        let [ours, apache] = both.clone().map(|output| without(output, deviations));
        if ours == apache || !only_looks || start.elapsed() > PATIENCE {
            return both;
        }
    }
}

/// An output without what the deviations make different.
pub fn without(output: Output, deviations: &[Deviation]) -> Output {
    let remove = |text: String| deviations.iter().fold(text, |text, deviation| (deviation.remove)(&text));
    Output {
        status: output.status,
        out: remove(output.out),
        err: remove(output.err),
    }
}

/// What differs: the lines that only one of the two said, or everything if that does not show it.
fn report(command: &str, status: i32, ours: &Output, apache: &Output) -> String {
    let mut text = format!(
        "\n$ {command}\nexit status: {status} expected, {} of pg_kafka, {} of Apache Kafka\n",
        ours.status, apache.status
    );
    let length = text.len();
    for (stream, ours, apache) in [("output", &ours.out, &apache.out), ("error", &ours.err, &apache.err)] {
        for (who, these, those) in [("pg_kafka", ours, apache), ("Apache Kafka", apache, ours)] {
            for line in these.lines().filter(|line| !those.lines().any(|other| other == *line)) {
                text += &format!("only {who}'s {stream}: {line}\n");
            }
        }
    }
    if text.len() == length {
        text += &format!("pg_kafka: {ours:#?}\nApache Kafka: {apache:#?}\n");
    }
    text
}
