//! Two brokers side by side: each scenario in rounds, the brokers in turn within a round, and the ratios of each round's pair.
//!
//! Machines are noisy: a broker's megabytes a second move threefold between rounds, the ratio of a pair much less, CPU seconds least.

use std::time::Duration;

use crate::error::Error;
use crate::fetch;
use crate::latency;
use crate::payload::Kind;
use crate::produce::{self, Load, Outcome};
use crate::quantiles::median;
use crate::target::Target;

/// What is produced, and then fetched.
#[derive(Debug, Clone)]
struct Scenario {
    name: &'static str,
    load: Load,
}

const TOPIC: &str = "bench-compare";

fn scenarios(scale: f64) -> Vec<Scenario> {
    let base = Load {
        topic: TOPIC.to_owned(),
        partitions: 3,
        records: 200_000,
        record_bytes: 1024,
        payload: Kind::Random,
        codec: "none".to_owned(),
        acks: "all".to_owned(),
        batch_bytes: 16 * 1024,
        linger: Duration::from_millis(5),
        idempotent: false,
        in_flight: None,
        rate: None,
    };
    let large = Load {
        batch_bytes: 256 * 1024,
        ..base.clone()
    };
    let json = Load {
        payload: Kind::Json,
        ..large.clone()
    };
    let mut all = vec![
        Scenario {
            name: "1 KiB, batches of 16 KiB",
            load: base.clone(),
        },
        Scenario {
            name: "1 KiB, batches of 16 KiB, 5 in flight",
            load: Load {
                in_flight: Some(5),
                ..base.clone()
            },
        },
        Scenario {
            name: "1 KiB, batches of 16 KiB, idempotent",
            load: Load {
                idempotent: true,
                ..base.clone()
            },
        },
        Scenario {
            name: "1 KiB, batches of 256 KiB",
            load: large.clone(),
        },
        Scenario {
            name: "1 KiB, batches of 256 KiB, acks=1",
            load: Load {
                acks: "1".to_owned(),
                ..large.clone()
            },
        },
        Scenario {
            name: "100 B, batches of 256 KiB",
            load: Load {
                record_bytes: 100,
                records: 1_000_000,
                ..large.clone()
            },
        },
        Scenario {
            name: "100 KiB records",
            load: Load {
                record_bytes: 100 * 1024,
                records: 2_000,
                ..large.clone()
            },
        },
        Scenario {
            name: "1 KiB JSON, lz4",
            load: Load {
                codec: "lz4".to_owned(),
                ..json.clone()
            },
        },
        Scenario {
            name: "1 KiB JSON, zstd",
            load: Load {
                codec: "zstd".to_owned(),
                ..json
            },
        },
        Scenario {
            name: "1 KiB, 2,000 records/s, linger 0",
            load: Load {
                rate: Some(2_000.0),
                records: 10_000,
                linger: Duration::ZERO,
                ..base
            },
        },
    ];
    for scenario in &mut all {
        scenario.load.records = ((scenario.load.records as f64 * scale) as u64).max(1);
    }
    all
}

/// What is compared in one scenario: a name, its unit's digits after the point, and how to get it.
struct Measure {
    name: &'static str,
    digits: usize,
    of: fn(&Outcome) -> Option<f64>,
}

const FLOW: [Measure; 2] = [
    Measure {
        name: "MB/s",
        digits: 1,
        of: |outcome| Some(outcome.mb_per_s()),
    },
    Measure {
        name: "CPU-s/GB",
        digits: 2,
        of: Outcome::cpu_seconds_per_gb,
    },
];

const PACED: [Measure; 3] = [
    Measure {
        name: "p50 ms",
        digits: 2,
        of: |outcome| Some(outcome.latency.p50_ms),
    },
    Measure {
        name: "p99 ms",
        digits: 2,
        of: |outcome| Some(outcome.latency.p99_ms),
    },
    Measure {
        name: "CPU-s/GB",
        digits: 2,
        of: Outcome::cpu_seconds_per_gb,
    },
];

