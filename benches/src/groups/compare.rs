//! The same groups on both brokers in turn, as a table.

use std::path::PathBuf;
use std::time::Duration;

use super::{run, Figures, Load, Protocol};
use crate::error::Error;
use crate::machine;
use crate::report::{self, Pair};
use crate::server::{root, Server};
use crate::starts::sync;
use crate::target::Target;

const TOPIC: &str = "bench-groups";
const SECTION: &str = "bench groups";
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// What both brokers are set to, so that they do the same: no delay of a first rebalance, assignments computed at once, and the interval
/// of heartbeats that the coordinator prescribes to members of the consumer protocol.
const OUR_SETTINGS: [(&str, &str); 2] = [
    ("pg_kafka.group_initial_rebalance_delay", "0"),
    ("pg_kafka.consumer_group_heartbeat_interval", "1000"),
];

/// The same for Apache Kafka.
const THEIR_SETTINGS: [(&str, &str); 4] = [
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.consumer.assignment.interval.ms", "0"),
    ("group.consumer.min.heartbeat.interval.ms", "1000"),
    ("group.consumer.heartbeat.interval.ms", "1000"),
];

/// How it is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where both brokers have their files.
    pub dir: PathBuf,
    /// The first of four ports.
    pub base_port: u16,
    /// Rounds that count.
    pub rounds: usize,
    /// Whether there is a round before them that does not count.
    pub warm_up: bool,
    /// 1 is what the report shows; less has fewer groups, members, partitions and seconds.
    pub scale: f64,
    /// Whether the section of docs/performance.md is written.
    pub write: bool,
}

struct Measure {
    name: &'static str,
    digits: usize,
    of: fn(&Figures) -> f64,
}

const MEASURES: [Measure; 12] = [
    Measure {
        name: "first join to all stable, s",
        digits: 2,
        of: |f| f.forming_s,
    },
    Measure {
        name: "the same, CPU-s",
        digits: 2,
        of: |f| f.forming_cpu_s,
    },
    Measure {
        name: "heartbeat while idle, p50 ms",
        digits: 2,
        of: |f| f.idle_heartbeats.p50_ms,
    },
    Measure {
        name: "heartbeat while idle, p99 ms",
        digits: 2,
        of: |f| f.idle_heartbeats.p99_ms,
    },
    Measure {
        name: "idle, CPU-s a second",
        digits: 3,
        of: |f| f.idle_cpu_per_s,
    },
    Measure {
        name: "rebalance, s",
        digits: 2,
        of: |f| f.rebalance_s,
    },
    Measure {
        name: "rebalance, CPU-s",
        digits: 2,
        of: |f| f.rebalance_cpu_s,
    },
    Measure {
        name: "heartbeat while rebalancing, p50 ms",
        digits: 2,
        of: |f| f.rebalance_heartbeats.p50_ms,
    },
    Measure {
        name: "heartbeat while rebalancing, p99 ms",
        digits: 2,
        of: |f| f.rebalance_heartbeats.p99_ms,
    },
    Measure {
        name: "OffsetCommit, p50 ms",
        digits: 2,
        of: |f| f.commits.p50_ms,
    },
    Measure {
        name: "OffsetCommit, p99 ms",
        digits: 2,
        of: |f| f.commits.p99_ms,
    },
    Measure {
        name: "10,000 OffsetCommits, CPU-s",
        digits: 2,
        of: |f| f.commit_cpu_s,
    },
];

/// Starts both brokers, measures, and prints or writes the section.
///
/// # Errors
/// A measurement failed, on either broker.
pub fn compare(options: &Options) -> Result<(), Error> {
    let ours = Server::start_pg_kafka(&options.dir, options.base_port, &OUR_SETTINGS, false)?;
    let theirs = Server::start_apache(&options.dir, options.base_port + 2, &THEIR_SETTINGS)?;
    let partitions = scaled(1000, options.scale) as i32;
    for target in [&ours.target, &theirs.target] {
        target.fresh_topic(TOPIC, partitions)?;
    }
    let mut section = machine::describe(&ours, &options.dir)?;
    section.push_str(&preamble(options));
    section.push_str(report::HEAD);
    for (name, load) in loads(options.scale, partitions) {
        let pairs = rounds(&name, &load, options, &ours.target, &theirs.target)?;
        for Measure {
            name: measure,
            digits,
            of,
        } in &MEASURES
        {
            let values: Vec<Pair> = pairs.iter().map(|(ours, theirs)| (of(ours), of(theirs))).collect();
            section.push_str(&report::line(&name, measure, *digits, &values));
        }
    }
    section.push_str(&format!("\nAt the end: {}.\n", machine::load_average()));
    println!("{section}");
    if options.write {
        report::rewrite(&root().join("docs/performance.md"), SECTION, &section)?;
    }
    Ok(())
}

fn preamble(options: &Options) -> String {
    let settings = OUR_SETTINGS.iter().chain(&THEIR_SETTINGS);
    let settings: Vec<String> = settings.map(|(name, value)| format!("`{name}={value}`")).collect();
    format!(
        "Set for this: {}.\n\nMedians of {} rounds, in brackets the smallest and the largest; the ratio is the median of each round's, \
         pg_kafka to Apache Kafka.\npg_kafka has flushed the commits and generations that it has acknowledged, Apache Kafka has not.\n\n",
        settings.join(", "),
        options.rounds
    )
}

fn scaled(count: usize, scale: f64) -> usize {
    ((count as f64 * scale) as usize).max(2)
}

fn loads(scale: f64, partitions: i32) -> Vec<(String, Load)> {
    let one = scaled(200, scale);
    let many = scaled(500, scale);
    let load = |protocol, groups, members| Load {
        protocol,
        groups,
        members,
        topic: TOPIC.to_owned(),
        partitions,
        heartbeat_interval: HEARTBEAT_INTERVAL,
        phase: Duration::from_secs_f64(5.0 * scale.clamp(0.2, 1.0)),
        rebalances: if scale < 1.0 { 1 } else { 5 },
        commits_per_s: 500.0 * scale.min(1.0),
    };
    vec![
        (format!("1 group of {one}, classic"), load(Protocol::Classic, 1, one)),
        (format!("1 group of {one}, consumer"), load(Protocol::Consumer, 1, one)),
        (format!("{many} groups of 2, classic"), load(Protocol::Classic, many, 2)),
        (format!("{many} groups of 2, consumer"), load(Protocol::Consumer, many, 2)),
    ]
}

/// Each round's pair, ours first; who begins changes from round to round.
fn rounds(name: &str, load: &Load, options: &Options, ours: &Target, theirs: &Target) -> Result<Vec<(Figures, Figures)>, Error> {
    let measure = |target: &Target| {
        sync();
        let figures = run(target, load)?;
        eprintln!(
            "{name}: {}: formed in {:.2} s, rebalance {:.2} s, heartbeat p99 {:.2} ms, commit p99 {:.2} ms",
            target.name, figures.forming_s, figures.rebalance_s, figures.idle_heartbeats.p99_ms, figures.commits.p99_ms
        );
        Ok::<_, Error>(figures)
    };
    let mut pairs = Vec::new();
    for round in usize::from(!options.warm_up)..=options.rounds {
        let pair = if round % 2 == 0 {
            let first = measure(ours)?;
            (first, measure(theirs)?)
        } else {
            let first = measure(theirs)?;
            (measure(ours)?, first)
        };
        if round > 0 {
            pairs.push(pair);
        }
    }
    Ok(pairs)
}
