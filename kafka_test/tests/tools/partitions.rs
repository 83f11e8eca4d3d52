//! More partitions with kafka-topics.sh, leader elections and reassignments.

use crate::check::{check, check_but_for};
use crate::deviation::MIN_INSYNC_REPLICAS;
use crate::json_file::JsonFile;
use kafka_test::topic::unique_name;

/// Goal: partitions are added, with or without an assignment, and never taken away.
#[test]
fn partitions_are_added() {
    let t = unique_name("tool-partitions");
    check_but_for(
        &[MIN_INSYNC_REPLICAS],
        &format!(
            "0 kafka-topics.sh --create --topic {t} --partitions 2
             0 kafka-topics.sh --describe --topic {t}
             0 kafka-topics.sh --alter --topic {t} --partitions 4
             0 kafka-topics.sh --describe --topic {t}
             1 kafka-topics.sh --alter --topic {t} --partitions 2
             1 kafka-topics.sh --alter --topic {t} --partitions 4
             1 kafka-topics.sh --alter --topic {t} --partitions 0
             0 kafka-topics.sh --alter --topic {t} --partitions 5 --replica-assignment 1,1,1,1,1
             0 kafka-topics.sh --describe --topic {t}
             1 kafka-topics.sh --alter --topic {t} --partitions 6 --replica-assignment 1,1,1,1,1,7
             0 kafka-get-offsets.sh --topic {t}
             1 kafka-topics.sh --alter --topic {t}-unknown --partitions 4
             0 kafka-topics.sh --alter --topic {t}-unknown --partitions 4 --if-exists"
        ),
    );
}

/// Goal: every partition has its preferred leader already, and one that is not there is said so.
#[test]
fn leaders_are_elected() {
    let t = unique_name("tool-election");
    check(&format!(
        "0 kafka-topics.sh --create --topic {t} --partitions 2
         0 kafka-topics.sh --list --topic {t}
         0 kafka-leader-election.sh --election-type preferred --topic {t} --partition 0
         0 kafka-leader-election.sh --election-type unclean --topic {t} --partition 1
         1 kafka-leader-election.sh --election-type preferred --topic {t} --partition 2
         1 kafka-leader-election.sh --election-type preferred --topic {t}-unknown --partition 0
         0 kafka-leader-election.sh --election-type preferred --all-topic-partitions
         0 kafka-leader-election.sh --election-type unclean --all-topic-partitions"
    ));
}

/// Goal: a partition can be placed where it is and nowhere else, and nothing is ever under way.
#[test]
fn reassignments() {
    let t = unique_name("tool-reassign");
    let topics = JsonFile::new(&format!(r#"{{"topics":[{{"topic":"{t}"}}],"version":1}}"#));
    let placed = |topic: &str, replica: i32| {
        let partition = format!(r#"{{"topic":"{topic}","partition":0,"replicas":[{replica}],"log_dirs":["any"]}}"#);
        JsonFile::new(&format!(r#"{{"version":1,"partitions":[{partition}]}}"#))
    };
    let (here, elsewhere, unknown) = (placed(&t, 1), placed(&t, 2), placed(&format!("{t}-unknown"), 1));
    check(&format!(
        "0 kafka-topics.sh --create --topic {t} --partitions 1
         0 kafka-topics.sh --list --topic {t}
         0 kafka-reassign-partitions.sh --list
         0 kafka-reassign-partitions.sh --generate --topics-to-move-json-file {topics} --broker-list 1
         1 kafka-reassign-partitions.sh --generate --topics-to-move-json-file {topics} --broker-list 2
         0 kafka-reassign-partitions.sh --execute --reassignment-json-file {here}
         0 kafka-reassign-partitions.sh --verify --reassignment-json-file {here}
         0 kafka-reassign-partitions.sh --cancel --reassignment-json-file {here}
         1 kafka-reassign-partitions.sh --execute --reassignment-json-file {elsewhere}
         1 kafka-reassign-partitions.sh --execute --reassignment-json-file {unknown}
         0 kafka-reassign-partitions.sh --list"
    ));
}
