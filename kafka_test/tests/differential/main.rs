//! The same requests to pg_kafka and to Apache Kafka 4.3.1, at every version of every API that is advertised, and their replies
//! compared field by field.
//!
//! # Adding a script
//!
//! A script is a function in `scripts/<api>.rs`, listed in that file's `SCRIPTS` (and a new file in `scripts/mod.rs`). It runs once for
//! each version of its API and sends what it likes; every reply is compared by itself, there is nothing to assert:
//!
//! ```ignore
//! Script::new("ListOffsets", "sentinels", |s| {
//!     let topic = s.topic("t", 1);
//!     s.append(&topic, 0, &Batch::of(["a"]));
//!     s.call("latest", json!({"Topics": [{"Name": topic, "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}]}));
//! })
//! ```
//!
//! - A body is JSON with the names of Kafka's schemas (`common/message/<Api>Request.json` of kafka-clients). What is left out has its
//!   default, what the version does not have is not sent, null is sent wherever it is written.
//! - What each server has of its own is written as a symbol: `s.id(&topic)` for a topic's id, `"$epoch"` for the current leader epoch,
//!   `"$epoch+1"` for a later one. In replies ports, cluster ids and leader epochs are recognized, and ids are matched one to one. The ids
//!   that servers make for members of groups are `"$member1"`, `"$member2"`, ... in the order in which a script met them, in replies and
//!   requests; ids of producers are `"$producer1"` in replies to InitProducerId, ids of fetch
//!   sessions `"$session1"`.
//! - What may differ is listed in `allowed.rs`; what one request may differ in is said before it with [`script::Session::except`]. Both
//!   point to an entry of docs/deviations.md, and one that nothing needs any more fails the test.
//!
//! `DIFFERENTIAL="ListOffsets sent"` runs the scripts whose API and name contain that; `KAFKA_TEST_OURS` and `KAFKA_TEST_APACHE` take servers
//! that run already (`broker/examples/in_memory.rs`, `scripts/apache-kafka.sh`).
#![allow(clippy::unwrap_used, reason = "test code fails by panicking")]

mod allowed;
mod codec;
mod compare;
mod pair;
mod records;
mod report;
mod schema;
mod script;
mod scripts;

use kafka_test::topic::unique_name;
use pair::Pair;
use report::Report;
use script::{Script, Session};
use std::io::{stderr, Write};
use std::ops::RangeInclusive;
use std::panic::{catch_unwind, AssertUnwindSafe};

/// Scripts that may be run again because of a difference that was of the moment, of the hundreds that are run.
const RETRIES: usize = 2;

/// Goal: what pg_kafka answers is what Apache Kafka answers, but for what docs/deviations.md says; no version of an API that it
/// advertises is left out.
#[test]
fn replies_are_those_of_apache_kafka() {
    let mut pair = Pair::start(&unique_name("probe"));
    let advertised = advertised(&mut pair);
    let chosen = std::env::var("DIFFERENTIAL").unwrap_or_default();
    let (mut report, mut spare) = (Report::default(), RETRIES);
    for script in scripts::all().filter(|s| format!("{} {}", s.api, s.name).contains(&chosen)) {
        let Some(versions) = versions_of(&pair, &advertised, script) else {
            eprintln!("{} is not advertised", script.api);
            continue;
        };
        for version in versions {
            run(&mut pair, script, version, &mut report, &mut spare);
        }
    }
    if chosen.is_empty() {
        report.check_coverage(&pair, &advertised);
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/deviations.md");
        report.check_exceptions(&std::fs::read_to_string(page).unwrap());
    }
    assert!(report.is_green(), "{report}");
}

/// An API's key, name and versions.
struct Advertised {
    key: i16,
    name: String,
    versions: RangeInclusive<i16>,
}

/// What pg_kafka says that it serves.
fn advertised(pair: &mut Pair) -> Vec<Advertised> {
    let api = pair.apis.by_name("ApiVersions");
    let reply = pair.call(api, 0, &serde_json::json!({})).ours.tree();
    let rows = reply["ApiKeys"].as_array().expect("a list of APIs").iter().map(|row| {
        let number = |field: &str| row[field].as_i64().expect("a number") as i16;
        Advertised {
            key: number("ApiKey"),
            name: pair.apis.by_key(number("ApiKey")).name.clone(),
            versions: number("MinVersion")..=number("MaxVersion"),
        }
    });
    rows.collect()
}

/// The versions in which a script runs; `None` where pg_kafka does not serve its API yet.
fn versions_of(pair: &Pair, advertised: &[Advertised], script: &Script) -> Option<Vec<i16>> {
    // Panics on an API that Kafka does not have.
    let name = &pair.apis.by_name(script.api).name;
    let versions = advertised.iter().find(|api| api.name == *name)?.versions.clone();
    let (first, last) = script.versions;
    Some(versions.filter(|version| (first..=last).contains(version)).collect())
}

/// Runs a script, again if replies differ: both servers have timers, and what differs once and not the next time was of the moment. It is told
/// all the same, and what breaks off is not tried again, nor more than `spare` scripts.
fn run(pair: &mut Pair, script: &Script, version: i16, report: &mut Report, spare: &mut usize) {
    let first = attempt(pair, script, version);
    report.merge(if first.only_differs() && *spare > 0 {
        *spare -= 1;
        // Not eprintln, which a test keeps to itself: a green run shows it too.
        let told = format!("{} {} version {version}, tried again: {first}", script.api, script.name);
        stderr().write_all(told.as_bytes()).unwrap();
        attempt(pair, script, version)
    } else {
        first
    });
}

/// What a run of a script finds, until its end or where it breaks off.
fn attempt(pair: &mut Pair, script: &Script, version: i16) -> Report {
    let mut session = Session::new(pair, script, version);
    let outcome = catch_unwind(AssertUnwindSafe(|| (script.run)(&mut session)));
    let mut found = Report::default();
    found.add(session, outcome.err());
    found
}
