//! Consumer groups with kafka-consumer-groups.sh.

use crate::check::check;
use kafka_test::topic::unique_name;

/// Goal: a group without members is listed, described, reset and deleted.
#[test]
fn groups_live_and_die() {
    let t = unique_name("tool-grouped");
    let g = unique_name("tool-group");
    let groups = "kafka-consumer-groups.sh";
    check(&format!(
        "0 kafka-topics.sh --create --topic {t} --partitions 3
         0 {groups} --group {g} --reset-offsets --to-latest --topic {t} --dry-run
         0 {groups} --group {g} --reset-offsets --to-earliest --topic {t} --execute
         0 {groups} --describe --group {g}
         0 {groups} --describe --group {g} --offsets
         0 {groups} --describe --group {g} --members
         0 {groups} --describe --group {g} --members --verbose
         0 {groups} --describe --group {g} --state
         0 {groups} --group {g} --reset-offsets --shift-by 1 --topic {t} --execute
         0 {groups} --group {g} --reset-offsets --to-datetime 2020-01-01T00:00:00.000 --topic {t}:1 --execute
         0 {groups} --describe --group {g}
         0 {groups} --delete-offsets --group {g} --topic {t}:2
         0 {groups} --describe --group {g}
         0 {groups} --delete-offsets --group {g} --topic {t}
         0 {groups} --delete --group {g}
         0 {groups} --describe --group {g}
         0 {groups} --describe --group {g} --state
         0 {groups} --delete --group {g}
         0 {groups} --delete-offsets --group {g} --topic {t}"
    ));
}