/// Runs every scenario whose name contains `filter` for `rounds` rounds and prints a table in Markdown; records are scaled by `scale`.
///
/// # Errors
/// A measurement failed, on either broker.
pub fn run(ours: &Target, theirs: &Target, rounds: usize, scale: f64, filter: &str) -> Result<(), Error> {
    for target in [theirs, ours] {
        warm_up(target, scale)?;
    }
    println!("| what | measure | {} | {} | ratio |", ours.name, theirs.name);
    println!("|---|---|---:|---:|---:|");
    for Scenario { name, load } in scenarios(scale).iter().filter(|scenario| scenario.name.contains(filter)) {
        let (mut produced, mut fetched) = (Vec::new(), Vec::new());
        in_rounds(ours, theirs, rounds, |target| {
            let (sent, read) = produce_and_fetch(target, load)?;
            eprintln!("{name}: {}: produce {sent}", target.name);
            eprintln!("{name}: {}: fetch   {read}", target.name);
            Ok((sent, read))
        })?
        .into_iter()
        .for_each(|((our_sent, our_read), (their_sent, their_read))| {
            produced.push((our_sent, their_sent));
            fetched.push((our_read, their_read));
        });
        let measures = if load.rate.is_some() { &PACED[..] } else { &FLOW[..] };
        print_rows(&format!("produce: {name}"), measures, &produced);
        if load.rate.is_none() {
            print_rows(&format!("fetch: {name}"), &FLOW, &fetched);
        }
    }
    if "one record at a time".contains(filter) {
        let pairs = in_rounds(ours, theirs, rounds, one_at_a_time)?;
        print_rows("produce: one record at a time, 100 B", &PACED[..2], &pairs);
    }
    Ok(())
}

/// A JVM compiles what runs often; without this the first scenario would measure its compiler.
fn warm_up(target: &Target, scale: f64) -> Result<(), Error> {
    for scenario in scenarios(scale).iter().take(2) {
        produce_and_fetch(target, &scenario.load)?;
    }
    Ok(())
}

/// Each round's pair, ours first. Who begins changes from round to round.
fn in_rounds<T>(
    ours: &Target,
    theirs: &Target,
    rounds: usize,
    mut measure: impl FnMut(&Target) -> Result<T, Error>,
) -> Result<Vec<(T, T)>, Error> {
    (0..rounds)
        .map(|round| {
            if round % 2 == 0 {
                let our_outcome = measure(ours)?;
                Ok((our_outcome, measure(theirs)?))
            } else {
                let their_outcome = measure(theirs)?;
                Ok((measure(ours)?, their_outcome))
            }
        })
        .collect()
}

fn produce_and_fetch(target: &Target, load: &Load) -> Result<(Outcome, Outcome), Error> {
    target.fresh_topic(TOPIC, load.partitions)?;
    let produced = produce::run(target, load)?;
    let fetch = fetch::Load {
        topic: TOPIC.to_owned(),
        partitions: load.partitions,
        records: load.records,
        partition_bytes: 1024 * 1024,
    };
    let fetched = fetch::run(target, &fetch)?;
    target.delete_topic(TOPIC)?;
    Ok((produced, fetched))
}

fn one_at_a_time(target: &Target) -> Result<Outcome, Error> {
    const RECORDS: usize = 1_000;
    const BYTES: usize = 100;
    target.fresh_topic(TOPIC, 1)?;
    let latency = latency::run(target, TOPIC, BYTES, RECORDS, None)?.produce;
    eprintln!(
        "one record at a time: {}: p50 {:.3} ms, p99 {:.3} ms",
        target.name, latency.p50_ms, latency.p99_ms
    );
    target.delete_topic(TOPIC)?;
    Ok(Outcome {
        records: RECORDS as u64,
        bytes: (RECORDS * BYTES) as u64,
        latency,
        ..Outcome::default()
    })
}

/// A row per measure: the medians of both, and the median of the pairs' ratios.
fn print_rows(name: &str, measures: &[Measure], pairs: &[(Outcome, Outcome)]) {
    for Measure {
        name: measure,
        digits,
        of,
    } in measures
    {
        let values: Vec<(f64, f64)> = pairs
            .iter()
            .filter_map(|(ours, theirs)| Some((of(ours)?, of(theirs)?)))
            .collect();
        if values.is_empty() {
            continue;
        }
        let (ours, theirs): (Vec<f64>, Vec<f64>) = values.iter().copied().unzip();
        let ratios: Vec<f64> = values.iter().map(|(ours, theirs)| ours / theirs).collect();
        let (our_median, their_median, ratio) = (median(&ours), median(&theirs), median(&ratios));
        println!("| {name} | {measure} | {our_median:.digits$} | {their_median:.digits$} | {ratio:.2} |");
    }
}
