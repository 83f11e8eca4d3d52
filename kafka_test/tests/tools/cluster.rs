//! The cluster: kafka-cluster.sh, kafka-broker-api-versions.sh, kafka-metadata-quorum.sh, kafka-features.sh.

use crate::brokers::Brokers;
use crate::check::{check, check_but_for, output, outputs};
use crate::deviation::NO_CONTROLLER_LISTENER;

/// Goal: the cluster has an id, and one broker.
#[test]
fn cluster_and_endpoints() {
    check(
        "0 kafka-cluster.sh cluster-id
         0 kafka-cluster.sh list-endpoints
         0 kafka-cluster.sh list-endpoints --include-fenced-brokers",
    );
}

/// Goal: every API that is served has the versions of Apache Kafka, and what is not served is said to be unsupported in docs/protocol.md.
#[test]
fn versions_of_apis() {
    let [ours, apache] = outputs("kafka-broker-api-versions.sh", "");
    assert_eq!((ours.status, apache.status), (0, 0), "{ours:?}");
    assert_eq!(ours.err, apache.err);
    let page = include_str!("../../../docs/protocol.md");
    let (_, not_served) = page.split_once("## Not served").expect("a table of what is not served");
    assert_eq!(ours.out.lines().count(), apache.out.lines().count());
    for (ours, apache) in ours.out.lines().zip(apache.out.lines()) {
        let name = apache.trim().split('(').next().unwrap_or_default();
        if ours != apache {
            assert!(
                ours.trim_end_matches(',').ends_with("UNSUPPORTED"),
                "{ours} instead of {apache}"
            );
            assert!(
                not_served.contains(&format!("| {name} |")),
                "{name} is missing in docs/protocol.md"
            );
        }
    }
}

/// Goal: the quorum is this one node, leading and without lag.
#[test]
fn quorum() {
    check_but_for(&[NO_CONTROLLER_LISTENER], "0 kafka-metadata-quorum.sh describe --status");
    // The rest are the id of a directory, offsets and times.
    let told = outputs("kafka-metadata-quorum.sh describe --replication", "").map(|output| {
        let column = |line: &str, index: usize| line.split('\t').nth(index).unwrap_or_default().trim().to_owned();
        let lines = output.out.lines().map(|line| [0, 3, 6].map(|index| column(line, index)));
        (output.status, lines.collect::<Vec<_>>(), output.err)
    });
    let [ours, apache] = told;
    assert_eq!(ours, apache);
    let expected = [["NodeId", "Lag", "Status"], ["1", "0", "Leader"]].map(|line| line.map(str::to_owned));
    assert_eq!(apache, (0, expected.to_vec(), String::new()));
}

/// Goal: group.version is the one feature, and keeps its level.
#[test]
fn features() {
    let [ours, apache] = outputs("kafka-features.sh describe", "");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let told = words(&ours.out);
    assert_eq!((ours.status, ours.err.as_str()), (0, ""));
    let level = |words: &[String]| words[..8].to_vec();
    let apache = apache.out.lines().map(words).find(|words| words[1] == "group.version");
    assert_eq!(level(&told), level(&apache.unwrap()));
    for command in [
        "downgrade --feature group.version=0",
        "downgrade --feature metadata.version=20",
    ] {
        // Apache Kafka would do the first, and refuse consumer groups from then on.
        let [server, _] = Brokers::shared().each();
        let ours = output(server, &format!("kafka-features.sh {command}"), "");
        assert_eq!(ours.status, 1, "{command}: {ours:?}");
        assert!(ours.out.starts_with("Could not "), "{ours:?}");
    }
}
